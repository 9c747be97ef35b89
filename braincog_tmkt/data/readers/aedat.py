"""The `.aedat` recordings: AER-DAT 2.0 of a DVS128 (CIFAR10-DVS) and AER-DAT 3.1 (DVS128 Gesture).

Both start with lines of text that begin with `#`; the first one names the version.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..types import EVENT_DTYPE
from .check import AGAIN, check_events, check_writable, read_bytes, write_bytes
from .reading import AS_STORED, Reading

VERSION_2, VERSION_3 = b"#!AER-DAT2", b"#!AER-DAT3"
DVS128 = 128
CLOCK = 2**14
"""A DVS128 counts microseconds in 14 bits, says libcaer's driver; a lost carry sets its clock back by at most this."""
ROW2 = np.dtype([("address", ">u4"), ("t", ">u4")])
ROW3 = np.dtype([("address", "<u4"), ("t", "<u4")])
BLOCK = struct.Struct("<HHIIIIII")
POLARITY_EVENT = 1
END_OF_HEADER = b"#!END-HEADER"
EXTERNAL = 2**15


def read_aedat(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read the version that the first line names, as `read_aedat2` or `read_aedat3` does."""
    content = read_bytes(path)
    return _events_of_3(content, path, sensor) if content.startswith(VERSION_3) else _events_of_2(content, path, sensor)


def read_aedat2(path: str | Path, sensor: tuple[int, int] | None) -> np.ndarray:
    """Read AER-DAT 2.0 of a DVS128: big-endian pairs of a 32-bit address and a 32-bit time in microseconds.

    Bits 1-7 and 8-14 of the address are the pixel, and bit 0 is clear for ON. An address with bit 15 set comes from the
    camera's plug, not from a pixel, and is left out. The picture is turned as SpikingJelly's `CIFAR10DVS` and the fork
    of tonic that BrainCog asks for turn it: x = 127 - bits 8-14, y = 127 - bits 1-7. The data set's authors point to
    `dat2mat.m`, which has x = 127 - bits 1-7, y = bits 8-14, ON where bit 0 is clear; tonic's `read_dvs_128` has
    x = bits 8-14, y = bits 1-7, ON where bit 0 is set (deviation D-14).

    Older cameras lose a carry of their clock now and then (iniVation's description of the format), so events that go
    back by no more than the clock's 2^14 microseconds are sorted, stably (deviation D-15).

    Arguments, result and errors are those of `readers.read_events`.
    Another version or camera is a DataError, too; without a sensor the bound is the chip's 128x128.
    """
    return _events_of_2(read_bytes(path), path, sensor)


def _events_of_2(content: bytes, path: str | Path, sensor: tuple[int, int] | None) -> np.ndarray:
    if not content.startswith(VERSION_2):
        raise DataError(f"{path} does not start with #!AER-DAT2.0: it is corrupt or of another format; {AGAIN}")
    data = memoryview(content)[_end_of_lines(content, path) :]
    if len(data) % ROW2.itemsize:
        raise DataError(f"{path} is truncated: its {len(data)} bytes of events are no multiple of 8; {AGAIN}")
    rows = np.frombuffer(data, dtype=ROW2)
    address = rows["address"].astype(np.uint32)
    if address.size and address.max() >= 2 * EXTERNAL:
        raise DataError(f"{path} has addresses beyond 16 bits: it is corrupt or not of a DVS128 camera; {AGAIN}")
    pixels = address < EXTERNAL
    address = address[pixels]
    events = np.empty(address.size, dtype=EVENT_DTYPE)
    events["t"] = rows["t"][pixels]
    events["x"], events["y"] = 127 - (address >> 8), 127 - (address >> 1 & 127)
    events["p"] = address & 1 == 0
    return _in_order(events, path, sensor)


def write_aedat2(path: str | Path, events: np.ndarray) -> None:
    """Write AER-DAT 2.0 of a DVS128, at most 128x128 pixels and 2^32 - 1 microseconds: the inverse of `read_aedat2`."""
    check_writable(events, path, DVS128, DVS128, last=2**32 - 1)
    x, y = events["x"].astype(np.uint32), events["y"].astype(np.uint32)
    rows = np.empty(events.size, dtype=ROW2)
    rows["address"] = (127 - x) << 8 | (127 - y) << 1 | ~events["p"]
    rows["t"] = events["t"]
    text = b"#!AER-DAT2.0\r\n# DVS128 events: int32 address, int32 timestamp (microseconds), big-endian\r\n"
    write_bytes(path, text + rows.tobytes())


def read_aedat3(path: str | Path, sensor: tuple[int, int] | None) -> np.ndarray:
    """Read AER-DAT 3.1: blocks of events, each with a head of 28 bytes; only valid polarity events count.

    An event is two little-endian 32-bit words: bits 17-31 x, 2-16 y, bit 1 ON, bit 0 valid; and the time in
    microseconds, whose upper bits stand in the head. tonic's `read_dvs_ibm` takes blocks of every kind as polarity
    events, counts events that are marked invalid, and leaves out the upper bits of the time; on files without these
    the two agree. Events that go back by at most 2^14 microseconds are sorted, as in `read_aedat2` (deviation D-15).

    Arguments, result and errors are those of `readers.read_events`.
    """
    return _events_of_3(read_bytes(path), path, sensor)


def _events_of_3(content: bytes, path: str | Path, sensor: tuple[int, int] | None) -> np.ndarray:
    if not content.startswith(VERSION_3):
        raise DataError(f"{path} does not start with #!AER-DAT3: it is corrupt or of another format; {AGAIN}")
    blocks = list(_blocks(content, _end_of_lines(content, path), path))
    rows = np.concatenate([np.empty(0, dtype=ROW3), *(rows for rows, _ in blocks)])
    high = np.repeat(np.array([high for _, high in blocks], dtype=np.int64), [len(rows) for rows, _ in blocks])
    address = rows["address"]
    events = np.empty(address.size, dtype=EVENT_DTYPE)
    events["t"] = high << 31 | rows["t"]
    events["x"], events["y"] = address >> 17, address >> 2 & 2**15 - 1
    events["p"] = address & 2 != 0
    return _in_order(events, path, sensor)


def write_aedat3(path: str | Path, events: np.ndarray) -> None:
    """Write AER-DAT 3.1 in blocks of 4,096 events, as jAER and cAER do."""
    check_writable(events, path, 2**15, 2**15)
    x, y = events["x"].astype(np.uint32), events["y"].astype(np.uint32)
    rows = np.empty(events.size, dtype=ROW3)
    rows["address"] = x << 17 | y << 2 | events["p"].astype(np.uint32) << 1 | 1
    rows["t"] = events["t"] & 2**31 - 1
    high = events["t"] >> 31
    starts = np.unique(np.concatenate([np.arange(0, events.size, 4096), np.flatnonzero(np.diff(high)) + 1]))
    parts = [b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"]
    for start, end in zip(starts, [*starts[1:], events.size], strict=True):
        count = int(end - start)
        head = BLOCK.pack(POLARITY_EVENT, 1, ROW3.itemsize, 4, int(high[start]), count, count, count)
        parts += [head, rows[start:end].tobytes()]
    write_bytes(path, b"".join(parts))


def _end_of_lines(content: bytes, path: str | Path) -> int:
    """Where the lines of text end and the events start."""
    position = 0
    while content[position : position + 1] == b"#":
        end = content.find(b"\n", position) + 1
        if not end:
            raise DataError(f"{path} ends inside its text header: it is truncated; {AGAIN}")
        last = content.startswith(END_OF_HEADER, position)
        position = end
        if last:
            break
    return position


def _blocks(content: bytes, position: int, path: str | Path) -> Iterator[tuple[np.ndarray, int]]:
    """The rows of each block of polarity events, and the upper bits of their times."""
    while position < len(content):
        if position + BLOCK.size > len(content):
            raise DataError(f"{path} is truncated: it ends inside the head of a block; {AGAIN}")
        kind, _, size, _, high, capacity, number, valid = BLOCK.unpack_from(content, position)
        position += BLOCK.size
        if position + size * capacity > len(content) or number > capacity:
            raise DataError(f"{path} is truncated: a block of {capacity} events ends after the file does; {AGAIN}")
        if kind == POLARITY_EVENT and number:
            if size != ROW3.itemsize:
                raise DataError(f"{path} has polarity events of {size} bytes instead of 8: it is corrupt; {AGAIN}")
            rows = np.frombuffer(content, dtype=ROW3, count=number, offset=position)
            # Other readers ignore the mark; so does this one where the block itself says that all its events are valid.
            yield (rows if valid == number else rows[rows["address"] & 1 == 1]), high
        position += size * capacity


def _in_order(events: np.ndarray, path: str | Path, sensor: tuple[int, int] | None) -> np.ndarray:
    """The checked events, sorted by time where the clock of a DVS128 went back (deviation D-15)."""
    back = events["t"][:-1] - events["t"][1:]
    if back.size and 0 < back.max() <= CLOCK:
        events = events[np.argsort(events["t"], kind="stable")]
    check_events(events, path, sensor)
    return events
