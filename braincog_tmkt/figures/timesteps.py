"""How the accuracy depends on the number of time steps, if they are cut when testing or in the training, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from matplotlib.transforms import ScaledTranslation

from ..results.frame import Curve, Point, Record, Runs, by_seed, by_step, over_seeds, require_selection
from ..results.identity import OTHER_COLOURS, identity_of, other_colour
from ..results.stages import split_runs, stage_in_words, steps_of
from .base import entitle, figure_of_records, tidy, widen
from .records import by_data, group_seeds, warnings_in_words

BY_STEPS = "by_steps"
STEPS = ("data.steps", "method.steps")
LINEAR = 24
"""With more steps than this, their axis is logarithmic."""
LETTERS = 72
"""Of a line of the legend, which is as wide as a column."""
ROWS = {"accuracy": "test accuracy (%)", "synaptic_operations": "synaptic operations\nof one recording"}
ROWS |= {"firing_rate": "spikes per neuron\nand step (%)", "energy": "energy of one\nrecording (J)"}
LEAST = {"accuracy": (5, 0, 100), "firing_rate": (1, 0)}
"""The smallest range of a row's axis, and the limits of its values; of others a tenth of the largest value."""
STYLES: dict[str, dict[str, Any]] = {
    "STS": {"linestyle": "-", "marker": "o", "linewidth": 2.0},
    "DTS": {"linestyle": (0, (4, 2)), "marker": "o", "markerfacecolor": "white"},
}
"""Of lines by their role: trained and tested with T; tested with T only. Networks of earlier stages have `EARLIER`."""
EARLIER: tuple[dict[str, Any], ...] = (
    {"linestyle": (0, (1, 1.2)), "marker": "s", "alpha": 0.75},
    {"linestyle": (0, (5, 1.5, 1, 1.5)), "marker": "^", "alpha": 0.75},
)
EPOCHS = {"last": "last epoch", "best_val": "epoch best on validation", "best_test": "epoch best on the test set"}


@dataclass(frozen=True)
class Line:
    """A line of the picture.

    Args:
        who: method, and what tells it apart from other lines of it.
        what: which of its networks, in words.
        role: `STS`, `DTS`, or the stage that the network comes out of.
        colour: its colour.
        points: of the rows in `ROWS`, each over T; a row without measurements is empty.
        method: of an earlier stage: whose it is.
    """

    who: str
    what: str
    role: str
    colour: str
    points: Mapping[str, list[Point]]
    method: str = ""

    @property
    def label(self) -> str:
        """What it is, in words, without n."""
        return f"{self.who}: {self.what}"

    @property
    def words(self) -> str:
        """The label and how many runs are behind a point, in lines that fit under a column."""
        seeds = sorted({point.seeds for point in self.points["accuracy"]})
        count = f"n = {seeds[0]}" + (f" to {seeds[-1]}" if len(seeds) > 1 else "")
        return fill(f"{self.label}, {count}", LETTERS, subsequent_indent="    ")


@figure_of_records("timesteps")
def timesteps(records: list[dict[str, Any]], select: str = "last") -> tuple[Figure, list[dict[str, Any]]]:
    """Draw test accuracy over the number of time steps T, trained with as many (STS) or with more (DTS), from records.

    STS are the end points of runs trained with different T; DTS is the accuracy of those with the largest T after the
    first 1, 2, .. steps, or what `tmkt eval --steps` measured, if that lies beside all their records. Runs with stages
    (HSD) show the network after each: the ANN (mean logits of the first T frames), converted, and distilled as above.
    Runs that differ in T alone are one line, those that differ in nothing are seeds: mean and standard deviation, n.
    Below the accuracies stand synaptic operations, firing rate and energy (`engine.costs`), where there are several T.

    Args:
        records: of one data set, or of several, which get a column each.
        select: which epoch: `last`, `best_val`, or `best_test` (selected on the test set, as the papers report).

    Returns:
        The figure, and rows of data, line, measured, T, mean, std, seeds.

    Raises:
        RecipeError: for one seed with different results, or an unknown selection.
    """
    require_selection(select)
    groups = by_data(records)
    found = {words: lines_of(group, select) for words, group in groups.items()}
    rows = [
        {"data": words, "line": line.label, "measured": row, "T": point.x, "mean": point.mean, "std": point.std}
        | {"seeds": point.seeds}
        for words, lines in found.items()
        for line in lines
        for row, points in line.points.items()
        for point in points
    ]
    said = [words for group in groups.values() for words in warnings_in_words(group_seeds(group, STEPS), select)]
    return _draw(found, select, said), rows


def lines_of(records: Sequence[Record], select: str) -> list[Line]:
    """The lines of one data set: those of earlier stages first, each once, then the trained networks."""
    groups = group_seeds(records, STEPS)
    colours = iter(OTHER_COLOURS * len(groups))
    trained: list[Line] = []
    earlier: list[Line] = []
    seen: set[str] = set()
    for group in groups:
        own = identity_of(group.first["recipe"]["method"]["name"]).colour if group.name not in seen else ""
        colour = own or next(colours)
        seen.add(group.name)
        trained += _trained(group, select, colour)
        earlier += _earlier(group, select, colour)
    return [*_once(earlier), *trained]


def _largest(group: Runs) -> list[Record]:
    """The runs with the largest T."""
    most = max(steps_of(record["recipe"]) for record in group.records)
    return [record for record in group.records if steps_of(record["recipe"]) == most]


def _trained(group: Runs, select: str, colour: str) -> list[Line]:
    """What a method comes to with T steps: trained with them, and only tested with them."""
    longest = _largest(group)
    most = steps_of(longest[0]["recipe"])
    if list(split_runs(longest))[-1] == "convert":  # nothing was trained with any T
        return [Line(group.title, "converted, tested with T steps", "STS", colour, _cut(longest, select))]
    lines = [
        Line(group.title, "trained and tested with T steps (STS)", "STS", colour, _end_points(group, select)),
        Line(group.title, f"trained with {most}, tested with T (DTS)", "DTS", colour, _cut(longest, select)),
    ]
    kept = [line for line in lines if len(line.points["accuracy"]) > 1]  # one point says nothing beside a line
    return kept or lines[:1]


def _end_points(group: Runs, select: str) -> dict[str, list[Point]]:
    """Accuracy and cost of runs of different T, each at its own."""
    found: dict[str, list[Point]] = {row: [] for row in ROWS}
    for steps in sorted({steps_of(record["recipe"]) for record in group.records}):
        own = [record for record in group.records if steps_of(record["recipe"]) == steps]
        for row in ROWS:
            curves = by_seed(own, partial(_end, row=row, steps=steps, select=select))
            found[row] += over_seeds(curves.values())
    return found


def _end(record: Record, row: str, steps: int, select: str) -> Curve:
    """The value of a run at its own T; nothing where it was not measured."""
    if row == "accuracy":
        return {steps: 100 * record[select]["accuracy"]} if record[select] else {}
    if row == "firing_rate":
        return {steps: 100 * fmean(record["firing_rates"].values())} if record["firing_rates"] else {}
    return {steps: record["synaptic_operations"]} if row == "synaptic_operations" else {}


def _cut(records: list[Record], select: str) -> dict[str, list[Point]]:
    """Accuracy and cost of runs of one T, tested with others."""
    if all(BY_STEPS in record for record in records) and select == "last":
        scale = {"accuracy": 100, "firing_rate": 100, "energy": 1e-12}

        def measured(row: str) -> Any:
            return lambda record: {
                int(each["steps"]): scale.get(row, 1) * each[row] for each in record[BY_STEPS] if row in each
            }

        return {row: over_seeds(by_seed(records, measured(row)).values()) for row in ROWS}
    return {"accuracy": _by_step(records, select)} | {row: [] for row in ROWS if row != "accuracy"}


def _by_step(records: Iterable[Record], select: str) -> list[Point]:
    """Accuracy after the first 1, 2, .. steps."""
    return over_seeds(by_seed(records, partial(by_step, select=select)).values())


def _earlier(group: Runs, select: str, colour: str) -> list[Line]:
    """The network after the stages before the last one."""
    parts = split_runs(_largest(group))
    return [
        Line(
            group.title,
            stage_in_words(stage),
            stage,
            colour,
            {row: [] for row in ROWS} | {"accuracy": _by_step(parts[stage], select)},
            group.name,
        )
        for stage in list(parts)[:-1]
    ]


def _once(lines: Iterable[Line]) -> list[Line]:
    """Each line once: runs that differ in a later stage share the earlier ones, which then have their own colour."""
    found: dict[str, Line] = {}
    for line in lines:
        if line.points["accuracy"]:
            found.setdefault(f"{line.role} {line.points['accuracy']}", line)
    roles = [line.role for line in found.values()]
    return [
        replace(line, who=line.method, colour=other_colour(line.role)) if roles.count(line.role) == 1 else line
        for line in found.values()
    ]


def _draw(found: Mapping[str, list[Line]], select: str, said: Sequence[str] = ()) -> Figure:
    """A column a data set: accuracy, and below it the cost, if it is known at several T."""
    lines = [line for group in found.values() for line in group]
    rows = [row for row in ROWS if row == "accuracy" or any(len(line.points[row]) > 1 for line in lines)]
    width = max(5.4 * len(found), 6.6)
    longest = max(sum(line.words.count("\n") + 1 for line in group) for group in found.values())
    heights = [3.6, *[1.5] * (len(rows) - 1)]
    figure = Figure(figsize=(width, sum(heights) + 1.1 + 0.2 * longest), layout="constrained")
    grid = figure.subplots(len(rows), len(found), squeeze=False, sharex="col", height_ratios=heights)
    for column, (words, group) in enumerate(found.items()):
        for place, row in enumerate(rows):
            _panel(grid[place][column], row, group)
            if column == 0:
                grid[place][column].set_ylabel(ROWS[row])
        grid[0][column].set_title(fill(words, LETTERS - 12), fontsize=10)
        bottom = grid[-1][column]
        bottom.set_xlabel("time steps T of the test")
        marks = grid[0][column].get_legend_handles_labels()
        below = bottom.transAxes + ScaledTranslation(-0.1, -0.5, figure.dpi_scale_trans)
        corner = {"loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": below, "borderaxespad": 0}
        bottom.legend(*marks, **corner, frameon=False, fontsize=8.5)
    entitle(figure, f"Accuracy by time steps, {EPOCHS[select]}; mean and standard deviation over n seeds", said)
    return figure


def _panel(axes: Axes, row: str, lines: Sequence[Line]) -> None:
    stages = list(dict.fromkeys(line.role for line in lines if line.role not in STYLES))
    for line in lines:
        points = line.points[row]
        if not points:
            continue
        style = {
            "markersize": 4.5,
            "linewidth": 1.5,
            "capsize": 2.5,
            "elinewidth": 0.9,
            **(STYLES.get(line.role) or EARLIER[stages.index(line.role) % len(EARLIER)]),
        }
        x, mean, std = ([point[at] for point in points] for at in range(3))
        if line.role == "ann" and x == [1]:  # an ANN of still images: its accuracy is that of no T
            axes.axhline(mean[0], color=line.colour, label=line.words, linestyle=style["linestyle"])
            continue
        axes.errorbar(x, mean, std if any(std) else None, color=line.colour, label=line.words, **style)
    places = {point.x for line in lines for point in line.points[row]}
    if len(places) == 1:
        axes.set_xlim(min(places) - 0.5, max(places) + 0.5)
    if max(places, default=1) > LINEAR:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    tidy(axes)
    means = [point.mean for line in lines for point in line.points[row]]
    widen(axes, *LEAST.get(row, (0.1 * max(means, default=0) or 1, 0)))
    if row in ("synaptic_operations", "energy"):
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
