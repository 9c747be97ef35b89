"""The HDF5 reader against h5py, on files that h5py itself would follow out of the file or crash on."""

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
from tonic.cached_dataset import save_to_disk_cache

from braincog_tmkt.data.readers import Reading, hdf5, read_events
from braincog_tmkt.data.readers.hdf5 import read_h5
from braincog_tmkt.errors import DataError
from tests.data.corpus import as_tonic, columns, random_events, write_h5

SENSOR = (128, 128)
EVENTS = random_events(50, seed=4)


@pytest.fixture(autouse=True)
def new_process() -> Iterator[None]:
    """Each test starts the process that reads, and leaves none with settings of its own."""
    hdf5._process.end()
    yield
    hdf5._process.end()


def put(path: Path, members: dict[str, object]) -> None:
    """Path in the file -> its data."""
    with h5py.File(path, "w") as file:
        for name, data in members.items():
            file.create_dataset(name, data=data)


def table(events: np.ndarray, order: str, dtype: object = float) -> np.ndarray:
    """A matrix `[N, 4]` with polarities -1 and 1."""
    signed = {**columns(events), "p": 2.0 * events["p"] - 1}
    return np.stack([signed[name].astype(dtype) for name in order], axis=1)


def seconds(events: np.ndarray, start: float = 0) -> np.ndarray:
    return start + events["t"] / 1e6


def fields(events: np.ndarray, **kinds: str) -> np.ndarray:
    made = np.zeros(len(events), dtype=list(kinds.items()))
    for name in kinds:
        made[name] = events[name]
    return made


def mvsec(events: np.ndarray) -> np.ndarray:
    rows = table(events, "xytp")
    rows[:, 2] = seconds(events, 1504645177)
    return rows


NOISE = random_events(30, seed=9)
TRIGGERS = np.zeros(3, dtype=[("p", "<i2"), ("t", "<i8"), ("id", "<i2")])
LAYOUTS: dict[str, tuple[dict[str, object], int]] = {
    "names_of_our_own": ({"X": EVENTS["x"], "y": EVENTS["y"][None], "timestamps": EVENTS["t"], "pol": EVENTS["p"]}, 0),
    "root_beside_others": ({**columns(EVENTS), "events": np.zeros(3), "more": np.zeros((2, 2))}, 0),
    "group_of_that_name": (
        {f"{group}/{name}": column for group in ("events", "noise") for name, column in columns(EVENTS).items()},
        0,
    ),
    "dsec": (
        {**{f"events/{name}": column for name, column in columns(EVENTS).items()}, "ms_to_idx": np.arange(300)}
        | {"t_offset": np.int64(56_000_000_000)},
        56_000_000_000,
    ),
    "an_offset_that_nobody_defined": ({**columns(EVENTS), "t_offset": np.int64(7)}, 0),
    "mvsec": (
        {
            "davis/left/events": mvsec(EVENTS),
            "davis/left/imu": np.zeros((50, 6)),
            "davis/left/image_raw_ts": np.ones(3),
        },
        1_504_645_177_000_000,
    ),
    "metavision": (
        {
            "CD/events": fields(EVENTS, x="<u2", y="<u2", p="<i2", t="<i8"),
            "CD/indexes": np.zeros(2, dtype=[("id", "<u8"), ("ts", "<i8")]),
            "EXT_TRIGGER/events": TRIGGERS,
        },
        0,
    ),
    "v2e": (
        {
            "events": np.where(table(EVENTS, "txyp") < 0, 0, table(EVENTS, "txyp")).astype("u4"),
            "frame_idx": np.ones((3, 2)),
        },
        0,
    ),
    "event_utils": (
        {"events/xs": EVENTS["x"], "events/ys": EVENTS["y"], "events/ps": EVENTS["p"], "events/ts": seconds(EVENTS)}
        | {"images/image000000000": np.zeros((4, 4, 3), "u1")},
        0,
    ),
    "raw_events": ({f"raw_events/{name}": column for name, column in columns(EVENTS).items()}, 0),
    "matlab": ({name: column[None].astype(float) for name, column in columns(EVENTS).items()}, 0),
    "matlab_matrix": ({"recording": table(EVENTS, "xytp").T}, 0),
    "matlab_structures": (
        {f"TD/{name}": column[:, None] for name, column in columns(EVENTS).items()}
        | {f"EM/{name}": column[:, None] for name, column in columns(NOISE).items()}
        | {f"#refs#/{name}": column for name, column in columns(NOISE).items()},
        0,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_events_that_are_in_it(tmp_path: Path, layout: str) -> None:
    members, start = LAYOUTS[layout]
    put(tmp_path / "a.h5", members)
    events = read_h5(tmp_path / "a.h5", SENSOR)
    np.testing.assert_array_equal(events["t"], EVENTS["t"] + start)
    for name in "xyp":
        np.testing.assert_array_equal(events[name], EVENTS[name])


def test_tonics_cache_is_read(tmp_path: Path) -> None:
    events = as_tonic(EVENTS)
    save_to_disk_cache(events, 3, tmp_path / "0_0.hdf5")
    np.testing.assert_array_equal(read_h5(tmp_path / "0_0.hdf5", SENSOR), EVENTS)
    save_to_disk_cache((events, np.zeros((5, 3, 4))), (3, 4), tmp_path / "1_0.hdf5")
    np.testing.assert_array_equal(read_h5(tmp_path / "1_0.hdf5", SENSOR), EVENTS)
    save_to_disk_cache(np.zeros((10, 2, 34, 34)), 3, tmp_path / "2_0.hdf5")
    with pytest.raises(DataError, match=r"2_0\.hdf5 has columns 0"):
        read_h5(tmp_path / "2_0.hdf5", SENSOR)


@pytest.mark.parametrize(
    ("options", "package"),
    [({"compression": "gzip", "shuffle": True}, ""), ({"compression": "lzf"}, ""), ("Blosc", "hdf5plugin")],
)
def test_packed_numbers_are_unpacked(tmp_path: Path, options: object, package: str) -> None:
    settings = dict(getattr(pytest.importorskip(package), options)(cname="zstd")) if package else options
    write_h5(tmp_path / "a.h5", columns(EVENTS), "events", **settings)
    np.testing.assert_array_equal(read_h5(tmp_path / "a.h5", SENSOR), EVENTS)


def test_several_places_are_listed_and_chosen_between(tmp_path: Path) -> None:
    path = tmp_path / "stereo.h5"
    other = np.vstack([table(NOISE, "xytp")] * 1)
    put(
        path,
        {
            "davis/left/events": table(EVENTS, "xytp"),
            "davis/right/events": other,
            "velodyne/scans": np.zeros((2, 9, 4)),
        },
    )
    with pytest.raises(DataError, match=r"stereo\.h5 .*davis/left/events, davis/right/events.*data\.group"):
        read_h5(path, SENSOR)
    for group in ("davis/left/events", "davis/left", "/davis/left/"):
        np.testing.assert_array_equal(read_h5(path, SENSOR, Reading(group=group)), EVENTS)
    with pytest.raises(DataError, match=r"has no 'davis/lift'.*davis/left/events, davis/right/events"):
        read_h5(path, SENSOR, Reading(group="davis/lift"))


def test_columns_and_unit_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "own.h5"
    put(path, {"when": EVENTS["t"] * 1000, "x": EVENTS["x"], "y": EVENTS["y"], "p": EVENTS["p"]})
    with pytest.raises(DataError, match=r"own\.h5 has columns p, when, x, y, but no t.*data\.columns: \{t: when\}"):
        read_h5(path, SENSOR)
    np.testing.assert_array_equal(read_h5(path, SENSOR, Reading(columns={"t": "when"}, time_unit="ns")), EVENTS)
    put(path, {"rows": np.insert(table(EVENTS, "ytpx"), 1, 5, axis=1)})
    np.testing.assert_array_equal(read_h5(path, SENSOR, Reading({"y": 0, "t": 2, "p": 3, "x": 4})), EVENTS)


def test_a_group_that_contains_itself_ends(tmp_path: Path) -> None:
    put(tmp_path / "a.h5", {f"deep/{name}": column for name, column in columns(EVENTS).items()})
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["deep/again"] = file["deep"]
        file["deep/root"] = file["/"]
    np.testing.assert_array_equal(read_h5(tmp_path / "a.h5", SENSOR), EVENTS)


def test_one_process_reads_all_files_and_another_one_after_a_damaged_one(tmp_path: Path) -> None:
    put(tmp_path / "a.h5", columns(EVENTS))
    put(tmp_path / "none.h5", {"x": np.zeros(3)})
    crash(tmp_path / "crash.h5")
    numbers = []
    for name in ("a", "none", "a", "crash", "a", "a"):
        try:
            np.testing.assert_array_equal(read_h5(tmp_path / f"{name}.h5", SENSOR), EVENTS)
        except DataError:
            assert name != "a"
        numbers.append(hdf5._process.child and hdf5._process.child.pid)
    first, *_, last = numbers
    assert numbers == [first, first, first, None, last, last]
    assert first != last


def test_a_file_is_read_although_one_before_it_spoilt_the_process(tmp_path: Path) -> None:
    put(tmp_path / "a.h5", columns(EVENTS))
    read_h5(tmp_path / "a.h5", SENSOR)
    os.kill(hdf5._process.child.pid, signal.SIGSEGV)
    np.testing.assert_array_equal(read_h5(tmp_path / "a.h5", SENSOR), EVENTS)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_every_worker_has_a_process_of_its_own(tmp_path: Path, method: str) -> None:
    for number in range(40):
        put(tmp_path / f"{number}.h5", columns(random_events(50 + number, seed=number)))
    files = [tmp_path / f"{number}.h5" for number in range(40)]
    before = len(read_h5(files[0], None))
    with get_context(method).Pool(2) as pool:
        found = pool.map_async(partial(read_h5, sensor=None), files, chunksize=1)
        mine = [len(read_h5(file, None)) for file in files]
        assert [len(events) for events in found.get(120)] == mine == [before + number for number in range(40)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_process_ends_with_the_one_that_asks(tmp_path: Path) -> None:
    put(tmp_path / "a.h5", columns(EVENTS))
    code = (
        "import os, signal, sys; from braincog_tmkt.data.readers import hdf5; hdf5.read_h5(sys.argv[1], None);"
        "print(hdf5._process.child.pid, flush=True); sys.argv[2] == 'killed' and os.kill(os.getpid(), signal.SIGKILL)"
    )
    for end in ("alone", "killed"):
        asked = subprocess.run([sys.executable, "-c", code, tmp_path / "a.h5", end], capture_output=True, check=False)
        child = Path("/proc", asked.stdout.decode().strip())
        deadline = time.monotonic() + 30
        while child.exists() and child.joinpath("stat").read_text().split()[2] != "Z" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not child.exists() or child.joinpath("stat").read_text().split()[2] == "Z"


@pytest.mark.data
def test_a_real_file_has_the_events_of_the_text_beside_it(shared: Path) -> None:
    """Its x is the row: the text, of t, x, y and p, has the two the other way round."""
    path = shared / "data/recordings/hdf5/raw_events_seconds.hdf5"
    text = np.loadtxt(path.with_suffix(".txt"))
    events = read_events(path, None)
    np.testing.assert_array_equal(events["t"], np.rint(text[:, 0] * 1e6))
    for name, column in (("y", 1), ("x", 2), ("p", 3)):
        np.testing.assert_array_equal(events[name], text[:, column])


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
    ("code", "package", "advice"),
    [
        (60_000, "raise ImportError", r"pip install 'braincog_tmkt\[formats\]'"),
        (60_000, "", "which hdf5plugin does not have either.*h5repack"),
        (0x8ECF, "", "it is Prophesee's; install their hdf5_ecf and set HDF5_PLUGIN_PATH"),
    ],
)
def test_a_missing_filter_is_named_with_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, package: str, advice: str
) -> None:
    (tmp_path / "hdf5plugin.py").write_text(package)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    filtered(tmp_path / "a.h5", code)
    with pytest.raises(DataError, match=rf"a\.h5 is compressed with .*{code}\), which is missing: .*{advice}") as error:
        read_h5(tmp_path / "a.h5", SENSOR)
    assert "again" not in str(error.value)
