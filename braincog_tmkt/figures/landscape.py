"""The loss around the weights of finished runs, on a plane of two random directions (the paper's Figure 4)."""

from __future__ import annotations

import hashlib
import json
import math
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from ..engine.evaluate import evaluate
from ..errors import RecipeError, TrainingError
from ..inspect.reload import LoadedRun
from .base import figure_of_runs, tidy, widen
from .inputs import colour_of, warnings_in_words
from .loss_plane import ANGLES, RADII, Landscape, Place, Plane, Score, measure, moving

WIDE = 12.0
"""Losses that differ by this factor or more are drawn on a logarithmic scale."""

LEVELS, LEVELS_OF_TEN = 24, 12
"""Iso-lines of a linear scale, about; and of a factor of ten on a logarithmic one."""

LINES = ("-", "--", "-.", ":")


@figure_of_runs("landscape")
def landscape(
    runs: list[LoadedRun], out: Path, samples: int = 512, grid: int = 21, reach: float = 1.0, seed: int = 0
) -> tuple[Any, ...]:
    """Draw the loss around the weights of some runs, all on one scale, and how fast it rises.

    The loss is the cross-entropy of the event stream's mean logits on test recordings. Every point is appended at once
    to `landscape_<hash>.csv` (one file a run and settings), and a later call goes on from there. `landscape.csv` has
    the sharpness of each run, see `Landscape.sharpness`. The runs' weights are as before afterwards.

    Args:
        runs: on the same data and split, with the weights to look at.
        out: folder for the files of points.
        samples: test recordings, of all classes as equally often as they allow; the same ones for every seed.
        grid: points of a side, odd.
        reach: half the side of the plane; at 1 every filter has moved by its own norm.
        seed: of the directions; runs of one architecture share their draws.

    Returns:
        The figure, the sharpness of each run, and the files of points.

    Raises:
        TrainingError: if a file of points is damaged or cannot be written, or no loss is finite.
    """
    plane = Plane(grid, reach)
    if type(samples) is not int or samples < 1:
        raise RecipeError(f"samples is {samples}: choose 1 test recording or more")
    if type(seed) is not int:
        raise RecipeError(f"seed is {seed}: choose a whole number")
    files, found = [], []
    for run in runs:
        rows = balanced_subset(run.task.pairs.labels[run.task.pairs.rows("test")], samples)
        file = out / f"landscape_{_hash(run, len(rows), plane, seed)}.csv"
        found.append(explore(run, run.task.pairs.rows("test")[rows], plane, seed, file))
        files.append(file)
    if not any(np.isfinite(each.grid).any() for each in found):
        raise TrainingError(f"no loss on the plane is finite: choose a smaller reach than {reach}")
    table = [_row(run, each, file) for run, each, file in zip(runs, found, files, strict=True)]
    return draw(runs, found, _note(runs, len(rows), seed)), table, *dict.fromkeys(files)


def explore(run: LoadedRun, rows: Tensor, plane: Plane, seed: int, file: Path) -> Landscape:
    """Measure a run's loss on a plane, going on where `file` ends.

    Args:
        run: its weights move, and are the old ones afterwards.
        rows: recordings `[N]`.
        plane: where.
        seed: of the directions.
        file: of points, see `measure`.

    Raises:
        TrainingError: see `measure`.
    """
    with moving(run.method, seed) as move:

        def score(place: Place) -> Score:
            move(*place)
            result = evaluate(run.method, run.task.pairs, rows, run.recipe.train.at_once, run.fabric)
            return result.loss, result.accuracy

        return Landscape(plane, measure(plane.places(), score, file, str(run)))


def balanced_subset(labels: Tensor, count: int) -> Tensor:
    """Places of at most `count` of some recordings, the classes as equally often as possible; always the same ones.

    Args:
        labels: of the recordings `[N]`.
        count: how many; all of them if there are fewer.

    Example:
        >>> labels = torch.tensor([0, 0, 0, 0, 1, 1, 2])
        >>> sorted(labels[balanced_subset(labels, 5)].tolist())
        [0, 0, 1, 1, 2]
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    one_hot = torch.nn.functional.one_hot(labels[order])
    turn = (one_hot.cumsum(0) * one_hot).sum(1)  # the how manieth of its class
    return order[turn.argsort(stable=True)[:count]].sort().values


def _hash(run: LoadedRun, samples: int, plane: Plane, seed: int) -> str:
    """12 digits for everything that decides the points of a run: its weights, its data, and the settings."""
    weights = hashlib.sha256()
    for name, value in sorted(run.method.state_dict().items()):
        weights.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        weights.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    about = {
        "recipe": run.record["recipe_hash"],
        "run_seed": run.record["seed"],
        "weights": weights.hexdigest(),
        "data": [run.task.facts["fingerprint"], run.task.facts["split"]],
        "settings": [samples, plane.places(), seed],
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]


def _row(run: LoadedRun, found: Landscape, file: Path) -> dict[str, Any]:
    """A run's line of `landscape.csv`."""
    plane, losses = found.plane, [loss for loss, _ in found.scores.values()]
    return {
        "run": str(run),
        "recipe_hash": run.record["recipe_hash"],
        "data": f"{run.task.facts['set']} ({run.task.facts['kind']})",
        **found.sharpness(),
        "grid": plane.grid,
        "reach": plane.reach,
        "not_finite": sum(not math.isfinite(loss) for loss in losses),
        "points": file.name,
    }


def draw(runs: list[LoadedRun], found: list[Landscape], note: str) -> Figure:
    """A map of each run on one colour scale, and below them how the loss rises with the distance, on one height scale.

    Args:
        runs: for names and colours.
        found: their landscapes, on the same plane.
        note: what is shown, below the picture.

    Returns:
        The figure; the first panels are the maps, the last one the rise.
    """
    across = min(len(runs), 4)
    down = -(-len(runs) // across)
    figure = Figure(figsize=(max(4.4 * across + 0.8, 7.5), 4.4 * down + 3.2), layout="constrained")
    layout = figure.add_gridspec(down + 1, across, height_ratios=[4.4] * down + [2.6])
    places = [layout[number // across, number % across] for number in range(len(runs))]
    panels = [figure.add_subplot(place) for place in places]
    losses = np.stack([each.grid for each in found])
    levels, norm = _scale(losses[np.isfinite(losses)])
    for panel, run, each in zip(panels, runs, found, strict=True):
        shown = _map(panel, each, levels, norm)
        _entitle(panel, run, each)
    bar = figure.colorbar(
        shown, ax=panels, label="loss (cross-entropy)", format=_pattern(levels, norm), shrink=0.9, aspect=30
    )
    bar.set_ticks(levels[:: 3 if isinstance(norm, LogNorm) else 2])
    bar.minorticks_off()
    _rises(figure.add_subplot(layout[down, :]), runs, found)
    figure.supxlabel(note, fontsize=7.5, color="#555555")
    return figure


def _scale(losses: np.ndarray) -> tuple[list[float], Normalize]:
    """Iso-lines and the colours between them, logarithmic for losses that differ much."""
    low, high = float(losses.min()), float(losses.max())
    if low > 0 and high / low >= WIDE:
        ends = (math.floor(math.log10(low) * LEVELS_OF_TEN), math.ceil(math.log10(high) * LEVELS_OF_TEN))
        levels = [10 ** (place / LEVELS_OF_TEN) for place in range(ends[0], ends[1] + 1)]
        return levels, LogNorm(levels[0], levels[-1])
    levels = [*MaxNLocator(LEVELS).tick_values(low, max(high, low + 1e-3))]
    return levels, Normalize(levels[0], levels[-1])


def _pattern(levels: list[float], norm: Normalize) -> str:
    """As many digits as it takes to tell neighbouring levels apart.

    Example:
        >>> _pattern([2.28, 2.29, 2.3], Normalize()), _pattern([0.5, 1.0, 1.5], Normalize())
        ('%.2f', '%.1f')
    """
    if isinstance(norm, LogNorm):
        return "%.2g"
    step = min(after - before for before, after in pairwise(levels))
    return f"%.{max(0, -math.floor(math.log10(step) + 1e-9))}f"


def _map(panel: Axes, found: Landscape, levels: list[float], norm: Normalize) -> ContourSet:
    """One filled contour map with iso-lines; grey where the loss is not finite."""
    axis = np.array(found.plane.axis)
    losses = np.ma.masked_invalid(found.grid)
    panel.set_facecolor("#bbbbbb")
    shown = panel.contourf(axis, axis, losses, levels=levels, norm=norm, cmap="viridis")
    lines = panel.contour(axis, axis, losses, levels=levels, norm=norm, colors="white", linewidths=0.6)
    panel.clabel(lines, levels[::2], fmt=_pattern(levels, norm), fontsize=7)
    panel.plot(0, 0, "P", color="white", markeredgecolor="black", markersize=9)
    panel.set(
        aspect="equal",
        xlabel="\N{GREEK SMALL LETTER ALPHA}, along the first direction",
        ylabel="\N{GREEK SMALL LETTER BETA}, along the second direction",
    )
    if missing := int(np.ma.count_masked(losses)):
        panel.text(0.02, 0.02, f"grey: not finite ({missing} points)", transform=panel.transAxes, fontsize=7)
    return shown


def _entitle(panel: Axes, run: LoadedRun, found: Landscape) -> None:
    """Name of a run, and what holds at its weights."""
    values = found.sharpness()
    panel.set_title(f"{run}\n", fontsize=11, fontweight="bold", color=colour_of(run))
    panel.text(
        0.5,
        1.02,
        f"loss {values['loss']:.3g}, accuracy {100 * values['accuracy']:.1f} %, curvature {values['curvature']:.3g}",
        transform=panel.transAxes,
        ha="center",
        fontsize=9,
    )


def _rises(panel: Axes, runs: list[LoadedRun], found: list[Landscape]) -> None:
    """Mean and range of the rise of the loss on the circles."""
    for number, (run, each) in enumerate(zip(runs, found, strict=True)):
        circles = np.array([[each.scores[place][0] for place in each.plane.circle(radius)] for radius in (0, *RADII)])
        rise = circles - each.scores[0.0, 0.0][0]
        distance = each.plane.reach * np.array((0, *RADII))
        colour = colour_of(run)
        panel.fill_between(distance, rise.min(1), rise.max(1), color=colour, alpha=0.15, linewidth=0)
        panel.plot(distance, rise.mean(1), "o" + LINES[number % len(LINES)], color=colour, linewidth=2, label=str(run))
    widen(panel, 0.01)
    panel.set(xlabel="distance from the weights", ylabel="rise of the loss", xlim=(0, None))
    panel.legend(title=f"mean and range of {ANGLES} directions", frameon=False, loc="upper left", alignment="left")
    tidy(panel)


def _note(runs: list[LoadedRun], samples: int, seed: int) -> str:
    """What the picture shows, in words."""
    data = f"{runs[0].task.facts['set']} ({runs[0].task.facts['kind']} data)"
    said = "".join(f"\n{fill(words, 150)}" for words in warnings_in_words(runs))
    return (
        f"{data}, {samples} test recordings; cross-entropy of the event stream's mean logits."
        f" One random plane through the weights (seed {seed}),\n"
        "the same draws for all runs. At 1 along a direction every filter has moved by its own norm; biases, step"
        " weights and batch norm\n"
        "(with its running statistics) stay. Curvature: the largest in the plane, of a quadratic form fitted around the"
        f" weights.{said}"
    )
