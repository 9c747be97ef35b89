"""Whether event recordings and static images of a class lie together in the aligned features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from torch import Tensor

from ..errors import RecipeError
from ..inspect.reload import LoadedRun
from ..progress import progress
from .base import brief, entitle, figure_of_runs
from .inputs import (
    at_test_time,
    evenly,
    frames_shown,
    keys_of,
    names_of,
    partners,
    require_range,
    require_streams,
    setting_in_words,
    titles_of,
    warnings_in_words,
)

MOST_CLASSES = 10
"""Classes that ten colours tell apart."""

PERPLEXITY = 30

LETTER = 0.015
"""Width of a letter of a label, as a share of a panel's."""

PALETTE = ("#4477aa", "#ee6677", "#228833", "#bb9900", "#66ccee", "#aa3377", "#777777", "#ee7733", "#009988", "#332288")
MARKERS = {"events": "o", "static": "^"}


class Points(NamedTuple):
    """Features of the recordings and then of the static images.

    Args:
        vectors: mean over the steps of the aligned features, float64 `[N + P, D]`.
        label: class `[N + P]`.
        known: which of the N recordings have an image, bool `[N]`, P of them.
    """

    vectors: np.ndarray
    label: np.ndarray
    known: np.ndarray

    @property
    def modality(self) -> list[str]:
        """`events` N times, then `static` P times."""
        return ["events"] * len(self.known) + ["static"] * int(self.known.sum())

    @property
    def flaw(self) -> str | None:
        """Why there is nothing to show; None if there is."""
        if not np.isfinite(self.vectors).all():
            return "the features are not finite"
        return f"all {len(self.label)} features\nare the same" if _same(self.vectors) else None


@figure_of_runs("features")
def features(
    runs: list[LoadedRun], recordings: int = 500, perplexity: int | None = None
) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw a t-SNE map of the aligned features of test recordings and of the static images they show, one panel a run.

    The feature is what CKA aligns (membranes of the last node after reset; ResNet-18: the pooled vector), mean over the
    steps, with the weights of the last epoch; the images are repeated over all steps. Above ten classes, ten evenly
    spaced ones are shown. Distances in a t-SNE map mean little; the two numbers below each panel are measured in the
    feature space itself, over the recordings and images that are shown: linear CKA between recordings and their images
    (1: same geometry), and the silhouette by class (1: tight classes apart from each other, whatever the modality). A
    network whose features are all the same, or not finite, has no map; its panel has a sentence instead.

    Args:
        runs: on the same data and split.
        recordings: at most so many, evenly spaced over the test recordings of the classes.
        perplexity: of t-SNE, smaller than the number of points; None for 30, or less where there are too few points.

    Returns:
        The figure, and rows of run, modality, class, key, x, y, and the run's numbers.

    Raises:
        RecipeError: for fewer than two classes, or a network that cannot show images in the place of events.
        DataError: if an image cannot be read.
    """
    for run in runs:
        require_streams(run)
    rows = chosen_rows(runs[0], recordings)
    found = [measure_points(run, rows) for run in runs]
    count = len(found[0].label)
    if perplexity is None:
        perplexity = PERPLEXITY if count > PERPLEXITY else max(1, (count - 1) // 3)
    require_range("perplexity", perplexity, 1, count - 1)
    places = [place_points(points, perplexity) for points in progress(found, "t-SNE", "run")]
    keys, classes = np.array(keys_of(runs[0], rows)), runs[0].task.pairs.classes
    table = [
        {
            "run": name,
            "modality": modality,
            "class": classes[label],
            "key": key,
            "x": f"{x:.4f}" if points.flaw is None else None,
            "y": f"{y:.4f}" if points.flaw is None else None,
            **numbers,
        }
        for name, points, place, numbers in zip(names_of(runs), found, places, map(measure, found), strict=True)
        for modality, label, key, (x, y) in zip(
            points.modality, points.label, [*keys, *keys[points.known]], place, strict=True
        )
    ]
    return _draw(runs, found, places, perplexity), table


def chosen_rows(run: LoadedRun, recordings: int) -> Tensor:
    """Test recordings to show, evenly spaced, of at most ten classes.

    Raises:
        RecipeError: for too few recordings or classes.
    """
    pairs = run.task.pairs
    rows = pairs.rows("test")
    labels = pairs.labels[rows]
    shown = labels.unique()
    shown = shown[evenly(MOST_CLASSES, len(shown))]
    if len(shown) < 2:
        raise RecipeError(f"features needs test recordings of two classes or more, but {run} has one: give another run")
    rows = rows[torch.isin(labels, shown)]
    require_range("recordings", recordings, 3, 10**6)
    rows = rows[evenly(recordings, len(rows))]
    if not 1 < len(pairs.labels[rows].unique()) < len(rows):
        few = f"recordings={recordings} leaves one recording of a class or one class: take more"
        none = f"{run} has one test recording of each class, too few for features: give another run"
        raise RecipeError(few if len(labels) > len(rows) else none)
    return rows


@torch.inference_mode()
def measure_points(run: LoadedRun, rows: Tensor) -> Points:
    """The features of recordings, and of the images they show, where there are any."""
    pairs, backbone = run.task.pairs, run.method.backbone
    images, known = partners(run, rows)
    full = torch.zeros(len(rows), *images.shape[1:], device=images.device)
    full[known.to(full.device)] = images
    both = []
    with at_test_time(run.method), run.fabric.autocast():
        size = run.recipe.train.batch  # two streams: as many frames at once as the evaluation of one
        for chunk, static in progress([*zip(rows.split(size), full.split(size), strict=True)], str(run), "batch"):
            events = frames_shown(run.method, pairs.events(chunk)[0])
            every = torch.ones(events.shape[:2], dtype=torch.bool, device=events.device)
            outputs = backbone.streams(static, events, every)
            both.append(torch.stack([stream.aligned.float().mean(0).flatten(1) for stream in outputs]).cpu())
    static, events = torch.cat(both, 1).double().numpy()
    labels, mask = pairs.labels[rows].numpy(), known.numpy()
    return Points(np.concatenate([events, static[mask]]), np.concatenate([labels, labels[mask]]), mask)


def place_points(points: Points, perplexity: int) -> np.ndarray:
    """Where t-SNE puts the points, `[N + P, 2]`; NaN where there is nothing to tell them apart by."""
    if points.flaw:
        return np.full((len(points.label), 2), np.nan)
    largest = np.abs(points.vectors).max()
    scaled = points.vectors if 1e-6 < largest < 1e6 else points.vectors / largest  # t-SNE computes in float32
    wide = np.pad(scaled, ((0, 0), (0, max(0, 2 - scaled.shape[1]))))
    found: np.ndarray = TSNE(perplexity=perplexity, random_state=0).fit_transform(wide)
    return found


def _same(vectors: np.ndarray) -> bool:
    """Whether vectors `[N, D]` are all the same, up to the rounding of float32: t-SNE of such ones ends the process."""
    return bool(np.ptp(vectors, axis=0).max() <= 1e-6 * np.abs(vectors).max())


def linear_cka(x: np.ndarray, y: np.ndarray) -> float | None:
    """Linear centred kernel alignment of paired features `[N, D]` and `[N, D']` (Kornblith et al. 2019), or None.

    It is None where one of them does not vary, or for fewer than two pairs.

    Example:
        >>> x = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
        >>> linear_cka(x, x), linear_cka(x, 0 * x)
        (1.0, None)
    """
    if len(x) < 2 or _same(x) or _same(y):
        return None
    one, two = (centred @ centred.T for centred in (x - x.mean(0), y - y.mean(0)))
    size = float(np.linalg.norm(one) * np.linalg.norm(two))
    return round(float((one * two).sum()) / size, 12) if size > 0 else None


def _draw(runs: list[LoadedRun], found: list[Points], places: list[np.ndarray], perplexity: int) -> Figure:
    figure = Figure(figsize=(max(4.6 * len(runs), 6), 6.3), layout="constrained")
    grid = figure.subplots(1, len(runs), squeeze=False)[0]
    classes = runs[0].task.pairs.classes
    for axes, title, points, place in zip(grid, titles_of(runs), found, places, strict=True):
        if points.flaw:
            axes.text(0.5, 0.5, f"no map: {points.flaw}", transform=axes.transAxes, ha="center", va="center")
        else:
            _scatter(axes, points, place, classes)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(_in_words(points), fontsize=9)
        axes.set(xticks=[], yticks=[])
        axes.set_box_aspect(1)
    count, images = len(found[0].known), int(found[0].known.sum())
    kinds: list[tuple[str, Any, int, str]] = [
        ("events", "full", count, "test recordings"),
        ("static", "none", images, "static images they show"),
    ]
    marks = [
        Line2D([], [], linestyle="", marker=MARKERS[name], color="#555555", fillstyle=fill, label=f"{number} {words}")
        for name, fill, number, words in kinds
        if number
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    shown = len(set(found[0].label.tolist()))
    which = f"{shown} of {len(classes)} classes" if shown < len(classes) else "one colour a class"
    entitle(
        figure,
        f"Aligned features of {setting_in_words(runs)}\nt-SNE, perplexity {perplexity}, {which}",
        warnings_in_words(runs),
    )
    return figure


def _scatter(axes: Axes, points: Points, place: np.ndarray, classes: tuple[str, ...]) -> None:
    """The points, and the name of each class at the median of its recordings."""
    modality = np.array(points.modality)
    labels = list(dict.fromkeys(sorted(points.label.tolist())))
    for colour, label in zip(PALETTE, labels, strict=False):
        for name, marker in MARKERS.items():
            x, y = place[(points.label == label) & (modality == name)].T
            face = colour if name == "events" else "none"
            axes.scatter(x, y, s=16, marker=marker, facecolors=face, edgecolors=colour, linewidths=0.7, alpha=0.8)
    centres = [np.median(place[(points.label == label) & (modality == "events")], axis=0) for label in labels]
    low, size = place.min(0), np.maximum(np.ptp(place, axis=0), 1e-9)
    names = [brief(classes[label], 18) for label in labels]
    spots = _apart((np.array(centres) - low) / size, [len(name) * LETTER + 0.02 for name in names])
    for (x, y), colour, name in zip(spots, PALETTE, names, strict=False):
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": colour, "alpha": 0.85}
        font: dict[str, Any] = {"fontsize": 7.5, "weight": "bold", "color": colour}
        side = "left" if x < 0.12 else "right" if x > 0.88 else "center"
        axes.text(low[0] + x * size[0], low[1] + y * size[1], name, **font, ha=side, va="center", bbox=box)


def _apart(places: np.ndarray, widths: Sequence[float], height: float = 0.04) -> np.ndarray:
    """Places `[N, 2]` moved up, one after the other from below, until no two labels of these widths overlap."""
    moved = places.astype(np.float64)  # in float32 a label stays within rounding of the one it was moved from, for ever
    order = np.argsort(places[:, 1])
    for number, row in enumerate(order):
        beside = [
            other
            for other in order[:number]
            if abs(places[row, 0] - places[other, 0]) < (widths[row] + widths[other]) / 2
        ]
        while clashes := [moved[other, 1] for other in beside if abs(moved[row, 1] - moved[other, 1]) < height - 1e-9]:
            moved[row, 1] = max(clashes) + height
    return moved


def measure(points: Points) -> dict[str, float | None]:
    """The numbers below a panel: `cka` (None without images), `silhouette` of all points, `silhouette_events` alone.

    All are None where the features are not finite, the silhouettes also where they are all the same.
    """
    if points.flaw:
        return dict.fromkeys(("cka", "silhouette", "silhouette_events"))
    count = len(points.known)
    all_points, events = (
        None if _same(points.vectors[:n]) else float(silhouette_score(points.vectors[:n], points.label[:n]))
        for n in (None, count)
    )
    similarity = linear_cka(points.vectors[:count][points.known], points.vectors[count:])
    return {"cka": similarity, "silhouette": all_points, "silhouette_events": events}


def _in_words(points: Points) -> str:
    """The numbers of a panel, without a minus in front of 0."""
    words = {key: "-" if value is None else f"{round(value, 2) + 0.0:.2f}" for key, value in measure(points).items()}
    first = f"CKA(events, static) = {words['cka']}" if points.known.any() else "no static images known"
    return f"{first}\nsilhouette by class: {words['silhouette']}, events alone {words['silhouette_events']}"
