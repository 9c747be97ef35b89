"""Which classes a network takes for which."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..inspect.reload import LoadedRun
from ..progress import progress
from .base import brief, entitle, figure_of_runs
from .inputs import at_test_time, names_of, setting_in_words, titles_of, warnings_in_words

MOST_NAMES = 25
"""Classes whose names fit on an axis."""

MOST_NUMBERS = 12
"""Classes whose shares fit into the cells."""

LETTERS = 20
"""Of the name of a class."""

PAIRS = 10
"""Confused pairs that are listed where names do not fit."""


@figure_of_runs("confusion")
def confusion(runs: list[LoadedRun]) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw the confusion matrix of each run over the test recordings, each row (true class) divided by its sum.

    All have one colour scale, so that their diagonals can be compared. The weights are those of the last epoch, the
    class is that of the highest mean logit, as in the record. Above 25 classes the ten pairs with the highest shares
    stand below a matrix, instead of names beside it.

    Args:
        runs: on the same data and split.

    Returns:
        The figure, and rows of run, true, predicted, count for the pairs that occur.
    """
    counts = [count_confusions(run) for run in runs]
    classes = runs[0].task.pairs.classes
    rows = [
        {"run": name, "true": classes[true], "predicted": classes[predicted], "count": int(table[true, predicted])}
        for name, table in zip(names_of(runs), counts, strict=True)
        for true, predicted in np.argwhere(table)
    ]
    return _draw(runs, counts), rows


@torch.inference_mode()
def count_confusions(run: LoadedRun) -> np.ndarray:
    """How many test recordings of each class are taken for each class: int64 `[K, K]`, true by predicted."""
    pairs = run.task.pairs
    size = len(pairs.classes)
    table = torch.zeros(size * size, dtype=torch.int64)
    with at_test_time(run.method), run.fabric.autocast():
        for chunk in progress(pairs.rows("test").split(run.recipe.train.at_once), str(run), "batch"):
            events, label = pairs.events(chunk)
            predicted = run.method.predict(events).double().sum(0).argmax(1)
            table += torch.bincount((label * size + predicted).cpu(), minlength=size * size)
    return table.view(size, size).numpy()


def confused_pairs(table: np.ndarray) -> list[tuple[int, int, float]]:
    """Pairs (true, predicted, share of the true class) of different classes that occur, the highest share first.

    Example:
        >>> confused_pairs(np.array([[3, 1, 0], [0, 4, 0], [5, 0, 5]]))
        [(2, 0, 0.5), (0, 1, 0.25)]
    """
    shares = _shares(table)
    found = [(int(i), int(j), float(shares[i, j])) for i, j in np.argwhere(table) if i != j]
    return sorted(found, key=lambda pair: (-pair[2], pair[:2]))


def _shares(table: np.ndarray) -> np.ndarray:
    """Each row divided by its sum; a class without recordings stays 0."""
    return table / np.maximum(table.sum(1, keepdims=True), 1)


def _draw(runs: list[LoadedRun], counts: list[np.ndarray]) -> Figure:
    classes = runs[0].task.pairs.classes
    few = len(classes) <= MOST_NAMES
    side = 4.2 if few else 4.8
    side += 0.06 * min(max(map(len, classes)), LETTERS) if few else 0
    figure = Figure(figsize=(side * len(runs) + 1.0, side + (1.0 if few else 2.5)), layout="constrained")
    grid = figure.subplots(1, len(runs), squeeze=False)[0]
    for axes, title, table in zip(grid, titles_of(runs), counts, strict=True):
        image: Any = axes.imshow(100 * _shares(table), cmap="Blues", vmin=0, vmax=100)
        correct, total = int(np.trace(table)), int(table.sum())
        axes.set_title(f"{title}: {correct / total:.1%} of {total} right", fontsize=10)
        axes.set_xlabel("predicted class")
        (_name_classes if few else _list_pairs)(axes, classes, table)
    grid[0].set_ylabel("true class")
    figure.colorbar(image, ax=grid, label="of the true class, %", shrink=0.75, pad=0.02)
    entitle(figure, f"Confusion on the test recordings of {setting_in_words(runs)}", warnings_in_words(runs))
    return figure


def _name_classes(axes: Axes, classes: tuple[str, ...], table: np.ndarray) -> None:
    """Class names on both axes, the right cells outlined; the shares in per cent in the cells, if they fit."""
    places = range(len(classes))
    short = max(len(name) for name in classes) <= 2
    names = [brief(name, LETTERS) for name in classes]
    axes.set_xticks(places, names, rotation=0 if short else 90, fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    for place in places:
        axes.add_patch(Rectangle((place - 0.5, place - 0.5), 1, 1, fill=False, edgecolor="#777777", linewidth=0.7))
    if len(classes) > MOST_NUMBERS:
        return
    shares = _shares(table)
    for true, predicted in np.argwhere(table):
        share = shares[true, predicted]
        text = f"{100 * share:.0f}" if share >= 0.005 else "<1"
        axes.text(
            predicted, true, text, ha="center", va="center", fontsize=7, color="white" if share > 0.55 else "black"
        )


def _list_pairs(axes: Axes, classes: tuple[str, ...], table: np.ndarray) -> None:
    """Class numbers on both axes; the most confused pairs below."""
    lines = [
        f"{share:5.0%}  {brief(classes[true], LETTERS)} taken for {brief(classes[predicted], LETTERS)}"
        for true, predicted, share in confused_pairs(table)[:PAIRS]
    ]
    text = "\n".join(["most confused (share of the true class):", *lines]) if lines else "nothing is confused"
    axes.set_xlabel(f"predicted class (number, of {len(classes)})\n\n" + text, fontsize=8, ha="left", x=0.0)
