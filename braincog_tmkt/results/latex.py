"""Tables in LaTeX: whole `table` environments that compile with pdfLaTeX and booktabs alone."""

# ruff: noqa: RUF001

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from textwrap import wrap

from tabulate import LATEX_ESCAPE_RULES

BREAK, END, NEXT = r" \\ ", r" \\", "\n"
NEEDS = r"% needs \usepackage{booktabs}"
NUMBERS = re.compile(r"[+-]?\d+(\.\d+)?( ± \d+\.\d+)?( \[[+-]\d+\.\d+, [+-]\d+\.\d+\])?( !)?")
"""A cell of numbers: a mean with its deviation, or a difference with its interval."""
ROOM, GAP, NARROWEST, TALLEST = 430.0, 7.0, 10, 44
"""Points that a table may be wide, and between two columns; letters of a narrow column; lines of a page."""
SIZES = {"normalsize": 4.9, "small": 4.5, "footnotesize": 4.15, "scriptsize": 3.8}
"""Sizes of letters, and about how many points a letter takes."""

ACCENTS = {
    "GRAVE ACCENT": "`", "ACUTE ACCENT": "'", "CIRCUMFLEX ACCENT": "^", "TILDE": "~", "DIAERESIS": '"', "MACRON": "=",
    "BREVE": "u", "DOT ABOVE": ".", "RING ABOVE": "r", "DOUBLE ACUTE ACCENT": "H", "CARON": "v", "CEDILLA": "c",
    "DOT BELOW": "d",
}  # fmt: skip
LETTERS = {
    "ß": r"{\ss}", "æ": r"{\ae}", "Æ": r"{\AE}", "œ": r"{\oe}", "Œ": r"{\OE}", "ø": r"{\o}", "Ø": r"{\O}",
    "ł": r"{\l}", "Ł": r"{\L}", "ı": r"{\i}", "–": r"\textendash{}", "—": r"\textemdash{}", "‘": "`", "’": "'",
    "“": "``", "”": "''", "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$", "−": "$-$", "≤": r"$\leq$",
    "≥": r"$\geq$", "≠": r"$\neq$", "≈": r"$\approx$", "→": r"$\rightarrow$", "←": r"$\leftarrow$",
    "∞": r"$\infty$", "°": r"$^{\circ}$", "µ": r"$\mu$", "…": r"\ldots{}", "§": r"\S{}", "²": "$^2$", "³": "$^3$",
    "ς": r"$\varsigma$", "\N{NO-BREAK SPACE}": "~", "[": "{[}", "<": "$<$", ">": "$>$", "|": "$|$", '"': "''",
}  # fmt: skip

CAPITALS = ("gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega")
GREEK = (
    *CAPITALS, "alpha", "beta", "epsilon", "zeta", "eta", "iota", "kappa", "mu", "nu", "omicron", "rho", "tau", "chi",
)  # fmt: skip


def escape(text: str) -> str:
    r"""A text as LaTeX sets it: special characters escaped, accents and Greek letters as commands.

    A letter that pdfLaTeX cannot set without further packages becomes its code, as `[U+4E2D]`.

    Example:
        >>> print(escape("50 % of r_m [a], ±é α"))
        50 \% of r\_m {[}a], $\pm$\'{e} $\alpha$
    """
    shown = "".join(map(_letter, unicodedata.normalize("NFC", text)))
    shown = re.sub("-(?=-)", "-{}", shown)  # two hyphens would become a dash
    return re.sub(r"(^|[\s(])'(?=\w)", r"\1`", shown)


def _breakable(text: str) -> str:
    """An escaped text in which lines may also break after `_`, `/` and `=`."""
    return re.sub(r"(\\_|(?<!\\)[/=])", r"\1\\allowbreak{}", escape(text))


def _letter(letter: str) -> str:
    if letter in LETTERS:
        return LETTERS[letter]
    if letter in LATEX_ESCAPE_RULES:
        return LATEX_ESCAPE_RULES[letter]
    if letter.isascii() and letter.isprintable():
        return letter
    if letter.isspace():
        return " "
    parts = unicodedata.normalize("NFD", letter)
    accents = [ACCENTS.get(unicodedata.name(mark, "").removeprefix("COMBINING ")) for mark in parts[1:]]
    if len(accents) == 1 and accents[0] and parts[0].isascii():
        return rf"\{accents[0]}{{{parts[0]}}}"
    code = rf"{{[}}U+{ord(letter):04X}]"
    if greek := re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(letter, "")):
        return _greek(greek[2].replace("LAMDA", "LAMBDA").lower(), greek[1] == "CAPITAL", code)
    return code


def _greek(name: str, capital: bool, code: str) -> str:
    """A command of LaTeX, or the Latin letter that looks the same; the code for a letter that LaTeX lacks."""
    if name not in GREEK:
        return code
    if capital and name not in CAPITALS:
        return {"eta": "H", "rho": "P", "chi": "X"}.get(name, name[0].upper())
    return "o" if name == "omicron" else rf"$\{name.capitalize() if capital else name}$"


def table(
    rows: Sequence[Mapping[str, str]],
    caption: Sequence[str],
    label: str,
    notes: Sequence[str] = (),
    groups: Sequence[str] = (),
) -> str:
    """A whole `table` environment, or several where one would be taller than a page.

    Args:
        rows: cells by column, at least one row; columns that are empty in all rows are left out.
        caption: its sentences: what the table shows, and its legend.
        label: after `tab:`.
        notes: sentences below the table.
        groups: what each row belongs to; where there are several, each has a line above it and its name.
    """
    used = [name for name in rows[0] if any(row[name] for row in rows)]
    columns = [[row[name] for row in rows] for name in used]
    numeric = [any(map(NUMBERS.fullmatch, column)) for column in columns]
    size, widths = _fitted(used, columns, numeric)
    cells = [list(map(_numbers, column)) if is_number else [_broken(cell, width) for cell in column]
             for column, is_number, width in zip(columns, numeric, widths, strict=True)]  # fmt: skip
    lines = [" & ".join(row) + END for row in zip(*cells, strict=True)]
    pages = _pages(_groups(lines, groups, len(used), 0.5 * sum(widths)))
    sides = ["r" if is_number else "l" for is_number in numeric]
    head = " & ".join(_head(name, width, side) for name, width, side in zip(used, widths, sides, strict=True))
    start = [
        rf"\{size}\setlength{{\tabcolsep}}{{{GAP / 2:g}pt}}",
        r"\makebox[\linewidth]{%",
        rf"\begin{{tabular}}{{{''.join(sides)}}}",
        rf"\toprule{NEXT}{head}{END}{NEXT}\midrule",
    ]
    name = f"tab:{re.sub('[^A-Za-z0-9-]', '-', label)}"
    below = [rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {_sentences(notes)}}}"] if notes else []
    shown = []
    for number, page in enumerate(pages, 1):
        title, own = (
            (_sentences(caption), name) if number == 1 else (rf"Table \ref{{{name}}}, continued.", f"{name}-{number}")
        )
        shown += [NEEDS, r"\begin{table}[htbp]", r"\centering", rf"\caption{{{title}}}", rf"\label{{{own}}}"]
        shown += [r"\par\smallskip", *start, page, r"\bottomrule", r"\end{tabular}}"]
        shown += [*(below if number == len(pages) else ()), rf"\end{{table}}{NEXT}"]
    return "\n".join(shown).rstrip()


def _pages(groups: Sequence[Sequence[str]]) -> list[str]:
    """The lines of all groups, in as many parts as there are pages to fill, cut between groups where that can be."""
    pages: list[list[str]] = [[]]
    filled = 0
    for part in (group[at : at + TALLEST] for group in groups for at in range(0, len(group), TALLEST)):
        height = sum(1 + (r"\parbox" in line) for line in part)
        if pages[-1] and filled + height > TALLEST:
            pages.append([])
            filled = 0
        pages[-1].append("\n".join(part))
        filled += height
    return ["\n\\midrule\n".join(page) for page in pages]


def _groups(lines: Sequence[str], groups: Sequence[str], columns: int, width: float) -> list[list[str]]:
    """The lines of each group, below its name if there are several; the table is so many columns and em wide."""
    found: dict[str, list[str]] = {}
    for group, line in zip(groups or [""] * len(lines), lines, strict=True):
        found.setdefault(group, []).append(line)
    for group, members in found.items() if len(found) > 1 else ():
        if group:
            name = rf"\parbox[t]{{{width:.1f}em}}{{\raggedright\emph{{{_breakable(group)}}}\strut}}"
            members.insert(0, rf"\multicolumn{{{columns}}}{{l}}{{{name}}}" + END)
    return list(found.values())


def _sentences(texts: Sequence[str]) -> str:
    return escape(" ".join(text if text.endswith((".", ":")) else f"{text}." for text in texts))


def _numbers(cell: str) -> str:
    """A cell of a column of numbers: their signs as minus and plus, not as hyphens."""
    shown = escape(cell)
    return re.sub(r"([+-]\d+(?:\.\d+)?)", r"$\1$", shown) if NUMBERS.fullmatch(cell) else shown


def _fitted(names: Sequence[str], columns: Sequence[Sequence[str]], numeric: Sequence[bool]) -> tuple[str, list[int]]:
    """The largest size of letters at which a table fits, and the letters of each column; columns of words may break."""
    widths = []
    for name, column, is_number in zip(names, columns, numeric, strict=True):
        words = max(map(len, name.split()))
        widths.append(max(*map(len, column), words if is_number else min(len(name), 2 * words)))
    for size, points in SIZES.items():
        room = (ROOM - GAP * len(widths)) / points
        if sum(widths) <= room:
            return size, widths
    most = max(widths)
    while most > NARROWEST and sum(w if n else min(w, most) for w, n in zip(widths, numeric, strict=True)) > room:
        most -= 1
    return size, [w if n else min(w, most) for w, n in zip(widths, numeric, strict=True)]


def _broken(cell: str, width: int) -> str:
    """A cell of words, on several lines if it is wider than its column."""
    if len(cell) <= width:
        return escape(cell)
    return rf"\parbox[t]{{{0.5 * width:.1f}em}}{{\raggedright {_breakable(cell)}\strut}}"


def _head(name: str, width: int, side: str) -> str:
    """The name of a column, on several lines if it is wider than its cells."""
    lines = [escape(line) for line in wrap(name, width, break_long_words=False)]
    return lines[0] if len(lines) == 1 else rf"\shortstack[{side}]{{{BREAK.join(lines)}}}"
