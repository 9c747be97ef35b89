"""The node of hybrid training (Rathi et al. 2020), which fires one step after its potential passed the threshold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...bridge import BaseNode
from ...errors import RecipeError
from ..parts import surrogate_factory
from . import NODES

NEVER = 999.0
"""Steps since the last spike at the first step of a sequence, as in the published code (its -1 minus -1000)."""


@NODES.register("STDBNode", label="IF, a step later", paper="Rathi et al., ICLR 2020", year=2020, arxiv="2005.01807")
class STDBNode(BaseNode):
    """Leaky IF node whose spike is decided by the potential that the step before left.

    At every step, with the threshold V, the current x and the surrogate's step H,

    `z = u / V - 1`, `s = H(z)`, `u <- leak u + x - V s`, from `u = 0`.

    No gradient passes the reset. A network of N layers of these answers with zeros for its first N steps.

    Args:
        threshold: V, in the unit of the currents.
        leak: the share of the potential that a step leaves; 1 is an IF node.
        act_fun: surrogate on z: a class, its name, or a module, with its own default keywords. One with an attribute
            `timed` is called with z and with the steps since each neuron's last spike, see `surrogates.stdb`.
        kwargs: as BrainCog's nodes take them.

    Raises:
        RecipeError: for a leak outside (0, 1], a tau, or `mem_detach`.

    Example:
        >>> node = STDBNode(threshold=1.0)
        >>> [node(Tensor([0.75])).item() for _ in range(4)]
        [0.0, 0.0, 1.0, 1.0]
    """

    def __init__(
        self,
        threshold: float = 1.0,
        leak: float = 1.0,
        act_fun: str | type[nn.Module] | nn.Module = "LinearSpike",
        **kwargs: Any,
    ) -> None:
        super().__init__(threshold, **kwargs)
        self.mem: Any = self.mem
        if kwargs.get("tau", 2.0) != 2.0:  # every recipe states 2, the default of BrainCog's nodes
            raise RecipeError("node 'STDBNode' takes leak, not tau: leak = 1 - 1 / tau")
        if kwargs.get("mem_detach"):
            raise RecipeError(
                "node 'STDBNode' fires by the potential of the step before, so with mem_detach no gradient would reach"
                " the layers below: leave it out"
            )
        if not 0 < leak <= 1:
            raise RecipeError(f"node 'STDBNode': leak must be above 0 and at most 1, not {leak}")
        if not isinstance(act_fun, nn.Module):
            act_fun = surrogate_factory(act_fun, {})(requires_grad=False)
        self.leak, self.act_fun = leak, act_fun
        self.since: Any = NEVER
        self._current: Any = None

    def n_reset(self) -> None:
        """BrainCog's: begin a new sequence."""
        super().n_reset()
        self.since = NEVER

    def integral(self, inputs: Tensor) -> None:
        """Take the currents, which count after the spike."""
        if not torch.is_tensor(self.mem):
            self.mem = torch.full_like(inputs, self.mem)
        self._current = inputs

    def calc_spike(self) -> None:
        """Fire, then leak, add the current, and reset."""
        z = self.mem / self.threshold - 1
        if getattr(self.act_fun, "timed", False):
            since = torch.as_tensor(self.since, dtype=torch.float32, device=z.device).expand_as(z)
            self.spike = self.act_fun(z, since)
            self.since = torch.where(self.spike.detach() > 0, 1.0, since + 1)
        else:
            self.spike = self.act_fun(z)
        self.mem = self.leak * self.mem + self._current - self.threshold * self.spike.detach()
        self._current = None
