"""From an ANN to an SNN: other nodes in the same places, with the same weights and thresholds."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ..bridge import BaseNode
from ..errors import RecipeError
from ..registry import did_you_mean
from .fold import fold_norms
from .module_network import ModuleNetwork, check_convertible, frames_of, places_in, put
from .network import SpikingNetwork
from .parts import keywords_of, node_class

PERCENTILE = 0.9995
"""Of a ReLU's activations in a batch; that of BrainCog's own `Convertor`."""


def convert(
    network: nn.Module,
    node: str | type = "SoftResetIFNode",
    steps: int | None = None,
    batches: Any = None,
    percentile: float = PERCENTILE,
    fold: bool = False,
    **keywords: Any,
) -> Any:
    """A copy of a network in which every node or activation is a fresh node of another kind with the same threshold.

    With `SoftResetIFNode` in the place of `QCFSNode` of L levels, constant currents and T = L steps, every layer's mean
    output is the ANN's activation (QCFS, theorem 2); for inputs that change, it is close to it. The given network stays
    as it is, and shares nothing with the copy. What HSD's code does otherwise: deviation D-33.

    Any module can be given that takes images `[B, C, H, W]` to logits `[B, K]` and is made of convolutions, linear
    layers, batch norms, average pools, dropout, and `nn.ReLU` or `QCFSNode`; with any `forward`, such as residual sums.
    Each call of an activation gets a node of its own. A ReLU has no threshold: `batches` show which it needs.

    Args:
        network: a `SpikingNetwork`, or any module.
        node: the new nodes, by name or class; they get the keywords (surrogate, tau, ..) that the network was built
            with.
        steps: T; None is that of the network, and 1 for a module.
        batches: images (or frames `[B, T, C, H, W]`) in batches, alone or first in a tuple, as a `DataLoader` gives
            them, or one such tensor: for the thresholds of ReLUs, for `fold`, and to count the calls of activations.
        percentile: share of a ReLU's activations in a batch that its threshold holds; the largest one over the batches
            counts. 1 is the maximum.
        fold: put batch norms into the convolution or linear layer before them; the copy is for evaluation then.
        keywords: of the nodes, before those of the network: `inclusive=True`.

    Returns:
        A `SpikingNetwork`: `snn(images)` gives mean logits, `snn.event_logits(images[:, None])` those of each step.

    Raises:
        RecipeError: for an unknown node or keyword, a threshold that is not above 0, or a part or a function of the
            module that no spiking network has.

    Example:
        >>> images = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> ann = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
        >>> snn = convert(ann, steps=32, batches=images)
        >>> snn(images).shape, type(snn.nodes[0]).__name__
        (torch.Size([8, 10]), 'MultiStepSoftResetIFNode')
    """
    kind = node_class(node)
    check_node(kind, keywords)
    if not 0 < percentile <= 1:
        raise RecipeError(f"percentile must be above 0 and at most 1, not {percentile}")
    if isinstance(network, SpikingNetwork) and not isinstance(network, ModuleNetwork):
        if batches is not None:
            raise RecipeError("the thresholds of this network are its nodes' own: leave out batches")
        converted: SpikingNetwork = copy.deepcopy(network)
        if fold:
            shape = (2, network.step, network.in_chans, *network.frame_size)
            fold_norms(converted, torch.rand(shape, generator=torch.Generator().manual_seed(0)))
        _replace_nodes(converted, kind, keywords)
    else:
        converted = _of_module(network, kind, batches, percentile, fold, keywords)
    if steps is not None:
        converted.set_steps(steps)
    return converted.train(network.training)


def balance(network: Any, ann: Any, batches: Any, percentile: float = PERCENTILE) -> None:
    """Give the nodes that stand for ReLUs thresholds from data: the largest activations of the ANN.

    Args:
        network: what `convert` made of the ANN, a `ModuleNetwork`; its weights stay.
        ann: the `ModuleNetwork` or the module, which stays as it is.
        batches: as `convert` takes them.
        percentile: likewise.

    Raises:
        RecipeError: for an activation that gave nothing above 0.
    """
    copied = copy.deepcopy(ann) if isinstance(ann, ModuleNetwork) else ModuleNetwork(copy.deepcopy(ann))
    for name, place in places_in(copied, batches, percentile).items():
        if place.share is None or not place.seen:
            continue
        found: Any = network.module.get_submodule(name)
        for call, node in enumerate(found.nodes):
            if not place.seen.get(call, 0.0) > 0:
                raise RecipeError(
                    f"activation '{name}' gave nothing above 0 for these batches, so there is no threshold for it: give"
                    " other batches, or train the network further"
                )
            node.threshold.data.fill_(place.seen[call])


def has_relu(network: Any) -> bool:
    """Whether a network has activations whose thresholds come from data."""
    return isinstance(network, ModuleNetwork) and any(type(part) is nn.ReLU for part in network.modules())


def check_node(kind: type[BaseNode], keywords: Mapping[str, Any]) -> None:
    """Refuse keywords that a node does not take."""
    known = keywords_of(kind)[0]
    for key in keywords:
        if key not in known:
            raise RecipeError(f"node '{kind.__name__}' takes no '{key}': {did_you_mean(key, known)}")


def _of_module(
    given: Any, kind: type[BaseNode], batches: Any, percentile: float, fold: bool, keywords: Mapping[str, Any]
) -> ModuleNetwork:
    """The SNN of a module; without batches, the thresholds of the ReLUs of a `ModuleNetwork` stay at 1 at first."""
    check_convertible(given.module if isinstance(given, ModuleNetwork) else given)
    network = copy.deepcopy(given) if isinstance(given, ModuleNetwork) else ModuleNetwork(copy.deepcopy(given))
    rest = iter([batches] if isinstance(batches, Tensor) else () if batches is None else batches)
    first = next(frames_of(rest), None)
    if batches is not None and first is None:
        raise RecipeError("batches is empty: give one batch or more")
    probe = network.example() if first is None else first
    if probe is None and has_relu(network):
        raise RecipeError("a ReLU has no threshold: give batches=.., images from which thresholds are found")
    if fold:
        if probe is None:
            raise RecipeError("to fold batch norms, give batches=.., with which is seen what comes before each")
        fold_norms(network, probe[:2][:, None])
    ann = copy.deepcopy(network) if first is not None and has_relu(network) else None
    for name, place in places_in(network, probe).items():
        place.become([_heir(kind, network, place.activation, name, keywords) for _ in place.seen])
    if ann is not None:
        balance(network, ann, chain([first], rest), percentile)
    return network


def _replace_nodes(network: SpikingNetwork, kind: type[BaseNode], keywords: Mapping[str, Any]) -> None:
    """Put fresh nodes in the places of all nodes; one that is in two places stays one."""
    fresh: dict[BaseNode, BaseNode] = {}
    for name, old in list(network.named_modules(remove_duplicate=False)):
        if isinstance(old, BaseNode):
            if old not in fresh:
                fresh[old] = _heir(kind, network, old, name, keywords)
            put(network, name, fresh[old])


def _heir(kind: type[BaseNode], network: SpikingNetwork, old: Any, name: str, keywords: Mapping[str, Any]) -> BaseNode:
    """A fresh node with the threshold of an old one (1 for a ReLU), on its device; not to be learnt any more."""
    weight = next(network.parameters(), torch.zeros(()))
    threshold = old.threshold if isinstance(old, BaseNode) else torch.ones((), device=weight.device)
    if not threshold > 0:
        raise RecipeError(
            f"the threshold of node '{name}' is {threshold.item():.4g}, but it must be above 0 to be converted:"
            " train the network with a lower learning rate, or begin with a higher model.threshold"
        )
    node = network.make_node(kind, **keywords)
    node.threshold.data = threshold.detach().clone()
    return node.to(threshold.device)
