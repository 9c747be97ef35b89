"""BrainCog's nodes, made fit for multi-step execution."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..integration import BaseNode
from .fire import can_fire, fire
from .norm import StepBatchNorm2d
from .spikes import SpikeConv2d, SpikePool2d


def multi_step_node(node: type[BaseNode]) -> type[BaseNode]:
    """Return a subclass of a BrainCog node whose forward sees all steps, and may do the batch norm in front of it, too.

    IF, LIF and PLIF with a surrogate that the kernels know run there. Others walk as BrainCog's `layer_by_layer` does,
    but without its T^2 cost: it indexes the steps one by one, and the gradient of every single index fills a tensor of
    all T steps (48 % of an SCNN training step at T = 10). Unbinding the steps once gives the same numbers.

    Example:
        >>> from braincog_tmkt.integration import node_class
        >>> multi_step_node(node_class("LIFNode")).__name__
        'MultiStepLIFNode'
    """

    def rearrange2node(self: BaseNode, inputs: Tensor) -> tuple[Tensor, ...]:
        return inputs.unflatten(0, (self.step, -1)).unbind(0)

    def forward(self: Any, inputs: Tensor, norm: StepBatchNorm2d | None = None) -> Tensor:
        if can_fire(self, node.__name__) and not _watched(norm):
            spikes = fire(self, node.__name__, inputs, norm)
            if spikes is not None:
                return spikes
        currents = inputs if norm is None else norm(inputs)
        return node.forward(self, currents.float())  # membranes stay in full precision under autocast

    members = {"rearrange2node": rearrange2node, "forward": forward}
    return type(f"MultiStep{node.__name__}", (node,), {**members, "__doc__": node.__doc__, "__module__": __name__})


def _watched(norm: nn.Module | None) -> bool:
    """Whether someone hooked on to the norm, and so wants it to run by itself."""
    return norm is not None and bool(norm._forward_hooks or norm._forward_pre_hooks)


def keep_bytes(layer: nn.Module, node: BaseNode, levels: int = 1) -> nn.Module:
    """Have a fresh convolution or pooling behind a node keep bytes, or nothing, if the node's output is 0 or 1.

    Args:
        layer: turned into its `spikes` counterpart in place.
        node: the multi-step node whose spikes reach the layer.
        levels: 4 behind a 2x2 pooling.
    """
    kind = type(node).__name__.removeprefix("MultiStep")
    if not can_fire(node, kind):
        return layer
    if type(layer) is nn.Conv2d:
        layer.__class__ = SpikeConv2d
        layer.levels = levels  # type: ignore[assignment]
    elif type(layer) is nn.AvgPool2d:
        layer.__class__ = SpikePool2d
    return layer
