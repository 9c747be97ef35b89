"""Recordings as text: `.csv` and `.txt`, one event a line."""

from __future__ import annotations

import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping
from csv import QUOTE_NONE
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import DataError
from .check import damage_named, read_bytes
from .columns import columns_of_names, events_of_columns
from .matrix import columns_without_names
from .names import has_all
from .reading import AS_STORED, Reading

WIDEST = 100
"""A line has no more numbers."""


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
        text = _decoded(read_bytes(path), path)
        if not text.strip():
            raise ValueError("it is empty")
        said = reading.columns or {}
        head = _head(text, {letter: name for letter, name in said.items() if isinstance(name, str)})
        numbered = any(isinstance(number, int) for number in said.values())
        if head.names and not numbered:
            numbers, reading = columns_of_names(head.names, range(len(head.names)), path, reading)
        if not head.first:
            raise DataError(f"{path} has no lines of numbers: write one of t, x, y and p for each event")
        table = _table(text[head.start :], head.first, path)
        if head.names and not numbered:
            if len(table) != len(head.names):
                raise DataError(
                    f"{path} names {len(head.names)} columns and has {len(table)}: mend its head, or set data.columns"
                    " to numbers, as {t: 0, x: 1, y: 2, p: 3}"
                )
            columns = {letter: table[number] for letter, number in numbers.items()}
        else:
            columns = columns_without_names(table, path, reading)
    events = events_of_columns(columns, path, sensor, reading)
    if head.size and (events["x"].max() >= head.size[0] or events["y"].max() >= head.size[1]):
        raise DataError(
            f"{path} says that the sensor is {head.size[0]} wide and {head.size[1]} high, but has events at x up to"
            f" {events['x'].max()} and y up to {events['y'].max()}: mend that line, or say in data.columns which"
            " columns are x and y"
        )
    return events


def _decoded(content: bytes, path: str | Path) -> str:
    """The text, which is UTF-8, or UTF-16 where its first bytes say so."""
    try:
        return content.decode("utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not text in UTF-8 ({error.reason}, byte {error.start}): save it as UTF-8"
        ) from error


def _head(text: str, columns: Mapping[str, str]) -> _Head:
    """What stands above the events; `columns` are names that a user says."""
    head = _Head()
    for line in io.StringIO(text):
        words, bare = _words(line), line.strip()
        if re.match(r"[#%]", bare):
            if size := re.match(r"[#%]\s*geometry:?\s*(\d+)\D+(\d+)", bare, re.IGNORECASE):
                head.size = int(size[1]), int(size[2])
            elif has_all(words, columns):
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


def _words(line: str) -> list[str]:
    separator = next((mark for mark in ",;\t" if mark in line.strip()), None)
    return [word.strip() for word in line.strip().lstrip("#% ").split(separator)]


def _table(text: str, first: str, path: str | Path) -> list[np.ndarray]:
    """The columns of numbers; `first` is the first line of them."""
    import pandas  # takes half a second

    if len(_words(first)) > WIDEST:
        raise ValueError(f"it has more than {WIDEST} columns")
    if "%" in text:
        text = re.sub("%.*", "", text)
    separator = next((mark for mark in ",;" if mark in first), r"\s+")
    frame = pandas.read_csv(
        io.StringIO(text),
        sep=separator,
        header=None,
        index_col=False,
        comment="#",
        quoting=QUOTE_NONE,
        low_memory=False,
    )
    columns = [frame[number].to_numpy() for number in frame]
    for number, column in enumerate(columns):
        if column.dtype.kind not in "biuf":
            raise DataError(f"{path} has something else than numbers in column {number}: write numbers, or remove it")
        if (missing := np.isnan(column)).any():
            raise DataError(f"{path} has no number in column {number} of event {missing.argmax()}: mend that line")
    return columns


def _is_number(word: str) -> bool:
    """Whether a word is a value, so that its line names no columns."""
    try:
        float(word)
    except ValueError:
        return word.lower() in ("true", "false")
    return True
