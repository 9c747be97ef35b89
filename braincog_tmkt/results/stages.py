"""Records of methods that train in several stages, such as an ANN, its conversion, and a distilled SNN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import RecipeError
from .schema import SELECTIONS

Record = Mapping[str, Any]


def steps_of(recipe: Mapping[str, Any]) -> int:
    """T of the network that is tested: the method's own (`method.steps`), or the frames of a recording.

    Example:
        >>> steps_of({"data": {"steps": 10}, "method": {"name": "hsd", "steps": 5}})
        5
        >>> steps_of({"data": {"steps": 10}, "method": {"name": "baseline"}})
        10
    """
    return int(recipe["method"].get("steps") or recipe["data"]["steps"])


def split_by_stage(record: Record) -> dict[str, Record]:
    """Stage -> the record as it would be of that stage alone: its results, its epochs, its seconds.

    Returns:
        In the order of the training; `{"": record}` for a method of one stage.
    """
    stages = record.get("stages")
    if not stages:
        return {"": record}
    return {
        name: {
            **record,
            **{select: stage[select] for select in SELECTIONS},
            "history": [entry for entry in record["history"] if entry["stage"] == number],
            "seconds": stage["seconds"],
        }
        for number, (name, stage) in enumerate(stages.items())
    }


def split_runs(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Stage -> some runs of one method as they would be of that stage alone, see `split_by_stage`.

    Raises:
        RecipeError: if they do not have the same stages.
    """
    parts = [split_by_stage(record) for record in records]
    if any(list(part) != list(parts[0]) for part in parts):
        found = " and ".join(sorted({f"({', '.join(part)})" for part in parts}))
        raise RecipeError(
            f"runs of {records[0]['name']} differ in their stages {found}: give only folders with the same stages"
        )
    return {stage: [part[stage] for part in parts] for stage in parts[0]}


WORDS = {"ann": "ANN", "convert": "converted", "distil": "distilled"}
"""What a network is called after a stage; other stages go by their own name."""


def stage_in_words(stage: str) -> str:
    """What a network is called after a stage.

    Example:
        >>> stage_in_words("convert"), stage_in_words("warm-up")
        ('converted', 'warm-up')
    """
    return WORDS.get(stage, stage)
