"""Records of finished runs: `record.json` in a run folder, or a line each in a study's `records.jsonl`.

A record has everything needed to judge and to repeat a run; `schema` says what must stand in it, `pack` makes lines.

A record is a dictionary of plain values. Accuracies are shares in [0, 1], of the test recordings unless named `val_*`:

- `name`, `recipe`, `recipe_hash`, `seed`: what was trained; the recipe is resolved, with every default; its
  `code` has the digests of the user's own files (see `own_code`), which `code.zip` in the run folder keeps.
- `data`: `set`, `kind` (real, simulated, embedded), `fingerprint`, `complete` (whether it has as many recordings as the
  official set), `classes`, `protocol`, `leaky`, `split` (a hash) and the sizes of its parts; `names`, only where names
  of recordings and images disagree: how.
- `audit`: whether images of held-out recordings can be drawn in training, and the classes without training or test.
- `last`, `best_val` (None without validation recordings), `best_test`: each with `epoch` (from 0), `accuracy`,
  `accuracy_by_step` `[T]`, `loss`; `best_test` is selected on the test set, which is what the papers report. All are of
  the last stage. `one_class`, only where a network gave all test recordings one class though they are of several, is
  the name of that class; `results.notes` says it in words.
- `stages`, only where the method has several: stage, in order, to its own `last`, `best_val` and `best_test`, the
  `seconds` it took, and `shared`: the file it was taken from if another run had trained it, else None; its seconds are
  then that run's, and not among the record's.
- `by_steps`, only where `tmkt eval --steps` was run: its rows, from the `steps.csv` beside the record.
- `remarks`, only where the method makes some: sentences on what its settings come to.
- `firing_rates` by node, `synaptic_operations` of one recording (an estimate), `parameters` (trainable).
- `history`: one entry an epoch, with the number of its `stage`; `lr` and `train` only where something was trained.
  `seconds`, `peak_memory`, `device`, `device_name`, `world_size`, `threads`, `versions`,
  `started`, `finished`.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import TrainingError
from ..files import write_whole
from ..recipe import Recipe, parse_override, recipe_hash
from ..recipe.identity import flat, setting_of
from . import schema
from .pack import LINE_FORMAT, long_history

RECORD = "record.json"
LINES = ".jsonl"
FORMAT = 1


def run_folder(runs: str | Path, recipe: Recipe, seed: int) -> Path:
    """Where a run of this recipe and seed lives: `<runs>/<name>/<hash, 8 digits>/seed<seed>`."""
    return Path(runs) / recipe.name / recipe_hash(recipe)[:8] / f"seed{seed}"


def write_record(folder: Path, record: dict[str, Any]) -> Path:
    """Write `record.json`, whole or not at all, and return its path.

    Raises:
        TrainingError: if the disk is full, or a number of the run is not finite.
    """
    path = folder / RECORD
    try:
        content = json.dumps(record, indent=1, allow_nan=False)
    except ValueError as error:
        raise TrainingError(f"{path} is not written, since a number in it is not finite: {_faults(record)}") from error
    write_whole(path, content.encode())
    return path


def read_record(path: str | Path) -> dict[str, Any]:
    """Read a record, given as its file or as its run folder.

    Raises:
        TrainingError: naming the file, if it is missing, damaged or no record, or the key that does not hold what it
            must, see `schema.RECORD`.
    """
    path = Path(path)
    file = path / RECORD if os.path.isdir(path) else path
    if file.suffix.lower() != ".json" and file.is_file():
        raise TrainingError(
            f"{file} is no record: give the run folder, or to `tmkt table` and `tmkt report` results of your own in a"
            " file that ends in .csv"
        )
    return _checked(_text(file), str(file), FORMAT)


def _text(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise TrainingError(
            f"{file} does not exist: finish the run with --resume, or give the folder of a finished one"
        ) from None
    except OSError as error:
        raise TrainingError(f"{file} cannot be read ({error.strerror}): give a file that you may read") from error


def _checked(text: bytes, where: str, version: int) -> dict[str, Any]:
    """One record from its JSON."""
    mend = "remove it and train again" if version == FORMAT else "restore it from git, or remove the line"
    try:
        record = _parse(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"{where} cannot be read as a record ({error}): {mend}") from error
    if isinstance(record, list):
        raise TrainingError(f"{where} is no record but a list: name a file of your own results itself, not its folder")
    if not isinstance(record, dict) or type(record.get("format")) is not int or record["format"] != version:
        raise TrainingError(
            f"{where} is not a record of this version (format {version}): train the run again, or leave it out"
        )
    if wrong := _faults(record, schema.RECORD if version == FORMAT else schema.LINE):
        raise TrainingError(f"{where} is not a whole record{wrong}: {mend}")
    return record


def _read_lines(file: Path) -> list[dict[str, Any]]:
    """The records of a `records.jsonl`, with a history of one entry an epoch."""
    lines = [
        _checked(line, f"{file}, line {number},", LINE_FORMAT)
        for number, line in enumerate(_text(file).splitlines(), 1)
        if line.strip()
    ]
    if not lines:
        raise TrainingError(f"{file} holds no records: give a folder of finished runs")
    return [line | {"format": FORMAT, "history": long_history(line["history"])} for line in lines]


def _read_steps(file: Path) -> list[dict[str, float]]:
    """What `tmkt eval --steps` wrote."""
    again = "make it again with tmkt eval RUN --steps"
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        found = [{key: float(value) for key, value in row.items() if key} for row in rows]
        found = [{**row, "steps": int(row["steps"])} for row in found]
    except (OSError, ValueError, TypeError, KeyError, OverflowError, csv.Error) as error:
        raise TrainingError(f"{file} cannot be read ({error}): {again}") from error
    for key, words in schema.faults(found, [schema.STEPS]):
        what = f"row{key} must be {words}" if words else f"row{key} is missing"
        raise TrainingError(f"{file} is damaged: {what}: {again}")
    return found


def _parse(text: str) -> Any:
    """JSON, strictly: no key twice, no NaN."""

    def section(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"the key '{next(key for key in keys if keys.count(key) > 1)}' stands in it twice")
        return found

    def constant(name: str) -> None:
        raise ValueError(f"{name} is not a number")

    return json.loads(text, object_pairs_hook=section, parse_constant=constant)


def _faults(record: dict[str, Any], rule: Any = schema.RECORD) -> str:
    """All keys that a record lacks, or the first one that does not hold what it must; empty for a whole record."""
    found = list(schema.faults(record, rule))
    if lacks := [key for key, words in found if not words]:
        return f", it lacks {', '.join(lacks)}"
    return f": {found[0][0]} must be {found[0][1]}" if found else ""


def find_record(folder: Path, recipe: Recipe, seed: int) -> dict[str, Any] | None:
    """The record of a finished run of this recipe and seed in its folder, or None.

    Raises:
        TrainingError: if the folder holds the record of something else, or a damaged one.
    """
    try:
        if not (folder / RECORD).is_file():
            return None
    except OSError as error:
        raise TrainingError(
            f"{folder / RECORD} cannot be read ({error.strerror}): choose another folder with --runs"
        ) from error
    record = read_record(folder)
    if (record["recipe_hash"], record["seed"]) != (recipe_hash(recipe), seed):
        raise TrainingError(f"{folder / RECORD} is the record of another recipe or seed: move it to another folder")
    return record


def read_records(places: Iterable[str | Path]) -> list[dict[str, Any]]:
    """All records in some files and folders, see `record_files`; with `by_steps` where that was measured.

    Raises:
        TrainingError: for a file that is no record (of a `.jsonl`, with the line), a damaged `steps.csv`, and as
            `record_files` does.
    """
    return [record for file in record_files(places) for record in _read_file(file)]


def _read_file(file: Path) -> list[dict[str, Any]]:
    if file.suffix.lower() == LINES:
        return _read_lines(file)
    if file.suffix.lower() == ".csv":
        raise TrainingError(f"{file} is no record: `tmkt table` and `tmkt report` alone take results of your own")
    record = read_record(file)
    beside = [_steps_beside(name) for name in (file, file.resolve())]  # of a link: or where it leads
    steps = next((name for name in beside if name.is_file()), None)
    return [record | {"by_steps": _read_steps(steps)} if steps else record]


def _steps_beside(file: Path) -> Path:
    return file.with_name("steps.csv") if file.name == RECORD else file.with_suffix(".steps.csv")


def record_files(places: Iterable[str | Path]) -> list[Path]:
    """The files `*.json` and `*.jsonl` in some files and folders, with their subfolders; of each place sorted by path.

    Links are followed. A file that is reached in several ways is given once. Files `._*`, which macOS leaves beside
    others on disks of other systems, are passed over.

    Raises:
        TrainingError: for a place that holds none, a folder that cannot be looked into, or a link that leads nowhere.
    """
    found: dict[Any, Path] = {}
    for place in map(Path, places):
        files = sorted(_json_files(place)) if os.path.isdir(place) else [place]
        if not files:
            raise TrainingError(
                f"{place} holds no records: give a folder of finished runs, or train one with `tmkt train`"
            )
        for file in files:
            found.setdefault(_identity(file), file)
    return list(found.values())


def _json_files(place: Path) -> Iterator[Path]:
    """The files of records below a folder; each real folder is looked into once, however links lead to it."""

    def refuse(error: OSError) -> None:
        raise TrainingError(
            f"{error.filename} cannot be searched for records ({error.strerror}): give a folder that you may read"
        ) from error

    seen = set()
    for folder, folders, names in os.walk(place, onerror=refuse, followlinks=True):
        inside = Path(folder)
        if _identity(inside) in seen:
            folders.clear()
            continue
        seen.add(_identity(inside))
        folders.sort()  # so that it does not depend on the disk which way to a folder is the first
        for name in sorted(names):
            file = inside / name
            if os.path.islink(file) and not os.path.exists(file):
                raise TrainingError(f"{file} is a link that leads nowhere: correct or remove it")
            if name.lower().endswith((".json", LINES)) and not name.startswith("._"):
                yield file


def _identity(path: Path) -> Any:
    """An identity of a file or folder that is the same for all links to it."""
    try:
        status = path.stat()
    except OSError:
        return path  # it is not there, or out of reach: who reads it says so
    return status.st_dev, status.st_ino


def records_with(records: Iterable[dict[str, Any]], settings: Iterable[str]) -> list[dict[str, Any]]:
    """The records whose recipes have some settings, given as overrides: `data.static_pool=open`.

    Raises:
        RecipeError: for an unknown key, or a value it cannot have.
    """
    wanted = {key: value for setting in settings for key, value in flat(parse_override(setting)).items()}
    return [record for record in records if all(setting_of(record, key) == value for key, value in wanted.items())]
