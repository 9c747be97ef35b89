"""Recordings as text: `.csv` and `.txt`, one event a line."""

import io
import warnings
from pathlib import Path

import numpy as np

from ...errors import DataError
from .check import damage_named, read_bytes
from .columns import events_of_columns, find_columns, labels_of
from .reading import AS_STORED, Reading

ORDER = ("t", "x", "y", "p")
EXACT = 2**53


def read_text(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read lines of numbers, separated by commas, semicolons, tabs or spaces.

    The first line may name the columns, also behind a `#`; without names there are four, t, x, y and p, as in the event
    camera data sets of the Robotics and Perception Group. Times are whole microseconds, unless one of them has a
    fraction: then they are seconds, rounded to microseconds. Other lines that start with `#` are comments.
    Arguments, result and errors are those of `readers.read_events`.
    """
    with damage_named(path, "text of events"):
        text = read_bytes(path).decode("utf-8-sig")
        first = text.lstrip().split("\n", 1)[0]
        if not first:
            raise ValueError("it is empty")
        separator = next((mark for mark in ",;" if mark in first), None)
        names = [name.strip() for name in first.lstrip("# ").split(separator)]
        named = bool(labels_of(names, path))
        if not named and not first.startswith("#") and not _is_number(names[0]):
            find_columns([dict.fromkeys(names)], path)  # an error that lists the names
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy warns of a file without lines; it is an error below
            table = np.loadtxt(io.StringIO(text), delimiter=separator, skiprows=int(named), ndmin=2)
        if not named and table.shape[1] != len(ORDER):
            raise ValueError(f"it has {table.shape[1]} columns without names: name t, x, y and p in its first line")
        columns = find_columns([dict(zip(names if named else ORDER, table.T, strict=True))], path)
    time = columns["t"]
    if (time != np.floor(time)).any():
        with np.errstate(over="ignore"):
            time = columns["t"] = np.rint(time * 1e6)
    if time.size and not abs(time).max() <= EXACT:
        raise DataError(f"{path} has times beyond {EXACT} microseconds: it is corrupt or has another unit")
    return events_of_columns(columns, path, sensor)


def _is_number(word: str) -> bool:
    """Whether a word of the first line is a value, so that the line names no columns."""
    try:
        float(word)
    except ValueError:
        return False
    return True
