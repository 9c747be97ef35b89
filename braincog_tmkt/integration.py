"""BrainCog, imported in one place.

Importing any part of BrainCog replaces timm's `resnet18`, `resnet34`, `resnet50`, ... by spiking ones and prints nine
warnings. BrainCog's own scripts rely on the replacing, so it stays; the warnings are silenced here, and this module is
only imported when a model is first built. `tmkt doctor` tells which names were replaced.
"""

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from .errors import RecipeError
from .registry import did_you_mean

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from braincog.base.connection.layer import ThresholdDependentBatchNorm2d
    from braincog.base.node import node as _nodes
    from braincog.base.node.node import BaseNode
    from braincog.base.strategy import surrogate as _surrogates
    from braincog.base.utils import criterions as _criterions
    from braincog.base.utils.criterions import TetLoss
    from braincog.model_zoo.base_module import BaseConvModule, BaseModule
    from braincog.model_zoo.resnet import BasicBlock, ResNet
    from braincog.model_zoo.resnet19_snn import BasicBlock as ResNet19Block
    from braincog.model_zoo.resnet19_snn import ResNet as BrainCogResNet19
    from braincog.model_zoo.vgg_snn import VGG_SNN

__all__ = [
    "VGG_SNN",
    "BaseConvModule",
    "BaseModule",
    "BaseNode",
    "BasicBlock",
    "BrainCogResNet19",
    "ResNet",
    "ResNet19Block",
    "TetLoss",
    "ThresholdDependentBatchNorm2d",
    "install_into_braincog",
    "node_class",
    "register_node",
    "surrogate_class",
]

_OWN_NODES: dict[str, type[BaseNode]] = {}


def register_node(node: type[BaseNode]) -> type[BaseNode]:
    """Have `node_class` know a node of our own by its name, and `install_into_braincog` offer it; returns the class."""
    _OWN_NODES[node.__name__] = node
    return node


def _subclasses(module: Any, base: type) -> dict[str, type]:
    """The concrete classes of a BrainCog module, by name."""
    members = inspect.getmembers(module, inspect.isclass)
    return {name: cls for name, cls in members if issubclass(cls, base) and cls is not base}


def _lookup(kind: str, name: str | type, known: dict[str, type]) -> type:
    if isinstance(name, type):
        return name
    if name not in known:
        raise RecipeError(f"unknown {kind} '{name}': {did_you_mean(name, known)}")
    return known[name]


def node_class(name: str | type) -> type[BaseNode]:
    """Return the class of a neuron node by name, BrainCog's or one of `register_node`; a class is returned as it is.

    Raises:
        RecipeError: for an unknown name, with the nearest known one.

    Example:
        >>> node_class("LIFNode").__name__
        'LIFNode'
    """
    return _lookup("node", name, {**_subclasses(_nodes, BaseNode), **_OWN_NODES})


def surrogate_class(name: str | type) -> type[nn.Module]:
    """Return a BrainCog surrogate gradient class by name; a class is returned as it is.

    Raises:
        RecipeError: for an unknown name, with the nearest known one.
    """
    known = _subclasses(_surrogates, nn.Module)
    del known["SurrogateFunctionBase"]  # abstract; RoundGrad does not derive from it
    return _lookup("surrogate", name, known)


def _offer(module: Any, names: Mapping[str, Callable[..., Any]]) -> list[str]:
    """Set attributes that the module does not have yet; return the dotted names that were set."""
    added = []
    for name, target in names.items():
        if not hasattr(module, name):
            setattr(module, name, target)
            added.append(f"{module.__name__}.{name}")
    return added


def install_into_braincog() -> list[str]:
    """Offer our nodes, losses and readers to BrainCog's scripts, where they look for their own.

    These are `braincog.base.node.node`, `braincog.base.utils.criterions` and `braincog.datasets`.
    An existing name is never replaced, so BrainCog's scripts keep their meaning. Calling it twice changes nothing.

    Returns:
        The dotted names that were added by this call.
    """
    import braincog.datasets as _datasets

    from . import losses
    from .data.sets import DATASETS
    from .models import nodes  # noqa: F401  registers ours

    readers = {cls.__name__: cls for cls in DATASETS.values()}
    functions = {name: getattr(losses, name) for name in losses.__all__}
    return _offer(_nodes, _OWN_NODES) + _offer(_criterions, functions) + _offer(_datasets, readers)
