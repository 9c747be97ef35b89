"""Layers that are computed again in the backward pass instead of keeping what it needs: the same numbers."""

from __future__ import annotations

from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .spikes import levels_of, mark

_AGAIN: ContextVar[bool] = ContextVar("again", default=False)
LAYOUT = ("steps", "streams", "training")
"""What a batch norm goes by; it may be another one by the time of the backward pass."""


def recomputing() -> bool:
    """Whether a layer runs for the second time: running statistics and nodes have seen these frames already."""
    return _AGAIN.get()


class _Again:
    """The second run of a layer, under the circumstances of the first; may be entered once a backward pass."""

    def __init__(self, layer: nn.Module) -> None:
        norms = [module for module in layer.modules() if hasattr(module, "streams")]
        self.then = [(norm, {name: getattr(norm, name) for name in LAYOUT}) for norm in norms]

    def __enter__(self) -> None:
        self.token = _AGAIN.set(True)
        self.now = [(norm, {name: getattr(norm, name) for name in LAYOUT}) for norm, _ in self.then]
        _restore(self.then)

    def __exit__(self, *error: object) -> None:
        _restore(self.now)
        _AGAIN.reset(self.token)


def _restore(circumstances: list[tuple[nn.Module, dict[str, Any]]]) -> None:
    for norm, values in circumstances:
        vars(norm).update(values)


def recomputed(layer: nn.Module, x: Tensor) -> Tensor:
    """Run a layer and keep its input only.

    Example:
        >>> layer, x = nn.Sequential(nn.Linear(3, 3), nn.Tanh()), torch.ones(2, 3)
        >>> torch.equal(recomputed(layer, x), layer(x))
        True
    """
    if not torch.is_grad_enabled():
        return layer(x)
    again, levels = _Again(layer), levels_of(x)

    def run(x: Tensor) -> Tensor:  # what is kept of the input is another tensor, without the note on it
        return layer(x if levels is None else mark(x, levels))

    result: Any = checkpoint(run, x, use_reentrant=False, context_fn=lambda: (nullcontext(), again))
    return result
