"""EventMix (Shen et al. 2023): a part of a recording is replaced by that of another one, inside random blobs."""

import torch
from torch import Tensor

from ...errors import RecipeError
from ..batch import BatchRNG, to_device
from .base import AUGMENTS, Augmentation


@AUGMENTS.register("eventmix", label="EventMix", paper="Shen et al., Information Sciences 2023", arxiv="2205.12054")
class EventMix(Augmentation):
    """Mix with a random recording of the batch, perhaps itself, and share the target out between both classes.

    A share `lambda ~ Beta(beta, beta)` of the places in time, row and column is replaced: those where the sum of some
    Gaussians is highest. Label rules: `count`, by the events that are left of one and taken of the other (published);
    `area`, by the places (ETC's version). Where neither has an event, `area` counts, in the place of BrainCog's NaN
    (deviation D-36).

    Args:
        p: probability that a recording is mixed.
        beta: of the beta distribution.
        blobs: Gaussians.
        label: `count` or `area`.
    """

    mixes = True

    def __init__(self, p: float = 0.5, beta: float = 1.0, blobs: int = 3, label: str = "count") -> None:
        if not (0 <= p <= 1 and beta > 0 and blobs >= 1 and label in ("count", "area")):
            raise RecipeError("augmentation 'eventmix': p from 0 to 1, beta above 0, blobs from 1, label count or area")
        self.p, self.beta, self.blobs, self.label = p, beta, blobs, label

    def __call__(self, events: Tensor, target: Tensor, rng: BatchRNG) -> tuple[Tensor, Tensor]:
        """Mixed frames and class probabilities; all numbers are drawn for the global batch."""
        draw, size = rng.generator("eventmix"), (events.shape[1], *events.shape[3:])
        mixed = draw.random(rng.total) < self.p
        replaced, partner = draw.beta(self.beta, self.beta, rng.total), draw.integers(rng.total, size=rng.total)
        heights = draw.random((rng.total, self.blobs))
        centres = draw.integers(size, size=(rng.total, self.blobs, 3))
        widths = draw.random((rng.total, self.blobs, 3))
        drawn = [torch.from_numpy(each) for each in (mixed, partner, heights, centres, widths, 1 - replaced)]
        chosen, other, *blobs = (to_device(each, events.device) for each in drawn)
        mask = gaussian_mask(blobs[0], blobs[1], blobs[2], blobs[3], size) & chosen[:, None, None, None]
        share = kept_share(events, events[other], mask, self.label)[:, None].to(target.dtype)
        target = share * target + (1 - share) * target[other]
        return torch.where(mask[:, :, None], events[other], events), target


def gaussian_mask(heights: Tensor, centres: Tensor, widths: Tensor, kept: Tensor, size: tuple[int, ...]) -> Tensor:
    """True at the highest places of a sum of Gaussians, bool `[B, T, H, W]`.

    With `int(N * kept)` 0 no place is true, as in BrainCog (its index wraps round).

    Args:
        heights: `[B, n]`.
        centres: places in time, row and column `[B, n, 3]`.
        widths: standard deviations in [0, 1), of half a side, 0.1 at least `[B, n, 3]`.
        kept: share of the places that are false `[B]`.
        size: T, H, W.
    """
    deviations = widths.clamp(min=0.1) * torch.tensor(size, device=widths.device) / 2
    along = [torch.arange(length, device=widths.device) for length in size]
    away = [(place - centres[..., a, None]) / deviations[..., a, None] for a, place in enumerate(along)]
    bumps = [torch.exp(-each.square() / 2) for each in away]
    field = torch.einsum("bn,bnt,bnh,bnw->bthw", heights, *bumps).flatten(1)
    place = (field.shape[1] * kept).long() - 1
    level = field.sort(1).values.gather(1, (place % field.shape[1])[:, None])
    return (field > level).view(-1, *size)


def kept_share(own: Tensor, other: Tensor, mask: Tensor, rule: str) -> Tensor:
    """The weight of a recording's own class `[B]`; frames `[B, T, C, H, W]`, mask `[B, T, H, W]`."""
    area = 1 - mask.double().mean((1, 2, 3))
    totals = [frames.double().sum((1, 2, 3, 4)) for frames in (own, other)]
    inside = [(frames * mask[:, :, None]).double().sum((1, 2, 3, 4)) for frames in (own, other)]
    left, taken = 1 - inside[0] / totals[0].clamp(min=1e-9), inside[1] / totals[1].clamp(min=1e-9)
    counted = (rule == "count") & (left + taken > 0)
    return torch.where(counted, left / (left + taken).clamp(min=1e-9), area)
