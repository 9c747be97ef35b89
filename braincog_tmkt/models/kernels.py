"""The recurrence of leaky integrate-and-fire over all steps in one compiled kernel, for the CPU and fp32.

BrainCog's own node makes some ten passes over its neurons at every step, and as many again in the backward pass, each
with a tensor of its own. Compiled, a block of neurons stays in the cache for all its steps. The operations and their
order are BrainCog's, so are the numbers.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..compiled import compiled

SURROGATES = {"QGateGrad": 0, "BackEIGateGrad": 1, "GateGrad": 2, "AtanGrad": 3}
"""BrainCog's surrogates whose derivative is written out below; all of them spike strictly above the threshold."""

BLOCK = 4096
"""Neurons that walk through the steps together: their rows fit a first-level cache."""

WORTH_THREADS = 1 << 16
"""Neurons from which a second thread pays."""


@compiled
def _forward(x, start, tau, threshold, potential, spike, membrane, low, high):  # type: ignore[no-untyped-def]
    """`v = m + (x - m) / tau`; spike where `v - threshold > 0`; `m = v * (1 - spike)`; for neurons low..high."""
    for first in range(low, high, BLOCK):
        last = min(first + BLOCK, high)
        before = np.full(last - first, start, np.float32)
        for t in range(x.shape[0]):
            for i in range(first, last):
                v = before[i - first] + (x[t, i] - before[i - first]) / tau
                fired = v - threshold > np.float32(0)
                potential[t, i] = v
                spike[t, i] = np.float32(1) if fired else np.float32(0)
                before[i - first] = np.float32(0) if fired else v
                if membrane.shape[0] > 0:
                    membrane[t, i] = before[i - first]


@compiled
def _backward(potential, tau, threshold, kind, alpha, grad_spike, grad_membrane, grad_x, low, high):  # type: ignore[no-untyped-def]
    """`g_v = g_spike * surrogate'(v - threshold) + g_m * (1 - spike)`; `g_x = g_v / tau`; `g_m' = g_v - g_x`."""
    zero, one = np.float32(0), np.float32(1)
    half_turn, steep = np.float32(math.pi / 2) * alpha, alpha * alpha
    for first in range(low, high, BLOCK):
        size = min(BLOCK, high - first)
        carried, above = np.zeros(size, np.float32), np.empty(size, np.float32)
        for t in range(potential.shape[0] - 1, -1, -1):  # short loops without branches: each of them is vectorised
            for i in range(size):
                above[i] = potential[t, first + i] - threshold
            if grad_membrane.shape[0] > 0:
                for i in range(size):
                    carried[i] += grad_membrane[t, first + i]
            for i in range(size):
                carried[i] = zero if above[i] > zero else carried[i]
            if grad_spike.shape[0] > 0:
                if kind == 0:
                    for i in range(size):
                        slope = alpha - steep * abs(above[i])
                        carried[i] += grad_spike[t, first + i] * (slope if slope > zero else zero)
                elif kind == 3:
                    for i in range(size):
                        turn = half_turn * above[i]
                        carried[i] += grad_spike[t, first + i] * (alpha / np.float32(2) / (one + turn * turn))
                else:
                    width = np.float32(0.5) if kind == 1 else one / alpha
                    for i in range(size):
                        carried[i] += grad_spike[t, first + i] if abs(above[i]) < width else zero
            for i in range(size):
                share = carried[i] / tau
                grad_x[t, first + i] = share
                carried[i] -= share


class LeakyIntegrateAndFire(torch.autograd.Function):
    """BrainCog's `LIFNode` over T steps, for contiguous fp32 on the CPU; the reset is detached, as BrainCog's."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, start: float, tau: float, threshold: float, kind: int, alpha: float, membranes: bool
    ) -> tuple[Tensor, Tensor]:
        """Currents `[T, ...]` -> spikes `[T, ...]`, and membranes after reset `[T, ...]` or `[0]` if not wanted."""
        currents = x.contiguous()
        potential, spike = torch.empty_like(currents), torch.empty_like(currents)
        membrane = torch.empty_like(currents) if membranes else currents.new_empty(0)
        numbers = np.float32(start), np.float32(tau), np.float32(threshold)
        _run(_forward, _rows(currents), *numbers, *map(_rows, (potential, spike, membrane)))
        ctx.save_for_backward(potential)
        ctx.set_materialize_grads(False)
        ctx.numbers = np.float32(tau), np.float32(threshold), kind, np.float32(alpha)
        return spike, membrane

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradient of the currents, from those of spikes and membranes."""
        (potential,) = ctx.saved_tensors
        grad_spike, grad_membrane = (potential.new_empty(0) if g is None else g.contiguous() for g in grads)
        grad_x = torch.empty_like(potential)
        _run(_backward, _rows(potential), *ctx.numbers, *map(_rows, (grad_spike, grad_membrane, grad_x)))
        return grad_x, None, None, None, None, None, None


def _rows(x: Tensor) -> np.ndarray:
    """The memory of `[T, ...]` as `[T, N]`; nothing as `[0, 0]`."""
    return x.detach().numpy().reshape(len(x), -1) if x.numel() else np.empty((0, 0), np.float32)


def _run(kernel: Callable[..., None], first: np.ndarray, *arguments: Any) -> None:
    """Run a kernel on all neurons, in as many threads as torch would use."""
    neurons, threads = first.shape[1], torch.get_num_threads()
    if threads == 1 or neurons < WORTH_THREADS:
        return kernel(first, *arguments, 0, neurons)
    bounds = np.linspace(0, neurons, threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda low, high: kernel(first, *arguments, low, high), bounds[:-1], bounds[1:]))
    return None
