"""Handwriting on a screen before the event camera: characters as dots of ink, each with the time it is set.

The dots come from the timed strokes of Omniglot, or from an image of a character, which is then drawn along its lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...jit import compiled
from .camera import Camera

CANVAS = 105.0
"""Omniglot's drawings have so many units a side."""
STEP = 0.4
"""The pen sets a dot at least every so many units of its way."""
PAUSE_US = 250_000
"""A pen that rests for longer is taken to rest for so long: some drawers left for minutes."""
SHORTEST_US, LONGEST_US = 2_000_000, 8_000_000
"""A drawing lasts at least and at most so long; the pen is slowed down or hurried otherwise."""
SPREAD_US = 20_000
"""A line found in an image grows by a pixel of the image in so many microseconds."""

FRAME_US = 1e6 / 60
"""The screen shows a new picture so often; in between, its light goes straight from the one to the next."""
INK_RADIUS, TIP_RADIUS = 2.0, 3.5
"""Half the width of a line, and of the pen's tip, which shows where ink is being set, in pixels of the sensor."""
INK_LIGHT = 0.3
"""Light of ink and tip, relative to the white screen."""


@dataclass(frozen=True)
class PenTrace:
    """Dots of ink `[N]`, sorted by time: units right and down (0 to `CANVAS`), microseconds from the first dot."""

    x: np.ndarray
    y: np.ndarray
    t: np.ndarray


def read_strokes(path: Path) -> PenTrace:
    """Read a drawing of Omniglot's: lines `x,y,t` (y upwards, from -105 to 0; t in milliseconds), `START`, `BREAK`.

    The numbers count pixels: 0 is the middle of the first one (seen by laying strokes over their images). A DataError
    names a file that cannot be read or is no such drawing.
    """
    try:
        blocks = path.read_text(encoding="ascii").replace("START", "").split("BREAK")
        strokes = [np.array([line.split(",") for line in block.split()], float) for block in blocks if block.strip()]
        points = np.concatenate(strokes)
        x, y, t = points.T
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as strokes (lines x,y,t): unpack the archive again") from error
    if not np.isfinite(points).all():
        raise DataError(f"{path} has numbers that are not finite: unpack the archive again")
    passed = np.clip(np.diff(t) * 1000, 0, PAUSE_US)  # a few official files go back by some milliseconds
    moments = np.concatenate([[0], np.cumsum(passed)])
    x, y = np.clip(x + 0.5, 0, CANVAS), np.clip(0.5 - y, 0, CANVAS)
    ends = np.cumsum([len(stroke) for stroke in strokes])
    parts = [_resampled(x[a:b], y[a:b], moments[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    return _bounded(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def ink_of_image(image: np.ndarray) -> PenTrace:
    """Draw an image: each line grows from its top left end at a steady pace, one after the other.

    Takes grey `[H, W]`, uint8, ink dark on bright, and returns one dot at the middle of each pixel of ink.
    """
    rows, columns = np.nonzero(image < 128)
    todo = set(zip(rows.tolist(), columns.tolist(), strict=True))
    dots = [(x, y, SPREAD_US * k) for k, front in enumerate(_fronts(todo)) for y, x in front]
    x, y, t = np.array(dots, float).reshape(-1, 3).T
    height, width = image.shape
    return _bounded((x + 0.5) * CANVAS / width, (y + 0.5) * CANVAS / height, t)


def _resampled(x: np.ndarray, y: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points of one stroke, with dots between those that are farther apart than `STEP`."""
    more = np.ceil(np.hypot(np.diff(x), np.diff(y)) / STEP).clip(min=1)
    place = np.concatenate([[0], np.cumsum(more)])
    dots = np.arange(place[-1] + 1)
    return np.interp(dots, place, x), np.interp(dots, place, y), np.interp(dots, place, t)


def _fronts(todo: set[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Spread over the pixels of `todo`, from neighbour to neighbour: those that are reached at each step."""
    while todo:
        front = [min(todo, key=lambda pixel: (sum(pixel), pixel))]
        while front:
            todo.difference_update(front)
            yield front
            near = {(y + dy, x + dx) for y, x in front for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
            front = sorted(near & todo)


def _bounded(x: np.ndarray, y: np.ndarray, t: np.ndarray) -> PenTrace:
    """The same dots with times from 0 to a duration within the bounds."""
    t = t - t[:1]
    duration = t[-1] if t.size else 0.0
    if duration > 0:
        t = t * (np.clip(duration, SHORTEST_US, LONGEST_US) / duration)
    return PenTrace(x, y, t)


class Screen:
    """A white screen before the camera, on which a pen draws and which is wiped.

    Args:
        camera: sees the screen; white at the start.
        height: rows of the camera.
        floor: light that is there in black, relative to white.
        left: column of the canvas' left edge.
        top: row of its upper edge.
        side: pixels of the sensor that the canvas is wide and high.
    """

    def __init__(self, camera: Camera, height: int, floor: float, left: float, top: float, side: float) -> None:
        self.camera, self.floor = camera, floor
        self.left, self.top, self.scale = left, top, side / CANVAS
        self.ink = np.zeros((height, camera.width), np.float32)  # how much of a pixel is covered

    def draw(self, ink: PenTrace, start: float) -> float:
        """Draw `ink` from the time `start` on, in microseconds, and return when the last dot is set."""
        places = np.stack([self.left + ink.x * self.scale, self.top + ink.y * self.scale], axis=1) - 0.5
        frames = np.floor(ink.t / FRAME_US).astype(int)
        last = int(frames[-1])
        bounds = np.searchsorted(frames, np.arange(last + 3))
        tip = places[:0]
        for k in range(last + 2):
            dots = places[bounds[k] : bounds[k + 1]]
            if dots.size or k > last:  # else the pen rests, and its tip stays; after the last dot it is taken away
                self._show(dots, self._around(np.concatenate([tip, dots])), start + k * FRAME_US)
                tip = dots
        return start + (last + 2) * FRAME_US

    def wipe(self, start: float) -> float:
        """Make the screen white again at the time `start`, in microseconds, and return when it is."""
        inked = np.flatnonzero(self.ink)
        self.ink[:] = 0
        white = np.full(inked.size, np.log1p(np.float32(self.floor)), np.float32)
        self.camera.see(white, start, start + FRAME_US, inked)
        return start + FRAME_US

    def _around(self, dots: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns that dots can reach."""
        reach = TIP_RADIUS + 0.5
        left, top = np.maximum(np.floor(dots.min(axis=0) - reach), 0).astype(int)
        right, bottom = (np.ceil(dots.max(axis=0) + reach) + 1).astype(int)
        return slice(top, min(bottom, self.ink.shape[0])), slice(left, min(right, self.ink.shape[1]))

    def _show(self, tip: np.ndarray, part: tuple[slice, slice], start: float) -> None:
        """Set the dots under the tip, and let the camera see what changes in `part` from one picture to the next."""
        top, left = part[0].start, part[1].start
        ink = self.ink[part]
        _cover(ink, tip - (left, top), INK_RADIUS)
        covered = ink.copy()
        _cover(covered, tip - (left, top), TIP_RADIUS)
        light = np.log(1 - np.float32(1 - INK_LIGHT) * covered + np.float32(self.floor))
        where = np.arange(top, part[0].stop)[:, None] * self.ink.shape[1] + np.arange(left, part[1].stop)
        self.camera.see(light.ravel(), start, start + FRAME_US, where.ravel())


@compiled
def _cover(part: np.ndarray, dots: np.ndarray, radius: float) -> None:
    """Cover the pixels of `part` with dots, whose rims are a pixel soft."""
    reach = radius + 0.5
    for x, y in dots:
        for row in range(max(int(y - reach), 0), min(int(y + reach) + 2, part.shape[0])):
            for column in range(max(int(x - reach), 0), min(int(x + reach) + 2, part.shape[1])):
                cover = reach - np.sqrt((row - y) ** 2 + (column - x) ** 2)
                part[row, column] = max(part[row, column], np.float32(min(max(cover, 0.0), 1.0)))
