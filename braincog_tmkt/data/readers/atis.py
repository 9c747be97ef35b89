"""The ATIS `.bin` recordings of N-Caltech101 and N-MNIST.

One event is five bytes, big-endian: x, y, polarity (1 bit) and time in microseconds (23 bits). A row with y = 240 is no
event but the camera's time overflow mark: every row from it on is 8,192 microseconds later than written.
"""

from pathlib import Path

import numpy as np

from ...errors import DataError
from ..types import EVENT_DTYPE
from .check import check_events

BYTES = 5
OVERFLOW_ROW = 240
OVERFLOW_STEP = 2**13
TIME_LIMIT = 2**23


def read_atis(path: str | Path, sensor: tuple[int, int]) -> np.ndarray:
    """Read one recording, with the time overflow marks taken in as tonic's `read_mnist_file` does.

    Time never goes backwards in the real files (checked on 500 N-MNIST recordings), and bins of time have no meaning
    where it does, so such a file counts as corrupt. Equal times are common and fine.

    Args:
        path: an ATIS `.bin` file.
        sensor: width and height in pixels.

    Returns:
        Events `[N]` of `EVENT_DTYPE`, N > 0, in the order of the file.

    Raises:
        DataError: naming the file, if it is missing, truncated, empty, beyond the sensor or out of time order.
    """
    try:
        raw = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): download or copy the recording again") from error
    if raw.size % BYTES:
        raise DataError(
            f"{path} is truncated: {raw.size} bytes are no multiple of {BYTES}; download or copy the recording again"
        )
    rows = raw.reshape(-1, BYTES).T.astype(np.int64)
    marks = rows[1] == OVERFLOW_ROW
    time = ((rows[2] & 127) << 16) | (rows[3] << 8) | rows[4]
    if marks.any():
        time = (time + OVERFLOW_STEP * np.cumsum(marks))[~marks]
        rows = rows[:, ~marks]
    events = np.empty(time.size, dtype=EVENT_DTYPE)
    events["t"], events["x"], events["y"], events["p"] = time, rows[0], rows[1], rows[2] >> 7
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
    t, x, y, p = (events[name].astype(np.int64) for name in ("t", "x", "y", "p"))
    if not t.size:
        raise DataError(f"no events to write to {path}: an ATIS file needs one at least")
    if (np.diff(t) < 0).any() or t[0] < 0 or t[-1] >= TIME_LIMIT:
        raise DataError(
            f"the times of the events for {path} are not sorted or not within 0..{TIME_LIMIT - 1} microseconds:"
            " an ATIS file cannot hold them"
        )
    if min(x.min(), y.min()) < 0 or max(x.max(), y.max()) > 255 or (y == OVERFLOW_ROW).any():
        raise DataError(
            f"the events for {path} have coordinates that an ATIS file cannot hold:"
            f" x and y are 0..255, y not {OVERFLOW_ROW}"
        )
    rows = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1).astype(np.uint8)
    part = Path(path).with_name(f"{Path(path).name}.part")
    try:
        part.write_bytes(rows.tobytes())
        part.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}): free space or choose another folder") from error
