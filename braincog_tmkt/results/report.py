"""One HTML file that shows finished runs: the papers' tables with ours beside them, curves, splits, cost, versions."""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..errors import RecipeError
from ..files import write_whole
from .frame import Record, Runs, by_title, distinct, require_selection
from .given import Given
from .render import letter, orderings_in_words
from .report_papers import given_grid, other_runs, paper_parts
from .report_parts import (
    Grid,
    audit_grid,
    by_stage,
    cost_grid,
    curve_charts,
    data_of,
    paired_in_words,
    remark_grid,
    seeds_in_words,
    shortened,
    signed,
    stage_grid,
    step_chart,
    version_grids,
)
from .schema import SELECTIONS
from .setting import warnings_of

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


def write_report(
    records: Iterable[Record],
    path: str | Path,
    select: str = "last",
    on: str | None = None,
    against: str | None = None,
    pictures: Path | None = None,
    given: Sequence[Given] = (),
) -> Path:
    """Write the page, whole or not at all, and return its path. It needs no other file and no network.

    Args:
        records: as `store.read_records` gives them; a run may be there twice.
        path: the HTML file.
        select: which epoch the accuracies are of: `last`, `best_val`, or `best_test`.
        on: a data set that stands in for the papers' own: its recipes of the same names.
        against: the recipe (its last part) to compare with, instead of each table's own choice.
        pictures: a folder with the pictures of `tmkt figure`, which become part of the page.
        given: results that files give, shown as such.

    Raises:
        RecipeError: without records, for an unknown selection, data set or reference, or a folder without pictures.
        TrainingError: if the file cannot be written.
    """
    require_selection(select)
    found = distinct(records)
    if not found:
        raise RecipeError("there are no records to report on: name folders with finished runs")
    parts, missing, left_out = paper_parts(found, select, on, against, given)
    groups = by_title(found)
    blocks = data_of(groups).items()
    html = _template().render(
        about=_about(found, groups, select),
        warnings=[*_warnings(groups, select), *left_out],
        select=EPOCHS[select],
        papers=parts,
        missing=missing,
        others=other_runs(found, parts, select, against),
        given=given_grid(found, given, select, against or "baseline"),
        stages=stage_grid(groups, select),
        remarks=remark_grid(groups),
        curves=[(words, curve_charts(by_stage(runs, trained=True))) for words, runs in blocks],
        steps=[(words, step_chart(by_stage(runs), select)) for words, runs in blocks],
        audit=audit_grid(groups),
        cost=cost_grid(groups),
        versions=version_grids(found),
        pictures=_pictures(pictures) if pictures else [],
    )
    path = Path(path)
    write_whole(path, html.encode(errors="backslashreplace"))
    return path


def _template() -> Any:
    loader = PackageLoader("braincog_tmkt.results")
    page = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    page.filters |= {"signed": signed, "paired": paired_in_words, "seeds": seeds_in_words}
    page.globals |= {"letter": letter, "orderings_in_words": orderings_in_words}
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
    leaky = [group.title for group in groups if any(record["data"]["leaky"] for record in group.records)]
    kinds = {kind: [g.title for g in groups if g.first["data"]["kind"] == kind] for kind in ("simulated", "embedded")}
    found = [(leaky, "Training could see images of held-out recordings (the split leaks)")]
    found += [
        (kinds["simulated"], "The recordings are simulated"),
        (kinds["embedded"], "The data are an embedded toy set"),
    ]
    found += [(shortened(groups), "Shortened: fewer epochs or steps, or a narrower network, than the full recipe")]
    words = [f"{what}: {_all_or_some(labels, groups)}." for labels, what in found if labels]
    words += [f"{group.title}, {said}." for group in groups for said in warnings_of(group.records, select)]
    if select == "best_test":
        words.append("The epoch was selected on the test set, as the papers do: these accuracies are too high.")
    return words


def _all_or_some(labels: list[str], groups: Sequence[Runs]) -> str:
    if set(labels) in ({group.title for group in groups}, {group.name for group in groups}):
        return "all runs"
    return ", ".join(labels[:8]) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")


def _words(values: set[str]) -> str:
    return ", ".join(sorted(values))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + "s" * (number != 1)


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
