"""Test accuracy and test loss by epoch: how runs with different settings learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..errors import RecipeError
from ..registry import did_you_mean
from ..results.frame import Curve, Point, Record, Runs, by_seed, over_seeds
from ..results.stages import stage_in_words
from .base import entitle, figure_of_records, tidy, widen
from .records import by_data, group_seeds, warnings_in_words

MEASURED = {"accuracy": ("test accuracy (%)", 100.0), "loss": ("test loss", 1.0)}
PALETTE = ("#b2182b", "#1b7fbd", "#333333", "#e08214", "#1b7837", "#762a83", "#8c510a", "#c51b7d")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1, 1.5)))


@figure_of_records("epochs")
def epochs(records: list[dict[str, Any]], stage: str | None = None) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw test accuracy and test loss by epoch of several settings, from records.

    Runs that differ in nothing are seeds of one line: their mean, and a band of one standard deviation. Lines are
    labelled by what differs between the settings. Epoch 0 is the network before a stage that follows a conversion.

    Args:
        records: on the same test recordings, tested after more than one epoch (`train.eval_every`).
        stage: of methods with several stages, the one to show; None for the last.

    Returns:
        The figure, and rows of run, epoch, measured, mean, std, seeds.

    Raises:
        RecipeError: for records of different data, an unknown stage, or nothing to draw.
    """
    data = list(by_data(records))
    if len(data) > 1:
        raise RecipeError(f"the runs do not share their data ({'; '.join(data)}): give runs on the same data")
    groups = group_seeds(records)
    found = {group: {row: curve_over_seeds(group, row, stage) for row in MEASURED} for group in groups}
    if all(len(points["accuracy"]) < 2 for points in found.values()):
        raise RecipeError("these runs were tested after one epoch only: train them for more, with train.eval_every=1")
    rows = [
        {"run": group.title, "epoch": point.x, "measured": row, "mean": point.mean, "std": point.std}
        | {"seeds": point.seeds}
        for group, measured in found.items()
        for row, points in measured.items()
        for point in points
    ]
    return _draw(found, data[0], stage), rows


def curve_over_seeds(group: Runs, measured: str, stage: str | None = None) -> list[Point]:
    """`accuracy` in percent, or `loss`, of the test recordings by epoch (from 1; 0 before the stage), over the seeds.

    Raises:
        RecipeError: if a run has no such stage.
    """
    return over_seeds(by_seed(group.records, _curve(measured, stage)).values())


def _curve(measured: str, stage: str | None) -> Callable[[Record], Curve]:
    factor = MEASURED[measured][1]

    def curve_of(record: Record) -> Curve:
        number = _number_of(record, stage)
        before = [entry for entry in record["history"] if entry["stage"] == number - 1 and "train" not in entry]
        own = [entry for entry in record["history"] if entry["stage"] == number]
        entries = [*((0, entry) for entry in before[-1:]), *((entry["epoch"] + 1, entry) for entry in own)]
        return {place: factor * entry["test"][measured] for place, entry in entries if "test" in entry}

    return curve_of


def _number_of(record: Record, stage: str | None) -> int:
    """Which of a record's stages is meant."""
    names = list(record.get("stages", ("train",)))
    if stage is not None and stage not in names:
        raise RecipeError(f"{record['name']} has no stage '{stage}': {did_you_mean(stage, names)}")
    return names.index(stage) if stage else len(names) - 1


def _draw(found: Mapping[Runs, Mapping[str, list[Point]]], data: str, stage: str | None) -> Figure:
    figure = Figure(figsize=(9.6, 4.0 + 0.12 * len(found)), layout="constrained")
    grid = figure.subplots(1, 2)
    methods = {group.name for group in found}
    several = len(methods) > 1
    for axes, (row, (words, _)) in zip(grid, MEASURED.items(), strict=True):
        for number, (group, measured) in enumerate(found.items()):
            name = group.title if several or not group.label else group.label
            style = {"color": PALETTE[number % len(PALETTE)], "linestyle": DASHES[number // 2 % len(DASHES)]}
            _line(axes, measured[row], name, style)
        axes.set(xlabel=_axis(found, stage), ylabel=words)
        means = [point.mean for measured in found.values() for point in measured[row]]
        widen(axes, *((5, 0, 100) if row == "accuracy" else (0.1 * max(means) or 0.1, 0)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(axes)
    columns = min(len(found), 3)
    figure.legend(
        *grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False, fontsize=9
    )
    who = "" if several else f"{next(iter(methods))} on "
    entitle(figure, f"{who}{data}; mean over n seeds, band: one standard deviation", warnings_in_words(found))
    return figure


def _axis(groups: Sequence[Runs] | Mapping[Runs, Any], stage: str | None) -> str:
    """Epochs of which stage; 0 is explained where it is drawn."""
    record = next((group.records[0] for group in groups if "stages" in group.records[0]), None)
    if record is None:
        return "epoch"
    names = list(record["stages"])
    place = _number_of(record, stage)
    before = f" (0: {stage_in_words(names[place - 1])})" if place and not _trains(record, place - 1) else ""
    return f"epoch of the stage '{names[place]}'{before}"


def _trains(record: Record, number: int) -> bool:
    return any("train" in entry for entry in record["history"] if entry["stage"] == number)


def _line(axes: Axes, points: Sequence[Point], name: str, style: Mapping[str, Any]) -> None:
    if not points:
        return
    x, mean, std, seeds = (np.array(values) for values in zip(*points, strict=True))
    mark = "o" if len(x) < 15 else None
    axes.plot(x, mean, label=f"{name} (n = {seeds.max()})", linewidth=1.7, marker=mark, markersize=3.5, **style)
    axes.fill_between(x, mean - std, mean + std, color=style["color"], alpha=0.15, linewidth=0)
