"""Event recordings: the ATIS bytes of N-Caltech101 and N-MNIST, and frames made of events.

One event is five bytes, big-endian: x, y, polarity (1 bit) and time in microseconds (23 bits). A row with y = 240 is no
event but the camera's time overflow mark: every row from it on is 8,192 microseconds later than written.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import interpolate

from ..errors import DataError
from .types import EVENT_DTYPE, FrameSpec

READER_VERSION = 1
"""Raise it when `read_atis`, `to_frames` or `static.value_channel` give other numbers: no older cache is used then."""

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
    _check(events, path, sensor)
    return events


def _check(events: np.ndarray, path: str | Path, sensor: tuple[int, int]) -> None:
    """Raise a `DataError` that names `path` if the events cannot be those of a recording with this sensor."""
    if not events.size:
        raise DataError(f"{path} holds no events: download or copy the recording again")
    x, y = int(events["x"].max()), int(events["y"].max())
    if x >= sensor[0] or y >= sensor[1]:
        raise DataError(
            f"{path} has events at x up to {x} and y up to {y}, beyond the {sensor[0]}x{sensor[1]} sensor:"
            " it is corrupt or of another data set; download or copy the recording again"
        )
    backwards = np.flatnonzero(np.diff(events["t"]) < 0)
    if backwards.size:
        raise DataError(
            f"{path} goes back in time after event {backwards[0]}: it is corrupt; download or copy the recording again"
        )


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


def to_frames(events: np.ndarray, spec: FrameSpec, sensor: tuple[int, int] | None = None) -> np.ndarray:
    """Count events per time bin, polarity and pixel, then resize: tonic's `ToFrame(n_time_bins=T)`, bit for bit.

    A bin lasts (last time - first time) // T microseconds. The bins start at the first event, so the remainder of that
    division and the very last instant belong to no bin and are dropped, as tonic does; a recording shorter than T
    microseconds gives empty frames. The resize is bilinear with aligned corners, without antialiasing.

    Args:
        events: `[N]` of `EVENT_DTYPE`, N > 0, sorted by time.
        spec: T and the side of a frame.
        sensor: width and height of the counted area; None shifts the events to start at 0 and counts on the recording's
            own extent (as tonic's `NCALTECH101` does).

    Returns:
        Counts `[T, 2, size, size]`, float32; channel 0 is OFF, channel 1 ON.

    Raises:
        DataError: if an event lies outside `sensor`.

    Example:
        >>> events = np.array([(0, 0, 0, True), (5, 1, 1, False), (9, 1, 0, True)], dtype=EVENT_DTYPE)
        >>> to_frames(events, FrameSpec(steps=2, size=2), sensor=(2, 2))[0, 1].tolist()
        [[1.0, 0.0], [0.0, 0.0]]
    """
    x, y, t = events["x"].astype(np.int64), events["y"].astype(np.int64), events["t"]
    if sensor is None:
        x, y = x - x.min(), y - y.min()
    width, height = sensor or (int(x.max()) + 1, int(y.max()) + 1)
    if min(x.min(), y.min()) < 0 or x.max() >= width or y.max() >= height:
        raise DataError(f"events lie beyond the {width}x{height} sensor: give the sensor they were recorded with")
    window = int(t[-1] - t[0]) // spec.steps  # as stock tonic; the baseline's fork counts from 0 (deviation D-11)
    edges = np.searchsorted(t, t[0] + window * np.arange(spec.steps + 1))
    used = slice(int(edges[0]), int(edges[-1]))
    step = np.repeat(np.arange(spec.steps), np.diff(edges))
    cell = ((step * 2 + events["p"][used]) * height + y[used]) * width + x[used]
    counts = np.bincount(cell, minlength=spec.steps * 2 * height * width).astype(np.float32)
    frames = torch.from_numpy(counts).view(spec.steps, 2, height, width)
    return interpolate(frames, size=(spec.size, spec.size), mode="bilinear", align_corners=True).numpy()
