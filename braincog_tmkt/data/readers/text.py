"""Recordings as text: `.csv` and `.txt`, one event a line."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from .check import damage_named, read_bytes
from .columns import columns_of_matrix, columns_of_names, events_of_columns
from .names import choose
from .reading import AS_STORED, Reading

EXACT = 2**53
"""Larger whole numbers are parsed as such: floats do not have them all."""


@dataclass
class _Head:
    """What the lines before the events say.

    Args:
        names: of the columns, if there are any.
        size: width and height of the sensor.
        first: the first line of numbers.
        start: where it starts in the text.
    """

    names: list[str] | None = None
    size: tuple[int, int] | None = None
    first: str = ""
    start: int = 0


def read_text(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read lines of numbers, separated by commas, semicolons, tabs or spaces.

    A line above them may name the columns, also behind `#` or `%`; without names, see `columns.columns_of_matrix`.
    Another may say width and height of the sensor, as `240 180` or `%geometry:240,180`; events beyond are an error.
    Other lines that start with `#` or `%` are comments. Polarities may be True and False.
    Arguments, result and errors are those of `readers.read_events`.
    """
    with damage_named(path, "text of events"):
        text = read_bytes(path).decode("utf-8-sig")
        if not text.strip():
            raise ValueError("it is empty")
        head = _head(text, {letter: name for letter, name in (reading.columns or {}).items() if isinstance(name, str)})
        text = text[head.start :]
        if re.search("true|false", head.first, re.IGNORECASE):
            text = re.sub("true", "1", re.sub("false", "0", text, flags=re.IGNORECASE), flags=re.IGNORECASE)
        numbered = any(isinstance(number, int) for number in (reading.columns or {}).values())
        if head.names and not numbered:
            numbers, reading = columns_of_names(head.names, range(len(head.names)), path, reading)
        if not head.first:
            raise ValueError("it has no lines of numbers")
        table = _table(text, head, path)
        if head.names and not numbered:
            if table.shape[1] != len(head.names):
                raise ValueError(f"it names {len(head.names)} columns and has {table.shape[1]}")
            columns = {letter: table[:, number] for letter, number in numbers.items()}
        else:
            columns = columns_of_matrix(table, path, reading, rows=True)
    events = events_of_columns(columns, path, sensor, reading)
    if head.size and (events["x"].max() >= head.size[0] or events["y"].max() >= head.size[1]):
        raise DataError(
            f"{path} says that the sensor is {head.size[0]} wide and {head.size[1]} high, but has events at x up to"
            f" {events['x'].max()} and y up to {events['y'].max()}: mend that line, or say in data.columns which"
            " columns are x and y"
        )
    return events


def _head(text: str, columns: Mapping[str, str]) -> _Head:
    """What stands above the events; `columns` are names that a user says."""
    head = _Head()
    for line in io.StringIO(text):
        words, bare = _words(line), line.strip()
        if re.match(r"[#%]", bare):
            if size := re.match(r"[#%]\s*geometry:?\s*(\d+)\D+(\d+)", bare, re.IGNORECASE):
                head.size = int(size[1]), int(size[2])
            elif _name_columns(words, columns):
                head.names = words
        elif bare and not all(map(_is_number, words)):
            head.names = head.names or words
        elif len(words) == 2 and not head.size and all(map(str.isdecimal, words)):
            head.size = int(words[0]), int(words[1])
        elif bare:
            head.first = line
            break
        head.start += len(line)
    return head


def _name_columns(words: list[str], columns: Mapping[str, str]) -> bool:
    """Whether the words behind a `#` name the columns; also where it is not certain which."""
    try:
        return bool(choose(words, columns))
    except ValueError:
        return True


def _words(line: str) -> list[str]:
    separator = next((mark for mark in ",;\t" if mark in line.strip()), None)
    return [word.strip() for word in line.strip().lstrip("#% ").split(separator)]


def _table(text: str, head: _Head, path: str | Path) -> np.ndarray:
    """The numbers `[N, columns]`, exactly."""
    options: dict[str, Any] = {
        "delimiter": next((mark for mark in ",;" if mark in head.first), None),
        "comments": [mark for mark in "#%" if mark in text] or None,
        "ndmin": 2,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns of a file without lines; it is an error later
        table = np.loadtxt(io.StringIO(text), **options)
        if not table.size or not abs(table).max() > EXACT:
            return table
        warnings.simplefilter("error", DeprecationWarning)  # a float that is parsed as a whole number
        try:
            return np.loadtxt(io.StringIO(text), dtype=np.int64, **options)
        except (ValueError, DeprecationWarning) as error:
            raise DataError(
                f"{path} has numbers beyond 2^53, of which not all are whole: write whole numbers, or smaller ones"
            ) from error


def _is_number(word: str) -> bool:
    """Whether a word is a value, so that its line names no columns."""
    try:
        float(word)
    except ValueError:
        return word.lower() in ("true", "false")
    return True
