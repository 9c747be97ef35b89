"""The cache of frames: right rows, several processes, kills, full disks, corrupt files."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
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
    for content, fault in ((whole[:-3], "truncated"), (b"", "no events"), (whole[:15], "too short for 3 frames")):
        path.write_bytes(content if "short" not in fault else content[:5] * 3)
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

SCRIPT = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from braincog_tmkt.data import cache
    from braincog_tmkt.data.sets import NCaltech101
    from braincog_tmkt.data.types import FrameSpec

    class Gated(NCaltech101):
        log, stop_at, gate = Path({log!r}), {stop_at}, Path({gate!r})

        def events(self, item):
            with self.log.open("a") as log:
                log.write(item.key + "\\n")
            while len(self.log.read_text().splitlines()) >= self.stop_at and not self.gate.exists():
                time.sleep(0.02)
            return super().events(item)

    if __name__ == "__main__":
        cache.CHUNK = 4
        dataset = Gated({data!r})
        frames = cache.prepare(dataset, dataset.index(), FrameSpec(3, 16), {cache!r}, {workers})
        print("sum", frames.events.sum(dtype=np.float64))
"""


def start(tmp_path: Path, name: str, stop_at: int, workers: int = 1) -> subprocess.Popen:
    """Prepare in another process, which logs what it reads and stops at a line of its log until `gate` exists."""
    places = {key: str(tmp_path / key) for key in ("data", "cache", "gate")}
    script = tmp_path / f"{name}.py"
    script.write_text(
        textwrap.dedent(SCRIPT).format(log=str(tmp_path / f"{name}.log"), stop_at=stop_at, workers=workers, **places)
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.02)


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [below for child in children for below in descendants(child)]


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_preparation_goes_on_where_it_was(tmp_path: Path, dataset: Counting, workers: int) -> None:
    first = start(tmp_path, "first", 10, workers)
    wait_for(lambda: lines(tmp_path / "first.log") >= 10, "the process comes to its tenth recording")
    family = descendants(first.pid)
    assert len(family) >= (2 if workers > 1 else 0)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert not finished(tmp_path / "cache")
    wait_for(lambda: not any(alive(pid) for pid in family), "the workers end with their parent")
    done = {path.name: path.read_bytes().count(1) for path in tmp_path.glob("cache/*.partial/*.done")}
    assert 4 <= done["events.npy.done"] < 15

    index = dataset.index()
    frames = prepare(dataset, index, SPEC, tmp_path / "cache", progress=False)
    assert len(dataset.read) == 15 - done["events.npy.done"]
    check_rows(dataset, index, frames, None)


def test_a_second_process_waits_and_shares(tmp_path: Path, dataset: Counting) -> None:
    first = start(tmp_path, "first", 3)
    wait_for(lambda: lines(tmp_path / "first.log") >= 3, "the process comes to its third recording")
    second = start(tmp_path, "second", 0)
    said = second.stderr.readline()
    assert "waiting for it" in said
    (tmp_path / "gate").touch()
    (out, err), (out2, err2) = first.communicate(timeout=60), second.communicate(timeout=60)
    assert first.returncode == second.returncode == 0, err + err2
    assert out == out2
    assert out.startswith("sum")
    assert lines(tmp_path / "first.log") == 15
    assert lines(tmp_path / "second.log") == 0
    assert "frames of ncaltech101: 100%" in err


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
