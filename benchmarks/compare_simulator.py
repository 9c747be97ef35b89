"""Compare the simulated camera with real N-MNIST recordings: the table and the figure of docs/how-to/simulator.md.

    python benchmarks/compare_simulator.py          # writes both
    python benchmarks/compare_simulator.py speed    # prints milliseconds per recording

Needs ../shared/data (or TMKT_SHARED). The figure and the held-out columns are of recordings that
calibrate_simulator.py has not used.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from calibrate_simulator import (
    BIN_US,
    BINS,
    INTERVALS_US,
    REPO,
    SENSOR,
    SHARED,
    Summary,
    apart,
    correlations,
    load_pairs,
    summarise,
)
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from PIL import Image

from braincog_tmkt.data.simulate import LAYOUTS
from braincog_tmkt.data.simulate.saccade import CameraParams, saccade_path, simulate_events

TABLE = REPO / "experiments/studies/simulator/nmnist.csv"
FIGURE = REPO / "docs/figures/simulator_nmnist.png"
REAL, TWIN = {"color": "0.25", "histtype": "step", "lw": 1.3}, {"color": "tab:orange", "alpha": 0.6}
FIRST_US = 85_000
"""The end of the first saccade."""


MEASURES: dict[str, Callable[[Summary], float]] = {
    "events per recording, mean": lambda s: s.counts.mean(),
    "events per recording, standard deviation": lambda s: s.counts.std(),
    "events per recording, 5 % quantile": lambda s: np.percentile(s.counts, 5),
    "events per recording, 95 % quantile": lambda s: np.percentile(s.counts, 95),
    "ON share of all events": lambda s: s.images[:, 1].sum() / s.images.sum(),
    "ON share, standard deviation over recordings": lambda s: s.on_share.std(),
    "share of the events in saccade 1": lambda s: part(s, 0, 100),
    "share of the events in saccade 2": lambda s: part(s, 100, 220),
    "share of the events in saccade 3": lambda s: part(s, 220, 312),
    "share of the events in the pauses (80-116 and 184-228 ms)": lambda s: part(s, 80, 116) + part(s, 184, 228),
    "gaps at a pixel, same polarity: share below 2 ms": lambda s: gaps(s, 0, 2000),
    "gaps at a pixel, same polarity: share from 2 to 4 ms": lambda s: gaps(s, 2000, 4000),
}
DIFFERENCES: dict[str, Callable[[Summary, Summary], float]] = {
    "mean count images: correlation": lambda a, b: np.corrcoef(a.images.mean(0).flat, b.images.mean(0).flat)[0, 1],
    "mean count images: share of events misplaced": lambda a, b: apart(a.images.mean(0), b.images.mean(0)),
    "rate over time (4 ms bins): share of events misplaced": lambda a, b: apart(a.rate, b.rate),
    "gaps at a pixel: share misplaced": lambda a, b: apart(a.intervals, b.intervals),
}
TWINS: dict[str, Callable[[Summary, Summary], float]] = {
    "recording and its twin: correlation of the numbers of events": lambda a, b: np.corrcoef(a.counts, b.counts)[0, 1],
    "recording and its twin: correlation of count images, mean": lambda a, b: correlations(a.images, b.images).mean(),
    "recording and its twin: correlation of count images, 5 % quantile": lambda a, b: np.percentile(
        correlations(a.images, b.images), 5
    ),
}


def part(summary: Summary, start: int, end: int) -> float:
    """Share of the events from `start` to `end` milliseconds."""
    rate = summary.rate.sum(0)
    return float(rate[start * 1000 // BIN_US : end * 1000 // BIN_US].sum() / rate.sum())


def gaps(summary: Summary, low: int, high: int) -> float:
    """Share of the gaps between two events of one pixel and polarity that last from `low` to `high` microseconds."""
    same = summary.intervals[: len(INTERVALS_US) - 1]
    inside = (INTERVALS_US[:-1] >= low) & (INTERVALS_US[1:] <= high)
    return float(same[inside].sum() / same.sum())


def run_compare() -> None:
    """Write the table for both halves, and the figure for the half that the calibration has not seen."""
    real, shown = [], []
    for half in (0, 1):
        recordings, images = load_pairs(half)
        twins = [simulate_events(image, CameraParams(), seed) for seed, image in enumerate(images)]
        real.append(summarise(recordings))
        shown.append(summarise(twins))
    rows = [["measure", *(f"{kind}, {half}" for half in ("calibration", "held out") for kind in ("real", "simulated"))]]
    for name, measure in MEASURES.items():
        rows.append([name, *(f"{measure(s):.4g}" for pair in zip(real, shown, strict=True) for s in pair)])
    for name, difference in DIFFERENCES.items():  # of the two real halves, in the columns of the real ones
        own, other = difference(real[0], real[1]), difference(real[1], real[0])
        values = own, difference(real[0], shown[0]), other, difference(real[1], shown[1])
        rows.append([name, *(f"{value:.4g}" for value in values)])
    for name, difference in TWINS.items():
        rows.append([name, "", f"{difference(real[0], shown[0]):.4g}", "", f"{difference(real[1], shown[1]):.4g}"])
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    with TABLE.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    print(TABLE.read_text())
    draw(recordings, twins, FIGURE)


def draw(recordings: list[np.ndarray], twins: list[np.ndarray], path: Path) -> None:
    """Real and simulated in four rows: counts, time, mean images, examples."""
    real, shown = summarise(recordings), summarise(twins)
    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})
    figure = plt.figure(figsize=(10, 8.2), layout="constrained")
    top, middle, low = figure.subfigures(3, 1, height_ratios=[1, 1, 1.1])
    draw_counts(top.subplots(1, 3), real, shown)
    draw_time(middle.subplots(1, 3, width_ratios=[2, 1, 0.9]), real, shown)
    left, right = low.subfigures(1, 2, width_ratios=[1, 1.9])
    draw_means(left, real, shown)
    draw_examples(right, recordings, twins)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def draw_counts(axes: Sequence[Axes], real: Summary, shown: Summary) -> None:
    for summary, name, style in ((real, "real", REAL), (shown, "simulated", TWIN)):
        label = f"{name}: {summary.counts.mean():.0f} ± {summary.counts.std():.0f}"
        axes[0].hist(summary.counts, np.linspace(0, 8000, 33), label=label, **style)
        axes[2].hist(summary.on_share, np.linspace(0.46, 0.54, 33), label=name, **style)
    axes[0].set(title="Events per recording", xlabel="events", ylabel="recordings", ylim=(0, 34))
    axes[0].legend(loc="upper left")
    axes[1].plot([0, 8000], [0, 8000], color="0.7", lw=0.8)
    axes[1].scatter(real.counts, shown.counts, s=6, color=TWIN["color"])
    axes[1].set(title="Recordings and their twins", xlabel="events, real", ylabel="events, simulated", aspect="equal")
    axes[2].set(title="ON share of a recording", xlabel="share", ylabel="recordings")
    axes[2].legend()


def draw_time(axes: Sequence[Axes], real: Summary, shown: Summary) -> None:
    when = (np.arange(BINS) + 0.5) * BIN_US / 1000
    for summary, name, style in ((real, "real", REAL), (shown, "simulated", TWIN)):
        for sign in (1, -1):
            rate = sign * summary.rate[int(sign > 0)] / (BIN_US / 1000)
            axes[0].plot(when, rate, color=style["color"], lw=1.3, label=name if sign > 0 else None)
        same = summary.intervals[: len(INTERVALS_US) - 1]
        axes[1].stairs(same[:12] / same.sum(), np.arange(13), label=name, lw=1.3, color=style["color"])
    for sign, name in ((1, "ON"), (-1, "OFF")):
        axes[0].text(2, sign * 14, name, va="center", weight="bold")
    axes[0].axhline(0, color="0.6", lw=0.6)
    axes[0].set(title="Rate over time", xlabel="milliseconds", ylabel="events per millisecond", xlim=(0, 312))
    axes[0].legend(loc="lower center", ncols=2)
    axes[1].set(title="Gap between two events\nof one pixel and polarity", xlabel="milliseconds", ylabel="share")
    axes[1].set_xticks(range(0, 13, 2))
    axes[1].legend()
    times, right, down = saccade_path(CameraParams())
    axes[2].scatter(right, down, c=times / 1000, s=5, cmap="viridis")
    for label, moment in (("start", 0), ("95 ms", 95_000), ("220 ms", 220_000)):
        near = np.searchsorted(times, moment)
        axes[2].annotate(label, (right[near], down[near]), xytext=(-6, 7), textcoords="offset points")
    axes[2].set(title="Path of the image", xlabel="pixels right", ylabel="pixels down", aspect="equal")
    axes[2].set(xlim=(-4, 5), ylim=(5, -4), xticks=range(-4, 5, 2), yticks=range(-4, 5, 2))


def draw_means(figure: SubFigure, real: Summary, shown: Summary) -> None:
    axes = figure.subplots(2, 2)
    for row, summary, name in ((0, real, "real"), (1, shown, "simulated")):
        for column, polarity, title in ((0, 1, "mean ON"), (1, 0, "mean OFF")):
            mean = axes[row, column].imshow(summary.images[:, polarity].mean(0), cmap="magma", vmin=0, vmax=9)
            axes[0, column].set_title(title)
        axes[row, 0].set_ylabel(name, fontsize=9)
    bare(axes)
    figure.colorbar(mean, ax=axes, location="right", shrink=0.7, label="events per pixel")


def draw_examples(figure: SubFigure, recordings: list[np.ndarray], twins: list[np.ndarray]) -> None:
    """ON minus OFF events of the first saccade: with the polarities of the whole recording little would be left."""
    axes = figure.subplots(2, 5)
    for column, pick in enumerate(range(12, len(recordings), 50)):
        for axis, events in zip(axes[:, column], (recordings[pick], twins[pick]), strict=True):
            image = np.zeros((SENSOR, SENSOR))
            early = events[events["t"] < FIRST_US]
            np.add.at(image, (early["y"], early["x"]), np.where(early["p"], 1, -1))
            axis.imshow(image, cmap="RdBu_r", vmin=-6, vmax=6)
    bare(axes)
    axes[0, 2].set_title("ON (red) minus OFF (blue) events of the first saccade; real above, simulated below")


def bare(axes: np.ndarray) -> None:
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)


def run_speed() -> None:
    """Print milliseconds per recording in this process, and events, for digits and for Caltech-101 images."""
    sources = {
        "nmnist": sorted((SHARED / "mnist_png/train").glob("*/*.png"))[::60],
        "ncaltech101": sorted((SHARED / "caltech101/101_ObjectCategories").glob("*/*.jpg"))[::8],
    }
    for layout, paths in sources.items():
        images = [LAYOUTS[layout].render(Image.open(path).convert("L")) for path in paths]
        simulate_events(images[0], CameraParams())
        spent, counts = [], []
        for image in images:
            start = time.process_time()
            counts.append(len(simulate_events(image, CameraParams())))
            spent.append(1000 * (time.process_time() - start))
        print(f"{layout}: {np.mean(spent):.0f} ms of one core (at most {np.max(spent):.0f}), {len(images)} images,")
        print(f"  {np.mean(counts):.0f} events (sd {np.std(counts):.0f}, from {np.min(counts)} to {np.max(counts)})")


if __name__ == "__main__":
    run_speed() if sys.argv[1:] == ["speed"] else run_compare()
