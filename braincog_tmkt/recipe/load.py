"""Recipes: one YAML file says everything that makes a result; loading is strict.

A recipe has five sections of plain keys (`data`, `model`, `method`, `optim`, `train`). It may extend another file or a
known recipe (`extends: digits/tmkt`), whose keys lie below its own, and name `tiers`: sets of overrides such as
`{smoke: {train.epochs: 1}}`. A method with several training stages may have settings for each, under `stages`:
`{ann.optim.lr: 0.1}`. A recipe that names another method than the file it extends starts with empty `method` and
`stages` sections.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import is_dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, get_args

from ..errors import RecipeError
from ..files import file_below, sha256_of, user_path
from ..own_code import COPY, Code, digests, find_code, read_copy, unlike
from ..registry import did_you_mean
from ..value_types import hints_of
from .check import NOT_IN_NAMES, check_layer, check_ranges, hint_of
from .files import known_recipes
from .identity import flat, relevant
from .schema import MODEL_DEFAULTS, DataConfig, Recipe
from .text import read_value, read_yaml

PAPER = "paper"
"""The tier that every recipe has: its full settings."""


def load_recipe(path: str | Path, overrides: Iterable[str] = (), tier: str | None = None) -> Recipe:
    """Load a recipe file, apply a tier and then overrides.

    Args:
        path: the YAML file.
        overrides: texts such as `train.epochs=3`; how the value is read: `text.read_value`.
        tier: one of the recipe's tiers, or `paper`: the recipe as it stands, with its full settings.

    Raises:
        RecipeError: naming the file (or override), the key, and the nearest valid key or the values it may have; and
            as `load_with_code` does.
    """
    return load_with_code(path, overrides, tier)[0]


def load_with_code(path: str | Path, overrides: Iterable[str] = (), tier: str | None = None) -> tuple[Recipe, Code]:
    """A recipe, see `load_recipe`, and the user's own code that it leads to.

    The code is looked for in the current folder, and beside the recipe file and the files that it extends. The recipe
    in a run folder leads to the copy there.

    Raises:
        RecipeError: as `load_recipe` and `own_code.find_code` do, or if the recipe states other `code` or another file
            of weights than there is.
        TrainingError: if the copy in the run folder is not what the recipe states.
    """
    recipe = recipe_from_dict(merged_values(path, overrides, tier), str(path))
    recipe = replace(recipe, data=_with_digest(recipe.data, path))
    code = _code_of(recipe, Path(path))
    return replace(recipe, code=digests(code)), code


def _with_digest(data: DataConfig, source: str | Path) -> DataConfig:
    """The section with the SHA-256 of the file of weights that it names; as it is where there is no such file."""
    given = data.reconstruction or {}
    name = given.get("weights")
    if not isinstance(name, str) or (file := file_below(name, data.root)) is None:
        return data  # whoever makes frames refuses it
    digest = sha256_of(file)
    if str(given.get("sha256", digest)).lower() != digest:
        raise RecipeError(
            f"{source} asks for weights with another sha256 than {file} has: restore the file, or leave out sha256"
        )
    return replace(data, reconstruction={**given, "sha256": digest})


def _code_of(recipe: Recipe, path: Path) -> Code:
    if recipe.code and (copy := path.parent / COPY).is_file():
        return read_copy(copy, recipe.code)
    for name in recipe.imports:
        if not all(map(str.isidentifier, str(name).split("."))):
            module = Path(str(name)).stem
            raise RecipeError(f"{path}: imports takes names of modules, not '{name}': write {module}")
    names = named_code(recipe)
    code = find_code(names, [Path.cwd(), *_folders(path)]) if names else {}
    if recipe.code and (changed := unlike(code, recipe.code)):
        raise RecipeError(
            f"{path} asks for other code than there is ({changed} differs): restore it, or remove 'code' from the"
            " recipe"
        )
    return code


def named_code(recipe: Recipe) -> list[str]:
    """The `imports` of a recipe, and all that looks like a dotted path in its settings."""
    return [*recipe.imports, *_dotted(relevant(recipe.as_dict()))]


def _dotted(value: Any) -> Iterator[str]:
    """The dotted paths in a plain value: `my_net.Net`."""
    if isinstance(value, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", value):
        yield value
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _dotted(inner)


def _folders(path: Path) -> list[Path]:
    """Those of a recipe file and of the files that it extends."""
    base = _read(path).get("extends")
    return [path.parent, *(_folders(_extended(path, base)) if base else ())]


def merged_values(path: str | Path, overrides: Iterable[str] = (), tier: str | None = None) -> dict[str, Any]:
    """The nested values of a recipe file, its tier and overrides, each over those before it; see `load_recipe`."""
    path = Path(path)
    merged = _merged_files(path)
    merged.setdefault("name", re.sub(NOT_IN_NAMES, "_", f"{path.resolve().parent.name}/{path.stem}"))
    if tier not in (None, PAPER):
        tiers = merged.get("tiers", {})
        if tier not in tiers:
            raise RecipeError(f"{path} has no tier '{tier}': {did_you_mean(str(tier), [*tiers, PAPER])}")
        merged = _over(merged, _nested(tiers[tier]))
    return _overridden(merged, overrides)


def recipe_from_dict(values: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """Build a recipe from plain values as `Recipe.as_dict` gives them, checking keys, types and ranges.

    Raises:
        RecipeError: naming the source, the key, and the nearest valid key or the values it may have.
    """
    check_layer(source, values, Recipe)
    for key in ("data.name", "method.name"):
        section, leaf = key.split(".")
        if not isinstance(values.get(section, {}).get(leaf), str):
            raise RecipeError(f"{source}: {key} is missing; it must be a text (`tmkt list` shows the names)")
    recipe = _built(Recipe, values)
    assert isinstance(recipe, Recipe)
    check_ranges(source, flat(recipe.as_dict()))
    return recipe


def _built(config: type, values: Mapping[str, Any]) -> Any:
    """A dataclass of checked values; a whole number becomes a float where that is asked for."""
    hints = hints_of(config)
    built = {key: _as(hints[key], value) for key, value in values.items()}
    if config is Recipe:
        given = values.get("model", {})
        built["model"] = {**MODEL_DEFAULTS, **{key: _as(hint_of(f"model.{key}", Recipe), given[key]) for key in given}}
    return config(**built)


def _as(hint: Any, value: Any) -> Any:
    if is_dataclass(hint):
        return _built(hint, value)  # type: ignore[arg-type]
    asked = hint is float or float in get_args(hint)
    return float(value) if asked and isinstance(value, int) else value


def with_overrides(recipe: Recipe, overrides: Iterable[str]) -> Recipe:
    """The recipe with overrides such as `data.root=/data` applied.

    Raises:
        RecipeError: naming the override, as `load_recipe` does.
    """
    return recipe_from_dict(_overridden(recipe.as_dict(), overrides))


def data_section(settings: Mapping[str, Any], overrides: Iterable[str] = ()) -> DataConfig:
    """The section `data` of a recipe from its keys and values, with overrides such as `data.time_unit=ms` applied.

    Raises:
        RecipeError: naming the override or the key, as `load_recipe` does, or if an override is of another section.
    """
    overrides = list(overrides)
    for override in overrides:
        if not override.startswith("data."):
            raise RecipeError(
                f"override '{override}': this command takes keys of the section data alone, such as"
                " data.time_unit=ms: leave it out"
            )
    values = _overridden({"data": dict(settings)}, overrides)
    return recipe_from_dict({**values, "name": "data", "method": {"name": "baseline"}}, "command line").data


def _merged_files(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The checked content of a file over that of the files it extends."""
    if path.resolve() in above:
        raise RecipeError(
            f"{path} extends itself, by way of {' and '.join(file.name for file in above)}: remove one 'extends'"
        )
    own = _read(path)
    check_layer(str(path), own, Recipe)
    for tier, settings in own.get("tiers", {}).items():
        check_layer(f"{path}, tier '{tier}'", _nested(settings), Recipe)
    base = own.pop("extends", None)
    if base is None:
        return own
    below = _merged_files(_extended(path, base), (*above, path.resolve()))
    below.pop("name", None)  # two recipes are two names
    return _over(below, own)


def _extended(path: Path, base: str) -> Path:
    """The file that a recipe extends: one relative to it, else that of a known recipe's name."""
    beside = path.parent / user_path(base)
    return beside if os.path.exists(beside) else known_recipes().get(base, beside)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe file {path}: correct the path, or the 'extends' that names it") from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read ({error.strerror}): give a recipe file that you may read") from error
    except ValueError as error:
        raise RecipeError(f"{path} cannot be read as a recipe: {error}") from error
    if not isinstance(content, dict):
        found = {type(None): "nothing", list: "a list"}.get(type(content), repr(content)[:80])
        raise RecipeError(
            f"{path} must hold sections, such as method: {{name: tmkt}}, not {found}: start from a file in experiments/"
        )
    return content


def parse_override(override: str) -> dict[str, Any]:
    """The nested dictionary of a text such as `train.epochs=3`, checked.

    Raises:
        RecipeError: naming the override, and the nearest valid key or the type the value must have.
    """
    layer = _nested(parse_settings([override], lambda key: hint_of(key, Recipe)))
    if meant := {"tiers", "extends"} & layer.keys():
        raise RecipeError(f"override '{override}': {meant.pop()} is for recipe files; --tier chooses a tier")
    check_layer(f"override '{override}'", layer, Recipe)
    return layer


def _overridden(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Values with overrides over them, in any order: another method's name drops settings of `values` alone."""
    return _over(values, reduce(_lay, map(parse_override, overrides), {}))


def parse_settings(texts: Iterable[str], hint: Callable[[str], Any] = lambda key: Any) -> dict[str, Any]:
    """Texts such as `train.epochs=3` as key -> value, read by the annotation that `hint` gives (`text.read_value`).

    Raises:
        RecipeError: naming the text that has no key or no valid value.

    Example:
        >>> parse_settings(["grid=21", "classes=[0, 5]"])
        {'grid': 21, 'classes': [0, 5]}
    """
    settings = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise RecipeError(f"override '{text}' must look like section.key=value")
        try:
            settings[key] = read_value(value, hint(key))
        except ValueError as error:
            raise RecipeError(f"override '{text}' has no valid value: {error}") from error
    return settings


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"train.epochs": 1}` -> `{"train": {"epochs": 1}}`."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, leaf = key.partition(".")
        if leaf and not isinstance(nested.get(section, {}), dict):
            continue  # `{train: 3, train.epochs: 4}`: what is no section stays, to be refused
        nested = _lay(nested, {section: {leaf: value}} if leaf else {key: value})
    return nested


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one dictionary of sections over another; another method's name drops what was meant for the old one."""
    result = dict(below)
    name, old = above.get("method", {}).get("name"), below.get("method", {}).get("name")
    if None not in (name, old) and name != old:
        result |= {"method": {}, "stages": {}}
    return _lay(result, above)


def _lay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one dictionary of sections over another, key by key."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return result
