"""Erase: a rectangle of some samples gets one shade of grey, as `Cutout` of the package torchtoolbox does."""

import torch
from torch import Tensor

from ...errors import RecipeError
from ..batch import BatchRNG, to_device
from .base import AUGMENTS, Augmentation

AREA = (0.02, 0.4)
"""The least and the largest share of the frame that is erased."""

RATIO = (0.4, 2.5)
"""Of height to width."""


@AUGMENTS.register("erase", label="Erase")
class Erase(Augmentation):
    """Fill a rectangle with one of 256 shades, the same in all channels, for values in [0, 1].

    Its area is 2 to 40 % of the frame's, its height 0.4 to 2.5 times its width (both uniform, before they are rounded
    down to pixels), and it lies within the frame. This is what SLTT's code calls cutout; the paper of that name hides
    a square of one size, see `cutout`.

    Args:
        p: chance of each sample to lose a rectangle.
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise RecipeError(f"augmentation 'erase': p must be from 0 to 1, not {p}")
        self.p = p

    def __call__(self, events: Tensor, target: Tensor, rng: BatchRNG) -> tuple[Tensor, Tensor]:
        """One rectangle for each sample, the same at all steps."""
        height, width = events.shape[3:]
        chance, area, ratio, *places, shade = rng.uniform(6, stream="erase").unbind(1)
        area = (AREA[0] + area * (AREA[1] - AREA[0])) * height * width
        ratio = RATIO[0] + ratio * (RATIO[1] - RATIO[0])
        inside = []
        for side, length, place in zip((height, width), (area * ratio, area / ratio), places, strict=True):
            count = length.sqrt().long().clamp(max=side)
            first = (place * (side - count + 1)).long()
            start, end = (to_device(x, events.device)[:, None] for x in (first, first + count))
            pixels = torch.arange(side, device=events.device)
            inside.append((pixels >= start) & (pixels < end))
        chosen = to_device(chance < self.p, events.device)
        erased = chosen[:, None, None] & inside[0][:, :, None] & inside[1][:, None, :]
        shade = to_device((shade * 256).floor().div(255).to(events.dtype), events.device)
        return torch.where(erased[:, None, None], shade.view(-1, 1, 1, 1, 1), events), target
