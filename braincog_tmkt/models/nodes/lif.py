"""LIF nodes in the forms of other code than BrainCog's: TET's, NDA's, SLTT's, PLIF's, SpikingJelly's, by keywords."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...bridge import BaseNode
from ...errors import RecipeError
from ..parts import surrogate_class
from . import NODES


@NODES.register("UnitLIFNode", label="LIF, unit gain")
class UnitLIFNode(BaseNode):
    """LIF node whose current counts in full: `v = d m + x`, a spike where `v > V_th`, `m = v (1 - s)`.

    | code | threshold | decay | inclusive | soft_reset | detach_reset | decay_input | surrogate |
    |---|---|---|---|---|---|---|---|
    | TET | 1 | 0.5 | False | False | False | False | `QGateGrad`, alpha 1 |
    | NDA | 0.5 | 0.25 | True | False | False | False | `BackEIGateGrad` |
    | SLTT | 1 | 1/11 | True | True | False | False | `QGateGrad`, alpha 1; `mem_detach` |
    | SpikingJelly's `LIFNode(tau=2., detach_reset=True)` | 1 | 0.5 | True | False | True | True | `AtanGrad`, alpha 2 |
    | PLIF | 1 | 0.5 | True | False | True | True | `AtanGrad`, alpha 2; `learn_decay` |

    BrainCog's `LIFNode(tau, threshold)` is this node with decay `1 - 1 / tau`, threshold `threshold * tau`,
    `detach_reset=True` and a surrogate `tau` times as wide.

    Args:
        threshold: V_th, in the unit of the currents.
        decay: d, the share of the membrane that a step leaves; 1 makes it an IF node.
        act_fun: surrogate on `v - V_th`: a class, its name, or a module; alpha is 1 unless a module has another one.
        inclusive: whether a potential at the threshold fires, too.
        soft_reset: whether a spike subtracts V_th, `m = v - V_th s`, instead of setting the membrane to 0.
        detach_reset: whether no gradient passes from the membrane after the reset to the spike.
        decay_input: whether the current counts `1 - d`.
        learn_decay: whether d is learnt, as PLIF's (Fang et al., ICCV 2021): `v = m + (x - m) sigmoid(w)`, where
            `sigmoid(w) = 1 - d` is 1 / tau. BrainCog's `PLIFNode` fires strictly above V_th, and learns the slope of
            its surrogate, too.
        **kwargs: as BrainCog's nodes take them.

    Raises:
        RecipeError: for a decay outside [0, 1], a tau, a decay of 1 with `decay_input`, or a learnt decay that is not
            between 0 and 1 or without `decay_input`.

    Example:
        >>> node = UnitLIFNode(threshold=1.0, decay=0.5)
        >>> [node(Tensor([0.75])).item() for _ in range(3)]
        [0.0, 1.0, 0.0]
    """

    def __init__(
        self,
        threshold: float = 1.0,
        decay: float = 0.5,
        act_fun: str | type[nn.Module] | nn.Module = "QGateGrad",
        inclusive: bool = False,
        soft_reset: bool = False,
        detach_reset: bool = False,
        decay_input: bool = False,
        learn_decay: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(threshold, **kwargs)
        self.mem: Any = self.mem
        if kwargs.get("tau", 2.0) != 2.0:  # every recipe states 2, the default of BrainCog's nodes
            raise RecipeError("node 'UnitLIFNode' takes decay, not tau: decay = 1 - 1 / tau")
        if not 0 <= decay <= 1:
            raise RecipeError(f"node 'UnitLIFNode': decay must be from 0 to 1, not {decay}")
        if decay_input and decay == 1:
            raise RecipeError("node 'UnitLIFNode': with decay 1 and decay_input the current would count nothing")
        self.decay, self.inclusive, self.soft_reset = decay, inclusive, soft_reset
        self.detach_reset, self.decay_input, self.learn_decay = detach_reset, decay_input, learn_decay
        if learn_decay:
            if not (decay_input and decay):
                raise RecipeError(
                    "node 'UnitLIFNode': learn_decay needs decay_input: true, so that the current counts 1 - decay, and"
                    f" a decay above 0 to begin with, not decay_input {decay_input} and decay {decay}"
                )
            self.w = nn.Parameter(torch.tensor(math.log((1 - decay) / decay)))
        if not isinstance(act_fun, nn.Module):
            act_fun = surrogate_class(act_fun)(alpha=1.0, requires_grad=False)
        self.act_fun: nn.Module = act_fun

    def integral(self, inputs: Tensor) -> None:
        """Let the membrane leak, and add the current."""
        if self.learn_decay:
            self.mem = self.mem + (inputs - self.mem) * self.w.sigmoid()
            return
        if self.decay_input:
            inputs = inputs * (1 - self.decay)
        self.mem = self.mem * self.decay + inputs

    def calc_spike(self) -> None:
        """Fire, and reset."""
        above = self.mem - self.threshold
        spike = self.act_fun(above)
        if self.inclusive:  # the surrogates fire strictly above; the gradient stays theirs
            spike = spike + ((above >= 0).to(spike) - spike).detach()
        self.spike = spike
        fired = spike.detach() if self.detach_reset else spike
        self.mem = self.mem - self.threshold * fired if self.soft_reset else self.mem * (1 - fired)

    def recurrence(self) -> dict[str, Any]:
        """For the kernels, see `kernels.Neuron`."""
        threshold = self.threshold.detach().float().clone()
        how = {"inclusive": self.inclusive, "soft": self.soft_reset, "attached": not self.detach_reset}
        if self.learn_decay:
            return {"gain": self.w.sigmoid().float(), "threshold": threshold, **how}
        keep, gain = (
            threshold.new_tensor(number) for number in (self.decay, 1 - self.decay if self.decay_input else 1)
        )
        return {"keep": keep, "gain": gain, "threshold": threshold, **how}
