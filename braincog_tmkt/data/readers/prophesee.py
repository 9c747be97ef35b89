"""The recordings of Prophesee's cameras: `.raw` (EVT 2.0, 2.1, 3.0; see `evt`) and `.dat` (decoded events).

Both begin with lines of text that start with `% `. `.dat` is decoded here, too: expelliarmus adds 71 minutes wherever a
time is earlier than the one before, be it by a microsecond.
"""

import re
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...jit import compiled
from ..types import EVENT_DTYPE
from .check import AGAIN, check_events, damage_named, narrower, read_bytes
from .evt import ENCODINGS, decode
from .reading import AS_STORED, Reading

LEGACY = {"2.0": "EVT2", "2.1": "EVT21", "3.0": "EVT3"}
"""What `% evt` says in headers that may lack `% format`."""

SHIFTS = {1: (9, 17), 2: (14, 28)}
"""Version of `.dat` -> where y and p start; 1 is that of the ATIS."""
ROW = np.dtype([("word", "<u8")])
"""An event of `.dat`: time and address. In a structure, it may start anywhere without another kernel."""
LARGEST = 2**15
"""The most rows and columns that a header may name."""
CHANGES = (0, 12)
"""Types of events in `.dat` that are changes of pixels."""


def read_raw(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read the events of the encoding that the header names; triggers and the camera's measurements are left out.

    So are a few events beyond the sensor that the header names (see `evt.decode`). Frames (`HISTO3D`, `DIFF3D`) and a
    header that names no encoding are a DataError, too.
    Arguments, result and errors are those of `readers.read_events`.
    """
    content = read_bytes(path)
    with damage_named(path, "recording of Prophesee"):
        header, start = _header(content, path)
        encoding, options = _encoding(header)
        size = _size(header | options)
    if encoding not in ENCODINGS:
        given = (
            f"is encoded as {encoding}, which is" if encoding else "has a header without % evt or % format, so it is"
        )
        raise DataError(f"{path} {given} not read here: convert it to EVT 2.0 or 3.0 with Prophesee's tools")
    order = options.get("endianness") or header.get("endianness")
    events = decode(memoryview(content)[start:], encoding, path, size, order)
    check_events(events, path, sensor)
    return events


def read_dat(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read changes of pixels: a time of 32 bits, which starts again after 71 minutes, and an address of 32 bits.

    Events beyond the sensor that the header names are a DataError, and so are files of triggers or other events.
    Arguments, result and errors are those of `readers.read_events`.
    """
    content = read_bytes(path)
    with damage_named(path, "recording of Prophesee"):
        header, start = _header(content, path)
        size, version = _size(header), int(header.get("version", 2))
        kind, width = content[start : start + 2]
    if version not in SHIFTS or kind not in CHANGES or width != 8:
        raise DataError(
            f"{path} has version {version} and events of type {kind} in {width} bytes, but only changes of pixels (type"
            f" 0 or 12, 8 bytes, version 1 or 2) are read: give the file that ends in _cd.dat or _td.dat"
        )
    if (len(content) - start - 2) % 8:
        raise DataError(f"{path} is truncated: it ends inside an event; {AGAIN}")
    rows = np.frombuffer(content, dtype=ROW, offset=start + 2)
    events = np.empty(rows.size, dtype=EVENT_DTYPE)
    _decode_dat(rows, events, *SHIFTS[version])
    check_events(events, path, narrower(size, sensor))
    return events


@compiled
def _decode_dat(rows, events, row_bit, on_bit):  # type: ignore[no-untyped-def]
    """Fill in the events; a time that goes back by more than half of its range started again."""
    late, before = np.int64(0), np.int64(0)
    columns, lines = (1 << row_bit) - 1, (1 << on_bit - row_bit) - 1
    for number in range(rows.size):
        word, event = rows[number].word, events[number]
        time, address = np.int64(word & np.uint64(2**32 - 1)), np.int64(word >> np.uint64(32))
        if before - time >= 2**31:
            late += 2**32
        before = time
        event.t, event.x, event.y = late + time, address & columns, address >> row_bit & lines
        event.p = address >> on_bit & 1


def _header(content: bytes, path: str | Path) -> tuple[dict[str, str], int]:
    """What the lines at the start say, by their first word in lower case, and where they end."""
    fields: dict[str, str] = {}
    start = 0
    while content.startswith(b"% ", start) and "end" not in fields:
        end = content.find(b"\n", start)
        if end < 0:
            raise ValueError("it ends inside its text header")
        key, _, value = content[start + 2 : end].decode("latin-1").strip().partition(" ")
        fields[key.lower()] = value.strip()
        start = end + 1
    if not start:
        raise DataError(
            f"{path} does not start with the lines (% evt 3.0, % Version 2) of Prophesee's files: it is of another"
            " format, or its header was cut off; put the right line before its bytes, or export it again"
        )
    return fields, start


def _encoding(header: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The name of the encoding, "" if there is none, and the options behind it."""
    name, *options = header.get("format", "").split(";")
    legacy = LEGACY.get(header.get("evt", ""), header.get("evt", ""))
    if name and legacy and name != legacy:
        raise ValueError(f"its header says % format {name} and % evt {header['evt']}")
    if not re.fullmatch(r"[\w.-]{0,20}", name or legacy):
        raise ValueError("its header names no encoding that can be")
    return name or legacy, dict(option.split("=") for option in options)


def _size(fields: dict[str, str]) -> tuple[int, int] | None:
    """Width and height in pixels, where the header names them."""
    sizes = [fields["geometry"].split("x")] if "geometry" in fields else []
    sizes += [[fields["width"], fields["height"]]] if {"width", "height"} <= fields.keys() else []
    found = {(int(width), int(height)) for width, height in sizes}
    if len(found) > 1 or not all(0 < side <= LARGEST for size in found for side in size):
        raise ValueError("its header names two sizes of the sensor, or none that a sensor can have")
    return found.pop() if found else None
