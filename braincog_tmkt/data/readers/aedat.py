"""The `.aedat` recordings: AER-DAT 2.0 of a DVS128, DAVIS240 or DAVIS346, and AER-DAT 3.1 (DVS128 Gesture).

Both start with lines of text that begin with `#`; the first one names the version.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import DataError
from ...jit import compiled
from ..types import EVENT_DTYPE
from .check import AGAIN, check_events, check_writable, read_bytes, write_bytes
from .reading import AS_STORED, CAMERAS, Reading

VERSION_2, VERSION_3 = b"#!AER-DAT2", b"#!AER-DAT3"
CLOCK = 2**14
"""A DVS128 counts microseconds in 14 bits, says libcaer's driver; a lost carry sets its clock back by at most this."""
PAUSE = 2**26
"""A 32-bit time that falls is a counter that started again if less than these 67 seconds lie between the events."""
ROW2 = np.dtype([("address", ">u4"), ("t", ">u4")])
ROW3 = np.dtype([("address", "<u4"), ("t", "<u4")])
BLOCK = struct.Struct("<HHIIIIII")
POLARITY_EVENT = 1
END_OF_HEADER = b"#!END-HEADER"
EXTERNAL = 2**15


class Camera(NamedTuple):
    """How AER-DAT 2.0 stores the events of a camera.

    Args:
        chips: what jAER calls its chips, as a regular expression for names in lower case.
        size: width and height in pixels.
        x: lowest bit of the column, and its largest number.
        y: lowest bit of the row, and its largest number.
        p: bit of the polarity, and what it is for ON.
        others: bits of which one is set where a row is no event of a pixel.
        never: bits that are set in no row; another camera wrote the file where one is.
        half_turn: whether the picture is stored upside down, so that columns and rows count from the last one.
    """

    chips: str
    size: tuple[int, int]
    x: tuple[int, int]
    y: tuple[int, int]
    p: tuple[int, int]
    others: int
    never: int
    half_turn: bool


DVS128 = Camera("dvs128|tmpdiff128", (128, 128), (1, 127), (8, 127), (0, 0), 1 << 31 | EXTERNAL, 0x7FFF0000, True)
DAVIS240 = Camera(
    r"(davis|dvs)240\w*|sbret[12]0|sbret21", (240, 180), (12, 1023), (22, 511), (11, 1), 1 << 31 | 1 << 10, 0, False
)
CODES = {
    "dvs128": DVS128,
    "davis240": DAVIS240,
    "davis346": DAVIS240._replace(chips=r"davis346\w*", size=(346, 260), half_turn=True),
}


def read_aedat(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read the version that the first line names, as `read_aedat2` or `read_aedat3` does."""
    content = read_bytes(path)
    if content.startswith(VERSION_3):
        return _events_of_3(content, path, sensor)
    return _events_of_2(content, path, sensor, reading)


def read_aedat2(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read AER-DAT 2.0 as jAER does: big-endian pairs of a 32-bit address and a 32-bit time in microseconds.

    The line `# AEChip:` of the header names the chip, or else `data.camera` the camera. Without both, addresses of at
    most 16 bits are a DVS128's.

    - DVS128: x = 127 - bits 1-7, y = 127 - bits 8-14, ON where bit 0 is clear, upright as jAER shows it. Rows with bit
      15 set come from the camera's plug.
    - DAVIS240: x = bits 12-21, y = bits 22-30, ON where bit 11 is set. Rows with bit 31 set are frames or the inertial
      sensor, rows with bit 10 set come from the plug. jAER shows this by half a turn: `data.turn: [flip_x, flip_y]`.
    - DAVIS346: the same bits, but x = 345 - bits 12-21, y = 259 - bits 22-30, as jAER shows it and tonic's
      `read_davis_346` has it.

    CIFAR10-DVS has an orientation of its own, see `read_cifar10dvs` and deviation D-14.

    Older cameras lose a carry of their clock now and then (iniVation's description of the format), so events that go
    back by no more than the clock's 2^14 microseconds are sorted, stably (deviation D-15). Where the 32 bits of the
    time are full, after 71 minutes, they start again from 0, and the times go on.

    Arguments, result and errors are those of `readers.read_events`.
    Another version, a camera that is not known, and one that `data.camera` contradicts, are a DataError, too; without a
    sensor the bound is the chip's size.
    """
    return _events_of_2(read_bytes(path), path, sensor, reading)


def _events_of_2(content: bytes, path: str | Path, sensor: tuple[int, int] | None, reading: Reading) -> np.ndarray:
    header, rows = _rows_of_2(content, path)
    return _decoded(rows, _camera(header, rows, path, reading), path, sensor)


def _rows_of_2(content: bytes, path: str | Path) -> tuple[bytes, np.ndarray]:
    """The lines of text, and the rows `[N]` of `ROW2`."""
    if not content.startswith(VERSION_2):
        raise DataError(
            f"{path} does not start with #!AER-DAT2.0 or #!AER-DAT3.1: it is corrupt, or of another format or version,"
            " which jAER may convert"
        )
    start = _end_of_lines(content, path)
    data = memoryview(content)[start:]
    if len(data) % ROW2.itemsize:
        raise DataError(f"{path} is truncated: its {len(data)} bytes of events are no multiple of 8; {AGAIN}")
    return content[:start], np.frombuffer(data, dtype=ROW2)


def _camera(header: bytes, rows: np.ndarray, path: str | Path, reading: Reading) -> str:
    """Which of `CODES` wrote the file."""
    line = re.search(rb"^#\s*AEChip:\s*([\w.$]{1,200})", header, re.MULTILINE)
    if not line:
        if reading.camera is None and rows["address"].max(initial=0) >= 2 * EXTERNAL:
            raise DataError(
                f"{path} does not name its camera, and its addresses are no DVS128's: set data.camera to one of"
                f" {', '.join(CAMERAS)}"
            )
        return reading.camera or "dvs128"
    chip = line[1].decode("latin-1").rpartition(".")[2]
    name = next((name for name, camera in CODES.items() if re.fullmatch(camera.chips, chip.lower())), None)
    if name is None:
        ear = "a cochlea's recording is not a camera's" if re.search("cochlea|das1", chip.lower()) else "it is not read"
        raise DataError(f"{path} is of the chip {chip}, not of one of {', '.join(CAMERAS)}: {ear}; remove the file")
    if reading.camera not in (None, name):
        raise DataError(
            f"{path} names its chip {chip}, which is {name}, but data.camera is {reading.camera}: correct"
            " data.camera, or"
            " leave it out"
        )
    return name


def _decoded(rows: np.ndarray, name: str, path: str | Path, sensor: tuple[int, int] | None) -> np.ndarray:
    """The events of the camera's pixels."""
    camera = CODES[name]
    words = rows.view(">u4").reshape(-1, 2).astype(np.uint32)
    if np.bitwise_or.reduce(words[:, 0]) & camera.never:
        raise DataError(f"{path} has addresses beyond 16 bits: it is corrupt or not of a DVS128 camera; {AGAIN}")
    events = np.empty(len(words), dtype=EVENT_DTYPE)
    count, right, bottom, falls = _unpack(words, *(events[letter] for letter in "txyp"), camera[1:])
    if right >= camera.size[0] or bottom >= camera.size[1]:
        raise DataError(
            f"{path} has x up to {right} and y up to {bottom}, beyond the {camera.size[0]}x{camera.size[1]} pixels of"
            f" the camera {name}: it is corrupt, or of another camera"
        )
    events = events[:count]
    if falls:
        events["t"] = _unfolded(events["t"])
        return _in_order(events, path, sensor)
    check_events(events, path, sensor)
    return events


@compiled
def _unpack(words, t, x, y, p, code):  # type: ignore[no-untyped-def]
    """Fill the columns with the events of pixels.

    Returns how many they are, their largest column and row as stored, and whether a time is less than the one before.
    """
    (width, height), (x_bit, x_most), (y_bit, y_most), (p_bit, on), others, _, half_turn = code
    count, right, bottom, falls = 0, -1, -1, False
    for row in range(len(words)):
        address = np.int64(words[row, 0])
        if address & others:
            continue
        column, line = address >> x_bit & x_most, address >> y_bit & y_most
        right, bottom = max(right, column), max(bottom, line)
        t[count] = words[row, 1]
        falls = falls or (count > 0 and t[count] < t[count - 1])
        x[count] = width - 1 - column if half_turn else column
        y[count] = height - 1 - line if half_turn else line
        p[count] = address >> p_bit & 1 == on
        count += 1
    return count, right, bottom, falls


def _unfolded(t: np.ndarray) -> np.ndarray:
    """The times of a counter that starts from 0 again whenever its 32 bits are full."""
    restarts = np.diff(t) < PAUSE - 2**32
    if restarts.any():
        t[1:] += 2**32 * np.cumsum(restarts)
    return t


def read_cifar10dvs(path: str | Path, sensor: tuple[int, int] | None) -> np.ndarray:
    """Read a recording of CIFAR10-DVS: `read_aedat2` of a DVS128 with x and y exchanged, whatever its header says.

    This is how SpikingJelly's `CIFAR10DVS` and the fork of tonic that BrainCog asks for turn the picture:
    x = 127 - bits 8-14, y = 127 - bits 1-7. The data set's authors point to `dat2mat.m`, which has x = 127 - bits 1-7,
    y = bits 8-14, ON where bit 0 is clear; tonic's `read_dvs_128` has x = bits 8-14, y = bits 1-7, ON where bit 0 is
    set (deviation D-14).

    Arguments, result and errors are those of `read_aedat2`.
    """
    _, rows = _rows_of_2(read_bytes(path), path)
    events = _decoded(rows, "dvs128", path, sensor and sensor[::-1])
    events["x"], events["y"] = events["y"].copy(), events["x"].copy()
    return events


def write_cifar10dvs(path: str | Path, events: np.ndarray) -> None:
    """Write AER-DAT 2.0, at most 128x128 pixels and 2^32 - 1 microseconds: the inverse of `read_cifar10dvs`."""
    check_writable(events, path, *DVS128.size, last=2**32 - 1)
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
    """Where the lines of text end and the events start.

    Without a last line that says so, events may begin with the `#` of a line, but have a NUL byte soon after it.
    """
    ending = rb"\r\n" if content[: content.find(b"\n") + 1].endswith(b"\r\n") else rb"\n"
    lines = re.match(rb"(?:(?!%b)#[^\n\0]*%b)*+(%b[^\n\0]*\n)?" % (END_OF_HEADER, ending, END_OF_HEADER), content)
    end = lines.end() if lines else 0
    if lines and lines[1] is None and content.startswith(b"#", end) and b"\0" not in content[end:]:
        raise DataError(f"{path} ends inside its text header: it is truncated; {AGAIN}")
    return end


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
