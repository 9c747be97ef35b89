"""Files of a user's own results: CSV with a line a seed, or a JSON list; see docs/how-to/own-results.md."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..files import user_path
from ..registry import did_you_mean
from .frame import grouped
from .given import Given
from .schema import SELECTIONS, TEXT, shortened

NEEDED = ("method", "dataset", "protocol", "seed", "accuracy")
COLUMNS = (*NEEDED, "unit", "kind", "selection", "split", "steps", "network", "source", "notes")
CHOICES = {
    "unit": ("percent", "share"),
    "kind": ("real", "simulated", "embedded"),
    "selection": SELECTIONS,
}
TEMPLATE = """\
method,dataset,protocol,seed,accuracy,unit,kind,selection,split,steps,network,source,notes
My-SNN,nmnist,clean,42,88.25,percent,real,last,,10,my network,,
My-SNN,nmnist,clean,1024,88.75,percent,real,last,,10,my network,,
My-SNN,nmnist,clean,90210,87.50,percent,real,last,,10,my network,,
"""
"""A file to fill in: all columns, three seeds."""
HOW = "`tmkt table --template` prints a file to fill in"
LARGEST = 16 * 2**20
"""Bytes of a file."""


class Line(NamedTuple):
    """One result as it stands in a file.

    Args:
        where: file and line, for messages.
        cells: text by column.
    """

    where: str
    cells: dict[str, str]


def is_given(place: str | Path) -> bool:
    """Whether a place is a file of results, by its name (`*.csv`), or, for `*.json`, since it holds a list."""
    path = user_path(place)
    suffix = path.suffix.lower()
    if suffix != ".json" or not path.is_file():
        return suffix == ".csv" and not path.is_dir()
    try:
        with path.open("rb") as file:
            return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
    except OSError:
        return False  # who reads it as a record says why


def read_given(files: Iterable[str | Path]) -> list[Given]:
    """The results that some files give, in their order; a file that is named twice is read once.

    Raises:
        DataError: one sentence with the file and the line, for whatever a file lacks or gets wrong.
    """
    paths = list({user_path(file).resolve(): user_path(file) for file in files}.values())
    names = [path.name for path in paths]
    return [
        replace(given, file=path.name if names.count(path.name) == 1 else str(path))
        for path in paths
        for given in _read(path, str(path))
    ]


def _read(path: Path, name: str) -> list[Given]:
    text = _text(path, name)
    lines = list(_of_json(text, name) if path.suffix.lower() == ".json" else _of_csv(text, name))
    if not lines:
        raise DataError(f"{name} holds no results: {HOW}")
    for line in lines:
        _check(line)
    keys = ("method", "dataset", "protocol", "kind", "split", "selection", "steps", "network")
    groups = grouped(lines, lambda line: tuple(line.cells[key] for key in keys))
    return [_given(name, group) for group in groups.values()]


def _given(name: str, lines: Sequence[Line]) -> Given:
    """The result of one method under one set of conditions, from its lines, one a seed."""
    places: dict[int, str] = {}
    accuracy = {}
    for line in lines:
        seed = int(line.cells["seed"])
        if seed in places:
            what = f"{line.cells['method']} with seed {seed}"
            raise DataError(f"{line.where}: {what} is there already, in {places[seed]}: remove one of the two")
        places[seed], accuracy[seed] = line.where.removeprefix(f"{name}, "), _percent(line)
    said = dict.fromkeys(line.cells[key] for line in lines for key in ("source", "notes") if line.cells[key])
    first = lines[0].cells
    return Given(
        name,
        **{key: first[key] for key in ("method", "dataset", "protocol", "kind", "split", "selection", "network")},
        accuracy=accuracy,
        steps=int(first["steps"]) if first["steps"] else None,
        said=tuple(said),
    )


def _text(path: Path, name: str) -> str:
    """The file's text, whatever marks of its encoding it begins with."""
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{name} is larger than {LARGEST // 2**20} MiB: a file of results has a line a seed")
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{name} does not exist: correct the path; {HOW}") from None
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror}): give a file that you may read") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{name} is UTF-16: save it as UTF-8 (in Excel: 'CSV UTF-8')")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{name}, line {line}: it is not UTF-8: save it as UTF-8 (in Excel: 'CSV UTF-8')") from error


def _of_csv(text: str, name: str) -> Iterator[Line]:
    """Lines of a CSV file with commas, semicolons or tabs."""
    first = text.lstrip("\r\n").partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    head: list[str] = []
    try:
        for row in reader:
            where = f"{name}, line {reader.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if not head:
                head = _columns(row, where)
                continue
            if len(row) != len(head):
                words = f"{where}: it has {len(row)} cells where the first line has {len(head)}"
                raise DataError(f"{words}: put text with a comma in quotes, write decimals with a point")
            if any(cell.strip() for key, cell in zip(head, row, strict=True) if not key):
                raise DataError(f"{where}: it has a cell below no name of a column: name the column, or empty the cell")
            yield Line(where, dict.fromkeys(COLUMNS, "") | _cells(zip(head, row, strict=True)))
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: it is no CSV ({error}): {HOW}") from error


def _cells(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {key: cell.strip() for key, cell in pairs if key}


def _of_json(text: str, name: str) -> Iterator[Line]:
    """Entries of a JSON list, numbered from 1."""
    try:
        # Sections as their pairs, so that a key that is there twice is seen; NaN as a text, which is no number.
        entries = json.loads(text, object_pairs_hook=tuple, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is no JSON ({error}): it must hold a list of sections such as {_example()}") from error
    for number, entry in enumerate(entries, 1):
        where = f"{name}, entry {number}"
        if not isinstance(entry, tuple):
            raise DataError(f"{where}: it must be a section such as {_example()}, not {shortened(entry)}")
        for key, value in entry:
            if isinstance(value, tuple | list | bool):
                raise DataError(f"{where}: {key} must be a text or a number, not {shortened(value)}")
        head = _columns([key for key, _ in entry], where)
        cells = ["" if value is None else str(value) for _, value in entry]
        yield Line(where, dict.fromkeys(COLUMNS, "") | _cells(zip(head, cells, strict=True)))


def _example() -> str:
    return '{"method": "My-SNN", "dataset": "nmnist", "protocol": "clean", "seed": 42, "accuracy": 88.25}'


def _columns(names: Sequence[str], where: str) -> list[str]:
    """Names of columns as they are known here, whatever their case and blanks; an empty name at the end is none."""
    plain = {re.sub(r"[\W_]", "", name): name for name in COLUMNS}
    found = []
    for name in names:
        key = re.sub(r"[\W_]", "", name.lower())
        if key and key not in plain:
            raise DataError(f"{where}: there is no column {shortened(name.strip())}: {did_you_mean(name, COLUMNS)}")
        if key and plain[key] in found:
            raise DataError(f"{where}: the column '{plain[key]}' is there twice: remove one of the two")
        found.append(plain.get(key, ""))
    if lacks := [name for name in NEEDED if name not in found]:
        columns = f"column{'s' * (len(lacks) > 1)} {', '.join(lacks)}"
        raise DataError(f"{where}: it lacks the {columns}: {HOW}")
    return found


def _check(line: Line) -> None:
    """Refuse a line that does not say what it must, in words that are known."""
    cells = line.cells
    for key in (key for key in NEEDED if not cells[key]):
        raise DataError(f"{line.where}: {key} is empty: fill it in, or remove the line")
    for key, cell in cells.items():
        if not TEXT.holds(cell):
            raise DataError(f"{line.where}: {key} must be a text of one line, not {shortened(cell)}")
    for key, choices in CHOICES.items():
        cells[key] = cells[key].lower()
        if cells[key] and cells[key] not in choices:
            raise DataError(f"{line.where}: {key} must be {' or '.join(choices)}, not {shortened(cells[key])}")
    for key, least in (("seed", 0), ("steps", 1)):
        if cells[key] and not (re.fullmatch("[0-9]{1,20}", cells[key]) and least <= int(cells[key]) < 2**64):
            raise DataError(f"{line.where}: {key} must be a whole number, {least} or more, not {shortened(cells[key])}")
    cells["split"] = cells["split"].lower()
    if cells["split"] and not re.fullmatch("[0-9a-f]{8,64}", cells["split"]):
        words = "the hash of a split, or its first 8 digits or more (`tmkt report` prints it)"
        raise DataError(f"{line.where}: split must be {words}, not {shortened(cells['split'])}")
    _percent(line)


def _percent(line: Line) -> float:
    """The accuracy in percent; never guessed where a share may be meant."""
    text, unit = line.cells["accuracy"], line.cells["unit"]
    if text.endswith("%"):
        if unit == "share":
            raise DataError(f"{line.where}: accuracy is {text}, and unit says share: leave out one of them")
        text, unit = text[:-1].rstrip(), "percent"
    most = 1 if unit == "share" else 100
    number = text.replace(",", ".")
    if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{0,30})?([eE][-+]?[0-9]{1,3})?", number) or not 0 <= float(number) <= most:
        words = f"a number from 0 to {most}, of one seed"
        raise DataError(f"{line.where}: accuracy must be {words}, not {shortened(line.cells['accuracy'])}")
    if not unit and float(number) <= 1:
        words = "may be a share or a percentage"
        raise DataError(f"{line.where}: accuracy {text} {words}: add a column 'unit' that says share or percent")
    return float(number) * (100 if unit == "share" else 1)
