"""One HTML file that shows finished runs: the papers' tables with ours beside them, curves, splits, cost, versions."""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..errors import RecipeError
from ..files import write_whole
from .charts import Dots, dot_chart, to_svg
from .paper import PaperTable, paper_tables
from .render import letter, orderings_in_words
from .report_parts import (
    Chart,
    Grid,
    Record,
    Runs,
    audit_grid,
    by_data,
    cost_grid,
    curve_charts,
    distinct,
    group_runs,
    mean_std,
    shortened,
    signed,
    step_chart,
    version_grids,
)
from .report_stages import by_stage, remark_grid, stage_grid
from .schema import SELECTIONS
from .setting import warnings_of
from .statistics import Paired
from .summary import require_selection, summarise
from .tables import Ordering, Table, TableRow, make_table, recipes_of

MOST_ROWS = 150
"""Of a picture's numbers that become part of the page."""

PICTURES = {
    "activity": "Firing rates by node, synaptic operations by layer, and energy, of each run",
    "confusion": "Confusion matrix of each run: true class by predicted class",
    "epochs": "Test accuracy and test loss by epoch, mean over the seeds",
    "features": "t-SNE map of the aligned features of recordings and static images, of each run",
    "gradcam": "Grad-CAM++ maps of some classes over static images and event frames, of each run",
    "landscape": "Loss around the weights of each run on a plane of two random directions, and its rise with distance",
    "timesteps": "Test accuracy by the number of time steps, of the network trained with as many or with more",
}
"""What the pictures of `tmkt figure` show, by name."""

EPOCHS = dict(
    zip(
        SELECTIONS,
        ("the last epoch", "the epoch that was best on validation", "the epoch that was best on the test set"),
        strict=True,
    )
)


@dataclass(frozen=True)
class PaperPart:
    """A paper's table as the page shows it.

    Args:
        table: the numbers.
        rows: its rows by data set.
        letters: letter -> setting of our runs.
        notes: footnotes, numbered from 1.
        count: how many of the paper's orderings hold here, in a sentence; empty if there are none.
        orderings: rows of the table of orderings.
        charts: our accuracies, a chart a data set.
    """

    table: Table
    rows: dict[str, list[dict[str, Any]]]
    letters: dict[str, str]
    notes: list[str]
    count: str
    orderings: list[dict[str, Any]]
    charts: list[Chart]

    @property
    def stated(self) -> bool:
        """Whether any difference to the paper is stated."""
        return any(line.ours and line.ours.difference is not None for line in self.table.lines)


def write_report(
    records: Iterable[Record],
    path: str | Path,
    select: str = "last",
    on: str | None = None,
    against: str | None = None,
    pictures: Path | None = None,
) -> Path:
    """Write the page, whole or not at all, and return its path. It needs no other file and no network.

    Args:
        records: as `store.read_records` gives them; a run may be there twice.
        path: the HTML file.
        select: which epoch the accuracies are of: `last`, `best_val`, or `best_test`.
        on: a data set that stands in for the papers' own: its recipes of the same names.
        against: the recipe (its last part) to compare with, instead of each table's own choice.
        pictures: a folder with the pictures of `tmkt figure`, which become part of the page.

    Raises:
        RecipeError: without records, for an unknown selection, data set or reference, or a folder without pictures.
        TrainingError: if the file cannot be written.
    """
    require_selection(select)
    found = distinct(records)
    if not found:
        raise RecipeError("there are no records to report on: name folders with finished runs")
    parts, missing, left_out = _paper_parts(found, select, on, against)
    groups = group_runs(found)
    blocks = [(words, f"data{number}", runs) for number, (words, runs) in enumerate(by_data(groups).items(), 1)]
    html = _template().render(
        about=_about(found, groups, select),
        warnings=[*_warnings(groups, select), *left_out],
        select=EPOCHS[select],
        papers=parts,
        missing=missing,
        others=_other_runs(found, parts, select, against),
        stages=stage_grid(groups, select),
        remarks=remark_grid(groups),
        curves=[(words, curve_charts(by_stage(runs, trained=True), name)) for words, name, runs in blocks],
        steps=[(words, step_chart(by_stage(runs), name, select)) for words, name, runs in blocks],
        audit=audit_grid(groups),
        cost=cost_grid(groups),
        versions=version_grids(found),
        pictures=_pictures(pictures) if pictures else [],
    )
    path = Path(path)
    write_whole(path, html.encode())
    return path


def _template() -> Any:
    loader = PackageLoader("braincog_tmkt.results")
    page = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    return page.get_template("report.html")


def _about(records: Sequence[Record], groups: Sequence[Runs], select: str) -> list[str]:
    """What this page is, in two sentences."""
    data = _words({f"{record['data']['set']} ({record['data']['kind']})" for record in records})
    protocols = _words({record["data"]["protocol"] for record in records})
    machines = _words({f"{record['device_name']} ({record['device']})" for record in records})
    names = len({group.name for group in groups})
    first, last = min(record["started"] for record in records)[:10], max(r["finished"] for r in records)[:10]
    dates = f"on {first}" if first == last else f"from {first} to {last}"
    return [
        f"This page shows {_count(len(records), 'finished run')} of {_count(names, 'recipe')} on {data},"
        f" split by the protocol {protocols}, made on {machines} {dates}.",
        f"Accuracies are percentages of the test recordings, to 2 decimals, at {EPOCHS[select]}; over several"
        " seeds they are given as mean ± standard deviation (n seeds).",
    ]


def _warnings(groups: Sequence[Runs], select: str) -> list[str]:
    leaky = [group.label for group in groups if any(record["data"]["leaky"] for record in group.records)]
    kinds = {kind: [g.label for g in groups if g.first["data"]["kind"] == kind] for kind in ("simulated", "embedded")}
    found = [(leaky, "Training could see images of held-out recordings (the split leaks)")]
    found += [
        (kinds["simulated"], "The recordings are simulated"),
        (kinds["embedded"], "The data are an embedded toy set"),
    ]
    found += [(shortened(groups), "Shortened: fewer epochs or steps, or a narrower network, than the full recipe")]
    words = [f"{what}: {_all_or_some(labels, groups)}." for labels, what in found if labels]
    words += [f"{group.label}, {said}." for group in groups for said in warnings_of(group.records, select)]
    if select == "best_test":
        words.append("The epoch was selected on the test set, as the papers do: these accuracies are too high.")
    return words


def _all_or_some(labels: list[str], groups: Sequence[Runs]) -> str:
    if set(labels) in ({group.label for group in groups}, {group.name for group in groups}):
        return "all runs"
    return ", ".join(labels[:8]) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")


def _words(values: set[str]) -> str:
    return ", ".join(sorted(values))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + "s" * (number != 1)


def _paper_parts(
    records: Sequence[Record], select: str, on: str | None, against: str | None
) -> tuple[list[PaperPart], list[str], list[str]]:
    """The tables that our runs have a row in, the numbers of TMKT's other tables, and why one cannot be shown."""
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
    if wanted and against is not None and against not in rows:
        known = ", ".join(sorted(recipe for recipe in rows if recipe))
        raise RecipeError(f"no table of this page has a row '{against}' to compare with; they have {known}")
    parts, left_out = [], []
    for paper in wanted:
        try:
            parts.append(_paper_part(paper, records, select, on, against))
        except RecipeError as error:
            left_out.append(f"Table {paper.number} is left out: {error}.")
    return parts, missing, left_out


def _paper_part(
    paper: PaperTable, records: Sequence[Record], select: str, on: str | None, against: str | None
) -> PaperPart:
    reference = against if against in {row.recipe for row in paper.rows} else None
    table = make_table(paper, records, select, on, reference)
    letters = {setting: letter(table, setting) for setting in table.settings}
    notes: list[str] = []
    rows: dict[str, list[dict[str, Any]]] = {}
    for line in table.lines:
        rows.setdefault(line.paper.dataset, []).append(_row(line, table, letters, notes))
    charts = [_dots(dataset, lines, table) for dataset, lines in rows.items() if any(row["line"].ours for row in lines)]
    shown = [_ordering(ordering) for ordering in table.orderings]
    named = {short: setting for setting, short in letters.items()}
    count = orderings_in_words(table) if shown else ""
    return PaperPart(table, rows, named, notes, count, shown, charts)


def _row(line: TableRow, table: Table, letters: dict[str, str], notes: list[str]) -> dict[str, Any]:
    """The cells of one row; its footnotes are added to `notes`."""
    paper, ours = line.paper, line.ours
    said = paper.facts
    notes += [note for note in said if note not in notes]
    reference = paper.recipe is not None and (paper.recipe, paper.at_steps) == (table.against, None)
    return {
        "line": line,
        "notes": [notes.index(note) + 1 for note in said],
        "paper": "" if paper.accuracy is None else f"{paper.accuracy:.2f}",
        "ours": mean_std(list(ours.accuracy.values()), ours.std) if ours else line.status,
        "letter": letters[ours.setting] if ours else "",
        "difference": signed(ours.difference) if ours and ours.difference is not None else "",
        "against": _paired(ours.against) if ours and ours.against else "reference" if ours and reference else "",
        "verdict": ours.against.verdict if ours and ours.against else "",
    }


def _ordering(ordering: Ordering) -> dict[str, Any]:
    return {
        "dataset": ordering.dataset,
        "pair": f"{ordering.better} > {ordering.worse}",
        "paper": signed(ordering.paper),
        "ours": _paired(ordering.ours),
        "verdict": ordering.verdict,
    }


def _paired(result: Paired) -> str:
    """A paired difference with its bootstrap interval and n."""
    interval = "" if result.low is None or result.high is None else f" [{signed(result.low)}, {signed(result.high)}]"
    return f"{signed(result.mean)}{interval} ({result.seeds})"


def _dots(dataset: str, lines: Sequence[dict[str, Any]], table: Table) -> Chart:
    """Our accuracies of one data set's rows; the paper's only where the difference to it is stated, too."""
    measured = [(row["line"].paper, row["line"].recipe, row["line"].ours) for row in lines if row["line"].ours]
    dots = [
        Dots(
            paper.method, recipe, tuple(ours.accuracy.values()), paper.accuracy if ours.difference is not None else None
        )
        for paper, recipe, ours in measured
    ]
    seeds = sorted({seed for _, _, ours in measured for seed in ours.accuracy})
    rows = [
        [
            paper.method,
            *(f"{ours.accuracy[seed]:.2f}" if seed in ours.accuracy else "" for seed in seeds),
            f"{ours.mean:.2f}",
        ]
        for paper, _, ours in measured
    ]
    grid = Grid(
        f"Test accuracy (%) on {table.on or dataset}", ["row", *(f"seed {seed}" for seed in seeds), "mean"], rows
    )
    return _dot_panel(f"table{table.paper.number}-{dataset}", f"Test accuracy on {table.on or dataset}", dots, grid)


def _dot_panel(name: str, title: str, dots: Sequence[Dots], grid: Grid) -> Chart:
    note = "Dots: seeds; bar and number: their mean"
    note += "; hollow diamond: the paper's value." if any(row.paper is not None for row in dots) else "."
    means = [(sum(row.values) / len(row.values), row.label) for row in dots]
    sentence = f"{title}: the mean of {max(means)[1]} is the highest, {max(means)[0]:.2f} %"
    sentence += f"; that of {min(means)[1]} is the lowest, {min(means)[0]:.2f} %." if len(means) > 1 else "."
    return Chart(title, note, [("", to_svg(dot_chart(dots), name, sentence))], grid)


def _other_runs(
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
        std = "" if row.std is None else f" ± {row.std:.2f}"
        interval = "" if row.low is None or row.high is None else f" [{signed(row.low)}, {signed(row.high)}]"
        difference = "" if row.difference is None else signed(row.difference) + interval
        cells = [row.conditions, f"{row.mean:.2f}{std} ({row.seeds})", difference, f"{row.kind}, {row.protocol}"]
        rows.append([row.recipe, *cells])
    head = [
        "recipe",
        "settings that differ",
        "accuracy, %",
        f"difference to {against}, same settings",
        "data, protocol",
    ]
    caption = "Runs by recipe and settings; difference: paired by seed, with Student's 95 % interval"
    return Grid(caption, head, rows), [
        _rest_dots(words, groups, f"runs{number}", select)
        for number, (words, groups) in enumerate(by_data(group_runs(rest)).items(), 1)
    ]


def _rest_dots(words: str, groups: Sequence[Runs], name: str, select: str) -> Chart:
    values = {g.label: {r["seed"]: 100 * r[select]["accuracy"] for r in g.records} for g in groups}
    dots = [Dots(group.label.split("/", 1)[-1], group.name, tuple(values[group.label].values())) for group in groups]
    seeds = sorted({seed for ours in values.values() for seed in ours})
    rows = [[label, *(f"{ours[seed]:.2f}" if seed in ours else "" for seed in seeds)] for label, ours in values.items()]
    grid = Grid(f"Test accuracy (%) on {words}", ["recipe", *(f"seed {seed}" for seed in seeds)], rows)
    return _dot_panel(name, f"Test accuracy on {words}", dots, grid)


def _pictures(folder: Path) -> list[dict[str, Any]]:
    """The PNG files of a folder as data URIs.

    Raises:
        RecipeError: if there are none.
    """
    files = sorted(Path(folder).glob("*.png"))
    if not files:
        raise RecipeError(f"{folder} holds no pictures (*.png): make some with `tmkt figure NAME RUN --out {folder}`")
    return [_picture(file) for file in files]


def _picture(file: Path) -> dict[str, Any]:
    words = PICTURES.get(file.stem, f"Picture {file.stem.replace('_', ' ')}")
    uri = "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()
    return {"alt": words, "uri": uri, "numbers": _numbers(file.with_suffix(".csv"), words)}


def _numbers(file: Path, caption: str) -> Grid | None:
    """A short file of numbers as a table; None if there is none, or if it is long.

    Raises:
        RecipeError: if it is no such file.
    """
    try:
        rows = list(csv.reader(file.read_text(encoding="utf-8").splitlines())) if file.is_file() else []
    except (OSError, ValueError, csv.Error) as error:
        raise RecipeError(f"{file} cannot be read ({error}): make the picture again with `tmkt figure`") from error
    return Grid(f"{caption}: the numbers", rows[0], rows[1:]) if 1 < len(rows) <= MOST_ROWS else None
