"""The readers of Prophesee's `.dat` and `.raw` against expelliarmus, evlib and evt3, which PyPI has."""

from pathlib import Path

import numpy as np
import pytest
from expelliarmus import Wizard
from hypothesis import given
from hypothesis import strategies as st

from braincog_tmkt.data.notes import listening
from braincog_tmkt.data.readers import read_events
from braincog_tmkt.data.readers.evt import decode
from braincog_tmkt.data.types import EVENT_DTYPE
from braincog_tmkt.errors import DataError
from tests.data.corpus import random_events, recordings, refuses
from tests.data.writers import EVT, evt2, evt3, evt21, evt_header, write_expelliarmus

SAMPLES = {"ncars.dat": "dat", "evt2.raw": "evt2", "evt3.raw": "evt3"}
WORDS = {"EVT2": evt2, "EVT21": evt21, "EVT3": evt3}
neighbours = st.builds(
    lambda events, rows: np.sort(np.concatenate([events, *rows])),
    recordings(2047, 2047, 2**23, least=0),
    st.lists(
        st.builds(
            lambda t, x, n, p: np.array([(t, x + k, 7, p) for k in range(n)], EVENT_DTYPE),
            st.integers(0, 2**23),
            st.integers(0, 2000),
            st.integers(1, 40),
            st.booleans(),
        ),
        min_size=1,
        max_size=5,
    ),
)
"""Events, among them some of one time in a row, which share words."""


def same(found: np.ndarray, other: object, names: str = "txyp") -> None:
    for name in names:
        theirs = other[name] if isinstance(other, np.ndarray) else getattr(other, name)
        np.testing.assert_array_equal(found[name], theirs, err_msg=name)


def same_as_evlib(found: np.ndarray, path: Path) -> None:
    frame = pytest.importorskip("evlib").load_events(str(path)).collect()
    for name, theirs in {
        "t": frame["t"].cast(int),
        "x": frame["x"],
        "y": frame["y"],
        "p": frame["polarity"] > 0,
    }.items():
        np.testing.assert_array_equal(found[name], theirs.to_numpy(), err_msg=name)


@pytest.mark.data
@pytest.mark.parametrize("name", SAMPLES)
def test_real_recordings_equal_expelliarmus_but_for_its_times_of_evt3(shared: Path, name: str) -> None:
    path = shared / "data/recordings/prophesee" / name
    found = read_events(path)
    same(found, Wizard(SAMPLES[name]).read(path), "xyp" if name == "evt3.raw" else "txyp")


@pytest.mark.data
def test_real_recordings_equal_evt3_and_evlib(shared: Path) -> None:
    folder = shared / "data/recordings/prophesee"
    same(read_events(folder / "evt3.raw"), pytest.importorskip("evt3").decode_file(str(folder / "evt3.raw")))
    for name in ("evt2.raw", "evt3.raw"):
        same_as_evlib(read_events(folder / name), folder / name)


@given(events=recordings(2**14 - 1, 2**14 - 1, 2**32 - 1))
def test_dat_of_expelliarmus_is_read_back(tmp_path_factory: pytest.TempPathFactory, events: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "made.dat"
    write_expelliarmus(path, events, "dat")
    np.testing.assert_array_equal(read_events(path), events)


@given(events=recordings(2047, 2047, 2**32 - 1))
def test_evt2_of_expelliarmus_is_read_back(tmp_path_factory: pytest.TempPathFactory, events: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "made.raw"
    write_expelliarmus(path, events, "evt2")
    np.testing.assert_array_equal(read_events(path), events)


@pytest.mark.parametrize("name", WORDS)
@given(events=neighbours)
def test_words_are_read_back(tmp_path_factory: pytest.TempPathFactory, name: str, events: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(WORDS[name](events), name, "made", None, "little"), events)


@given(events=neighbours)
def test_evt3_is_read_as_evt3_reads_it(tmp_path_factory: pytest.TempPathFactory, events: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "made.raw"
    path.write_bytes(evt_header("EVT3", (2048, 2048)) + evt3(events))
    same(read_events(path), pytest.importorskip("evt3").decode_file(str(path)))


@pytest.mark.parametrize("name", WORDS)
def test_words_are_read_as_evlib_reads_them(tmp_path: Path, name: str) -> None:
    events = np.unique(random_events(5000, width=60, height=3, last=3000))
    path = tmp_path / "made.raw"
    path.write_bytes(evt_header(name, more="% endianness little\n") + WORDS[name](events))
    same_as_evlib(read_events(path, (128, 128)), path)
    np.testing.assert_array_equal(read_events(path), events)


@pytest.mark.parametrize("order", ["little", "legacy"])
@pytest.mark.parametrize("said", [True, False])
def test_both_orders_of_evt21_are_told_apart(tmp_path: Path, order: str, said: bool) -> None:
    events, path = random_events(2000), tmp_path / "made.raw"
    path.write_bytes(evt_header("EVT21", more=f"% endianness {order}\n" if said else "") + evt21(events, order))
    np.testing.assert_array_equal(read_events(path), events)


@pytest.mark.parametrize(("name", "period"), [("dat", 2**32), ("EVT2", 2**34), ("EVT21", 2**34), ("EVT3", 2**24)])
def test_times_go_on_where_their_bits_start_again(tmp_path: Path, name: str, period: int) -> None:
    events = random_events(300)
    events["t"] = np.linspace(period - 1000, period + 1000, 300) if period == 2**34 else np.linspace(5, 3 * period, 300)
    path = tmp_path / ("made.dat" if name == "dat" else "made.raw")
    if name in WORDS:
        path.write_bytes(evt_header(name, more="% endianness little\n") + WORDS[name](events))
    else:
        write_expelliarmus(path, events, name)
    np.testing.assert_array_equal(read_events(path), events)


def words3(*words: tuple[int, int]) -> bytes:
    return np.array([kind << 12 | value for kind, value in words], "<u2").tobytes()


def test_only_changes_after_the_first_time_count(tmp_path: Path) -> None:
    start, stop = [(0, 5), (2, 1)], [(6, 9), (0, 5), (2, 1), (10, 1), (14, 8), (15, 1), (7, 1)]
    measured = [(1, 6), (2, 2), (3, 3), (4, 7), (0, 7), (2, 2048 | 4)]
    path = tmp_path / "made.raw"
    path.write_bytes(evt_header("EVT3") + words3(*start, (8, 3), *stop, *measured))
    time = 3 * 4096 + 9
    assert read_events(path).tolist() == [(time, 1, 5, False), (time, 4, 7, True)]
    others = [10 << 28 | 1, 14 << 28 | 1, 15 << 28 | 1, 13 << 28 | 1]
    words = [1 << 28 | 2 << 11 | 3, 8 << 28 | 7, *others, 1 << 28 | 5 << 22 | 2 << 11 | 3]
    path.write_bytes(evt_header("EVT2") + np.array(words, "<u4").tobytes())
    assert read_events(path).tolist() == [(7 * 64 + 5, 2, 3, True)]


def test_a_vector_starts_where_the_one_before_ended(tmp_path: Path) -> None:
    path = tmp_path / "made.raw"
    path.write_bytes(
        evt_header("EVT3") + words3((8, 0), (6, 1), (0, 5), (3, 2048 | 10), *[(4, 1), (5, 1), (4, 1), (5, 1)])
    )
    assert read_events(path).tolist() == [(1, x, 5, True) for x in (10, 22, 30, 42)]


def test_a_few_events_beyond_the_camera_are_left_out_with_a_remark_and_many_are_refused(tmp_path: Path) -> None:
    events, path = random_events(1000, width=100), tmp_path / "made.raw"
    events["x"][[3, 700]] = 100
    path.write_bytes(evt_header("EVT3", (100, 128)) + evt3(events))
    with listening() as heard:
        np.testing.assert_array_equal(read_events(path), events[events["x"] < 100])
    assert [(remark.what, remark.here) for remark in heard] == [
        ("events beyond the pixels of the camera are left out of", "2 of 1000 events")
    ]
    events["x"][:20] = 100
    path.write_bytes(evt_header("EVT3", (100, 128)) + evt3(events))
    with pytest.raises(DataError, match=r"made\.raw has 21 of 1000 events beyond the pixels"):
        read_events(path)


def test_columns_that_no_camera_has_never_wrap(tmp_path: Path) -> None:
    path = tmp_path / "made.raw"
    path.write_bytes(b"% evt 3.0\n" + words3((8, 0), (6, 0), (0, 1), (3, 2040), *[(4, 4095)] * 6000))
    with pytest.raises(DataError, match=r"made\.raw has 71992 of 72000 events beyond"):
        read_events(path)


def test_dat_of_an_atis_has_its_own_address(tmp_path: Path) -> None:
    rows = np.array([(3, 300 | 200 << 9 | 1 << 17), (4, 5 | 6 << 9)], "<u4")
    (tmp_path / "old.dat").write_bytes(b"% Data file containing CD\n% Version 1\n\0\x08" + rows.tobytes())
    assert read_events(tmp_path / "old.dat").tolist() == [(3, 300, 200, True), (4, 5, 6, False)]


@pytest.mark.parametrize("name", EVT)
def test_either_line_of_the_header_names_the_encoding(tmp_path: Path, name: str) -> None:
    events, path = random_events(50), tmp_path / "made.raw"
    body = WORDS[name](events)
    for line in (
        f"% evt {EVT[name]}\n",
        f"% format {name};height=128;width=128\n",
        f"% geometry 128x128\n% evt {EVT[name]} \n",
    ):
        path.write_bytes(line.encode() + body)
        np.testing.assert_array_equal(read_events(path), events)


TIME_3, TIME_2 = words3((8, 1), (6, 1)), np.array([8 << 28], "<u4").tobytes()
RAW = {
    "no_header": (TIME_3, "does not start with the lines"),
    "cut_header": (b"% evt 3.0", "ends inside its text header"),
    "no_encoding": (b"% date 2026\n" + TIME_3, "has a header without % evt or % format"),
    "frames": (b"% format HISTO3D;width=320;height=320\n", "is encoded as HISTO3D, which is not read here"),
    "two_encodings": (b"% evt 2.0\n% format EVT3\n" + TIME_3, "says % format EVT3 and % evt 2.0"),
    "two_sizes": (evt_header("EVT3", more="% geometry 1x1\n") + TIME_3, "two sizes"),
    "endless_size": (b"% evt 3.0\n% geometry 9" + b"9" * 40 + b"x9\n" + TIME_3, "none that a sensor can have"),
    "no_size": (b"% evt 3.0\n% geometry wide\n" + TIME_3, "truncated or corrupt recording of Prophesee"),
    "half_a_word": (b"% evt 3.0\n% end\n" + TIME_3 + b"\0", "truncated: it ends inside a word of EVT3"),
    "unknown_word": (b"% evt 3.0\n% end\n" + TIME_3 + words3((9, 0)), "words that EVT3 does not have"),
    "other_encoding": (b"% evt 2.0\n% end\n" + TIME_2 + b"\0\0\0\x20", "words that EVT2 does not have"),
    "no_events": (b"% evt 3.0\n% end\n" + TIME_3, "no events"),
    "no_order": (b"% evt 2.1\n% end\n" + b"\0\0\0\x80" * 6, "which half of its words comes first: add the line"),
    "back": (b"% evt 3.0\n" + TIME_3 + words3((0, 1), (2, 1), (6, 0), (2, 1)), "back in time after event 0"),
    "beyond": (evt_header("EVT3") + TIME_3 + words3((0, 127), (2, 127), (8, 0), (0, 0)), "up to 127.*100x100"),
    "dat": (b"% Data file containing CD events.\n% Version 2\n\0\x08", "Prophesee DAT: give it the suffix .dat"),
}
test_bad_raw_files_are_named_with_their_fault = refuses(read_events, "made.raw", RAW, (100, 100))

HEAD = b"% Data file containing CD events.\n% Version 2\n% Height 100\n% Width 90\n"
DAT = {
    "no_header": (b"\0\x08", "does not start with the lines"),
    "no_kind": (HEAD, "truncated or corrupt recording of Prophesee"),
    "triggers": (HEAD + b"\x0e\x18", "events of type 14 in 24 bytes.*give the file that ends in _cd"),
    "version": (HEAD.replace(b"n 2", b"n 3") + b"\0\x08", "has version 3"),
    "damaged_version": (HEAD.replace(b"n 2", b"n x") + b"\0\x08", "truncated or corrupt recording of Prophesee"),
    "half_an_event": (HEAD + b"\0\x08" + b"\0" * 12, "truncated: it ends inside an event"),
    "beyond_its_size": (HEAD + b"\0\x08" + bytes([0, 0, 0, 0, 90, 0, 0, 0]), "x up to 90.*90x100 sensor"),
    "back": (HEAD + b"\0\x08" + bytes([5, *[0] * 7, 4, *[0] * 7]), "back in time after event 0"),
    "no_events": (HEAD + b"\0\x08", "no events"),
    "aer": (b"#!AER-DAT2.0\r\n", "AER-DAT 2.0: give it the suffix .aedat"),
}
test_bad_dat_files_are_named_with_their_fault = refuses(read_events, "made.dat", DAT, (100, 100))


@pytest.mark.data
def test_words_of_evt2_that_are_named_bin_are_refused_by_name_and_read_as_the_message_says(
    shared: Path, tmp_path: Path
) -> None:
    sample = shared / "data/recordings/prophesee/evt2_words_named.bin"
    with pytest.raises(DataError, match=r"not an ATIS recording: its bytes are words of EVT 2\.0.*% evt 2\.0.*\.raw"):
        read_events(sample)
    (tmp_path / "made.raw").write_bytes(b"% evt 2.0\n" + sample.read_bytes())
    assert len(read_events(tmp_path / "made.raw", (320, 320))) > 100_000


@given(events=recordings(319, 319, 2**20, least=16))
def test_any_words_of_evt2_that_are_named_bin_are_refused(
    tmp_path_factory: pytest.TempPathFactory, events: np.ndarray
) -> None:
    path = tmp_path_factory.getbasetemp() / "made.bin"
    path.write_bytes(evt2(events))
    with pytest.raises(DataError, match=r"words of EVT 2\.0"):
        read_events(path)
