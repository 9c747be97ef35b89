"""Temporal efficient training (Deng et al. 2022): the classification loss at every time step."""

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import RecipeError
from .base import LOSSES, StepLoss

ONE_HOT = "one_hot"


@LOSSES.register("tet", label="TET", paper="Deng et al., ICLR 2022", year=2022, arxiv="2202.11946")
class TET(StepLoss):
    """Mean over the steps of `(1 - weight) * CE(o_t, y) + weight * mean((o_t - phi)^2)`.

    TET's own code has `phi` 1, the threshold of its neurons, and `weight` 1e-3 (VGG) or 0.05 (ResNet-19); Knowledge-
    Transfer's has 0.5 and 1e-3; SLTT's 0.05 and 1, or `one_hot` for event frames; BrainCog's `TetLoss` has no squared
    term.

    Args:
        weight: lambda, the weight of the squared term; 0 leaves it out.
        phi: the value that all logits are drawn to; `one_hot` draws them to 1 for the right class and to 0 for others.

    Raises:
        RecipeError: for another text than `one_hot`.
    """

    def __init__(self, weight: float = 0.0, phi: float | str = 0.5) -> None:
        super().__init__()
        if isinstance(phi, str) and phi != ONE_HOT:
            raise RecipeError(f"loss 'tet': phi must be a number or '{ONE_HOT}', not '{phi}'")
        self.weight, self.phi = float(weight), phi  # PyTorch takes no whole number beyond 64 bits

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


def per_step_tet(logits: Tensor, target: Tensor, weight: float = 0.0, phi: float | str = 0.5) -> Tensor:
    """The loss of each step, before the mean `[T]`; see `TET`.

    Args:
        logits: `[T, B, K]`.
        target: class labels `[B]` (int64), or class probabilities `[B, K]`.
        weight: lambda.
        phi: value the logits are drawn to, or `one_hot` for the target.
    """
    steps, batch, _ = logits.shape
    targets = target.expand(steps, *target.shape).flatten(0, 1)
    entropy = functional.cross_entropy(logits.flatten(0, 1), targets, reduction="none").view(steps, batch).mean(1)
    if weight == 0.0:
        return entropy
    squared = torch.square(logits - _wanted(phi, logits, target)).mean((1, 2))
    return (1 - weight) * entropy + weight * squared


def _wanted(phi: float | str, logits: Tensor, target: Tensor) -> float | Tensor:
    """What the logits are drawn to."""
    if isinstance(phi, str):
        return target if target.is_floating_point() else functional.one_hot(target, logits.shape[2])
    return phi
