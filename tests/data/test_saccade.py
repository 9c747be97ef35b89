"""The simulated camera against closed formulas and against real recordings."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.stats import chi2, poisson

from braincog_tmkt.data.readers.atis import read_atis
from braincog_tmkt.data.simulate import LAYOUTS, camera, saccade
from braincog_tmkt.data.simulate.camera import Camera
from braincog_tmkt.data.simulate.saccade import CameraParams, saccade_path, simulate_events
from braincog_tmkt.errors import DataError, RecipeError

IDEAL = CameraParams(
    threshold_on=0.2, threshold_off=0.3, mismatch=0, refractory_us=0, noise_on_hz=0, noise_off_hz=0, blur=0
)
"""A camera without any imperfection."""


def texture(height: int = 30, width: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def straight(monkeypatch: pytest.MonkeyPatch, right: float, down: float) -> None:
    """Let the image move once along a straight line, from the middle to `amplitude` times (right, down)."""
    way = np.linspace(0, 1, 9)
    monkeypatch.setattr(saccade, "PATH_X", tuple(right * way))
    monkeypatch.setattr(saccade, "PATH_Y", tuple(down * way))


def test_same_seed_same_events_other_seed_other_noise():
    events = []
    for seed in (1, 1, 2):
        camera._thresholds.cache_clear()  # as in another process
        events.append(simulate_events(texture(), CameraParams(), seed))
    first, again, other = events
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    quiet = replace(CameraParams(), noise_on_hz=0)
    assert np.array_equal(simulate_events(texture(), quiet, 1), simulate_events(texture(), quiet, 2))


def test_uint8_and_float_are_the_same_image():
    assert np.array_equal(simulate_events(texture(), IDEAL), simulate_events(texture() / 255.0, IDEAL))


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_constant_image_gives_poisson_noise_and_nothing_else(grey):
    params = replace(CameraParams(), noise_on_hz=2.0, noise_off_hz=0.5, duration_us=1_000_000, refractory_us=1)
    events = simulate_events(np.full((60, 80), grey, np.uint8), params, seed=grey)
    for on, rate in ((True, 2.0), (False, 0.5)):
        counts = np.zeros((60, 80), int)
        kind = events[events["p"] == on]
        np.add.at(counts, (kind["y"], kind["x"]), 1)
        assert poisson.ppf(1e-4, rate * 4800) <= counts.sum() <= poisson.ppf(1 - 1e-4, rate * 4800)
        # The index of dispersion of Poisson counts follows chi-squared: neither clumped nor too regular.
        dispersion = ((counts - counts.mean()) ** 2).sum() / counts.mean()
        assert chi2.ppf(1e-4, 4799) <= dispersion <= chi2.ppf(1 - 1e-4, 4799)
        quarters = np.histogram(kind["t"], bins=4, range=(0, 1_000_000))[0]
        assert np.abs(quarters - rate * 1200).max() < 5 * np.sqrt(rate * 1200)


@pytest.mark.parametrize(("dark", "bright", "floor"), [(0.0, 1.0, 0.1), (0.2, 0.7, 0.05), (0.5, 0.6, 0.01)])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_step_edge_gives_the_number_of_events_its_contrast_says(monkeypatch, dark, bright, floor, axis):
    """An edge that passes a pixel changes its log light by C: floor(C / threshold) events, all of one polarity."""
    straight(monkeypatch, *((1.0, 0.0) if axis == "x" else (0.0, 1.0)))
    params = replace(IDEAL, amplitude=8.0, floor=floor)
    contrast = np.log((bright + floor) / (dark + floor))
    for first, second, on, threshold in ((bright, dark, True, 0.2), (dark, bright, False, 0.3)):
        image = np.full((20, 30) if axis == "x" else (30, 20), first)
        image[(slice(None), slice(10, None)) if axis == "x" else slice(10, None)] = second
        events = simulate_events(image, params)
        assert (events["p"] == on).all()
        per_line = np.bincount(events[axis], minlength=30) / 20
        assert per_line[12:16].tolist() == [np.floor(contrast / threshold)] * 4  # the edge has passed them wholly
        assert not per_line[:8].any()
        assert not per_line[20:].any()


def test_events_come_when_the_edge_comes(monkeypatch):
    straight(monkeypatch, 1.0, 0.0)
    params = replace(IDEAL, amplitude=8.0, duration_us=80_000)
    image = np.zeros((4, 30))
    image[:, :10] = 1.0
    events = simulate_events(image, params)
    times, right, _ = saccade_path(params)
    for x in (12, 13, 14, 15):  # the edge lies at 9.5 + displacement; a pixel sees it from 1 before to 1 after
        when = events["t"][events["x"] == x]
        assert np.interp(when.min(), times, right) > x - 9.5 - 1.6
        assert np.interp(when.max(), times, right) < x - 9.5 + 1.6
        assert (np.diff(np.sort(when[events["y"][events["x"] == x] == 0])) > 0).all()


def test_dark_becoming_bright_is_on():
    """The real path first moves the image down: below a bright spot it gets bright, above it dark."""
    image = np.zeros((34, 34))
    image[14:20, 14:20] = 1.0
    events = simulate_events(image, IDEAL)
    early = events[events["t"] < 60_000]
    assert early["y"][early["p"]].mean() > early["y"][~early["p"]].mean() + 3


@pytest.mark.parametrize("refractory", [500, 2000, 7000])
def test_no_pixel_sends_within_its_refractory_time(refractory):
    params = replace(CameraParams(), refractory_us=refractory, noise_on_hz=50.0, noise_off_hz=50.0)
    events = simulate_events(texture(), params, 5)
    pixel = events["y"].astype(int) * 40 + events["x"]
    order = np.lexsort((events["t"], pixel))
    gaps = np.diff(events["t"][order])[np.diff(pixel[order]) == 0]
    assert gaps.size > 5000
    assert gaps.min() >= refractory
    assert gaps.min() < refractory + 100  # the time is used, not exceeded


def test_noise_takes_no_event_away():
    noisy = replace(CameraParams(), refractory_us=5000.0, noise_on_hz=40.0, noise_off_hz=40.0)
    with_noise = simulate_events(texture(), noisy, 5)
    without = simulate_events(texture(), replace(noisy, noise_on_hz=0.0, noise_off_hz=0.0), 5)
    assert len(with_noise) > len(without) + 1000
    assert set(without.tolist()) <= set(with_noise.tolist())


def test_a_refractory_pixel_forgets_what_changes_while_it_is_silent(monkeypatch):
    """It wakes with the light of that moment: a ramp of log light gives an event every threshold / slope + silence."""
    straight(monkeypatch, 1.0, 0.0)
    params = replace(IDEAL, amplitude=8.0, duration_us=80_000, floor=1e-6, refractory_us=5_000)
    ramp = np.exp(-0.2 * np.arange(60.0))[None].repeat(3, 0)  # log light falls 0.2 a pixel: moving right, it rises
    events = simulate_events(ramp, params)
    times = np.sort(events["t"][(events["x"] == 20) & (events["y"] == 1)])
    places = np.interp(times, *saccade_path(params)[:2])
    free = np.interp(times[:-1] + 5_000, *saccade_path(params)[:2])
    assert len(times) > 3
    assert np.diff(places).min() > 1.0  # more than threshold/slope
    np.testing.assert_allclose(places[1:] - free, 0.2 / 0.2, atol=0.06)


def test_mismatch_belongs_to_the_camera_not_to_the_recording():
    image = np.tile(np.repeat([0, 255], 6).astype(np.uint8), (30, 4))
    counts = []
    for which in (0, 0, 1):
        events = simulate_events(image, replace(CameraParams(), mismatch=0.3, camera_seed=which), seed=len(counts))
        counts.append(np.bincount(events["y"].astype(int) * 48 + events["x"], minlength=30 * 48).reshape(30, 48))
    residual = [count - count.mean(0) for count in counts]  # rows of the image are equal
    same, other = (np.corrcoef(residual[0].ravel(), residual[k].ravel())[0, 1] for k in (1, 2))
    assert same > 0.8
    assert abs(other) < 0.2


class ArrayCamera:
    """The camera as it was calibrated: whole arrays, no compiled loop. Sends the same, one sub-step after the other."""

    def __init__(self, light: np.ndarray, params: CameraParams) -> None:
        self.light, self.memory, self.free = light, light.copy(), np.zeros(light.size)
        self.on, self.off = camera._thresholds(params, light.size)
        self.refractory = params.refractory_us
        self.sent: list[tuple[np.ndarray, ...]] = []

    def see(self, light: np.ndarray, start: np.float64, end: np.float64) -> None:
        rate = (light - self.light) / (end - start)
        self._wake(np.flatnonzero((self.free > start) & (self.free <= end)), rate, start)
        change = light - self.memory
        pixel = np.flatnonzero(((change >= self.on) | (change <= -self.off)) & (self.free <= end))
        while pixel.size:
            change = light[pixel] - self.memory[pixel]
            step = np.where(change > 0, self.on[pixel], -self.off[pixel])
            fires = np.abs(change) >= np.abs(step)
            pixel, on, level = pixel[fires], change[fires] > 0, (self.memory[pixel] + step)[fires]
            time = start + (level - self.light[pixel]) / rate[pixel]
            time = np.clip(time, np.maximum(start, self.free[pixel]), end)
            self.sent.append((time, pixel, on))
            self.free[pixel], self.memory[pixel] = time + self.refractory, level
            pixel = pixel[self.free[pixel] <= end]
            if self.refractory:
                self._wake(pixel, rate, start)
        self.light = light

    def _wake(self, pixel: np.ndarray, rate: np.ndarray, start: np.float64) -> None:
        self.memory[pixel] = self.light[pixel] + rate[pixel] * (self.free[pixel] - start)

    def events(self) -> np.ndarray:
        time, pixel, on = (np.concatenate(part) for part in zip(*self.sent, strict=True))
        order = np.lexsort((pixel, time))
        return np.stack([time[order].astype(int), pixel[order], on[order]])


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"refractory_us": 0.0},
        {"refractory_us": 30_000.0, "mismatch": 0.4},
        {"threshold_on": 0.05, "threshold_off": 0.04, "refractory_us": 900.0},
    ],
)
def test_the_compiled_camera_sends_what_the_calibrated_one_sent(values):
    params = replace(CameraParams(), noise_on_hz=0.0, **values)
    rng = np.random.default_rng(1)
    lights = np.log(0.1 + rng.random((30, 500)).astype(np.float32))
    times = np.cumsum(rng.uniform(500, 9000, 30))
    ours, theirs = Camera(lights[0], 25, params), ArrayCamera(lights[0], params)
    for k in range(1, 30):
        ours.see(lights[k], times[k - 1], times[k])
        theirs.see(lights[k], times[k - 1], times[k])
    events = ours.events(1.0, 0)
    pixel = events["y"].astype(int) * 25 + events["x"]
    assert events.size > 1000
    assert np.array_equal(np.stack([events["t"], pixel, events["p"]]), theirs.events())


def test_pixels_that_do_not_change_need_not_be_looked_at():
    """A pen changes a few pixels: it is enough to give those."""
    params = replace(CameraParams(), refractory_us=3000.0)
    rng = np.random.default_rng(2)
    light = np.full(400, 0.1, np.float32)
    every, few = Camera(light, 20, params), Camera(light, 20, params)
    for k in range(40):
        moved = np.unique(rng.integers(0, 400, 30))
        light = light.copy()
        light[moved] = np.log(rng.uniform(0.1, 1.2, moved.size)).astype(np.float32)
        every.see(light, 2000.0 * k, 2000.0 * (k + 1))
        few.see(light[moved], 2000.0 * k, 2000.0 * (k + 1), moved)
    events = every.events(80_000, 0)
    assert events.size > 500
    assert np.array_equal(events, few.events(80_000, 0))


def test_smaller_steps_change_next_to_nothing(monkeypatch):
    coarse = simulate_events(texture(), CameraParams())
    monkeypatch.setattr(camera, "STEP_PIXELS", 0.04)
    monkeypatch.setattr(camera, "STEP_US", 1000.0)
    fine = simulate_events(texture(), CameraParams())
    assert abs(len(coarse) / len(fine) - 1) < 0.01
    rates = [np.histogram(events["t"], bins=60, range=(0, 308_000))[0] for events in (coarse, fine)]
    assert np.abs(rates[0] - rates[1]).sum() / len(fine) < 0.02


def test_the_path_is_a_triangle_that_comes_back():
    params = CameraParams()
    times, right, down = saccade_path(params)
    place = np.stack([right, down])
    corners = [place[:, np.searchsorted(times, when * 1000)] for when in (0, 95, 217, 308)]
    sides = [np.hypot(*(b - a)) for a, b in itertools.pairwise(corners)]
    assert np.hypot(*(corners[3] - corners[0])) < 0.2
    assert sides[0] == pytest.approx(sides[1], rel=0.15)
    assert sides[2] == pytest.approx(params.amplitude, rel=0.02)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((3, 3, 3)),
        np.zeros(5),
        np.zeros((0, 4)),
        np.full((3, 3), 2.0),
        np.full((3, 3), np.nan),
        -np.ones((3, 3)),
    ],
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(DataError, match="image to simulate"):
        simulate_events(image)


@pytest.mark.parametrize("values", [{"threshold_on": 0.0}, {"mismatch": -0.1}, {"floor": 0.0}, {"blur": float("nan")}])
def test_impossible_parameters_are_refused(values):
    with pytest.raises(RecipeError, match=next(iter(values))):
        CameraParams(**values)


@pytest.mark.data
def test_the_calibrated_camera_stays_close_to_real_recordings(shared):
    """Bands around what docs/how-to/simulator.md reports, on recordings that the calibration has not seen."""
    real, twin = [], []
    for folder in sorted((shared / "data/nmnist/Train").iterdir()):
        for path in sorted(folder.glob("*.bin"))[1::10]:
            image = Image.open(shared / f"data/mnist_png/train/{folder.name}/{int(path.stem) - 1}.png").convert("L")
            real.append(read_atis(path, (34, 34)))
            twin.append(simulate_events(LAYOUTS["nmnist"].render(image), CameraParams(), int(path.stem)))
    counts, on, images, rates = zip(*(measured(recordings) for recordings in (real, twin)), strict=True)
    assert counts[1].mean() == pytest.approx(counts[0].mean(), rel=0.1)
    assert counts[1].std() == pytest.approx(counts[0].std(), rel=0.15)
    assert np.corrcoef(counts)[0, 1] > 0.98
    assert on[1] == pytest.approx(on[0], abs=0.02)
    assert np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(*images, strict=True)]) > 0.93
    assert np.abs(rates[0] - rates[1]).sum() / 2 < 0.07


def measured(recordings: list[np.ndarray]) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Counts, ON share, count images per polarity and the rate in 10 ms bins (sums to 1)."""
    images = np.zeros((len(recordings), 2, 34, 34))
    for image, events in zip(images, recordings, strict=True):
        np.add.at(image, (events["p"].astype(int), events["y"], events["x"]), 1)
    every = np.concatenate(recordings)
    rate = np.histogram(every["t"], bins=32, range=(0, 320_000))[0]
    return images.sum((1, 2, 3)), float(every["p"].mean()), images, rate / rate.sum()
