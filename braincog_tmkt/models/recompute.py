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


def recomputing() -> bool:
    """Whether a layer runs for the second time: running statistics and nodes have seen these frames already."""
    return _AGAIN.get()


class _Again:
    """The second run of a layer, with the settings of the first; may be entered once a backward pass.

    These are the attributes that norms and nodes name as their `circumstances`, such as the number of steps.
    """

    def __init__(self, layer: nn.Module) -> None:
        self.then = [(part, _settings(part)) for part in layer.modules() if hasattr(part, "circumstances")]

    def __enter__(self) -> None:
        self.token = _AGAIN.set(True)
        self.now = [(part, _settings(part)) for part, _ in self.then]
        _restore(self.then)

    def __exit__(self, *error: object) -> None:
        _restore(self.now)
        _AGAIN.reset(self.token)


def _settings(part: Any) -> dict[str, Any]:
    return {name: getattr(part, name) for name in part.circumstances}


def _restore(settings: list[tuple[nn.Module, dict[str, Any]]]) -> None:
    for part, values in settings:
        vars(part).update(values)


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
