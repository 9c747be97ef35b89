"""From an ANN to an SNN: other nodes in the same places, with the same weights and thresholds."""

from __future__ import annotations

import copy
from typing import Any

from ..bridge import BaseNode, node_class
from ..errors import RecipeError
from .nodes import multi_step_node
from .two_stream import TwoStream


def convert(network: Any, node: str | type = "SoftResetIFNode") -> Any:
    """A copy of a network in which every node is a fresh one of another kind with the same threshold.

    With `SoftResetIFNode` in the place of `QCFSNode` of L levels, constant currents and T = L steps, every layer's mean
    output is the ANN's activation (QCFS, theorem 2); for inputs that change, it is close to it. The given network stays
    as it is, and shares nothing with the copy. What HSD's code does otherwise: deviation D-33.

    Args:
        network: any of our networks.
        node: the new nodes, by name or class; they get the keywords (surrogate, tau, ..) that the network was built
            with.

    Raises:
        RecipeError: for an unknown node, or a threshold that is not above 0.

    Example:
        >>> import timm, braincog_tmkt
        >>> ann = timm.create_model("hsd_vggsnn", step=1, width=0.0625)
        >>> snn = convert(ann)
        >>> type(ann.nodes[0]).__name__, type(snn.nodes[0]).__name__
        ('MultiStepQCFSNode', 'MultiStepSoftResetIFNode')
    """
    converted: TwoStream = copy.deepcopy(network)
    kind = node_class(node)
    kind = multi_step_node(kind) if converted.execution == "multi_step" else kind
    names = {module: name for name, module in converted.named_modules()}
    fresh = {old: _heir(kind, converted, old, names[old]) for old in converted.nodes}
    for module in list(converted.modules()):
        for name, child in list(module.named_children()):
            if child in fresh:
                setattr(module, name, fresh[child])
    converted.nodes = tuple(fresh.values())
    (aligned,) = converted.aligned_node
    converted.aligned_node = (fresh.get(aligned),)
    return converted.train(network.training)


def _heir(kind: type[BaseNode], network: TwoStream, old: BaseNode, name: str) -> BaseNode:
    """A fresh node with the threshold of an old one, on its device; not to be learnt any more."""
    if not old.threshold > 0:
        raise RecipeError(
            f"the threshold of node '{name}' is {old.threshold.item():.4g}, but it must be above 0 to be converted:"
            " train the network with a lower learning rate, or begin with a higher model.threshold"
        )
    node: BaseNode = kind(**{**network.node_kwargs, "step": network.step})
    node.threshold.data = old.threshold.detach().clone()
    return node.to(old.threshold.device)
