"""How far a computation is: a bar on standard error, with the rate and the time that is left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")

SECONDS = 30.0
"""Between two lines where standard error is no terminal, such as a log file; shorter computations say nothing there."""


def progress(items: Iterable[T], what: str, unit: str, total: int | None = None, done: int = 0) -> Iterator[T]:
    """Give some items one by one, and show how many there have been, see `counting`.

    Args:
        items: what is left.
        what: name of the bar.
        unit: what an item is called.
        total: how many there are with those that are done; None for as many as `items`.
        done: how many lie behind.

    Example:
        >>> [*progress([1, 2], "numbers", "number")]
        [1, 2]
    """
    if total is None and isinstance(items, Collection):
        total = done + len(items)
    with counting(total, what, unit, done) as count:
        for item in items:
            yield item
            count()


@contextmanager
def counting(total: int | None, what: str, unit: str, done: int = 0) -> Iterator[Callable[[], object]]:
    """Yield a function to call after every item.

    A terminal shows a bar that moves; a file gets a line every half minute. `TQDM_DISABLE=1` turns both off.
    """
    shown: dict[str, Any] = {"dynamic_ncols": True, "leave": False}
    if not sys.stderr.isatty():
        shown = {"ncols": 100, "file": _Lines(), "mininterval": SECONDS, "maxinterval": SECONDS, "delay": SECONDS}
    with tqdm(total=total, desc=what, initial=done, unit=unit, **shown) as bar:
        yield bar.update


class _Lines:
    """Standard error as tqdm writes to it, with lines that end instead of one that is written over."""

    def write(self, text: str) -> None:
        if words := text.strip("\r\n "):
            sys.stderr.write(f"{words}\n")

    def flush(self) -> None:
        sys.stderr.flush()
