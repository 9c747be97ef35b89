"""The settings of single training stages of a recipe's method."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import RecipeError
from ..registry import did_you_mean
from .check import settings_of_stage
from .identity import flat
from .load import merged_values, parse_override, recipe_from_dict
from .schema import Recipe

WARMUP = "optim.warmup_epochs"


def stage_recipe(recipe: Recipe, stage: str) -> Recipe:
    """The recipe by which a stage is trained: what `stages` says about it lies over the sections.

    Example:
        >>> from braincog_tmkt.recipe import DataConfig
        >>> whole = Recipe(
        ...     "r", DataConfig("digits"), method={"name": "hsd"}, stages={"ann.optim.lr": 0.1, "ann.train.epochs": 64}
        ... )
        >>> ann, distil = stage_recipe(whole, "ann"), stage_recipe(whole, "distil")
        >>> ann.optim.lr, ann.train.epochs, ann.stages, distil.train.epochs
        (0.1, 64, {}, 300)
    """
    values = recipe.as_dict() | {"stages": {}}
    for key, value in settings_of_stage(recipe.stages, stage).items():
        section, _, leaf = key.partition(".")
        values[section][leaf] = value
    return recipe_from_dict(values, f"{recipe.name}, stage '{stage}'")


def check_stage_names(recipe: Recipe, known: Iterable[str]) -> None:
    """Refuse settings for a stage that the method does not train; `known` are those that it trains.

    Raises:
        RecipeError: naming the key and the nearest stage.
    """
    names = list(known)
    for key in recipe.stages:
        stage = key.partition(".")[0]
        if stage not in names:
            method, near = recipe.method["name"], did_you_mean(stage, names)
            raise RecipeError(f"{recipe.name}: stages.{key}: method '{method}' trains no stage '{stage}', {near}")


def warmup_that_fits(path: str | Path, overrides: Iterable[str], tier: str | None = None) -> list[str]:
    """Overrides that shorten warm-ups for which overridden epochs leave no room; one less than the epochs is left.

    Who asks for a single epoch wants it trained, whatever the file's warm-up. Where the file's own numbers contradict
    each other, or the overrides do, nothing is changed: `load_recipe`, which takes the same arguments, refuses those.
    """
    overrides = list(overrides)
    given = {key for override in overrides for key in flat(parse_override(override))}
    merged = merged_values(path, overrides, tier)
    values = flat(Recipe().as_dict()) | flat(merged)
    stages = dict.fromkeys(key.partition(".")[0] for key in merged.get("stages", {}))
    shorter = []
    for prefix in ("", *(f"stages.{stage}." for stage in stages)):
        epochs, warmup = (f"{prefix}{key}" if f"{prefix}{key}" in values else key for key in ("train.epochs", WARMUP))
        own = prefix if prefix in (epochs[: len(prefix)], warmup[: len(prefix)]) else ""
        if values[warmup] >= values[epochs] >= 1 and epochs in given and warmup not in given:
            shorter.append(f"{own}{WARMUP}={values[epochs] - 1}")
    return list(dict.fromkeys(shorter))
