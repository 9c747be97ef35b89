"""The AEDAT4 reader and writer against `aedat`, tonic and iniVation's `dv`, all three of which read the format."""

import tracemalloc
import warnings
from pathlib import Path

import aedat as native
import lz4.frame
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings

from braincog_tmkt.data.readers.aedat4 import read_aedat4, write_aedat4
from braincog_tmkt.data.types import EVENT_DTYPE
from braincog_tmkt.errors import DataError
from tests.data.corpus import EVENT_STREAM, aedat4, description, event_packet, random_events, recordings, refuses

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from dv import AedatFile
    from dv.fb.FileDataTable import FileDataTable
    from dv.fb.IOHeader import IOHeader
    from tonic.io import read_aedat4 as tonic_aedat4

SENSOR = (346, 260)
PACKERS = {"none": (0, bytes), "lz4": (1, lz4.frame.compress), "zstd": (3, zstandard.compress)}


def native_events(path: Path) -> np.ndarray:
    """What tonic reads, which is what `aedat` decodes of the lowest event stream."""
    events = tonic_aedat4(str(path))
    out = np.empty(len(events), dtype=EVENT_DTYPE)
    for ours, theirs in zip(("t", "x", "y", "p"), ("t", "x", "y", "on"), strict=True):
        out[ours] = events[theirs]
    return out


def dv_events(path: Path, stream: str = "events") -> np.ndarray:
    """What BrainCog reads."""
    rows = [(event.timestamp, event.x, event.y, event.polarity) for event in AedatFile(str(path))[stream]]
    return np.array(rows, dtype=EVENT_DTYPE)


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "sensor", "count", "first"),
    [
        ("sample.aedat4", (320, 240), 111_954, 1605537493718345),
        ("recordings/other/davis346.aedat4", (346, 260), 319_512, 1643243628737093),  # with frames, IMU and triggers
    ],
)
def test_equal_to_tonic_aedat_and_dv_on_real_recordings(
    shared: Path, tmp_path: Path, file: str, sensor: tuple[int, int], count: int, first: int
) -> None:
    path = shared / "data" / file
    events = read_aedat4(path, sensor)
    assert (len(events), events["t"][0]) == (count, first)
    np.testing.assert_array_equal(events, native_events(path))
    np.testing.assert_array_equal(events, dv_events(path))
    write_aedat4(tmp_path / "copy.aedat4", events, sensor)
    np.testing.assert_array_equal(read_aedat4(tmp_path / "copy.aedat4", sensor), events)
    np.testing.assert_array_equal(native_events(tmp_path / "copy.aedat4"), events)


@settings(deadline=None, max_examples=60)
@given(events=recordings(max_x=345, max_y=259, max_t=2**62))
def test_all_readers_read_what_is_written(tmp_path_factory: pytest.TempPathFactory, events: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "round.aedat4"
    write_aedat4(path, events, SENSOR)
    for read in (
        native_events,
        dv_events,
        lambda path: read_aedat4(path, SENSOR),
        lambda path: read_aedat4(path, None),
    ):
        np.testing.assert_array_equal(read(path), events)
    assert native.Decoder(str(path)).id_to_stream() == {0: {"type": "events", "width": 346, "height": 260}}


def packet_table(content: bytes, position: int) -> list[tuple[int, ...]]:
    """The table at the end of a file, read by iniVation's own generated code."""
    unpacked = lz4.frame.decompress(content[position:])
    assert unpacked[8:12] == b"FTAB"
    assert int.from_bytes(unpacked[:4], "little") == len(unpacked) - 4
    table = FileDataTable.GetRootAsFileDataTable(unpacked, 4)
    entries = [table.Table(number) for number in range(table.TableLength())]
    return [
        (
            entry.ByteOffset(),
            entry.PacketInfo().StreamID(),
            entry.PacketInfo().Size(),
            entry.NumElements(),
            entry.TimestampStart(),
            entry.TimestampEnd(),
        )
        for entry in entries
    ]


def table_position(content: bytes) -> int:
    return int(IOHeader.GetRootAsIOHeader(content[18:], 0).DataTablePosition())


@pytest.mark.parametrize("count", [1, 8192, 20_000, 30_000])
def test_the_table_at_the_end_says_where_the_packets_are(tmp_path: Path, count: int) -> None:
    path, events = tmp_path / "long.aedat4", random_events(count)
    write_aedat4(path, events, SENSOR)
    content = path.read_bytes()
    end = table_position(content)
    start = 0
    for place, stream, size, elements, first, last in packet_table(content, end):
        assert int.from_bytes(content[place - 4 : place], "little") == size
        part = events[start : start + elements]
        assert (stream, first, last) == (0, part["t"][0], part["t"][-1])
        start += elements
    assert start == count
    assert place + size == end
    np.testing.assert_array_equal(read_aedat4(path, SENSOR), events)


def test_a_file_that_ends_after_any_packet_but_the_last_is_refused(tmp_path: Path) -> None:
    path, cut = tmp_path / "whole.aedat4", tmp_path / "cut.aedat4"
    write_aedat4(path, random_events(20_000), SENSOR)
    content = path.read_bytes()
    for place, _, size, *_ in packet_table(content, table_position(content))[:-1]:
        cut.write_bytes(content[: place + size])
        with pytest.raises(DataError, match=r"cut\.aedat4.*ends before the position"):
            read_aedat4(cut, SENSOR)


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("table", [b"", b"a table at the end"], ids=["cut_off", "table"])
def test_every_compression_as_aedat_reads_it(tmp_path: Path, packer: str, table: bytes) -> None:
    compression, pack = PACKERS[packer]
    events = random_events(100)
    packets = [(0, event_packet(events[start : start + 30])) for start in range(0, 100, 30)]
    path = tmp_path / "made.aedat4"
    path.write_bytes(aedat4(packets, compression, pack, table=table))
    np.testing.assert_array_equal(native_events(path), events)
    np.testing.assert_array_equal(read_aedat4(path, SENSOR), events)


def test_the_lowest_event_stream_counts_and_other_streams_are_passed_over(tmp_path: Path) -> None:
    ours, other = random_events(10, seed=1), random_events(10, seed=2)
    path = tmp_path / "streams.aedat4"
    packets = [(7, event_packet(other)), (5, b"no flatbuffer"), (3, event_packet(ours)), (7, event_packet(other))]
    path.write_bytes(aedat4(packets, xml=description({7: "EVTS", 5: "IMUS", 3: "EVTS", 1: "FRME"})))
    np.testing.assert_array_equal(read_aedat4(path, SENSOR), ours)
    np.testing.assert_array_equal(dv_events(path, "stream3"), ours)


def test_a_packet_without_events_adds_none(tmp_path: Path) -> None:
    events = random_events(10)
    path = tmp_path / "empty_packet.aedat4"
    path.write_bytes(aedat4([(0, event_packet(events[:0])), (0, event_packet(events))]))
    np.testing.assert_array_equal(read_aedat4(path, SENSOR), events)


def changed(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new, 1)


def good(**options: object) -> bytes:
    return aedat4([(0, event_packet(random_events(20)))], **options)


BAD_FILES = {
    "empty": (lambda: b"", "start with"),
    "other_version": (lambda: changed(good(), b"DAT4.0", b"DAT3.1"), "start with"),
    "only_magic": (lambda: b"#!AER-DAT4.0\r\n", "unpack"),
    "endless_header": (lambda: b"#!AER-DAT4.0\r\n" + b"\xff" * 4 + b"\0" * 100, "longer than the file"),
    "no_packets": (lambda: aedat4([]), "no events"),
    "no_event_stream": (lambda: good(xml=description({0: "IMUS"})), "no stream of events"),
    "no_xml": (lambda: good(xml="hello"), "syntax error"),
    "entities": (lambda: good(xml='<!DOCTYPE dv [<!ENTITY a "b">]>' + description(EVENT_STREAM)), "XML of a recording"),
    "deep_xml": (lambda: good(xml="<a>" * 100_000), "AEDAT4"),
    "cut_off": (lambda: good()[:-5], "cut off"),
    "before_its_table": (lambda: good(table=b"table")[:-10], "before the position"),
    "strange_compression": (lambda: good(compression=9), "compression 9 is unknown"),
    "no_lz4": (lambda: good(compression=1), "AEDAT4"),
    "no_zstd": (lambda: good(compression=4), "AEDAT4"),
    "half_lz4": (lambda: good(compression=1, pack=lambda packet: lz4.frame.compress(packet)[:-20]), "cut off"),
    "half_zstd": (lambda: good(compression=3, pack=lambda packet: zstandard.compress(packet)[:-20]), "AEDAT4"),
    "other_content": (lambda: changed(good(), b"\0\0EVTS", b"\0\0FRME"), "holds something else"),
    "negative": (lambda: aedat4([(0, event_packet(np.array([(0, -1, 0, 1)], dtype=EVENT_DTYPE)))]), "negative"),
    "early": (lambda: aedat4([(0, event_packet(np.array([(-1, 0, 0, 1)], dtype=EVENT_DTYPE)))]), "outside 0"),
    "late": (lambda: aedat4([(0, event_packet(np.array([(2**62 + 1, 0, 0, 1)], dtype=EVENT_DTYPE)))]), "outside 0"),
    "backwards": (lambda: aedat4([(0, event_packet(random_events(9)))] * 2), "back in time after event 8"),
}


test_bad_files_are_named_with_their_fault = refuses(lambda path, _: read_aedat4(path, None), "made.aedat4", BAD_FILES)


def test_a_vector_longer_than_its_packet_is_refused(tmp_path: Path) -> None:
    packet = event_packet(random_events(20))
    length = packet.index(b"\x14\0\0\0", 12)
    path = tmp_path / "claims.aedat4"
    path.write_bytes(aedat4([(0, packet[:length] + b"\x15\0\0\0" + packet[length + 4 :])]))
    with pytest.raises(DataError, match="claims more events than it has"):
        read_aedat4(path, None)


@pytest.mark.parametrize("packer", ["lz4", "zstd"])
def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path, packer: str) -> None:
    compression, pack = PACKERS[packer]
    path = tmp_path / "bomb.aedat4"
    path.write_bytes(aedat4([(0, b"\0" * 300_000_000)], compression, pack))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"bomb\.aedat4.*unpacks to more than events can"):
            read_aedat4(path, None)
        assert tracemalloc.get_traced_memory()[1] < 250_000_000
    finally:
        tracemalloc.stop()


def test_a_bomb_of_many_packets_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.aedat4"
    write_aedat4(path, np.zeros(4_000_000, dtype=EVENT_DTYPE), SENSOR)
    assert path.stat().st_size < 350_000
    with pytest.raises(DataError, match=r"bomb\.aedat4.*unpacks to more than events can"):
        read_aedat4(path, None)


def test_events_beyond_the_sensor_are_neither_read_nor_written(tmp_path: Path) -> None:
    events = random_events(50)
    with pytest.raises(DataError, match=r"no\.aedat4 lie beyond 100x128"):
        write_aedat4(tmp_path / "no.aedat4", events, (100, 128))
    with pytest.raises(DataError, match=r"no\.aedat4.*not sorted"):
        write_aedat4(tmp_path / "no.aedat4", events[::-1], SENSOR)
    assert not list(tmp_path.iterdir())
    write_aedat4(tmp_path / "yes.aedat4", events, SENSOR)
    with pytest.raises(DataError, match="beyond the 100x128 sensor"):
        read_aedat4(tmp_path / "yes.aedat4", (100, 128))
