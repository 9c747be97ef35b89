"""Recipes: one YAML file says everything that makes a result; loading is strict.

A recipe has five sections of plain keys (`data`, `model`, `method`, `optim`, `train`). It may extend another file,
whose keys lie below its own, and name `tiers`: sets of overrides such as `{smoke: {train.epochs: 1}}`. A method with
several training stages may have settings for each, under `stages`: `{ann.optim.lr: 0.1}`. A recipe that names another
method than the file it extends starts with empty `method` and `stages` sections.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, get_args

from .errors import RecipeError
from .files import user_path
from .recipe_check import check_layer, check_ranges, check_stages, hint_of
from .recipe_compare import flat, relevant
from .recipe_text import read_value, read_yaml
from .registry import did_you_mean
from .value_types import hints_of


@dataclass
class DataConfig:
    """Which recordings and images, as which frames, in which split.

    Args:
        name: data set, see `tmkt list`.
        root: folder with the official folders.
        static_root: folder of the static images, where it is not inside `root`.
        steps: T, frames of a recording.
        size: height and width of a frame.
        protocol: how recordings are divided, see `data.splits.PROTOCOLS`.
        train_portion: share of each class that is not test.
        val_portion: share of the training recordings that is held out to select a checkpoint.
        train_per_class: training recordings of each class, instead of a share.
        static_pool: `partners` of the training recordings, or `open` (see `data.splits.Protocol`).
        frames: what a frame holds, see `data.frames.FRAMES`.
        antialias: whether the resize of the frames averages over all pixels, instead of leaving some out.
        sensor: height and width of the sensor, for the data set `folder`, which does not know it.
        appearance: which channel stands for a static image, see `data.static.APPEARANCES`.
        augment: augmentations of the event frames, in order, see `data.augment.AUGMENTS`.
        cache: folder of the frame cache.
    """

    name: str = ""
    root: str = "data"
    static_root: str | None = None
    steps: int = 10
    size: int = 48
    protocol: str = "clean"
    train_portion: float = 0.9
    val_portion: float = 0.1
    train_per_class: int | None = None
    static_pool: str = "partners"
    frames: str = "time"
    antialias: bool = False
    sensor: list[int] | None = None
    appearance: str = "value"
    augment: list[str] = field(default_factory=list)
    cache: str = "cache"


@dataclass
class ModelConfig:
    """The backbone; the keys are constructor arguments, see `models.two_stream.TwoStream`.

    Args:
        name: registered name, see `tmkt list`.
        node_type: BrainCog's node.
        act_fun: BrainCog's surrogate gradient.
        threshold: firing threshold.
        tau: membrane time constant of leaky nodes, in steps.
        levels: L of quantised activations (`QCFSNode`).
        width: factor on all channel numbers.
        execution: `multi_step` (fast) or `step` (BrainCog's own, the reference); the numbers agree up to rounding.
        recompute: keep the inputs of layers only and compute the rest again in the backward pass: the same numbers
            from less memory, in more time.
    """

    name: str = "tmkt_vggsnn"
    node_type: str = "LIFNode"
    act_fun: str = "QGateGrad"
    threshold: float = 0.5
    tau: float = 2.0
    levels: int = 4
    width: float = 1.0
    execution: str = "multi_step"
    recompute: bool = False


@dataclass
class OptimConfig:
    """Optimiser and learning rate, both timm's.

    Args:
        name: timm's name of the optimiser.
        lr: learning rate at a batch of `lr_scale_base`.
        lr_scale_base: the rate used is lr * batch / lr_scale_base; null uses `lr` as it is.
        weight_decay: of parameters with two axes or more; all others have none.
        schedule: `cosine`, `step` or `none`, after the warm-up.
        warmup_epochs: epochs over which the rate rises from `warmup_lr`.
        warmup_lr: rate of the first warm-up epoch.
        min_lr: where `cosine` ends.
        step_epochs: epochs between two steps of `step`.
        step_rate: factor of one step of `step`.
    """

    name: str = "adamw"
    lr: float = 5e-3
    lr_scale_base: float | None = 1024.0
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup_epochs: int = 5
    warmup_lr: float = 1e-6
    min_lr: float = 1e-5
    step_epochs: int = 40
    step_rate: float = 0.1


@dataclass
class TrainConfig:
    """How long, how many at once, how often to look.

    Args:
        epochs: of each stage of the method that `stages` gives no other number.
        batch: recordings of one optimiser step, over all processes together.
        eval_batch: recordings of one evaluation step; null takes twice `batch`, whose one stream has as many frames as
            the two of a training step.
        eval_every: epochs between two evaluations; the last epoch always has one.
        balanced: draw every class equally often, with replacement; otherwise each recording once an epoch.
        precision: `32-true` or `bf16-mixed`.
        seeds: one run each.
        threads: CPU threads; null leaves it to torch.
    """

    epochs: int = 300
    batch: int = 120
    eval_batch: int | None = None
    eval_every: int = 1
    balanced: bool = True
    precision: str = "32-true"
    seeds: list[int] = field(default_factory=lambda: [42, 1024, 90210])
    threads: int | None = None

    @property
    def at_once(self) -> int:
        """Recordings of one evaluation step, over all processes together."""
        return self.eval_batch or 2 * self.batch


@dataclass
class Recipe:
    """One cell of a table: everything but the seed.

    Args:
        name: what the run folder is called, by default `<folder>/<file>` of the recipe file.
        data: see `DataConfig`.
        model: see `ModelConfig`.
        method: `name` and the constructor arguments of the method, see `tmkt list`.
        optim: see `OptimConfig`.
        train: see `TrainConfig`.
        stages: settings of `optim` and `train` for one stage of the method, as `{ann.optim.lr: 0.1}`; see
            `recipe_stages.stage_recipe`.
        tiers: named sets of overrides, as `{smoke: {train.epochs: 1}}`.
        extends: another recipe file, relative to this one, whose keys lie below these.
        imports: modules of yours to import first, e.g. one that registers a method; found from the current folder.
    """

    name: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    method: dict[str, Any] = field(default_factory=dict)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    stages: dict[str, Any] = field(default_factory=dict)
    tiers: dict[str, dict[str, Any]] = field(default_factory=dict)
    extends: str | None = None
    imports: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for records; `recipe_from_dict` is its inverse."""
        return asdict(self)


PAPER = "paper"
"""The tier that every recipe has: its full settings."""


def load_recipe(path: str | Path, overrides: Iterable[str] = (), tier: str | None = None) -> Recipe:
    """Load a recipe file, apply a tier and then overrides.

    Args:
        path: the YAML file.
        overrides: texts such as `train.epochs=3`; how the value is read: `recipe_text.read_value`.
        tier: one of the recipe's tiers, or `paper`: the recipe as it stands, with its full settings.

    Raises:
        RecipeError: naming the file (or override), the key, and the nearest valid key or the values it may have.
    """
    return recipe_from_dict(merged_values(path, overrides, tier), str(path))


def merged_values(path: str | Path, overrides: Iterable[str] = (), tier: str | None = None) -> dict[str, Any]:
    """The nested values of a recipe file, its tier and overrides, each over those before it; see `load_recipe`."""
    path = Path(path)
    merged = _merged_files(path)
    merged.setdefault("name", f"{path.resolve().parent.name}/{path.stem}")
    if tier not in (None, PAPER):
        tiers = merged.get("tiers", {})
        if tier not in tiers:
            raise RecipeError(f"{path} has no tier '{tier}': {did_you_mean(str(tier), [*tiers, PAPER])}")
        merged = _over(merged, _nested(tiers[tier]))
    for override in overrides:
        merged = _over(merged, parse_override(override))
    return merged


def recipe_from_dict(values: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """Build a recipe from plain values, checking keys, types and ranges.

    Args:
        values: as `Recipe.as_dict` gives them; missing keys take their defaults.
        source: what to call them in errors.

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
    settings = flat(recipe.as_dict())
    check_ranges(source, settings)
    check_stages(source, settings, recipe.stages)
    return recipe


def _built(config: type, values: Mapping[str, Any]) -> Any:
    """A dataclass of checked values; a whole number becomes a float where that is asked for."""
    hints = hints_of(config)
    return config(**{key: _as(hints[key], value) for key, value in values.items()})


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
    values = recipe.as_dict()
    for override in overrides:
        values = _over(values, parse_override(override))
    return recipe_from_dict(values)


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 (hex) of everything that changes the result; see `IRRELEVANT` for what does not."""
    return hashlib.sha256(json.dumps(relevant(recipe.as_dict()), sort_keys=True).encode()).hexdigest()


def _merged_files(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The checked content of a file over that of the files it extends."""
    if path.resolve() in above:
        raise RecipeError(f"{path} extends itself, by way of {' and '.join(file.name for file in above)}")
    own = _read(path)
    check_layer(str(path), own, Recipe)
    for tier, settings in own.get("tiers", {}).items():
        check_layer(f"{path}, tier '{tier}'", _nested(settings), Recipe)
    base = own.pop("extends", None)
    if base is None:
        return own
    below = _merged_files(path.parent / user_path(base), (*above, path.resolve()))
    below.pop("name", None)  # two recipes are two names
    return _over(below, own)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe file {path}") from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise RecipeError(f"{path} cannot be read as a recipe: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} must hold sections (data, model, method, optim, train), not {_short(content)}")
    return content


def _short(value: Any) -> str:
    return "nothing" if value is None else "a list" if isinstance(value, list) else repr(value)[:80]


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


def parse_settings(texts: Iterable[str], hint: Callable[[str], Any] = lambda key: Any) -> dict[str, Any]:
    """Texts such as `train.epochs=3` as key -> value, see `recipe_text.read_value`.

    Args:
        texts: to read.
        hint: gives the annotation of a key.

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
    if _names_another(above, below):
        result |= {"method": {}, "stages": {}}
    return _lay(result, above)


def _lay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one dictionary of sections over another, key by key."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _names_another(above: Mapping[str, Any], below: Mapping[str, Any]) -> bool:
    name, old = above.get("method", {}).get("name"), below.get("method", {}).get("name")
    return None not in (name, old) and name != old
