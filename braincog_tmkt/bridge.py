"""BrainCog, imported in one place.

Importing any part of BrainCog replaces timm's `resnet18`, `resnet34`, `resnet50`, ... by spiking ones, prints ten
warnings, and imports `dv` for readers of AEDAT 4 files that this project never calls. BrainCog's own scripts rely on
the replacing, so it stays; the warnings are silenced here; and where `dv` cannot be imported (dv 1.0.12 needs `imp`,
which Python 3.12 removed) BrainCog gets a stand-in. `tmkt doctor` lists the replaced names and the stand-ins. Nothing
of ours is known here; `plugin` offers our parts to BrainCog.
"""

import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

from torch import nn

from .errors import PackageError

OF_ITS_READERS = {"dv": "AedatFile"}
"""Modules that BrainCog imports for its readers of event files alone, and what it takes from each."""

STOOD_IN: dict[str, str] = {}
"""Those of them that could not be imported here, and why."""


class _StandIn(ModuleType):
    """A module in which every name is a function that says why there is none."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> NoReturn:
            raise PackageError(
                f"BrainCog's own reader wants {self.__name__}.{name}, and {self.__name__} cannot be imported here"
                f" ({STOOD_IN[self.__name__]}): read the file with braincog_tmkt, or use Python 3.11"
            )

        return missing


@contextmanager
def stand_ins() -> Iterator[None]:
    """Within it every module of `OF_ITS_READERS` can be imported; afterwards `sys.modules` is as it would be without.

    A module that has what BrainCog takes from it is used as it is.
    """
    kept: dict[str, ModuleType | None] = {}
    for name, wanted in OF_ITS_READERS.items():
        before = set(sys.modules)
        try:
            getattr(importlib.import_module(name), wanted)
        except Exception as error:  # whatever it is, BrainCog would meet it, too
            STOOD_IN[name] = f"{type(error).__name__}: {error}"
            for half in set(sys.modules) - before:  # what a failed import of a package leaves behind
                if half.startswith(f"{name}."):
                    del sys.modules[half]
            kept[name] = sys.modules.get(name)
            sys.modules[name] = _StandIn(name)
    try:
        yield
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


@contextmanager
def _importing() -> Iterator[None]:
    """Import BrainCog without its warnings and without its readers' needs, or say in a sentence why it cannot be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with stand_ins():
                yield
    except Exception as error:
        raise PackageError(
            f"BrainCog cannot be imported ({type(error).__name__}: {error}):"
            " run `tmkt doctor`, which shows what is missing here and how to install it"
        ) from error


with _importing():
    from braincog.base.node import node as _nodes
    from braincog.base.node.node import BaseNode
    from braincog.base.strategy import surrogate as _surrogates
    from braincog.model_zoo.base_module import BaseModule

__all__ = ["BaseModule", "BaseNode", "brain_cog_module", "node_classes", "surrogate_classes"]


def _subclasses(module: Any, base: type) -> dict[str, type]:
    """The concrete classes of a BrainCog module, by name."""
    members = inspect.getmembers(module, inspect.isclass)
    return {name: cls for name, cls in members if issubclass(cls, base) and cls is not base}


def node_classes() -> dict[str, type[BaseNode]]:
    """BrainCog's neuron nodes by name.

    Example:
        >>> node_classes()["LIFNode"].__name__
        'LIFNode'
    """
    return _subclasses(_nodes, BaseNode)


def surrogate_classes() -> dict[str, type[nn.Module]]:
    """BrainCog's surrogate gradients by name."""
    known = _subclasses(_surrogates, nn.Module)
    del known["SurrogateFunctionBase"]  # abstract; RoundGrad does not derive from it
    return known


def brain_cog_module(name: str) -> ModuleType:
    """The module `braincog.<name>`, imported as all of BrainCog is here."""
    with _importing():
        return importlib.import_module(f"braincog.{name}")
