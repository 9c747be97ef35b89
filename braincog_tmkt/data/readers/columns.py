"""Events from four columns of numbers, with names or without, for every format that stores them so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ...errors import DataError
from ..notes import remark
from ..types import EVENT_DTYPE
from .check import AGAIN, MAX_EVENTS, check_events
from .names import ROOT, choose, choose_group, missing, one_of, unit_of
from .reading import AS_STORED, LETTERS, Reading
from .times import microseconds

PUBLISHED = ("t", "x", "y", "p")
"""The order of columns without names in the Robotics and Perception Group's data sets."""
ORDERS = (
    (PUBLISHED, ("x", "y", "t", "p"), ("x", "y", "p", "t")),
    tuple(order for order in permutations(LETTERS) if order.index("x") < order.index("y")),
)
"""The usual orders, and all in which x comes before y."""
SENSOR = 4096
"""No sensor has as many pixels in a row, so larger numbers are times."""
FEW = 16
"""Fewer events do not show an order."""
POLARITIES = ({0, 1}, {-1, 1}, {1, 2})

T = TypeVar("T")


def columns_of_groups(
    groups: Mapping[str, Mapping[str, Any]], path: str | Path, reading: Reading = AS_STORED
) -> tuple[dict[str, Any], Reading]:
    """The columns `t`, `x`, `y` and `p` of the group that has the events, by letter, and how to read them.

    An array whose name spells its columns, such as `xyp` `[N, 3]`, stands for them. Where no group has named columns,
    they are those of a matrix (`columns_of_matrix`). See `names.choose_group` and `names.one_of` for the choice.

    Args:
        groups: name -> named arrays; `names.ROOT` for those at the top of the file.
        path: the file, for the message.
        reading: what a user says; the unit in the name of the time is added.

    Raises:
        DataError: if no group has all four, or it is not certain which columns are meant.
    """
    named = {name: _spelled(group) for name, group in groups.items()}
    matrices = {
        (label if name == ROOT else f"{name}/{label}"): array
        for name, group in groups.items()
        for label, array in group.items()
        if _is_matrix(array, reading)
    }
    names = {letter: name for letter, name in (reading.columns or {}).items() if isinstance(name, str)}
    if not any(_told(path, choose, group, names) for group in named.values()) or reading.group in matrices:
        if matrices:
            return columns_of_matrix(matrices[_told(path, one_of, matrices, reading.group)], path, reading), reading
        shapes = _shapes(named)
        if shapes and all("[" in shape for shape in shapes):
            raise DataError(
                f"{path} has {', '.join(shapes)[:200]}, neither columns t, x, y and p nor a matrix [N, 4] of events:"
                " write the events as one of them"
            )
        raise DataError(f"{path} {missing(shapes, names)}")
    name, labels = _told(path, choose_group, named, reading.group, reading.columns)
    return {letter: named[name][label] for letter, label in labels.items()}, with_unit(reading, labels["t"])


def columns_of_names(
    labels: Sequence[str], columns: Sequence[T], path: str | Path, reading: Reading = AS_STORED
) -> tuple[dict[str, T], Reading]:
    """As `columns_of_groups`, for columns that have an order beside their names, as in text."""
    labels = list(labels)
    chosen = _told(path, choose, labels, reading.columns)
    if not chosen:
        raise DataError(f"{path} {missing(labels, reading.columns)}")
    return {letter: columns[labels.index(label)] for letter, label in chosen.items()}, with_unit(reading, chosen["t"])


def with_unit(reading: Reading, label: str) -> Reading:
    """`reading` with the unit that the name of a time says, where it has none itself.

    Example:
        >>> with_unit(AS_STORED, "t_ns").time_unit, with_unit(Reading(time_unit="s"), "t_ns").time_unit
        ('ns', 's')
    """
    return replace(reading, time_unit=reading.time_unit or unit_of(label))


def columns_of_matrix(
    matrix: np.ndarray, path: str | Path, reading: Reading = AS_STORED, rows: bool = False
) -> dict[str, np.ndarray]:
    """The columns `t`, `x`, `y` and `p` of a matrix without names, by letter.

    `reading.columns` says their numbers, from 0 on. Those that it leaves out are recognised: the time is the one column
    that never goes back, or that no pixel and no polarity can be; the polarity is the one that has no more than two
    values, 0 and 1, -1 and 1, or 1 and 2; and x comes before y. Of several orders that this allows, the one usual one
    counts (`ORDERS`). An order other than t, x, y, p is said (`notes.remark`). Fewer than 16 events are taken as
    t, x, y, p if they can be that.

    Args:
        matrix: `[N, 4]` or `[4, N]`, with more columns where `reading.columns` says all four.
        path: the file, for the message.
        reading: what a user says.
        rows: whether events are rows, whatever the shape, as in text.

    Raises:
        DataError: listing the columns, if it is not certain which is which, or `reading.columns` has names or other
            numbers.

    Example:
        >>> matrix = np.array([[120, 90, 5, 1], [110, 80, 7, 0]])
        >>> {letter: column.tolist() for letter, column in columns_of_matrix(matrix, "made.npy").items()}
        {'t': [5, 7], 'x': [120, 110], 'y': [90, 80], 'p': [1, 0]}
    """
    numbers = dict(reading.columns or {})
    if not rows and matrix.shape[0] == len(LETTERS) != matrix.shape[1]:
        matrix = matrix.T
    width = matrix.shape[1]
    if wrong := [number for number in numbers.values() if not (isinstance(number, int) and 0 <= number < width)]:
        raise DataError(
            f"{path} has {width} columns without names: data.columns has '{wrong[0]}', but must give numbers from 0 to"
            f" {width - 1}"
        )
    if len(set(numbers.values())) < len(numbers):
        raise DataError(f"{path}: data.columns gives one number to several of {', '.join(numbers)}: mend it")
    if len(numbers) == len(LETTERS):
        return {letter: matrix[:, numbers[letter]] for letter in LETTERS}
    if width != len(LETTERS):
        raise DataError(
            f"{path} has {width} columns without names: say which are t, x, y and p, as in"
            " data.columns: {t: 0, x: 1, y: 2, p: 3}"
        )
    order = _order_of(matrix, numbers, path)
    if order != PUBLISHED and len(numbers) < len(LETTERS) - 1:
        ranges = ", ".join(f"{letter} {_range(column)}" for letter, column in zip(order, matrix.T, strict=True))
        told = ", ".join(f"{letter}: {number}" for number, letter in enumerate(order))
        remark(
            f"columns without names are taken as {', '.join(order)} in",
            ranges,
            f"to say it yourself, set data.columns: {{{told}}}, with other numbers if it is wrong",
            0.0,
        )
    return {letter: matrix[:, order.index(letter)] for letter in LETTERS}


def events_of_columns(
    columns: Mapping[str, np.ndarray],
    path: str | Path,
    sensor: tuple[int, int] | None,
    reading: Reading = AS_STORED,
) -> np.ndarray:
    """Make events of four columns of numbers, without ever wrapping or rounding a pixel.

    Args:
        columns: `t`, `x`, `y` and `p`, each of N numbers, `[N]`, `[1, N]` or `[N, 1]`, of any integer, boolean or float
            type. Polarity is 0 and 1, -1 and 1, or 1 and 2; the greater one is ON. (1 and 2 are those of the MATLAB
            functions of N-MNIST and N-Caltech101: `Read_Ndataset.m`, "1 means off, 2 means on".)
        path: the file they come from, for the message.
        sensor: as for `check_events`.
        reading: `time_unit` counts; without one, see `times.microseconds`.

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
        lengths = ", ".join(f"{name} {column.size}" for name, column in flat.items())
        raise DataError(f"{path} has columns of different lengths, {lengths}: it is corrupt; {AGAIN}")
    if max(sizes) > MAX_EVENTS:
        raise DataError(f"{path} holds more than {MAX_EVENTS} events: cut it into shorter recordings")
    events = np.empty(flat["t"].size, dtype=EVENT_DTYPE)
    for name in "xy":
        events[name] = _pixels(flat[name], name, path)
    events["t"] = microseconds(flat["t"], path, reading.time_unit)
    events["p"] = _is_on(flat["p"], path)
    check_events(events, path, sensor)
    return events


def _told(path: str | Path, ask: Callable[..., T], *arguments: Any) -> T:
    """What a function of `names` returns; a DataError that names `path` where it is not certain."""
    try:
        return ask(*arguments)
    except ValueError as error:
        raise DataError(f"{path} {error}") from error


def _spelled(group: Mapping[str, Any]) -> dict[str, Any]:
    """The group with arrays whose names spell their columns, as `xyp`, taken apart."""
    apart = dict(group)
    for label, array in group.items():
        letters = label.lower()
        spells = 1 < len(letters) == len(set(letters) & set(LETTERS)) and not apart.keys() & {*letters}
        if spells and np.ndim(array) == 2 and array.shape[1] == len(letters):
            del apart[label]
            apart.update(zip(letters, array.T, strict=True))
    return apart


def _is_matrix(array: np.ndarray, reading: Reading) -> bool:
    """Whether an array may be a matrix of events."""
    said = [number for number in (reading.columns or {}).values() if isinstance(number, int)]
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        return False
    return len(LETTERS) in array.shape or (len(said) == len(LETTERS) and array.shape[1] > max(said))


def _shapes(groups: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The labels of all groups, with the shapes of those that are no columns."""
    return [
        f"{label} {list(array.shape)}" if np.ndim(array) > 1 and min(array.shape) > 1 else label
        for group in groups.values()
        for label, array in group.items()
    ]


def _order_of(matrix: np.ndarray, numbers: Mapping[str, Any], path: str | Path) -> tuple[str, ...]:
    """The one order of letters that the columns of `[N, 4]` can have; a DataError if there are several or none."""
    could = [_letters_of(column) for column in matrix.T]
    large = [number for number, letters in enumerate(could) if letters == {"t"}]
    if not large and len(matrix) >= FEW:  # a time goes on
        for column, letters in zip(matrix.T, could, strict=True):
            letters -= {"t"} if column[0] == column[-1] else set()
    elif len(large) == 1:
        could = [letters if letters == {"t"} else letters - {"t"} for letters in could]
    for orders in ORDERS:
        possible = [
            order
            for order in orders
            if all(letter in letters for letter, letters in zip(order, could, strict=True))
            and all(order[number] == letter for letter, number in numbers.items())
        ]
        if len(possible) == 1 or (PUBLISHED in possible and len(matrix) < FEW):
            return possible[0]
        if possible:
            break
    why = {"t": "none never goes back, as times do", "p": "none has the values of polarities"}
    lost = [reason for letter, reason in why.items() if not any(letter in letters for letters in could)]
    listed = ", ".join(f"column {number} {_range(column)}" for number, column in enumerate(matrix.T))
    raise DataError(
        f"{path} has columns without names ({listed}), and it is not certain which are t, x, y and p"
        f"{f' ({lost[0]})' if lost else ''}: say it, as in data.columns: {{t: 0, x: 1, y: 2, p: 3}}"
    )


def _letters_of(column: np.ndarray) -> set[str]:
    """Which of the letters a column without a name could be."""
    if not column.size:
        return set(LETTERS)
    low, high = column.min(), column.max()
    letters = {"t"} if low >= 0 and (column[1:] >= column[:-1]).all() else set()
    if low >= 0 and high < SENSOR and (column == np.floor(column)).all():
        letters |= {"x", "y"}
    elif low >= 0:
        return {"t"}  # also where it goes back, which check_events says
    if low >= -1 and high <= 2 and any(set(np.unique(column).tolist()) <= values for values in POLARITIES):
        letters |= {"p"}
    return letters


def _range(column: np.ndarray) -> str:
    return f"from {float(column.min()):.10g} to {float(column.max()):.10g}" if column.size else "empty"


def _flat(column: np.ndarray, name: str, path: str | Path) -> np.ndarray:
    """The column `[N]`, refused if it is no column of numbers."""
    if column.dtype.kind not in "biuf":
        raise DataError(f"{path} has a column {name} of type {column.dtype}, not of numbers: write it as integers")
    if column.size != max(column.shape, default=0):
        raise DataError(
            f"{path} has a column {name} of shape {column.shape}, not one number an event: write [N] arrays"
        )
    return column.ravel()


def _pixels(column: np.ndarray, name: str, path: str | Path) -> np.ndarray:
    """The column, refused where a number is no pixel."""
    highest = np.iinfo(EVENT_DTYPE[name]).max
    if column.size and not (column.min() >= 0 and column.max() <= float(highest)):  # refuses NaN, too
        raise DataError(
            f"{path} has values of {name} from {column.min()} to {column.max()}, outside 0..{highest}: data.columns"
            f" says which column is {name}"
        )
    if column.dtype.kind == "f" and (column != np.floor(column)).any():
        raise DataError(
            f"{path} has values of {name} with a fraction: write whole pixels, or say in data.columns which column is"
            f" {name}"
        )
    return column


def _is_on(column: np.ndarray, path: str | Path) -> np.ndarray:
    """Which polarities are ON; a DataError for values that are no polarities."""
    if not column.size or column.dtype.kind == "b":
        return column > 0
    low, high = column.min(), column.max()
    off, on = (-1, 1) if low == -1 else (1, 2) if high == 2 else (0, 1)
    if not ((column == off) | (column == on)).all():
        raise DataError(
            f"{path} has values of p from {low} to {high}, but polarities are 0 and 1, -1 and 1, or 1 and 2:"
            " data.columns says which column is p"
        )
    return column == on
