"""The papers' numbers: the tables of `experiments/paper/*.yaml`, one row a compared system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..errors import RecipeError
from ..recipe.files import experiment_folders
from ..registry import did_you_mean
from .schema import NO_KEY, ONE_OR_MORE, POSITIVE, TEXT, Maybe, faults, number

PERCENT = number(0, 100)
ROW = {
    **{"dataset": TEXT, "method": TEXT, "architecture": TEXT, "steps": ONE_OR_MORE, "at_steps?": Maybe(ONE_OR_MORE)},
    **{"category?": TEXT, "cites?": TEXT, "neuron?": TEXT, "recipe?": Maybe(TEXT), "accuracy?": Maybe(PERCENT)},
    **{"parameters?": Maybe(POSITIVE), "computed?": Maybe(POSITIVE), "notes?": (TEXT,)},
    "others?": ({"accuracy": PERCENT, "where": TEXT, "*": NO_KEY},),
    "*": NO_KEY,
}
TABLES = {
    "source": TEXT,
    "tables": {"*": {"title": TEXT, "against?": Maybe(TEXT), "rows": [ROW], "*": NO_KEY}},
    "*": NO_KEY,
}
"""A file of `experiments/paper`; a row is a `PaperRow`."""


@dataclass(frozen=True)
class PaperRow:
    """One row of a paper's table.

    Args:
        dataset: name of the data set, as in `tmkt list`.
        method: what the paper calls it.
        architecture: likewise.
        steps: T.
        category: the paper's category.
        accuracy: top-1 in percent; None where the paper gives none.
        cites: whom the paper cites for the method.
        recipe: which recipe of the data set's folder runs it; None for a row that is only cited.
        at_steps: its runs, trained with more steps, are tested with the first so many; None: with all.
        neuron: likewise.
        parameters: in millions.
        computed: likewise, of this architecture as BrainCog and we build it, counted.
        notes: what a reader has to know.
        others: `accuracy` of the same thing elsewhere, and `where`, if sources contradict each other.
    """

    dataset: str
    method: str
    architecture: str
    steps: int
    category: str = ""
    accuracy: float | None = None
    cites: str = ""
    recipe: str | None = None
    at_steps: int | None = None
    neuron: str = ""
    parameters: float | None = None
    computed: float | None = None
    notes: tuple[str, ...] = ()
    others: tuple[Mapping[str, Any], ...] = ()

    @property
    def facts(self) -> list[str]:
        """What a reader has to know, one sentence each: the source, notes, and what others say."""
        cites = [self.cites] if self.cites else []
        return [
            *cites,
            *self.notes,
            *(f"{other['accuracy']:.2f} according to {other['where']}" for other in self.others),
        ]

    def recipe_name(self, on: str | None = None) -> str | None:
        """The recipe as `tmkt train` takes it, for the row's own data set or for another one.

        Example:
            >>> PaperRow("ncaltech101", "TSM", "VGGSNN", 10, recipe="tsm").recipe_name(on="nmnist")
            'nmnist/tsm'
        """
        return self.recipe and f"{on or self.dataset}/{self.recipe}"


@dataclass(frozen=True)
class PaperTable:
    """One table of a paper.

    Args:
        number: what it is called here: `1` to `4` are TMKT's.
        title: what it shows.
        source: the paper.
        rows: in the paper's order.
        against: the recipe that the others are compared with.
    """

    number: str
    title: str
    source: str
    rows: tuple[PaperRow, ...]
    against: str | None = None


class Tables(NamedTuple):
    """What the files in `experiments/paper` hold.

    Args:
        tables: number -> table, sorted by number.
        refused: what is wrong with a file that is left out -> the numbers of its tables, as far as they can be read.
    """

    tables: dict[str, PaperTable]
    refused: dict[str, list[str]]


def read_tables() -> Tables:
    """The tables of all files in `experiments/paper`; a file that does not hold what it must is left out, whole."""
    tables: dict[str, PaperTable] = {}
    refused: dict[str, list[str]] = {}
    for file in (file for folder in experiment_folders() for file in sorted((folder / "paper").glob("*.yaml"))):
        content = None
        try:
            content = _content(file)
            tables |= _tables(file, content)
        except RecipeError as error:
            named = content.get("tables") if isinstance(content, dict) else None
            refused[str(error)] = list(named) if isinstance(named, dict) else []
    left = set(tables).difference(*refused.values())
    return Tables({number: tables[number] for number in sorted(left)}, refused)


def paper_tables() -> dict[str, PaperTable]:
    """Number -> table, of all files in `experiments/paper` that can be read, sorted by number."""
    return read_tables().tables


def find_table(number: str) -> PaperTable:
    """One table.

    Raises:
        RecipeError: if there is none of this number, with the known ones; or, if a file that cannot be read holds it,
            naming the file and the key.
    """
    tables, refused = read_tables()
    for why, numbers in refused.items():
        if number in numbers:
            raise RecipeError(why)
    if number not in tables:
        raise RecipeError(" ".join([f"there is no table '{number}': {did_you_mean(number, tables)}", *refused]))
    return tables[number]


def _content(file: Path) -> Any:
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{file} holds no tables: {' '.join(str(error).split())}") from error
    if isinstance(content, dict) and isinstance(content.get("tables"), dict):
        content["tables"] = {str(number): table for number, table in content["tables"].items()}
    return content


def _tables(file: Path, content: Any) -> dict[str, PaperTable]:
    for key, words in faults(content, TABLES):
        what = f"{key or 'it'} must be {words}" if words else f"{key} is missing"
        raise RecipeError(f"{file} holds no tables: {what}")
    return {number: _table(number, table, content["source"]) for number, table in content["tables"].items()}


def _table(number: str, table: dict[str, Any], source: str) -> PaperTable:
    return PaperTable(number, table["title"], source, tuple(map(_row, table["rows"])), table.get("against"))


def _row(row: dict[str, Any]) -> PaperRow:
    return PaperRow(**row | {key: tuple(row.get(key, ())) for key in ("notes", "others")})
