"""Temporal efficient training (Deng et al. 2022): the classification loss at every time step."""

import torch
from torch import Tensor
from torch.nn import functional

from .base import LOSSES, StepLoss


@LOSSES.register("tet", label="TET", paper="Deng et al., ICLR 2022", year=2022, arxiv="2202.11946")
class TET(StepLoss):
    """Mean over the steps of `(1 - weight) * CE(o_t, y) + weight * mean((o_t - phi)^2)`.

    TET's own code has `phi` 1, the threshold of its neurons, and `weight` 1e-3 (VGG) or 0.05 (ResNet-19); Knowledge-
    Transfer's has 0.5 and 1e-3; BrainCog's `TetLoss` has no squared term.

    Args:
        weight: lambda, the weight of the squared term; 0 leaves it out.
        phi: the value that all logits are drawn to.
    """

    def __init__(self, weight: float = 0.0, phi: float = 0.5) -> None:
        super().__init__()
        self.weight, self.phi = weight, phi

    def steps(self, logits: Tensor, target: Tensor, progress: float) -> Tensor:
        """The value of each step `[T]`."""
        return per_step_tet(logits, target, self.weight, self.phi)


def tet(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over the steps of the cross-entropy (TMKT Eq. 6), a scalar; BrainCog's `TetLoss` gives the same.

    Args:
        logits: `[T, B, K]`.
        target: `[B]`, or `[B, K]`.
    """
    return per_step_tet(logits, target).mean()


def per_step_tet(logits: Tensor, target: Tensor, weight: float = 0.0, phi: float = 0.5) -> Tensor:
    """The loss of each step, before the mean `[T]`; see `TET`.

    Args:
        logits: `[T, B, K]`.
        target: class labels `[B]` (int64), or class probabilities `[B, K]`.
        weight: lambda.
        phi: value the logits are drawn to.
    """
    steps, batch, _ = logits.shape
    targets = target.expand(steps, *target.shape).flatten(0, 1)
    entropy = functional.cross_entropy(logits.flatten(0, 1), targets, reduction="none").view(steps, batch).mean(1)
    if weight == 0.0:
        return entropy
    squared = torch.square(logits - phi).mean((1, 2))
    return (1 - weight) * entropy + weight * squared
