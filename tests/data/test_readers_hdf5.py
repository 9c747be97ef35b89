"""The HDF5 reader on the layouts that labs and tools write, made by h5py as they are published."""

from collections.abc import Iterator
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


@pytest.fixture
def new_process() -> Iterator[None]:
    """The test starts the process that reads, and leaves none with settings of its own."""
    hdf5.LIBRARY.end()
    yield
    hdf5.LIBRARY.end()


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
    "matlab_matrix": ({"recording": table(EVENTS, "xytp").T, "calibration": np.eye(4)}, 0),
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
            **{f"imu/{name}": np.zeros(3) for name in ("t", "x", "X", "y", "p")},
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
    with pytest.raises(DataError, match=r"own\.h5 has names of columns.*data\.columns, not numbers"):
        read_h5(path, SENSOR, Reading(columns={"t": "when", "x": 1}))
    put(path, {"rows": np.insert(table(EVENTS, "ytpx"), 1, 5, axis=1)})
    np.testing.assert_array_equal(read_h5(path, SENSOR, Reading({"y": 0, "t": 2, "p": 3, "x": 4})), EVENTS)


def test_a_group_that_contains_itself_ends(tmp_path: Path) -> None:
    put(tmp_path / "a.h5", {f"deep/{name}": column for name, column in columns(EVENTS).items()})
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["deep/again"] = file["deep"]
        file["deep/root"] = file["/"]
    np.testing.assert_array_equal(read_h5(tmp_path / "a.h5", SENSOR), EVENTS)


@pytest.mark.data
def test_a_real_file_has_the_events_of_the_text_beside_it(shared: Path) -> None:
    """Its x is the row: the text, of t, x, y and p, has the two the other way round."""
    path = shared / "data/recordings/hdf5/raw_events_seconds.hdf5"
    text = np.loadtxt(path.with_suffix(".txt"))
    events = read_events(path, None)
    np.testing.assert_array_equal(events["t"], np.rint(text[:, 0] * 1e6))
    for name, column in (("y", 1), ("x", 2), ("p", 3)):
        np.testing.assert_array_equal(events[name], text[:, column])


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
@pytest.mark.usefixtures("new_process")
def test_a_missing_filter_is_named_with_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, package: str, advice: str
) -> None:
    (tmp_path / "hdf5plugin.py").write_text(package)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    filtered(tmp_path / "a.h5", code)
    with pytest.raises(DataError, match=rf"a\.h5 is compressed with .*{code}\), which is missing: .*{advice}") as error:
        read_h5(tmp_path / "a.h5", SENSOR)
    assert "again" not in str(error.value)
