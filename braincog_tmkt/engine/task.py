"""From a recipe to what is trained: the data with their audited split, and the method on its backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from ..data.audit import Audit, audit, require_clean, require_two_classes
from ..data.augment import build_augmentations
from ..data.cache import prepare
from ..data.content import Content, content_of
from ..data.frames import check_reconstructs, check_spec
from ..data.names import names_note
from ..data.pairs import PairSet
from ..data.reconstruct.settings import reconstruction_of
from ..data.reconstruct.weights import require_unseen
from ..data.room import need_memory
from ..data.sets import DATASETS, DataSet, build_dataset
from ..data.splits import Protocol, Split, make_split
from ..data.static import channels_of
from ..data.types import FrameSpec, Index
from ..errors import RecipeError
from ..methods import Method
from ..methods.base import build_from_settings
from ..models import build_backbone, register_with_timm
from ..own_code import Code, forget_code, import_own, line_of, load_code, modules_of
from ..recipe import DataConfig, Recipe
from ..recipe.load import named_code
from ..recipe.schema import MODEL_DEFAULTS
from .memory import frames_budget, require_memory


@dataclass(frozen=True)
class TaskData:
    """The data of a run, ready.

    Args:
        pairs: recordings and static partners.
        facts: what the record says about them: data set, kind, fingerprint, protocol, split hash, sizes, and remarks of
            whatever read the files, if there are any.
        audit: the verdict on the split.
        sentence: the verdict in words.
        content: what its recordings and images look like, for checkpoints; None for data made in memory.
    """

    pairs: PairSet
    facts: dict[str, Any]
    audit: dict[str, Any]
    sentence: str
    content: Content | None = None


def import_modules(recipe: Recipe, code: Code) -> None:
    """Import the modules that a recipe names.

    Args:
        recipe: its `imports`, and the modules of its dotted paths that are in `code`.
        code: the user's own code, see `recipe.load.load_with_code`.

    Raises:
        RecipeError: naming the module that cannot be imported, the file and the line that fails, and why; or as
            `own_code.load_code` does.
    """
    register_with_timm()
    load_code(code)
    modules = (path.rpartition(".")[0] for path in named_code(recipe)[len(recipe.imports) :])
    for name in [*recipe.imports, *filter(modules_of(code).__contains__, modules)]:
        try:
            import_own(name)
        except (Exception, SystemExit) as error:  # it is the user's own code, which may fail in any way
            place = line_of(error) or f"{Path.cwd()} and beside the recipe"
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            forget_code(code)
            raise RecipeError(f"{recipe.name} imports '{name}', which fails in {place}: {reason}") from error


def open_dataset(data: DataConfig) -> tuple[DataSet, Index]:
    """The data set of a recipe and its index.

    Raises:
        DataError: if its files are not there.
        RecipeError: for an unknown data set, or another sensor than its own.
    """
    dataset = build_dataset(data.name, data.root, data.static_root, **data.own)
    return dataset, dataset.index()


def protocol_of(data: DataConfig) -> Protocol:
    """The split protocol that a recipe asks for."""
    return Protocol(data.protocol, data.train_portion, data.val_portion, data.train_per_class, data.static_pool)


def frame_spec(data: DataConfig) -> FrameSpec:
    """The frames that a recipe asks for.

    Raises:
        RecipeError: as `data.frames.check_spec` and `reconstruction_of` do.
        DataError: if there is no file of weights.
    """
    check_reconstructs(data.frames, data.reconstruction is not None)  # before its file is looked for
    how = reconstruction_of(data.reconstruction, data.root)
    spec = FrameSpec(data.steps, data.size, data.frames, data.antialias, data.appearance, how)
    check_spec(spec)
    return spec


def describe_data(data: DataConfig) -> dict[str, Any]:
    """What the record says about the data, and whether its settings are sound, without reading a recording.

    Raises:
        DataError: if files are missing, the frames of a recording do not fit into the memory, or a split leaks or has
            one class only.
        RecipeError: for an unknown data set, protocol, augmentation or kind of frames.
    """
    build_augmentations(data.augment)  # a wrong name or keyword raises now, not at the first step
    spec = frame_spec(data)
    dataset, index = open_dataset(data)
    need_memory(dataset, index, spec)
    split = make_split(index, protocol_of(data))
    _audited(index, split)
    return _facts(dataset, index, data, split)


def load_task(recipe: Recipe, fabric: Fabric) -> TaskData:
    """Index, split, audit, make or find the frames, and move them to the device.

    Args:
        recipe: its `data` section.
        fabric: the device; the first process shows the progress.

    Raises:
        DataError: for files that are missing or unreadable, a split that leaks or has one class only, or weights of
            E2VID that were trained on recordings it holds out.
        RecipeError: for an unknown data set or protocol.
    """
    data = recipe.data
    dataset, index = open_dataset(data)
    split = make_split(index, protocol_of(data))
    verdict = _audited(index, split)
    spec = frame_spec(data)
    if spec.reconstruction:
        require_unseen(spec.reconstruction, data.name, (*split.val, *split.test))
    frames = prepare(dataset, index, spec, data.cache, progress=fabric.is_global_zero)
    pairs = PairSet(index, split, frames, spec.steps).to(fabric.device, frames_budget(fabric.device))
    facts = _facts(dataset, index, data, split, frames.remarks)
    content = content_of(index, split, frames.event_marks, frames.image_marks)
    return TaskData(pairs, facts, verdict.as_dict(), verdict.sentence(), content)


def _audited(index: Index, split: Split) -> Audit:
    verdict = audit(index, split)
    require_clean(verdict, split)
    require_two_classes(verdict)
    return verdict


def build_method(recipe: Recipe, classes: int, seed: int) -> Method:
    """The backbone and the method around it, freshly initialised from the seed.

    Raises:
        RecipeError: for an unknown name or argument.
    """
    data = recipe.data
    settings, usual = network_keywords(recipe)
    channels = settings.get("in_chans", 2)
    build = partial(build_backbone, recipe.model["name"], classes, data.steps, _img_size(data), usual=usual, **settings)
    if recipe.model["width"] > 1:  # wider than any of the papers'
        build(width=1e-9)  # what its modules make when they are imported is real
        with torch.device("meta"):
            require_memory(build())
    torch.manual_seed(seed)
    method = build_from_settings(recipe.method, build(), partial(_further_network, recipe, classes, channels))
    if method.needs_static and not hasattr(method.backbone, method.transfers_by):
        raise RecipeError(
            f"{recipe.name}: model '{recipe.model['name']}' cannot transfer from images as method"
            f" '{recipe.method['name']}' does, by '{method.transfers_by}': take a tmkt_* network, or r2etl_vggsnn"
            " for r2etl"
        )
    mixing = [each for each in build_augmentations(data.augment) if each.mixes]
    if mixing and not method.takes_mixtures:
        raise RecipeError(
            f"{recipe.name}: method '{recipe.method['name']}' pairs a recording with an image of its class, so"
            f" recordings of two classes must not be mixed, as {type(mixing[0]).__name__} does: leave it out of"
            " data.augment, or use the baseline"
        )
    if method.needs_static and channels != 2:
        raise RecipeError(
            f"{recipe.name}: method '{recipe.method['name']}' mixes grey images with event frames of 2 channels, but"
            f" the frames of {data.name} have {channels}: use another method, or another data set"
        )
    if method.needs_static and not method.colour_static and channels_of(data.appearance) != 1:
        raise RecipeError(
            f"{recipe.name}: method '{recipe.method['name']}' takes images of one channel, but data.appearance is"
            f" '{data.appearance}', which has {channels_of(data.appearance)}: use value or blue"
        )
    return method.train()


def network_keywords(recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keywords of a recipe's network, but for its frames and classes: those asked for, and the usual ones."""
    settings = {key: value for key, value in recipe.model.items() if (key, value) not in MODEL_DEFAULTS.items()}
    settings.pop("name", None)
    if taken := [key for key in ("num_classes", "steps", "img_size", "usual") if key in settings]:
        raise RecipeError(f"model.{taken[0]} follows from the data: leave it out, and set data.steps or data.size")
    channels = DATASETS[recipe.data.name].channels  # type: ignore[attr-defined]
    if channels != 2:  # a backbone of a user's own need not know the keyword
        settings["in_chans"] = channels
    return settings, {key: value for key, value in recipe.model.items() if key != "name" and key not in settings}


def _img_size(data: DataConfig) -> Any:
    """One number for square frames, as BrainCog's networks take it; else height and width."""
    return FrameSpec(data.steps, data.size).size


def _further_network(
    recipe: Recipe,
    classes: int,
    channels: int,
    settings: Mapping[str, Any],
    steps: int | None = None,
    in_chans: int | None = None,
) -> nn.Module:
    """A network beside the backbone, for methods; see `methods.base.BuildNetwork`."""
    keywords = {"in_chans": channels if in_chans is None else in_chans, **settings}
    if not isinstance(name := keywords.pop("name", None), str):
        raise RecipeError(f"{recipe.name}: a network needs a name, as in {{name: hsd_resnet18}}, not {dict(settings)}")
    if keywords["in_chans"] == 2:  # a backbone of a user's own need not know the keyword
        del keywords["in_chans"]
    return build_backbone(name, classes, steps or recipe.data.steps, _img_size(recipe.data), **keywords)


def _facts(
    dataset: DataSet, index: Index, data: DataConfig, split: Split, remarks: tuple[str, ...] = ()
) -> dict[str, Any]:
    names = names_note(dataset, index)
    said = [names, *remarks] if names else [*remarks]
    return {
        "set": data.name,
        "kind": dataset.kind(),
        "fingerprint": dataset.fingerprint(index),
        "complete": dataset.card.counts.get("recordings") in (None, len(index.recordings)),
        "classes": len(index.classes),
        "protocol": split.protocol.name,
        "leaky": split.leaky,
        "split": split.hash,
        "train": len(split.train),
        "val": len(split.val),
        "test": len(split.test),
        "pool": len(split.pool),
        **({"remarks": said} if said else {}),
    }
