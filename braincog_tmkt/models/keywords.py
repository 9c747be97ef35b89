"""Which keywords a network takes: its own, and those of its node, surrogate, norm and attention."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin

from ..errors import RecipeError
from ..registry import did_you_mean
from ..value_types import fits, in_words
from .contract import ONLY
from .factory import Preset
from .network import SpikingNetwork
from .parts import attention_class, keywords_of, node_class, norm_class, surrogate_class

INNER = {"self", "step", "steps", "layer_by_layer", "num_features", "channels", "gain", "dataset", "sum_output"}
"""Keywords that the network itself gives to its parts, and those of BrainCog's that have another name in recipes."""


def checked(
    name: str, target: Callable[..., Any], settings: Mapping[str, Any], usual: Mapping[str, Any]
) -> dict[str, Any]:
    """The keywords to build a network with.

    Args:
        name: of the network, for messages.
        target: its class or factory.
        settings: those asked for.
        usual: further ones, dropped where nothing takes them.

    Raises:
        RecipeError: for an unknown keyword, with the nearest known one, or a value of a wrong type.
    """
    known, takes_any = _keywords(target, {**usual, **settings})
    for key, value in settings.items():
        if key not in known and not takes_any:
            raise RecipeError(f"model '{name}' takes no '{key}': {did_you_mean(key, known)}")
        hint = _for_recipes(known.get(key, Any))
        if not isinstance(value, type) and not fits(value, hint):
            raise RecipeError(f"model '{name}': {key} must be {in_words(hint)}, not {value!r}")
    return {**{key: value for key, value in usual.items() if takes_any or key in known}, **settings}


def _keywords(target: Callable[..., Any], settings: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The keywords that a network and its parts take, with their types; and whether it takes any other, too."""
    known, takes_any = keywords_of(target)
    settings = target.filled(settings) if isinstance(target, type) and issubclass(target, Preset) else settings
    if not ("node_type" in known and "act_fun" in known):  # no network of ours
        return known, takes_any
    made = target if isinstance(target, type) else SpikingNetwork
    norm: Any = settings.get("norm") or getattr(made, "default_norm", "step")
    attention: Any = settings.get("attention") or getattr(made, "default_attention", "none")
    parts = (
        node_class(settings.get("node_type", "LIFNode" if made is target else "QCFSNode")),
        surrogate_class(settings.get("act_fun", "QGateGrad")),
        norm_class(norm),
        attention_class(attention),
    )
    inner: dict[str, Any] = {key: type(value) for key, value in ONLY.items()}
    for part in parts:
        inner |= keywords_of(part)[0]
    return {key: hint for key, hint in {**inner, **known}.items() if key not in INNER}, False


def _for_recipes(hint: Any) -> Any:
    """A type without those of its options that no recipe can write, such as classes."""
    if get_origin(hint) in (Union, types.UnionType):
        plain = [each for each in get_args(hint) if each in (int, float, bool, str, type(None))]
        return Union[tuple(plain)] if plain else Any  # noqa: UP007
    return hint if hint in (int, float, bool, str) or get_origin(hint) in (list, dict) else Any
