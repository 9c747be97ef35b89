"""The HDF5 reader against h5py, on files that h5py itself would follow out of the file or crash on."""

import os
import shutil
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from braincog_tmkt.data.readers import hdf5
from braincog_tmkt.data.readers.hdf5 import read_h5
from braincog_tmkt.errors import DataError
from tests.data.corpus import columns, random_events, write_h5

SENSOR = (128, 128)
EVENTS = random_events(50, seed=4)


def test_data_sets_at_the_root_and_in_the_group_events(tmp_path: Path) -> None:
    numbers = {"X": EVENTS["x"], "y": EVENTS["y"][None], "timestamps": EVENTS["t"] * 1.0, "pol": EVENTS["p"]}
    write_h5(tmp_path / "group.h5", numbers, "events", compression="gzip", shuffle=True)
    np.testing.assert_array_equal(read_h5(tmp_path / "group.h5", SENSOR), EVENTS)
    write_h5(tmp_path / "root.h5", {**columns(EVENTS), "events": np.zeros(3), "more": np.zeros((2, 2))})
    np.testing.assert_array_equal(read_h5(tmp_path / "root.h5", SENSOR), EVENTS)


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
    "one_missing": (lambda path: write_h5(path, {"t": EVENTS["t"]}), "no data sets t, x, y and p"),
    "text_column": (lambda path: write_h5(path, {**columns(EVENTS), "t": np.array([b"1"] * 50)}), "no numbers"),
    "group_column": (lambda path: replaced(path, "t", lambda file: file.create_group("t")), "no numbers"),
    "outside_link": (outside_link, "no data sets"),
    "soft_link_outside": (soft_link_outside, "no data sets"),
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
        "import atexit, runpy, shutil\n"
        f"atexit.register(shutil.copyfile, '/proc/self/status', {str(peak)!r})\n"
        f"runpy.run_path({str(hdf5.CHILD)!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(hdf5, "CHILD", tmp_path / "child.py")
    with pytest.raises(DataError, match=r"bomb\.h5"):
        read_h5(tmp_path / "bomb.h5", SENSOR)
    (most,) = (line for line in peak.read_text().splitlines() if line.startswith("VmHWM"))
    assert int(most.split()[1]) < 400_000  # kilobytes


def test_a_library_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child.py").write_text("while True: pass")
    write_h5(tmp_path / "a.h5", columns(EVENTS))
    monkeypatch.setattr(hdf5, "CHILD", tmp_path / "child.py")
    monkeypatch.setattr(hdf5, "START_SECONDS", 1)
    start = time.monotonic()
    with pytest.raises(DataError, match=r"a\.h5 could not be read in 1 seconds"):
        read_h5(tmp_path / "a.h5", SENSOR)
    assert time.monotonic() - start < 20


def test_modules_beside_the_child_do_not_take_the_place_of_installed_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = shutil.copy(hdf5.CHILD, tmp_path)
    (tmp_path / "h5py.py").write_text("raise SystemExit('the wrong h5py')")
    monkeypatch.setattr(hdf5, "CHILD", child)
    monkeypatch.chdir(tmp_path)
    write_h5(tmp_path / "a.h5", columns(EVENTS))
    np.testing.assert_array_equal(read_h5(tmp_path / "a.h5", SENSOR), EVENTS)


def filtered(path: Path, code: int) -> None:
    """A data set that is packed by a filter of this number."""
    write_h5(path, {name: column for name, column in columns(EVENTS).items() if name != "t"})
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((50,))
    settings.set_filter(code, h5py.h5z.FLAG_OPTIONAL)  # optional, so that the file can be made without the filter
    with h5py.File(path, "r+") as file:
        kind = h5py.h5t.NATIVE_INT64
        data = h5py.h5d.create(file.id, b"t", kind, h5py.h5s.create_simple((50,)), dcpl=settings)
        data.write_direct_chunk((0,), b"packed")


@pytest.mark.parametrize(
    ("package", "advice"),
    [("raise ImportError", "pip install hdf5plugin"), ("", "which hdf5plugin does not have either.*h5repack")],
)
def test_a_missing_filter_is_named_with_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, advice: str
) -> None:
    (tmp_path / "hdf5plugin.py").write_text(package)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    filtered(tmp_path / "a.h5", 60_000)
    with pytest.raises(DataError, match=rf"a\.h5 is compressed with .*60000\), which is missing: .*{advice}") as error:
        read_h5(tmp_path / "a.h5", SENSOR)
    assert "again" not in str(error.value)
