"""Nodes, surrogates, norms and attention by name: ours, BrainCog's, or a class of your own."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from torch import nn

from ..bridge import BaseNode, node_classes, surrogate_classes
from ..errors import RecipeError
from ..registry import Registry, did_you_mean
from ..value_types import hints_of
from .attention import ATTENTIONS
from .nodes import NODES
from .norms import NORMS
from .surrogates import SURROGATES

READ = re.compile(r"""kwargs\[["'](\w+)["']\]""")
"""How BrainCog's constructors take keywords that their signatures do not name, such as `mem_detach`."""

SWITCHES = {"mem_detach": bool, "requires_mem": bool}
"""The types of some of them."""

Part = str | Callable[..., Any]


def node_class(name: str | type[BaseNode]) -> type[BaseNode]:
    """Return the class of a neuron node: by name (ours or BrainCog's), by dotted path, or a class as it is.

    Raises:
        RecipeError: for an unknown name, with the nearest known one, or something that is no node.

    Example:
        >>> node_class("LIFNode").__name__, node_class("QCFSNode").__name__
        ('LIFNode', 'QCFSNode')
    """
    found: Any = _find(NODES, name, node_classes())
    if not (isinstance(found, type) and issubclass(found, BaseNode)):
        raise RecipeError(f"{name!r} cannot be a node: it is not a subclass of BrainCog's BaseNode")
    return found


def surrogate_class(name: Part) -> Callable[..., nn.Module]:
    """Return a surrogate gradient class: by name (ours or BrainCog's), by dotted path, or a class as it is.

    Raises:
        RecipeError: for an unknown name, with the nearest known one.
    """
    return _find(SURROGATES, name, surrogate_classes())


def norm_class(name: Part) -> Callable[..., nn.Module]:
    """Return a normalisation: by name, see `norms`; by dotted path; or a class as it is.

    Raises:
        RecipeError: for an unknown name, with the nearest known one.
    """
    return _find(NORMS, name, {})


def attention_class(name: Part) -> Callable[..., nn.Module | None]:
    """Return an attention module, see `attention`: by name; by dotted path; or a class as it is.

    Raises:
        RecipeError: for an unknown name, with the nearest known one.
    """
    return _find(ATTENTIONS, name, {})


def _find(registry: Registry, name: Part, others: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    if not isinstance(name, str):
        return name
    if name in registry:
        return registry[name]
    if name in others:
        return others[name]
    if "." in name:
        return registry[name]
    raise RecipeError(f"unknown {registry.what} '{name}': {did_you_mean(name, [*registry, *others])}")


def keywords_of(target: Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    """The keywords of a class or function with their types, and whether it takes any other keyword, too.

    Constructors are followed through their `**kwargs` along the base classes. A function with `**kwargs` whose return
    annotation is a class takes that class's keywords, too. The type of a keyword without an annotation is that of its
    default.

    Example:
        >>> keywords_of(node_class("LIFNode"))[0]["tau"]
        <class 'float'>
    """
    if isinstance(target, type):
        chain: list[Callable[..., Any]] = [vars(cls)["__init__"] for cls in target.__mro__ if "__init__" in vars(cls)]
        chain = chain[:-1]  # that of object
    else:
        made = hints_of(target).get("return")
        if isinstance(made, type):
            inner, is_open = keywords_of(made)
            own, passes_on = _own_keywords(target)
            return ({**inner, **own}, is_open) if passes_on else (dict(own), False)
        chain = [target]
    found: dict[str, Any] = {}
    for function in chain:
        own, passes_on = _own_keywords(function)
        found = {**own, **found}
        if not passes_on:
            return found, False
        if function is BaseNode.__init__:
            return found, False
    return found, not isinstance(target, type)


@cache
def _own_keywords(function: Callable[..., Any]) -> tuple[Mapping[str, Any], bool]:
    """Kept, since Python parses a whole file to find the source of one function in it."""
    parameters, hints = inspect.signature(function).parameters, hints_of(function)
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    found: dict[str, Any] = {}
    if takes_any:
        with suppress(OSError, TypeError):  # no source
            found = {name: SWITCHES.get(name, Any) for name in READ.findall(inspect.getsource(function))}
    for name, parameter in parameters.items():
        if name == "self" or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = type(parameter.default) if isinstance(parameter.default, bool | int | float | str) else Any
        found[name] = hints.get(name, default)
    return MappingProxyType(found), takes_any


def taken(target: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of some keywords that a class or function takes; all of them for a node with `**kwargs`, as BrainCog's."""
    known, takes_any = keywords_of(target)
    if isinstance(target, type) and issubclass(target, BaseNode):
        takes_any = _own_keywords(target)[1]
    return {key: value for key, value in settings.items() if takes_any or key in known}


def surrogate_factory(act_fun: Part, settings: Mapping[str, Any]) -> Callable[..., nn.Module]:
    """What nodes make their surrogate with: its class, whose keywords lie over those that the node would give.

    Args:
        act_fun: see `surrogate_class`.
        settings: of a network; those that the surrogate takes are used.
    """
    kind = surrogate_class(act_fun)
    return partial(_make_surrogate, kind, taken(kind, settings))


def _make_surrogate(kind: Callable[..., nn.Module], own: Mapping[str, Any], **preset: Any) -> nn.Module:
    """Build it; `preset` is what BrainCog's nodes pass to every surrogate: `alpha` and `requires_grad`."""
    return kind(**{**taken(kind, preset), **own})


def ann_by_default(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keywords of an `hsd_*` network: an ANN to convert unless a node is named; thresholds of ANNs begin at 8."""
    node = node_class(kwargs.get("node_type", "QCFSNode"))
    start = {"threshold": 8.0} if issubclass(node, node_class("QCFSNode")) else {}
    return {**start, **kwargs, "node_type": node}
