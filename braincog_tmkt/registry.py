"""Names to classes: one small dictionary that explains itself when a name or an argument is wrong."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from .errors import RecipeError
from .value_types import fits, hints_of, in_words


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the tail of an error message: the nearest known name, and all of them.

    Example:
        >>> did_you_mean("tmk", ["tmkt", "baseline"])
        "did you mean 'tmkt'? Known: baseline, tmkt."
    """
    names = sorted(known)
    lower = {other.lower(): other for other in names}
    near = [lower[found] for found in difflib.get_close_matches(name.lower(), lower, n=1)]
    guess = f"did you mean '{near[0]}'? " if near else ""
    return f"{guess}Known: {', '.join(names) or 'none'}."


class Registry(dict[str, Callable[..., Any]]):
    """A dictionary that classes enter through a decorator; a name cannot be taken twice.

    Example:
        >>> COLOURS = Registry("colour")
        >>> @COLOURS.register("red")
        ... class Red:
        ...     def __init__(self, shade: int = 0) -> None:
        ...         self.shade = shade
        >>> COLOURS.build("red", shade=3).shade
        3
    """

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def register(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator that enters a class or function under `name`.

        Raises:
            ValueError: if the name is taken by something else.
        """

        def enter(target: Callable[..., Any]) -> Callable[..., Any]:
            taken = self.get(name)
            if taken is not None and taken.__qualname__ != target.__qualname__:
                raise ValueError(f"{self.what} '{name}' is already {taken.__module__}.{taken.__qualname__}")
            self[name] = target
            return target

        return enter

    def __missing__(self, name: str) -> Callable[..., Any]:
        raise RecipeError(f"unknown {self.what} '{name}': {did_you_mean(name, self)}")

    def build(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call the entry `name`, refusing keyword arguments that it does not take or that are not of its types.

        Raises:
            RecipeError: for an unknown name, an unknown argument (with the nearest known one), one of a wrong type, or
                one that is missing.
        """
        if not isinstance(name, str):
            raise RecipeError(f"the name of a {self.what} must be a text, not {name!r}")
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
                raise RecipeError(f"{self.what} '{name}' needs '{key}'")
        return target(*args, **kwargs)
