"""The recurrence of leaky integrate-and-fire over all steps at once, in place and in blocks that fit a CPU cache."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

BLOCK = 1 << 15
"""Neurons of one block: its few working rows of fp32 stay in a core's second-level cache."""


class LeakyIntegrateAndFire(torch.autograd.Function):
    """BrainCog's `LIFNode` over T steps: the same operations in the same order, without a graph node for each.

    Forward, per step: `v = m + (x - m) / tau`; spike = surrogate(v - threshold); `m = v * (1 - spike)`. The reset is
    detached, as BrainCog's; the derivative of a spike is the surrogate's own. Only v and the spikes are kept.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, tau: float, threshold: float, start: float, surrogate: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Input currents `[T, ...]` -> spikes and membranes after reset, both `[T, ...]`."""
        inputs = x.contiguous().flatten(1)
        potential, spike, membrane = (torch.empty_like(inputs) for _ in range(3))
        for block in _blocks(inputs):
            before = torch.full_like(inputs[0, block], start)
            for t in range(len(inputs)):
                v, s, after = potential[t, block], spike[t, block], membrane[t, block]
                torch.sub(inputs[t, block], before, out=v).div_(tau).add_(before)
                s.copy_(surrogate(v - threshold))
                before = torch.addcmul(v, v, s, value=-1, out=after)
        ctx.save_for_backward(potential, spike)
        ctx.set_materialize_grads(False)
        ctx.tau, ctx.threshold, ctx.surrogate, ctx.shape = tau, threshold, surrogate, x.shape
        return spike.view_as(x), membrane.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Back through time: `g_v = g_spike * surrogate'(v - threshold) + g_m * (1 - spike)`, `g_x = g_v / tau`."""
        potential, spike = ctx.saved_tensors
        grad_spike, grad_membrane = (None if g is None else g.contiguous().flatten(1) for g in grads)
        grad_input = torch.empty_like(potential)
        for block in _blocks(potential):
            slope = _slope(ctx.surrogate, potential[:, block] - ctx.threshold, grad_spike, block)
            carried = torch.zeros_like(potential[0, block])
            for t in reversed(range(len(potential))):
                if grad_membrane is not None:
                    carried += grad_membrane[t, block]
                carried.addcmul_(carried, spike[t, block], value=-1)
                if slope is not None:
                    carried += slope[t]
                carried -= torch.div(carried, ctx.tau, out=grad_input[t, block])
        return grad_input.view(ctx.shape), None, None, None, None


def _blocks(rows: Tensor) -> list[slice]:
    """Slices of the second axis; on an accelerator one slice, since its cost is the number of launches."""
    size = BLOCK if rows.device.type == "cpu" else rows.shape[1]
    return [slice(start, start + size) for start in range(0, rows.shape[1], size)]


def _slope(
    surrogate: Callable[[Tensor], Tensor], above: Tensor, grad_spike: Tensor | None, block: slice
) -> Tensor | None:
    """What the surrogate's own backward makes of the spikes' gradient, `[T, block]`."""
    if grad_spike is None:
        return None
    with torch.enable_grad():
        above = above.detach().requires_grad_()
        (slope,) = torch.autograd.grad(surrogate(above), above, grad_spike[:, block])
    return slope
