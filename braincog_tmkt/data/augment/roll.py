"""Random circular shifts."""

import torch
from torch import Tensor

from ...errors import RecipeError
from ..batch import BatchRNG, to_device
from .base import AUGMENTS, Augmentation
from .crop import pick


@AUGMENTS.register("roll")
class Roll(Augmentation):
    """Shift along each side; pixels that leave on one side come in on the other. TET and HSD have it for CIFAR10-DVS.

    Args:
        most: pixels, either way.
    """

    def __init__(self, most: int = 5) -> None:
        if most < 0:
            raise RecipeError(f"augmentation 'roll': most must be 0 or more, not {most}")
        self.most = most

    def __call__(self, events: Tensor, target: Tensor, rng: BatchRNG) -> tuple[Tensor, Tensor]:
        """One shift for each sample, the same at all steps."""
        height, width = events.shape[-2:]
        drawn = (rng.uniform(2, stream="roll") * (2 * self.most + 1)).long() - self.most
        down, right = to_device(drawn, events.device)[:, :, None, None].unbind(1)
        rows = (torch.arange(height, device=events.device)[:, None] - down) % height
        columns = (torch.arange(width, device=events.device) - right) % width
        return pick(events, rows, columns), target
