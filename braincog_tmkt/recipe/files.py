"""Where recipes and the papers' numbers are found."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import RecipeError
from ..files import shipped, user_path
from ..registry import nearest


def find_recipe(name: str) -> Path:
    """The file of a recipe, given as a path or as `<folder>/<file>` below `experiments/`.

    Raises:
        RecipeError: if there is none, with the nearest known name.
        DataError: if no file can be called so.
    """
    if (path := user_path(name)).is_file():
        return path
    known = known_recipes()
    if name not in known:
        near, folder = nearest(name, known), name.partition("/")[0]
        siblings = [other for other in known if other.startswith(f"{folder}/")]
        guess = f"did you mean '{near}'? " if near else ""
        some = f"In {folder}: {', '.join(siblings)}. " if siblings else ""
        raise RecipeError(f"no recipe file or name '{name}': {guess}{some}`tmkt list` shows all {len(known)}.")
    return known[name]


def known_recipes(folders: Iterable[Path] | None = None) -> dict[str, Path]:
    """Name -> file of the recipes below some folders, by default those of `experiment_folders`; the last one wins.

    `common.yaml` holds what recipes of a folder share, `paper/` the papers' numbers; these are no recipes.
    """
    found: dict[str, Path] = {}
    for folder in folders or experiment_folders():
        files = [path for path in sorted(folder.rglob("*.yaml")) if path.stem != "common"]
        names = {path.relative_to(folder).with_suffix("").as_posix(): path for path in files}
        found |= {name: path for name, path in names.items() if not name.startswith("paper/")}
    return found


def is_recipe(name: str) -> bool:
    """Whether there is a recipe of that name, without looking for all of them."""
    return any(os.path.isfile(folder / f"{name}.yaml") for folder in experiment_folders())  # takes any name


def experiment_folders() -> tuple[Path, Path]:
    """Where recipes and the papers' numbers lie: the package's, and those of the current folder, which goes first."""
    return shipped("experiments"), Path("experiments")
