"""The cache of frames: right rows, several processes, kills, full disks, corrupt files."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from braincog_tmkt.data import cache
from braincog_tmkt.data.cache import prepare
from braincog_tmkt.data.frames import to_frames
from braincog_tmkt.data.readers.atis import read_atis
from braincog_tmkt.data.sets import NMNIST, DataSet, NCaltech101
from braincog_tmkt.data.types import FrameSpec, Index, Item
from braincog_tmkt.errors import DataError

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


def test_made_once_and_again_only_when_something_changes(tmp_path: Path, dataset: Counting, monkeypatch) -> None:
    index, where = dataset.index(), tmp_path / "cache"

    def made(spec: FrameSpec = SPEC) -> int:
        dataset.read.clear()
        prepare(dataset, dataset.index(), spec, where, progress=False)
        return len(dataset.read)

    assert [made(), made()] == [15, 0]
    assert [made(FrameSpec(4, 16)), made(FrameSpec(3, 17)), made()] == [15, 15, 0]
    os.utime(index.recordings[0].path, ns=(0, 0))
    assert [made(), made()] == [15, 0]
    monkeypatch.setattr(cache, "READER_VERSION", 999)
    assert [made(), made()] == [15, 0]
    assert len(finished(where)) == 5
    assert not list(where.glob("*.partial"))
    assert {path.name for path in finished(where)[0].iterdir()} == {"about.json", "events.npy", "images.npy"}


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


def test_unreadable_image_is_named(tmp_path: Path, dataset: Counting) -> None:
    index = dataset.index()
    index.statics[3].path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"image_0004\.jpg"):
        prepare(dataset, index, SPEC, tmp_path / "cache", progress=False)
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
    dataset.before = lambda number: (_ for _ in ()).throw(DataError("stop"))
    with pytest.raises(DataError, match="stop"):
        prepare(dataset, index, SPEC, where, progress=False)
    (partial,) = where.glob("*.partial")
    (partial / "events.npy").write_bytes(b"\x93NUM")
    (partial / "events.npy.done").write_bytes(b"\1\1")
    (partial / "images.npy.done").unlink()
    dataset.before = lambda number: None
    check_rows(dataset, index, prepare(dataset, index, SPEC, where, progress=False), None)


# kinds of data sets


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
    dataset.before = lambda number: None if number < 9 else (_ for _ in ()).throw(DataError("stop"))
    with pytest.raises(DataError, match="stop"):
        prepare(dataset, index, SPEC, tmp_path / "cache", progress=False)
    (done,) = tmp_path.glob("cache/*.partial/events.npy.done")
    assert list(done.read_bytes()) == [1] * 8 + [0] * 7


class Colours(NCaltech101):
    """Images in three colours that stand still in the place of recordings."""

    channels, still = 3, True

    def frames(self, item: Item, spec: FrameSpec) -> np.ndarray:
        return np.full((1, 3, spec.size, spec.size), len(item.key), np.float32)


def test_frames_that_stand_still_are_stored_once(tmp_path: Path, dataset: Counting) -> None:
    colours = Colours(dataset.root)
    frames = prepare(colours, colours.index(), FrameSpec(7, 12), tmp_path / "cache", progress=False)
    assert frames.events.shape == (15, 1, 3, 12, 12)
    for row, item in zip(frames.events, colours.index().recordings, strict=True):
        assert (row == len(item.key)).all()
    (folder,) = finished(tmp_path / "cache")
    assert (folder / "events.npy").stat().st_size < 4 * frames.events.size + 1000


# full disks


def test_too_small_a_disk_is_known_before_the_start(tmp_path: Path, dataset: Counting, monkeypatch) -> None:
    usage = cache.shutil.disk_usage(tmp_path)
    need = 15 * 3 * 2 * 16 * 16 * 4 + 15 * 16 * 16
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage._replace(free=need - 1))
    with pytest.raises(DataError, match=r"needs 0\.00 GB more"):
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


def test_a_cache_folder_that_cannot_be_is_named(tmp_path: Path, dataset: Counting) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=str(tmp_path / "file")):
        prepare(dataset, dataset.index(), SPEC, tmp_path / "file" / "cache", progress=False)


def test_a_damaged_finished_cache_says_what_to_delete(tmp_path: Path, dataset: Counting) -> None:
    prepare(dataset, dataset.index(), SPEC, tmp_path / "cache", progress=False)
    (folder,) = finished(tmp_path / "cache")
    (folder / "images.npy").write_bytes(b"")
    with pytest.raises(DataError, match=f"delete the folder {folder}"):
        prepare(dataset, dataset.index(), SPEC, tmp_path / "cache", progress=False)


# several processes


class Gated(NCaltech101):
    """Notes what it reads in `<name>.log`; from line `stop_at` of it on, every read waits for the file `gate`."""

    def __init__(self, folder: Path, name: str, stop_at: float) -> None:
        super().__init__(folder / "data")
        self.log, self.gate, self.stop_at = folder / f"{name}.log", folder / "gate", stop_at

    def events(self, item: Item) -> np.ndarray:
        with self.log.open("a") as log:
            log.write(f"{item.key}\n")
        time.sleep(0.002)
        while lines(self.log) >= self.stop_at and not self.gate.exists():
            time.sleep(0.01)
        return super().events(item)


def contend(folder: str, name: str, stop_at: float = np.inf, workers: int = 1, spec: FrameSpec = SPEC) -> None:
    """What another process does: prepare, and leave in `<name>.err` what it said and in `<name>.sum` what it got."""
    cache.CHUNK = 4
    dataset = Gated(Path(folder), name, stop_at)
    with Path(folder, f"{name}.err").open("w", buffering=1) as said, redirect_stderr(said):
        frames = prepare(dataset, dataset.index(), spec, Path(folder, "cache"), workers)
    Path(folder, f"{name}.sum").write_text(str(frames.events.sum(dtype=np.float64)))


def start(tmp_path: Path, *contender: object) -> multiprocessing.Process:
    """Fork: another process in no time, where a new Python imports torch first."""
    process = multiprocessing.get_context("fork").Process(target=contend, args=(str(tmp_path), *contender))
    process.start()
    return process


def finish(*processes: multiprocessing.Process) -> list[int | None]:
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.01)


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def said(tmp_path: Path, name: str) -> str:
    return (tmp_path / f"{name}.err").read_text() if (tmp_path / f"{name}.err").exists() else ""


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [below for child in children for below in descendants(child)]


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_preparation_goes_on_where_it_was(tmp_path: Path, dataset: Counting, workers: int) -> None:
    code = f"from tests.data.test_cache import contend; contend({str(tmp_path)!r}, 'first', 10, {workers})"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[2]
    first = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=root) if workers > 1 else None
    pid = first.pid if first else start(tmp_path, "first", 10).pid
    wait_for(lambda: lines(tmp_path / "first.log") >= 10, "the process comes to its tenth recording")
    family = descendants(pid)
    assert len(family) >= (2 if workers > 1 else 0)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(alive(one) for one in (pid, *family)), "the workers end with their parent")
    assert not finished(tmp_path / "cache")
    done = {path.name: path.read_bytes().count(1) for path in tmp_path.glob("cache/*.partial/*.done")}
    assert 4 <= done["events.npy.done"] < 15

    index = dataset.index()
    frames = prepare(dataset, index, SPEC, tmp_path / "cache", progress=False)
    assert len(dataset.read) == 15 - done["events.npy.done"]
    check_rows(dataset, index, frames, None)


def test_a_second_process_waits_and_shares(tmp_path: Path, dataset: Counting) -> None:
    first = start(tmp_path, "first", 3)
    wait_for(lambda: lines(tmp_path / "first.log") >= 3, "the process comes to its third recording")
    second = start(tmp_path, "second")
    wait_for(lambda: "waiting for it" in said(tmp_path, "second"), "the second says that it waits")
    (tmp_path / "gate").touch()
    assert finish(first, second) == [0, 0]
    assert (tmp_path / "first.sum").read_text() == (tmp_path / "second.sum").read_text()
    assert lines(tmp_path / "first.log") == 15
    assert lines(tmp_path / "second.log") == 0
    assert "frames of ncaltech101: 100%" in said(tmp_path, "first")


def test_those_who_wait_take_over_from_the_one_that_is_killed(tmp_path: Path, dataset: Counting) -> None:
    first = start(tmp_path, "first", 7)
    wait_for(lambda: lines(tmp_path / "first.log") >= 7, "the process comes to its seventh recording")
    others = [start(tmp_path, "second"), start(tmp_path, "third")]
    for name in ("second", "third"):
        wait_for(lambda name=name: "waiting for it" in said(tmp_path, name), f"the {name} waits")
    first.kill()
    assert finish(first, *others) == [-signal.SIGKILL, 0, 0]
    assert sorted([lines(tmp_path / "second.log"), lines(tmp_path / "third.log")]) == [0, 11]
    assert (tmp_path / "second.sum").read_text() == (tmp_path / "third.sum").read_text()
    index = dataset.index()
    check_rows(dataset, index, prepare(dataset, index, SPEC, tmp_path / "cache", progress=False), None)
    assert not dataset.read


@pytest.mark.parametrize("seed", range(6))
def test_a_kill_at_any_moment_corrupts_nothing(tmp_path: Path, dataset: Counting, seed: int) -> None:
    """Three processes at once, one of them killed somewhere between its start and its end."""
    rng = np.random.default_rng(seed)
    crowd = [start(tmp_path, name) for name in ("one", "two", "three")]
    time.sleep(rng.uniform(0, 0.12))
    victim = crowd.pop(rng.integers(3))
    victim.kill()
    assert finish(*crowd) == [0, 0]
    assert finish(victim) in ([-signal.SIGKILL], [0])
    index = dataset.index()
    check_rows(dataset, index, prepare(dataset, index, SPEC, tmp_path / "cache", progress=False), None)
    assert not dataset.read
    assert not list(tmp_path.glob("cache/*.partial"))


def test_different_frames_are_made_side_by_side(tmp_path: Path, dataset: Counting) -> None:
    specs = [SPEC, FrameSpec(3, 16, "number"), FrameSpec(2, 40), FrameSpec(3, 16, "frequency", antialias=True)]
    crowd = [start(tmp_path, str(row), 4, 1, spec) for row, spec in enumerate(specs)]
    for row in range(len(specs)):
        wait_for(lambda row=row: lines(tmp_path / f"{row}.log") >= 4, f"process {row} is at work")
    (tmp_path / "gate").touch()
    nmnist_events(tmp_path / "data")
    mnist_png(tmp_path / "data")
    digits = NMNIST(tmp_path / "data")
    check_rows(digits, digits.index(), prepare(digits, digits.index(), SPEC, tmp_path / "cache"), (34, 34))
    assert finish(*crowd) == [0] * len(specs)
    for spec in specs:
        frames = prepare(dataset, dataset.index(), spec, tmp_path / "cache", progress=False)
        for row, item in enumerate(dataset.index().recordings):
            np.testing.assert_array_equal(frames.events[row], to_frames(read_atis(item.path, (240, 180)), spec))
    assert not dataset.read
    assert len(finished(tmp_path / "cache")) == len(specs) + 1


def test_a_worker_that_dies_is_explained(tmp_path: Path) -> None:
    caltech_tree(tmp_path / "data", count=12)
    dataset = Dying(tmp_path / "data")
    with pytest.raises(DataError, match="fewer workers"):
        prepare(dataset, dataset.index(), SPEC, tmp_path / "cache", workers=2, progress=False)
    assert not finished(tmp_path / "cache")


class Dying(NCaltech101):
    def events(self, item: Item) -> np.ndarray:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().events(item)
