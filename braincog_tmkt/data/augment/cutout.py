"""Cutout (DeVries and Taylor 2017): a square of each sample is hidden."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import RecipeError
from ..batch import BatchRNG, to_device
from .base import AUGMENTS, Augmentation


@AUGMENTS.register("cutout", label="Cutout", paper="DeVries and Taylor 2017", year=2017, arxiv="1708.04552")
class Cutout(Augmentation):
    """Fill a square around a random pixel; what of it is outside of the frame is lost, so it may be smaller.

    Args:
        size: side of the square, in pixels.
        fill: what is put there, one number or one a channel. Codes that take the mean and the deviation out of their
            images fill with 0, which is the mean colour: `[0.4914, 0.4822, 0.4465]` for CIFAR-10.
    """

    def __init__(self, size: int = 16, fill: float | Sequence[float] = 0.0) -> None:
        if size < 1:
            raise RecipeError(f"augmentation 'cutout': size must be 1 or more, not {size}")
        self.size, self.fill = size, torch.as_tensor(fill, dtype=torch.float32).view(-1, 1, 1)

    def __call__(self, events: Tensor, target: Tensor, rng: BatchRNG) -> tuple[Tensor, Tensor]:
        """One place for each sample, the same at all steps."""
        channels, *sides = events.shape[2:]
        if len(self.fill) not in (1, channels):
            raise RecipeError(f"augmentation 'cutout': fill has {len(self.fill)} numbers, frames {channels} channels")
        drawn = rng.uniform(2, stream="cutout")
        first = [(drawn[:, axis] * side).long() - self.size // 2 for axis, side in enumerate(sides)]
        hidden = []
        for start, side in zip(first, sides, strict=True):
            start, place = to_device(start, events.device)[:, None], torch.arange(side, device=events.device)
            hidden.append((place >= start) & (place < start + self.size))
        square = hidden[0][:, None, None, :, None] & hidden[1][:, None, None, None, :]
        return torch.where(square, self.fill.to(events), events), target
