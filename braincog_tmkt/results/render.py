"""A paper's table as text, Markdown, LaTeX, CSV or JSON."""

from __future__ import annotations

from collections import Counter
from string import ascii_lowercase
from typing import Any

from .frame import Paired
from .grids import MARK, document, mean_in_words
from .grids import interval as interval_in_words
from .setting import same_runs
from .tables import Ordering, Table, TableRow

SELECTED = {
    "last": "of the last epoch",
    "best_val": "of the epoch that was best on the validation recordings",
    "best_test": "of the epoch that was best on the test recordings, as the papers report",
}


def render_table(table: Table, style: str = "text") -> str:
    """A table with its footnotes and orderings.

    Args:
        table: see `tables.make_table`.
        style: `text`, `md` or `tex` to read; `csv` (one line a row) or `json` (everything) with plain numbers.

    Raises:
        RecipeError: for an unknown style.
    """
    orderings = [_ordering(table, ordering) for ordering in table.orderings]
    counted = [orderings_in_words(table)] if orderings else []
    shown = [_shown(table, line) for line in table.lines]
    flat = [_flat(table, line) for line in table.lines]
    return document(style, [[title(table)], shown, footnotes(table), counted, orderings], flat, as_dict(table))


def title(table: Table) -> str:
    """What the table is, which epoch our numbers are of, and what stands in for the paper's data set."""
    words = f"Table {table.paper.number} ({table.paper.source}): {table.paper.title}."
    if any(line.ours for line in table.lines):
        words += f" Test accuracy in percent, ours {SELECTED[table.select]}, mean ± deviation over n seeds."
    if table.on:
        words += f" Our runs are on {table.on}, the paper's on {table.lines[0].paper.dataset}: do not compare the two."
    return words


def footnotes(table: Table) -> list[str]:
    """The settings of our runs, what a reader has to know about the paper's numbers, and what the columns mean."""
    lines = [f"[{letter(table, setting)}] {setting}" for setting in table.settings]
    for number, line in enumerate(numbered(table), start=1):
        lines.append(f"[{number}] {'; '.join(line.paper.facts)}")
    if any(parameters_here(line) for line in table.lines):
        lines.append(
            "net, M: trainable parameters, in millions, of this architecture as built here; for our runs, of the"
            " network that is tested"
        )
    if any(line.ours and line.ours.against for line in table.lines):
        lines.append(
            f"vs {table.against}: mean difference over the seeds both have, with its 95 % bootstrap interval, which"
            " is too narrow for few seeds; the verdict uses Student's 95 % confidence interval: 'open' if it includes"
            " 0, or if there is none (one seed, equal differences); runs with different settings are not compared"
        )
    ours = [(line.recipe or "", line.ours) for line in table.lines if line.ours]
    lines += same_runs((name, (own.recipe_hash or name, own.conditions, own.split)) for name, own in ours)
    warnings = dict.fromkeys(f"{MARK} {name}, {words}" for name, own in ours for words in own.warnings)
    return [*lines, *warnings]


def numbered(table: Table) -> list[TableRow]:
    """The rows that have a footnote."""
    return [line for line in table.lines if line.paper.facts]


def letter(table: Table, setting: str) -> str:
    """The letter that stands for a setting: a, b, .., z, aa, bb, .."""
    place = table.settings.index(setting)
    return ascii_lowercase[place % 26] * (place // 26 + 1)


def orderings_in_words(table: Table) -> str:
    """How many of the paper's orderings hold here."""
    counts = Counter(ordering.verdict for ordering in table.orderings)
    return (
        f"Orderings of measured rows in the paper: {len(table.orderings)}; here {counts['holds']} held,"
        f" {counts['reversed']} reversed, {counts['open']} open (Student's 95 % confidence interval includes 0; not"
        " corrected for the number of comparisons)."
    )


def interval(pair: Paired | None) -> str:
    """A paired difference with its bootstrap interval."""
    return interval_in_words(pair.mean, pair.low, pair.high) if pair else ""


def accuracy(line: TableRow) -> str:
    """Our accuracy in a cell, or why there is none."""
    if line.ours is None:
        return line.status
    return mean_in_words(line.ours.mean, line.ours.std, line.ours.warnings)


def parameters_here(line: TableRow) -> float | None:
    """Millions of parameters: of our runs of the full recipe, else of the network as it is built here, if it is."""
    counted = line.ours.parameters if line.ours else None
    return line.paper.computed if counted is None or line.paper.computed is None else counted / 1e6


def _shown(table: Table, line: TableRow) -> dict[str, str]:
    """One row to read; columns that the whole table leaves empty are dropped by `grid`."""
    paper, ours = line.paper, line.ours
    mark = f" [{numbered(table).index(line) + 1}]" if line in numbered(table) else ""
    return {
        "data set": paper.dataset if len({other.paper.dataset for other in table.lines}) > 1 else "",
        "method": paper.method + mark,
        "architecture": paper.architecture,
        "neuron": paper.neuron,
        "T": str(paper.steps),
        "parameters, M": "" if paper.parameters is None else f"{paper.parameters:.1f}",
        "net, M": "" if parameters_here(line) is None else f"{parameters_here(line):.2f}",
        "paper %": "" if paper.accuracy is None else f"{paper.accuracy:.2f}",
        "ours %": accuracy(line),
        "n": str(len(ours.accuracy)) if ours else "",
        "to paper": "" if ours is None or ours.difference is None else f"{ours.difference:+.2f}",
        f"vs {table.against} [95 %]": interval(ours.against) if ours else "",
        "verdict": ours.against.verdict if ours and ours.against else "",
        "runs": f"[{letter(table, ours.setting)}]" if ours else "",
    }


def _ordering(table: Table, ordering: Ordering) -> dict[str, str]:
    return {
        "data set": ordering.dataset if len({other.dataset for other in table.orderings}) > 1 else "",
        "better in the paper": ordering.better,
        "worse": ordering.worse,
        "by": f"{ordering.paper:+.2f}",
        "here [95 %]": interval(ordering.ours),
        "n": str(ordering.ours.seeds),
        "verdict": ordering.verdict,
    }


def as_dict(table: Table) -> dict[str, Any]:
    """Everything a table holds, plain values."""
    return {
        **{key: getattr(table.paper, key) for key in ("number", "title", "source")},
        **{key: getattr(table, key) for key in ("select", "on", "against")},
        "rows": [_flat(table, line) for line in table.lines],
        "orderings": [
            {key: getattr(ordering, key) for key in ("dataset", "better", "worse", "paper")}
            | _pair(ordering.ours)
            | {"verdict": ordering.verdict}
            for ordering in table.orderings
        ],
    }


OF_PAPER = ("dataset", "category", "method", "architecture", "neuron", "steps", "at_steps", "parameters")
"""What a plain row has of the paper's."""


def _flat(table: Table, line: TableRow) -> dict[str, Any]:
    paper, ours = line.paper, line.ours
    return {
        **{key: getattr(paper, key) for key in OF_PAPER},
        "parameters_here": parameters_here(line),
        "cites": paper.cites,
        "paper": paper.accuracy,
        "recipe": line.recipe,
        "status": line.status,
        "mean": ours.mean if ours else None,
        "std": ours.std if ours else None,
        "seeds": len(ours.accuracy) if ours else 0,
        "to_paper": ours.difference if ours else None,
        **_pair(ours.against if ours else None),
        "verdict": ours.against.verdict if ours and ours.against else None,
        "selected": table.select,
        "setting": ours.setting if ours else None,
        "warnings": "; ".join(ours.warnings) if ours else "",
        "notes": "; ".join(fact for fact in paper.facts if fact != paper.cites),
    }


def _pair(pair: Paired | None) -> dict[str, float | None]:
    names = ("difference", "bootstrap_low", "bootstrap_high", "t_low", "t_high")
    values = (pair.mean, pair.low, pair.high, pair.t_low, pair.t_high) if pair else (None,) * 5
    return dict(zip(names, values, strict=True))
