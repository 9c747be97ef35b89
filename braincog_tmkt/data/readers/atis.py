"""The ATIS `.bin` recordings of N-Caltech101 and N-MNIST.

One event is five bytes, big-endian: x, y, polarity (1 bit) and time in microseconds (23 bits). A row with y = 240 is no
event but the camera's time overflow mark: every row from it on is 8,192 microseconds later than written.
"""

from pathlib import Path

import numpy as np

from ...errors import DataError
from ...jit import compiled
from ..types import EVENT_DTYPE
from .check import AGAIN, check_events, check_writable, read_bytes, write_bytes
from .evt import is_evt2
from .reading import AS_STORED, Reading

ROW = np.dtype([("x", "u1"), ("y", "u1"), ("p", "u1"), ("middle", "u1"), ("low", "u1")])
"""The five bytes; `p` has the polarity as its first bit, and then the first seven of the time."""

OVERFLOW_ROW = 240
OVERFLOW_STEP = 2**13
TIME_LIMIT = 2**23


def read_atis(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read one recording, with the time overflow marks taken in as tonic's `read_mnist_file` does.

    Time never goes backwards in the real files (checked on 500 N-MNIST recordings), and bins of time have no meaning
    where it does, so such a file counts as corrupt. Equal times are common and fine. A file that is not read, but is
    whole as EVT 2.0, is named as such.
    Arguments, result and errors are those of `readers.read_events`.
    """
    content = read_bytes(path)
    try:
        return _events_of(content, path, sensor)
    except DataError as error:
        if is_evt2(content):
            raise DataError(
                f"{path} is not an ATIS recording: its bytes are words of EVT 2.0 of a Prophesee camera, without a"
                " header;"
                " put a line that says % evt 2.0 before them, and give it the suffix .raw"
            ) from error
        raise


def _events_of(content: bytes, path: str | Path, sensor: tuple[int, int] | None) -> np.ndarray:
    raw = np.frombuffer(content, dtype=np.uint8)
    if raw.size % ROW.itemsize:
        raise DataError(f"{path} is truncated: {raw.size} bytes are no multiple of {ROW.itemsize}; {AGAIN}")
    events = np.empty(raw.size // ROW.itemsize, dtype=EVENT_DTYPE)
    events = events[: _decode(raw.view(ROW), events)]
    check_events(events, path, sensor)
    return events


@compiled
def _decode(rows, events):  # type: ignore[no-untyped-def]
    """Fill in one event after the other, and return how many there are."""
    late, count = np.int64(0), 0
    for row in rows:
        if row.y == OVERFLOW_ROW:
            late += OVERFLOW_STEP
        else:
            event = events[count]
            event.t = late + (np.int64(row.p & 127) << 16 | np.int64(row.middle) << 8 | np.int64(row.low))
            event.x, event.y, event.p = row.x, row.y, row.p >> 7
            count += 1
    return count


def write_atis(path: str | Path, events: np.ndarray) -> None:
    """Write events as an ATIS file: the exact inverse of `read_atis`.

    The format cannot hold x or y above 255, y = 240 (the overflow mark), or times above 8388607 microseconds.
    """
    check_writable(events, path, 256, 256, last=TIME_LIMIT - 1)
    t, x, y, p = (events[name].astype(np.int64) for name in ("t", "x", "y", "p"))
    if (y == OVERFLOW_ROW).any():
        raise DataError(
            f"the events for {path} have y = {OVERFLOW_ROW}: an ATIS file cannot hold it, it marks time there"
        )
    rows = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1).astype(np.uint8)
    write_bytes(path, rows.tobytes())
