"""The settings of one training stage of a recipe's method."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import RecipeError
from .recipe import Recipe, recipe_from_dict
from .recipe_check import settings_of_stage
from .registry import did_you_mean


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
    """Refuse settings for a stage that the method does not train.

    Args:
        recipe: its `stages` section.
        known: the stages that its method trains.

    Raises:
        RecipeError: naming the key and the nearest stage.
    """
    names = list(known)
    for key in recipe.stages:
        stage = key.partition(".")[0]
        if stage not in names:
            method = recipe.method["name"]
            raise RecipeError(
                f"{recipe.name}: stages.{key}: method '{method}' trains no stage '{stage}',"
                f" {did_you_mean(stage, names)}"
            )
