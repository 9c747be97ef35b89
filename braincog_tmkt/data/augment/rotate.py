"""Random rotations."""

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import RecipeError
from ..batch import BatchRNG, to_device
from .base import AUGMENTS, Augmentation


@AUGMENTS.register("rotate")
class Rotate(Augmentation):
    """Rotate about the centre; nearest neighbour, zeros from outside.

    Args:
        degrees: the largest angle, either way.
    """

    def __init__(self, degrees: float = 15.0) -> None:
        if not degrees >= 0:
            raise RecipeError(f"augmentation 'rotate': degrees must be 0 or more, not {degrees}")
        self.degrees = degrees

    def __call__(self, events: Tensor, target: Tensor, rng: BatchRNG) -> tuple[Tensor, Tensor]:
        """One angle for each sample, the same at all steps."""
        return _rotated(events, (2 * rng.uniform(stream="rotate") - 1) * self.degrees), target


def _rotated(frames: Tensor, degrees: Tensor) -> Tensor:
    """Rotate sample b by `degrees[b]`, counter-clockwise."""
    height, width = frames.shape[-2:]
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    zero = torch.zeros_like(cos)
    # Grid coordinates run from -1 to 1 along each side, so a side ratio other than 1 enters the rotation.
    top = torch.stack((cos, -sin * height / width, zero), dim=1)
    bottom = torch.stack((sin * width / height, cos, zero), dim=1)
    theta = to_device(torch.stack((top, bottom), dim=1).to(frames.dtype), frames.device)
    grid = functional.affine_grid(theta, [len(frames), 1, height, width], align_corners=False)
    turned = functional.grid_sample(
        frames.flatten(1, 2), grid, mode="nearest", padding_mode="zeros", align_corners=False
    )
    return turned.view(frames.shape)
