"""Recordings as text: `.csv` and `.txt`, one event a line."""

from __future__ import annotations

import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping
from csv import QUOTE_NONE
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from .check import damage_named, read_bytes
from .columns import columns_of_names, events_of_columns, with_unit
from .matrix import columns_without_names
from .names import has_all
from .reading import AS_STORED, LETTERS, Reading

WIDEST = 100
"""A line has no more numbers."""
LINES_OF_WORDS = 100
"""So many lines of words above the numbers are looked at."""


@dataclass
class _Head:
    """What the lines before the events say.

    Args:
        names: of the columns, if there are any.
        units: a line of words behind the names, which may be their units.
        size: width and height of the sensor.
        first: the first line of numbers.
        start: where it starts in the text.
    """

    names: list[str] | None = None
    units: list[str] | None = None
    size: tuple[int, int] | None = None
    first: str = ""
    start: int = 0


def read_text(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read lines of numbers, separated by commas, semicolons, tabs or spaces.

    A line above them may name the columns, also behind `#` or `%`; without names, see `columns.columns_of_matrix`.
    The line behind the names may have their units. Names and numbers may stand in double quotes.
    Another may say width and height of the sensor, as `240 180` or `%geometry:240,180`; events beyond are an error.
    Other lines that start with `#` or `%` are comments. Polarities may be True and False.
    Arguments, result and errors are those of `readers.read_events`.
    """
    with damage_named(path, "text of events"):
        text = _text(path)
        said = reading.columns or {}
        head = _head(text, {letter: name for letter, name in said.items() if isinstance(name, str)})
        numbered = any(isinstance(number, int) for number in said.values())
        if numbered and len(said) < len(LETTERS) and head.names and has_all(head.names):
            numbered = False  # refused: of names, some would be passed over
        numbers: Mapping[str, Any] = said
        if head.names and not numbered:
            numbers, reading = columns_of_names(head.names, range(len(head.names)), path, reading)
        if not head.first:
            found = f", but '{','.join(head.units)[:60]}'" if head.units else ""
            raise DataError(
                f"{path} has no lines of numbers{found}: write t, x, y and p of each event as numbers, with a decimal"
                " point where there are fractions"
            )
        for labels in (head.names, head.units):
            if labels and isinstance(place := numbers.get("t"), int) and place < len(labels):
                reading = with_unit(reading, f"t {labels[place]}")
        table = _table(text[head.start :], head.first, path)
        if head.names and not numbered:
            if len(table) != len(head.names):
                raise DataError(
                    f"{path} names {len(head.names)} columns and has {len(table)}: correct its head, or set"
                    " data.columns"
                    " to numbers, as {t: 0, x: 1, y: 2, p: 3}"
                )
            columns = {letter: table[number] for letter, number in numbers.items()}
        else:
            columns = columns_without_names(table, path, reading)
    events = events_of_columns(columns, path, sensor, reading)
    if head.size and (events["x"].max() >= head.size[0] or events["y"].max() >= head.size[1]):
        raise DataError(
            f"{path} says that the sensor is {head.size[0]} wide and {head.size[1]} high, but has events at x up to"
            f" {events['x'].max()} and y up to {events['y'].max()}: correct that line, or say in data.columns which"
            " columns are x and y"
        )
    return events


def _text(path: str | Path) -> str:
    """The text without quotes, its lines ended as on Unix; UTF-8, or UTF-16 if it says so."""
    content = read_bytes(path)
    code = "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(code)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}: {error.reason}): save it as UTF-8, or give it the"
            " suffix"
            " of its format if it is not text"
        ) from error
    if not text.strip():
        raise ValueError("it is empty")
    for old, new in (("\r\n", "\n"), ("\r", "\n"), ('"', "")):
        text = text.replace(old, new) if old in text else text
    return text


def _head(text: str, columns: Mapping[str, str]) -> _Head:
    """What stands above the events; `columns` are names that a user says."""
    head, others = _Head(), 0
    while head.start < len(text):
        line = text[head.start : text.find("\n", head.start) + 1 or len(text)]
        words, bare = _words(line), line.strip()
        if re.match(r"[#%]", bare):
            if size := re.match(r"[#%]\s*geometry:?\s*(\d+)\D+(\d+)", bare, re.IGNORECASE):
                head.size = int(size[1]), int(size[2])
            elif has_all(words, columns):
                head.names = words
        elif bare and not all(map(_is_number, words)):
            others += 1
            if head.names is None or (has_all(words, columns) and not has_all(head.names, columns)):
                head.names = words
            else:
                head.units = head.units or words
            if others > LINES_OF_WORDS:
                break
        elif len(words) == 2 and not head.size and all(map(str.isdecimal, words)):
            head.size = int(words[0]), int(words[1])
        elif bare:
            head.first = line
            break
        head.start += len(line)
    return head


def _words(line: str) -> list[str]:
    separator = next((mark for mark in ",;\t" if mark in line.strip()), None)
    words = [word.strip() for word in line.strip().lstrip("#% ").split(separator)]
    return words[:-1] if len(words) > 1 and not words[-1] else words


def _table(text: str, first: str, path: str | Path) -> list[np.ndarray]:
    """The columns of numbers; `first` is the first line of them."""
    import pandas  # takes half a second

    if len(_words(first)) > WIDEST:
        raise ValueError(f"it has more than {WIDEST} columns")
    if "%" in text:
        text = re.sub("%.*", "", text)
    separator = next((mark for mark in ",;" if mark in first), r"\s+")
    try:
        frame = pandas.read_csv(
            io.BytesIO(text.encode()),
            sep=separator,
            header=None,
            index_col=False,
            comment="#",
            quoting=QUOTE_NONE,
            low_memory=False,
        )
    except pandas.errors.ParserError as error:
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise DataError(
            f"{path} has lines with more columns than its first line of numbers, {first.strip()[:60]!r} ({reason},"
            " counted from there): correct or remove them, or that line"
        ) from error
    columns = [frame[number].to_numpy() for number in frame]
    if len(columns) > len(_words(first)) and frame[len(columns) - 1].isna().all():
        del columns[-1]  # lines that end in a separator
    for number, column in enumerate(columns):
        if column.dtype.kind not in "biuf":
            raise DataError(f"{path} has something else than numbers in column {number}: write numbers, or remove it")
        if (missing := np.isnan(column)).any():
            raise DataError(f"{path} has no number in column {number} of event {missing.argmax()}: correct that line")
    return columns


def _is_number(word: str) -> bool:
    """Whether a word is a value, so that its line names no columns."""
    try:
        float(word)
    except ValueError:
        return word.lower() in ("true", "false")
    return True
