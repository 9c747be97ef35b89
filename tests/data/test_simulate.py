"""The simulated camera against closed formulas and against real recordings; the trees it writes against tonic."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import chi2, poisson

from braincog_tmkt.data import saccade, simulate
from braincog_tmkt.data.events import read_atis
from braincog_tmkt.data.saccade import CameraParams, saccade_path, simulate_events
from braincog_tmkt.data.sets import NMNIST, NCaltech101
from braincog_tmkt.data.simulate import simulate_tree
from braincog_tmkt.errors import DataError, RecipeError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tonic.io import read_mnist_file

IDEAL = CameraParams(
    threshold_on=0.2, threshold_off=0.3, mismatch=0, refractory_us=0, noise_on_hz=0, noise_off_hz=0, blur=0
)
"""A camera without any imperfection."""

SMALL = CameraParams(amplitude=1.0)
"""A quick camera for tests of files: the movement is short."""


def texture(height: int = 30, width: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def straight(monkeypatch: pytest.MonkeyPatch, right: float, down: float) -> None:
    """Let the image move once along a straight line, from the middle to `amplitude` times (right, down)."""
    way = np.linspace(0, 1, 9)
    monkeypatch.setattr(saccade, "PATH_X", tuple(right * way))
    monkeypatch.setattr(saccade, "PATH_Y", tuple(down * way))


# --- the camera -----------------------------------------------------------------------------------------------------


def test_same_seed_same_events_other_seed_other_noise():
    first, again, other = (simulate_events(texture(), CameraParams(), seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    quiet = replace(CameraParams(), noise_on_hz=0)
    assert np.array_equal(simulate_events(texture(), quiet, 1), simulate_events(texture(), quiet, 2))


def test_events_are_sorted_and_inside():
    events = simulate_events(texture(), CameraParams(), 3)
    assert (np.diff(events["t"]) >= 0).all()
    assert events["t"][0] >= 0
    assert events["t"][-1] <= CameraParams().duration_us
    assert set(events["x"]) <= set(range(40))
    assert set(events["y"]) <= set(range(30))


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
    for camera in (0, 0, 1):
        events = simulate_events(image, replace(CameraParams(), mismatch=0.3, camera_seed=camera), seed=len(counts))
        counts.append(np.bincount(events["y"].astype(int) * 48 + events["x"], minlength=30 * 48).reshape(30, 48))
    residual = [count - count.mean(0) for count in counts]  # rows of the image are equal
    same, other = (np.corrcoef(residual[0].ravel(), residual[k].ravel())[0, 1] for k in (1, 2))
    assert same > 0.8
    assert abs(other) < 0.2


def test_smaller_steps_change_next_to_nothing(monkeypatch):
    coarse = simulate_events(texture(), CameraParams())
    monkeypatch.setattr(saccade, "STEP_PIXELS", 0.04)
    monkeypatch.setattr(saccade, "STEP_US", 1000.0)
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


# --- trees of recordings --------------------------------------------------------------------------------------------


def caltech(root: Path, classes: tuple[str, ...] = ("BACKGROUND_Google", "accordion"), count: int = 3) -> Path:
    for name in classes:
        folder = root / "101_ObjectCategories" / name
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            picture = Image.fromarray(texture(20, 30, 10 * len(name) + number)).convert("RGB")
            picture.save(folder / f"image_{number:04d}.jpg")
    return root


def mnist(root: Path, count: int = 0) -> Path:
    """Four images of both parts, or `count` training images of the digits 0 and 1 in turn."""
    few = [("train", 5, 0), ("train", 0, 1), ("train", 5, 107), ("test", 7, 0)]
    for part, digit, index in [("train", k % 2, k) for k in range(count)] or few:
        folder = root / part / str(digit)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(texture(28, 28, index)).save(folder / f"{index}.png")
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def make(source: Path, out: Path, layout: str = "nmnist", **options: object) -> int:
    return simulate_tree(source, out, layout, **{"params": SMALL, "progress": False, **options})


def test_any_number_of_processes_writes_the_same_bytes(tmp_path):
    source = mnist(tmp_path / "source", 10)
    assert make(source, tmp_path / "one") == 10
    assert make(source, tmp_path / "two", workers=2) == 10
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_every_recording_has_noise_of_its_own(tmp_path):
    source = tmp_path / "source/train/0"
    source.mkdir(parents=True)
    for index in (0, 1):
        Image.new("L", (28, 28)).save(source / f"{index}.png")
    make(tmp_path / "source", tmp_path / "twin")
    make(tmp_path / "source", tmp_path / "other", seed=1)
    first, second = (tmp_path / f"twin/Train/0/0000{k}.bin" for k in (1, 2))
    assert first.read_bytes() != second.read_bytes()
    assert first.read_bytes() != (tmp_path / "other/Train/0/00001.bin").read_bytes()


def test_the_tree_is_read_as_ncaltech101_and_says_that_it_is_simulated(tmp_path):
    source = caltech(tmp_path / "source")
    make(source, tmp_path / "twin", "ncaltech101")
    dataset = NCaltech101(tmp_path / "twin", source)
    index = dataset.index()
    assert [item.key for item in index.recordings] == [item.key for item in index.statics]
    assert dataset.kind() == "simulated"
    assert len(dataset.events(index.recordings[0])) > 1000
    described = json.loads((tmp_path / "twin/SIMULATED.json").read_text())
    assert described == json.loads((tmp_path / "twin/Caltech101/SIMULATED.json").read_text())
    assert described["camera"]["amplitude"] == 1.0
    assert described["seed"] == 0


def test_the_tree_is_read_as_nmnist(tmp_path):
    source = mnist(tmp_path / "mnist_png")
    assert make(tmp_path, tmp_path / "twin", "nmnist") == 4
    dataset = NMNIST(tmp_path / "twin", tmp_path)
    index = dataset.index()
    assert [item.key for item in index.recordings] == [item.key for item in index.statics]
    assert (tmp_path / "twin/Train/5/00108.bin").is_file()  # recording k shows image k - 1
    assert dataset.kind() == "simulated"
    assert make(source, tmp_path / "direct", "nmnist") == 4
    assert contents(tmp_path / "twin/Train/5").keys() == contents(tmp_path / "direct/Train/5").keys()


def test_files_hold_what_the_camera_sent_and_tonic_reads_it(tmp_path, monkeypatch):
    sent = []
    monkeypatch.setattr(simulate, "simulate_events", lambda *a: sent.append(simulate_events(*a)) or sent[-1])
    make(caltech(tmp_path / "source", classes=("accordion",), count=1), tmp_path / "twin", "ncaltech101")
    path = tmp_path / "twin/Caltech101/accordion/image_0001.bin"
    read = read_mnist_file(path, dtype=np.dtype([("x", int), ("y", int), ("t", int), ("p", int)]))
    for name in "xytp":
        assert np.array_equal(read[name], sent[0][name].astype(int))
    assert np.array_equal(read_atis(path, (240, 180)), sent[0])


@pytest.mark.parametrize(
    ("size", "shown"), [((300, 200), (160, 240)), ((100, 200), (180, 90)), ((240, 180), (180, 240))]
)
def test_images_are_fitted_into_the_sensor(size, shown):
    image = Image.fromarray(texture(size[1], size[0]))
    assert simulate.LAYOUTS["ncaltech101"].render(image).shape == shown


def test_digits_are_shown_as_dark_on_bright_in_the_middle():
    digit = np.zeros((28, 28), np.uint8)
    digit[5, 7] = 200
    shown = simulate.LAYOUTS["nmnist"].render(Image.fromarray(digit))
    assert shown.shape == (34, 34)
    assert shown[8, 10] == 55
    assert (shown == 255).sum() == 34 * 34 - 1


def test_faces_are_left_out_beside_faces_easy_only(tmp_path):
    make(caltech(tmp_path / "both", ("Faces", "Faces_easy"), 1), tmp_path / "a", "ncaltech101")
    make(caltech(tmp_path / "alone", ("Faces", "cat"), 1), tmp_path / "b", "ncaltech101")
    assert [path.parent.name for path in (tmp_path / "a").rglob("*.bin")] == ["Faces_easy"]
    assert sorted(path.parent.name for path in (tmp_path / "b").rglob("*.bin")) == ["Faces", "cat"]


def test_a_finished_recording_is_skipped_and_an_interrupted_tree_completed(tmp_path):
    source = mnist(tmp_path / "source", 6)
    make(source, tmp_path / "whole")
    assert make(source, tmp_path / "twin", limit_per_class=1) == 2
    kept = tmp_path / "twin/Train/0/00001.bin"
    stamp = kept.stat().st_mtime_ns
    assert make(source, tmp_path / "twin") == 4
    assert kept.stat().st_mtime_ns == stamp
    assert contents(tmp_path / "twin") == contents(tmp_path / "whole")
    assert make(source, tmp_path / "twin") == 0


def test_a_killed_simulation_leaves_whole_recordings_and_goes_on(tmp_path):
    source, out = mnist(tmp_path / "source", 100), tmp_path / "twin"
    code = (
        "from braincog_tmkt.data.simulate import *\n"
        f"simulate_tree({str(source)!r}, {str(out)!r}, 'nmnist', CameraParams(amplitude=1.0))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    while len(list(out.rglob("*.bin"))) < 3 and process.poll() is None:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = list(out.rglob("*.bin"))
    assert 3 <= len(done) < 100
    assert make(source, out) == 100 - len(done)
    make(source, tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    assert {name: data for name, data in contents(out).items() if not name.endswith(".part")} == whole


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_unreadable_image_is_named_and_leaves_nothing_half_written(tmp_path, workers):
    source = mnist(tmp_path / "source", 10)
    make(source, tmp_path / "whole")
    bad = source / "train/1/3.png"
    bad.write_bytes(bad.read_bytes()[:300])
    with pytest.raises(DataError, match=r"train/1/3\.png cannot be read"):
        make(source, tmp_path / "twin", workers=workers)
    whole, written = contents(tmp_path / "whole"), contents(tmp_path / "twin")
    assert "Train/1/00004.bin" in whole
    assert "Train/1/00004.bin" not in written
    assert all(whole[name] == data for name, data in written.items() if not name.endswith(".json"))


def test_real_recordings_and_other_simulations_are_never_mixed_in(tmp_path):
    source = mnist(tmp_path / "source")
    make(source, tmp_path / "twin")
    for options in ({"seed": 1}, {"params": CameraParams()}):
        with pytest.raises(DataError, match=r"another (seed|camera)"):
            make(source, tmp_path / "twin", **options)
    with pytest.raises(DataError, match="other images"):
        make(mnist(tmp_path / "more", 4), tmp_path / "twin")
    shutil.copytree(tmp_path / "twin/Train", tmp_path / "real/Train")
    (tmp_path / "real/Train/SIMULATED.json").unlink()
    with pytest.raises(DataError, match="not simulated"):
        make(source, tmp_path / "real")


def test_a_full_disk_is_told_before(tmp_path, monkeypatch):
    source = mnist(tmp_path / "source")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(DataError, match="GB free"):
        make(source, tmp_path / "twin")
    assert not list((tmp_path / "twin").rglob("*.bin"))


def test_wrong_sources_are_told(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        make(tmp_path / "nowhere", tmp_path / "twin")
    (tmp_path / "empty/cat").mkdir(parents=True)
    with pytest.raises(DataError, match="no images"):
        make(tmp_path / "empty", tmp_path / "twin", "ncaltech101")
    with pytest.raises(RecipeError, match="did you mean 'nmnist'"):
        make(tmp_path, tmp_path / "twin", "nmnst")
    source = caltech(tmp_path / "source", ("cat",), 1)
    Image.fromarray(texture()).save(source / "101_ObjectCategories/cat/image_0001.png")
    with pytest.raises(DataError, match="would both be"):
        make(source, tmp_path / "twin", "ncaltech101")
    with pytest.raises(DataError, match="not named by a number"):
        make(source / "101_ObjectCategories", tmp_path / "twin")
    assert not (tmp_path / "twin").exists()


def test_an_image_without_events_is_told(tmp_path):
    folder = tmp_path / "source/cat"
    folder.mkdir(parents=True)
    Image.new("L", (30, 20), 100).save(folder / "a.png")
    with pytest.raises(DataError, match=r"a\.png makes no events"):
        make(tmp_path / "source", tmp_path / "twin", "ncaltech101", params=IDEAL)


# --- real recordings ------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_the_calibrated_camera_stays_close_to_real_recordings(shared):
    """Bands around what docs/data.md reports, on recordings the calibration has not seen (every second of a class)."""
    real, twin = [], []
    for folder in sorted((shared / "data/nmnist/Train").iterdir()):
        for path in sorted(folder.glob("*.bin"))[1::10]:
            image = Image.open(shared / f"data/mnist_png/train/{folder.name}/{int(path.stem) - 1}.png").convert("L")
            real.append(read_atis(path, (34, 34)))
            twin.append(simulate_events(simulate.LAYOUTS["nmnist"].render(image), CameraParams(), int(path.stem)))
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
