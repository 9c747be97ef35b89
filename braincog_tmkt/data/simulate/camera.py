"""An event camera: pixels that remember the light of their last event and send another when it has changed enough.

When the logarithm of the light has changed by a threshold since, a pixel sends an event and stays silent for a
refractory time. The defaults are calibrated on real recordings by `benchmarks/calibrate_simulator.py`
(docs/how-to/simulator.md). What the camera looks at is in `saccade.py` (an image that moves) and `strokes.py` (a pen).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from ...errors import DataError, RecipeError
from ...jit import compiled
from ..types import EVENT_DTYPE

SIMULATOR_VERSION = 1
"""Raise it when the same parameters and seed give other events: twins of before are then not continued."""

STEP_PIXELS, STEP_US = 0.2, 8000.0
"""No sub-step moves the image farther or lasts longer; within one, log light is linear in time."""

Motion = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Times in microseconds, and how far the image has moved right and down in pixels, each `[N + 1]` for N sub-steps."""


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
        amplitude: how large the image's path is, in pixels: the base of the saccades' triangle, the diagonal of the
            diamond, the range of the random walk; 0 where nothing moves but a pen.
        duration_us: microseconds from the first movement to the end of the last one; with a pen, at the most.
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


def path_through(right: Sequence[float], down: Sequence[float], amplitude: float, duration_us: float) -> Motion:
    """Move an image smoothly through knots that are passed at equal steps of time.

    Args:
        right: how far the image is right of its place at each knot, in units of `amplitude`.
        down: the same downwards.
        amplitude: that unit in pixels.
        duration_us: microseconds from the first knot to the last.

    Returns:
        The movement, with sub-steps short in both space and time (`STEP_PIXELS`, `STEP_US`).
    """
    fine = np.linspace(0.0, 1.0, 20 * len(right))
    length = np.cumsum(np.hypot(*(np.diff(_along(knots, fine), prepend=knots[0]) for knots in (right, down))))
    progress = length * amplitude / STEP_PIXELS + fine * duration_us / STEP_US
    steps = int(np.ceil(progress[-1]))
    when = np.interp(np.linspace(0.0, progress[-1], steps + 1), progress, fine)
    return when * duration_us, amplitude * _along(right, when), amplitude * _along(down, when)


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


def film(image: np.ndarray, motion: Motion, params: CameraParams, seed: int) -> np.ndarray:
    """Record an image that moves before the camera.

    Beyond its border the image goes on with the colour of its border, so that the border itself makes no events. The
    image is the light: a caller that shows a negative inverts it before.

    Args:
        image: `[H, W]`, uint8, or floats in [0, 1]. The sensor has the same size.
        motion: where the image is when.
        params: the camera.
        seed: draws the noise.

    Returns:
        Events `[N]` of `EVENT_DTYPE`, sorted by time, in microseconds from 0 to the end of the movement.

    Raises:
        DataError: if the image is not two-dimensional or its values are not in range.
    """
    light = _as_light(image)
    times, right, down = motion
    margin = int(np.ceil(max(np.abs(right).max(), np.abs(down).max()))) + 2
    padded = np.pad(_blurred(light, params.blur) + np.float32(params.floor), margin, mode="edge")
    camera = Camera(_view(padded, margin, right[0], down[0]), light.shape[1], params)
    for k in range(1, len(times)):
        camera.see(_view(padded, margin, right[k], down[k]), times[k - 1], times[k])
    return camera.events(params.duration_us, seed)


class Camera:
    """All pixels of a sensor, flat: what they remember and what they have sent.

    `light` is the log light at the start, float32 `[H * W]`, and `width` the pixels of a row.
    """

    def __init__(self, light: np.ndarray, width: int, params: CameraParams) -> None:
        self.width, self.params = width, params
        self._light = light.copy()
        self._memory = light.copy()
        self._free = np.zeros(light.size)  # when a pixel may send again; negative once it has woken
        self._thresholds = _thresholds(params, light.size)
        self._everywhere = np.arange(light.size)
        self._sent = [(self._everywhere[:0], self._free[:0], np.zeros(0, bool))]

    def see(self, light: np.ndarray, start: float, end: float, where: np.ndarray | None = None) -> None:
        """Let log light go straight to `light` between `start` and `end` (microseconds, from the last `end` on).

        `light` is float32 `[N]`, for the pixels with the flat numbers `where`, int64 `[N]`; None stands for all pixels.
        The light of the others does not change.
        """
        where = self._everywhere if where is None else where
        state = self._light, self._memory, self._free
        sent = _see(where, light, *state, *self._thresholds, self.params.refractory_us, start, end)
        self._sent.append(sent)

    def events(self, duration_us: float, seed: int) -> np.ndarray:
        """Everything sent so far, with the noise of `duration_us` microseconds drawn from `seed`.

        Events `[N]` of `EVENT_DTYPE`, sorted by time (whole microseconds, rounded down), then by pixel.
        """
        pixel, time, on = (np.concatenate(part) for part in zip(*self._sent, strict=True))
        is_noise = np.zeros(pixel.size, bool)
        for kind, rate in ((True, self.params.noise_on_hz), (False, self.params.noise_off_hz)):
            # A generator each: another rate of one kind leaves the other kind's events as they are.
            rng = np.random.default_rng((seed, kind))
            count = rng.poisson(rate * duration_us * 1e-6 * self._light.size)
            pixel = np.concatenate([pixel, rng.integers(0, self._light.size, count)])
            time = np.concatenate([time, rng.uniform(0, duration_us, count)])
            on = np.concatenate([on, np.full(count, kind)])
            is_noise = np.concatenate([is_noise, np.ones(count, bool)])
        keep = ~_in_refractory(pixel, time, is_noise, self.params.refractory_us)
        return _pack(pixel[keep], time[keep], on[keep], self.width)


@compiled
def _see(
    where: np.ndarray,
    light: np.ndarray,
    before: np.ndarray,
    memory: np.ndarray,
    free: np.ndarray,
    threshold_on: np.ndarray,
    threshold_off: np.ndarray,
    refractory: float,
    start: float,
    end: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the events of some pixels between `start` and `end`; `before`, `memory` and `free` are brought to `end`.

    Light is float32, time float64, as they are in the arrays: the bytes of a recording depend on it.
    """
    fires, count, most = np.empty(where.size, np.int64), 0, 0
    for k, p in enumerate(where):
        if 0 < free[p] <= end and refractory > 0:  # it wakes, and remembers the light of that moment
            memory[p] = before[p] + (light[k] - before[p]) / (end - start) * (max(free[p], start) - start)
            free[p] = -free[p]
        change = light[k] - memory[p]
        if change >= threshold_on[p] or change <= -threshold_off[p]:
            fires[count] = k
            count += 1
            way = abs(change) + abs(light[k] - before[p])
            most += int(way / min(threshold_on[p], threshold_off[p])) + 2
    pixel, time, on = np.empty(most, np.int64), np.empty(most, np.float64), np.empty(most, np.bool_)
    n = 0
    for k in fires[:count]:
        p = where[k]
        rate = (light[k] - before[p]) / (end - start)
        while free[p] <= end:  # a pixel that is silent for longer sleeps into the next sub-step
            change = light[k] - memory[p]
            step = threshold_on[p] if change > 0 else -threshold_off[p]
            if abs(change) < abs(step):
                break
            level = memory[p] + step
            moment = start + (level - before[p]) / rate
            moment = min(max(moment, max(start, abs(free[p]))), end)
            pixel[n], time[n], on[n] = p, moment, change > 0
            n += 1
            free[p] = moment + refractory
            memory[p] = level
            if refractory > 0 and free[p] <= end:
                memory[p] = before[p] + rate * (free[p] - start)
                free[p] = -free[p]
    before[where] = light
    return pixel[:n], time[:n], on[:n]


def _as_light(image: np.ndarray) -> np.ndarray:
    """Return the image as float32 in [0, 1], checked."""
    if image.ndim != 2 or 0 in image.shape:
        raise DataError(f"an image to simulate has the shape [H, W], not {list(image.shape)}: give one grey channel")
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    light = image.astype(np.float32)
    if not (np.isfinite(light).all() and light.min() >= 0 and light.max() <= 1):
        raise DataError(
            "an image to simulate has values in [0, 1] (or is uint8): scale it, or correct what is not finite"
        )
    return light


@lru_cache(maxsize=4)
def _thresholds(params: CameraParams, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """ON and OFF thresholds of every pixel; none falls below a fifth of the mean (the bell curve has no floor)."""
    spread = np.random.default_rng(params.camera_seed).standard_normal((2, pixels))
    scale = np.maximum(1 + params.mismatch * spread, 0.2).astype(np.float32)
    return scale[0] * np.float32(params.threshold_on), scale[1] * np.float32(params.threshold_off)


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
    noisy = np.zeros(pixel.max(initial=0) + 1, bool)
    noisy[pixel[is_noise]] = True
    of_noisy = np.flatnonzero(noisy[pixel])
    order = of_noisy[np.lexsort((time[of_noisy], pixel[of_noisy]))]
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
