"""EventMix (Shen et al. 2023): a part of a recording is replaced by that of another one, inside random blobs."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ...errors import RecipeError
from ..batch import BatchRNG, to_device
from .base import AUGMENTS, Augmentation

RULES = ("count", "area", "distance")


@AUGMENTS.register(
    "eventmix", label="EventMix", paper="Shen et al., Information Sciences 2023", year=2023, arxiv="2205.12054"
)
class EventMix(Augmentation):
    """Mix with a random recording of the batch, perhaps itself, and share the target out between both classes.

    A share `lambda ~ Beta(beta, beta)` of the places in time, row and column is replaced: those where the sum of some
    Gaussians is highest. BrainCog's several mixes of one recording and its salt-and-pepper noise are not here.

    Args:
        p: probability that a recording is mixed.
        beta: of the beta distribution: 1 in BrainCog's library, 2 in its training script.
        blobs: Gaussians.
        label: the rule of `kept_share`.
    """

    mixes = True

    def __init__(self, p: float = 0.5, beta: float = 1.0, blobs: int = 3, label: str = "count") -> None:
        if not (0 <= p <= 1 and beta > 0 and blobs >= 1 and label in RULES):
            raise RecipeError(
                "augmentation 'eventmix': p must be from 0 to 1, beta above 0, blobs from 1, and label"
                f" {', '.join(RULES[:-1])} or {RULES[-1]}, not {p}, {beta}, {blobs} and {label}"
            )
        self.p, self.beta, self.blobs, self.label = p, beta, blobs, label

    def __call__(self, events: Tensor, target: Tensor, rng: BatchRNG) -> tuple[Tensor, Tensor]:
        """Mixed frames and class probabilities; all numbers are drawn for the global batch."""
        draw, size = rng.generator("eventmix"), (events.shape[1], *events.shape[3:])
        mixed = draw.random(rng.total) < self.p
        replaced, partner = draw.beta(self.beta, self.beta, rng.total), draw.integers(rng.total, size=rng.total)
        heights = draw.random((rng.total, self.blobs))
        centres = draw.integers(size, size=(rng.total, self.blobs, 3))
        widths = draw.random((rng.total, self.blobs, 3))
        drawn = (mixed.nonzero()[0], *(each[mixed] for each in (partner, heights, centres, widths, 1 - replaced)))
        rows, partners, height, centre, width, kept = map(torch.from_numpy, drawn)
        mask = to_device(gaussian_mask(height, centre, width, kept, size), events.device)
        rows, partners = to_device(rows, events.device), to_device(partners, events.device)
        own, other = events[rows], events[partners]
        share = kept_share(own, other, mask, self.label)[:, None].to(target.dtype)
        soft = share * target[rows] + (1 - share) * target[partners]
        mixture = torch.where(mask[:, :, None], other, own)
        return events.index_copy(0, rows, mixture), target.index_copy(0, rows, soft)


def gaussian_mask(heights: Tensor, centres: Tensor, widths: Tensor, kept: Tensor, size: tuple[int, ...]) -> Tensor:
    """True at the highest places of a sum of Gaussians, bool `[B, T, H, W]`; on the CPU, from numbers there.

    If `int(N * kept)` is 0, all places should be true, but none is, as in BrainCog, whose index wraps round there.

    Args:
        heights: `[B, n]`.
        centres: places in time, row and column `[B, n, 3]`.
        widths: standard deviations in [0, 1), of half a side, 0.1 at least `[B, n, 3]`.
        kept: share of the places that are false `[B]`.
        size: T, H, W.
    """
    deviations = widths.clamp(min=0.1) * torch.tensor(size) / 2
    away = [(torch.arange(n) - centres[..., a, None]) / deviations[..., a, None] for a, n in enumerate(size)]
    bumps = [torch.exp(-each.square() / 2) for each in away]
    field = torch.einsum("bn,bnt,bnh,bnw->bthw", heights, *bumps).flatten(1)
    places = ((field.shape[1] * kept).long() - 1) % field.shape[1]
    levels = [np.partition(row, place)[place] for row, place in zip(field.numpy(), places.tolist(), strict=True)]
    return (field > torch.tensor(levels, dtype=field.dtype)[:, None]).view(-1, *size)


def kept_share(own: Tensor, other: Tensor, mask: Tensor, rule: str) -> Tensor:
    """The weight of a recording's own class `[B]`, float64.

    - `count`, as published: a / (a + b), where a is the share of its events that is left, and b the share of the
      other's events that is taken.
    - `area`, ETC's version of the code: the share of the places that is left.
    - `distance`, the paper's second rule, commented out in the code: d'^2 / (d^2 + d'^2), where d is the mean squared
      difference between the recording and the mixture, both averaged over 3x3 pixels, and d' that of the other one.

    The published `count` is not a number if a recording has no event, or if none is left and none is taken, and
    `distance` is not for two equal recordings. Then `area` counts (deviation D-36).

    Args:
        own: frames `[B, T, C, H, W]`.
        other: frames that replace them, likewise.
        mask: where they do, bool `[B, T, H, W]`.
        rule: `count`, `area` or `distance`.
    """
    area = 1 - mask.double().mean((1, 2, 3))
    if rule == "area":
        return area
    if rule == "count":
        one, two = own.sum(2), other.sum(2)
        parts = ((one * ~mask, one), (two * mask, two))
        left, taken = (_total(part) / _total(whole) for part, whole in parts)
    else:
        difference = other - own
        here, there = (difference * inside[:, :, None] for inside in (mask, ~mask))
        left, taken = (_total(avg_pool2d(each.flatten(1, 2), 3, 1, 1).square()).square() for each in (there, here))
    share = left / (left + taken)
    return torch.where(share.isnan(), area, share)


def _total(values: Tensor) -> Tensor:
    return values.sum((1, 2, 3), dtype=torch.float64)
