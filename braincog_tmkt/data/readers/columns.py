"""Events from four columns of numbers, with names or without, for every format that stores them so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ...errors import DataError
from ..types import EVENT_DTYPE
from .check import AGAIN, MAX_EVENTS, check_events
from .matrix import columns_of_matrix
from .names import ROOT, choose, choose_group, has_all, is_matrix, missing, one_of, unit_of
from .reading import AS_STORED, LETTERS, Reading
from .times import microseconds

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
        if is_matrix(label, array, reading.columns)
    }
    names = {letter: name for letter, name in (reading.columns or {}).items() if isinstance(name, str)}
    if not any(has_all(group, names) for group in named.values()) or reading.group in matrices:
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


def _shapes(groups: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The labels of all groups, with the shapes of those that are no columns."""
    return [
        f"{label} {list(array.shape)}" if np.ndim(array) > 1 and min(array.shape) > 1 else label
        for group in groups.values()
        for label, array in group.items()
    ]


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
    if column.size and not (column.min() >= 0 and column.max().item() <= highest):  # refuses NaN, too
        raise DataError(
            f"{path} has values of {name} from {column.min()} to {column.max()}, outside 0..{highest}: write pixels"
            f" from 0 on, or, if another column is {name}, name it in data.columns"
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
            " write them so, or, if another column is p, name it in data.columns"
        )
    return column == on
