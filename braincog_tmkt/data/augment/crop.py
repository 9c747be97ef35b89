"""Random crops."""

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import RecipeError
from ..batch import BatchRNG, to_device
from .base import AUGMENTS, Augmentation


@AUGMENTS.register("crop")
class Crop(Augmentation):
    """Pad each side with zeros and cut the original size out, at a random place.

    Args:
        padding: pixels on each side.

    Example:
        >>> frames, label = torch.ones(3, 10, 2, 48, 48), torch.arange(3)
        >>> Crop(padding=4)(frames, label, BatchRNG(seed=0, start=0, rows=3, total=3))[0].shape
        torch.Size([3, 10, 2, 48, 48])
    """

    def __init__(self, padding: int = 4) -> None:
        if padding < 0:
            raise RecipeError(f"augmentation 'crop': padding must be 0 or more, not {padding}")
        self.padding = padding

    def __call__(self, events: Tensor, target: Tensor, rng: BatchRNG) -> tuple[Tensor, Tensor]:
        """One place for each sample, the same at all steps."""
        height, width = events.shape[-2:]
        drawn = (rng.uniform(2, stream="crop") * (2 * self.padding + 1)).long()
        top, left = to_device(drawn, events.device)[:, :, None, None].unbind(1)
        rows = top + torch.arange(height, device=events.device)[:, None]
        columns = left + torch.arange(width, device=events.device)
        return pick(functional.pad(events, (self.padding,) * 4), rows, columns), target


def pick(events: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels at `rows` and `columns` of frames `[B, T, C, H, W]`, as one gather.

    Args:
        events: the frames.
        rows: of the pixels `[B, H', W']`, or `[B, H', 1]`.
        columns: likewise, or `[B, 1, W']`.

    Returns:
        `[B, T, C, H', W']`.
    """
    places = rows * events.shape[-1] + columns
    flat = events.flatten(3).flatten(1, 2)
    pixels = flat.gather(2, places.flatten(1)[:, None].expand(-1, flat.shape[1], -1))
    return pixels.view(*events.shape[:3], *places.shape[1:])
