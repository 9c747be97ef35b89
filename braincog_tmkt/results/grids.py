"""Tables and the sentences around them as text, Markdown or LaTeX, or as plain numbers in CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from ..errors import RecipeError
from ..terminal import table, width, wrapped
from . import latex
from .frame import Paired, mean_std

FORMATS = {"text": "simple", "md": "github"}
MARK = "!"
"""Stands beside an accuracy that there is a warning about."""
PROSE = 118
"""Letters of a line of prose, at most."""


@dataclass(frozen=True)
class Section:
    """A table to read, with what stands around it.

    Args:
        rows: cells by column; none for no table.
        above: sentences that say what it shows.
        legend: sentences that say what its columns and marks mean.
        notes: sentences about single rows.
        label: of the table in LaTeX.
        caption: instead of `above` in LaTeX, which numbers its tables itself.
        groups: what each row belongs to; LaTeX has its name above it, in place of the column `grouped`.
        grouped: a column that says the same.
    """

    rows: Sequence[Mapping[str, str]]
    above: Sequence[str] = ()
    legend: Sequence[str] = ()
    notes: Sequence[str] = ()
    label: str = "runs"
    caption: Sequence[str] | None = None
    groups: Sequence[str] = ()
    grouped: str = ""


def document(style: str, sections: Iterable[Section], rows: Sequence[Mapping[str, Any]], plain: Any) -> str:
    """Tables below one another, or the numbers behind them.

    Args:
        style: `text`, `md` or `tex` to read; `csv` or `json` for plain numbers.
        sections: to read; those without rows are left out.
        rows: for `csv`.
        plain: for `json`.

    Raises:
        RecipeError: for an unknown style.
    """
    if style == "json":
        return json.dumps(plain, indent=1)
    if style == "csv":
        return as_csv(rows).rstrip()
    if style not in (*FORMATS, "tex"):
        raise RecipeError(f"format must be one of {', '.join([*FORMATS, 'tex', 'csv', 'json'])}, not '{style}'")
    shown = [section for section in sections if section.rows]
    return "\n\n".join(_in_latex(section) if style == "tex" else _shown(section, style) for section in shown)


def _shown(section: Section, style: str) -> str:
    below = [*section.legend, *section.notes]
    parts = [prose(section.above, style), grid(section.rows, style), prose(below, style)]
    return "\n\n".join(part for part in parts if part)


def _in_latex(section: Section) -> str:
    caption = section.above if section.caption is None else section.caption
    rows = [{key: cell for key, cell in row.items() if key != section.grouped} for row in section.rows]
    return latex.table(rows, [*caption, *section.legend], section.label, section.notes, section.groups)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV; the keys of the first are the columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def mean_in_words(mean: float, std: float | None, mark: object = None, digits: int = 2) -> str:
    """Mean ± standard deviation, to some decimals, with a `MARK` for a true `mark`.

    Example:
        >>> mean_in_words(81.0, 0.5), mean_in_words(81.0, None, mark=True)
        ('81.00 ± 0.50', '81.00 !')
    """
    return f"{mean:.{digits}f}" + ("" if std is None else f" ± {std:.{digits}f}") + (f" {MARK}" if mark else "")


def interval(mean: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """A difference and its interval, as far as there are any, to some decimals.

    Example:
        >>> interval(1.0, 0.5, 1.5), interval(1.0, None, None), interval(None, None, None)
        ('+1.00 [+0.50, +1.50]', '+1.00', '')
    """
    ends = "" if low is None else f" [{low:+.{digits}f}, {high:+.{digits}f}]"
    return "" if mean is None else f"{mean:+.{digits}f}{ends}"


def seeds_in_words(accuracy: Mapping[int, float], digits: int = 1) -> str:
    """Mean ± standard deviation of accuracies by seed.

    Example:
        >>> seeds_in_words({42: 81.0, 1024: 83.0})
        '82.0 ± 1.4'
    """
    return mean_in_words(*mean_std(accuracy.values()), digits=digits)


def gap_in_words(gap: Paired | None, digits: int = 1) -> str:
    """A paired difference with Student's interval, as far as there are any.

    Example:
        >>> from .frame import paired
        >>> gap_in_words(paired({42: 81.0, 1024: 83.0}, {42: 80.0}))
        '+1.0'
    """
    return interval(gap.mean, gap.t_low, gap.t_high, digits) if gap else ""


def grid(rows: Sequence[Mapping[str, str]], style: str) -> str:
    """A table; columns that are empty in all rows are left out.

    `text` fits the terminal, see `terminal.table`.

    Args:
        rows: cells by column, at least one row.
        style: see `FORMATS`.
    """
    used = [name for name in rows[0] if any(row[name] for row in rows)]
    if style == "text":
        return table([{name: row[name] for name in used} for row in rows])
    cells = [[row[name] for name in used] for row in rows]
    if style == "md":
        cells = [[cell.replace("|", r"\|") for cell in row] for row in cells]
    return tabulate(cells, headers=used, tablefmt=FORMATS[style], disable_numparse=True)


def prose(lines: Sequence[str], style: str) -> str:
    """Sentences around a table: wrapped lines, or items of a list in Markdown."""
    if style == "text":
        return "\n".join(wrapped(line, room=min(PROSE, width() or PROSE)) for line in lines)
    start = "- " if len(lines) > 1 else ""
    return "\n".join(start + line for line in lines)
