"""The readers of AER-DAT 2.0 and 3.1 against tonic's and dv's, SpikingJelly's rule and files made by hand."""

import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from braincog_tmkt.data.readers import Reading, read_events
from braincog_tmkt.data.readers.aedat import (
    read_aedat,
    read_aedat2,
    read_aedat3,
    read_cifar10dvs,
    write_aedat3,
    write_cifar10dvs,
)
from braincog_tmkt.data.types import EVENT_DTYPE
from braincog_tmkt.errors import DataError
from tests.data.corpus import random_events, recordings, refuses

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tonic.io
    from dv import LegacyAedatFile

DVS128 = (128, 128)
LINES2 = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# created Thu Dec 03 14:47:00 CET 2015\r\n"
LINES3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#Start-Time: 2016-10-12 15:19:28 (TZ-0400)\r\n"
END3 = b"#!END-HEADER\r\n"


def tonic_events(path: Path, read: Callable[[Path], tuple[tuple[int, int], np.ndarray]]) -> np.ndarray:
    """What a reader of tonic 1.7 gives once it runs: it takes two of the three values its header reader returns."""
    read_header = tonic.io.read_aedat_header_from_file
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tonic.io, "read_aedat_header_from_file", lambda path: read_header(path)[:2])
        return read(path)[1]


def pairs2(*events: tuple[int, int]) -> bytes:
    return LINES2 + b"".join(struct.pack(">II", address, time) for address, time in events)


def block(
    rows: list[tuple[int, int]], kind: int = 1, high: int = 0, size: int = 8, spare: int = 0, valid: int | None = None
) -> bytes:
    valid = sum(row[0] & 1 for row in rows) if valid is None else valid
    head = struct.pack("<HHIIIIII", kind, 1, size, 4, high, len(rows) + spare, len(rows), valid)
    return head + b"".join(struct.pack("<II", *row) for row in rows) + b"\xff" * (size * spare)


def polarity(x: int, y: int, on: bool, valid: bool = True) -> int:
    return x << 17 | y << 2 | on << 1 | valid


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "made.aedat"
    path.write_bytes(content)
    return path


DVS = "ch.unizh.ini.jaer.chip.retina.DVS128"
DAVIS = "eu.seebetter.ini.chips.davis."


def made(*events: tuple[int, int], chip: str = "") -> bytes:
    """AER-DAT 2.0 with the line of jAER that names the chip."""
    line = f"# AEChip: {chip}\r\n#Start of Preferences for this AEChip\r\n" if chip else ""
    return pairs2(*events).replace(LINES2, LINES2 + line.encode())


@pytest.mark.parametrize("chip", ["", DVS])
def test_a_dvs128_stands_as_jaer_shows_it_and_cifar10dvs_as_spikingjelly_turns_it(tmp_path: Path, chip: str) -> None:
    """At the address of jAER's lower left corner (x right, y up from it) the column is the first, the row the last."""
    rows = [(127 << 1 | 0 << 8, 9), (3 << 8 | 5 << 1 | 0, 10), (127 << 8 | 0 << 1 | 1, 11), (2**15, 12)]
    path = written(tmp_path, made(*rows, *[(2**31, 12)] * bool(chip), chip=chip))
    jaer = [(9, 0, 127, True), (10, 122, 124, True), (11, 127, 0, False)]
    for sensor in (DVS128, None):
        assert read_aedat(path, sensor).tolist() == read_aedat2(path, sensor).tolist() == jaer
        assert read_events(path, sensor, Reading(camera="dvs128")).tolist() == jaer
    assert read_cifar10dvs(path, DVS128).tolist() == [(9, 127, 0, True), (10, 124, 122, True), (11, 0, 127, False)]


@settings(deadline=None, max_examples=60)
@given(events=recordings())
def test_cifar10dvs_is_tonics_layout_turned(tmp_path_factory: pytest.TempPathFactory, events: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "round2.aedat"
    write_cifar10dvs(path, events)
    np.testing.assert_array_equal(read_cifar10dvs(path, DVS128), events)
    theirs = tonic_events(path, tonic.io.read_dvs_128)
    np.testing.assert_array_equal(theirs["t"], events["t"])
    np.testing.assert_array_equal(127 - theirs["x"], events["x"])
    np.testing.assert_array_equal(127 - theirs["y"], events["y"])
    np.testing.assert_array_equal(~theirs["p"], events["p"])


@settings(deadline=None, max_examples=60)
@given(events=recordings(max_x=239, max_y=139))
def test_a_davis_is_read_without_frames_and_inertial_rows(
    tmp_path_factory: pytest.TempPathFactory, events: np.ndarray
) -> None:
    """A DAVIS240 as it is stored; a DAVIS346 as tonic has it, which takes such rows for events."""
    rows = [(y << 22 | x << 12 | p << 11, t) for t, x, y, p in events.tolist()]
    path = tmp_path_factory.getbasetemp() / "davis.aedat"
    path.write_bytes(made(*rows, chip="eu.seebetter.ini.chips.davis.Davis346blue"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = tonic.io.read_davis_346(path)[2]
    ours = read_aedat(path, None)
    for name in "txyp":
        np.testing.assert_array_equal(ours[name], theirs[name])
    others = [(2**31 | address, time) for address, time in rows] + [(1 << 10, rows[-1][1]), (2**32 - 1, 2**32 - 1)]
    path.write_bytes(made(*rows, *others))
    np.testing.assert_array_equal(read_aedat(path, None, Reading(camera="davis346")), ours)
    np.testing.assert_array_equal(read_aedat(path, None, Reading(camera="davis240")), events)


@pytest.mark.parametrize(
    ("camera", "chips"),
    [
        ("dvs128", "ch.unizh.ini.caviar.chip.retina.Tmpdiff128 DVS128"),
        ("davis240", f"{DAVIS}DAVIS240A {DAVIS}DAVIS240B {DAVIS}DAVIS240C {DAVIS}DVS240 eu.seebetter.ini.SBret10"),
        ("davis346", f"{DAVIS}Davis346B {DAVIS}Davis346BColor {DAVIS}Davis346cBSI {DAVIS}Davis346mini davis346"),
    ],
)
def test_every_spelling_of_a_chip_is_its_camera(tmp_path: Path, camera: str, chips: str) -> None:
    for chip in chips.split():
        path = written(tmp_path, made((2, 1), chip=chip))
        events = read_aedat(path, None, Reading(camera=camera))
        np.testing.assert_array_equal(read_aedat(path, None), events)
        other = "dvs128" if camera != "dvs128" else "davis346"
        with pytest.raises(DataError, match=rf"made\.aedat names its chip .*{camera}, but data.camera is {other}"):
            read_aedat(path, None, Reading(camera=other))


@pytest.mark.parametrize(
    ("chip", "address", "camera", "fault"),
    [
        ("ch.unizh.ini.jaer.chip.cochlea.CochleaAMS1c", 3, None, "the chip CochleaAMS1c.*cochlea's recording is not a"),
        ("ch.unizh.ini.jaer.chip.retina.DVS640", 3, None, "the chip DVS640, not of one of dvs128, davis240, davis346"),
        ("eu.seebetter.ini.chips.davis.Davis640", 3, "davis346", "the chip Davis640, not"),
        ("ch.unizh.ini.jaer.chip.stereopsis.DVS128StereoPair", 3, None, "the chip DVS128StereoPair, not"),
        ("", 2**16, None, "does not name its camera.*set data.camera to one of dvs128, davis240, davis346"),
        ("", 2**16, "dvs128", "beyond 16 bits"),
        (DVS, 2**16, None, "beyond 16 bits"),
        (DAVIS + "DAVIS240C", 240 << 12, None, "x up to 240 and y up to 0, beyond the 240x180 pixels"),
        (DAVIS + "DAVIS240C", 180 << 22, None, "x up to 0 and y up to 180, beyond the 240x180"),
        ("", 260 << 22, "davis346", "y up to 260, beyond the 346x260 pixels of the camera davis346"),
    ],
)
def test_a_camera_that_is_not_certain_is_refused(
    tmp_path: Path, chip: str, address: int, camera: str | None, fault: str
) -> None:
    path = written(tmp_path, made((2, 1), (address, 2), chip=chip))
    with pytest.raises(DataError, match=rf"made\.aedat .*{fault}"):
        read_aedat(path, None, Reading(camera=camera))


def test_events_that_look_like_a_line_of_text_are_events(tmp_path: Path) -> None:
    """The first byte of a DAVIS's address can be a `#`; jAER writes it all the same."""
    for x in (7, ord("\n") << 4):
        address = ord("#") << 24 | x << 12
        path = written(tmp_path, made((address, 10), (address, 0x0A0A), chip=DAVIS + "DAVIS240C"))
        assert read_aedat(path, None).tolist() == [(10, x, 140, False), (0x0A0A, x, 140, False)]


def test_a_time_of_32_bits_that_is_full_goes_on(tmp_path: Path) -> None:
    times = [2**32 - 9, 2**32 - 1, 3, 2**31, 2**32 - 2, 4]
    events = read_aedat(written(tmp_path, pairs2(*[(2, time) for time in times])), None)
    assert events["t"].tolist() == [2**32 - 9, 2**32 - 1, 2**32 + 3, 2**32 + 2**31, 2**33 - 2, 2**33 + 4]
    with pytest.raises(DataError, match="back in time after event 0"):
        read_aedat(written(tmp_path, pairs2((2, 2**32 - 2**26 - 1), (2, 0))), None)


@pytest.mark.data
def test_real_recordings_are_read_by_the_bits_that_jaer_documents(shared: Path) -> None:
    for name, width, height, count in (
        ("dvs128/walking", 128, 128, 19182),
        ("dvs128/pencil", 128, 128, 126164),
        ("davis240c/boxes", 240, 180, 162771),
    ):
        path = shared / f"data/recordings/{name}.aedat"
        events = read_events(path, (width, height))
        rows = np.frombuffer(path.read_bytes()[-8 * 10_000 :], ">u4").reshape(-1, 2).astype(np.int64)
        address, time = rows[rows[:, 0] < 2**31].T
        if width == 128:
            x, y, p = 127 - (address >> 1 & 127), 127 - (address >> 8 & 127), address & 1 == 0
        else:
            x, y, p = address >> 12 & 1023, address >> 22 & 511, address >> 11 & 1
        assert len(events) == count
        for letter, column in {"t": time, "x": x, "y": y, "p": p}.items():
            np.testing.assert_array_equal(events[letter][-len(address) :], column)


def test_a_clock_that_lost_a_carry_is_sorted_stably(tmp_path: Path) -> None:
    times = np.r_[np.full(500, 30_000), np.full(500, 30_000 - 2**14), np.full(500, 30_000)]
    rows = [(number % 128 << 8, int(time)) for number, time in enumerate(times)]
    events = read_aedat2(written(tmp_path, pairs2(*rows)), DVS128)
    order = [*range(500, 1000), *range(500), *range(1000, 1500)]
    assert events["t"].tolist() == times[order].tolist()
    assert events["y"].tolist() == [127 - number % 128 for number in order]
    far = written(tmp_path, pairs2((2, 20_000), (4, 30_000), (6, 30_000 - 2**14 - 1)))
    with pytest.raises(DataError, match="back in time after event 1"):
        read_aedat2(far, DVS128)


BAD_FILES2 = {
    "empty": (b"", "start with"),
    "version_1": (LINES2.replace(b"2.0", b"1.0"), "start with"),
    "endless_line": (b"#!AER-DAT2.0", "inside its text header"),
    "no_events": (LINES2, "no events"),
    "truncated": (pairs2((0, 1))[:-1], "truncated"),
    "davis": (pairs2((0, 1), (2**16, 2)), "no DVS128's"),
}


test_bad_files_of_version_2_are_named_with_their_fault = refuses(read_aedat2, "made.aedat", BAD_FILES2)


@pytest.mark.parametrize(("field", "value"), [("x", 128), ("y", 128), ("x", -1), ("t", 2**32), ("t", -1)])
def test_cifar10dvs_refuses_what_it_cannot_hold(tmp_path: Path, field: str, value: int) -> None:
    events = random_events(1)
    events[field] = value
    with pytest.raises(DataError, match=r"no\.aedat"):
        write_cifar10dvs(tmp_path / "no.aedat", events)
    assert not list(tmp_path.iterdir())


def dv_events(path: Path) -> list[tuple[int, int, int, bool]]:
    """iniVation's own reader."""
    with LegacyAedatFile(str(path)) as file:
        return [(event.timestamp, event.x, event.y, bool(event.polarity)) for event in file]


@settings(deadline=None, max_examples=60)
@given(events=recordings(max_x=2**13 - 1, max_y=2**13 - 1, max_t=2**31 - 1))
def test_version_3_as_tonic_and_dv_read_it(tmp_path_factory: pytest.TempPathFactory, events: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "round3.aedat"
    write_aedat3(path, events)
    for read in (read_aedat3, read_aedat):
        np.testing.assert_array_equal(read(path, None), events)
    theirs = tonic_events(path, tonic.io.read_dvs_ibm)
    for name in ("t", "x", "y", "p"):
        np.testing.assert_array_equal(theirs[name], events[name])
    assert dv_events(path) == events.tolist()


def test_version_3_keeps_the_upper_bits_of_the_time_in_blocks_of_their_own(tmp_path: Path) -> None:
    events = random_events(9000, 2**15, 2**15, last=2**40)
    write_aedat3(tmp_path / "long.aedat", events)
    np.testing.assert_array_equal(read_aedat3(tmp_path / "long.aedat", None), events)
    late = np.array([(2**62, 2**15 - 1, 2**15 - 1, True)], dtype=EVENT_DTYPE)
    write_aedat3(tmp_path / "late.aedat", late)
    np.testing.assert_array_equal(read_aedat3(tmp_path / "late.aedat", None), late)


def test_version_3_counts_valid_polarity_events_only(tmp_path: Path) -> None:
    """Where tonic's reader differs: it would give seven events, with times below 2^31."""
    content = LINES3 + END3
    content += block([(polarity(1, 2, True), 5), (polarity(3, 4, False, valid=False), 6)])
    content += block([(0xFFFFFFFF, 1)] * 2, kind=0) + block([(9, 9)] * 3, kind=3, size=8)
    content += block([(polarity(127, 126, False), 7)], high=1, spare=2) + block([])
    path = written(tmp_path, content)
    assert read_aedat3(path, DVS128).tolist() == [(5, 1, 2, True), (2**31 + 7, 127, 126, False)]


def test_version_3_reads_events_that_look_like_text_after_the_end_of_the_header(tmp_path: Path) -> None:
    content = LINES3 + END3 + block([(1, 0)] * 35, kind=ord("#")) + block([(polarity(1, 2, True), 5)])
    assert read_aedat3(written(tmp_path, content), DVS128).tolist() == [(5, 1, 2, True)]


def test_version_3_is_sorted_where_the_clock_lost_a_carry(tmp_path: Path) -> None:
    rows = [(polarity(number, 0, True), time) for number, time in enumerate([20_000, 30_000, 13_616])]
    events = read_aedat3(written(tmp_path, LINES3 + END3 + block(rows[:2]) + block(rows[2:])), DVS128)
    assert events["x"].tolist() == [2, 0, 1]


ONE = LINES3 + END3 + block([(polarity(1, 2, True), 5)])
BAD_FILES3 = {
    "empty": (b"", "start with"),
    "version_2": (pairs2((0, 1)), "start with"),
    "no_events": (LINES3 + END3, "no events"),
    "invalid_events": (LINES3 + END3 + block([(polarity(1, 2, True, valid=False), 5)]), "no events"),
    "half_a_head": (ONE + b"\1\0\1\0", "inside the head"),
    "half_a_block": (ONE[:-1], "ends after the file"),
    "more_than_room": (ONE.replace(struct.pack("<III", 1, 1, 1), struct.pack("<III", 1, 2, 2)), "ends after the file"),
    "huge": (ONE.replace(struct.pack("<III", 1, 1, 1), b"\xff" * 12), "ends after the file"),
    "other_size": (LINES3 + END3 + block([(3, 4)] * 3, size=4), "of 4 bytes"),
    "late": (LINES3 + END3 + block([(polarity(1, 2, True), 5)], high=2**32 - 1), "outside 0"),
    "beyond": (LINES3 + END3 + block([(polarity(128, 2, True), 5)]), "beyond the 128x128 sensor"),
    "backwards": (LINES3 + END3 + block([(3, 20_000), (3, 3_615)]), "back in time after event 0"),
}


def test_version_3_believes_a_block_that_calls_all_its_events_valid(tmp_path: Path) -> None:
    rows = [(polarity(1, 2, True, valid=False), 5), (polarity(3, 4, False, valid=False), 6)]
    path = written(tmp_path, LINES3 + END3 + block(rows, valid=2))
    assert read_aedat3(path, (128, 128)).tolist() == [(5, 1, 2, True), (6, 3, 4, False)]


test_bad_files_of_version_3_are_named_with_their_fault = refuses(read_aedat3, "made.aedat", BAD_FILES3)


@pytest.mark.data
def test_two_real_recordings_have_tonics_pixels_times_and_polarities(shared: Path) -> None:
    """But for the turn of the picture, which has tests of its own; tonic's ON is jAER's OFF (deviation D-14)."""
    files = sorted((shared / "data/recordings/dvs128").glob("*.aedat"))
    assert len(files) == 2
    for file in files:
        events, theirs = read_aedat2(file, DVS128), tonic_events(file, tonic.io.read_dvs_128)
        assert len(events) > 19_000
        np.testing.assert_array_equal(events["t"], theirs["t"])
        np.testing.assert_array_equal(events["p"], ~theirs["p"])
        ours, pixels = [events["x"], events["y"]], [127 - theirs["x"], 127 - theirs["y"]]
        np.testing.assert_array_equal(np.sort(ours, axis=0), np.sort(pixels, axis=0))
