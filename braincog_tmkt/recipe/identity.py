"""Which keys of a recipe change a result, and in which of them two recipes differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .schema import Recipe

ADDED: dict[str, Any] = {
    "data.frames": "time",
    "data.antialias": False,
    **dict.fromkeys(
        f"data.{key}" for key in ("sensor", "columns", "time_unit", "group", "camera", "turn", "formats", "set")
    ),
    "data.appearance": "value",
    "data.reconstruction": None,
    "model.levels": 4,
    "optim.decay_all": False,
    "optim.cycle_epochs": None,
    "optim.step_at": None,
    "optim.options": {},
}
"""Keys that came after the first release, and what was done before: with it they do not count, so that the hashes of
older records and run folders stay valid."""

IRRELEVANT = {
    *("name", "tiers", "extends", "imports", "data.root", "data.static_root", "data.cache"),
    *("model.recompute", "train.seeds", "train.threads", "train.eval_batch", "train.keep_every"),
}
"""Keys that do not change a result."""

WEIGHTS = "data.reconstruction.sha256"
"""What stands for a file of weights; it is no key of its own, so that settings can be compared without it."""


def relevant(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a recipe (as a dictionary) that change a result, by dotted key.

    Example:
        >>> relevant({"train": {"batch": 16, "threads": 1}})
        {'train.batch': 16}
    """
    found = {
        key: value for key, value in flat(values).items() if key not in IRRELEVANT and (key, value) not in ADDED.items()
    }
    if isinstance(given := found.get("data.reconstruction"), Mapping):
        found["data.reconstruction"] = {key: given[key] for key in given if key not in ("weights", "sha256")}
        found[WEIGHTS] = given.get("sha256")
    return found


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 (hex) of everything that changes the result; see `IRRELEVANT` for what does not."""
    return hashlib.sha256(json.dumps(relevant(recipe.as_dict()), sort_keys=True).encode()).hexdigest()


def changed_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The keys that change the result in which two recipes (as dictionaries) differ, sorted.

    Example:
        >>> changed_keys({"train": {"batch": 16, "threads": 1}}, {"train": {"batch": 32, "threads": 2}})
        ['train.batch']
    """
    left, right = relevant(one), relevant(other)
    return [key for key in sorted(left.keys() | right.keys()) if left.get(key) != right.get(key)]


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """`changed_keys` with both values, as `train.batch (16, 32)`."""
    left, right = relevant(one), relevant(other)
    return [f"{key} ({left.get(key)}, {right.get(key)})" for key in changed_keys(one, other)]


def setting_of(record: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key in the recipe of a record, which may be older than the key.

    Example:
        >>> setting_of({"recipe": {"train": {"batch": 16}}}, "train.batch"), setting_of({"recipe": {}}, "model.levels")
        (16, 4)
    """
    return flat(record["recipe"]).get(key, ADDED.get(key))


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Sections to dotted keys, two levels."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and key != "tiers":
            flat |= {f"{key}.{leaf}": item for leaf, item in value.items()}
        else:
            flat[key] = value
    return flat
