"""A node and the batch norm in front of it, over all steps: compiled for the CPU and CUDA.

BrainCog's own node makes some ten passes over its neurons at every step, and as many again in the backward pass, each
with a tensor of its own. Here a block of neurons walks through all its steps while it is in the cache (in registers on
a GPU), and the backward pass walks again instead of keeping membranes. The operations and their order are the node's.

Both backends are modules with the functions of `Kernels`.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor

SLOPES = {"QGateGrad": 0, "BackEIGateGrad": 1, "GateGrad": 2, "AtanGrad": 3, "Dspike": 4}
"""The surrogates whose derivative the kernels know: BrainCog's, and ours."""

TRITON = 3, 6
"""The oldest Triton that fits (PyTorch 2.10 has it): 3.5 rounds tiny numbers to 0, those before cannot compile them."""


class Neuron(NamedTuple):
    """A recurrence: with `m` the membrane after the last reset and `x` the current,

    `v = keep * m + gain * x`, a spike `s` where `v > threshold`, then `m = v * (1 - s)`.

    Each field changes one thing, whatever the others are.

    Args:
        gain: weight of the current; float32 without axes, on the currents' device. It can be learnt (see `learnt`).
        threshold: as `gain`.
        surrogate: one of `SLOPES`, at `v - threshold`.
        alpha: of the surrogate, the temperature of Dspike; as `gain`. It can be learnt if the surrogate is AtanGrad.
        v_init: membrane before the first step.
        keep: weight of the membrane, as `gain`; None: what the current leaves of it, `v = m + (x - m) * gain`.
        divide: without a `keep`: `v = m + (x - m) / gain`; such a gain cannot be learnt.
        inclusive: whether a potential at the threshold fires, too.
        soft: whether a spike subtracts the threshold, `m = v - threshold * s`, instead of setting the membrane to 0.
        attached: whether gradients pass from the membrane after the reset to the spike.
        amplitude: output of a spike, as `gain`; None: 1.
        cut: whether no gradient passes from a potential to the membrane of the step before.
    """

    gain: Tensor
    threshold: Tensor
    surrogate: int
    alpha: Tensor
    v_init: float
    keep: Tensor | None = None
    divide: bool = False
    inclusive: bool = False
    soft: bool = False
    attached: bool = False
    amplitude: Tensor | None = None
    cut: bool = False

    @property
    def learnt(self) -> tuple[bool, bool]:
        """Whether the gradients of `gain` and of `alpha` are wanted, and known."""
        gain = self.gain.requires_grad and self.keep is None and not self.divide
        return gain, self.alpha.requires_grad and self.surrogate == SLOPES["AtanGrad"]


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
            a norm); float64 `[2]`, the gradients of `gain` and of `alpha`, 0 for what is not learnt.
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


def has_triton() -> bool:
    """Whether there is a Triton that compiles the kernels of a GPU to the numbers of the CPU's."""
    if not find_spec("triton"):
        return False
    version = importlib.import_module("triton").__version__
    return tuple(map(int, version.split(".")[:2])) >= TRITON


@cache
def backend(device: str) -> Kernels | None:
    """The kernels for a kind of device; None where there are none."""
    if device == "cpu":
        return cast(Kernels, importlib.import_module(f"{__name__}.cpu"))
    if device == "cuda" and torch.version.cuda and has_triton():
        return cast(Kernels, importlib.import_module(f"{__name__}.cuda"))
    return None
