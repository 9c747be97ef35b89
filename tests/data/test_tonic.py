"""tonic's data sets through tonic's classes: made trees in tonic's layouts, against tonic's own recordings and frames."""

import pickle
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
from braincog_tmkt.data.cache import prepare
from braincog_tmkt.data.notes import listening
from braincog_tmkt.data.readers.aedat4 import write_aedat4
from braincog_tmkt.data.readers.atis import write_atis
from braincog_tmkt.data.sets import build_dataset
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
        (34, 34), write_atis, [f"{part}/{digit}/0000{n}.bin" for part in ("Train", "Test") for digit in "07" for n in (1, 2)]
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
