"""Names to classes: registries that find their files, and explain themselves when a name or an argument is wrong."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from .errors import RecipeError
from .own_code import import_own
from .value_types import fits, hints_of, in_words


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like another one, whatever the case of its letters; None if none is.

    Example:
        >>> nearest("TMK", ["tmkt", "baseline"]), nearest("x", ["tmkt"])
        ('tmkt', None)
    """
    lower = {other.lower(): other for other in sorted(known)}
    return next((lower[found] for found in difflib.get_close_matches(name.lower(), lower, n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the tail of an error message: the nearest known name, and all of them.

    Example:
        >>> did_you_mean("tmk", ["tmkt", "baseline"])
        "did you mean 'tmkt'? Known: baseline, tmkt."
    """
    names = sorted(known)
    near = nearest(name, names)
    guess = f"did you mean '{near}'? " if near else ""
    return f"{guess}Known: {', '.join(names) or 'none'}."


@dataclass(frozen=True)
class Identity:
    """What an entry is called wherever it is shown, and where it comes from.

    Args:
        name: in recipes and on the command line.
        title: one line that says what it is; by default the first line of its docstring.
        label: in tables and figures; by default the name.
        paper: who published it, and where.
        year: of the publication.
        arxiv: its arXiv number.
        colour: in figures, as `#rrggbb`.
    """

    name: str
    title: str = ""
    label: str = ""
    paper: str = ""
    year: int | None = None
    arxiv: str = ""
    colour: str = ""


class Registry(MutableMapping[str, Callable[..., Any]]):
    """Classes or functions by name, entered with a decorator; those in the files of a folder are found without import.

    The files are read, not run, for their decorators: so names and identities are known at once, and a file is
    imported when something of it is used. A new file in the folder is enough for a new entry. A class of your own that
    is not entered can be given as `package.module.Class`.

    Args:
        what: the kind of its entries, for messages.
        folder: the package whose files are read; None for a registry that is filled by hand alone.
        by: the decorators that enter something, as they are written there: `("METHODS.register",)`.
        base: module and name of the class that a class given by its dotted path must inherit from; () for any.

    Example:
        >>> COLOURS = Registry("colour")
        >>> @COLOURS.register("red", label="Red")
        ... class Red:
        ...     "A warm one."
        ...     def __init__(self, shade: int = 0) -> None:
        ...         self.shade = shade
        >>> COLOURS.build("red", shade=3).shade, COLOURS.identity("red").title
        (3, 'A warm one.')
    """

    def __init__(
        self, what: str, folder: str | None = None, by: Iterable[str] = (), base: tuple[str, ...] = ()
    ) -> None:
        self.what, self.folder, self.by, self.base = what, folder, frozenset(by), base
        self._entries: dict[str, Callable[..., Any]] = {}
        self._entered: dict[str, Identity] = {}

    def register(self, name: str, **identity: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator that enters a class or function under `name`.

        Args:
            name: a text, written out.
            identity: see `Identity`; plain values, written out.

        Raises:
            ValueError: if the name is taken by something else, or for what is no part of an identity.
        """

        def enter(target: Callable[..., Any]) -> Callable[..., Any]:
            taken = self._entries.get(name)
            where = f"{taken.__module__}.{taken.__qualname__}" if taken else self._found.get(name, ("",))[0]
            if where not in ("", target.__module__, f"{target.__module__}.{target.__qualname__}"):
                raise ValueError(f"{self.what} '{name}' is already {where}")
            self._entries[name] = target
            self._entered[name] = _identity(name, identity, target.__doc__)
            return target

        return enter

    @cached_property
    def _found(self) -> dict[str, tuple[str, Identity]]:
        """The module and the identity of each entry in the files of the folder."""
        return dict(_entries_of(self.folder, self.by)) if self.folder else {}

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if not isinstance(name, str):
            raise RecipeError(f"the name of a {self.what} must be a text, not {name!r}")
        if name not in self._entries and name in self._found:
            importlib.import_module(self._found[name][0])
        if name not in self._entries and "." in name:
            return self._by_path(name)
        self.require(name, self._entries)
        return self._entries[name]

    def _by_path(self, path: str) -> Callable[..., Any]:
        """Import `package.module.Class`, see `own_code.import_own`."""
        module, _, name = path.rpartition(".")
        try:
            found = getattr(import_own(module), name)
        except Exception as error:  # it is the user's own code, which may fail in any way
            reason = f"{type(error).__name__}: {error}"
            raise RecipeError(f"{self.what} '{path}' cannot be imported: {reason}") from error
        base: Any = getattr(importlib.import_module(self.base[0]), self.base[1]) if self.base else object
        if not callable(found) or (self.base and not (isinstance(found, type) and issubclass(found, base))):
            wanted = f"subclass of {'.'.join(self.base)}" if self.base else "class or function"
            raise RecipeError(f"{self.what} '{path}' is not a {wanted}: give the name of one")
        return found

    def get(self, name: str, default: Any = None) -> Any:
        """The entry, or `default` for an unknown name."""
        if name not in self:
            return default
        return self[name]

    def require(self, name: str, known: Container[str] | None = None) -> None:
        """Refuse a name that is not there, without an import.

        Raises:
            RecipeError: with the nearest known name, and all of them.
        """
        if name not in (self if known is None else known):
            raise RecipeError(f"unknown {self.what} '{name}': {did_you_mean(name, self)}")

    def __setitem__(self, name: str, target: Callable[..., Any]) -> None:
        self._entries[name] = target

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._entries or name in self._found)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._found, *self._entries]))

    def __len__(self) -> int:
        return len(self._found.keys() | self._entries.keys())

    def identity(self, name: str) -> Identity:
        """What an entry is called and where it comes from, without an import; of an unknown name, the name alone."""
        if name in self._entered:
            return self._entered[name]
        return self._found[name][1] if name in self._found else Identity(name, label=name)

    def build(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call the entry `name`, refusing keyword arguments that it does not take or that are not of its types.

        Raises:
            RecipeError: for an unknown name, a class that cannot be imported, an unknown argument (with the nearest
                known one), one of a wrong type, or one that is missing.
        """
        target = self[name]
        accepted, hints = inspect.signature(target).parameters, hints_of(target)
        for key, value in kwargs.items():
            if key not in (keywords := list(accepted)[len(args) :]):
                raise RecipeError(f"{self.what} '{name}' takes no '{key}': {did_you_mean(key, keywords)}")
            if key in hints and not fits(value, hints[key]):
                raise RecipeError(f"{self.what} '{name}': {key} must be {in_words(hints[key])}, not {value!r}")
        for key, parameter in list(accepted.items())[len(args) :]:
            required = parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            if required and key not in kwargs:
                raise RecipeError(f"{self.what} '{name}' needs '{key}': give it a value")
        return target(*args, **kwargs)


def _identity(name: str, given: Mapping[str, Any], doc: str | None) -> Identity:
    if unknown := given.keys() - {field.name for field in fields(Identity)}:
        raise ValueError(f"'{name}' is entered with {', '.join(sorted(unknown))}, which is not a part of an identity")
    title = (doc or "").strip().partition("\n")[0]
    return Identity(name, **{"title": title, "label": name, **given})


def _entries_of(folder: str, by: frozenset[str]) -> Iterator[tuple[str, tuple[str, Identity]]]:
    """Name -> module and identity of all that a package of ours enters with some decorators."""
    for file in sorted(Path(__file__).parent.joinpath(*folder.split(".")[1:]).glob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef):
                continue
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) in by:
                    name = ast.literal_eval(call.args[0])
                    given = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg}
                    yield name, (f"{folder}.{file.stem}", _identity(name, given, ast.get_docstring(node)))
