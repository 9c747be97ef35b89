"""Draw the picture of the front page: a recording, its frames mixed with its image over time, and what that brings.

Run it as `python docs/figures/front.py [DATA]`, where DATA holds N-MNIST and MNIST as `tmkt data check nmnist` wants
them (`../shared/data`). Writes front-light.png and front-dark.png beside this file. The curves are those of
`experiments/studies/nmnist/records.jsonl`. Set in Inter where it is installed (Debian: fonts-inter).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from braincog_tmkt.data.sets import build_dataset
from braincog_tmkt.data.types import FrameSpec
from braincog_tmkt.results.frame import accuracies, grouped, mean_std
from braincog_tmkt.results.store import read_records

HERE = Path(__file__).resolve().parent
RECORDS = HERE.parents[1] / "experiments/studies/nmnist/records.jsonl"
WIDTH, HEIGHT, DPI = 1600, 560, 100
KEY = "3/train-00050"
"""The recording: digit, and number of its image."""
STEPS, SWITCH = 10, 5
"""T, and the first step of the mixed sequence that shows events."""
DEPTH = 1.15, 0.95
"""How far time moves a point to the right and up, in widths of the picture."""
STRIPS, TILE = 490, 56
"""Left end of the frames, and pixels of one: twice the 28 that it shows."""
T_975 = 4.302652729749462
"""97.5 % of Student's t for 3 seeds."""


class Look(NamedTuple):
    """Colours of one variant.

    Args:
        ink: words.
        quiet: words that matter less.
        line: axes and edges.
        tile: an empty frame.
        on: ON events.
        off: OFF events.
        methods: recipe -> colour of its curve.
    """

    ink: str
    quiet: str
    line: str
    tile: str
    on: str
    off: str
    methods: dict[str, str]


LIGHT = Look(
    "#1f2328", "#59636e", "#c4ccd4", "#eef1f4", "#0969da", "#e2701a",
    {"tsm": "#0a7d63", "knowledge_transfer": "#7a4fcf", "tmkt": "#bf3989", "baseline": "#59636e"},
)  # fmt: skip
DARK = Look(
    "#f0f6fc", "#9aa4ae", "#454d56", "#1c232c", "#58a6ff", "#f2994a",
    {"tsm": "#3ccfa4", "knowledge_transfer": "#b392f0", "tmkt": "#f778ba", "baseline": "#9aa4ae"},
)  # fmt: skip
LABELS = {
    "tsm": "Time-step Mixup",
    "knowledge_transfer": "Knowledge-Transfer",
    "tmkt": "TMKT, all parts",
    "baseline": "TET, events only",
}


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes without a frame, given in pixels from the upper left corner."""
    axes = figure.add_axes((left / WIDTH, 1 - (top + height) / HEIGHT, width / WIDTH, height / HEIGHT))
    axes.axis("off")
    return axes


def words(figure: Figure, left: float, top: float, text: str, colour: str, size: float = 17, **how: Any) -> float:
    """Text whose upper left corner stands at a pixel; the size is in pixels. Returns the pixel where it ends."""
    how = {"va": "top", "ha": "left"} | how
    shown = figure.text(left / WIDTH, 1 - top / HEIGHT, text, color=colour, fontsize=size * 72 / DPI, **how)
    return float(shown.get_window_extent().x1)


def heading(figure: Figure, left: float, title: str, below: list[tuple[str, str]], look: Look) -> None:
    """A title, and a line below it whose parts have colours."""
    words(figure, left, 22, title, look.ink, 25, weight="semibold")
    for text, colour in below:
        end = words(
            figure, left, 59, text.rstrip(), colour, 17.5, weight="medium" if colour != look.quiet else "normal"
        )
        left = end + 5.2 * (len(text) - len(text.rstrip()))


def cloud(figure: Figure, events: np.ndarray, look: Look) -> None:
    """The recording as points in space and time: the picture faces us, time goes to the right and back."""
    axes = place(figure, 22, 112, 410, 420)
    t = events["t"] / events["t"].max()
    x, y = (events["x"] - 3) / 27.0, (events["y"] - 3) / 27.0
    inside = (np.abs(x - 0.5) <= 0.5) & (np.abs(y - 0.5) <= 0.5)
    t, x, y, p = t[inside], x[inside], y[inside], events["p"][inside]

    def seen(t: Any, x: Any, y: Any) -> tuple[Any, Any]:
        return DEPTH[0] * t + x, DEPTH[1] * t - y

    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)])
    for edge in np.linspace(1, 0, 4):
        axes.plot(*seen(edge, corners[:, 0], corners[:, 1]), color=look.line, linewidth=1.2, zorder=3 - 3 * edge)
    for corner in corners[:4]:
        axes.plot(*seen(np.array([0.0, 1.0]), *np.repeat(corner, 2).reshape(2, 2)), color=look.line, linewidth=0.8)
    for third in (2, 1, 0):  # from the back
        part = (t * 3).astype(int).clip(0, 2) == third
        order = np.argsort(-t[part])
        colours = np.where(p[part][order, None], to_rgb(look.on), to_rgb(look.off))
        axes.scatter(
            *(place[order] for place in seen(t[part], x[part], y[part])),
            s=5, c=colours, alpha=0.8, linewidths=0, zorder=3 - third,
        )  # fmt: skip
        axes.text(
            *seen((third + 0.5) / 3, 1.04, 1.04),
            "saccade 1" if third == 0 else f"{third + 1}",
            color=look.quiet,
            fontsize=11.5,
            va="top",
        )
    axes.set_aspect("equal", anchor="W")
    axes.margins(0.01)


def tile_of_events(frame: np.ndarray, look: Look) -> np.ndarray:
    """RGB of an event frame `[2, H, W]` (OFF, ON)."""
    shown = np.broadcast_to(to_rgb(look.tile), (*frame.shape[1:], 3)).copy()
    shares = 1 - np.exp(-1.1 * frame)
    for share, colour in zip(shares, (look.off, look.on), strict=True):
        shown += share[..., None] * (np.array(to_rgb(colour)) - shown)
    return shown


def tile_of_image(image: np.ndarray, look: Look) -> np.ndarray:
    """RGB of an image `[H, W]` in [0, 1]."""
    tile = np.array(to_rgb(look.tile))
    return tile + image[..., None] * (np.array(to_rgb(look.ink)) - tile)


def strips(figure: Figure, frames: np.ndarray, image: np.ndarray, look: Look) -> None:
    """Event frames, the image at every step, and the mix of both; what the mix does not take is pale."""
    scene = place(figure, 0, 0, WIDTH, HEIGHT)
    scene.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    lefts = [STRIPS + step * (TILE + 4) for step in range(STEPS)]
    for name, top in (("event frames", 138), ("an image of the same class", 268), ("mixed sequence", 398)):
        mixed = name == "mixed sequence"
        colour, weight = (look.ink, "semibold") if mixed else (look.quiet, "normal")
        words(figure, STRIPS, top - 9, name, colour, 17.5, va="bottom", weight=weight)
        for step, left in enumerate(lefts):
            early = step < SWITCH - 1
            is_image = early if mixed else name.startswith("an image")
            shown = tile_of_image(image, look) if is_image else tile_of_events(frames[step], look)
            tile = place(figure, left, top, TILE, TILE)
            tile.imshow(np.clip(shown, 0, 1), interpolation="nearest", alpha=1.0 if is_image == early else 0.25)
    middle, end = lefts[SWITCH - 1] - 2, lefts[-1] + TILE
    scene.plot([middle, middle], [130, 466], color=look.ink, linewidth=1.3, linestyle=(0, (3, 2.5)))
    for start, stop, text in ((STRIPS, middle - 4, "image first"), (middle + 4, end, "events from step t* on")):
        scene.plot([start, start, stop, stop], [462, 468, 468, 462], color=look.quiet, linewidth=1.1)
        words(figure, (start + stop) / 2, 477, text, look.quiet, 17, ha="center")


def curves(figure: Figure, look: Look) -> None:
    """Accuracy by training recordings a class: mean and Student's 95 % interval over the seeds."""
    axes = figure.add_axes((1195 / WIDTH, 1 - 488 / HEIGHT, 220 / WIDTH, 372 / HEIGHT))
    records = [
        record
        for record in read_records([RECORDS])
        if record["name"] == "nmnist/baseline" or record["recipe"]["data"]["static_pool"] == "open"
    ]
    places = (5, 10, 20, 30)
    ends = {}
    for number, (recipe, colour) in enumerate(look.methods.items()):
        own = grouped(
            (record for record in records if record["name"] == f"nmnist/{recipe}"),
            lambda record: record["recipe"]["data"]["train_per_class"],
        )
        found = [mean_std(accuracies(own[count], "last").values()) for count in places]
        assert all(len(accuracies(own[count], "last")) == 3 for count in places)
        means = np.array([mean for mean, _ in found])
        reach = T_975 * np.array([std for _, std in found]) / 3**0.5
        x = np.array(places) + 0.28 * (number - 1.5)
        axes.vlines(x, means - reach, means + reach, color=colour, linewidth=1.4, alpha=0.5)
        axes.plot(x, means, color=colour, linewidth=2.6, marker="o", markersize=6, zorder=3)
        ends[recipe] = means[-1]
    axes.set(xlim=(3.2, 31), ylim=(68.5, 96.5), xticks=places, yticks=[70, 75, 80, 85, 90, 95])
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(look.line)
    axes.tick_params(colors=look.quiet, labelsize=12.5, length=0, pad=7)
    axes.yaxis.set_major_formatter("{x:.0f} %")
    axes.grid(axis="y", color=look.line, linewidth=0.8, alpha=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("training recordings per class", color=look.quiet, fontsize=12.5, labelpad=6)
    name_curves(axes, ends, look)


def name_curves(axes: Axes, ends: dict[str, float], look: Look) -> None:
    """Names beside the ends of the curves, apart from one another."""
    at = None
    for recipe in sorted(ends, key=ends.__getitem__, reverse=True):
        at = ends[recipe] + 1.2 if at is None else min(ends[recipe], at - 1.9)
        axes.text(32, at, LABELS[recipe], color=look.methods[recipe], fontsize=12, weight="semibold", va="center")


def draw(data: str, look: Look, path: Path) -> None:
    """Draw one variant."""
    dataset = build_dataset("nmnist", data)
    index = dataset.index()
    recording = next(item for item in index.recordings if item.key == KEY)
    twin = next(item for item in index.statics if item.key == KEY)
    frames = dataset.frames(recording, FrameSpec(STEPS, 34))[..., 3:31, 3:31]
    image = np.asarray(dataset.image(twin, 28), dtype=float).reshape(28, 28)
    figure = plt.figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
    cloud(figure, dataset.events(recording), look)
    strips(figure, frames, image / image.max(), look)
    curves(figure, look)
    on, off = ("brighter ", look.on), ("darker", look.off)
    parts = [("pixels that turn ", look.quiet), on, ("or ", look.quiet), off, (", 0.3 s", look.quiet)]
    heading(figure, 28, "An event recording", parts, look)
    parts = [("each sample switches to events at a random step t*", look.quiet)]
    heading(figure, STRIPS, "mixed with an image over time", parts, look)
    parts = [("N-MNIST test accuracy, 3 seeds, 95 % intervals", look.quiet)]
    heading(figure, 1140, "helps when recordings are few", parts, look)
    figure.savefig(path, transparent=True, metadata={"Software": None})
    plt.close(figure)


def main(data: str = "../shared/data") -> None:
    """Draw both variants."""
    plt.rcParams["font.family"] = ["Inter", "DejaVu Sans"]
    for name, look in (("light", LIGHT), ("dark", DARK)):
        draw(data, look, HERE / f"front-{name}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
