"""What may stand in a recipe: known keys, their types, their ranges."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any

from ..errors import RecipeError
from ..registry import did_you_mean
from ..value_types import fits, hints_of, in_words
from .identity import flat
from .schema import MODEL_DEFAULTS, MODEL_FROM_DATA

NOT_IN_NAMES = r"[^\w.+=/-]"
"""What the name of a recipe cannot hold."""
_PRECISIONS = ("32-true", "bf16-mixed")
_SCHEDULES = ("cosine", "step", "none")
_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (
        lambda name: bool(re.fullmatch(r"[\w.+=-]+(/[\w.+=-]+)*", name)) and ".." not in name,
        "a relative path of letters, digits and . _ + = -",
    ),
    "data.root": (bool, "a folder, not an empty text"),
    "data.static_root": (lambda path: path != "", "null or a folder, not an empty text"),
    "data.cache": (bool, "a folder, not an empty text"),
    "data.steps": (lambda steps: steps >= 1, "1 or more"),
    "data.size": (
        lambda size: size >= 1 if isinstance(size, int) else len(size) == 2 and min(size) >= 1,
        "1 or more, or a height and a width of 1 or more, as [180, 240]",
    ),
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
    "model.width": (lambda width: 0 < width <= 1000, "above 0, and 1000 or less"),
    "optim.lr": (lambda lr: lr > 0, "above 0"),
    "optim.lr_scale_base": (lambda base: base is None or base > 0, "null or above 0"),
    "optim.weight_decay": (lambda decay: decay >= 0, "0 or more"),
    "optim.schedule": (lambda name: name in _SCHEDULES, f"one of {', '.join(_SCHEDULES)}"),
    "optim.warmup_epochs": (lambda epochs: epochs >= 0, "0 or more"),
    "optim.warmup_lr": (lambda lr: lr >= 0, "0 or more"),
    "optim.min_lr": (lambda lr: lr >= 0, "0 or more"),
    "optim.cycle_epochs": (lambda epochs: epochs is None or epochs >= 1, "null or 1 or more"),
    "optim.step_epochs": (lambda epochs: epochs >= 1, "1 or more"),
    "optim.step_at": (
        lambda shares: shares is None or (shares == sorted(set(shares)) and all(0 < share < 1 for share in shares)),
        "null or rising shares of the epochs, above 0 and below 1, as [0.6, 0.8]",
    ),
    "optim.step_rate": (lambda rate: 0 < rate <= 1, "above 0 and not above 1"),
    "train.epochs": (lambda epochs: 1 <= epochs <= 10**6, "from 1 to 1,000,000"),
    "train.batch": (lambda batch: batch >= 2, "2 or more (alignment and batch norm compare samples)"),
    "train.eval_batch": (lambda batch: batch is None or batch >= 1, "null or 1 or more"),
    "train.eval_every": (lambda epochs: epochs >= 1, "1 or more"),
    "train.keep_every": (lambda epochs: epochs is None or epochs >= 1, "null or 1 or more"),
    "train.precision": (lambda name: name in _PRECISIONS, f"one of {', '.join(_PRECISIONS)}"),
    "train.seeds": (
        lambda seeds: seeds and len(set(seeds)) == len(seeds) and min(seeds) >= 0 and max(seeds) < 2**64,
        "a list of different whole numbers, from 0 to 2^64 - 1",
    ),
    "train.threads": (lambda threads: threads is None or 1 <= threads <= 1024, "null or from 1 to 1024"),
}

_STAGED = {"optim": None, "train": ("epochs", "batch", "eval_every", "balanced")}
"""The sections, and which keys of them (None: all), that may differ between the stages of a method."""


def check_layer(source: str, layer: Mapping[str, Any], recipe: type) -> None:
    """Refuse unknown keys and wrong types in a part of a recipe, any of whose sections and keys may be missing.

    Raises:
        RecipeError: naming the source (a file, tier or override), the key, and the nearest known key or its type.
    """
    sections = hints_of(recipe)
    for section, content in layer.items():
        if section not in sections:
            raise RecipeError(f"{source}: unknown key '{section}', {_nearest(section, '', sections, recipe)}")
        if is_dataclass(sections[section]) and not isinstance(content, Mapping):
            raise RecipeError(
                f"{source}: '{section}' is a section and must hold keys, not {content!r}: write it as {section}:"
                f" {{key: value}}"
            )
    for key, value in flat(layer).items():
        section, _, leaf = key.partition(".")
        if is_dataclass(sections[section]) and leaf not in (known := hints_of(sections[section])):
            raise RecipeError(f"{source}: unknown key '{key}', {_nearest(leaf, f'{section}.', known, recipe)}")
        if section == "stages" and leaf:
            _check_stage_key(source, leaf, recipe)
        if section == "model" and leaf in MODEL_FROM_DATA:
            raise RecipeError(f"{source}: {key} follows from the data: set {MODEL_FROM_DATA[leaf]} instead")
        if not fits(value, hint := hint_of(key, recipe)):
            raise RecipeError(f"{source}: {key} must be {in_words(hint)}, not {value!r}")
        _check_texts(source, key, value)


def hint_of(key: str, recipe: type) -> Any:
    """The annotation of a dotted key, such as `optim.lr` or `stages.ann.optim.lr`; `Any` where there is none."""
    section, _, leaf = key.partition(".")
    if section == "stages" and leaf:
        section, _, leaf = leaf.partition(".")[2].partition(".")
    hint = hints_of(recipe).get(section, Any)
    if is_dataclass(hint):
        return hints_of(hint).get(leaf, Any)  # type: ignore[arg-type]
    if section == "model" and leaf in MODEL_DEFAULTS:
        return type(MODEL_DEFAULTS[leaf])
    return Any if leaf else hint


def _check_texts(source: str, key: str, value: Any) -> None:
    """Refuse what would be read as something else: interpolations, which other libraries' files have; and NUL."""
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        _check_texts(source, key, inner)
    if isinstance(value, str) and "${" in value:
        raise RecipeError(f"{source}: {key} is {value!r}, but recipes have no ${{...}}: write the value itself")
    if isinstance(value, str) and "\0" in value:
        raise RecipeError(f"{source}: {key} is {value!r}, but no text may hold the character NUL")


def _nearest(key: str, prefix: str, hints: Mapping[str, Any], recipe: type) -> str:
    """What a wrong key could have meant: the same key of another section, or a similar one of its own."""
    for name, section in hints_of(recipe).items():
        if is_dataclass(section) and key in hints_of(section):  # type: ignore[arg-type]
            return f"did you mean '{name}.{key}'?"
    if key in MODEL_DEFAULTS:
        return f"did you mean 'model.{key}'?"
    return did_you_mean(f"{prefix}{key}", [f"{prefix}{name}" for name in hints])


def _check_stage_key(source: str, key: str, recipe: type) -> None:
    """Refuse a key below `stages` that is no `<stage>.<section>.<key>`."""
    stage, *parts = key.split(".")
    if not stage or len(parts) != 2:
        raise RecipeError(f"{source}: 'stages.{key}' must look like stages.ann.optim.lr: a stage, a section and a key")
    (section, leaf), hints = parts, hints_of(recipe)
    known = {name: keys or tuple(hints_of(hints[name])) for name, keys in _STAGED.items()}
    if section not in known:
        raise RecipeError(f"{source}: stages.{key}: a stage has no section '{section}', {did_you_mean(section, known)}")
    if leaf not in known[section]:
        homes = [name for name in known if leaf in known[name]]
        names = [f"{name}.{leaf}" for name in homes] or [f"{section}.{name}" for name in known[section]]
        near = did_you_mean(f"{section}.{leaf}", names)
        raise RecipeError(f"{source}: stages.{key}: a stage has no key '{section}.{leaf}', {near}")


def check_ranges(source: str, values: Mapping[str, Any]) -> None:
    """Refuse values out of range.

    Args:
        source: file the recipe comes from.
        values: all values, by dotted key; those below `stages` lie over the others in their stage.

    Raises:
        RecipeError: naming the source, the stage, the key and the values it may have.
    """
    _check_ranges(source, values)
    stages = {key.removeprefix("stages."): value for key, value in values.items() if key.startswith("stages.")}
    for stage in dict.fromkeys(key.partition(".")[0] for key in stages):
        _check_ranges(f"{source}, stage '{stage}'", {**values, **settings_of_stage(stages, stage)})


def _check_ranges(source: str, values: Mapping[str, Any]) -> None:
    for key, (holds, words) in _RANGES.items():
        if not holds(values[key]):
            raise RecipeError(f"{source}: {key} is {values[key]!r}, but must be {words}")
    for key, schedule in (("optim.cycle_epochs", "cosine"), ("optim.step_at", "step")):
        if values[key] is not None and values["optim.schedule"] != schedule:
            raise RecipeError(
                f"{source}: {key} is for optim.schedule {schedule}, not {values['optim.schedule']}: leave one of them"
                " out"
            )
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
