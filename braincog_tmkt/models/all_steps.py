"""Layers that see all time steps of a sample at once, and dropout that is the same at all of them."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import RecipeError


class AllSteps(nn.Module):
    """Base class of layers `[T*N, ..]` -> `[T*N, ..]` that need all steps at once: `execution: multi_step`.

    The network sets `steps`, T of the input.

    Args:
        built_for: the only T that the layer can run with; None for any.
    """

    circumstances: ClassVar[tuple[str, ...]] = ("steps", "training")

    steps: int = 1

    def __init__(self, built_for: int | None = None) -> None:
        super().__init__()
        self.built_for = built_for

    def by_step(self, x: Tensor) -> Tensor:
        """`[T*N, ..]` -> `[T, N, ..]`.

        Raises:
            RecipeError: for another T than the layer was built for.
        """
        if self.built_for not in (None, self.steps):
            raise RecipeError(
                f"{type(self).__name__} has weights for {self.built_for} time steps, but the network runs for"
                f" {self.steps}: build it with as many steps (data.steps)"
            )
        return x.unflatten(0, (self.steps, -1))


def _share(p: float) -> float:
    """The share of a dropout, if it is one."""
    if not 0 <= p < 1:
        raise RecipeError(f"dropout must be from 0 to below 1, not {p}")
    return p


class SampleDropout(nn.Module):
    """Dropout with one mask for each sample, drawn at its first time step and the same at all others.

    It runs in both executions. The network sets `steps`, T of the input, and `first_step`, the number of the first step
    in it. The masks come from torch's generator, which the engine seeds at every step of the optimiser: a resumed run
    draws the same.

    Args:
        p: share of the numbers that become 0; the others are divided by `1 - p`.

    Raises:
        RecipeError: for a share outside [0, 1).
    """

    circumstances: ClassVar[tuple[str, ...]] = ("steps", "first_step", "training")

    steps: int = 1
    first_step: int = 0

    mask: Tensor | None = None
    """`[N, ..]`, kept for the steps that come later; None after a pass of the network."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = _share(p)

    def forward(self, x: Tensor) -> Tensor:
        """`[T*N, ..]` -> `[T*N, ..]`; in evaluation as it is."""
        if not self.training:
            return x
        parts = x.unflatten(0, (self.steps, -1))
        if self.first_step == 0:  # drawn in one order, whatever the memory layout
            ones = torch.ones_like(parts[0], memory_format=torch.contiguous_format)
            self.mask = functional.dropout(ones, self.p)
        assert self.mask is not None
        return (parts * self.mask).flatten(0, 1)


class FrozenDropout(AllSteps):
    """Dropout with one mask, drawn when the network is built, for all samples and all of training.

    The same features are off in every training step, and are back, untrained, in evaluation. This is a fault of
    published code, kept to repeat its runs; see `tcja`. The mask is a buffer, so checkpoints have it.

    Args:
        p: share of the numbers that become 0; the others are divided by `1 - p`.
        shape: of the mask: `(D,)` for all steps, or `(T, 1, D)` for each step.

    Raises:
        RecipeError: for a share outside [0, 1).
    """

    mask: Tensor

    def __init__(self, p: float, shape: tuple[int, ...]) -> None:
        super().__init__(shape[0] if len(shape) > 1 else None)
        self.register_buffer("mask", functional.dropout(torch.ones(shape), _share(p)))

    def forward(self, x: Tensor) -> Tensor:
        """`[T*N, D]` -> `[T*N, D]`; in evaluation as it is."""
        return (self.by_step(x) * self.mask).flatten(0, 1) if self.training else x


def dropout(p: float) -> list[nn.Module]:
    """A `SampleDropout`, or nothing where nothing is to be off, to be added to a list of layers."""
    return [SampleDropout(p)] if p else []
