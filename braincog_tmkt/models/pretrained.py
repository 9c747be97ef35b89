"""Checkpoints of networks that recipes of this project trained, and how timm gets them.

A checkpoint is one `.safetensors` file. Its header says how it was made (`Checkpoint.facts`). `index.yaml` beside it
lists all checkpoints of a folder, in the order in which timm offers them: the first of a network is its default.
Neither PyTorch nor timm is imported to read the index.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import RecipeError
from ..files import sha256_of, shipped, user_path
from ..registry import did_you_mean
from .state import SAFETENSORS, put_state, read_state

INDEX = "index.yaml"
FACTS = "braincog_tmkt"
"""Key of the header under which a file's facts stand, as JSON."""

SOURCES = ("url", "hf_hub_id", "state_dict")
"""Keys of timm's `pretrained_cfg` that name weights which are in no file here."""

FREE = ("num_classes", "execution", "recompute", "tet_loss", "sum_output")
"""Keywords that may differ from those of the training: the network computes the same features with them."""


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights and how it was made.

    Args:
        name: `<network>.<tag>`, timm's name.
        file: of the weights.
        facts: `network`, `keywords` (all it was built with), `labels` (names of the classes in the order of the
            logits), `classifier` and `first_conv` (names of layers), `recipe`, `overrides`, `recipe_hash`, `method`,
            `seed`, `data`, `accuracy`, `count`, `recorded`, ..; docs/how-to/checkpoints.md explains the keys. Empty
            for a file that says nothing.
    """

    name: str
    file: Path
    facts: Mapping[str, Any]

    @property
    def network(self) -> str:
        """Name of the network."""
        return str(self.facts.get("network", ""))

    @property
    def tag(self) -> str:
        """What timm tells the checkpoints of a network apart by."""
        return str(self.facts.get("tag", ""))

    def state(self) -> dict[str, Any]:
        """The weights, on the CPU.

        Raises:
            RecipeError: if the file is missing, cannot be read, or is not the one that the index lists.
        """
        wanted = self.facts.get("sha256")
        if wanted and self.file.is_file() and sha256_of(self.file) != wanted:
            raise RecipeError(
                f"{self.file} is not the file that {INDEX} lists (its SHA-256 differs): restore it, or export it again"
            )
        return read_state(self.file)

    def timm_cfg(self) -> dict[str, Any]:
        """timm's `pretrained_cfg`: where the weights are, and what goes in and out."""
        facts = self.facts
        size, channels = facts["keywords"]["img_size"], facts["keywords"]["in_chans"]
        return {
            "file": str(self.file),
            "architecture": self.network,
            "tag": self.tag,
            "input_size": (channels, *((size, size) if isinstance(size, int) else size)),
            "fixed_input_size": True,
            "num_classes": len(facts["labels"]),
            "label_names": tuple(facts["labels"]),
            "classifier": tuple(facts["classifier"]),
            "first_conv": facts["first_conv"],
            "mean": (0.0,) * channels,
            "std": (1.0,) * channels,
            "crop_pct": 1.0,
            "license": facts["licence"],
            "description": f"{facts['recipe']}, seed {facts['seed']}: {facts['accuracy']:.2%} of {facts['count']}",
        }


def read_index(folder: Path | None = None) -> dict[str, Checkpoint]:
    """The checkpoints of a folder, by name; none where there is no index.

    Args:
        folder: None is the one that travels with the package.

    Raises:
        RecipeError: naming the file, if it cannot be read.
    """
    folder = shipped("checkpoints") if folder is None else folder
    file = folder / INDEX
    try:
        found = yaml.load(file.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if file.is_file() else {}
        return {name: Checkpoint(name, folder / facts["file"], facts) for name, facts in (found or {}).items()}
    except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"{file} cannot be read as an index of checkpoints ({reason}): restore it") from error


def find_checkpoint(place: str | Path) -> Checkpoint | None:
    """A checkpoint, by its file, with or without the suffix, or by its name.

    Args:
        place: a name, alone or as `checkpoints/NAME`, is looked for in the folder that travels with the package, too.

    Returns:
        None if there is something else, such as the folder of a run.

    Raises:
        RecipeError: if there is nothing, with the nearest name; or a damaged file.
    """
    path = user_path(place)
    name = path.name.removesuffix(SAFETENSORS)
    file = user_path(path.parent / f"{name}{SAFETENSORS}")
    if path.is_dir() or (path.is_file() and path != file):
        return None
    if file.is_file():
        return from_file(file)
    listed = read_index()
    if name not in listed or str(path.parent) not in (".", "checkpoints"):
        raise RecipeError(f"{path} does not exist, and no checkpoint is called so: {did_you_mean(name, listed)}")
    return listed[name]


def from_file(file: str | Path) -> Checkpoint:
    """The checkpoint in a file: what the index beside it says, or its own header, or nothing of a file without one.

    Raises:
        RecipeError: if there is no such file, or it is damaged.
    """
    path = user_path(file)
    if not path.is_file():
        raise RecipeError(f"there is no file of weights {path}: correct the path")
    name = path.name.removesuffix(SAFETENSORS)
    listed = read_index(path.parent).get(name)
    if listed is not None and listed.file.name == path.name:
        return listed
    return Checkpoint(name, path, read_header(path) if path.suffix == SAFETENSORS else {})


def read_header(file: Path) -> dict[str, Any]:
    """What a `.safetensors` file says of how it was made; empty if it says nothing.

    Beside the facts of the index: `resolved`, the recipe with every default, and `recordings`, the keys of those it was
    trained and tested on.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            return dict(json.loads((opened.metadata() or {}).get(FACTS, "{}")))
    except (SafetensorError, OSError, ValueError) as error:
        raise RecipeError(f"{file} is a truncated or corrupt {SAFETENSORS} file ({error}): get it again") from error


def default_cfgs() -> dict[str, Any]:
    """All checkpoints as timm wants them, by network; before timm 0.9, which has no tags, by name, too."""
    import timm.models

    found = read_index()
    group = getattr(timm.models, "generate_default_cfgs", None)
    if group is not None:
        known = {field.name for field in fields(timm.models.PretrainedCfg)}
        cfgs = {name: each.timm_cfg() for name, each in found.items()}
        return dict(group({name: {key: cfg[key] for key in cfg.keys() & known} for name, cfg in cfgs.items()}))
    defaults = {each.network: each.timm_cfg() for each in reversed(found.values())}
    return defaults | {name: each.timm_cfg() for name, each in found.items()}


def create(
    network: str,
    target: Callable[..., Any],
    pretrained: bool | str,
    cfg: Any,
    overlay: Mapping[str, Any] | None,
    given: Mapping[str, Any],
) -> Any:
    """Build a network with the keywords of a checkpoint, and load it if `pretrained`; what `timm.create_model` calls.

    Args:
        network: its name.
        target: its class or factory.
        pretrained: whether to load the weights; a tag names the checkpoint, too.
        cfg: timm's `pretrained_cfg`: a tag, or a dictionary or `PretrainedCfg` with the `file` of the weights; None is
            the network's default checkpoint.
        overlay: timm's `pretrained_cfg_overlay`, keys over those of `cfg`.
        given: keywords of the network. With another `num_classes` the classifiers are new; with 0 there are none, and
            the network gives its features.

    Raises:
        RecipeError: for a network or tag without a checkpoint, with those there are; a keyword that differs from the
            one of the training; or a file that does not fit.
    """
    tags = list(dict.fromkeys(each for each in (cfg, pretrained) if isinstance(each, str) and each))
    entries = {**_entries(cfg), **(overlay or {})}
    checkpoint = _chosen(network, tags, entries)
    if not checkpoint.facts:
        net = target(**given)
        return put_state(net, checkpoint.state(), str(checkpoint.file)) if pretrained else net
    if checkpoint.network != network:
        raise RecipeError(f"{checkpoint.file} holds a {checkpoint.network}, not a {network}: create that one")
    labels = checkpoint.facts["labels"]
    keywords = {**checkpoint.facts["keywords"], "num_classes": len(labels), **_agreed(checkpoint, target, given)}
    net = target(**keywords)
    net.set_steps(checkpoint.facts["steps"])
    net.pretrained_cfg = net.default_cfg = {**checkpoint.timm_cfg(), **entries}
    return load_checkpoint(net, checkpoint) if pretrained else net


def load_checkpoint(net: Any, checkpoint: Checkpoint) -> Any:
    """Load a checkpoint into a network of its keywords; with another number of classes, all but the classifiers."""
    state = checkpoint.state()
    heads = tuple(f"{name}." for name in checkpoint.facts["classifier"])
    if net.num_classes == len(checkpoint.facts["labels"]):
        heads = ()
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(heads)} if heads else state
    fresh = {name: tensor for name, tensor in net.state_dict().items() if heads and name.startswith(heads)}
    return put_state(net, {**kept, **fresh}, checkpoint.name)


def _entries(cfg: Any) -> dict[str, Any]:
    """A `pretrained_cfg` as a dictionary of what it sets."""
    if is_dataclass(cfg):
        cfg = {field.name: getattr(cfg, field.name) for field in fields(cfg)}
    return {key: value for key, value in cfg.items() if value is not None} if isinstance(cfg, Mapping) else {}


def _chosen(network: str, wanted: list[str], entries: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint of a tag, of a file, or the default one."""
    if len(wanted) > 1:
        raise RecipeError(f"{network} has one checkpoint at a time, not {' and '.join(wanted)}: name one")
    if other := [key for key in SOURCES if entries.get(key)]:
        raise RecipeError(f"{network} takes weights from a file alone: give pretrained_cfg's 'file', not '{other[0]}'")
    if entries.get("file"):
        return from_file(entries["file"])
    found = read_index()
    tags = {each.tag: each for each in found.values() if each.network == network}
    if not tags:
        raise RecipeError(f"there is no checkpoint of {network}; there are {', '.join(found) or 'none at all'}")
    tag = wanted[0] if wanted else next(iter(tags))
    if tag not in tags:
        raise RecipeError(f"{network} has no checkpoint '{tag}': {did_you_mean(tag, tags)}")
    return tags[tag]


def _agreed(checkpoint: Checkpoint, target: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the given keywords that the checkpoint leaves open, or that the network itself checks.

    Raises:
        RecipeError: for one that the checkpoint was trained with another value of.
    """
    from .contract import NO_MEANING, ONLY

    trained = {**checkpoint.facts["keywords"], "step": checkpoint.facts["steps"]}
    defaults = _defaults(target, trained)
    open_ones = {}
    for key, value in given.items():
        if key == "step" and value == trained[key]:
            continue  # it may be built for more
        if key in (*FREE, *ONLY, *NO_MEANING, "dataset", "layer_by_layer", "encode_type"):
            open_ones[key] = value
        elif key not in trained and key not in defaults:
            raise RecipeError(f"{checkpoint.name} was trained without '{key}': leave it out")
        elif _plain(key, value) != _plain(key, has := trained.get(key, defaults.get(key))):
            hint = f" and call net.set_steps({value}) on the finished network" if key == "step" else ""
            raise RecipeError(f"{checkpoint.name} was trained with {key}={has!r}, not {value!r}: leave {key} out{hint}")
    return open_ones


def _defaults(target: Any, trained: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the keywords of a network and its node have where nobody gives them."""
    from .network import SpikingNetwork
    from .parts import node_class

    made = target if isinstance(target, type) else SpikingNetwork
    found: dict[str, Any] = {}
    for cls in (*node_class(trained["node_type"]).__mro__, *reversed(made.__mro__)):
        parameters = inspect.signature(vars(cls)["__init__"]).parameters if "__init__" in vars(cls) else {}
        found |= {key: each.default for key, each in parameters.items() if each.default is not each.empty}
    return found | dict(getattr(made, "preset", {}))


def _plain(key: str, value: Any) -> Any:
    """A value in one form, so that a class equals its name, and one number for a size equals two."""
    from .parts import attention_class, node_class, norm_class, surrogate_class

    kinds: dict[str, Callable[[Any], Any]] = {
        "node_type": node_class,
        "act_fun": surrogate_class,
        "norm": norm_class,
        "attention": attention_class,
    }
    if key in kinds and value is not None:
        return kinds[key](value)
    if key == "img_size":
        return (value, value) if isinstance(value, int) else tuple(value)
    return value
