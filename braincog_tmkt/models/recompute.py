"""Layers that are computed again in the backward pass instead of keeping what it needs: the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_AGAIN: ContextVar[bool] = ContextVar("again", default=False)


def recomputing() -> bool:
    """Whether a layer runs for the second time: running statistics and traces have seen these frames already."""
    return _AGAIN.get()


@contextmanager
def _again() -> Iterator[None]:
    token = _AGAIN.set(True)
    try:
        yield
    finally:
        _AGAIN.reset(token)


def recomputed(layer: nn.Module, x: Tensor) -> Tensor:
    """Run a layer and keep its input only.

    Example:
        >>> layer, x = nn.Sequential(nn.Linear(3, 3), nn.Tanh()), torch.ones(2, 3)
        >>> torch.equal(recomputed(layer, x), layer(x))
        True
    """
    if not torch.is_grad_enabled():
        return layer(x)
    result: Any = checkpoint(layer, x, use_reentrant=False, context_fn=lambda: (nullcontext(), _again()))
    return result
