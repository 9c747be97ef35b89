"""A sheet of frames beside their images, to see in one look whether recordings are upright and paired."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..files import written_whole
from .types import FrameSpec, Index, Item

if TYPE_CHECKING:
    from .sets import DataSet

ROWS, STEPS, SIZE = 8, 4, 128
"""Recordings that are drawn, frames of each, and the side of a frame in pixels."""

LONGEST = 25
"""Letters that fit beside a row."""

ON, OFF = (0.85, 0.15, 0.1), (0.1, 0.25, 0.85)
"""Colours of ON events (red) and OFF events (blue)."""


def draw_sheet(dataset: DataSet, index: Index, path: Path) -> None:
    """Draw some recordings, of every format and of several classes: each a row, its image and its frames in time order.

    Raises:
        DataError: if the file cannot be written, or its suffix is none of a picture.
    """
    from matplotlib.backend_bases import FigureCanvasBase
    from matplotlib.figure import Figure

    kinds = FigureCanvasBase.get_supported_filetypes()
    if (kind := path.suffix[1:].lower() or "png") not in kinds:
        raise DataError(f"{path} has a suffix that no picture has: take .png or one of {', '.join(kinds)}")
    items, images = choose(index.recordings, ROWS), 1 if index.statics else 0
    figure = Figure(figsize=(1.5 * (STEPS + images), 1.65 * len(items)), layout="constrained")
    grid: Any = figure.subplots(len(items), STEPS + images, squeeze=False)
    for item, places in zip(items, grid, strict=True):
        name = item.path.name if item.path else item.key
        label = f"{shortened(item.class_name)}\n{shortened(name)}"
        places[0].set_ylabel(label.replace("$", r"\$"), fontsize=7)
        for place in places[:images]:
            _draw_image(dataset, index, item, place)
        _draw_frames(dataset, item, places[images:])
        for place in places:
            place.set(xticks=[], yticks=[])
    figure.suptitle(f"{'image, then ' if images else ''}frames in order of time: ON red, OFF blue", fontsize=8)
    with written_whole(path) as (part,):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(part, dpi=110, format=kind)


def choose(items: tuple[Item, ...], most: int) -> list[Item]:
    """At most so many items, but one of each format: one format after the other, of each one class after the other."""
    formats: dict[str, dict[str, list[Item]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        formats[item.path.suffix.lower() if item.path else ""][item.class_name].append(item)
    queues = [_in_turn(list(classes.values())) for classes in formats.values()]
    return _in_turn(queues)[: max(most, len(formats))]


def shortened(name: str) -> str:
    """The name, or its start and end, so that it fits beside a row.

    Example:
        >>> shortened("walking_2026-01-01_12-00-00.aedat4")
        'walking_202..00-00.aedat4'
    """
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2 - 1]}..{name[-(LONGEST // 2) :]}"


def _in_turn(queues: list[list[Item]]) -> list[Item]:
    """The first of each list, then the second of each, and so on."""
    longest = max(map(len, queues), default=0)
    return [queue[place] for place in range(longest) for queue in queues if place < len(queue)]


def _draw_image(dataset: DataSet, index: Index, item: Item, place: Any) -> None:
    """The image that the recording shows; if it is not known, one of its class."""
    twin = next((static for static in index.statics if static.key == item.key), None)
    image = twin or next((static for static in index.statics if static.class_name == item.class_name), None)
    if image is None:
        place.text(0.5, 0.5, "no image of\nthis class", ha="center", va="center", transform=place.transAxes, fontsize=7)
        return
    place.imshow(dataset.image(image, SIZE, "rgb").transpose(1, 2, 0))
    place.set_title("its image" if twin and index.twins_known else "of its class", fontsize=7, pad=2)


def _draw_frames(dataset: DataSet, item: Item, places: Any) -> None:
    try:
        frames = dataset.frames(item, FrameSpec(STEPS, SIZE, "time", antialias=True))
    except DataError as error:
        words = "\n".join(str(error)[start : start + 40] for start in range(0, 200, 40))
        places[0].text(0, 0.5, words, va="center", transform=places[0].transAxes, fontsize=6)
        return
    for place, frame in zip(places, frames, strict=False):  # a still image has one frame
        place.imshow(coloured(frame))


def coloured(frame: np.ndarray) -> np.ndarray:
    """A frame `[C, H, W]` as a picture `[H, W, 3]` in 0..1: the more events, the darker; three channels are colours."""
    if len(frame) == 3:
        return (frame.transpose(1, 2, 0) / max(float(frame.max()), 1e-9)).clip(0, 1)
    usual = np.quantile(frame[frame > 0], 0.9) if frame.any() else 1.0
    strength = 1 - np.exp(-2 * frame / usual)
    white = np.ones((*frame.shape[1:], 3))
    for channel, colour in enumerate((OFF, ON)):
        white -= strength[channel, :, :, None] * (1 - np.array(colour))
    return white.clip(0, 1)
