"""Calibrate the simulated camera on real N-MNIST recordings; compare_simulator.py then compares the two.

    python benchmarks/calibrate_simulator.py path      # prints PATH_X, PATH_Y of data/simulate/saccade.py (20 seconds)
    python benchmarks/calibrate_simulator.py mismatch  # prints what CameraParams.mismatch should be (1 minute)
    python benchmarks/calibrate_simulator.py search    # prints the other defaults of CameraParams (15 minutes)

Needs ../shared/data (or TMKT_SHARED): nmnist and mnist_png. Every second recording of a class calibrates, the others
are only compared with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize

from braincog_tmkt.data.readers.atis import read_atis
from braincog_tmkt.data.simulate import LAYOUTS
from braincog_tmkt.data.simulate.saccade import CameraParams, simulate_events

REPO = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("TMKT_SHARED", REPO.parent / "shared")) / "data"
SENSOR = 34
BIN_US = 4000
BINS = 78
KNOTS = 45
BASE_KNOT = 32
"""The third saccade, the triangle's base, starts at this knot."""
INTERVALS_US = np.r_[0, np.arange(1000, 12001, 1000), 20_000, 40_000, 400_000]
SEARCHED = {
    "threshold_on": 0.15,
    "threshold_off": 0.15,
    "refractory_us": 0.3,
    "noise_on_hz": 0.3,
    "floor": 0.4,
    "blur": 0.15,
    "amplitude": 0.03,
}
"""The parameters of the search and the relative size of its first steps."""
DURATION_US = 308_000
"""Half the real recordings are longer, half are shorter."""


def load_pairs(half: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Recordings of one half (0 calibrates, 1 compares) and what they show: uint8 `[N, 34, 34]`, dark on bright."""
    recordings, images = [], []
    for folder in sorted((SHARED / "nmnist/Train").iterdir()):
        for path in sorted(folder.glob("*.bin"))[half::2]:
            digit = Image.open(SHARED / f"mnist_png/train/{folder.name}/{int(path.stem) - 1}.png").convert("L")
            recordings.append(read_atis(path, (SENSOR, SENSOR)))
            images.append(LAYOUTS["nmnist"].render(digit))
    return recordings, np.stack(images)


def simulate_all(images: np.ndarray, params: CameraParams, seed: int) -> list[np.ndarray]:
    """Simulate many images at once, as one mosaic with bright margins; only the draws differ from one by one."""
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

    def explained(self, frame: np.ndarray, x: float, y: float) -> tuple[float, np.ndarray]:
        """What the images, moved right by x and down by y, explain of `frame`: share of variance, velocity `[2]`."""
        key = (round(x, 3), round(y, 3))
        if key not in self.moved:
            if len(self.moved) > 100:
                self.moved.pop(next(iter(self.moved)))
            design = np.stack([self._move(gradient, *key).ravel() for gradient in self.gradients])
            self.moved[key] = design, np.linalg.inv(design.astype(float) @ design.T)
        design, inverse = self.moved[key]
        product = design @ frame
        slope = inverse @ product
        return float(product @ slope) / float(frame @ frame), -slope

    def _move(self, stack: np.ndarray, x: float, y: float) -> np.ndarray:
        left, top = int(np.floor(self.margin - x)), int(np.floor(self.margin - y))
        fx, fy = self.margin - x - left, self.margin - y - top
        rows = slice(top, top + SENSOR), slice(top + 1, top + 1 + SENSOR)
        cols = slice(left, left + SENSOR), slice(left + 1, left + 1 + SENSOR)
        upper, lower = ((1 - fx) * stack[:, r, cols[0]] + fx * stack[:, r, cols[1]] for r in rows)
        return (1 - fy) * upper + fy * lower

    def locate(self, frame: np.ndarray, x: float, y: float) -> tuple[float, float, float, float, float]:
        """Climb from (x, y) to the best displacement, then refine by a parabola: x, y, velocity, explained variance."""
        (best, velocity), step = self.explained(frame, x, y), 0.5
        while step > 0.1:
            for dx, dy in ((step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step)):
                found = self.explained(frame, x + dx, y + dy)
                if found[0] > best:
                    (best, velocity), x, y = found, x + dx, y + dy
                    break
            else:
                step /= 2
        h = 0.25
        side = [[self.explained(frame, x + s * h * (1 - a), y + s * h * a)[0] for s in (-1, 1)] for a in (0, 1)]
        offset = [h / 2 * (low - high) / (low + high - 2 * best) for low, high in side]
        return x + offset[0], y + offset[1], velocity[0], velocity[1], best


def measure_path(recordings: Sequence[np.ndarray], images: np.ndarray) -> np.ndarray:
    """Displacement at every knot: `[2, KNOTS]` pixels right and down of the middle.

    Where an image moves fast, its place is sure; where it creeps, its velocity (known up to one factor) is surer: the
    path is the least-squares compromise of both.
    """
    registration = Registration(images)
    x, y = -2.5, -2.0
    found = []
    for k, frame in enumerate(signed_frames(recordings)):
        if np.abs(frame).sum() < len(recordings):  # too few events to say
            continue
        x, y, *rest = registration.locate(frame, x, y)
        found.append(((k + 0.5) * BIN_US, x, y, *rest))
    t, *places, vx, vy, sure = np.array(found).T
    moves = [(v[1:] + v[:-1]) / 2 for v in (vx, vy)]
    weight = np.minimum(sure[1:], sure[:-1]) ** 2
    factor = sum(weight @ (np.diff(p) * m) for p, m in zip(places, moves, strict=True))
    factor /= sum(weight @ m**2 for m in moves)
    knots = np.linspace(0, DURATION_US, KNOTS)
    return np.stack([np.interp(knots, t, _reconcile(p, sure, factor * m)) for p, m in zip(places, moves, strict=True)])


def _reconcile(place: np.ndarray, sure: np.ndarray, move: np.ndarray, trust: float = 10.0) -> np.ndarray:
    """Least squares: `place` weighted by `sure`, its differences equal to `move` weighted by `trust`."""
    steps = np.diff(np.eye(place.size), axis=0)
    rows = np.concatenate([np.diag(np.sqrt(sure)), np.sqrt(trust) * steps])
    return np.linalg.lstsq(rows, np.concatenate([np.sqrt(sure) * place, np.sqrt(trust) * move]), rcond=None)[0]


def run_path() -> None:
    path = measure_path(*load_pairs(0))
    base = np.hypot(*(path[:, -1] - path[:, BASE_KNOT]))
    for name, axis in zip(("PATH_X", "PATH_Y"), path / base, strict=True):
        print(f"{name} = ({', '.join(f'{value:.3f}' for value in axis)})")
    print(f"amplitude {base:.2f} pixels")


# --- the comparison -------------------------------------------------------------------------------------------------


@dataclass
class Summary:
    """What is compared of many recordings."""

    counts: np.ndarray
    """Events `[N]`."""
    on_share: np.ndarray
    """Share of ON events `[N]`."""
    images: np.ndarray
    """Events per polarity and pixel `[N, 2, 34, 34]`."""
    rate: np.ndarray
    """Events per polarity and time bin, mean over recordings `[2, bins]`."""
    intervals: np.ndarray
    """Shares of INTERVALS_US between two events in a row at a pixel, first of the same, then of opposite polarity."""


def summarise(recordings: Sequence[np.ndarray]) -> Summary:
    images = np.zeros((len(recordings), 2, SENSOR, SENSOR))
    rate = np.zeros((2, BINS))
    intervals = np.zeros(2 * len(INTERVALS_US) - 2)
    for image, events in zip(images, recordings, strict=True):
        on = events["p"].astype(int)
        np.add.at(image, (on, events["y"], events["x"]), 1)
        np.add.at(rate, (on, np.minimum(events["t"] // BIN_US, BINS - 1)), 1)
        pixel = events["y"].astype(int) * SENSOR + events["x"]
        order = np.lexsort((events["t"], pixel))
        paired = np.diff(pixel[order]) == 0
        gap, same = np.diff(events["t"][order])[paired], (np.diff(on[order]) == 0)[paired]
        intervals += np.concatenate([np.histogram(gap[kind], INTERVALS_US)[0] for kind in (same, ~same)])
    return Summary(
        counts=images.sum((1, 2, 3)),
        on_share=images[:, 1].sum((1, 2)) / images.sum((1, 2, 3)),
        images=images,
        rate=rate / len(recordings),
        intervals=intervals / intervals.sum(),
    )


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Total variation distance of two histograms: the share of events that would have to move."""
    return float(np.abs(a / a.sum() - b / b.sum()).sum() / 2)


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of every recording's count images with its twin's `[N]`."""
    a, b = (v.reshape(len(v), -1) - v.reshape(len(v), -1).mean(1, keepdims=True) for v in (a, b))
    return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def errors(real: Summary, shown: Summary) -> dict[str, float]:
    """The parts of what the search makes small; each would be 0 for a perfect twin."""
    return {
        "mean": abs(np.log(shown.counts.mean() / real.counts.mean())),
        "spread": abs(np.log(shown.counts.std() / real.counts.std())),
        "counts": 2 * (1 - np.corrcoef(real.counts, shown.counts)[0, 1]),
        "polarity": 10
        * abs(shown.images[:, 1].sum() / shown.images.sum() - real.images[:, 1].sum() / real.images.sum()),
        "rate": 2 * apart(real.rate, shown.rate),
        "mean image": 2 * apart(real.images.mean(0), shown.images.mean(0)),
        "images": 2 * (1 - correlations(real.images, shown.images).mean()),
        "intervals": 2 * apart(real.intervals, shown.intervals),
    }


def roughness(mean: np.ndarray, even: np.ndarray) -> np.ndarray:
    """Spread from pixel to pixel of ON and OFF events `[2]`, relative to a camera with equal pixels.

    Args:
        mean: mean count images `[2, 34, 34]`.
        even: the same of the camera with equal pixels; only pixels with more than 3 events count, and no hot ones.
    """
    spread = []
    for own, other in zip(mean, even, strict=True):
        good = (other > 3) & (own < 2 * other)
        ratio = np.where(good, np.log(np.maximum(own, 0.1) / np.maximum(other, 0.1)), 0)
        slow = gaussian_filter(ratio, 2) / np.maximum(gaussian_filter(good.astype(float), 2), 1e-6)
        spread.append((ratio - slow)[good].std())
    return np.array(spread)


def run_mismatch() -> None:
    """Find the mismatch that makes the mean image as rough as the real one.

    The search cannot: it compares pixel by pixel, and there a wrong pattern is worse than none.
    """
    recordings, images = load_pairs(0)

    def mean_image(mismatch: float, camera: int) -> np.ndarray:
        params = replace(CameraParams(), mismatch=mismatch, camera_seed=camera)
        return summarise([simulate_events(image, params, k) for k, image in enumerate(images)]).images.mean(0)

    even = mean_image(0, 0)
    print("real: roughness", roughness(summarise(recordings).images.mean(0), even).round(3))
    for mismatch in (0.06, 0.08, 0.1, 0.12):
        both = np.mean([roughness(mean_image(mismatch, camera), even) for camera in (1, 2)], axis=0)
        print(f"mismatch {mismatch}: roughness", both.round(3))


def run_search(evaluations: int = 300) -> None:
    """Nelder-Mead in the logarithms of the parameters, from the defaults of CameraParams, on the calibration half."""
    recordings, images = load_pairs(0)
    real = summarise(recordings)
    start = {name: getattr(CameraParams(), name) for name in SEARCHED}
    done = 0

    def loss(logs: np.ndarray) -> float:
        nonlocal done
        params = replace(CameraParams(), **dict(zip(SEARCHED, np.exp(logs).tolist(), strict=True)))
        parts = errors(real, summarise(simulate_all(images, params, seed=0)))
        done += 1
        if done % 20 == 1:
            print(done, f"{sum(parts.values()):.3f}", {k: round(float(v), 3) for k, v in parts.items()}, flush=True)
            print(
                "  ",
                {name: float(f"{value:.3g}") for name, value in zip(SEARCHED, np.exp(logs), strict=True)},
                flush=True,
            )
        return sum(parts.values())

    centre = np.log(list(start.values()))
    simplex = np.concatenate([centre[None], centre + np.diag(list(SEARCHED.values()))])
    options = {"initial_simplex": simplex, "maxfev": evaluations, "xatol": 0.005, "fatol": 0.001}
    best = minimize(loss, centre, method="Nelder-Mead", options=options)
    print(f"loss {best.fun:.3f}")
    for name, value in zip(SEARCHED, np.exp(best.x), strict=True):
        print(f"{name} = {value:.3g}")


if __name__ == "__main__":
    commands = {"path": run_path, "mismatch": run_mismatch, "search": run_search}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]]()
