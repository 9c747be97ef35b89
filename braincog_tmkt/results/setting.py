"""How runs were made, in words, and what to know before their accuracies are believed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..recipe import PAPER, load_recipe
from ..recipe.files import experiment_folders
from ..recipe.identity import WEIGHTS, changed_keys
from .frame import Record, grouped
from .notes import notes_of
from .stages import steps_of

PROTOCOL = "data.protocol"
"""The one setting that a run may change and still be compared with the paper's number, since every table states it."""


def nearest_tier(record: Record) -> tuple[str | None, list[str]]:
    """Which tier of its recipe, as it is in `experiments/` now, a run was made with, and the keys that differ from it.

    The project's own recipe counts, not one of the same name in the current folder.

    Returns:
        None and no keys if there is no such recipe any more.
    """
    changed = {
        tier: [key for key in changed_keys(recipe, record["recipe"]) if key != WEIGHTS]  # no recipe brings a file
        for tier, recipe in tiers_of(record["name"]).items()
    }
    if not changed:
        return None, []
    tier = min(changed, key=lambda tier: len(changed[tier]))
    return tier, changed[tier]


def tiers_of(name: str) -> dict[str, dict[str, Any]]:
    """Tier -> the recipe of a name as it is in `experiments/` now, as a dictionary; empty if there is none.

    Raises:
        RecipeError: if the file cannot be read as a recipe.
    """
    where = Path(name)
    if where.is_absolute() or ".." in where.parts or where.stem == "common" or where.parts[:1] == ("paper",):
        return {}
    for folder in experiment_folders():
        file = folder / f"{name}.yaml"
        if os.path.isfile(file):
            return _tiers(file, tuple(other.stat().st_mtime_ns for other in sorted(file.parent.glob("*.yaml"))))
    return {}


@lru_cache(maxsize=256)
def _tiers(file: Path, stamp: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    """Read again when a file of its folder changes, which `stamp` tells."""
    tiers = (*load_recipe(file).tiers, PAPER)  # of two equal ones the first: N-MNIST's recipes are no paper's
    return {tier: load_recipe(file, tier=tier).as_dict() for tier in tiers}


def in_words(record: Record, network: Iterable[str], tier: str | None, changed: list[str], select: str) -> list[str]:
    """How a run was made: data set, kind of data, protocol, network, steps, tier, and keys that differ from it.

    Args:
        record: of the run.
        network: name and T of the network, in words.
        tier: see `nearest_tier`.
        changed: likewise.
        select: which epoch's accuracy is shown.
    """
    data, recipe = record["data"], record["recipe"]
    part = "" if data.get("complete", True) else " (a part of it)"
    words = [
        data["set"] + part,
        f"{data['kind']} data",
        f"protocol {data['protocol']}" + (" (leaks)" if data["leaky"] else ""),
    ]
    words += [*network, f"{tier} tier" if tier else "recipe not in experiments/"]
    for section, _, key in (key.partition(".") for key in changed if key != PROTOCOL):
        words.append(f"{section}.{key}={recipe.get(section, {}).get(key)}")
    if select != "last" and sum("test" in entry for entry in record.get("history", ())) == 1:
        words.append("only the last epoch was tested")
    return words


def steps_in_words(recipe: Mapping[str, Any], at_steps: int | None = None) -> str:
    """T, the frames of a recording if these are more, and how many of the steps are tested with if not all."""
    frames, steps = recipe["data"]["steps"], steps_of(recipe)
    words = f"T {steps}" + (f" of {frames} frames" if frames > steps else "")
    return words + (f", tested with the first {at_steps}" if at_steps else "")


def setting_of(record: Record, select: str) -> list[str]:
    """`in_words` of a run with all its steps: six words or more, the last of the six its tier."""
    try:
        tier, changed = nearest_tier(record)
    except RecipeError:  # the recipe as it is now cannot be read; the run stands for itself
        tier, changed = None, []
    network = [record["recipe"]["model"]["name"], steps_in_words(record["recipe"])]
    return in_words(record, network, tier, changed, select)


def warnings_of(records: Iterable[Record], select: str) -> tuple[str, ...]:
    """What `notes_of` says of some runs of one recipe, each sentence once, with the seeds that it is about."""
    said: dict[str, set[int]] = {}
    for record in records:
        for sentence in notes_of({"firing_rates": {}, **record, "last": record[select] or record["last"]}).values():
            said.setdefault(sentence, set()).add(record["seed"])
    return tuple(
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, sorted(seeds)))}: {sentence}"
        for sentence, seeds in said.items()
    )


def same_runs(rows: Iterable[tuple[str, Any]]) -> list[str]:
    """A sentence for recipes of several names whose runs are the same.

    Args:
        rows: names of recipes, and what is the same for runs of the same settings and data.

    Example:
        >>> same_runs([("x/hsd", "ab12"), ("x/hsd_t1", "ab12"), ("x/tet", "cd34")])
        ['x/hsd and x/hsd_t1 are the same run under several names: their settings do not differ']
    """
    names = [dict.fromkeys(name for name, _ in group) for group in grouped(rows, lambda row: row[1]).values()]
    several = [" and ".join(group) for group in names if len(group) > 1]
    return [f"{group} are the same run under several names: their settings do not differ" for group in several]
