"""A paper's table as text, Markdown, LaTeX, CSV or JSON."""

from __future__ import annotations

from collections import Counter
from string import ascii_lowercase
from typing import Any

from .frame import Paired
from .given import Beside
from .grids import MARK, Section, document, mean_in_words
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
    number = table.paper.number
    rows = [_shown(table, line) for line in table.lines] + [_shown_given(table, line) for line in table.given]
    groups = [line.paper.dataset for line in table.lines] + [f"given, {line.given.dataset}" for line in table.given]
    caption = [f"{table.paper.title} ({table.paper.source}, table {number}).", *about(table)]
    below = legend(table), notes(table)
    main = Section(rows, [title(table)], *below, f"table-{number}", caption, groups, "data set")
    orderings = [_ordering(table, ordering) for ordering in table.orderings]
    counted = Section(orderings, [orderings_in_words(table)], label=f"table-{number}-orderings")
    return document(style, [main, counted], flat_rows(table), as_dict(table))


def title(table: Table) -> str:
    """What the table is, which epoch our numbers are of, and what stands in for the paper's data set."""
    return " ".join([f"Table {table.paper.number} ({table.paper.source}): {table.paper.title}.", *about(table)])


def about(table: Table) -> list[str]:
    """Which epoch our numbers are of, and what stands in for the paper's data set."""
    words = []
    if any(line.ours for line in table.lines):
        words.append(f"Test accuracy in percent, ours {SELECTED[table.select]}, mean ± deviation over n seeds.")
    elif table.given:
        words.append("Test accuracy in percent, mean ± deviation over n seeds.")
    if table.on:
        paper = f"the paper's on {table.lines[0].paper.dataset}"
        words.append(f"Our runs are on {table.on}, {paper}: do not compare the two.")
    return words


def legend(table: Table) -> list[str]:
    """The settings of our runs and of given results, and what the columns mean."""
    lines = [f"[{letter(table, setting)}] {setting}" for setting in table.settings]
    if any(parameters_here(line) for line in table.lines):
        lines.append(
            "net, M: trainable parameters, in millions, of this architecture as built here; for our runs, of the"
            " network that is tested"
        )
    compared = [line.ours for line in table.lines if line.ours and line.ours.against]
    if compared or any(line.against for line in table.given):
        lines.append(
            f"vs {table.against}: mean difference over the seeds both have, with its 95 % bootstrap interval, which"
            " is too narrow for few seeds; the verdict uses Student's 95 % confidence interval: 'open' if it includes"
            " 0, or if there is none (one seed, equal differences); runs with different settings are not compared"
        )
    return lines


def notes(table: Table) -> list[str]:
    """What a reader has to know about single rows: the paper's numbers, and our runs."""
    lines = [f"[{number}] {'; '.join(line.paper.facts)}" for number, line in enumerate(numbered(table), start=1)]
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
        "given %": "",
        "n": str(len(ours.accuracy)) if ours else "",
        "to paper": "" if ours is None or ours.difference is None else f"{ours.difference:+.2f}",
        f"vs {table.against} [95 %]": interval(ours.against) if ours else "",
        "verdict": ours.against.verdict if ours and ours.against else "",
        "runs": f"[{letter(table, ours.setting)}]" if ours else "",
    }


def _shown_given(table: Table, line: Beside) -> dict[str, str]:
    """A given result to read, in the columns of the other rows."""
    given, empty = line.given, dict.fromkeys(_shown(table, table.lines[0]), "")
    return empty | {
        "data set": given.dataset if len({other.paper.dataset for other in table.lines}) > 1 else "",
        "method": given.method,
        "architecture": given.network,
        "T": str(given.steps or ""),
        "given %": mean_in_words(given.mean, given.std),
        "n": str(len(given.accuracy)),
        f"vs {table.against} [95 %]": interval(line.against),
        "verdict": line.against.verdict if line.against else "",
        "runs": f"[{letter(table, line.setting)}]",
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
        "rows": flat_rows(table),
        "orderings": [
            {key: getattr(ordering, key) for key in ("dataset", "better", "worse", "paper")}
            | _pair(ordering.ours)
            | {"verdict": ordering.verdict}
            for ordering in table.orderings
        ],
    }


OF_PAPER = ("dataset", "category", "method", "architecture", "neuron", "steps", "at_steps", "parameters")
"""What a plain row has of the paper's."""


def flat_rows(table: Table) -> list[dict[str, Any]]:
    """The rows of a table, then given results, plain values under the same keys."""
    return [_flat(table, line) for line in table.lines] + [_flat_given(table, line) for line in table.given]


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
        "given_by": "",
        "not_compared": "",
    }


def _flat_given(table: Table, line: Beside) -> dict[str, Any]:
    """A given result as plain values, with the keys of the other rows."""
    given = line.given
    return {
        **dict.fromkeys(_flat(table, table.lines[0])),
        **{"dataset": given.dataset, "method": given.method, "architecture": given.network, "steps": given.steps},
        **{"status": "given", "mean": given.mean, "std": given.std, "seeds": len(given.accuracy)},
        **_pair(line.against),
        "verdict": line.against.verdict if line.against else None,
        "selected": given.selection or None,
        "setting": ", ".join(given.words),
        "notes": "; ".join(given.said),
        "given_by": given.file,
        "not_compared": line.reason,
    }


def _pair(pair: Paired | None) -> dict[str, float | None]:
    names = ("difference", "bootstrap_low", "bootstrap_high", "t_low", "t_high")
    values = (pair.mean, pair.low, pair.high, pair.t_low, pair.t_high) if pair else (None,) * 5
    return dict(zip(names, values, strict=True))
