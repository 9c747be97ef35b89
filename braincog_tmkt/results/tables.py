"""The papers' tables with our numbers beside theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from ..errors import RecipeError
from ..recipe import PAPER
from ..recipe.files import is_recipe
from ..recipe.identity import changed_keys
from .frame import OverSeeds, Paired, Record, accuracies, grouped, paired, require_selection
from .given import Beside, Given, beside
from .paper import PaperRow, PaperTable
from .setting import PROTOCOL, in_words, nearest_tier, steps_in_words, warnings_of
from .stages import steps_of


@dataclass(frozen=True)
class Measured(OverSeeds):
    """The finished runs behind one row; accuracies and differences in percent.

    Args:
        accuracy: test accuracy by seed.
        setting: how they were made, in words: data set, kind of data, protocol, network, steps, tier or changed keys.
        conditions: the same, as far as two rows must share it to be compared: of the steps, those of the test alone;
            network and frames of a recipe are a part of the compared system, those of an override are not.
        split: hash of the split.
        full: whether the recipe is the full one and the data are real and whole, so that the paper's number is
            comparable.
        parameters: of the network, trainable; None unless the recipe is the full one.
        difference: mean accuracy minus the paper's; None unless `full`.
        against: paired difference to the table's reference row; None without common seeds.
        recipe_hash: of the recipe they were made with.
        method: what trained them, as recipes name it.
        warnings: what to know before the accuracies are believed, see `setting.warnings_of`.
    """

    accuracy: dict[int, float]
    setting: str
    conditions: str
    split: str
    full: bool
    parameters: int | None = None
    difference: float | None = None
    against: Paired | None = None
    recipe_hash: str = ""
    method: str = ""
    warnings: tuple[str, ...] = ()

    def like(self, other: Measured) -> bool:
        """Whether the two can be compared: made under the same conditions, on the same test recordings."""
        return (self.conditions, self.split) == (other.conditions, other.split)


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Args:
        paper: what the paper says.
        recipe: the recipe that runs it here; None if there is none.
        ours: what was measured; None if there is no finished run.
        short: whether there are runs, but of fewer steps than the row tests with.
    """

    paper: PaperRow
    recipe: str | None
    ours: Measured | None
    short: bool = False

    @property
    def status(self) -> str:
        """`measured`, `not run`, `too few steps`, `no recipe` (for the data set that stands in), or `cited`."""
        if self.ours:
            return "measured"
        if self.short:
            return "too few steps"
        return "not run" if self.recipe else "no recipe" if self.paper.recipe else "cited"


@dataclass(frozen=True)
class Ordering:
    """Two measured rows that the paper puts in an order: does it hold here?

    Args:
        dataset: of the paper's rows.
        better: the row that is better in the paper.
        worse: the other.
        paper: by how much, in percentage points.
        ours: the paired difference here, better minus worse.
    """

    dataset: str
    better: str
    worse: str
    paper: float
    ours: Paired

    @property
    def verdict(self) -> str:
        """`holds`, `reversed`, or `open` where Student's 95 % interval includes 0."""
        return {"higher": "holds", "lower": "reversed", "open": "open"}[self.ours.verdict]


@dataclass(frozen=True)
class Table:
    """A paper's table with our numbers.

    Args:
        paper: the paper's table.
        select: which epoch our accuracies are of.
        on: the data set that stands in for the paper's own; None for its own.
        against: the recipe that others are compared with.
        lines: its rows.
        orderings: the pairs of measured rows, in the paper's order.
        given: results that files give, on the data sets of the runs.
    """

    paper: PaperTable
    select: str
    on: str | None
    against: str | None
    lines: tuple[TableRow, ...]
    orderings: tuple[Ordering, ...]
    given: tuple[Beside, ...] = ()

    @property
    def settings(self) -> list[str]:
        """The different settings of our runs and of given results, in the order of the rows; referred to as a, b, .."""
        ours = [line.ours.setting for line in self.lines if line.ours]
        return list(dict.fromkeys([*ours, *(line.setting for line in self.given)]))


def rows_on(table: PaperTable, on: str | None) -> list[PaperRow]:
    """The rows of a table on one data set, or, where it has none, those whose recipes stand in, each recipe once.

    Raises:
        RecipeError: if the other data set has no recipe for any of them.
    """
    if own := [row for row in table.rows if on in (None, row.dataset)]:
        return own
    rows = [row for row in table.rows if row.dataset == table.rows[0].dataset]
    for row in table.rows:
        if row.recipe not in {None, *(other.recipe for other in rows)}:
            rows.append(row)
    if not any(name and is_recipe(name) for name in (row.recipe_name(on) for row in rows)):
        wanted = ", ".join(row.recipe for row in rows if row.recipe) or "none: all its rows are cited"
        raise RecipeError(
            f"no recipe in experiments/{on} has a row in table {table.number} (it has {wanted}): choose another"
            " --dataset"
        )
    return rows


def recipes_of(table: PaperTable, on: str | None = None) -> list[str]:
    """The recipes behind a table, each once; those that the other data set lacks are left out.

    Raises:
        RecipeError: as `rows_on`.
    """
    names = [row.recipe_name(on) for row in rows_on(table, on)]
    return list(dict.fromkeys(name for name in names if name and is_recipe(name)))


def make_table(
    paper: PaperTable,
    records: Iterable[Record],
    select: str = "last",
    on: str | None = None,
    against: str | None = None,
    given: Sequence[Given] = (),
) -> Table:
    """Put records beside a paper's rows.

    Args:
        paper: the paper's table.
        records: as `store.read_records` gives them; those of other recipes are passed over.
        select: `last`, `best_val`, or `best_test` (selected on the test set, as the papers report).
        on: show the paper's rows on this data set only; where it has none, the data set stands in for the paper's own:
            its recipes of the same names.
        against: the recipe (its last part) to compare with, instead of the table's own choice.
        given: results that files give; those on other data sets are passed over.

    Raises:
        RecipeError: for an unknown selection or reference, or if runs of one recipe differ in their settings.
    """
    require_selection(select)
    rows = rows_on(paper, on)
    if on in {row.dataset for row in rows}:  # nothing stands in
        on = None
    against = against or paper.against
    if against is not None and against not in {row.recipe for row in rows}:
        known = ", ".join(dict.fromkeys(row.recipe for row in rows if row.recipe))
        raise RecipeError(f"table {paper.number} has no row '{against}' to compare with; it has {known or 'none'}")
    found = grouped(records, lambda record: str(record["name"]))
    groups = {name: found.get(name, []) for name in recipes_of(paper, on)}
    ours = {
        (name, steps): _ours(name, groups[name], select, steps) if _long_enough(groups[name], steps, select) else None
        for name, steps in [(row.recipe_name(on), row.at_steps) for row in rows]
        if name in groups
    }
    places = {(row.dataset, row.steps) for row in rows if row.recipe == against and row.at_steps is None}
    lines = [
        _line(row, ours, f"{on or row.dataset}/{against}" if on or (row.dataset, row.steps) in places else "", on)
        for row in rows
    ]
    lines = [replace(line, short=bool(line.ours is None and groups.get(line.recipe or ""))) for line in lines]
    sets = dict.fromkeys([on] if on else [row.dataset for row in rows])
    beside_runs = []
    for one in (one for name in sets for one in given if one.dataset == name):
        reference = groups.get(f"{one.dataset}/{against}")
        beside_runs.append(beside(one, [reference] if reference else [], against or "", select))
    return Table(paper, select, on, against, tuple(lines), tuple(_orderings(lines)), tuple(beside_runs))


def _long_enough(records: list[Record], steps: int | None, select: str) -> bool:
    """Whether there are runs, all of as many steps as they are to be tested with."""
    results = [record[select] or record["last"] for record in records]
    return bool(records) and (steps is None or all(len(result["accuracy_by_step"]) >= steps for result in results))


def _ours(name: str, records: list[Record], select: str, at_steps: int | None) -> Measured:
    """The runs of one recipe, one a seed, tested with all their steps or with the first `at_steps`."""
    first = records[0]
    for record in records:
        other = changed_keys(first["recipe"], record["recipe"])
        other += [f"the {key} of their data" for key in ("kind", "split") if record["data"][key] != first["data"][key]]
        if other:
            raise RecipeError(
                f"runs of {name} differ in {', '.join(other)}: choose with key=value, or give the folders to take them"
                " from"
            )
    tier, changed = nearest_tier(first)
    data = first["data"]
    whole = data["kind"] == "real" and data.get("complete", False)
    unchanged = tier == PAPER and set(changed) <= {PROTOCOL}
    network, steps = first["recipe"]["model"]["name"], steps_of(first["recipe"])
    setting = in_words(first, [network, steps_in_words(first["recipe"], at_steps)], tier, changed, select)
    conditions = in_words(first, [f"T {at_steps or steps}"], tier, changed, select)
    return Measured(
        dict(sorted(accuracies(records, select, at_steps).items())),
        ", ".join(setting),
        ", ".join(conditions),
        data["split"],
        whole and unchanged,
        first.get("parameters") if unchanged else None,
        recipe_hash=first.get("recipe_hash", ""),
        method=first["recipe"]["method"]["name"],
        warnings=warnings_of(records, select),
    )


def _line(
    row: PaperRow, ours: Mapping[tuple[str, int | None], Measured | None], reference: str, on: str | None
) -> TableRow:
    """One row; `ours` has all recipes of the table, with None for those that have no runs."""
    recipe = row.recipe_name(on) or ""
    found, other = ours.get((recipe, row.at_steps)), ours.get((reference, None))
    if found is None:
        return TableRow(row, recipe if (recipe, row.at_steps) in ours else None, None)
    difference = found.mean - row.accuracy if found.full and on is None and row.accuracy is not None else None
    itself = (recipe, row.at_steps) == (reference, None)
    against = paired(found.accuracy, other.accuracy) if other is not None and not itself and found.like(other) else None
    parameters = found.parameters if on is None else None
    return TableRow(row, recipe, replace(found, difference=difference, against=against, parameters=parameters))


def _orderings(lines: list[TableRow]) -> Iterable[Ordering]:
    """All pairs of measured rows of one data set and T that the paper orders, its largest difference first."""
    found = []
    for one, other in combinations(lines, 2):
        better, worse = (one, other) if (_gap(one.paper, other.paper) or 0) > 0 else (other, one)
        gap, ours = _gap(better.paper, worse.paper), _difference(better, worse)
        alike = (one.paper.dataset, one.paper.steps) == (other.paper.dataset, other.paper.steps)
        if gap and ours and alike:
            found.append(Ordering(one.paper.dataset, better.paper.method, worse.paper.method, gap, ours))
    return sorted(found, key=lambda ordering: (ordering.dataset, -ordering.paper))


def _gap(one: PaperRow, other: PaperRow) -> float | None:
    """By how much one row is better in the paper."""
    if one.accuracy is None or other.accuracy is None:
        return None
    return round(one.accuracy - other.accuracy, 2)


def _difference(one: TableRow, other: TableRow) -> Paired | None:
    """By how much one row is better here, if both are measured, under the same conditions."""
    same = (one.recipe, one.paper.at_steps) == (other.recipe, other.paper.at_steps)
    if one.ours is None or other.ours is None or same or not one.ours.like(other.ours):
        return None
    return paired(one.ours.accuracy, other.ours.accuracy)
