"""What every recording must fulfil, whatever its format; and how files are opened, bounded and written."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...files import written_whole
from ...jit import compiled

MAX_EVENTS = 200_000_000
"""The most events that a reader makes of one file."""

MAX_BYTES = 2**33
"""The largest file that a reader opens: 8 GiB."""

MAX_TIME = 2**62
"""Times are 0..MAX_TIME microseconds, so that no difference of two overflows."""

AGAIN = "download or copy the recording again"


def file_size(path: str | Path) -> int:
    """The size in bytes of the regular file at `path`; opening a pipe or a device could block for ever.

    Raises:
        DataError: if there is no such file, it is not a regular one, or it is too large.
    """
    try:
        state = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path} cannot be read ({reason}): {AGAIN}") from error
    if not stat.S_ISREG(state.st_mode):
        raise DataError(f"{path} cannot be read: it is not a regular file; give the path of a recording")
    if state.st_size > MAX_BYTES:
        raise DataError(f"{path} has {state.st_size} bytes, a recording at most {MAX_BYTES}: cut it into shorter ones")
    return state.st_size


def read_bytes(path: str | Path) -> bytes:
    """The content of the file at `path`; raises a DataError as `file_size` does, or if it cannot be read."""
    file_size(path)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): {AGAIN}") from error


def first_bytes(path: str | Path, count: int = 64) -> bytes:
    """The first `count` bytes of the file at `path`, fewer of a shorter one; a DataError as `read_bytes` raises."""
    file_size(path)
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): {AGAIN}") from error


@contextmanager
def damage_named(path: str | Path, kind: str) -> Iterator[None]:
    """Turn whatever a parser raises for damaged bytes into a `DataError` that names `path`.

    `kind` is what the file should be, as in "is a truncated or corrupt AEDAT4 recording".
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path} is a truncated or corrupt {kind} ({reason}): {AGAIN}") from error


def unpacked_limit(packed: int) -> int:
    """The most bytes that a compressed file of `packed` bytes may unpack to.

    Events shrink to a third, seldom to a tenth; a bomb to a thousandth. The constant part is for small and regular
    files.
    """
    return min(2**25 + 64 * packed, MAX_BYTES)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a whole file or none; a DataError if it cannot be written."""
    with written_whole(Path(path)) as (part,):
        part.write_bytes(content)


def check_events(events: np.ndarray, path: str | Path, sensor: tuple[int, int] | None) -> None:
    """Check that events can be those of a recording.

    Args:
        events: `[N]` of `EVENT_DTYPE`.
        path: the file they come from, for the message.
        sensor: width and height in pixels; None sets no bound beyond that of the type.

    Raises:
        DataError: if there are no events or too many, a coordinate is negative or beyond the sensor, or time is
            negative, too large or goes backwards.
    """
    if not events.size:
        raise DataError(f"{path} holds no events: remove it, or record it again")
    if events.size > MAX_EVENTS:
        raise DataError(f"{path} holds more than {MAX_EVENTS} events: cut it into shorter recordings")
    left, right, top, bottom, ordered = survey(events)
    if left < 0 or top < 0:
        raise DataError(f"{path} has events at negative coordinates: it is corrupt; {AGAIN}")
    if sensor is not None and (right >= sensor[0] or bottom >= sensor[1]):
        raise DataError(
            f"{path} has events at x up to {right} and y up to {bottom}, beyond the {sensor[0]}x{sensor[1]} sensor:"
            f" it is corrupt or of another data set; {AGAIN}"
        )
    if ordered < events.size:
        raise DataError(
            f"{path} goes back in time after event {ordered - 1}: sort its events by time, or, if they were sorted,"
            f" {AGAIN}"
        )
    if events["t"][0] < 0 or events["t"][-1] > MAX_TIME:
        raise DataError(f"{path} has times outside 0..2^62 microseconds: it is corrupt; {AGAIN}")


def narrower(named: tuple[int, int] | None, sensor: tuple[int, int] | None) -> tuple[int, int] | None:
    """The bound of `check_events` for a file that itself names its sensor.

    Example:
        >>> narrower((640, 480), (346, 500))
        (346, 480)
    """
    if named is None or sensor is None:
        return named or sensor
    return min(named[0], sensor[0]), min(named[1], sensor[1])


@compiled
def survey(events):  # type: ignore[no-untyped-def]
    """The least and greatest x, the least and greatest y, and how many events come before time first goes backwards."""
    left, top, before = np.int64(events[0].x), np.int64(events[0].y), events[0].t
    right, bottom, ordered = left, top, events.size
    for number in range(events.size):
        event = events[number]
        x, y = np.int64(event.x), np.int64(event.y)
        left, right = min(left, x), max(right, x)
        top, bottom = min(top, y), max(bottom, y)
        if event.t < before and ordered == events.size:
            ordered = number
        before = event.t
    return left, right, top, bottom, ordered


def check_writable(events: np.ndarray, path: str | Path, width: int, height: int, last: int = MAX_TIME) -> None:
    """Check that the format of the file to write can store the events.

    Args:
        events: `[N]` of `EVENT_DTYPE`.
        path: the file, for the message.
        width: columns that the format or the sensor has.
        height: its rows.
        last: the latest time in microseconds that the format can store.

    Raises:
        DataError: if there are no events, they are not sorted by time, or a value does not fit.
    """
    if not events.size:
        raise DataError(f"no events to write to {path}: a recording needs one at least")
    t, x, y = events["t"], events["x"], events["y"]
    if (t[1:] < t[:-1]).any() or t[0] < 0 or t[-1] > last:
        raise DataError(
            f"the times of the events for {path} are not sorted or not within 0..{last} microseconds:"
            " its format cannot hold them"
        )
    if x.min() < 0 or y.min() < 0 or x.max() >= width or y.max() >= height:
        raise DataError(
            f"the events for {path} lie beyond {width}x{height} pixels: its format or sensor cannot hold them"
        )
