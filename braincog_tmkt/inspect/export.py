"""A finished run as a checkpoint: one small file of half-precision weights, and its line in the index of a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock
from safetensors.torch import save
from torch import Tensor, nn

from ..data.sets import build_dataset
from ..engine.devices import locked, make_fabric
from ..engine.evaluate import evaluate, within_memory
from ..engine.task import network_keywords
from ..errors import TrainingError
from ..files import write_whole
from ..methods.conversion import Conversion
from ..models import MODELS
from ..models.keywords import checked
from ..models.norms import NORMS
from ..models.pretrained import FACTS, INDEX, read_index
from ..models.state import SAFETENSORS
from ..recipe import load_recipe
from ..recipe.files import known_recipes
from ..recipe.identity import changed_keys, flat
from ..results.pack import as_line
from .reload import LoadedRun, load_run

PRECISION = "32-true"
"""In which the accuracy of a checkpoint is measured, whatever it was trained in."""

HEAD = "# Written by `tmkt export RUN FOLDER`. The keys are explained in docs/how-to/checkpoints.md.\n"


def export_run(place: Path, folder: Path, overrides: Iterable[str] = ()) -> Path:
    """Write the network of a finished run, with the weights of its last epoch, into a folder of checkpoints.

    Weights of two axes or more are stored as float16, all others as they are. The accuracy in the index is that of the
    stored weights, measured in float32 on the test recordings of the run; the record's stands beside it.

    Args:
        place: run folder, or the record in it.
        folder: made if missing; a checkpoint of the same name is replaced.
        overrides: settings that do not change the result, such as `data.root=/elsewhere`.

    Returns:
        The file, `<network>.<set>_<recipe>.safetensors`.

    Raises:
        TrainingError: for a network or a norm of a user's own, which timm could not build, or weights that float16
            cannot hold.
        TmktError: what `load_run` raises.
    """
    run = load_run(place, overrides)
    network: Any = run.method.backbone
    for key, ours in (
        ("name", run.recipe.model["name"] in MODELS),
        ("norm", getattr(network, "_norm", None) in NORMS.values()),
    ):
        if not ours:
            raise TrainingError(
                f"{run} trained '{run.recipe.model[key]}', which is no network or norm of this package, so timm could"
                f" not build it: take {run.folder / 'checkpoints'} as it is"
            )
    state = {name: _stored(name, tensor) for name, tensor in network.state_dict().items()}
    network.load_state_dict(state)
    rows = run.task.pairs.rows("test")
    batch = within_memory(run.method, run.recipe.train.at_once)
    found = evaluate(run.method, run.task.pairs, rows, batch, make_fabric(PRECISION, 1))
    facts = _facts(run) | {"accuracy": found.accuracy, "count": found.count}
    name = f"{facts['network']}.{facts['tag']}"
    header = {**facts, "resolved": as_line(run.record)["recipe"], "recordings": _recordings(run)}
    content = save(state, {FACTS: json.dumps(header)})
    entry = {
        **facts,
        "file": f"{name}{SAFETENSORS}",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    # Exports into one folder at the same time wait for one another: each reads the index that the other wrote.
    with locked(FileLock(folder / f".{INDEX}.lock"), run.fabric, 5, lambda: None, "choose another folder"):
        listed = {other.name: dict(other.facts) for other in read_index(folder).values()} | {name: entry}
        text = yaml.safe_dump(listed, sort_keys=False, allow_unicode=True, width=110)
        write_whole(folder / f"{name}{SAFETENSORS}", content)
        write_whole(folder / INDEX, (HEAD + text).encode())
    return folder / f"{name}{SAFETENSORS}"


def _stored(name: str, tensor: Tensor) -> Tensor:
    """A tensor as it is written to the file: on the CPU, float16 if it has two axes or more."""
    kept = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    if kept.dim() < 2 or name.endswith((".step_mean", ".step_var")) or not kept.is_floating_point():
        return kept
    half = kept.half()
    if not half.isfinite().all():
        raise TrainingError(
            f"{name} has weights that float16 cannot hold (the largest is {kept.abs().max():.3g}): take the folder"
            " checkpoints of the run as it is"
        )
    return half


def _facts(run: LoadedRun) -> dict[str, Any]:
    """The entry of the run in the index, without the accuracy of the stored weights and the file."""
    recipe, record = run.recipe, run.record
    network: Any = run.method.backbone
    card = build_dataset(recipe.data.name, recipe.data.root, recipe.data.static_root, **recipe.data.own).card
    heads = [part for stream in network.stream_names for part in network.classifier(stream).modules()]
    named = dict(network.named_modules())
    return {
        "network": recipe.model["name"],
        "tag": recipe.name.replace("/", "_"),
        "method": recipe.method["name"],
        "recipe": recipe.name,
        "overrides": _overrides(recipe.name, record["recipe"]),
        "recipe_hash": record["recipe_hash"],
        "seed": record["seed"],
        "epoch": record["last"]["epoch"] + 1,
        "recorded": record["last"]["accuracy"],
        "data": {
            key: record["data"][key] for key in ("set", "kind", "protocol", "split", "train", "val", "test", "pool")
        },
        "licence": card.licence,
        "source": card.source,
        "date": record["finished"][:10],
        "versions": {key: record["versions"].get(key) for key in ("braincog_tmkt", "python", "torch", "timm")},
        "steps": network.step,
        "keywords": _keywords(run),
        "labels": list(run.task.pairs.classes),
        "classifier": [name for name, part in named.items() if isinstance(part, nn.Linear) and part in heads],
        "first_conv": next((name for name, part in named.items() if part is network.stem), None),
    }


def _keywords(run: LoadedRun) -> dict[str, Any]:
    """All keywords to build the network with; it may run fewer steps than it was built for, see `steps`."""
    recipe = run.recipe
    network: Any = run.method.backbone
    settings, usual = network_keywords(recipe)
    node = run.method.student_keywords if isinstance(run.method, Conversion) else {}
    if node:  # what the nodes of the ANN took and the new ones do not is left out
        usual, settings = {**usual, **settings, "node_type": node.pop("name")}, node
    name = recipe.model["name"]
    found = checked(name, MODELS[name], settings, usual)
    size = recipe.data.size
    of_frames = {"step": recipe.data.steps, "img_size": size, "in_chans": network.in_chans}
    norm = next(key for key in NORMS if NORMS[key] is network._norm)
    kept = {key: value for key, value in found.items() if key not in ("execution", "recompute")}
    return {**of_frames, "norm": norm, **kept}


def _overrides(name: str, values: Mapping[str, Any]) -> list[str]:
    """The key=value overrides that turn the recipe of this name into the run's; none for a user's own recipe."""
    file = known_recipes().get(name)
    if file is None:
        return []
    changed, now = changed_keys(load_recipe(file).as_dict(), values), flat(values)
    return [f"{key}={now[key] if isinstance(now[key], str) else json.dumps(now[key])}" for key in changed if key in now]


def _recordings(run: LoadedRun) -> dict[str, Any]:
    """The keys of the recordings of each part, and the sum of the numbers that stand for those of the test part."""
    content, pairs = run.task.content, run.task.pairs
    if content is None:
        raise TrainingError(
            f"{run} trained on data made in memory, which nobody else could evaluate it on: take"
            f" {run.folder / 'checkpoints'} as it is"
        )
    sizes = [len(pairs.rows(part)) for part in ("train", "val", "test")]
    train, test = sizes[0], sizes[0] + sizes[1]
    keys = [item.key for item in content.recordings]
    return {
        "train": keys[:train],
        "val": keys[train:test],
        "test": keys[test:],
        "marks": content.marks[test : len(keys)].sum(0).tolist(),
    }
