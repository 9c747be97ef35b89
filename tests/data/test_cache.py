"""The cache of frames: right rows, several processes, kills, full disks, corrupt files."""

import errno
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from braincog_tmkt.data import cache
from braincog_tmkt.data.batch import BatchRNG
from braincog_tmkt.data.cache import prepare
from braincog_tmkt.data.frames import to_frames
from braincog_tmkt.data.pairs import PairSet
from braincog_tmkt.data.readers.atis import read_atis
from braincog_tmkt.data.room import cache_bytes
from braincog_tmkt.data.sets import NMNIST, DataSet, NCaltech101
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.data.types import FrameSpec, Index, Item
from braincog_tmkt.errors import DataError
from tests.raising import raising

from .trees import caltech_tree, mnist_png, nmnist_events

SPEC = FrameSpec(steps=3, size=16)


def finished(folder: Path) -> list[Path]:
    """What looks like a finished cache."""
    return [path for path in folder.iterdir() if path.is_dir() and path.suffix != ".partial"]


class Counting(NCaltech101):
    """Counts what it reads; calls `before(n)` before the n-th recording."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read: list[str] = []
        self.before = lambda number: None

    def events(self, item: Item) -> np.ndarray:
        self.before(len(self.read))
        self.read.append(item.key)
        return super().events(item)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counting:
    monkeypatch.setattr(cache, "CHUNK", 4)
    caltech_tree(tmp_path / "data", count=5)
    return Counting(tmp_path / "data")


def check_rows(dataset: DataSet, index: Index, frames: cache.Frames, sensor: tuple[int, int] | None) -> None:
    assert frames.events.shape == (len(index.recordings), 3, 2, 16, 16)
    assert frames.events.dtype == np.float32
    assert frames.images.shape == (len(index.statics), 16, 16)
    assert frames.images.dtype == np.uint8
    for row, item in enumerate(index.recordings):
        events = read_atis(item.path, dataset.sensor)
        np.testing.assert_array_equal(frames.events[row], to_frames(events, SPEC, sensor))
    for row, item in enumerate(index.statics):
        np.testing.assert_array_equal(frames.images[row], dataset.image(item, 16))


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_are_those_of_the_index(tmp_path: Path, workers: int) -> None:
    caltech_tree(tmp_path / "data", count=12)
    nmnist_events(tmp_path / "data")
    mnist_png(tmp_path / "data")
    cases = [(NCaltech101(tmp_path / "data"), None), (NMNIST(tmp_path / "data"), (34, 34))]
    for dataset, sensor in cases[: 3 - workers]:
        index = dataset.index()
        frames = prepare(dataset, index, SPEC, tmp_path / "cache", workers, progress=False)
        check_rows(dataset, index, frames, sensor)
        assert isinstance(frames.events, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            frames.events[0] = 0


def test_frames_of_any_height_and_width_and_images_in_colour(tmp_path: Path) -> None:
    caltech_tree(tmp_path / "data")
    dataset, spec = NCaltech101(tmp_path / "data"), FrameSpec(3, (12, 20), appearance="rgb")
    index = dataset.index()
    frames = prepare(dataset, index, spec, tmp_path / "cache", progress=False)
    assert frames.events.shape == (9, 3, 2, 12, 20)
    assert frames.images.shape == (9, 3, 12, 20)
    assert frames.events.nbytes + frames.images.nbytes == cache_bytes(dataset, index, spec)
    for row, item in enumerate(index.statics):
        truth = Image.open(item.path).convert("RGB").resize((20, 12), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(frames.images[row], np.asarray(truth).transpose(2, 0, 1))
    pairs = PairSet(index, make_split(index, Protocol(train_per_class=1, val_portion=0)), frames, 3)
    rows = pairs.rows("train")
    assert pairs.batch(rows, BatchRNG(0, 0, len(rows), len(rows))).static.shape == (len(rows), 3, 12, 20)


def test_made_once_and_again_only_when_something_changes(tmp_path: Path, dataset: Counting, monkeypatch) -> None:
    index, where = dataset.index(), tmp_path / "cache"

    def made(spec: FrameSpec = SPEC) -> int:
        dataset.read.clear()
        prepare(dataset, dataset.index(), spec, where, progress=False)
        return len(dataset.read)

    assert [made(), made()] == [15, 0]
    assert [made(FrameSpec(4, 16)), made(FrameSpec(3, 17)), made(FrameSpec(3, [16, 17])), made()] == [15, 15, 15, 0]
    assert made(FrameSpec(3, [16, 16])) == 0
    os.utime(index.recordings[0].path, ns=(0, 0))
    assert [made(), made()] == [15, 0]
    monkeypatch.setattr(cache, "READER_VERSION", 999)
    assert [made(), made()] == [15, 0]
    assert len(finished(where)) == 6
    assert not list(where.glob("*.partial"))
    names = {"about.json", "events.npy", "images.npy", "events.marks.npy", "images.marks.npy"}
    names |= {"remarks.jsonl"}  # such small frames see few of the events
    assert {path.name for path in finished(where)[0].iterdir()} == names


@pytest.mark.parametrize("workers", [1, 2])
def test_corrupt_recording_is_named_and_leaves_no_finished_cache(tmp_path: Path, workers: int) -> None:
    caltech_tree(tmp_path / "data", count=15)
    dataset = NCaltech101(tmp_path / "data")
    index = dataset.index()
    path = index.recordings[7].path
    whole = path.read_bytes()
    faults = [(whole[:-3], "truncated"), (b"", "no events"), (whole[:5] * 3, "leaves its 3 frames of")]
    for content, fault in faults[: 3 if workers == 1 else 1]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"image_0008\.bin.*{fault}"):
            prepare(dataset, index, SPEC, tmp_path / "cache", workers, progress=False)
        assert not finished(tmp_path / "cache")


def test_an_error_costs_only_the_rows_of_its_chunk(tmp_path: Path, dataset: Counting) -> None:
    index = dataset.index()

    def fail(number: int) -> None:
        if number == 9:
            raise DataError("stop")

    dataset.before = fail
    with pytest.raises(DataError, match="stop"):
        prepare(dataset, index, SPEC, tmp_path / "cache", progress=False)
    dataset.before = lambda number: None
    dataset.read.clear()
    frames = prepare(dataset, index, SPEC, tmp_path / "cache", progress=False)
    assert dataset.read == [item.key for item in index.recordings[8:]]  # two chunks of four were on the disk
    check_rows(dataset, index, frames, None)


def test_a_kill_while_the_files_are_laid_out_is_no_harm(tmp_path: Path, dataset: Counting) -> None:
    index, where = dataset.index(), tmp_path / "cache"
    dataset.before = raising(DataError("stop"))
    with pytest.raises(DataError, match="stop"):
        prepare(dataset, index, SPEC, where, progress=False)
    (partial,) = where.glob("*.partial")
    (partial / "events.npy").write_bytes(b"\x93NUM")
    (partial / "events.npy.done").write_bytes(b"\1\1")
    (partial / "images.npy.done").unlink()
    dataset.before = lambda number: None
    check_rows(dataset, index, prepare(dataset, index, SPEC, where, progress=False), None)


class Tapes(NCaltech101):
    """15 recordings cut from three files; neighbours in the index lie in different files, as in DVS128 Gesture."""

    def index(self) -> Index:
        whole = super().index()
        files = [item.path for item in whole.recordings[:3]]
        cuts = (replace(item, path=files[row % 3]) for row, item in enumerate(whole.recordings))
        return replace(whole, recordings=tuple(cuts))


def test_the_recordings_of_a_file_are_made_together(tmp_path: Path, dataset: Counting, monkeypatch) -> None:
    """In one chunk, since another one may be another process's, which would read the file again."""
    tapes, chunks = Tapes(dataset.root), []
    write = cache._write_rows
    monkeypatch.setattr(cache, "_write_rows", lambda *job: chunks.append(job[-1]) or write(*job))
    index = tapes.index()
    check_rows(tapes, index, prepare(tapes, index, SPEC, tmp_path / "cache", progress=False), None)
    files = [[item.path for _, item in chunk] for chunk in chunks[:3]]
    assert files == [[item.path] * 5 for item in index.recordings[:3]]
    rows = [row for chunk in chunks for row, _ in chunk]
    assert sorted(rows) == sorted([*range(15), *range(15)])


def test_a_file_of_very_many_recordings_is_still_divided(tmp_path: Path, dataset: Counting) -> None:
    index = dataset.index()
    index = replace(index, recordings=tuple(replace(item, path=index.recordings[0].path) for item in index.recordings))
    dataset.before = lambda number: None if number < 9 else raising(DataError("stop"))()
    with pytest.raises(DataError, match="stop"):
        prepare(dataset, index, SPEC, tmp_path / "cache", progress=False)
    (done,) = tmp_path.glob("cache/*.partial/events.npy.done")
    assert list(done.read_bytes()) == [1] * 8 + [0] * 7


def test_too_small_a_disk_is_known_before_the_start(tmp_path: Path, dataset: Counting, monkeypatch) -> None:
    usage = cache.shutil.disk_usage(tmp_path)
    need = 15 * 3 * 2 * 16 * 16 * 4 + 15 * 16 * 16
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage._replace(free=need - 1))
    with pytest.raises(DataError, match=r"data\.steps=3 and data\.size=16 need 96 kB more .*data\.cache=.*--cache F"):
        prepare(dataset, dataset.index(), SPEC, tmp_path / "cache", progress=False)
    assert not dataset.read
    assert not finished(tmp_path / "cache")
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage._replace(free=need))
    prepare(dataset, dataset.index(), SPEC, tmp_path / "cache", progress=False)


@pytest.fixture
def small_disk(tmp_path: Path):
    """A real file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_keeps_what_is_finished(small_disk: Path, dataset: Counting) -> None:
    index, hog = dataset.index(), small_disk / "hog"

    def fill(number: int) -> None:
        if number == 9:
            with pytest.raises(OSError), hog.open("wb", buffering=0) as file:  # noqa: PT012
                while True:
                    file.write(bytes(4096))

    dataset.before = fill
    with pytest.raises(DataError, match=r"disk of .* is full"):
        prepare(dataset, index, SPEC, small_disk, progress=False)
    assert not finished(small_disk)
    hog.unlink()
    dataset.before = lambda number: None
    dataset.read.clear()
    frames = prepare(dataset, index, SPEC, small_disk, progress=False)
    assert dataset.read == [item.key for item in index.recordings[8:]]
    check_rows(dataset, index, frames, None)
    del frames


def test_a_write_without_room_is_explained(tmp_path: Path, dataset: Counting, monkeypatch) -> None:
    """As above where no disk can be mounted: the system refuses to bring the rows to the disk."""

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    with pytest.raises(DataError, match=r"full.*run this again"):
        prepare(dataset, dataset.index(), SPEC, tmp_path / "cache", progress=False)
    assert not finished(tmp_path / "cache")
    assert not any((path.read_bytes()).strip(b"\0") for path in tmp_path.glob("cache/*.partial/*.done"))


def test_a_damaged_finished_cache_says_what_to_delete(tmp_path: Path, dataset: Counting) -> None:
    prepare(dataset, dataset.index(), SPEC, tmp_path / "cache", progress=False)
    (folder,) = finished(tmp_path / "cache")
    (folder / "images.npy").write_bytes(b"")
    with pytest.raises(DataError, match=f"delete the folder {folder}"):
        prepare(dataset, dataset.index(), SPEC, tmp_path / "cache", progress=False)
