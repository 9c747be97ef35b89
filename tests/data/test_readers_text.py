"""The text reader against what numpy and pandas-like tools write."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from braincog_tmkt.data.readers import Reading
from braincog_tmkt.data.readers.text import read_text
from braincog_tmkt.errors import DataError
from tests.data.corpus import random_events, recordings, refuses

SENSOR = (128, 128)
EVENTS = random_events(50, seed=4)
PLAIN = np.stack([EVENTS[name].astype(np.int64) for name in "txyp"], axis=1)


def put(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "made.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines(table: np.ndarray, separator: str = ",", form: str = "%d", header: str = "", **options: str) -> str:
    out = io.StringIO()
    np.savetxt(out, table, form, separator, header=header, comments="", **options)
    return out.getvalue()


GOOD = {
    "no_names": lines(PLAIN),
    "names": lines(PLAIN, header="t,x,y,p"),
    "other_names_and_order": lines(PLAIN[:, [3, 2, 1, 0]], header="Polarity, y , x,Timestamp"),
    "names_behind_a_hash": lines(PLAIN[:, [1, 2, 3, 0]], " ", header="# x y p t"),
    "a_column_more": lines(np.c_[np.arange(50), PLAIN], header=",t,x,y,p"),
    "comments": "# made by hand\n" + lines(PLAIN, " ") + "# the end\n\n",
    "tabs": lines(PLAIN, "\t"),
    "semicolons": lines(PLAIN, ";", header="t;x;y;p"),
    "many_spaces": lines(PLAIN, "   ", "%8d"),
    "windows": lines(PLAIN, header="t,x,y,p", newline="\r\n"),
    "byte_order_mark": b"\xef\xbb\xbf" + lines(PLAIN, header="t,x,y,p").encode(),
    "utf_16_of_windows": lines(PLAIN, header="t,x,y,p", newline="\r\n").encode("utf-16"),
    "old_mac": lines(PLAIN, header="t,x,y,p", newline="\r"),
    "quoted_names_as_r_writes_them": lines(PLAIN, header='"t","x","y","p"'),
    "quoted_numbers": lines(PLAIN, '","', '"%d', header='"t","x","y","p"', newline='"\n').replace(',""', ',"'),
    "separators_at_the_end": lines(PLAIN, header="t,x,y,p", newline=",\n"),
    "a_title_above_the_names": lines(PLAIN[:, [0, 2, 1, 3]], header="Recording 7, by hand\n\nt,y,x,p"),
    "units_below_the_names": lines(PLAIN * [1000, 1, 1, 1] + [7, 0, 0, 0], header="t,x,y,p\n[ns],[px],[px],-"),
    "floats": lines(PLAIN, " ", "%.18e"),
    "signed": lines(PLAIN * [1, 1, 1, 2] - [0, 0, 0, 1]),
    "names_of_all_kinds": lines(PLAIN, "\t", header="timestamp [us]\tx_coordinate\ty_coordinate\tpolarity"),
    "names_behind_a_percent": "% made by hand\n% x y p t\n" + lines(PLAIN[:, [1, 2, 3, 0]], " "),
    "x_first": lines(PLAIN[:, [1, 2, 0, 3]]),
    "time_last": lines(PLAIN[:, [1, 2, 3, 0]] * [1, 1, 2, 1] - [0, 0, 1, 0], ";"),
    "one_and_two": lines(PLAIN + np.array([0, 0, 0, 1]), " "),
    "geometry": "%geometry:128,128\n% a comment\n" + lines(PLAIN) + "% the end, # of it\n",
    "sensor": "128 128\n" + lines(PLAIN, " "),
    "sensor_and_names": "# t x y p\n128,128\n" + lines(PLAIN),
    "true_and_false": "".join(f"{t} {x} {y} {p > 0}\n" for t, x, y, p in PLAIN.tolist()),
    "in_lower_case": "t,x,y,p\n" + "".join(f"{t},{x},{y},{str(p > 0).lower()}\n" for t, x, y, p in PLAIN.tolist()),
    "milliseconds_by_name": lines(PLAIN / [1e3, 1, 1, 1], ",", "%.3f", header="time_ms,x,y,p"),
    "nanoseconds_by_name": lines(PLAIN * [1000, 1, 1, 1] + [999, 0, 0, 0], header="t_ns,x,y,p"),
    "as_v2e_writes_them": "#!events.txt\n# Format: time (float s), x, y, polarity (0=off, 1=on)\n"
    + lines(PLAIN / [1e6, 1, 1, 1], " ", ["%.6f", "%d", "%d", "%d"]),
    "seconds": lines(PLAIN / [1e6, 1, 1, 1], " ", "%.6f"),
    "seconds_as_rpg_writes_them": lines(PLAIN / [1e6, 1, 1, 1], " ", ["%.9f", "%d", "%d", "%d"]),
    "seconds_with_names": lines(PLAIN / [1e6, 1, 1, 1], ",", "%.7g", header="t,x,y,p"),
}


@pytest.mark.parametrize("case", GOOD)
def test_text_of_many_kinds(tmp_path: Path, case: str) -> None:
    np.testing.assert_array_equal(read_text(put(tmp_path, GOOD[case]), SENSOR), EVENTS)


@settings(deadline=None, max_examples=60)
@given(events=recordings(max_x=345, max_y=259, max_t=2**53))
def test_whole_microseconds_are_exact(tmp_path_factory: pytest.TempPathFactory, events: np.ndarray) -> None:
    path = put(
        tmp_path_factory.getbasetemp(), lines(np.stack([events[name].astype(np.int64) for name in "txyp"], axis=1))
    )
    np.testing.assert_array_equal(read_text(path, (346, 260)), events)


def test_nanoseconds_since_1970_keep_their_microseconds(tmp_path: Path) -> None:
    times = 1605537493718345 + np.arange(100)
    text = "".join(f"{time * 1000 + 999} {time % 7} {time % 5} {time % 3 % 2}\n" for time in times.tolist())
    np.testing.assert_array_equal(read_text(put(tmp_path, text), SENSOR)["t"], times)


def test_what_a_user_says_counts(tmp_path: Path) -> None:
    path = put(tmp_path, lines(PLAIN[:, [2, 1, 3, 0]], header="a,b,c,d"))
    for said in ({"y": 0, "x": 1, "p": 2, "t": 3}, {"y": "a", "x": "b", "p": "c", "t": "d"}):
        np.testing.assert_array_equal(read_text(path, SENSOR, Reading(columns=said)), EVENTS)
    path = put(tmp_path, lines(PLAIN * [1000, 1, 1, 1] + [7, 0, 0, 0], header="time_ns,x,y,p"))
    said = {"t": 0, "x": 1, "y": 2, "p": 3}
    np.testing.assert_array_equal(read_text(path, SENSOR, Reading(columns=said)), EVENTS)
    path = put(tmp_path, lines(PLAIN[:, [0, 2, 1, 3]], header="t,y,x,p"))
    with pytest.raises(DataError, match="has names of columns, t, y, x, p: give names in data"):
        read_text(path, SENSOR, Reading(columns={"t": 0}))
    path = put(tmp_path, lines(PLAIN / [1e3, 1, 1, 1], form="%.3f", header="# stamp x y p"))
    said = Reading(columns={"t": "stamp"}, time_unit="ms")
    np.testing.assert_array_equal(read_text(path, SENSOR, said), EVENTS)


def test_seconds_since_1970_keep_their_microseconds(tmp_path: Path) -> None:
    times = 1605537493718345 + np.arange(1000)
    text = "".join(f"{time // 10**6}.{time % 10**6:06d} 1 2 1\n" for time in times.tolist())
    np.testing.assert_array_equal(read_text(put(tmp_path, text), SENSOR)["t"], times)


BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "it is empty"),
    "blank": ("\n\n\n", "it is empty"),
    "only_names": ("t,x,y,p\n", "no lines of numbers"),
    "only_comments": ("# nothing\n# more\n", "no lines of numbers"),
    "words": (
        "one two three four\n",
        r"columns one, two, three, four, none of which is called t, x, y or p: .*\{t: NAME",
    ),
    "other_names": (
        lines(PLAIN, header="when,x,y,p"),
        r"columns when, x, y, p, but no t \(or ts, .*\): name it, .*data.columns: \{t: when\}",
    ),
    "more_names": (lines(PLAIN, header="t,x,y,p,q"), "names 5 columns and has 4"),
    "ragged": ("1,2,3,1\n1,2,3\n", "no number in column 3 of event 1: correct"),
    "three_columns": ("1,2,3\n", "3 columns without names"),
    "five_columns": ("1,2,3,1,5\n", "5 columns without names"),
    "words_later": (lines(PLAIN) + "1,2,3,on\n", "something else than numbers in column 3"),
    "more_numbers_than_events_have": (",".join("1" * 101), "more than 100 columns"),
    "no_text": (b"\xff\xfd\0\1" * 20, "not UTF-8 text.*save it as UTF-8"),
    "latin_1": ("# Gr\u00f6\u00dfe\n".encode("latin-1"), "not UTF-8 text.*save it as UTF-8"),
    "decimal_comma": ("t;x;y;p\n0,5;1;2;1\n", "no lines of numbers, but '0,5;1;2;1': .* with a decimal point"),
    "a_count_first": ("2\n1 2 3 1\n2 3 4 0\n", "lines with more columns than its first line of numbers, '2'"),
    "a_long_name": ("_" * 10**5 + "!,x,y,p\n1,2,3,1\n", "but no t"),
    "nul": (b"1,2,3,1\n\0,2,3,1\n", "something else than numbers in column 0"),
    "not_a_number": ("t x y p\nnan 2 3 1\n", "no number in column 0 of event 0"),
    "infinite": ("t,x,y,p\ninf,2,3,1\n", "values of t from inf"),
    "huge": (f"{2**63},2,3,1\n", "values of t up to 9223372036854775808 us, beyond 2.62"),
    "huge_fraction": ("0.5,2,3,1\n1e308,2,3,1\n", "set data.time_unit"),
    "fraction_of_a_pixel": ("t,x,y,p\n1,2.5,3,1\n", "x with a fraction"),
    "negative": ("t,x,y,p\n1,-2,3,1\n", "values of x"),
    "negative_time": ("t,x,y,p\n-1,2,3,1\n", "values of t"),
    "polarity": ("t,x,y,p\n1,2,3,3\n", "values of p from 3 to 3"),
    "no_polarity": ("9,8,5,3\n", r"column 3 from 3 to 3\).*not certain.*none has the values of polarities"),
    "backwards": ("t,x,y,p\n2,2,3,1\n1,2,3,1\n", "back in time"),
    "beyond_its_geometry": ("% geometry: 240 x 100\n1,2,101,1\n", "sensor is 240 wide and 100 high"),
    "beyond_its_line": (
        "240 100\n1,2,101,1\n",
        "sensor is 240 wide and 100 high, but has events at x up to 2 and y up",
    ),
    "beyond": ("1,128,3,1\n", "beyond the 128x128 sensor"),
}


test_bad_files_are_named_with_their_fault = refuses(read_text, "made.csv", BAD_FILES)
