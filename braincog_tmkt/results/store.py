"""`record.json`: one finished run, everything needed to judge and to repeat it.

A record is a dictionary of plain values. Accuracies are shares in [0, 1], of the test recordings unless named `val_*`:

- `name`, `recipe`, `recipe_hash`, `seed`: what was trained; the recipe is resolved, with every default.
- `data`: `set`, `kind` (real, simulated, embedded), `fingerprint`, `complete` (whether it has as many recordings as the
  official set), `classes`, `protocol`, `leaky`, `split` (a hash) and the sizes of its parts.
- `audit`: whether images of held-out recordings can be drawn in training.
- `last`, `best_val` (None without validation recordings), `best_test`: each with `epoch` (from 0), `accuracy`,
  `accuracy_by_step` `[T]`, `loss`; `best_test` is selected on the test set, which is what the papers report. All are of
  the last stage.
- `stages`, only where the method has several: stage, in order, to its own `last`, `best_val` and `best_test`, the
  `seconds` it took, and `shared`: the file it was taken from if another run had trained it, else None; its seconds are
  then that run's, and not among the record's.
- `remarks`, only where the method makes some: sentences on what its settings come to.
- `firing_rates` by node, `synaptic_operations` of one recording (an estimate), `parameters` (trainable).
- `history`: one entry an epoch, with the number of its `stage`; `lr` and `train` only where something was trained.
  `seconds`, `peak_memory`, `device`, `device_name`, `world_size`, `threads`, `versions`,
  `started`, `finished`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import TrainingError
from ..files import write_whole
from ..recipe import Recipe, parse_override, recipe_hash
from ..recipe_compare import flat, setting_of

RECORD = "record.json"
FORMAT = 1

WHOLE = (
    *("name", "recipe", "recipe_hash", "seed", "data", "audit", "last", "best_val", "best_test", "firing_rates"),
    *(
        "synaptic_operations",
        "parameters",
        "history",
        "seconds",
        "peak_memory",
        "device",
        "versions",
        "started",
        "finished",
    ),
)
SECTIONS = ("data", "model", "method", "optim", "train")


def run_folder(runs: str | Path, recipe: Recipe, seed: int) -> Path:
    """Where a run of this recipe and seed lives: `<runs>/<name>/<hash, 8 digits>/seed<seed>`."""
    return Path(runs) / recipe.name / recipe_hash(recipe)[:8] / f"seed{seed}"


def write_record(folder: Path, record: dict[str, Any]) -> Path:
    """Write `record.json`, whole or not at all, and return its path.

    Raises:
        TrainingError: if the disk is full.
    """
    path = folder / RECORD
    write_whole(path, json.dumps(record, indent=1, allow_nan=False).encode())
    return path


def read_record(path: str | Path) -> dict[str, Any]:
    """Read a record, given as its file or as its run folder.

    Raises:
        TrainingError: naming the file, if it is missing, damaged or no record.
    """
    path = Path(path)
    file = path / RECORD if path.is_dir() else path
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainingError(f"there is no {file}: the run is not finished, or the folder is not a run's") from None
    except (OSError, ValueError) as error:
        raise TrainingError(f"{file} cannot be read as a record ({error}): remove it and train again") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise TrainingError(f"{file} is no record of this version (format {FORMAT})")
    missing = [key for key in WHOLE if key not in record]
    missing += [f"recipe.{part}" for part in SECTIONS if not isinstance(record.get("recipe", {}).get(part), dict)]
    if missing:
        raise TrainingError(f"{file} is not a whole record, it lacks {', '.join(missing)}: remove it and train again")
    return record


def find_record(folder: Path, recipe: Recipe, seed: int) -> dict[str, Any] | None:
    """The record of a finished run of this recipe and seed in its folder, or None.

    Raises:
        TrainingError: if the folder holds the record of something else, or a damaged one.
    """
    if not (folder / RECORD).is_file():
        return None
    record = read_record(folder)
    if (record["recipe_hash"], record["seed"]) != (recipe_hash(recipe), seed):
        raise TrainingError(f"{folder / RECORD} is the record of another recipe or seed: move it away")
    return record


def read_records(places: Iterable[str | Path]) -> list[dict[str, Any]]:
    """All records in some files and folders (with their subfolders), sorted by path.

    Raises:
        TrainingError: for a file that is no record, or a place that holds none.
    """
    records = []
    for place in map(Path, places):
        files = sorted(place.rglob("*.json")) if place.is_dir() else [place]
        if not files:
            raise TrainingError(f"{place} holds no records")
        records += [read_record(file) for file in files]
    return records


def records_with(records: Iterable[dict[str, Any]], settings: Iterable[str]) -> list[dict[str, Any]]:
    """The records whose recipes have some settings, given as overrides: `data.static_pool=open`.

    Raises:
        RecipeError: for an unknown key, or a value it cannot have.
    """
    wanted = {key: value for setting in settings for key, value in flat(parse_override(setting)).items()}
    return [record for record in records if all(setting_of(record, key) == value for key, value in wanted.items())]
