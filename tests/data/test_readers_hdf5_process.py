"""The process that reads HDF5 files: what it does not follow, and what it outlives or ends with."""

import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pytest

from braincog_tmkt.data.readers import apart, hdf5
from braincog_tmkt.data.readers.hdf5 import read_h5
from braincog_tmkt.errors import DataError
from tests.data.corpus import columns, random_events, write_h5

SENSOR = (128, 128)
EVENTS = random_events(50, seed=4)


@pytest.fixture(autouse=True)
def new_process() -> Iterator[None]:
    """Each test starts the process that reads, and leaves none with settings of its own."""
    hdf5.LIBRARY.end()
    yield
    hdf5.LIBRARY.end()


def replaced(path: Path, name: str, put: Callable[[h5py.File], None]) -> None:
    write_h5(path, {other: column for other, column in columns(EVENTS).items() if other != name})
    with h5py.File(path, "r+") as file:
        put(file)


def outside_link(path: Path) -> None:
    write_h5(path.with_name("other.h5"), columns(EVENTS))
    replaced(path, "t", lambda file: file.__setitem__("t", h5py.ExternalLink("other.h5", "t")))


def soft_link_outside(path: Path) -> None:
    write_h5(path.with_name("other.h5"), columns(EVENTS), "events")
    with h5py.File(path, "w") as file:
        file["door"] = h5py.ExternalLink("other.h5", "/")
        file["events"] = h5py.SoftLink("/door/events")


def outside_numbers(path: Path) -> None:
    path.with_name("raw").write_bytes(EVENTS["t"].tobytes())
    place = [(str(path.with_name("raw")), 0, h5py.h5f.UNLIMITED)]
    replaced(path, "t", lambda file: file.create_dataset("t", (50,), "i8", external=place))


def virtual_numbers(path: Path) -> None:
    write_h5(path.with_name("other.h5"), columns(EVENTS))
    layout = h5py.VirtualLayout((50,), "i8")
    layout[:] = h5py.VirtualSource(str(path.with_name("other.h5")), "t", (50,))
    replaced(path, "t", lambda file: file.create_virtual_dataset("t", layout))


def never_written(path: Path) -> None:
    """Four data sets of nothing but a fill value: 1 GB in 3 kB."""
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file.create_dataset(name, (2**26,), "i4", chunks=(2**20,))


def deflated(path: Path) -> None:
    """A chunk that says it is small and unpacks to 512 MB, in blocks that are all alike."""
    replaced(path, "t", lambda file: file.create_dataset("t", (50,), "i8", chunks=(50,), compression="gzip"))
    packer = zlib.compressobj()
    first, again = (packer.compress(b"\0" * 2**24) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    with h5py.File(path, "r+") as file:
        file["t"].id.write_direct_chunk((0,), first + 31 * again + packer.flush())


def crash(path: Path) -> None:
    """A chunk too short for its checksum: HDF5 2.0 reads before its start and dies of a segmentation fault."""
    write_h5(path, columns(EVENTS), chunks=(25,), fletcher32=True)
    with h5py.File(path) as file:
        size = file["t"].id.get_chunk_info(0).size
    content = path.read_bytes()
    key = struct.pack("<IIQ", size, 0, 0)
    assert content.count(key) == 1
    path.write_bytes(content.replace(key, struct.pack("<IIQ", 2, 0, 0)))


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "HDF5"),
    "text": (lambda path: path.write_text("hello"), "signature"),
    "cut_off": (lambda path: (write_h5(path, columns(EVENTS)), os.truncate(path, 2000)), "truncated"),
    "one_missing": (lambda path: write_h5(path, {"t": EVENTS["t"]}), "but no p, x, y|but no x, y, p"),
    "text_column": (lambda path: write_h5(path, {**columns(EVENTS), "t": np.array([b"1"] * 50)}), "no numbers"),
    "group_column": (lambda path: replaced(path, "t", lambda file: file.create_group("t")), "but no t"),
    "outside_link": (outside_link, "but no t"),
    "soft_link_outside": (soft_link_outside, "without names"),
    "outside_numbers": (outside_numbers, "no numbers of its own"),
    "virtual_numbers": (virtual_numbers, "no numbers of its own"),
    "never_written": (never_written, "more than events can"),
    "crash": (crash, "HDF5"),
    "backwards": (lambda path: write_h5(path, columns(EVENTS[::-1])), "back in time"),
    "lengths": (lambda path: write_h5(path, {**columns(EVENTS), "t": EVENTS["t"][1:]}), "different lengths"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_named_with_their_fault(tmp_path: Path, case: str) -> None:
    make, fault = BAD_FILES[case]
    path = tmp_path / "bad.h5"
    make(path)
    with pytest.raises(DataError, match=rf"bad\.h5.*{fault}"):
        read_h5(path, SENSOR)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the memory")
def test_a_bomb_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deflated(tmp_path / "bomb.h5")
    peak = tmp_path / "peak"
    (tmp_path / "child.py").write_text(
        "import json, runpy, shutil\n"
        "said = json.dumps\n"
        f"json.dumps = lambda *args: shutil.copyfile('/proc/self/status', {str(peak)!r}) and said(*args)\n"
        f"runpy.run_path({str(apart.CHILD)!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(apart, "CHILD", tmp_path / "child.py")
    with pytest.raises(DataError, match=r"bomb\.h5"):
        read_h5(tmp_path / "bomb.h5", SENSOR)
    (most,) = (line for line in peak.read_text().splitlines() if line.startswith("VmHWM"))
    assert int(most.split()[1]) < 400_000  # kilobytes


def test_a_library_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child.py").write_text("while True: pass")
    write_h5(tmp_path / "a.h5", columns(EVENTS))
    monkeypatch.setattr(apart, "CHILD", tmp_path / "child.py")
    monkeypatch.setattr(apart, "START_SECONDS", 1)
    start = time.monotonic()
    with pytest.raises(DataError, match=r"a\.h5 could not be read in 1 seconds"):
        read_h5(tmp_path / "a.h5", SENSOR)
    assert time.monotonic() - start < 20


def test_modules_beside_the_child_do_not_take_the_place_of_installed_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = shutil.copy(apart.CHILD, tmp_path)
    (tmp_path / "h5py.py").write_text("raise SystemExit('the wrong h5py')")
    monkeypatch.setattr(apart, "CHILD", child)
    monkeypatch.chdir(tmp_path)
    write_h5(tmp_path / "a.h5", columns(EVENTS))
    np.testing.assert_array_equal(read_h5(tmp_path / "a.h5", SENSOR), EVENTS)


def test_one_process_reads_all_files_and_another_one_after_a_damaged_one(tmp_path: Path) -> None:
    write_h5(tmp_path / "a.h5", columns(EVENTS))
    write_h5(tmp_path / "none.h5", {"x": np.zeros(3)})
    crash(tmp_path / "crash.h5")
    numbers = []
    for name in ("a", "none", "a", "crash", "a", "a"):
        try:
            np.testing.assert_array_equal(read_h5(tmp_path / f"{name}.h5", SENSOR), EVENTS)
        except DataError:
            assert name != "a"
        numbers.append(hdf5.LIBRARY.child and hdf5.LIBRARY.child.pid)
    first, *_, last = numbers
    assert numbers == [first, first, first, None, last, last]
    assert first != last


def test_a_file_is_read_although_one_before_it_spoilt_the_process(tmp_path: Path) -> None:
    write_h5(tmp_path / "a.h5", columns(EVENTS))
    read_h5(tmp_path / "a.h5", SENSOR)
    os.kill(hdf5.LIBRARY.child.pid, signal.SIGSEGV)
    np.testing.assert_array_equal(read_h5(tmp_path / "a.h5", SENSOR), EVENTS)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_every_worker_has_a_process_of_its_own(tmp_path: Path, method: str) -> None:
    for number in range(40):
        write_h5(tmp_path / f"{number}.h5", columns(random_events(50 + number, seed=number)))
    files = [tmp_path / f"{number}.h5" for number in range(40)]
    before = len(read_h5(files[0], None))
    with get_context(method).Pool(2) as pool:
        found = pool.map_async(partial(read_h5, sensor=None), files, chunksize=1)
        mine = [len(read_h5(file, None)) for file in files]
        assert [len(events) for events in found.get(120)] == mine == [before + number for number in range(40)]


ASK = """
import os, signal, sys, time
from braincog_tmkt.data.readers import hdf5
hdf5.read_h5(sys.argv[1], None)
worker = os.fork()  # lives on
if not worker:
    os.closerange(1, 3)
    time.sleep(60)
    os._exit(0)
print(hdf5.LIBRARY.child.pid, worker, flush=True)
sys.argv[2] == "killed" and os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("end", ["alone", "killed"])
def test_the_process_ends_with_the_one_that_asks(tmp_path: Path, end: str) -> None:
    write_h5(tmp_path / "a.h5", columns(EVENTS))
    asked = subprocess.run([sys.executable, "-c", ASK, tmp_path / "a.h5", end], capture_output=True, check=False)
    child, worker = map(int, asked.stdout.split())
    deadline = time.monotonic() + 30
    while lives(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = lives(child), lives(worker)
    os.kill(worker, signal.SIGKILL)
    assert left == (False, True)


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False
