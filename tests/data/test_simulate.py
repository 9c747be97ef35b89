"""Trees of simulated recordings: read by tonic and by our data sets, the same bytes however they are made."""

import json
import os
import shutil
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from braincog_tmkt.data.readers.atis import read_atis
from braincog_tmkt.data.sets import NMNIST, NCaltech101
from braincog_tmkt.data.simulate import LAYOUTS, layout, simulate_tree
from braincog_tmkt.data.simulate.camera import CameraParams, film
from braincog_tmkt.errors import DataError, RecipeError
from tests.children import Child, execute
from tests.data.trees import contents

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tonic.io import read_mnist_file

SMALL = CameraParams(amplitude=1.0)
"""A quick camera for tests of files: the movement is short."""


def texture(height: int = 30, width: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


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


def make(source: Path, out: Path, name: str = "nmnist", **options: object) -> int:
    return simulate_tree(source, out, name, **{"params": SMALL, "progress": False, **options})


def test_every_recording_has_noise_of_its_own(tmp_path):
    source = tmp_path / "source/train/0"
    source.mkdir(parents=True)
    for index in (0, 1):
        Image.fromarray(texture(28, 28)).save(source / f"{index}.png")
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
    assert described == json.loads((tmp_path / "twin/Caltech101/.SIMULATED.json").read_text())
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
    monkeypatch.setattr(layout, "film", lambda *a: sent.append(film(*a)) or sent[-1])
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
    assert LAYOUTS["ncaltech101"].render(image).shape == shown


def test_digits_are_shown_as_dark_on_bright_in_the_middle():
    digit = np.zeros((28, 28), np.uint8)
    digit[5, 7] = 200
    shown = LAYOUTS["nmnist"].render(Image.fromarray(digit))
    assert shown.shape == (34, 34)
    assert shown[8, 10] == 55
    assert (shown == 255).sum() == 34 * 34 - 1


def test_faces_are_left_out_beside_faces_easy_only(tmp_path):
    make(caltech(tmp_path / "both", ("Faces", "Faces_easy"), 1), tmp_path / "a", "ncaltech101")
    make(caltech(tmp_path / "alone", ("Faces", "cat"), 1), tmp_path / "b", "ncaltech101")
    assert [path.parent.name for path in (tmp_path / "a").rglob("*.bin")] == ["Faces_easy"]
    assert sorted(path.parent.name for path in (tmp_path / "b").rglob("*.bin")) == ["Faces", "cat"]


def test_a_killed_simulation_leaves_whole_recordings_and_goes_on(tmp_path):
    source, out = mnist(tmp_path / "source", 100), tmp_path / "twin"
    code = (
        "from braincog_tmkt.data.simulate import *\n"
        f"simulate_tree({str(source)!r}, {str(out)!r}, 'nmnist', CameraParams(amplitude=1.0))\n"
    )
    process = Child(execute, code)
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


def test_other_simulations_are_never_mixed_in(tmp_path):
    source = mnist(tmp_path / "source")
    make(source, tmp_path / "twin")
    for options in ({"seed": 1}, {"params": CameraParams()}):
        with pytest.raises(DataError, match=r"another (seed|camera)"):
            make(source, tmp_path / "twin", **options)
    with pytest.raises(DataError, match="other images"):
        make(mnist(tmp_path / "more", 4), tmp_path / "twin")


def test_a_full_disk_is_told_before(tmp_path, monkeypatch):
    source = mnist(tmp_path / "source")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(DataError, match="GB free"):
        make(source, tmp_path / "twin")
    assert not list((tmp_path / "twin").rglob("*.bin"))


def test_wrong_sources_are_told(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        make(tmp_path / "nowhere", tmp_path / "twin")
    (tmp_path / "empty/cat").mkdir(parents=True)
    with pytest.raises(DataError, match="nothing to simulate"):
        make(tmp_path / "empty", tmp_path / "twin", "ncaltech101")
    with pytest.raises(RecipeError, match="did you mean 'nmnist'"):
        make(tmp_path, tmp_path / "twin", "nmnst")
    source = caltech(tmp_path / "source", ("cat",), 1)
    Image.fromarray(texture()).save(source / "101_ObjectCategories/cat/image_0001.png")
    with pytest.raises(DataError, match="would both be"):
        make(source, tmp_path / "twin", "ncaltech101")
    with pytest.raises(DataError, match=r"cat is not a digit"):
        make(source / "101_ObjectCategories", tmp_path / "twin")
    (source / "101_ObjectCategories/cat").rename(source / "101_ObjectCategories/5")
    with pytest.raises(DataError, match="not named by a number"):
        make(source / "101_ObjectCategories", tmp_path / "twin")
    for limit in (0, -1):
        with pytest.raises(RecipeError, match="1 or more"):
            make(source, tmp_path / "twin", "ncaltech101", limit_per_class=limit)
    assert not (tmp_path / "twin").exists()


def test_an_image_without_events_is_told(tmp_path):
    folder = tmp_path / "source/cat"
    folder.mkdir(parents=True)
    Image.new("L", (30, 20), 100).save(folder / "a.png")
    with pytest.raises(DataError, match=r"a\.png shows nothing, all its pixels are 100"):
        make(tmp_path / "source", tmp_path / "twin", "ncaltech101")
    Image.fromarray(texture() // 255 + 100).save(folder / "a.png")  # too faint for the thresholds
    with pytest.raises(DataError, match=r"a\.png makes no events"):
        make(tmp_path / "source", tmp_path / "other", "ncaltech101", params=CameraParams(noise_on_hz=0))
