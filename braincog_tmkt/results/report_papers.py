"""What the page shows of accuracies: the papers' tables with ours beside them, and runs that have no row in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import RecipeError
from .charts import DotChart, Dots
from .frame import Record, Runs, accuracies, by_title, grouped
from .given import Beside, Given
from .grids import mean_in_words
from .identity import colour_of, other_colour
from .paper import PaperTable, paper_tables
from .report_parts import Chart, Grid, data_of, signed_interval
from .summary import Row, require_recipe, summarise
from .tables import Table, TableRow, make_table, recipes_of


@dataclass(frozen=True)
class PaperPart:
    """A paper's table as the page shows it.

    Args:
        table: the numbers.
        charts: our accuracies, a chart a data set.
    """

    table: Table
    charts: list[Chart]

    @property
    def rows(self) -> dict[str, list[TableRow]]:
        """Its rows by data set."""
        return grouped(self.table.lines, lambda line: line.paper.dataset)

    @property
    def given(self) -> dict[str, list[Beside]]:
        """Given results by data set."""
        return grouped(self.table.given, lambda line: line.given.dataset)

    @property
    def notes(self) -> list[str]:
        """Footnotes, numbered from 1."""
        return list(dict.fromkeys(note for line in self.table.lines for note in line.paper.facts))

    @property
    def stated(self) -> bool:
        """Whether any difference to the paper is stated."""
        return any(line.ours and line.ours.difference is not None for line in self.table.lines)

    def is_reference(self, line: TableRow) -> bool:
        """Whether a row is the one that others are compared with."""
        return bool(
            line.ours and line.paper.recipe and (line.paper.recipe, line.paper.at_steps) == (self.table.against, None)
        )


def paper_parts(
    records: Sequence[Record], select: str, on: str | None, against: str | None, given: Sequence[Given] = ()
) -> tuple[list[PaperPart], list[str], list[str]]:
    """The tables that our runs have a row in, the numbers of TMKT's other tables, and why one cannot be shown.

    Raises:
        RecipeError: if no table has recipes of the data set `on`, or a row of the reference.
    """
    names, wanted, missing, refused = {record["name"] for record in records}, [], [], []
    for number, paper in paper_tables().items():
        try:
            ours = names & set(recipes_of(paper, on))
        except RecipeError as error:
            refused.append(error)
            continue
        if ours:
            wanted.append(paper)
        elif number.isdigit():
            missing.append(number)
    if refused and not wanted and not missing:
        raise refused[0]
    rows = {row.recipe for paper in wanted for row in paper.rows}
    if not wanted:
        require_recipe(records, against)
    elif against is not None and against not in rows:
        known = ", ".join(sorted(recipe for recipe in rows if recipe))
        raise RecipeError(f"no table of this page has a row '{against}' to compare with; they have {known}")
    parts, left_out = [], []
    for paper in wanted:
        try:
            parts.append(_paper_part(paper, records, select, on, against, given))
        except RecipeError as error:
            left_out.append(f"Table {paper.number} is left out: {error}.")
    return parts, missing, left_out


def _paper_part(
    paper: PaperTable,
    records: Sequence[Record],
    select: str,
    on: str | None,
    against: str | None,
    given: Sequence[Given],
) -> PaperPart:
    reference = against if against in {row.recipe for row in paper.rows} else None
    table = make_table(paper, records, select, on, reference, given)
    measured = grouped([line for line in table.lines if line.ours], lambda line: line.paper.dataset)
    return PaperPart(table, [_dots_of_table(dataset, lines, table) for dataset, lines in measured.items()])


def _dots_of_table(dataset: str, lines: Sequence[TableRow], table: Table) -> Chart:
    """Our accuracies of one data set's rows; the paper's only where the difference to it is stated, too."""
    rows = []
    for line in lines:
        if line.ours is not None:
            paper = line.paper.accuracy if line.ours.difference is not None else None
            colour = colour_of(line.recipe or "", line.ours.method)
            rows.append(
                (Dots(line.paper.method, colour, tuple(line.ours.accuracy.values()), paper), line.ours.accuracy)
            )
    for beside in table.given:
        one = beside.given
        if one.dataset == (table.on or dataset):
            label = f"{one.method}, {one.label}"
            rows.append((Dots(label, other_colour(one.method), tuple(one.accuracy.values())), one.accuracy))
    return _dot_chart(f"Test accuracy on {table.on or dataset}", f"Test accuracy (%) on {table.on or dataset}", rows)


def _dot_chart(title: str, caption: str, rows: Sequence[tuple[Dots, Mapping[int, float]]]) -> Chart:
    """A chart of some rows, and the numbers behind it: accuracy by seed."""
    dots = [row for row, _ in rows]
    note = "Dots: seeds; bar and number: their mean"
    note += "; hollow diamond: the paper's value." if any(row.paper is not None for row in dots) else "."
    best, worst = max(dots, key=lambda row: row.mean), min(dots, key=lambda row: row.mean)
    sentence = f"{title}: the mean of {best.label} is the highest, {best.mean:.2f} %"
    sentence += f"; that of {worst.label} is the lowest, {worst.mean:.2f} %." if len(dots) > 1 else "."
    seeds = sorted({seed for _, found in rows for seed in found})
    cells = [
        [row.label, *(f"{found[seed]:.2f}" if seed in found else "" for seed in seeds), f"{row.mean:.2f}"]
        for row, found in rows
    ]
    numbers = Grid(caption, ["row", *(f"seed {seed}" for seed in seeds), "mean"], cells)
    return Chart(title, note, [("", DotChart(dots, sentence))], numbers)


def other_runs(
    records: Sequence[Record], parts: Sequence[PaperPart], select: str, against: str | None
) -> tuple[Grid, list[Chart]] | None:
    """Runs of recipes outside the shown tables: their accuracies, and a chart a data set."""
    shown = {line.recipe for part in parts for line in part.table.lines}
    rest = [record for record in records if record["name"] not in shown]
    if not rest:
        return None
    against = against or "baseline"
    rows = []
    for row in summarise(rest, select, against):
        accuracy = f"{mean_in_words(row.mean, row.std)} ({row.seeds})"
        rows.append([row.recipe, row.conditions, accuracy, _difference(row), f"{row.kind}, {row.protocol}"])
    head = [
        "recipe",
        "settings that differ",
        "accuracy, %",
        f"difference to {against}, same settings",
        "data, protocol",
    ]
    caption = "Runs by recipe and settings; difference: paired by seed, with Student's 95 % interval"
    charts = [_dots_of_runs(words, groups, select) for words, groups in data_of(by_title(rest)).items()]
    return Grid(caption, head, rows), charts


def given_grid(records: Sequence[Record], given: Sequence[Given], select: str, against: str) -> Grid | None:
    """Results that files give, each beside the runs of the reference; None if there are none."""
    rows = []
    for row in summarise(records, select, against, given) if given else ():
        if row.given_by:
            accuracy = f"{mean_in_words(row.mean, row.std)} ({row.seeds})"
            rows.append([row.recipe, row.given_by, ", ".join(row.setting), accuracy, _difference(row), row.notes])
    head = ["method", "file", "as the file says", "accuracy, % (n)", f"difference to {against}", "notes"]
    caption = "Results given by files; difference: over the seeds both have, with Student's 95 % interval"
    return Grid(caption, head, rows) if rows else None


def _difference(row: Row) -> str:
    """To the reference, or why there is none."""
    if row.not_compared:
        return f"not compared: {row.not_compared}"
    return signed_interval(row.difference, row.low, row.high)


def _dots_of_runs(words: str, groups: Sequence[Runs], select: str) -> Chart:
    rows = []
    for group in groups:
        found = accuracies(group.records, select)
        colour = colour_of(group.name, group.first["recipe"]["method"]["name"])
        rows.append((Dots(group.title.split("/", 1)[-1], colour, tuple(found.values())), found))
    return _dot_chart(f"Test accuracy on {words}", f"Test accuracy (%) on {words}", rows)
