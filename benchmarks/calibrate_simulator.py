"""Calibrate the simulated camera on real N-MNIST recordings, and compare the two on recordings it has not seen.

    python benchmarks/calibrate_simulator.py path      # prints PATH_X, PATH_Y of data/saccade.py
    python benchmarks/calibrate_simulator.py search    # prints the defaults of CameraParams
    python benchmarks/calibrate_simulator.py compare   # writes the table and the figure of docs/data.md
    python benchmarks/calibrate_simulator.py speed     # milliseconds per recording

Needs ../shared/data (or TMKT_SHARED): nmnist and mnist_png. Every second recording of a class calibrates, the others
are only compared with.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.interpolate import make_smoothing_spline
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize

from braincog_tmkt.data import saccade
from braincog_tmkt.data.events import read_atis
from braincog_tmkt.data.saccade import CameraParams, simulate_events

REPO = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("TMKT_SHARED", REPO.parent / "shared")) / "data"
SENSOR = 34
BIN_US = 4000
BINS = 78
KNOTS = 40


def load_pairs(half: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Recordings of one half (0 calibrates, 1 compares) and what they show: uint8 `[N, 34, 34]`, dark on bright."""
    recordings, images = [], []
    for folder in sorted((SHARED / "nmnist/Train").iterdir()):
        for path in sorted(folder.glob("*.bin"))[half::2]:
            digit = Image.open(SHARED / f"mnist_png/train/{folder.name}/{int(path.stem) - 1}.png").convert("L")
            recordings.append(read_atis(path, (SENSOR, SENSOR)))
            images.append(255 - np.pad(np.asarray(digit), 3))
    return recordings, np.stack(images)


def simulate_all(images: np.ndarray, params: CameraParams, seed: int) -> list[np.ndarray]:
    """Simulate many images at once, as one mosaic with bright margins: the same events as one by one but for the draws."""
    margin = 5
    tile = SENSOR + 2 * margin
    mosaic = np.pad(images, ((0, 0), (margin, margin), (margin, margin)), constant_values=255).reshape(-1, tile)
    events = simulate_events(mosaic, params, seed)
    which, y, x = events["y"] // tile, events["y"] % tile - margin, events["x"] - margin
    inside = (x >= 0) & (x < SENSOR) & (y >= 0) & (y < SENSOR)
    events["y"], events["x"] = y, x
    events, which = events[inside], which[inside]
    order = np.argsort(which, kind="stable")
    return np.split(events[order], np.searchsorted(which[order], np.arange(1, len(images))))


# --- the path -------------------------------------------------------------------------------------------------------


def signed_frames(recordings: Sequence[np.ndarray]) -> np.ndarray:
    """ON minus OFF events per time bin: `[bins, N * 34 * 34]`."""
    frames = np.zeros((BINS, len(recordings), SENSOR, SENSOR), np.float32)
    for n, events in enumerate(recordings):
        where = (np.minimum(events["t"] // BIN_US, BINS - 1), n, events["y"], events["x"])
        np.add.at(frames, where, np.where(events["p"], 1, -1))
    return frames.reshape(BINS, -1)


class Registration:
    """Finds where the images are in a time bin.

    While an image moves, ON minus OFF events are about -v * (gradient of log light): for the true displacement, a
    regression of the events on the gradient of the displaced image explains most.
    """

    def __init__(self, images: np.ndarray, floor: float = 0.1, margin: int = 8) -> None:
        light = gaussian_filter(images / 255.0, (0, 0.3, 0.3))
        log_light = np.log(np.pad(light, ((0, 0), (margin, margin), (margin, margin)), mode="edge") + floor)
        self.gradients = [np.gradient(log_light, axis=axis).astype(np.float32) for axis in (2, 1)]
        self.margin = margin
        self.moved: dict[tuple[float, float], tuple[np.ndarray, np.ndarray]] = {}

    def explained(self, frame: np.ndarray, x: float, y: float) -> float:
        """Share of the variance of `frame` that the images moved right by x and down by y explain."""
        key = (round(x, 3), round(y, 3))
        if key not in self.moved:
            if len(self.moved) > 100:
                self.moved.pop(next(iter(self.moved)))
            design = np.stack([self._move(gradient, *key).ravel() for gradient in self.gradients])
            self.moved[key] = design, np.linalg.inv(design.astype(float) @ design.T)
        design, inverse = self.moved[key]
        product = design @ frame
        return float(product @ inverse @ product) / float(frame @ frame)

    def _move(self, stack: np.ndarray, x: float, y: float) -> np.ndarray:
        left, top = int(np.floor(self.margin - x)), int(np.floor(self.margin - y))
        fx, fy = self.margin - x - left, self.margin - y - top
        rows = slice(top, top + SENSOR), slice(top + 1, top + 1 + SENSOR)
        cols = slice(left, left + SENSOR), slice(left + 1, left + 1 + SENSOR)
        upper, lower = ((1 - fx) * stack[:, r, cols[0]] + fx * stack[:, r, cols[1]] for r in rows)
        return (1 - fy) * upper + fy * lower

    def locate(self, frame: np.ndarray, x: float, y: float) -> tuple[float, float, float]:
        """Climb from (x, y) to the best displacement, then refine by a parabola: x, y, explained variance."""
        best, step = self.explained(frame, x, y), 0.5
        while step > 0.1:
            for dx, dy in ((step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step)):
                found = self.explained(frame, x + dx, y + dy)
                if found > best:
                    best, x, y = found, x + dx, y + dy
                    break
            else:
                step /= 2
        h = 0.25
        side = [[self.explained(frame, x + s * h * (1 - a), y + s * h * a) for s in (-1, 1)] for a in (0, 1)]
        offset = [h / 2 * (low - high) / (low + high - 2 * best) for low, high in side]
        return x + offset[0], y + offset[1], best


def measure_path(recordings: Sequence[np.ndarray], images: np.ndarray) -> np.ndarray:
    """Displacement at every knot: `[2, KNOTS]` pixels right and down of the middle."""
    registration = Registration(images)
    x, y = -2.5, -2.0
    found = []
    for k, frame in enumerate(signed_frames(recordings)):
        if np.abs(frame).sum() < len(recordings):  # too few events to say
            continue
        x, y, weight = registration.locate(frame, x, y)
        found.append(((k + 0.5) * BIN_US, x, y, weight))
    t, xs, ys, weight = np.array(found).T
    knots = np.linspace(0, BINS * BIN_US, KNOTS)
    return np.stack([make_smoothing_spline(t / BIN_US, v, weight, lam=0.3)(knots / BIN_US) for v in (xs, ys)])


def run_path() -> None:
    """Measure the path, then mend its lag (events come after the light has changed) with the simulator's own lag."""
    recordings, images = load_pairs(0)
    real = measure_path(recordings, images)
    params = CameraParams(amplitude=1.0, duration_us=BINS * BIN_US, noise_on_hz=0.0)
    path = real.copy()
    for _ in range(2):
        saccade.PATH_X, saccade.PATH_Y = (tuple(axis) for axis in path)
        shown = measure_path(simulate_all(images, params, seed=0), images)
        print("largest difference of the measured paths, pixels:", np.abs(shown - real).max().round(3))
        path += real - shown
    base = np.hypot(*(path[:, -1] - path[:, int(0.72 * KNOTS)]))
    for name, axis in zip(("PATH_X", "PATH_Y"), path / base, strict=True):
        print(f"{name} = ({', '.join(f'{value:.3f}' for value in axis)})")
    print(f"amplitude {base:.2f} pixels")


if __name__ == "__main__":
    run_path()
