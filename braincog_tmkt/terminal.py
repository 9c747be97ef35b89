"""What a terminal gets and a pipe does not: a width to fit into, and a little colour."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from textwrap import TextWrapper, fill
from typing import TextIO

STYLES = {"bold": "1", "dim": "2", "red": "31", "yellow": "33"}
PADDING, GAP = 2, 2
"""Room that `tabulate` gives the name of a column beside it, and between two columns."""
NARROWEST = 20
"""No line of prose is broken to fewer letters than this, however narrow the terminal is."""


def width() -> int | None:
    """Letters of a line of the terminal that standard output is; None if it is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def painted(text: str, style: str, stream: TextIO | None = None) -> str:
    """The text in a style of `STYLES`, if the stream shows colours; the text itself if not.

    A variable that is set and not empty decides: NO_COLOR (https://no-color.org) before FORCE_COLOR. Without them,
    terminals show colours, unless TERM is `dumb`.

    Args:
        text: without line ends.
        style: a key of `STYLES`.
        stream: where it will be printed; None is standard output.
    """
    stream = stream or sys.stdout
    if os.environ.get("NO_COLOR"):
        return text
    if not os.environ.get("FORCE_COLOR") and (os.environ.get("TERM") == "dumb" or not stream.isatty()):
        return text
    return f"\033[{STYLES[style]}m{text}\033[0m"


def wrapped(text: str, indent: int = 4, first: int = 0, room: int | None = None) -> str:
    """Prose that fits the terminal, broken between words only; in a pipe, one line.

    Args:
        text: a paragraph.
        indent: spaces before all lines but the first.
        first: letters that stand before the first line already.
        room: letters of a line; None is the terminal's.
    """
    if (room := room or width()) is None:
        return text
    start = "\0" * first
    lines = TextWrapper(max(room, NARROWEST), start, " " * indent, break_long_words=False, break_on_hyphens=False)
    return lines.fill(text)[first:]


def labelled(lines: Iterable[tuple[str, str]]) -> str:
    """A block of labels with what they say beside them, which fits the terminal.

    Example:
        >>> print(labelled([("data", "digits"), ("", "split 'clean'"), ("device", "CPU")]))
          data    digits
                  split 'clean'
          device  CPU
    """
    lines = list(lines)
    column = 2 + max(len(label) for label, _ in lines) + GAP
    return "\n".join(
        f"  {painted(f'{label:{column - 2}}', 'dim')}{wrapped(text, column, column)}" for label, text in lines
    )


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """A table for people; one that a terminal is too narrow for breaks the lines of its widest columns between words.

    Where that does not suffice, each row becomes a block with a line for every column. A pipe gets the whole table.

    Args:
        rows: cells by column, at least one row, all with the same columns.
    """
    names = list(rows[0])
    cells = [[str(row[name]) for name in names] for row in rows]
    if (room := width()) is not None:
        padded = [name + " " * PADDING for name in names]
        columns = list(zip(padded, *cells, strict=True))
        widths = [max(map(len, column)) for column in columns]
        # tabulate gives a name PADDING more than its longest line
        least = [max(_longest(name) + PADDING, *map(_longest, some)) for name, *some in columns]
        fitted = _narrowed(widths, least, room - GAP * (len(names) - 1))
        if fitted is None:
            return "\n\n".join(_block(dict(zip(names, row, strict=True)), room) for row in cells)
        broken = partial(fill, break_long_words=False)
        names = [broken(name, most - PADDING) for name, most in zip(names, fitted, strict=True)]
        cells = [[broken(cell, most) for cell, most in zip(row, fitted, strict=True)] for row in cells]
    from tabulate import tabulate  # `tmkt doctor` needs the rest of this module where packages are missing

    return tabulate(cells, headers=names, tablefmt="simple", disable_numparse=True)


def in_columns(names: Iterable[str], indent: int = 2) -> str:
    """Names beside one another, sorted down the columns, as far as the terminal has room; in a pipe, a line each."""
    names, room = list(names), width()
    column = max(map(len, names), default=0) + GAP
    count = max(1, ((room or 0) - indent) // column)
    rows = -(-len(names) // count)
    lines = ("".join(f"{name:{column}}" for name in names[row::rows]) for row in range(rows))
    return "\n".join((" " * indent + line).rstrip() for line in lines)


def _longest(text: str) -> int:
    """Letters of the longest part that is not broken, in a table also at the hyphens of compound words."""
    return max(map(len, re.split(r"\s+|(?<=[^\d\W]-)(?=\w*[^\d\W])", text)))


def _narrowed(widths: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """Columns that fit, the widest ones made equally narrow; None if they are not, at their least widths.

    Example:
        >>> _narrowed([3, 40, 30], [3, 9, 9], 43), _narrowed([40, 30], [30, 30], 43)
        ([3, 20, 20], None)
    """
    for most in range(max(widths), 0, -1):
        fitted = [max(low, min(high, most)) for high, low in zip(widths, least, strict=True)]
        if sum(fitted) <= room:
            return fitted
    return None


def _block(row: Mapping[str, str], room: int) -> str:
    """One row, a line for every column that is not empty."""
    column = max(map(len, row)) + GAP
    return "\n".join(
        f"{name:{column}}{wrapped(cell, column, column, room)}" for name, cell in row.items() if cell.strip()
    )
