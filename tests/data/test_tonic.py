"""tonic's data sets: made trees in tonic's layouts, against tonic's own recordings and frames."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import tonic
import torch
from tonic.transforms import ToFrame

from braincog_tmkt.cli import main
from braincog_tmkt.data.notes import listening
from braincog_tmkt.data.readers.aedat4 import write_aedat4
from braincog_tmkt.data.readers.atis import write_atis
from braincog_tmkt.data.sets import build_dataset
from braincog_tmkt.data.sets.tonic import _opened
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.data.types import FrameSpec, Index
from braincog_tmkt.errors import DataError, RecipeError
from braincog_tmkt.results.store import read_records

from .corpus import rows
from .trees import keys, picture, recording


def asl(path: Path, events: np.ndarray) -> None:
    """Columns [N, 1] of unsigned numbers, rows from below."""
    columns = {"ts": events["t"], "x": events["x"], "y": 179 - events["y"], "pol": events["p"]}
    types = {"ts": np.int64, "x": np.uint8, "y": np.uint8, "pol": np.uint8}
    scipy.io.savemat(path, {name: column[:, None].astype(types[name]) for name, column in columns.items()})


def gesture(path: Path, events: np.ndarray) -> None:
    """Rows of x, y, polarity and milliseconds."""
    np.save(path, rows(events)[:, [1, 2, 3, 0]] / [1, 1, 1, 1000])


WRITERS: dict[str, tuple[tuple[int, int], Callable[[Path, np.ndarray], object], list[str]]] = {
    "ASLDVS": ((240, 180), asl, ["a/a_0001.mat", "a/a_0002.mat", "b/b_0001.mat", "b/b_0002.mat"]),
    "CIFAR10DVS": (
        (128, 128),
        lambda path, events: write_aedat4(path, events, (128, 128)),
        [f"{name}/cifar10_{name}_{number}.aedat4" for name in ("cat", "ship") for number in (0, 1)],
    ),
    "DVSGesture": (
        (128, 128),
        gesture,
        [f"ibmGesture{part}/user0{user}_led/{label}.npy" for part, user in (("Train", 1), ("Train", 2), ("Test", 3))
         for label in (0, 10)],
    ),
    "DVSLip": (
        (128, 128),
        np.save,
        [f"DVS-Lip/{part}/{word}/{number}.npy" for part in ("train", "test") for word in ("action", "young")
         for number in (0, 1)],
    ),
    "NCALTECH101": (
        (240, 180), write_atis, [f"Caltech101/{name}/image_000{n}.bin" for name in ("Leopards", "ant") for n in (1, 2)]
    ),
    "NMNIST": (
        (34, 34),
        write_atis,
        [f"{part}/{digit}/0000{n}.bin" for part in ("Train", "Test") for digit in "07" for n in (1, 2)],
    ),
    "POKERDVS": (
        (35, 35),
        lambda path, events: np.save(path, rows(events)),
        [f"pips_{part}/{suit}/{n}.npy" for part in ("train", "test") for suit in ("cl", "sp") for n in (0, 1)],
    ),
}  # fmt: skip
"""Name of tonic's class -> sensor, writer of a recording, files below `ROOT/<name>`."""

sets = pytest.mark.parametrize("name", WRITERS)
SPEC = FrameSpec(3, 32)


def tree(root: Path, name: str) -> Path:
    (width, height), write, files = WRITERS[name]
    for seed, file in enumerate(files):
        path = root / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, recording(seed, width, height, 3000))
    return root


def tonics(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """tonic's own data sets of the parts; the whole set, which it looks for, is not there."""
    cls = getattr(tonic.datasets, name)
    monkeypatch.setattr(cls, "_check_exists", lambda self: True)
    parts = ("train", "test") if name in ("DVSGesture", "DVSLip", "NMNIST", "POKERDVS") else ()
    return [cls(str(root), train=part == "train") for part in parts] or [cls(str(root))]


def tonic_frames(dataset: Any, events: np.ndarray, spec: FrameSpec) -> np.ndarray:
    """tonic's ToFrame, then torch's resize as BrainCog's getters do it."""
    events = events.ravel()
    size = dataset.sensor_size or (int(events["x"].max()) + 1, int(events["y"].max()) + 1, 2)
    frames = torch.from_numpy(ToFrame(sensor_size=size, n_time_bins=spec.steps)(events)).float()
    return torch.nn.functional.interpolate(frames, spec.shape, mode="bilinear", align_corners=True).numpy()


@sets
def test_recordings_labels_and_frames_are_tonics(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = build_dataset("tonic", tree(tmp_path, name), set=name)
    index = dataset.index()
    theirs = tonics(tmp_path, name, monkeypatch)
    assert len(index.recordings) == len(WRITERS[name][2]) == sum(map(len, theirs))
    assert list(index.recordings) == sorted(index.recordings)
    ours = {dataset.events(item).tobytes(): item for item in index.recordings}
    assert len(ours) == len(index.recordings)
    labels = set()
    for part, whole in enumerate(theirs):
        for number in range(len(whole)):
            events, label = whole[number]
            events = events.ravel()
            (item,) = [each for each in ours.values() if np.array_equal(dataset.events(each)["t"], events["t"])]
            for column in "xyp":
                assert np.array_equal(dataset.events(item)[column], events[column])
            np.testing.assert_array_equal(dataset.frames(item, SPEC), tonic_frames(whole, events, SPEC))
            assert (item.key in index.official_test) == (part == 1)
            labels.add((label, index.label_of[item.class_name]))
    assert sorted(labels) == list(zip(sorted({label for label, _ in labels}), range(2), strict=True))


@sets
def test_keys_are_named_by_files_classes_and_parts(tmp_path: Path, name: str) -> None:
    index = build_dataset("tonic", tree(tmp_path, name), set=name).index()
    key, path = index.recordings[0].key, index.recordings[0].path
    assert (key, path and path.relative_to(tmp_path / name).as_posix(), index.classes) == {
        "ASLDVS": ("a/a_0001", "a/a_0001.mat", ("a", "b")),
        "CIFAR10DVS": ("cat/cifar10_cat_0", "cat/cifar10_cat_0.aedat4", ("cat", "ship")),
        "DVSGesture": (
            "Hand clapping/test-user03_led-0", "ibmGestureTest/user03_led/0.npy", ("Hand clapping", "Other gestures"),
        ),
        "DVSLip": ("action/test-0", "DVS-Lip/test/action/0.npy", ("action", "young")),
        "NCALTECH101": ("Leopards/image_0001", "Caltech101/Leopards/image_0001.bin", ("Leopards", "ant")),
        "NMNIST": ("0 - zero/test-00001", "Test/0/00001.bin", ("0 - zero", "7 - seven")),
        "POKERDVS": ("cl/test-00001", None, ("cl", "sp")),
    }[name]  # fmt: skip


@sets
def test_a_worker_reads_what_it_is_sent_and_a_change_of_files_is_seen(tmp_path: Path, name: str) -> None:
    dataset = build_dataset("tonic", tree(tmp_path, name), set=name)
    index = dataset.index()
    before, fingerprint = [dataset.events(item) for item in index.recordings], dataset.fingerprint(index)
    sent = pickle.dumps((dataset, index))
    assert len(sent) < 5000
    _opened.cache_clear()
    copy, items = pickle.loads(sent)
    assert all(map(np.array_equal, map(copy.events, items.recordings), before))
    assert copy.fingerprint(items) == fingerprint
    last = tmp_path / name / sorted(WRITERS[name][2])[-1]
    hidden = last.with_name(f"._{last.name}")  # as macOS leaves them
    if name not in ("DVSGesture", "POKERDVS"):  # where tonic stops at them
        hidden.write_bytes(b"\0\5\x16\7")
        assert dataset.index() == index
    os.utime(last, ns=(0, 0))
    assert dataset.fingerprint(index) != fingerprint
    last.unlink()
    fewer = build_dataset("tonic", tmp_path, set=name)
    gone = set(keys(index.recordings)) - set(keys(fewer.index().recordings))
    assert len(gone) == 1
    with pytest.raises(DataError, match=r"is not a recording of .* any more"):
        fewer.events(next(item for item in index.recordings if item.key in gone))


def test_a_part_alone_is_divided_and_nothing_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tonic.Dataset, "download", lambda self: pytest.fail("it downloads"))
    for name in WRITERS:
        dataset = build_dataset("tonic", tmp_path, set=name)
        with pytest.raises(DataError, match=rf"no recordings of tonic's {name} in .*tonic --root .* data\.set={name}"):
            dataset.index()
        assert not list(tmp_path.iterdir())
    for part in ("Train", "Test"):
        root = tree(tmp_path / part, "NMNIST")
        shutil.rmtree(root / "NMNIST" / part)
        index = build_dataset("tonic", root, set="NMNIST").index()
        assert (len(index.recordings), index.official_test) == (4, frozenset())
    index = build_dataset("tonic", tree(tmp_path / "whole", "DVSLip"), set="DVSLip").index()
    split = make_split(index, Protocol("clean", val_portion=0.0))
    assert (
        split.test
        == tuple(sorted(index.official_test))
        == tuple(key for key in keys(index.recordings) if "test-" in key)
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, r"needs data\.set, .*: ASLDVS, CIFAR10DVS, DVSGesture, DVSLip, NCALTECH101, NMNIST, POKERDVS$"),
        ({"set": "ASLDSV"}, "tonic has no data set 'ASLDSV': did you mean 'ASLDVS'"),
        ({"set": "SHD"}, "tonic's SHD is no camera's: its events have no y: take another data.set, one of ASLDVS"),
        *(({"set": name}, "events have no y") for name in ("SSC", "SMNIST")),
        *(({"set": name}, f"tonic's {name} has no class labels") for name in ("DSEC", "EBSSA", "MVSEC")),
        ({"set": "ASLDVS", "columns": {"t": "x"}}, r"leave out data\.columns"),
        ({"set": "ASLDVS", "sensor": [180, 241]}, r"tonic's ASLDVS is 180 pixels high and 240 wide"),
        ({"set": "NCALTECH101", "sensor": [180, 240]}, r"sizes of their own: leave out data\.sensor"),
    ],
)  # fmt: skip
def test_what_a_recipe_may_say(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        build_dataset("tonic", tmp_path, **given)


def test_every_set_of_tonics_is_usable_or_refused_for_a_reason(tmp_path: Path) -> None:
    build_dataset("tonic", tmp_path, set="ASLDVS", sensor=[180, 240])
    for name in set(tonic.datasets.__all__) - set(WRITERS):
        with pytest.raises(RecipeError, match=r"has no class labels|have no y"):
            build_dataset("tonic", tmp_path, set=name)


def test_what_is_not_of_the_set_is_named(tmp_path: Path) -> None:
    for name, stray in {
        "ASLDVS": "A/1.mat",
        "NMNIST": "Train/x/1.bin",
        "DVSLip": "DVS-Lip/train/word/1.npy",
    }.items():
        path = tree(tmp_path, name) / name / stray
        path.parent.mkdir()
        path.write_bytes(b"")
        with pytest.raises(DataError, match=rf"{name} is not laid out as tonic's {name} \((Key|Value)Error"):
            build_dataset("tonic", tmp_path, set=name).index()
    dataset = build_dataset("tonic", tree(tmp_path, "CIFAR10DVS"), set="CIFAR10DVS")
    item = dataset.index().recordings[0]
    item.file.write_bytes(b"no events")
    with pytest.raises(DataError, match=r"cat_0\.aedat4 is a truncated or corrupt recording of tonic's CIFAR10DVS"):
        dataset.events(item)


def test_events_out_of_order_are_sorted_and_it_is_said(tmp_path: Path) -> None:
    dataset = build_dataset("tonic", tree(tmp_path, "DVSLip"), set="DVSLip")
    item = dataset.index().recordings[0]
    events = recording(1, 128, 128)
    mixed = events[np.random.default_rng(0).permutation(len(events))]
    np.save(item.file, mixed)
    with listening() as heard:
        np.testing.assert_array_equal(dataset.events(item), mixed[np.argsort(mixed["t"], kind="stable")])
    assert "time goes back" in heard[0].here
    events["x"][5] = 128
    np.save(item.file, events)
    with pytest.raises(DataError, match=r"0\.npy has events at x up to 128 .*beyond the 128x128 sensor"):
        dataset.events(item)


def images(root: Path, index: Index, stem: Callable[[str], str]) -> Path:
    """An image for every recording."""
    for seed, item in enumerate(index.recordings):
        path = root / item.class_name / f"{stem(item.key.partition('/')[2])}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed, 20, 20, 3).save(path)
    return root


def test_images_pair_by_name_or_share_classes(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", "CIFAR10DVS")
    index = build_dataset("tonic", root, set="CIFAR10DVS").index()
    twins = build_dataset("tonic", root, images(tmp_path / "twins", index, str), set="CIFAR10DVS").index()
    assert (keys(twins.statics), twins.twins_known) == (keys(index.recordings), True)
    others = images(tmp_path / "others", index, "other {}".format)
    (others / "dog").mkdir()
    picture(1, 20, 20).save(others / "dog/1.png")
    found = build_dataset("tonic", root, others, set="CIFAR10DVS").index()
    assert (len(found.statics), found.twins_known, found.classes) == (4, False, ("cat", "ship"))
    (others / "ship").rename(others / "ships")
    with pytest.raises(DataError, match=r"others/ship is missing: .*called as tonic calls it; is it ships\?"):
        build_dataset("tonic", root, others, set="CIFAR10DVS").index()
    (tmp_path / "twins/ship/cifar10_ship_0.png").unlink()
    with pytest.raises(DataError, match="1 of 4 recordings have no image of their name"):
        build_dataset("tonic", root, tmp_path / "twins", set="CIFAR10DVS").index()


def test_download_is_tonics_and_tells_why_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    with pytest.raises(DataError, match=r"download of tonic's DVSLip failed .*says above"):
        build_dataset("tonic", tmp_path, set="DVSLip").download()
    assert "must be downloaded manually" in capsys.readouterr().out
    asked = []
    monkeypatch.setattr(tonic.datasets.NMNIST, "download", lambda self: asked.append(self.folder_name))
    build_dataset("tonic", tmp_path, set="NMNIST").download()
    assert asked == ["Train", "Test"]


def test_recipes_train_on_a_set_with_and_without_images(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", "ASLDVS")
    for letter in "ab":
        asl(root / f"ASLDVS/{letter}/{letter}_0003.mat", recording(ord(letter), 240, 180))
    index = build_dataset("tonic", root, set="ASLDVS").index()
    images(tmp_path / "images", index, "other {}".format)
    for recipe, given in {"baseline": [], "tmkt": ["data.static_root=images", "data.protocol=unpaired"]}.items():
        assert main(["train", f"tonic/{recipe}", "--tier", "smoke", "data.root=data", "data.size=28", *given]) == 0
    first, second = sorted((read_records([tmp_path / "runs"])), key=lambda record: record["name"])
    assert (first["data"]["set"], first["data"]["train"], first["data"]["test"]) == ("tonic", 4, 2)
    assert (second["data"]["leaky"], second["data"]["pool"], second["data"]["kind"]) == (True, 6, "real")


@pytest.mark.data
def test_real_recordings_are_tonics(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "NMNIST").symlink_to(shared / "data/nmnist")
    for name in ("chair", "umbrella", "faces_easy_0001"):
        folder = tmp_path / "NCALTECH101/Caltech101" / name
        folder.mkdir(parents=True)
        (folder / f"{name}.bin").symlink_to(shared / f"data/recordings/ncaltech101/{name}.bin")
    for name, count in {"NMNIST": 500, "NCALTECH101": 3}.items():
        dataset = build_dataset("tonic", tmp_path, set=name)
        index = dataset.index()
        assert len(index.recordings) == count
        whole = tonics(tmp_path, name, monkeypatch)[0]
        numbers = {Path(path): number for number, path in enumerate(whole.data)}
        for item in index.recordings[:: count // 3]:
            events, _ = whole[numbers[item.file]]
            assert all(np.array_equal(dataset.events(item)[column], events[column]) for column in "txyp")
            np.testing.assert_array_equal(dataset.frames(item, SPEC), tonic_frames(whole, events, SPEC))


def test_times_are_tonics_and_no_unit_is_asked_for(tmp_path: Path) -> None:
    dataset = build_dataset("tonic", tree(tmp_path, "DVSLip"), set="DVSLip")
    item = dataset.index().recordings[0]
    events = recording(1, 128, 128)
    events["t"] //= 1000  # 400 events in 300 units, which a user's own file would be asked about
    np.save(item.file, events)
    np.testing.assert_array_equal(dataset.events(item)["t"], events["t"])
