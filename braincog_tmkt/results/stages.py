"""Records of methods that train in several stages, such as an ANN, its conversion, and a distilled SNN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .summary import SELECTIONS

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


WORDS = {"ann": "ANN", "convert": "converted", "distil": "distilled"}
"""What a network is called after a stage; other stages go by their own name."""


def stage_in_words(stage: str) -> str:
    """What a network is called after a stage.

    Example:
        >>> stage_in_words("convert"), stage_in_words("warm-up")
        ('converted', 'warm-up')
    """
    return WORDS.get(stage, stage)
