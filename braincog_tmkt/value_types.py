"""Whether a plain value (of a recipe, of the command line) has the type that an annotation asks for."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@cache
def hints_of(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a dataclass, of a function or of a class's constructor; none if they cannot be resolved.

    Example:
        >>> def paint(colour: str, layers: int = 1) -> None: ...
        >>> hints_of(paint)["layers"]
        <class 'int'>
    """
    constructor = isinstance(target, type) and not hasattr(target, "__dataclass_fields__")
    try:
        return get_type_hints(target.__init__ if constructor else target)
    except (NameError, TypeError, AttributeError):  # names that exist for type checkers only
        return {}


def fits(value: Any, hint: Any) -> bool:
    """Whether a value has the type. A whole number is a number, but no text is; no number is infinite or `nan`.

    Example:
        >>> fits([1, 2], list[int]), fits(3, float), fits(float("nan"), float), fits(None, int | None)
        (True, True, False, True)
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, option) for option in inner)
    if origin is list:
        return isinstance(value, list) and all(fits(item, inner[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(item, inner[1]) for item in value.values())
    if hint is Any:
        return True
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, origin or hint)


def in_words(hint: Any) -> str:
    """The type, for people.

    Example:
        >>> in_words(list[int]), in_words(str | None)
        ('a list (each item a whole number)', 'a text or null')
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(in_words(option) for option in inner)
    if origin is list:
        return f"a list (each item {in_words(inner[0])})"
    return "null" if hint is type(None) else _WORDS.get(hint, "a section with keys")
