"""An event camera that looks at a static image through three saccades.

Every pixel remembers the logarithm of the light at its last event; when the light has changed by a threshold since, it
sends an event and stays silent for a refractory time. The camera's path is the one of the N-MNIST recordings, measured
by `benchmarks/calibrate_simulator.py`; so are the default parameters (docs/data.md, "Simulator").
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from ..errors import DataError, RecipeError
from .types import EVENT_DTYPE

# How far the image has moved from the middle of the sensor, in units of the triangle's base (the third saccade):
# right and down at equal steps of time from the start of a recording to its end. Between the saccades the mount creeps.
PATH_X = (0.0,)
PATH_Y = (0.0,)

STEP_US = 1000
"""Longest sub-step: the image moves at most 0.15 pixels in it, and light between sub-steps is linear in time."""


@dataclass(frozen=True)
class CameraParams:
    """The camera and its movement. The defaults are calibrated on real N-MNIST recordings.

    Args:
        threshold_on: change of log light that makes an ON event.
        threshold_off: the same for an OFF event.
        mismatch: standard deviation of a pixel's thresholds, relative to their mean.
        refractory_us: time in microseconds a pixel is silent after an event; it then remembers the light of that moment.
        noise_on_hz: ON events a second and pixel that no change of light causes.
        noise_off_hz: the same for OFF events.
        floor: light that is there in black, relative to white.
        amplitude: length of the triangle's base in pixels.
        duration_us: microseconds from the first movement to the end of the third saccade.
        camera_seed: which camera: draws the pixels' thresholds, the same for all recordings of one size.

    Raises:
        RecipeError: if a value is impossible.
    """

    threshold_on: float = 0.3
    threshold_off: float = 0.3
    mismatch: float = 0.1
    refractory_us: float = 2000.0
    noise_on_hz: float = 0.3
    noise_off_hz: float = 0.0
    floor: float = 0.1
    amplitude: float = 5.0
    duration_us: int = 312_000
    camera_seed: int = 0

    def __post_init__(self) -> None:
        above_zero = ("threshold_on", "threshold_off", "floor", "duration_us")
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value > 0 if field.name in above_zero else value >= 0):
                bound = "above" if field.name in above_zero else "at least"
                raise RecipeError(f"camera parameter {field.name} is {value}: it must be {bound} 0")


def saccade_path(params: CameraParams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the image is at each sub-step.

    Returns:
        Times in microseconds, and how far the image has moved right and down in pixels, each `[N + 1]` for N sub-steps.
    """
    times = np.linspace(0.0, params.duration_us, int(np.ceil(params.duration_us / STEP_US)) + 1)
    place = times / params.duration_us * (len(PATH_X) - 1)
    return times, *(params.amplitude * _smooth(np.asarray(knots), place) for knots in (PATH_X, PATH_Y))


def _smooth(knots: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Cubic Hermite interpolation of equally spaced knots; the slopes are central differences (zero at the ends)."""
    slopes = np.zeros_like(knots)
    slopes[1:-1] = (knots[2:] - knots[:-2]) / 2
    left = np.minimum(place.astype(int), len(knots) - 2)
    u = place - left
    rise = knots[left + 1] - knots[left]
    bend = (slopes[left] - rise) * (1 - u) + (rise - slopes[left + 1]) * u
    return knots[left] + u * rise + u * (1 - u) * bend


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
    padded = np.pad(light + np.float32(params.floor), margin, mode="edge")
    thresholds = _thresholds(params, light.size)
    before = _view(padded, margin, right[0], down[0])
    memory = before.copy()
    free = np.zeros(light.size)  # when a pixel may send again
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for k in range(len(times) - 1):
        after = _view(padded, margin, right[k + 1], down[k + 1])
        _substep(before, after, memory, free, times[k], times[k + 1], thresholds, params.refractory_us, found)
        before = after
    pixel, time, on = (np.concatenate(part) for part in zip(*found, strict=True))
    return pixel, time, on


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


def _substep(
    before: np.ndarray,
    after: np.ndarray,
    memory: np.ndarray,
    free: np.ndarray,
    start: float,
    end: float,
    thresholds: tuple[np.ndarray, np.ndarray],
    refractory: float,
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> None:
    """Append the events between `start` and `end`, light going straight from `before` to `after`; move the states on."""
    waking = np.flatnonzero((free > start) & (free <= end))
    memory[waking] = before[waking] + (after[waking] - before[waking]) * ((free[waking] - start) / (end - start))
    change = after - memory
    pixel = np.flatnonzero(((change >= thresholds[0]) | (change <= -thresholds[1])) & (free <= end))
    while True:
        change = after[pixel] - memory[pixel]
        on = change > 0
        threshold = np.where(on, thresholds[0][pixel], thresholds[1][pixel])
        fires = np.abs(change) >= threshold
        pixel, on, threshold = pixel[fires], on[fires], threshold[fires]
        found.append((pixel, pixel, on))
        if not pixel.size:
            return
        slope = after[pixel] - before[pixel]
        level = memory[pixel] + np.where(on, threshold, -threshold)
        share = np.clip((level - before[pixel]) / np.where(slope == 0, 1, slope), 0, 1)
        time = np.maximum(start + share * (end - start), free[pixel])
        found[-1] = (pixel, time, on)
        free[pixel] = time + refractory
        memory[pixel] = level
        pixel = pixel[free[pixel] <= end]
        if refractory:
            memory[pixel] = before[pixel] + (after[pixel] - before[pixel]) * ((free[pixel] - start) / (end - start))


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
