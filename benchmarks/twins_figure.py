"""Draw docs/figures/twins.png: a source image of each simulated data set, and what its recording shows over time.

    python benchmarks/twins_figure.py             # 30 seconds
    python benchmarks/twins_figure.py --measure   # prints a table of docs/how-to/simulator.md (2 minutes)

Needs ../shared/data (or TMKT_SHARED). The recordings are written to files in the true formats and read back.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from braincog_tmkt.data.readers.aedat import read_cifar10dvs
from braincog_tmkt.data.readers.aedat4 import read_aedat4
from braincog_tmkt.data.readers.atis import read_atis
from braincog_tmkt.data.readers.mat import read_mat
from braincog_tmkt.data.simulate import LAYOUTS, simulate_tree

REPO = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("TMKT_SHARED", REPO.parent / "shared")) / "data"
FIGURE = REPO / "docs/figures/twins.png"
FRAMES = 6
LIMIT = 10
"""Recordings of a class that are measured."""


@dataclass(frozen=True)
class Row:
    """A data set, where its images are, and the one to show."""

    layout: str
    label: str
    source: Path
    image: str
    recording: str
    sample: int = 0
    end_us: int = 10**9
    """Until when the recording is shown."""


OMNIGLOT = "small1/Greek/character02/0395"
ROWS = (
    Row("nmnist", "N-MNIST", SHARED / "mnist_png", "train/5/0.png", "Train/5/00001.bin"),
    Row(
        "ncaltech101",
        "N-Caltech101",
        SHARED / "caltech101",
        "101_ObjectCategories/car_side/image_0001.jpg",
        "Caltech101/car_side/image_0001.bin",
    ),
    Row(
        "nomniglot",
        "N-Omniglot\nfrom strokes",
        SHARED / "omniglot",
        f"images_background_{OMNIGLOT}_03.png",
        "dvs_background/Greek/character02/0395.aedat4",
        sample=2,
    ),
    Row(
        "nomniglot",
        "N-Omniglot\nfrom images",
        SHARED / "omniglot",
        f"images_background_{OMNIGLOT}_03.png",
        "dvs_background/Greek/character02/0395.aedat4",
        sample=2,
    ),
    Row(
        "cepdvs",
        "CEP-DVS",
        SHARED / "caltech101/101_ObjectCategories",
        "yin_yang/image_0001.jpg",
        "CEP-DVS/data/MAT/img/00019.mat",
    ),
    Row(
        "cifar10dvs",
        "CIFAR10-DVS",
        SHARED / "cifar10_jpg",
        "train/horse/0002.jpg",
        "CIFAR10DVS/horse/cifar10_horse_2.aedat",
        end_us=300_000,
    ),
)
READERS = {".bin": read_atis, ".aedat4": read_aedat4, ".mat": read_mat, ".aedat": read_cifar10dvs}


def narrowed(row: Row, folder: Path) -> Path:
    """A tree with little beside the image to show, so that little is simulated."""
    if row.layout in ("cepdvs", "cifar10dvs"):
        return row.source
    path = Path(row.image)
    kept = [row.source / path]
    if row.layout == "nomniglot":
        kept = sorted((row.source / path).parent.glob("*.png"))
        if "strokes" in row.label:
            written = row.source / path.parent.as_posix().replace("images", "strokes", 1)
            kept += sorted(written.glob("*.txt"))
    for source in kept:
        target = folder / source.relative_to(row.source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)
    return folder


def events_of(row: Row, folder: Path) -> np.ndarray:
    """Simulate what is needed and read the recording to show."""
    limit = {"cepdvs": 1, "cifar10dvs": 3}.get(row.layout)
    source = narrowed(row, folder / "source")
    simulate_tree(source, folder / "twin", row.layout, limit_per_class=limit, progress=False)
    path = folder / "twin" / row.recording
    events = READERS[path.suffix](path, None)
    if row.layout == "nomniglot":
        table = np.loadtxt(path.with_suffix(".csv"), delimiter=",", skiprows=1, dtype=np.int64)
        first, last = np.searchsorted(events["t"], table[row.sample, 1:])
        events = events[first:last]
        events["x"], events["y"] = events["x"] - 54, events["y"] - 4
        events = events[(events["x"] >= 0) & (events["x"] < 250) & (events["y"] >= 0) & (events["y"] < 250)]
    return events


def picture(events: np.ndarray, height: int, width: int) -> np.ndarray:
    """ON events red, OFF events blue, on white: the more, the darker."""
    counts = np.zeros((2, height, width))
    np.add.at(counts, (events["p"].astype(int), events["y"], events["x"]), 1)
    strength = 1 - np.exp(-counts)
    white = np.ones((height, width, 3))
    for kind, colour in ((1, (0.85, 0.15, 0.1)), (0, (0.1, 0.25, 0.85))):
        white -= strength[kind, :, :, None] * (1 - np.array(colour))
    return white.clip(0, 1)


def draw() -> None:
    figure, axes = plt.subplots(len(ROWS), FRAMES + 1, figsize=(10, 1.35 * len(ROWS)), layout="constrained")
    for row, places in zip(ROWS, axes, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            events = events_of(row, Path(folder))
        with Image.open(row.source / row.image) as image:
            places[0].imshow(image.convert("RGB"))
        places[0].set_ylabel(row.label, fontsize=8)
        height, width = int(events["y"].max()) + 1, int(events["x"].max()) + 1
        t = events["t"] - events["t"][0]
        bounds = np.linspace(0, min(t[-1], row.end_us), FRAMES + 1)
        for place, start, end in zip(places[1:], bounds, bounds[1:], strict=False):
            place.imshow(picture(events[(t >= start) & (t < end)], height, width), interpolation="antialiased")
            place.set_title(f"{start / 1e3:.0f} to {end / 1e3:.0f} ms", fontsize=6, pad=2)
        for place in places:
            place.set(xticks=[], yticks=[])
    figure.savefig(FIGURE, dpi=120)
    with Image.open(FIGURE) as drawn:
        drawn.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(FIGURE, optimize=True)  # a third of the bytes
    print(FIGURE)


def measure() -> None:
    """Time on this process alone (compiled code loaded before), events and bytes of each layout."""
    print(
        "| data set | source | recordings | ms each | events, mean (5 to 95 %) | kB each |\n|---|---|---|---|---|---|"
    )
    for row in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            source, limit = row.source, LIMIT
            if row.layout == "nomniglot":
                limit, kinds = None, ("images", "strokes") if "strokes" in row.label else ("images",)
                source = Path(folder) / "source"
                for kind in kinds:
                    (source / f"{kind}_background").mkdir(parents=True)
                    (source / f"{kind}_background/Greek").symlink_to(row.source / f"{kind}_background_small1/Greek")
            film_one(row.layout)
            start = time.process_time()
            made = simulate_tree(source, f"{folder}/twin", row.layout, limit_per_class=limit, progress=False)
            each = (time.process_time() - start) / made * 1000
            files = list(Path(folder, "twin").rglob(f"*{LAYOUTS[row.layout].suffix}"))
            counts = np.concatenate([count(path) for path in files])
            size = sum(path.stat().st_size for path in files) / made / 1000
        low, high = np.quantile(counts, [0.05, 0.95])
        label = row.label.replace("\n", " ")
        print(
            f"| {label} | {row.source.name} | {made} | {each:.0f} | {counts.mean():,.0f} ({low:,.0f} to {high:,.0f})"
            f" | {size:,.0f} |"
        )


def film_one(layout: str) -> None:
    """Load the compiled code."""
    row = next(row for row in ROWS if row.layout == layout)
    with tempfile.TemporaryDirectory() as folder:
        events_of(row, Path(folder))


def count(path: Path) -> np.ndarray:
    """Events of each recording in a file."""
    events = READERS[path.suffix](path, None)
    if path.suffix != ".aedat4":
        return np.array([len(events)])
    table = np.loadtxt(path.with_suffix(".csv"), delimiter=",", skiprows=1, dtype=np.int64)
    first, last = np.searchsorted(events["t"], table[:, 1:]).T
    return last - first


if __name__ == "__main__":
    measure() if "--measure" in sys.argv else draw()
