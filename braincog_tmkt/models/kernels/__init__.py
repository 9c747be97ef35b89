"""A node and the batch norm in front of it, over all steps, in one pass over memory: compiled for the CPU and CUDA.

BrainCog's own node makes some ten passes over its neurons at every step, and as many again in the backward pass, each
with a tensor of its own. Here a block of neurons walks through all its steps while it is in the cache (in registers on
a GPU), and the backward pass walks again instead of keeping membranes. The operations and their order are BrainCog's.

Both backends offer `moments`, `forward`, `backward` and `normalise_backward` on contiguous `[T, S, R, C]`: T steps, S
streams, R rows (samples times pixels), C channels; float32 or bfloat16, all arithmetic in float32.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

SURROGATES = {"QGateGrad": 0, "BackEIGateGrad": 1, "GateGrad": 2, "AtanGrad": 3}
"""BrainCog's surrogates whose derivative the kernels know; all of them spike strictly above the threshold."""


class Neuron(NamedTuple):
    """A plain recurrence: with `m` the membrane after the last reset and `x` the current,

    `v = m + (x - leak * m) / number` (or `* number`), spike where `v > threshold`, then `m = v * (1 - spike)`.

    Args:
        leak: whether the membrane leaks (LIF, PLIF) or not (IF).
        divide: whether to divide by `number` (LIF) or to multiply with it (IF, PLIF).
        number: tau of LIF, dt of IF, the leak's weight of PLIF; float32 without axes, on the device of the currents.
        threshold: likewise.
        surrogate: one of `SURROGATES`.
        alpha: of the surrogate; as `number`.
        start: membrane before the first step.
    """

    leak: bool
    divide: bool
    number: Tensor
    threshold: Tensor
    surrogate: int
    alpha: Tensor
    start: float


@cache
def backend(device: str) -> ModuleType | None:
    """The kernels for a kind of device; None where there are none."""
    if device == "cpu":
        return importlib.import_module(f"{__name__}.cpu")
    if device == "cuda" and torch.version.cuda and find_spec("triton"):
        return importlib.import_module(f"{__name__}.cuda")
    return None
