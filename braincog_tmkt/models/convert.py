"""From an ANN to an SNN: other nodes in the same places, with the same weights and thresholds."""

from __future__ import annotations

import copy
from typing import Any

from ..bridge import BaseNode
from ..errors import RecipeError
from .network import SpikingNetwork
from .parts import node_class


def convert(network: Any, node: str | type = "SoftResetIFNode", **keywords: Any) -> Any:
    """A copy of a network in which every node is a fresh one of another kind with the same threshold.

    With `SoftResetIFNode` in the place of `QCFSNode` of L levels, constant currents and T = L steps, every layer's mean
    output is the ANN's activation (QCFS, theorem 2); for inputs that change, it is close to it. The given network stays
    as it is, and shares nothing with the copy. What HSD's code does otherwise: deviation D-33.

    Args:
        network: a `SpikingNetwork`.
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
    converted: SpikingNetwork = copy.deepcopy(network)
    kind = node_class(node)
    fresh: dict[BaseNode, BaseNode] = {}
    for name, old in list(converted.named_modules(remove_duplicate=False)):
        if isinstance(old, BaseNode):
            if old not in fresh:
                fresh[old] = _heir(kind, converted, old, name, keywords)
            parent, _, leaf = name.rpartition(".")
            setattr(converted.get_submodule(parent), leaf, fresh[old])
    return converted.train(network.training)


def _heir(
    kind: type[BaseNode], network: SpikingNetwork, old: BaseNode, name: str, keywords: dict[str, Any]
) -> BaseNode:
    """A fresh node with the threshold of an old one, on its device; not to be learnt any more."""
    if not old.threshold > 0:
        raise RecipeError(
            f"the threshold of node '{name}' is {old.threshold.item():.4g}, but it must be above 0 to be converted:"
            " train the network with a lower learning rate, or begin with a higher model.threshold"
        )
    node = network.make_node(kind, **keywords)
    node.threshold.data = old.threshold.detach().clone()
    return node.to(old.threshold.device)
