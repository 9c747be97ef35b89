"""Events from four named columns of numbers, for every format that stores them so."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..types import EVENT_DTYPE
from .check import AGAIN, MAX_EVENTS, MAX_TIME, check_events
from .names import choose


def find_columns(groups: Iterable[Mapping[str, Any]], path: str | Path) -> dict[str, Any]:
    """The columns `t`, `x`, `y` and `p` of the first group that has all four, by letter (see `names.choose`).

    Args:
        groups: named columns, as the file or the folders in it have them.
        path: the file, for the message.

    Raises:
        DataError: if no group has all four, or it is not certain which columns are meant.
    """
    seen: list[str] = []
    for group in groups:
        if labels := labels_of(group, path):
            return {letter: group[label] for letter, label in labels.items()}
        seen += group
    raise DataError(f"{path} has columns {', '.join(seen)[:200] or 'without names'}, not t, x, y and p: rename them")


def labels_of(labels: Iterable[str], path: str | Path) -> dict[str, str] | None:
    """What `names.choose` finds; a DataError that names `path` if it is not certain which columns are meant."""
    try:
        return choose(labels)
    except ValueError as error:
        raise DataError(f"{path} {error}") from error


def events_of_columns(
    columns: Mapping[str, np.ndarray], path: str | Path, sensor: tuple[int, int] | None
) -> np.ndarray:
    """Make events of four columns of numbers, without ever wrapping or rounding a value.

    Args:
        columns: `t` in microseconds, `x`, `y` and `p`, each of N numbers, `[N]`, `[1, N]` or `[N, 1]`, of any integer,
            boolean or float type. Polarity is 1 for ON, and 0 or -1, not both, for OFF.
        path: the file they come from, for the message.
        sensor: as for `check_events`.

    Raises:
        DataError: if the columns are no such numbers, differ in length, or `check_events` refuses them.

    Example:
        >>> ones = np.ones((1, 2))
        >>> events_of_columns({"t": ones, "x": ones, "y": ones, "p": -ones}, "made.mat", None)["p"].tolist()
        [False, False]
    """
    flat = {name: _flat(np.asarray(column), name, path) for name, column in columns.items()}
    sizes = {column.size for column in flat.values()}
    if len(sizes) > 1:
        raise DataError(f"{path} has columns t, x, y and p of different lengths: it is corrupt; {AGAIN}")
    if max(sizes) > MAX_EVENTS:
        raise DataError(f"{path} holds more than {MAX_EVENTS} events: cut it into shorter recordings")
    events = np.empty(flat["t"].size, dtype=EVENT_DTYPE)
    for name, limit in {"t": MAX_TIME, "x": 2**15 - 1, "y": 2**15 - 1}.items():
        events[name] = _whole(flat[name], 0, limit, name, path)
    polarity = _whole(flat["p"], -1, 1, "p", path)
    if polarity.size and polarity.min() < 0 and not polarity.all():
        raise DataError(f"{path} has polarities -1 and 0: OFF is either the one or the other, ON is 1")
    events["p"] = polarity > 0
    check_events(events, path, sensor)
    return events


def _flat(column: np.ndarray, name: str, path: str | Path) -> np.ndarray:
    """The column `[N]`, refused if it is no column of numbers."""
    if column.dtype.kind not in "biuf":
        raise DataError(f"{path} has a column {name} of type {column.dtype}, not of numbers: write it as integers")
    if column.size != max(column.shape, default=0):
        raise DataError(
            f"{path} has a column {name} of shape {column.shape}, not one number an event: write [N] arrays"
        )
    if column.dtype.kind == "f":  # half floats cannot hold the bounds
        column = column.astype(np.result_type(column, np.float64))
    return column.ravel()


def _whole(column: np.ndarray, low: int, high: int, name: str, path: str | Path) -> np.ndarray:
    """The column, refused where a number lies outside low..high or has a fraction."""
    if column.size and not (column.min() >= low and column.max() <= high):  # refuses NaN, too
        raise DataError(
            f"{path} has values of {name} from {column.min()} to {column.max()}, outside {low}..{high}: it is corrupt"
            f" or its columns are in another order; {AGAIN}"
        )
    if column.dtype.kind == "f" and (column != np.floor(column)).any():
        raise DataError(f"{path} has values of {name} with a fraction: write whole pixels and whole microseconds")
    return column
