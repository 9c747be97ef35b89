"""Recipes: what stands in one (`schema`), how it is read (`load`), when two are the same (`identity`)."""

from .identity import recipe_hash
from .load import PAPER, load_recipe, merged_values, parse_override, parse_settings, recipe_from_dict, with_overrides
from .schema import DataConfig, OptimConfig, Recipe, TrainConfig

__all__ = [
    "PAPER",
    "DataConfig",
    "OptimConfig",
    "Recipe",
    "TrainConfig",
    "load_recipe",
    "merged_values",
    "parse_override",
    "parse_settings",
    "recipe_from_dict",
    "recipe_hash",
    "with_overrides",
]
