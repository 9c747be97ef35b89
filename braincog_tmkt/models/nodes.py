"""BrainCog's nodes, made fit for multi-step execution."""

from typing import Any

import torch
from torch import Tensor

from ..integration import BaseNode, node_class
from .kernels import SURROGATES, LeakyIntegrateAndFire

LIFNode = node_class("LIFNode")


def multi_step_node(node: type[BaseNode]) -> type[BaseNode]:
    """Return a subclass of a BrainCog node that walks through the steps without the T^2 cost of BrainCog's own walk.

    BrainCog's `layer_by_layer` forward indexes the steps one by one, and the gradient of every single index fills a
    tensor of all T steps: 48 % of an SCNN training step at T = 10. Unbinding the steps once gives the same numbers.

    Example:
        >>> from braincog_tmkt.integration import node_class
        >>> multi_step_node(node_class("LIFNode")).__name__
        'MultiStepLIFNode'
    """

    def rearrange2node(self: BaseNode, inputs: Tensor) -> tuple[Tensor, ...]:
        return inputs.unflatten(0, (self.step, -1)).unbind(0)

    members: dict[str, Any] = {"rearrange2node": rearrange2node, "__doc__": node.__doc__, "__module__": __name__}
    if node is LIFNode:
        members["forward"] = _lif_forward
    return type(f"MultiStep{node.__name__}", (node,), members)


def _lif_forward(self: Any, inputs: Tensor) -> Tensor:
    """`LIFNode.forward` for currents `[T*N, ...]` in one kernel; BrainCog's own walk where there is none for it."""
    kind = SURROGATES.get(type(self.act_fun).__name__)
    plain = kind is not None and not (self.act_fun.alpha.requires_grad or self.threshold.requires_grad)
    fresh = not (isinstance(self.mem, Tensor) or self.mem_detach or self.groups != 1)
    if not (plain and fresh and inputs.device.type == "cpu" and inputs.dtype == torch.float32):
        return LIFNode.forward(self, inputs)
    currents = inputs.unflatten(0, (self.step, -1))
    numbers = self.mem, self.tau, self.threshold.item(), kind, self.act_fun.alpha.item()
    spikes, membranes = LeakyIntegrateAndFire.apply(currents, *numbers, self.requires_mem)
    if self.requires_fp:
        self.feature_map.extend(spikes.unbind(0))
    if self.requires_mem:
        self.mem_collect.extend(membranes.unbind(0))
        self.mem = membranes[-1]
    self.spike = spikes[-1]
    return spikes.flatten(0, 1)
