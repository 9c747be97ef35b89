"""Events in the columns of a matrix that has no names: which column is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..notes import remark
from .reading import AS_STORED, LETTERS, Reading

PUBLISHED = ("t", "x", "y", "p")
"""The order of columns without names in the Robotics and Perception Group's data sets."""
ORDERS = (
    (PUBLISHED, ("x", "y", "t", "p"), ("x", "y", "p", "t")),
    tuple(order for order in permutations(LETTERS) if order.index("x") < order.index("y")),
)
"""The usual orders, and all in which x comes before y."""
ANY_ORDER = tuple(permutations(LETTERS))
"""What a user may mean who says some of the numbers."""
SENSOR = 4096
"""No sensor has as many pixels in a row, so larger numbers are times."""
FEW = 16
"""Fewer events do not show an order."""
POLARITIES = ({0, 1}, {-1, 1}, {1, 2})


def columns_of_matrix(matrix: np.ndarray, path: str | Path, reading: Reading = AS_STORED) -> dict[str, np.ndarray]:
    """The columns `t`, `x`, `y` and `p` of a matrix `[N, 4]` or `[4, N]`, see `columns_without_names`.

    It has more columns where `reading.columns` says all four.

    Example:
        >>> matrix = np.array([[120, 90, 5, 1], [110, 80, 7, 0]])
        >>> {letter: column.tolist() for letter, column in columns_of_matrix(matrix, "made.npy").items()}
        {'t': [5, 7], 'x': [120, 110], 'y': [90, 80], 'p': [1, 0]}
    """
    lies = matrix.shape[0] == len(LETTERS) != matrix.shape[1]
    return columns_without_names(list(np.ascontiguousarray(matrix if lies else matrix.T)), path, reading)


def columns_without_names(
    columns: Sequence[np.ndarray], path: str | Path, reading: Reading = AS_STORED
) -> dict[str, np.ndarray]:
    """The columns `t`, `x`, `y` and `p` among columns without names, by letter.

    `reading.columns` says their numbers, from 0 on. Those that it leaves out are recognised: the time is the one column
    that never goes back, or that no pixel and no polarity can be; the polarity is the one that has no more than two
    values, 0 and 1, -1 and 1, or 1 and 2; and x comes before y. Of several orders that this allows, the one usual one
    counts (`ORDERS`). An order other than t, x, y, p is said (`notes.remark`). Fewer than 16 events are taken as
    t, x, y, p if they can be that.

    Args:
        columns: four of N numbers each, more where `reading.columns` says all four.
        path: the file, for the message.
        reading: what a user says.

    Raises:
        DataError: listing the columns, if it is not certain which is which, or `reading.columns` has names or other
            numbers.
    """
    numbers = {letter: number for letter, number in (reading.columns or {}).items() if isinstance(number, int)}
    width = len(columns)
    if wrong := [value for value in (reading.columns or {}).values() if value not in range(width)]:
        raise DataError(
            f"{path} has {width} columns without names: data.columns has '{wrong[0]}', but must give numbers from 0 to"
            f" {width - 1}"
        )
    if len(set(numbers.values())) < len(numbers):
        raise DataError(f"{path}: data.columns gives one number to several of {', '.join(numbers)}: correct it")
    if len(numbers) == len(LETTERS):
        return {letter: columns[numbers[letter]] for letter in LETTERS}
    if width != len(LETTERS):
        raise DataError(
            f"{path} has {width} columns without names: say which are t, x, y and p, as in"
            " data.columns: {t: 0, x: 1, y: 2, p: 3}"
        )
    order = _order_of(columns, numbers, path)
    if order != PUBLISHED and len(numbers) < len(LETTERS) - 1:
        ranges = ", ".join(f"{letter} {_range(column)}" for letter, column in zip(order, columns, strict=True))
        told = ", ".join(f"{letter}: {number}" for number, letter in enumerate(order))
        remark(
            f"columns without names are taken as {', '.join(order)} in",
            ranges,
            f"to say it yourself, set data.columns: {{{told}}}, with other numbers if it is wrong",
            0.0,
        )
    return {letter: columns[order.index(letter)] for letter in LETTERS}


def _order_of(columns: Sequence[np.ndarray], numbers: Mapping[str, int], path: str | Path) -> tuple[str, ...]:
    """The one order of letters that four columns can have; a DataError if there are several or none."""
    could = [_letters_of(column) for column in columns]
    large = [number for number, letters in enumerate(could) if letters == {"t"}]
    if not large and len(columns[0]) >= FEW:  # a time goes on
        for column, letters in zip(columns, could, strict=True):
            letters -= {"t"} if column[0] == column[-1] else set()
    elif len(large) == 1:
        could = [letters if letters == {"t"} else letters - {"t"} for letters in could]
    for orders in (*ORDERS, ANY_ORDER) if numbers else ORDERS:
        possible = [
            order
            for order in orders
            if all(letter in letters for letter, letters in zip(order, could, strict=True))
            and all(order[number] == letter for letter, number in numbers.items())
        ]
        if len(possible) == 1 or (PUBLISHED in possible and len(columns[0]) < FEW):
            return possible[0]
        if possible:
            break
    why = {"t": "none never goes back, as times do", "p": "none has the values of polarities"}
    lost = [reason for letter, reason in why.items() if not any(letter in letters for letters in could)]
    listed = ", ".join(f"column {number} {_range(column)}" for number, column in enumerate(columns))
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
