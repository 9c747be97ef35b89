"""The frame cache with several processes, some of which are killed."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest

from braincog_tmkt.data import cache
from braincog_tmkt.data.cache import prepare
from braincog_tmkt.data.frames import to_frames
from braincog_tmkt.data.readers.atis import read_atis
from braincog_tmkt.data.sets import NMNIST, NCaltech101
from braincog_tmkt.data.types import FrameSpec, Item
from braincog_tmkt.errors import DataError

from .test_cache import (
    SPEC,
    Counting,
    check_rows,
    dataset,  # noqa: F401
    finished,
)
from .trees import caltech_tree, mnist_png, nmnist_events


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


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_preparation_goes_on_where_it_was(tmp_path: Path, dataset: Counting, workers: int) -> None:
    code = f"from tests.data.test_cache_processes import contend; contend({str(tmp_path)!r}, 'first', 10, {workers})"
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
    assert "make 96 kB of frames in" in said(tmp_path, "first")


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
