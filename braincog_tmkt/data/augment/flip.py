"""Random flips."""

import torch
from torch import Tensor

from ...errors import RecipeError
from ..batch import BatchRNG, to_device
from .base import AUGMENTS, Augmentation


@AUGMENTS.register("flip")
class Flip(Augmentation):
    """Swap left and right.

    Args:
        p: the probability, for each sample.
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise RecipeError(f"augmentation 'flip': p must be from 0 to 1, not {p}")
        self.p = p

    def __call__(self, events: Tensor, target: Tensor, rng: BatchRNG) -> tuple[Tensor, Tensor]:
        """All steps of a sample, or none."""
        flipped = to_device(rng.uniform(stream="flip") < self.p, events.device)
        return torch.where(flipped.view(-1, 1, 1, 1, 1), events.flip(-1), events), target
