"""BrainCog's nodes, made fit for multi-step execution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ..bridge import BaseNode
from . import qcfs, soft_reset  # noqa: F401  registers our nodes
from .fused_bn_neuron import can_fire, fire
from .norm import StepBatchNorm2d
from .recompute import recomputing

STATE = ("mem", "spike", "feature_map", "mem_collect")


def multi_step_node(node: type[BaseNode]) -> type[BaseNode]:
    """Return a subclass of a BrainCog node whose forward sees all steps, and may do the batch norm in front of it, too.

    IF, LIF and PLIF with a surrogate that the kernels know run there; they want a reset before each sequence. Others
    walk as BrainCog's `layer_by_layer` does, but without its T^2 cost: it indexes the steps one by one, and the
    gradient of every single index fills a tensor of all T steps (48 % of an SCNN training step at T = 10). Unbinding
    the steps once gives the same numbers.

    Example:
        >>> from braincog_tmkt.bridge import node_class
        >>> multi_step_node(node_class("LIFNode")).__name__
        'MultiStepLIFNode'
    """

    def rearrange2node(self: BaseNode, inputs: Tensor) -> tuple[Tensor, ...]:
        return inputs.unflatten(0, (self.step, -1)).unbind(0)

    def forward(self: Any, inputs: Tensor, norm: nn.Module | None = None) -> Tensor:
        if norm is not None and (_watched(norm) or not isinstance(norm, StepBatchNorm2d)):
            inputs, norm = norm(inputs), None
        if can_fire(self, node):
            spikes = fire(self, node, inputs, norm)
            if spikes is not None:
                return spikes
        currents = inputs if norm is None else norm(inputs)
        with _as_before(self):
            return node.forward(self, currents.float())  # membranes stay in full precision under autocast

    members = {"rearrange2node": rearrange2node, "forward": forward}
    return type(f"MultiStep{node.__name__}", (node,), {**members, "__doc__": node.__doc__, "__module__": __name__})


def _watched(norm: nn.Module) -> bool:
    """Whether someone hooked on to the norm, and so wants it to run by itself."""
    hooks = norm._forward_hooks, norm._forward_pre_hooks, norm._backward_hooks, norm._backward_pre_hooks
    return any(hooks)


@contextmanager
def _as_before(node: BaseNode) -> Iterator[None]:
    """While layers are computed again: a fresh node, and afterwards the state it had."""
    if not recomputing():
        yield
        return
    state = {name: getattr(node, name) for name in STATE}
    node.n_reset()
    try:
        yield
    finally:  # the second run is left by an exception as soon as it has made what the backward pass needs
        vars(node).update(state)
