"""Event Stream recordings: `.es`, version 2, of a DVS or an ATIS.

They are decoded here, by the published description of the format, because the libraries that read it must be compiled
(event_stream, loris) and this takes less code than the way to one; the tests compare with event_stream.
"""

import struct
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...jit import compiled
from ..types import EVENT_DTYPE
from .check import AGAIN, check_events, damage_named, narrower, read_bytes
from .reading import AS_STORED, Reading

MAGIC = b"Event Stream"
HEAD = struct.Struct("<12s4BHH")
DVS, ATIS = 1, 2
KINDS = {0: "generic events", 3: "events of a display", 4: "color events"}


def read_es(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read the changes of pixels; the measurements of exposure in a file of an ATIS are left out.

    Events beyond the sensor that the file names are a DataError, and so are other kinds of events and versions.
    Arguments, result and errors are those of `readers.read_events`.
    """
    content = read_bytes(path)
    if content[:12] != MAGIC:
        raise DataError(f"{path} does not start with Event Stream: it is of another format; export it again")
    with damage_named(path, "Event Stream recording"):
        _, major, minor, _, kind, width, height = HEAD.unpack_from(content)
    if major != 2 or kind not in (DVS, ATIS):
        what = KINDS.get(kind, "unknown events") if major == 2 else f"version {major}.{minor}"
        raise DataError(f"{path} has {what}, but Event Stream is read in version 2 with events of a DVS or an ATIS")
    events = np.empty((len(content) - HEAD.size) // 5, dtype=EVENT_DTYPE)
    count, whole = _decode(np.frombuffer(content, dtype=np.uint8, offset=HEAD.size), events, kind == ATIS)
    if not whole:
        raise DataError(f"{path} is truncated: it ends inside an event; {AGAIN}")
    check_events(events[:count], path, narrower((width, height), sensor))
    return events[:count]


@compiled
def _decode(data, events, atis):  # type: ignore[no-untyped-def]
    """Fill in the changes; return how many there are, and whether the last event is whole.

    An event is five bytes: microseconds since the one before (7 bits, 6 of an ATIS) and flags, x, y. Where they do not
    reach, bytes of ones add as many as they could not say; 0xFE (0xFC of an ATIS) adds nothing.
    """
    time, count, at = np.int64(0), 0, 0
    first = 0xFC if atis else 0xFE
    while at < data.size:
        head = np.int64(data[at])
        if head >= first:
            time += 63 * (head & 3) if atis else 127 * (head & 1)
            at += 1
            continue
        if at + 5 > data.size:
            return count, False
        time += head >> (2 if atis else 1)
        if not atis or head & 1 == 0:
            event = events[count]
            event.t, event.p = time, (head >> 1 if atis else head) & 1 != 0
            x, y = (
                np.int64(data[at + 1]) | np.int64(data[at + 2]) << 8,
                np.int64(data[at + 3]) | np.int64(data[at + 4]) << 8,
            )
            event.x, event.y = x, y
            count += 1
        at += 5
    return count, True
