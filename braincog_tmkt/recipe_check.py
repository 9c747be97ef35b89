"""What may stand in a recipe: known keys, their types, their ranges."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from .errors import RecipeError
from .registry import did_you_mean

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
_PRECISIONS = ("32-true", "bf16-mixed")
_SCHEDULES = ("cosine", "step", "none")
_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda name: bool(re.fullmatch(r"[\w.+=-]+(/[\w.+=-]+)*", name)) and ".." not in name, "a relative path"),
    "data.steps": (lambda steps: steps >= 1, "1 or more"),
    "data.size": (lambda size: size >= 1, "1 or more"),
    "data.train_portion": (lambda share: 0 < share < 1, "above 0 and below 1"),
    "data.val_portion": (lambda share: 0 <= share < 1, "from 0 to below 1"),
    "data.train_per_class": (lambda count: count is None or count >= 1, "null or 1 or more"),
    "data.sensor": (
        lambda sides: sides is None or (len(sides) == 2 and all(1 <= side <= 4096 for side in sides)),
        "null or a height and a width from 1 to 4096, as [720, 1280]",
    ),
    "model.threshold": (lambda level: level > 0, "above 0"),
    "model.tau": (lambda tau: tau >= 1, "1 or more"),
    "model.levels": (lambda levels: levels >= 1, "1 or more"),
    "model.width": (lambda width: width > 0, "above 0"),
    "optim.lr": (lambda lr: lr > 0, "above 0"),
    "optim.lr_scale_base": (lambda base: base is None or base > 0, "null or above 0"),
    "optim.weight_decay": (lambda decay: decay >= 0, "0 or more"),
    "optim.schedule": (lambda name: name in _SCHEDULES, f"one of {', '.join(_SCHEDULES)}"),
    "optim.warmup_epochs": (lambda epochs: epochs >= 0, "0 or more"),
    "optim.warmup_lr": (lambda lr: lr >= 0, "0 or more"),
    "optim.min_lr": (lambda lr: lr >= 0, "0 or more"),
    "optim.step_epochs": (lambda epochs: epochs >= 1, "1 or more"),
    "optim.step_rate": (lambda rate: 0 < rate <= 1, "above 0 and not above 1"),
    "train.epochs": (lambda epochs: epochs >= 1, "1 or more"),
    "train.batch": (lambda batch: batch >= 2, "2 or more (alignment and batch norm compare samples)"),
    "train.eval_batch": (lambda batch: batch is None or batch >= 1, "null or 1 or more"),
    "train.eval_every": (lambda epochs: epochs >= 1, "1 or more"),
    "train.precision": (lambda name: name in _PRECISIONS, f"one of {', '.join(_PRECISIONS)}"),
    "train.seeds": (
        lambda seeds: seeds and len(set(seeds)) == len(seeds) and min(seeds) >= 0,
        "a list of different whole numbers, 0 or more",
    ),
    "train.threads": (lambda threads: threads is None or threads >= 1, "null or 1 or more"),
}

_STAGED = {"optim": None, "train": ("epochs", "batch", "eval_every", "balanced")}
"""The sections, and which keys of them (None: all), that may differ between the stages of a method."""


def check_layer(source: str, layer: Mapping[str, Any], recipe: type) -> None:
    """Refuse unknown keys and wrong types in a part of a recipe.

    Args:
        source: file, tier or override it comes from.
        layer: nested sections; any of them and of their keys may be missing.
        recipe: the dataclass of a whole recipe.

    Raises:
        RecipeError: naming the source, the key, and the nearest known key or the type it must have.
    """
    _check_section(source, layer, recipe, "", recipe)
    for key, value in layer.get("stages", {}).items():
        _check_stage_key(source, str(key), value, recipe)


def _check_section(source: str, layer: Mapping[str, Any], config: Any, prefix: str, recipe: type) -> None:
    hints = get_type_hints(config)
    for key, value in layer.items():
        if key not in hints:
            raise RecipeError(f"{source}: unknown key '{prefix}{key}', {_nearest(key, prefix, hints, recipe)}")
        hint = hints[key]
        if is_dataclass(hint):
            if not isinstance(value, Mapping):
                raise RecipeError(f"{source}: '{key}' is a section and must hold keys, not {value!r}")
            _check_section(source, value, hint, f"{key}.", recipe)
        elif not _fits(value, hint):
            raise RecipeError(f"{source}: {prefix}{key} must be {_in_words(hint)}, not {value!r}")


def _nearest(key: str, prefix: str, hints: Mapping[str, Any], recipe: type) -> str:
    """What a wrong key could have meant: the same key of another section, or a similar one of its own."""
    for name, section in get_type_hints(recipe).items():
        if is_dataclass(section) and key in get_type_hints(section):
            return f"did you mean '{name}.{key}'?"
    return did_you_mean(f"{prefix}{key}", [f"{prefix}{name}" for name in hints])


def _check_stage_key(source: str, key: str, value: Any, recipe: type) -> None:
    """Refuse a key below `stages` that is no `<stage>.<section>.<key>`, and a value of a wrong type."""
    stage, *parts = key.split(".")
    if not stage or len(parts) != 2:
        raise RecipeError(f"{source}: 'stages.{key}' must look like stages.ann.optim.lr: a stage, a section and a key")
    (section, leaf), hints = parts, get_type_hints(recipe)
    known = {name: keys or tuple(get_type_hints(hints[name])) for name, keys in _STAGED.items()}
    if section not in known:
        raise RecipeError(f"{source}: stages.{key}: a stage has no section '{section}', {did_you_mean(section, known)}")
    if leaf not in known[section]:
        homes = [name for name in known if leaf in known[name]]
        names = [f"{name}.{leaf}" for name in homes] or [f"{section}.{name}" for name in known[section]]
        near = did_you_mean(f"{section}.{leaf}", names)
        raise RecipeError(f"{source}: stages.{key}: a stage has no key '{section}.{leaf}', {near}")
    hint = get_type_hints(hints[section])[leaf]
    if not _fits(value, hint):
        raise RecipeError(f"{source}: stages.{key} must be {_in_words(hint)}, not {value!r}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of a YAML file has the type; a whole number is a number, but no text is."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in inner)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, inner[1]) for item in value.values())
    if isinstance(value, bool) and hint is not Any:
        return hint is bool
    return hint is Any or isinstance(value, (int, float) if hint is float else origin or hint)


def check_arguments(source: str, section: str, arguments: Mapping[str, Any], target: Callable[..., Any]) -> None:
    """Refuse arguments of a class or function whose types are not the annotated ones; unknown ones pass.

    Args:
        source: recipe they come from.
        section: of the recipe.
        arguments: by name.
        target: the class or function.

    Raises:
        RecipeError: naming the source, the key, and the type it must have.
    """
    hints = get_type_hints(target.__init__ if isinstance(target, type) else target)  # type: ignore[misc]
    for key, value in arguments.items():
        if key in hints and not _fits(value, hints[key]):
            raise RecipeError(f"{source}: {section}.{key} must be {_in_words(hints[key])}, not {value!r}")


def _in_words(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_in_words(option) for option in inner)
    if origin is list:
        return f"a list, each of it {_in_words(inner[0])}"
    return "null" if hint is type(None) else _WORDS.get(hint, "a section with keys")


def check_ranges(source: str, values: Mapping[str, Any]) -> None:
    """Refuse values out of range.

    Args:
        source: file the recipe comes from.
        values: all values, by dotted key.

    Raises:
        RecipeError: naming the source, the key and the values it may have.
    """
    for key, (holds, words) in _RANGES.items():
        if not holds(values[key]):
            raise RecipeError(f"{source}: {key} is {values[key]!r}, but must be {words}")
    if values["optim.warmup_epochs"] >= values["train.epochs"]:
        raise RecipeError(
            f"{source}: optim.warmup_epochs is {values['optim.warmup_epochs']}, but must be below train.epochs"
            f" ({values['train.epochs']}), or the learning rate is never reached"
        )


def settings_of_stage(stages: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """What `stages` says about one of them.

    Example:
        >>> settings_of_stage({"ann.optim.lr": 0.1, "distil.train.epochs": 30}, "ann")
        {'optim.lr': 0.1}
    """
    parts = [(*key.partition("."), value) for key, value in stages.items()]
    return {key: value for name, _, key, value in parts if name == stage}


def check_stages(source: str, values: Mapping[str, Any], stages: Mapping[str, Any]) -> None:
    """Refuse values out of range in the settings of a stage.

    Args:
        source: file the recipe comes from.
        values: all values, by dotted key.
        stages: the values of single stages that lie over them.

    Raises:
        RecipeError: naming the source, the stage, the key and the values it may have.
    """
    for stage in dict.fromkeys(key.partition(".")[0] for key in stages):
        check_ranges(f"{source}, stage '{stage}'", {**values, **settings_of_stage(stages, stage)})
