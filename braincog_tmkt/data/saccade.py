"""An event camera that looks at a static image through three saccades.

Every pixel remembers the logarithm of the light at its last event; when the light has changed by a threshold since, it
sends an event and stays silent for a refractory time. The camera's path is the one of the N-MNIST recordings, measured
by `benchmarks/calibrate_simulator.py`; so are the default parameters (docs/data.md, "Simulator").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from ..errors import DataError, RecipeError
from .types import EVENT_DTYPE

SIMULATOR_VERSION = 1
"""Raise it when the same parameters and seed give other events: twins of before are then not continued."""

# How far the image has moved from the middle of the sensor, in units of the triangle's base (the third saccade):
# right and down at equal steps of time from the start of a recording to its end. Between the saccades the mount creeps.
# fmt: off
PATH_X = (
    -0.478, -0.480, -0.485, -0.496, -0.505, -0.511, -0.509, -0.492, -0.437, -0.357, -0.275, -0.223, -0.205,
    -0.195, -0.184, -0.167, -0.142, -0.110, -0.056, 0.030, 0.126, 0.212, 0.267, 0.301, 0.348, 0.395, 0.430,
    0.450, 0.469, 0.495, 0.523, 0.538, 0.539, 0.510, 0.413, 0.280, 0.147, 0.005, -0.137, -0.249, -0.332, -0.396,
    -0.440, -0.457, -0.460,
)
PATH_Y = (
    -0.346, -0.339, -0.315, -0.256, -0.164, -0.028, 0.133, 0.304, 0.459, 0.574, 0.653, 0.686, 0.695, 0.693,
    0.684, 0.673, 0.665, 0.660, 0.639, 0.580, 0.471, 0.331, 0.174, 0.021, -0.119, -0.217, -0.271, -0.292,
    -0.297, -0.298, -0.299, -0.303, -0.307, -0.308, -0.304, -0.301, -0.302, -0.307, -0.317, -0.329, -0.341,
    -0.346, -0.344, -0.341, -0.340,
)
# fmt: on

STEP_PIXELS, STEP_US = 0.2, 8000.0
"""No sub-step moves the image farther or lasts longer; within one, log light is linear in time."""


@dataclass(frozen=True)
class CameraParams:
    """The camera and its movement. The defaults are calibrated on real N-MNIST recordings.

    Args:
        threshold_on: change of log light that makes an ON event.
        threshold_off: the same for an OFF event.
        mismatch: standard deviation of a pixel's thresholds, relative to their mean.
        refractory_us: microseconds a pixel is silent after an event; it then remembers the light of that moment.
        noise_on_hz: ON events a second and pixel that no change of light causes.
        noise_off_hz: the same for OFF events.
        floor: light that is there in black, relative to white.
        blur: standard deviation of the optics' blur in pixels.
        amplitude: length of the triangle's base in pixels.
        duration_us: microseconds from the first movement to the end of the third saccade.
        camera_seed: which camera: draws the pixels' thresholds, the same for all recordings of one size.

    Raises:
        RecipeError: if a value is impossible.
    """

    threshold_on: float = 0.244
    threshold_off: float = 0.24
    mismatch: float = 0.09
    refractory_us: float = 325.0
    noise_on_hz: float = 0.25
    noise_off_hz: float = 0.0
    floor: float = 0.163
    blur: float = 0.48
    amplitude: float = 5.46
    duration_us: int = 308_000
    camera_seed: int = 0

    def __post_init__(self) -> None:
        above_zero = ("threshold_on", "threshold_off", "floor", "duration_us")
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value > 0 if field.name in above_zero else value >= 0):
                bound = "above" if field.name in above_zero else "at least"
                raise RecipeError(f"camera parameter {field.name} is {value}: it must be {bound} 0")


def saccade_path(params: CameraParams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the image is at the ends of the sub-steps.

    Returns:
        Times in microseconds, and how far the image has moved right and down in pixels, each `[N + 1]` for N sub-steps.
    """
    fine = np.linspace(0.0, 1.0, 20 * len(PATH_X))
    length = np.cumsum(np.hypot(*(np.diff(_along(knots, fine), prepend=knots[0]) for knots in (PATH_X, PATH_Y))))
    progress = length * params.amplitude / STEP_PIXELS + fine * params.duration_us / STEP_US
    steps = int(np.ceil(progress[-1]))
    when = np.interp(np.linspace(0.0, progress[-1], steps + 1), progress, fine)
    right, down = (params.amplitude * _along(knots, when) for knots in (PATH_X, PATH_Y))
    return when * params.duration_us, right, down


def _along(knots: Sequence[float], when: np.ndarray) -> np.ndarray:
    """Cubic Hermite interpolation of equally spaced knots at times 0..1; the slopes are 0 at the ends."""
    values = np.asarray(knots)
    slopes = np.zeros_like(values)
    slopes[1:-1] = (values[2:] - values[:-2]) / 2
    place = when * (len(values) - 1)
    left = np.minimum(place.astype(int), len(values) - 2)
    u = place - left
    rise = values[left + 1] - values[left]
    bend = (slopes[left] - rise) * (1 - u) + (rise - slopes[left + 1]) * u
    return values[left] + u * rise + u * (1 - u) * bend


def simulate_events(image: np.ndarray, params: CameraParams | None = None, seed: int = 0) -> np.ndarray:
    """Record one image: what the camera sends while the image moves along the three saccades.

    Beyond its border the image goes on with the colour of its border, so that the border itself makes no events. The
    image is the light: a caller that shows a negative inverts it before.

    Args:
        image: `[H, W]`, uint8, or floats in [0, 1]. The sensor has the same size.
        params: the camera; the calibrated one if None.
        seed: draws the noise.

    Returns:
        Events `[N]` of `EVENT_DTYPE`, sorted by time; times in microseconds from 0 to `params.duration_us`.

    Raises:
        DataError: if the image is not two-dimensional or its values are not in range.

    Example:
        >>> image = np.zeros((34, 34), np.uint8)
        >>> image[10:20, 10:20] = 255
        >>> events = simulate_events(image, CameraParams(noise_on_hz=0.0), seed=0)
        >>> bool((np.diff(events["t"]) >= 0).all()), set(events["p"].tolist()) == {True, False}
        (True, True)
    """
    params = params or CameraParams()
    light = _as_light(image)
    pixel, time, on = _signal(light, params)
    is_noise = np.zeros(pixel.size, bool)
    for kind, rate in ((True, params.noise_on_hz), (False, params.noise_off_hz)):
        # A generator each: another rate of one kind leaves the other kind's events as they are.
        rng = np.random.default_rng((seed, kind))
        count = rng.poisson(rate * params.duration_us * 1e-6 * light.size)
        pixel = np.concatenate([pixel, rng.integers(0, light.size, count)])
        time = np.concatenate([time, rng.uniform(0, params.duration_us, count)])
        on = np.concatenate([on, np.full(count, kind)])
        is_noise = np.concatenate([is_noise, np.ones(count, bool)])
    keep = ~_in_refractory(pixel, time, is_noise, params.refractory_us)
    return _pack(pixel[keep], time[keep], on[keep], light.shape[1])


def _as_light(image: np.ndarray) -> np.ndarray:
    """Return the image as float32 in [0, 1], checked."""
    if image.ndim != 2 or 0 in image.shape:
        raise DataError(f"an image to simulate has the shape [H, W], not {list(image.shape)}: give one grey channel")
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    light = image.astype(np.float32)
    if not (np.isfinite(light).all() and light.min() >= 0 and light.max() <= 1):
        raise DataError("an image to simulate has values in [0, 1] (or is uint8): scale it, or mend what is not finite")
    return light


@lru_cache(maxsize=4)
def _thresholds(params: CameraParams, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """ON and OFF thresholds of every pixel; none falls below a fifth of the mean (the bell curve has no floor)."""
    spread = np.random.default_rng(params.camera_seed).standard_normal((2, pixels))
    scale = np.maximum(1 + params.mismatch * spread, 0.2).astype(np.float32)
    return scale[0] * np.float32(params.threshold_on), scale[1] * np.float32(params.threshold_off)


def _signal(light: np.ndarray, params: CameraParams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Events that the movement causes: flat pixel, time in microseconds, whether ON; each `[N]`."""
    times, right, down = saccade_path(params)
    margin = int(np.ceil(max(np.abs(right).max(), np.abs(down).max()))) + 2
    padded = np.pad(_blurred(light, params.blur) + np.float32(params.floor), margin, mode="edge")
    pixels = _Pixels(_view(padded, margin, right[0], down[0]), params)
    for k in range(1, len(times)):
        pixels.move_on(_view(padded, margin, right[k], down[k]), times[k - 1], times[k])
    pixel, time, on = (np.concatenate(part) for part in zip(*pixels.found, strict=True))
    return pixel, time, on


class _Pixels:
    """The state of all pixels, flat, and the events they have sent.

    Args:
        light: log light at the start.
        params: the camera.
    """

    def __init__(self, light: np.ndarray, params: CameraParams) -> None:
        self.light = light
        self.memory = light.copy()
        self.free = np.zeros(light.size)  # when a pixel may send again
        self.threshold_on, self.threshold_off = _thresholds(params, light.size)
        self.refractory = params.refractory_us
        self.found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def move_on(self, light: np.ndarray, start: float, end: float) -> None:
        """Find the events between `start` and `end`, while log light goes straight to `light`."""
        rate = (light - self.light) / (end - start)
        self._wake(np.flatnonzero((self.free > start) & (self.free <= end)), rate, start)
        change = light - self.memory
        over = (change >= self.threshold_on) | (change <= -self.threshold_off)
        pixel = np.flatnonzero(over & (self.free <= end))
        while True:
            change = light[pixel] - self.memory[pixel]
            on = change > 0
            step = np.where(on, self.threshold_on[pixel], -self.threshold_off[pixel])
            fires = np.abs(change) >= np.abs(step)
            pixel, on, level = pixel[fires], on[fires], (self.memory[pixel] + step)[fires]
            time = np.clip(start + (level - self.light[pixel]) / rate[pixel], np.maximum(start, self.free[pixel]), end)
            self.found.append((pixel, time, on))
            self.free[pixel] = time + self.refractory
            self.memory[pixel] = level
            pixel = pixel[self.free[pixel] <= end]  # all others sleep into the next sub-step
            if not pixel.size:
                break
            if self.refractory:
                self._wake(pixel, rate, start)
        self.light = light

    def _wake(self, pixel: np.ndarray, rate: np.ndarray, start: float) -> None:
        """Have pixels remember the light of the moment they become free."""
        self.memory[pixel] = self.light[pixel] + rate[pixel] * (self.free[pixel] - start)


def _blurred(light: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur `[H, W]`; the border's colour goes on beyond it."""
    radius = int(np.ceil(3 * sigma))
    if not radius:
        return light
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (0, 1):
        wide = np.pad(light, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        parts = np.lib.stride_tricks.sliding_window_view(wide, weights.size, axis=axis)
        light = parts @ weights
    return light


def _view(padded: np.ndarray, margin: int, right: float, down: float) -> np.ndarray:
    """Log light of every pixel, flat, with the image moved `right` and `down`.

    A square pixel collects the light of the bilinear image: three weights a side (a quadratic B-spline). Sampling
    points instead makes edges sharper at some sub-pixel positions than at others, and the event rate flicker.
    """
    height, width = padded.shape[0] - 2 * margin, padded.shape[1] - 2 * margin
    top, above, centre, below = _taps(margin - down)
    part = padded[:, : width + 2 * margin]
    rows = above * part[top : top + height] + centre * part[top + 1 : top + 1 + height]
    rows += below * part[top + 2 : top + 2 + height]
    left, before, centre, after = _taps(margin - right)
    light = before * rows[:, left : left + width] + centre * rows[:, left + 1 : left + 1 + width]
    light += after * rows[:, left + 2 : left + 2 + width]
    return np.log(light).ravel()


def _taps(start: float) -> tuple[int, np.float32, np.float32, np.float32]:
    """First index and three weights of the pixel whose middle lies at `start`."""
    middle = int(np.floor(start + 0.5))
    f = start - middle
    return middle - 1, np.float32((0.5 - f) ** 2 / 2), np.float32(0.75 - f * f), np.float32((0.5 + f) ** 2 / 2)


def _in_refractory(pixel: np.ndarray, time: np.ndarray, is_noise: np.ndarray, refractory: float) -> np.ndarray:
    """Mark the noise events that lie within the refractory time of another event of their pixel."""
    order = np.lexsort((time, pixel))
    close = (np.diff(pixel[order]) == 0) & (np.diff(time[order]) < refractory)
    near = np.zeros(pixel.size, bool)
    near[order[1:]] |= close
    near[order[:-1]] |= close
    return near & is_noise


def _pack(pixel: np.ndarray, time: np.ndarray, on: np.ndarray, width: int) -> np.ndarray:
    """Sort by time, then pixel, and round down to whole microseconds."""
    order = np.lexsort((pixel, time))
    events = np.empty(pixel.size, EVENT_DTYPE)
    events["t"], events["p"] = time[order], on[order]
    events["y"], events["x"] = np.divmod(pixel[order], width)
    return events
