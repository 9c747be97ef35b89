"""The integrate-and-fire node of an ANN converted with QCFS, and of HSD's student: it counts what it was given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...bridge import BaseNode
from ..parts import surrogate_class
from . import NODES

V_INIT = 0.5
"""Potential before the first step, in thresholds: with it the spikes of T steps are the current, rounded to 1 / T."""


@NODES.register("SoftResetIFNode", label="IF, soft reset")
class SoftResetIFNode(BaseNode):
    """IF node that starts at half its threshold, fires spikes as high as the threshold, and subtracts what it fired.

    With the threshold theta, the current x and the surrogate's step H, at every step

    `u <- u + x / theta`, `s = H(u - 1)`, `u <- u - s`, output `s * theta`, from `u = 1/2`.

    For a constant current z the mean output of T steps is `theta * clip(floor(z T / theta + 1/2) / T, 0, 1)`, the
    activation of QCFS with T levels. Only where `z T / theta + 1/2` is a whole number it is one level lower, unless the
    node is `inclusive`: BrainCog's surrogates fire strictly above the threshold, QCFS's code at it, too.

    `mem` is u: a potential in units of the threshold, 0.5 in a fresh node and after `n_reset()`.

    Args:
        threshold: theta, in the unit of the currents.
        act_fun: surrogate on `u - 1`: a class, its name, or a module; alpha is 1 unless a module has another one.
            BrainCog's `QGateGrad` has with it the triangle of half-width 1 that HSD uses. QCFS's second repository has
            that triangle on the potential less the threshold in the unit of the currents: alpha is the threshold then.
        inclusive: whether a potential at the threshold fires, too.
        **kwargs: as BrainCog's nodes take them; `v_reset` is where `mem` starts (0.5), and `dt` has no meaning here.

    Example:
        >>> node = SoftResetIFNode(threshold=2.0)
        >>> [node(Tensor([1.2])).item() for _ in range(3)]
        [2.0, 0.0, 2.0]
    """

    fires_threshold = True
    """Its output is as large as its threshold, so currents need not be scaled to the threshold."""

    def __init__(
        self,
        threshold: float = 1.0,
        act_fun: str | type[nn.Module] | nn.Module = "QGateGrad",
        inclusive: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(threshold, **{"v_reset": V_INIT, **kwargs})
        self.mem = self.v_reset
        self.inclusive = inclusive
        if not isinstance(act_fun, nn.Module):
            act_fun = surrogate_class(act_fun)(alpha=1.0, requires_grad=False)
        self.act_fun: nn.Module = act_fun

    def integral(self, inputs: Tensor) -> None:
        """Add currents, in thresholds, to the potential."""
        self.mem = self.mem + inputs * (1 / self.get_thres())

    def calc_spike(self) -> None:
        """Fire, and subtract what was fired; gradients pass the reset (deviation D-28: as HSD's code computes it)."""
        above = self.mem - 1
        fired = self.act_fun(above).to(above.dtype)  # BrainCog's surrogates give float32
        if self.inclusive:  # the surrogates fire strictly above; the gradient stays theirs
            fired = fired + ((above >= 0).to(fired) - fired).detach()
        self.mem = self.mem - fired
        self.spike = fired * self.get_thres()

    def recurrence(self) -> dict[str, Any]:
        """For the kernels, see `kernels.Neuron`; its potential is in thresholds."""
        theta = self.get_thres().detach().float().clone()
        one = torch.ones_like(theta)
        numbers = {"keep": one, "gain": 1 / theta, "threshold": one, "amplitude": theta}
        return {**numbers, "inclusive": self.inclusive, "soft": True, "attached": True}
