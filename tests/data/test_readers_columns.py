"""Columns without names, times of any unit, files with several structures or arrays: what is certain, and what not."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import example, given, settings
from hypothesis import strategies as st

from braincog_tmkt.data.notes import listening
from braincog_tmkt.data.readers import Reading, read_events
from braincog_tmkt.data.readers.columns import columns_of_groups
from braincog_tmkt.data.readers.matrix import ORDERS, PUBLISHED, columns_of_matrix, columns_without_names
from braincog_tmkt.data.readers.names import NAMES, choose, missing
from braincog_tmkt.data.readers.times import microseconds
from braincog_tmkt.errors import DataError
from tests.data.corpus import columns, random_events

EVENTS = random_events(50, seed=4)
CODES = st.sampled_from([(0, 1), (-1, 1), (1, 2)])


def table(events: np.ndarray, order: tuple[str, ...], codes: tuple[int, int] = (0, 1)) -> np.ndarray:
    made = {**columns(events), "p": np.where(events["p"], codes[1], codes[0])}
    return np.stack([made[letter].astype(np.int64) for letter in order], 1)


def same(found: dict[str, np.ndarray], events: np.ndarray) -> bool:
    whole = {"t": found["t"], "x": found["x"], "y": found["y"], "p": found["p"] == max(found["p"].max(), 1)}
    return all((whole[letter] == events[letter]).all() for letter in "txyp")


# a matrix without names


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(ORDERS[1]),
    CODES,
    st.integers(0, 99),
    st.sampled_from([900, 5000, 10**6]),
    st.sampled_from("iuf"),
    st.booleans(),
)
def test_any_order_with_x_before_y_is_recognised_and_an_unusual_one_said(
    order: tuple[str, ...], codes: tuple[int, int], seed: int, last: int, kind: str, turned: bool
) -> None:
    events = random_events(60, 34, 34, last, seed)
    matrix = table(events, order, codes).astype({"i": "i4", "u": "u8" if min(codes) >= 0 else "i8", "f": "f4"}[kind])
    with listening() as heard:
        assert same(columns_of_matrix(matrix.T if turned else matrix, "made"), events)
    assert [remark.what for remark in heard] == [
        f"columns without names are taken as {', '.join(order)} in" for _ in "1" if order != PUBLISHED
    ]


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(ORDERS[0]), CODES, st.integers(0, 9), st.integers(16, 40), st.sampled_from([1, 2, 30, 4000, 10**6]),
    st.sets(st.sampled_from(["x in a row", "y in a row", "one x", "one y", "narrow", "ON", "OFF", "sorted p"])),
)  # fmt: skip
def test_a_usual_order_is_right_or_refused(
    order: tuple[str, ...], codes: tuple[int, int], seed: int, count: int, last: int, odd: set[str]
) -> None:
    events = random_events(count, 2 if "narrow" in odd else 34, 34, last, seed)
    for letter in "xy":
        if f"{letter} in a row" in odd:
            events[letter] = np.sort(events[letter])
        if f"one {letter}" in odd:
            events[letter] = events[letter][0]
    events["p"] = (
        True if "ON" in odd else False if "OFF" in odd else np.sort(events["p"]) if "sorted p" in odd else events["p"]
    )
    matrix = table(events, order, codes)
    try:
        found = columns_of_matrix(matrix, "made")
    except DataError:
        return
    for letter in "txyp":
        np.testing.assert_array_equal(found[letter], matrix[:, order.index(letter)], err_msg=f"{order} {odd}")


def test_numbers_beyond_any_sensor_are_times_though_columns_are_in_a_row() -> None:
    events = EVENTS.copy()
    events["x"] = np.sort(events["x"])
    assert same(columns_of_matrix(table(events, ("x", "y", "t", "p")), "made"), events)
    events["t"] = np.arange(50)
    with pytest.raises(DataError, match="not certain"):
        columns_of_matrix(table(events, ("x", "y", "t", "p")), "made")


def test_numbers_that_are_said_count() -> None:
    wide = np.c_[np.arange(50), table(EVENTS, ("y", "x", "p", "t"))]
    said = {"y": 1, "x": 2, "p": 3, "t": 4}
    with listening() as heard:
        assert same(columns_of_matrix(wide, "made", Reading(columns=said)), EVENTS)
        assert same(columns_without_names(wide[:4].T, "made", Reading(columns=said)), EVENTS[:4])
        assert same(columns_of_matrix(wide[:, 1:], "made", Reading(columns={"y": 0, "x": 1})), EVENTS)
    assert [remark.what for remark in heard] == ["columns without names are taken as y, x, p, t in"]


@pytest.mark.parametrize(
    ("said", "matrix", "fault"),
    [
        (None, np.zeros((50, 5)), "has 5 columns without names: say which are t, x, y and p, as in data.columns"),
        (None, np.tile(np.arange(50)[:, None], 4), "column 0 from 0 to 49.* not certain .*none has the values"),
        (None, table(EVENTS[::-1], PUBLISHED)[:, [1, 2, 3, 3]], "not certain .*none never goes back"),
        (None, np.full((50, 4), np.nan), "column 0 from nan to nan"),
        ({"t": 4}, table(EVENTS, PUBLISHED), "has 4 columns without names: .* has '4', .*numbers from 0 to 3"),
        ({"t": "time"}, table(EVENTS, PUBLISHED), "data.columns has 'time', but must give numbers"),
        ({"t": 0, "x": 0}, table(EVENTS, PUBLISHED), "one number to several of t, x"),
        ({"t": 3, "p": 0}, table(EVENTS, PUBLISHED), "not certain"),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_listed(said: dict[str, str | int] | None, matrix: np.ndarray, fault: str) -> None:
    with pytest.raises(DataError, match=f"made.*{fault}"):
        columns_of_matrix(matrix, "made", Reading(columns=said))


# times


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(0, 2**50), min_size=1, max_size=20).map(sorted), st.sampled_from(["s", "ms", "us", "ns"]),
    st.sampled_from(["i8", "u8", "f8"]),
)  # fmt: skip
@example([3, 250], "ns", "u1")
def test_a_unit_that_is_said_counts_exactly(times: list[int], unit: str, kind: str) -> None:
    """Whole numbers of any unit, against integers of any size."""
    scale = {"s": Fraction(10**6), "ms": Fraction(1000), "us": Fraction(1), "ns": Fraction(1, 1000)}[unit]
    whole = [int(time * scale) for time in times]
    if whole[-1] > 2**62 or (kind == "f8" and whole[-1] > 2**53):
        return
    assert microseconds(np.array(times, kind), "made", unit).tolist() == whole


REAL = random_events(400, seed=3, last=4_000_000)["t"]
SINCE_1970 = 1_605_537_493_718_345
UNITS = {
    "us": (REAL, REAL),
    "us_floats": (REAL.astype(float), REAL),
    "us_since_1970": (REAL + SINCE_1970, REAL + SINCE_1970),
    "us_for_two_hours": (np.arange(10**5) * 72_000, None),
    "us_of_a_fast_camera_for_two_hours": (np.arange(8 * 10**6) * 900, np.arange(8 * 10**6) * 900),
    "s": (REAL / 1e6, REAL),
    "s_since_1970": ((REAL + SINCE_1970) / 1e6, REAL + SINCE_1970),
    "s_of_32_bits": ((REAL // 4 / 1e6).astype("f4"), REAL // 4),
    "s_of_32_bits_and_long": ((REAL / 1e6).astype("f4"), None),
    "s_of_nanoseconds": (REAL / 1e6 + 3e-7, REAL),
    "s_in_steps_of_ms": (REAL // 1000 / 1e3, None),
    "s_of_any_fraction": (np.sort(np.random.default_rng(1).random(400)), None),
    "s_over_many_hours": (REAL / 1e6 * 3e4, None),
    "ms": (REAL / 1e3, None),
    "ms_whole": (REAL // 10_000, None),
    "ms_since_1970": ((REAL + SINCE_1970) / 1e3, REAL + SINCE_1970),
    "ms_since_1970_whole": ((REAL + SINCE_1970) // 1000, None),
    "ns_since_1970": (REAL * 1000 + 999 + SINCE_1970 * 1000, REAL + SINCE_1970),
    "ns_of_64_bits": ((REAL * 1000 + SINCE_1970 * 1000).astype("u8"), REAL + SINCE_1970),
    "ns_in_steps_of_us": (REAL * 1000, None),
    "ns_of_an_hour": (np.arange(400) * 9_100_001, None),
    "frames": (np.arange(400) // 20, None),
    "few": (np.arange(3), np.arange(3)),
}


@pytest.mark.parametrize("case", UNITS)
def test_a_unit_is_recognised_where_it_is_certain_and_asked_for_where_not(case: str) -> None:
    times, expected = UNITS[case]
    if expected is None:
        with pytest.raises(DataError, match=r"made has .* times from .*, which may be .*: set data.time_unit"):
            microseconds(times, "made")
    else:
        np.testing.assert_array_equal(microseconds(times, "made"), expected)


@pytest.mark.parametrize("times", [[-1, 5], [0, np.nan], [0, np.inf], [0, 2**63], [0, 1e300]])
def test_times_that_cannot_be_are_refused(times: list[float]) -> None:
    for unit in ("s", "ms", "us", "ns", None):
        if times[1] != 2**63 or unit != "ns":
            with pytest.raises(DataError, match=r"made has values of t .*data.columns"):
                microseconds(np.array(times, "u8" if times[1] == 2**63 else "f8"), "made", unit)


# names


@pytest.mark.parametrize(
    ("labels", "unit"),
    [
        ("ts x y pol", None), ("xs ys ts ps", None), ("timestamp x y polarity", None), ("x_pos y_pos time p", None),
        ("t_us x y p", "us"), ("Timestamp_NS X Y P", "ns"), ("time[s] x y p", "s"), ("t(ms) x y on", "ms"),
        ("t is_increase x y", None), ("timestamps x_coordinate y_coordinate polarities", None),
        ("time_s col row p", "s"), ("t t_ns x y p", None),
    ],
)  # fmt: skip
def test_names_of_public_data_sets_and_units_in_them(labels: str, unit: str | None) -> None:
    group = {label: np.array(number) for number, label in enumerate(labels.split())}
    found, reading = columns_of_groups({"/": group}, "made")
    assert reading.time_unit == unit
    first = {letter: [label for label in labels.split() if label[0].lower() == letter] for letter in "tp"}
    assert [labels.split()[found[letter]] for letter in first] == [
        (first[letter] or ["on" if "on" in labels else "is_increase"])[0] for letter in first
    ]
    assert found["x"] < found["y"]


def test_names_that_are_said_count_before_all_others() -> None:
    labels = ["x", "y", "t", "p", "stamp", "u"]
    assert choose(labels, {"t": "stamp", "x": "u"}) == {"t": "stamp", "x": "u", "y": "y", "p": "p"}
    assert choose(labels, {"t": "when"}) is None
    assert (
        missing(labels, {"t": "stmap"})
        == "has columns x, y, t, p, stamp, u, no 'stmap' (is it stamp?): correct data.columns"
    )
    with pytest.raises(ValueError, match=r"give names in data.columns, not numbers"):
        choose(labels, {"t": 4})
    assert all(name == name.lower() for names in NAMES.values() for name in names)


# groups

EM = {**columns(EVENTS), "x": EVENTS["x"][::-1].copy()}
Write = Callable[[Path, dict[str, Any]], None]


def write_mat(path: Path, groups: dict[str, Any]) -> None:
    scipy.io.savemat(path, groups, oned_as="column")


def write_npz(path: Path, groups: dict[str, Any]) -> None:
    np.savez(path, **{name: structured(group) if isinstance(group, dict) else group for name, group in groups.items()})


def structured(group: dict[str, np.ndarray]) -> np.ndarray:
    return np.rec.fromarrays(list(group.values()), names=list(group))


@pytest.fixture(params=[(".mat", write_mat), (".npz", write_npz)], ids=["mat", "npz"])
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., np.ndarray]:
    suffix, write = request.param

    def written_and_read(groups: dict[str, Any], **said: Any) -> np.ndarray:
        write(tmp_path / f"made{suffix}", groups)
        return read_events(tmp_path / f"made{suffix}", (128, 128), Reading(**said))

    return written_and_read


PLAIN = table(EVENTS, PUBLISHED)
ZEROS = np.zeros(50, int)
READ: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "changes_not_exposures": ({"EM": EM, "TD": columns(EVENTS)}, {}),
    "by_name": ({"left": EM, "right": columns(EVENTS)}, {"group": "right"}),
    "beside_one_that_is_not_certain": ({"left": {"Ts": ZEROS, "TS": ZEROS, "x": ZEROS, "y": ZEROS, "p": ZEROS},
                                        "right": columns(EVENTS)}, {"group": "right"}),
    "by_name_in_any_case": ({"left": EM, "events": EM, "Right": columns(EVENTS)}, {"group": "RIGHT"}),
    "events_beside_others": ({"crop": EM, "events": columns(EVENTS)}, {}),
    "top_level": ({"events": EM, **columns(EVENTS)}, {"group": "/"}),
    "matrix": ({"events": PLAIN, "frames": np.zeros((9, 9)), "label": 3}, {}),
    "matrix_by_columns": ({"data": table(EVENTS, ("x", "y", "t", "p"), (-1, 1)).T}, {}),
    "one_of_two_matrices": ({"a": PLAIN[::-1], "b": PLAIN}, {"group": "b"}),
    "matrix_of_changes": ({"em": PLAIN[::-1], "td": PLAIN}, {}),
    "columns_before_a_matrix": ({"pose": PLAIN[::-1], **columns(EVENTS)}, {}),
    "matrix_with_numbers": ({"a": PLAIN[:, [3, 2, 1, 0]]}, {"columns": {"p": 0, "y": 1, "x": 2, "t": 3}}),
    "three_in_one": ({"xyp": PLAIN[:, 1:], "t": PLAIN[:, 0]}, {}),
    "two_in_one": ({"XY": PLAIN[:, 1:3], "t": PLAIN[:, 0], "p": PLAIN[:, 3]}, {}),
    "named": ({"when": PLAIN[:, 0], "t": PLAIN[:, 0] * 0, "x": PLAIN[:, 1], "y": PLAIN[:, 2], "p": PLAIN[:, 3]},
              {"columns": {"t": "when"}}),
    "unit": ({**columns(EVENTS), "t": EVENTS["t"] / 1e3}, {"time_unit": "ms"}),
    "unit_in_a_name": ({"x": PLAIN[:, 1], "y": PLAIN[:, 2], "p": PLAIN[:, 3], "t_ms": PLAIN[:, 0] / 1e3}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_what_has_the_events_is_found(read: Callable[..., np.ndarray], case: str) -> None:
    groups, said = READ[case]
    np.testing.assert_array_equal(read(groups, **said), EVENTS)


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "two": ({"left": EM, "right": columns(EVENTS)}, {}, "its events in any of left, right: choose one with data.group"),
    "two_of_meaning": ({"cd": EM, "td": EM}, {}, "any of cd, td: choose"),
    "top_level_and_group": ({"events": EM, **columns(EVENTS)}, {}, "any of /, events: choose"),
    "two_matrices": ({"a": PLAIN, "b": PLAIN}, {}, "any of a, b: choose"),
    "exposures": ({"EM": EM}, {}, "has only EM, an ATIS's exposure measurements"),
    "no_such_group": ({"EM": EM, "TD": EM}, {"group": "events"}, "has no 'events': set data.group to one of .*EM, TD"),
    "no_such_matrix": ({"a": PLAIN, "b": PLAIN}, {"group": "c"}, "has no 'c': set data.group to one of a, b"),
    "nothing": ({"frames": np.zeros((10, 2, 9))}, {}, r"has frames \[10, 2, 9\], neither columns t, x, y and p nor a"),
    "no_such_column": (columns(EVENTS), {"columns": {"t": "stamp"}}, "no 'stamp'.*: correct data.columns"),
    "numbers": (columns(EVENTS), {"columns": {"t": 0}}, "has names of columns, t, x, y, p: give names"),
    "small": ({"box": PLAIN[:1], "frames": np.zeros((9, 9))}, {}, "has columns box, frames"),
    "other_names": ({"a": EVENTS["t"], "x": EVENTS["x"]}, {}, "has columns a, x, but no t, y, p: name it"),
    "milliseconds": ({**columns(EVENTS), "t": EVENTS["t"] / 1e3}, {}, "may be s, ms or us: set data.time_unit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_certain_is_refused_with_the_key_that_settles_it(
    read: Callable[..., np.ndarray], case: str
) -> None:
    groups, said, fault = REFUSED[case]
    with pytest.raises(DataError, match=rf"made\.... .*{fault}") as error:
        read(groups, **said)
    assert "again" not in str(error.value)


def test_lists_of_on_and_off_events_are_read_as_spikingjelly_reads_es_imagenet(tmp_path: Path) -> None:
    rows = PLAIN[:, [2, 1, 0]]
    np.savez(tmp_path / "made.npz", pos=rows[EVENTS["p"]], neg=rows[~EVENTS["p"]])
    with listening() as heard:
        np.testing.assert_array_equal(read_events(tmp_path / "made.npz"), EVENTS)
    assert [remark.what for remark in heard] == [
        "columns of pos and neg are taken as y, x, t, as SpikingJelly reads ES-ImageNet, in"
    ]
    with listening() as heard:
        events = read_events(tmp_path / "made.npz", None, Reading(columns={"x": 0, "y": 1, "t": 2}))
    assert not heard
    np.testing.assert_array_equal(events["x"], EVENTS["y"])


# real files


@pytest.mark.data
def test_real_files(shared: Path) -> None:
    folder = shared / "data" / "recordings"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    matrix = scipy.io.loadmat(folder / "mat/matrix_xypt.mat")["events"]
    with listening() as heard:
        events = read_events(folder / "mat/matrix_xypt.mat")
    assert heard[0].what == "columns without names are taken as x, y, p, t in"
    np.testing.assert_array_equal(table(events, ("x", "y", "p", "t"), (-1, 1)), matrix)
    changes = scipy.io.loadmat(folder / "mat/atis_em_and_td.mat", simplify_cells=True)["TD"]
    events = read_events(folder / "mat/atis_em_and_td.mat")
    assert len(events) == 242_040
    for letter, name in {"t": "ts", "x": "x", "y": "y", "p": "p"}.items():
        np.testing.assert_array_equal(events[letter], changes[name])
    with pytest.raises(DataError, match=r"stmnist\.mat has spike trains of a tactile sensor"):
        read_events(folder / "mat/stmnist.mat")
    lines = [line.split() for line in (folder / "hdf5/raw_events_seconds.txt").read_text().splitlines()]
    expected = [(round(Fraction(t) * 10**6), int(x), int(y), p == "1") for t, x, y, p in lines]
    assert read_events(folder / "hdf5/raw_events_seconds.txt").tolist() == expected
