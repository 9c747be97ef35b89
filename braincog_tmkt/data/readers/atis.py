"""The ATIS `.bin` recordings of N-Caltech101 and N-MNIST.

One event is five bytes, big-endian: x, y, polarity (1 bit) and time in microseconds (23 bits). A row with y = 240 is no
event but the camera's time overflow mark: every row from it on is 8,192 microseconds later than written.
"""

from pathlib import Path

import numpy as np

from ...errors import DataError
from ..types import EVENT_DTYPE
from .check import AGAIN, check_events, check_writable, read_bytes, write_bytes

BYTES = 5
OVERFLOW_ROW = 240
OVERFLOW_STEP = 2**13
TIME_LIMIT = 2**23


def read_atis(path: str | Path, sensor: tuple[int, int] | None) -> np.ndarray:
    """Read one recording, with the time overflow marks taken in as tonic's `read_mnist_file` does.

    Time never goes backwards in the real files (checked on 500 N-MNIST recordings), and bins of time have no meaning
    where it does, so such a file counts as corrupt. Equal times are common and fine.

    Args:
        path: an ATIS `.bin` file.
        sensor: width and height in pixels; None sets no bound beyond the 256x256 of the format.

    Returns:
        Events `[N]` of `EVENT_DTYPE`, N > 0, in the order of the file.

    Raises:
        DataError: naming the file, if it is missing, truncated, empty, beyond the sensor or out of time order.
    """
    raw = np.frombuffer(read_bytes(path), dtype=np.uint8)
    if raw.size % BYTES:
        raise DataError(f"{path} is truncated: {raw.size} bytes are no multiple of {BYTES}; {AGAIN}")
    rows = raw.reshape(-1, BYTES)
    marks = rows[:, 1] == OVERFLOW_ROW
    time = (rows[:, 2] & 127).astype(np.int64) << 16 | rows[:, 3].astype(np.int64) << 8 | rows[:, 4]
    if marks.any():
        time = (time + OVERFLOW_STEP * np.cumsum(marks))[~marks]
        rows = rows[~marks]
    events = np.empty(time.size, dtype=EVENT_DTYPE)
    events["t"], events["x"], events["y"], events["p"] = time, rows[:, 0], rows[:, 1], rows[:, 2] >> 7
    check_events(events, path, sensor)
    return events


def write_atis(path: str | Path, events: np.ndarray) -> None:
    """Write events as an ATIS file: the exact inverse of `read_atis`. A file is whole or not there.

    Args:
        path: file to write; its folder must exist.
        events: `[N]` of `EVENT_DTYPE`, N > 0, sorted by time.

    Raises:
        DataError: for what the format cannot hold: no events, x or y outside 0..255, y = 240 (the overflow mark), times
            outside 0..8388607 microseconds or out of order; or if the file cannot be written.
    """
    check_writable(events, path, 256, 256, last=TIME_LIMIT - 1)
    t, x, y, p = (events[name].astype(np.int64) for name in ("t", "x", "y", "p"))
    if (y == OVERFLOW_ROW).any():
        raise DataError(
            f"the events for {path} have y = {OVERFLOW_ROW}: an ATIS file cannot hold it, it marks time there"
        )
    rows = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1).astype(np.uint8)
    write_bytes(path, rows.tobytes())
