"""What methods and recipes are called, and their colours, in tables, pages and figures: the registry's identities."""

from __future__ import annotations

import re
from zlib import crc32

from ..methods import METHODS
from ..registry import Identity

OTHER_COLOURS = ("#6a51a3", "#1b7837", "#c51b7d", "#8c510a", "#01665e", "#5f6b2d", "#b8620a", "#3f5f8a")
"""For methods without a colour of their own, and for the variants of a method."""


def identity_of(method: str) -> Identity:
    """Label, paper and colour of a method; a method that is not ours goes by its name, in a colour that this picks."""
    return METHODS.identity(method)


def colour_of(recipe: str, method: str) -> str:
    """The colour of a recipe, as `#rrggbb`: its method's if it is named after it, else one that its own name picks.

    Args:
        recipe: name, with or without its folder.
        method: its method, as recipes name it.

    Example:
        >>> colour_of("nmnist/tsm", "tmkt") == colour_of("cepdvs/tsm", "tmkt") in OTHER_COLOURS
        True
    """
    name, identity = recipe.rpartition("/")[2], identity_of(method)
    named = any(re.match(rf"{re.escape(word)}(_|$)", name) for word in (method, identity.label.lower()))
    return identity.colour if named and identity.colour else other_colour(name)


def other_colour(name: str) -> str:
    """A colour that a name picks, always the same one."""
    return OTHER_COLOURS[crc32(name.encode()) % len(OTHER_COLOURS)]
