"""Temporal efficient training (Deng et al. 2022): the classification loss at every time step."""

import torch
from torch import Tensor
from torch.nn import functional


def tet(logits: Tensor, label: Tensor) -> Tensor:
    """Mean over the steps of the cross-entropy (TMKT Eq. 6); BrainCog's `TetLoss` gives the same.

    Args:
        logits: `[T, B, K]`.
        label: `[B]`.

    Returns:
        A scalar.
    """
    return per_step_tet(logits, label).mean()


def per_step_tet(logits: Tensor, label: Tensor, mse_weight: float = 0.0, mse_target: float = 0.5) -> Tensor:
    """The loss of each step, before the mean: `(1 - l) * CE + l * MSE(logits, target)`.

    The squared term is the baseline's (l = 1e-3, target = firing threshold); BrainCog's `TetLoss` has none.

    Args:
        logits: `[T, B, K]`.
        label: `[B]`.
        mse_weight: l.
        mse_target: value the logits are drawn to.

    Returns:
        One value a step `[T]`.
    """
    steps, batch, _ = logits.shape
    labels = label.expand(steps, batch).flatten()
    entropy = functional.cross_entropy(logits.flatten(0, 1), labels, reduction="none").view(steps, batch).mean(1)
    if mse_weight == 0.0:
        return entropy
    squared = torch.square(logits - mse_target).mean((1, 2))
    return (1 - mse_weight) * entropy + mse_weight * squared
