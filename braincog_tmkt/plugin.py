"""Ours, offered to BrainCog."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import losses
from .bridge import brain_cog_module
from .data.sets import DATASETS
from .models.nodes import NODES


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
    readers = {cls.__name__: cls for cls in DATASETS.values()}
    functions = {name: getattr(losses, name) for name in losses.__all__}
    return (
        _offer(brain_cog_module("base.node.node"), dict(NODES))
        + _offer(brain_cog_module("base.utils.criterions"), functions)
        + _offer(brain_cog_module("datasets"), readers)
    )
