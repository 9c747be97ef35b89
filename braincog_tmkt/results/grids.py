"""Rows and sentences as text for a terminal, Markdown or LaTeX, or as plain numbers in CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tabulate import LATEX_ESCAPE_RULES, tabulate

from ..errors import RecipeError
from ..terminal import table, width, wrapped

FORMATS = {"text": "simple", "md": "github", "tex": "latex_booktabs"}
MARK = "!"
"""Stands beside an accuracy that there is a warning about."""
PROSE = 118
"""Letters of a line of prose, at most."""


def document(
    style: str,
    sections: Iterable[Sequence[str] | Sequence[Mapping[str, str]]],
    rows: Sequence[Mapping[str, Any]],
    plain: Any,
) -> str:
    """Tables and sentences below one another, or the numbers behind them.

    Args:
        style: `text`, `md` or `tex` to read; `csv` or `json` for plain numbers.
        sections: to read; each has the lines of a paragraph, or the rows of a table. Empty ones are left out.
        rows: for `csv`.
        plain: for `json`.

    Raises:
        RecipeError: for an unknown style.
    """
    if style == "json":
        return json.dumps(plain, indent=1)
    if style == "csv":
        return as_csv(rows).rstrip()
    if style not in FORMATS:
        raise RecipeError(f"format must be one of {', '.join([*FORMATS, 'csv', 'json'])}, not '{style}'")
    return "\n\n".join(_shown(section, style) for section in sections if section)


def _shown(section: Sequence[Any], style: str) -> str:
    return prose(section, style) if isinstance(section[0], str) else grid(section, style)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV; the keys of the first are the columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def mean_in_words(mean: float, std: float | None, mark: object = None) -> str:
    """Mean ± standard deviation, to two decimals, with a `MARK` for a true `mark`.

    Example:
        >>> mean_in_words(81.0, 0.5), mean_in_words(81.0, None, mark=True)
        ('81.00 ± 0.50', '81.00 !')
    """
    return f"{mean:.2f}" + ("" if std is None else f" ± {std:.2f}") + (f" {MARK}" if mark else "")


def interval(mean: float | None, low: float | None, high: float | None) -> str:
    """A difference and its interval, as far as there are any.

    Example:
        >>> interval(1.0, 0.5, 1.5), interval(1.0, None, None), interval(None, None, None)
        ('+1.00 [+0.50, +1.50]', '+1.00', '')
    """
    ends = "" if low is None else f" [{low:+.2f}, {high:+.2f}]"
    return "" if mean is None else f"{mean:+.2f}{ends}"


def grid(rows: Sequence[Mapping[str, str]], style: str) -> str:
    """A table; columns that are empty in all rows are left out.

    `text` fits the terminal, see `terminal.table`; `tex` needs `\\\\usepackage{booktabs}`.

    Args:
        rows: cells by column, at least one row.
        style: see `FORMATS`.
    """
    used = [name for name in rows[0] if any(row[name] for row in rows)]
    if style == "text":
        return table([{name: row[name] for name in used} for row in rows])
    cells = [[row[name] for name in used] for row in rows]
    shown = tabulate(cells, headers=used, tablefmt=FORMATS[style], disable_numparse=True)
    # A bracket after the end of a row would be taken for the row's distance.
    return re.sub(r"(\\\\\n *)\[", r"\1{[}", shown) if style == "tex" else shown


def prose(lines: Sequence[str], style: str) -> str:
    """Sentences around a table: wrapped lines, items of a list in Markdown, small paragraphs in LaTeX."""
    if style == "text":
        return "\n".join(wrapped(line, room=min(PROSE, width() or PROSE)) for line in lines)
    if style == "md":
        start = "- " if len(lines) > 1 else ""
        return "\n".join(start + line for line in lines)
    return "\n".join(rf"{{\footnotesize\noindent {latex(line)}\par}}" for line in lines)


def latex(text: str) -> str:
    r"""A text with LaTeX's special characters escaped.

    Example:
        >>> print(latex("50 % of r_m [a]"))
        50 \% of r\_m {[}a]
    """
    return "".join("{[}" if letter == "[" else LATEX_ESCAPE_RULES.get(letter, letter) for letter in text)
