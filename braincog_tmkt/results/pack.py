"""Finished runs as one file of a study: `records.jsonl`, a line a run, short enough to be kept in git.

Run it as `python -m braincog_tmkt.results.pack RUNS.. --into records.jsonl`. A line is a record (see `store`) without
what only this machine needs (the folders of data and cache) and with a short history (see `short_history`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from ..errors import TmktError
from ..files import write_whole
from .frame import by_seed, grouped, kind_of_run

LINE_FORMAT = 2
OF_A_MACHINE = ("root", "static_root", "cache")
"""Keys of `recipe.data` that name folders of the machine; they do not change a result."""
DIGITS = 4
"""Of training losses; tables and pages show two."""


def as_line(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as a line of `records.jsonl` holds it.

    Args:
        record: as `store.read_record` gives it.

    Returns:
        The same but for: `recipe` lacks the folders of data and cache, the path of weights, the tiers, and what it
        extends; `stages` name a checkpoint taken from another run by its file name alone; `history` is that of
        `short_history`.
    """
    recipe = {key: value for key, value in record["recipe"].items() if key not in ("tiers", "extends")}
    recipe["data"] = {key: value for key, value in recipe["data"].items() if key not in OF_A_MACHINE}
    if weights := recipe["data"].get("reconstruction"):
        recipe["data"]["reconstruction"] = {key: value for key, value in weights.items() if key != "weights"}
    line = {**record, "format": LINE_FORMAT, "recipe": recipe, "history": short_history(record["history"])}
    if "stages" in record:
        line["stages"] = {
            name: {**stage, "shared": stage["shared"] and Path(stage["shared"]).name}
            for name, stage in record["stages"].items()
        }
    return line


def short_history(history: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A history by stage.

    Returns:
        One entry a stage: `stage`, `train` (the training loss of each epoch, to four decimals; empty if the stage
        trains nothing), and where they were measured `val` and `test`: `[epoch, accuracy, loss]` each.

    Example:
        >>> short_history([{"stage": 0, "epoch": 0, "lr": 0.1, "train": {"loss": 1.23456}, "seconds": 2.0}])
        [{'stage': 0, 'train': [1.2346]}]
    """
    found = []
    for stage, group in groupby(history, lambda entry: entry["stage"]):
        entries = list(group)
        losses = [round(entry["train"]["loss"], DIGITS) for entry in entries if "loss" in entry.get("train", {})]
        short: dict[str, Any] = {"stage": stage, "train": losses}
        for part in ("val", "test"):
            measured = [(entry["epoch"], entry[part]) for entry in entries if part in entry]
            if measured:
                short[part] = [[epoch, result["accuracy"], result["loss"]] for epoch, result in measured]
        found.append(short)
    return found


def long_history(short: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`short_history` back to an entry an epoch."""
    return [entry for stage in short for entry in _entries(stage)]


def _entries(stage: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    losses = dict(enumerate(stage["train"]))
    parts = {
        part: {int(epoch): {"accuracy": share, "loss": loss} for epoch, share, loss in stage.get(part, ())}
        for part in ("val", "test")
    }
    for epoch in sorted({*losses, *parts["val"], *parts["test"]}):
        entry: dict[str, Any] = {"stage": stage["stage"], "epoch": epoch}
        if epoch in losses:
            entry["train"] = {"loss": losses[epoch]}
        yield entry | {part: results[epoch] for part, results in parts.items() if epoch in results}


def key_of(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a line is found by: name, hash of the recipe, kind of data, hash of the split, seed."""
    return *kind_of_run(record), record["seed"]


def pack(places: Iterable[str | Path], into: Path) -> int:
    """Add finished runs to a file of records; a run that is there already is replaced.

    Args:
        places: as `store.read_records` takes them.
        into: the file, made if it is missing; written whole or not at all, its lines sorted by `key_of`.

    Returns:
        How many runs the file holds.

    Raises:
        RecipeError: if the places have a run twice, with different results.
        TrainingError: for a place that holds no record, or if the file cannot be read or written.
    """
    from .store import read_records

    lines = {key_of(record): as_line(record) for record in (read_records([into]) if into.is_file() else ())}
    new = grouped(read_records(places), key_of)
    for runs in new.values():
        by_seed(runs, lambda record: record["last"])  # a run that is there twice must be the same
    lines |= {key: as_line(runs[0]) for key, runs in new.items()}
    text = "".join(json.dumps(lines[key], separators=(",", ":"), allow_nan=False) + "\n" for key in sorted(lines))
    write_whole(into, text.encode())
    return len(lines)


def main(argv: list[str] | None = None) -> None:
    """Run `python -m braincog_tmkt.results.pack`."""
    parser = argparse.ArgumentParser(prog="python -m braincog_tmkt.results.pack", description="Keep finished runs.")
    parser.add_argument("places", nargs="+", help="run folders, or folders of them")
    parser.add_argument("--into", type=Path, required=True, help="the file of records: made, or added to")
    arguments = parser.parse_args(argv)
    try:
        print(f"{arguments.into}: {pack(arguments.places, arguments.into)} runs")
    except TmktError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
