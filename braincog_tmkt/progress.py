"""How far a computation is: on a terminal a bar on standard error, elsewhere a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")

SECONDS = 30.0
"""Before the first line, and at least between two, where standard error is no terminal, such as a log file."""

SHARE = 0.02
"""Of the time that has passed: no line comes sooner after the one before, so that the log of a day stays short."""


def progress(
    items: Iterable[T], what: str, unit: str, total: int | None = None, done: int = 0, shown: bool = True
) -> Iterator[T]:
    """Give some items one by one, and show how many there have been, see `make_bar`.

    Args:
        items: what is left.
        what: name of the bar.
        unit: what an item is called.
        total: how many there are with those that are done; None for as many as `items`.
        done: how many lie behind.
        shown: False shows nothing.

    Example:
        >>> [*progress([1, 2], "numbers", "number")]
        [1, 2]
    """
    if total is None and isinstance(items, Collection):
        total = done + len(items)
    with counting(total, what, unit, done, shown) as count:
        for item in items:
            yield item
            count()


@contextmanager
def counting(
    total: int | None, what: str, unit: str, done: int = 0, shown: bool = True
) -> Iterator[Callable[..., object]]:
    """Yield a function to call after every item, or with a number of items; see `make_bar`."""
    with make_bar(total, what, unit, done, shown) as bar:
        yield bar.update


def make_bar(total: int | None, what: str, unit: str, done: int = 0, shown: bool = True, **options: Any) -> tqdm[Any]:
    """tqdm's bar with the rate and the time that is left, in a form that suits where standard error goes.

    A terminal shows a bar that moves. A file or a pipe gets a whole line after half a minute, and then ever more
    seldom: computations that are short say nothing there. `TQDM_DISABLE=1` turns both off.

    Args:
        total: how many items there are with those that are done; None if nobody knows.
        what: name of the bar.
        unit: what an item is called.
        done: how many lie behind.
        shown: False shows nothing.
        options: further keywords of `tqdm`.
    """
    options |= {"total": total, "desc": what, "initial": done, "unit": unit, "leave": False, "miniters": 0}
    if not shown:
        options["disable"] = True
    if sys.stderr.isatty():
        return tqdm(dynamic_ncols=True, **options)
    lines = _Lines()
    known = "/{total_fmt} {unit}s ({percentage:.0f} %), {rate_fmt}, {remaining} left{postfix}"
    form = "{desc}: {n_fmt}" + (" {unit}s, {rate_fmt}{postfix}" if total is None else known)
    lines.bar = tqdm(file=lines, bar_format=form, mininterval=SECONDS, delay=SECONDS, **options)
    return lines.bar


class _Lines:
    """Standard error as tqdm writes to it, with lines that end instead of one that is written over."""

    bar: tqdm[Any] | None = None

    def write(self, text: str) -> None:
        if words := text.strip("\r\n "):
            sys.stderr.write(f"{words}\n")
        if self.bar is not None:
            self.bar.mininterval = max(SECONDS, SHARE * self.bar.format_dict["elapsed"])

    def flush(self) -> None:
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """A time in words, as precise as one wants to know it.

    Example:
        >>> duration(17.3), duration(144), duration(7500), duration(203_000)
        ('17 s', '2 min 24 s', '2 h 5 min', '2 d 8 h')
    """
    whole = round(seconds)
    for unit, lower, size, part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {lower}"
    return f"{whole} s"
