"""AEDAT 4 recordings (iniVation DV), as N-Omniglot ships them.

A file is a line `#!AER-DAT4.0`, a header (a flatbuffer `IOHE`: compression, position of a table at the end, a
description in XML) and packets: stream, length, content. The content is a flatbuffer, compressed; one of events
(`EVTS`) is a vector of 16 bytes an event.

PyPI `aedat` reads this format too, and the tests hold this reader equal to it, to `dv` and to tonic. It is not used
here because a damaged header can abort the whole process in it (4 of 5,000 fuzzed files do), and because it unpacks
without a limit.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import lz4.frame
import numpy as np
import zstandard

from ..types import EVENT_DTYPE
from .check import MAX_EVENTS, check_events, check_writable, damage_named, read_bytes, unpacked_limit, write_bytes
from .reading import AS_STORED, Reading

MAGIC = b"#!AER-DAT4.0\r\n"
HEADER_LIMIT = 2**20
PACKET_EVENTS = 8192
CHUNK = 2**20
ROW = np.dtype({"names": ["t", "x", "y", "p"], "formats": ["<i8", "<i2", "<i2", "u1"], "itemsize": 16})
ENTRY = np.dtype(
    [("fields", "<i4"), ("stream", "<i4"), ("size", "<i4"), ("gap", "<i4")]
    + [(name, "<i8") for name in ("place", "events", "first", "last")]
)

DESCRIPTION = """<dv version="2.0">
  <node name="outInfo" path="/mainloop/output/outInfo/">
    <node name="0" path="/mainloop/output/outInfo/0/">
      <attr key="compression" type="string">LZ4</attr>
      <attr key="originalModuleName" type="string">capture</attr>
      <attr key="originalOutputName" type="string">events</attr>
      <attr key="typeDescription" type="string">Array of events (polarity ON/OFF).</attr>
      <attr key="typeIdentifier" type="string">EVTS</attr>
      <node name="info" path="/mainloop/output/outInfo/0/info/">
        <attr key="sizeX" type="int">{width}</attr>
        <attr key="sizeY" type="int">{height}</attr>
        <attr key="source" type="string">braincog_tmkt</attr>
        <attr key="tsOffset" type="long">0</attr>
      </node>
    </node>
  </node>
</dv>
"""


def read_aedat4(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read the event stream with the lowest number, as tonic's `read_aedat4` does.

    Packets are uncompressed, LZ4 or Zstandard; times stay as written, often microseconds since 1970.
    Arguments, result and errors are those of `readers.read_events`.
    """
    with damage_named(path, "AEDAT4 recording"):
        rows = _read_rows(read_bytes(path))
    events = np.empty(rows.size, dtype=EVENT_DTYPE)
    for name in ("t", "x", "y"):
        events[name] = rows[name]
    events["p"] = rows["p"] != 0
    check_events(events, path, sensor)
    return events


def write_aedat4(path: str | Path, events: np.ndarray, sensor: tuple[int, int]) -> None:
    """Write one event stream in LZ4 packets and the table of them, as DV records.

    The `sensor`, width and height in pixels, goes into the header; events beyond it are a DataError.
    """
    check_writable(events, path, *sensor)
    rows = np.zeros(events.size, dtype=ROW)
    for name in ("t", "x", "y", "p"):
        rows[name] = events[name]
    description = DESCRIPTION.format(width=sensor[0], height=sensor[1]).encode()
    position = len(MAGIC) + 4 + len(_header(0, description))
    packets: list[bytes] = []
    entries: list[tuple[int, ...]] = []
    for start in range(0, rows.size, PACKET_EVENTS):
        some = rows[start : start + PACKET_EVENTS]
        # size, root, EVTS, field offsets | table: vector, its length
        frame = struct.pack("<II4s3H2xiII", 28 + some.nbytes, 16, b"EVTS", 6, 8, 4, 8, 4, some.size) + some.tobytes()
        packed = lz4.frame.compress(frame)
        packets += [struct.pack("<II", 0, len(packed)), packed]
        entries.append((0, 0, len(packed), 0, position + 8, some.size, int(some["t"][0]), int(some["t"][-1])))
        position += 8 + len(packed)
    header = _header(position, description)
    parts = [MAGIC, struct.pack("<I", len(header)), header, *packets, lz4.frame.compress(_table(entries))]
    write_bytes(path, b"".join(parts))


def _header(table: int, description: bytes) -> bytes:
    """The flatbuffer `IOHE`: root and field offsets | position of the table, compression (LZ4), description."""
    head = struct.pack("<I4s5H2x", 20, b"IOHE", 10, 20, 12, 4, 16)
    return head + struct.pack("<iqiII", 12, table, 1, 4, len(description)) + description + b"\0"


def _table(entries: list[tuple[int, ...]]) -> bytes:
    """The flatbuffer `FTAB` behind its size: where each packet lies and which times it has.

    The first number of each of the `entries` (rows of `ENTRY`) is set here.
    """
    count = len(entries)
    fields = 32 + 4 * count  # behind the vector of offsets lie the field offsets that all entries share
    start = fields + 14 + (-(fields + 14)) % 8
    table = np.array(entries, dtype=ENTRY)
    places = start + ENTRY.itemsize * np.arange(count)
    table["fields"] = places - fields
    size = start + table.nbytes - 4
    head = struct.pack("<II4s3H2xiII", size, 16, b"FTAB", 6, 8, 4, 8, 4, count)
    offsets = (places - 32 - 4 * np.arange(count)).astype("<u4").tobytes()
    shared = struct.pack("<7H", 14, ENTRY.itemsize, 16, 4, 24, 32, 40)
    return (head + offsets + shared).ljust(start, b"\0") + table.tobytes()


def _read_rows(content: bytes) -> np.ndarray:
    """All events of the first event stream `[N]` of `ROW`."""
    compression, end, stream, start = _read_header(content)
    allowed = min(unpacked_limit(len(content)), MAX_EVENTS * ROW.itemsize)
    rows = [np.empty(0, dtype=ROW)]
    for packet in _packets(content, start, end, stream):
        unpacked = _unpack(packet, compression, allowed)
        allowed -= len(unpacked)
        rows.append(_packet_rows(unpacked))
    return np.concatenate(rows)


def _read_header(content: bytes) -> tuple[int, int, int, int]:
    """Compression, end of the packets, number of the event stream, start of the packets."""
    if not content.startswith(MAGIC):
        raise ValueError("it does not start with #!AER-DAT4.0")
    (length,) = struct.unpack_from("<I", content, len(MAGIC))
    start = len(MAGIC) + 4 + length
    if length > HEADER_LIMIT or start > len(content):
        raise ValueError("its header is longer than the file or a header can be")
    header = content[len(MAGIC) + 4 : start]
    compression, position, text = (_field(header, 0, number) for number in range(3))
    table = _at("<q", header, position) if position else -1
    if table > len(content) or 0 < table < start:
        raise ValueError("it ends before the position that its header names")
    if not text:
        raise ValueError("its header describes no streams")
    text += _at("<I", header, text)
    size = _at("<I", header, text)
    description = header[text + 4 : text + 4 + size]
    end = table if table > 0 else len(content)  # a recording that was cut off has no table
    return _at("<i", header, compression) if compression else 0, end, _event_stream(description), start


def _event_stream(description: bytes) -> int:
    """The lowest number of an event stream in the XML description."""
    if b"<!DOCTYPE" in description:  # entities could make it grow without end
        raise ValueError("its description is not the XML of a recording")
    streams = ElementTree.fromstring(description).findall("./node[@name='outInfo']/node")
    kinds = {int(node.get("name", "")): node.findtext("attr[@key='typeIdentifier']") for node in streams}
    numbers = [number for number, kind in kinds.items() if kind == "EVTS"]
    if not numbers:
        raise ValueError("it has no stream of events")
    return min(numbers)


def _packets(content: bytes, start: int, end: int, stream: int) -> Iterator[memoryview]:
    """The packets of one stream, as they lie in the file."""
    view = memoryview(content)[:end]
    while start < end:
        number, length = struct.unpack_from("<II", view, start)
        start += 8 + length
        if start > end:
            raise ValueError("its last packet is cut off")
        if number == stream:
            yield view[start - length : start]


def _unpack(packet: memoryview, compression: int, allowed: int) -> bytes | memoryview:
    """The content of a packet, refused if it is longer than `allowed`."""
    if compression == 0:
        return packet
    if compression not in (1, 2, 3, 4):
        raise ValueError(f"compression {compression} is unknown")
    pieces, total = [], 0
    for piece in _unpack_lz4(packet) if compression < 3 else _unpack_zstd(packet):
        pieces.append(piece)
        total += len(piece)
        if total > allowed:
            raise ValueError("it unpacks to more than events can")
    return b"".join(pieces)


def _unpack_lz4(packet: memoryview) -> Iterator[bytes]:
    decoder = lz4.frame.LZ4FrameDecompressor()
    yield decoder.decompress(packet, CHUNK)
    while not decoder.eof:
        piece = decoder.decompress(b"", CHUNK)
        if not piece and not decoder.eof:
            raise ValueError("a packet of it is cut off")
        yield piece


def _unpack_zstd(packet: memoryview) -> Iterator[bytes]:
    reader = zstandard.ZstdDecompressor(max_window_size=2**26).stream_reader(packet)
    while piece := reader.read(CHUNK):
        yield piece


def _packet_rows(packet: bytes | memoryview) -> np.ndarray:
    """The events of one unpacked packet: a flatbuffer `EVTS` behind its size."""
    if bytes(packet[8:12]) != b"EVTS":
        raise ValueError("a packet of its event stream holds something else")
    vector = _field(packet, 4, 0)
    if not vector:
        return np.empty(0, dtype=ROW)
    vector += _at("<I", packet, vector)
    count = _at("<I", packet, vector)
    if vector + 4 + count * ROW.itemsize > len(packet):
        raise ValueError("a packet of it claims more events than it has")
    return np.frombuffer(packet, dtype=ROW, count=count, offset=vector + 4)


def _field(buffer: bytes | memoryview, root: int, number: int) -> int:
    """Where a field of a flatbuffer's root table lies; 0 if it is left out."""
    table = root + _at("<I", buffer, root)
    offsets = table - _at("<i", buffer, table)
    slot = 4 + 2 * number
    offset = _at("<H", buffer, offsets + slot) if slot < _at("<H", buffer, offsets) else 0
    return table + offset if offset else 0


def _at(form: str, buffer: bytes | memoryview, offset: int) -> int:
    """One number; a place outside the buffer is a `struct.error`, also before its start."""
    if offset < 0:
        raise struct.error("an offset points before the start")
    return struct.unpack_from(form, buffer, offset)[0]
