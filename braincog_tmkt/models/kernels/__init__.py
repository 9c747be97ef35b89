"""A node and the batch norm in front of it, over all steps: compiled for the CPU and CUDA.

BrainCog's own node makes some ten passes over its neurons at every step, and as many again in the backward pass, each
with a tensor of its own. Here a block of neurons walks through all its steps while it is in the cache (in registers on
a GPU), and the backward pass walks again instead of keeping membranes. The operations and their order are BrainCog's.

Both backends are modules with the functions of `Kernels`.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor

SLOPES = {"QGateGrad": 0, "BackEIGateGrad": 1, "GateGrad": 2, "AtanGrad": 3}
"""BrainCog's surrogates whose derivative the kernels know; all of them spike strictly above the threshold."""


class Neuron(NamedTuple):
    """A plain recurrence: with `m` the membrane after the last reset and `x` the current,

    `v = m + (x - leak * m) / decay` (or `* decay`), spike where `v > threshold`, then `m = v * (1 - spike)`, through
    which no gradient passes to the spike. A soft reset is `m = v - spike`, and gradients pass it.

    Args:
        decay: tau of LIF, dt of IF, the weight of the leak of PLIF; float32 without axes, on the currents' device.
        threshold: likewise.
        surrogate: one of `SLOPES`.
        alpha: of the surrogate; as `decay`.
        v_init: membrane before the first step.
        leak: whether the membrane leaks (LIF, PLIF) or not (IF).
        divide: whether to divide by `decay` (LIF) or to multiply by it (IF, PLIF).
        amplitude: output of a spike of a node with a soft reset, as `decay`; None: the reset is to 0, and a spike is 1.
    """

    decay: Tensor
    threshold: Tensor
    surrogate: int
    alpha: Tensor
    v_init: float
    leak: bool = False
    divide: bool = False
    amplitude: Tensor | None = None


class Kernels(Protocol):
    """What a backend computes on contiguous `[T, S, R, C]`: T steps, S streams, R rows (samples * pixels), C channels.

    Tensors of that shape are float32 or bfloat16, those with one number a channel float32 `[T, S, C]`; all arithmetic
    is in float32.
    """

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance over the rows, float64 `[T, S, C]` each."""

    def forward(
        self, x: Tensor, scale: Tensor | None, shift: Tensor | None, neuron: Neuron, keep: bool
    ) -> tuple[Tensor, Tensor]:
        """Spikes, like `x`, and membranes after reset, float32 `[T, S, R, C]`; empty if not to `keep`.

        Args:
            x: currents.
            scale: factor on the currents, one number a channel; None without a norm.
            shift: added to them, likewise.
            neuron: the recurrence.
            keep: whether the membranes are wanted.
        """

    def backward(
        self,
        x: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        mean: Tensor | None,
        rstd: Tensor | None,
        neuron: Neuron,
        grad_spike: Tensor | None,
        grad_membrane: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradient of `x * scale + shift`, like `x`, its sums over the rows, and the gradients of the numbers.

        Args:
            x: currents; `scale`, `shift` and `neuron` as in `forward`, too.
            scale: see `forward`.
            shift: see `forward`.
            mean: of the currents, one number a channel; None without a norm.
            rstd: 1 / standard deviation, likewise.
            neuron: the recurrence.
            grad_spike: like `x`, or None.
            grad_membrane: float32 `[T, S, R, C]`, or None.

        Returns:
            The gradient; float64 `[2, T, S, C]`, sums of it and of its product with `(x - mean) * rstd` (empty without
            a norm); float64 `[2]`, the gradients of `decay` (if it can be learnt) and of `alpha`.
        """

    def normalise_backward(
        self,
        grad: Tensor,
        x: Tensor,
        scale: Tensor,
        mean: Tensor,
        rstd: Tensor,
        mean_grad: Tensor,
        mean_product: Tensor,
    ) -> Tensor:
        """The gradient of the currents, in place of that of the normalised ones.

        `scale * (grad - mean_grad - (x - mean) * rstd * mean_product)`; all but `grad` and `x` one number a channel.
        """


@cache
def backend(device: str) -> Kernels | None:
    """The kernels for a kind of device; None where there are none."""
    if device == "cpu":
        return cast(Kernels, importlib.import_module(f"{__name__}.cpu"))
    if device == "cuda" and torch.version.cuda and find_spec("triton"):
        return cast(Kernels, importlib.import_module(f"{__name__}.cuda"))
    return None
