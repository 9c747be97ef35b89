"""Regularised domain alignment: step weights that trade alignment for event classification."""

import torch
from torch import Tensor


def rda(similarity: Tensor, step_weights: Tensor, event_loss: Tensor) -> Tensor:
    """TMKT Eq. 12: mean over t of `s_t * (1 - CKA_t) + (1 - s_t) * L_e`, with `s = sigmoid(theta)`.

    Args:
        similarity: CKA of the two streams at each step `[T]`.
        step_weights: theta `[T]`, before the sigmoid.
        event_loss: a scalar, the TET loss of the event stream (the paper), or `[T]`, the loss at each step (the
            baseline's code).

    Returns:
        A scalar.
    """
    share = torch.sigmoid(step_weights)
    return (share * (1 - similarity) + (1 - share) * event_loss).mean()
