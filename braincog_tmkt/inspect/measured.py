"""Checkpoints, evaluated on the recordings that they were measured on, or on those at hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..data.cache import prepare
from ..data.content import TOLERANCE, Content, content_of
from ..data.pairs import PairSet
from ..data.splits import Split
from ..data.types import Index
from ..engine.devices import make_fabric
from ..engine.evaluate import evaluate, within_memory
from ..engine.task import TaskData, build_method, frame_spec, import_modules, load_task, open_dataset, protocol_of
from ..errors import DataError, RecipeError, TrainingError
from ..models.pretrained import Checkpoint, load_checkpoint, read_header
from ..progress import counting
from ..recipe import Recipe, recipe_from_dict
from .export import PRECISION
from .norms import Rule, in_words
from .reevaluate import measure_steps
from .reload import LoadedRun, with_same_result

ROUNDING = 0.01
"""Share of the recordings that another processor's rounding may move; one recording in any case."""


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint, loaded together with recordings to evaluate it on.

    Args:
        run: network, recipe and data, as `load_run` gives them for a finished run.
        other: why these are not the recordings that it was measured on, in words; None if they are.
    """

    run: LoadedRun
    other: str | None


def open_checkpoint(checkpoint: Checkpoint, overrides: Iterable[str] = (), training: bool = False) -> LoadedCheckpoint:
    """Load a checkpoint, and the recordings it was measured on, if they are there; otherwise those of its protocol.

    Args:
        checkpoint: with its facts.
        overrides: settings that do not change the result, such as `data.root=/elsewhere`.
        training: whether the recordings it was trained on are wanted, too.

    Raises:
        RecipeError: if the file does not say how it was made, or for an override that would change the result.
        TrainingError: if the data have other classes.
        DataError: if the data are not there.
    """
    checkpoint.state()  # a damaged file ends here, before frames are made for nothing
    header = read_header(checkpoint.file)
    if not header:
        raise RecipeError(f"{checkpoint.file} does not say how it was made: `tmkt export` writes files that do")
    recipe = with_same_result(recipe_from_dict(header["resolved"], str(checkpoint.file)), overrides)
    import_modules(recipe, {})
    fabric = make_fabric(PRECISION, 1)
    task, other = _task(recipe, header["recordings"], fabric, training)
    if list(task.pairs.classes) != header["labels"]:
        raise TrainingError(
            f"{checkpoint.name} tells {len(header['labels'])} classes apart, others than the {len(task.pairs.classes)}"
            f" of the recordings in {recipe.data.root}: give the folder of its own data set with data.root"
        )
    method = build_method(recipe, len(task.pairs.classes), header["seed"])
    load_checkpoint(method.backbone, checkpoint)
    fabric.to_device(method)
    return LoadedCheckpoint(LoadedRun(checkpoint.file.parent, header, recipe, fabric, task, method), other)


def evaluate_checkpoint(checkpoint: Checkpoint, overrides: Iterable[str] = ()) -> bool:
    """Evaluate a checkpoint in float32 on its test recordings, and compare with the accuracy that is stated.

    Returns:
        Whether these are the recordings that it was measured on, and the accuracy is the stated one, but for what
        rounding may move.

    Raises:
        TmktError: what `open_checkpoint` raises.
    """
    loaded = open_checkpoint(checkpoint, overrides)
    run, facts = loaded.run, loaded.run.record
    rows = run.task.pairs.rows("test")
    batch = within_memory(run.method, run.recipe.train.at_once)
    with counting(-(-len(rows) // batch), checkpoint.name, "batch") as count:
        found = evaluate(run.method, run.task.pairs, rows, batch, run.fabric, count)
    said = f"{checkpoint.name}: {found.accuracy:.2%} of {found.count} test recordings"
    if loaded.other:
        print(f"{said}; {loaded.other}, where it has {facts['accuracy']:.2%} of {facts['count']}")
        return False
    off = round((found.accuracy - facts["accuracy"]) * found.count)
    print(f"{said} of split {facts['data']['split'][:12]}, {_verdict(off, facts['accuracy'])}")
    return abs(off) <= max(1, ROUNDING * found.count)


def evaluate_checkpoint_steps(
    checkpoint: Checkpoint, steps: Sequence[int], overrides: Iterable[str] = (), precision: str | None = None
) -> bool:
    """Run a checkpoint with other numbers of time steps on its test recordings; print the table of `evaluate_steps`.

    Args:
        checkpoint: with its facts.
        steps: numbers T of time steps.
        overrides: settings that do not change the result, such as `data.root=/elsewhere`.
        precision: `32-true` (None) or `bf16-mixed`.

    Returns:
        Whether these are the recordings that it was measured on.

    Raises:
        TmktError: what `open_checkpoint` and `measure_steps` raise.
    """
    loaded = open_checkpoint(checkpoint, overrides)
    measure_steps(replace(loaded.run, fabric=make_fabric(precision or PRECISION, 1)), steps)
    if loaded.other:
        print(f"note: {loaded.other}")
    return loaded.other is None


def evaluate_checkpoint_norms(checkpoint: Checkpoint, rule: Rule, overrides: Iterable[str] = ()) -> bool:
    """Evaluate a checkpoint with statistics that are estimated again from training recordings.

    They come from those it was trained on; where the recordings that it was measured on are not all there, from the
    training part of the ones at hand.

    Args:
        checkpoint: with its facts.
        rule: see `norms.RULES`.
        overrides: settings that do not change the result, such as `data.root=/elsewhere`.

    Returns:
        Whether these are the recordings that it was trained and measured on.

    Raises:
        DataError: if none of the recordings it was trained on is there.
        TmktError: what `open_checkpoint` and `norms.evaluate_rule` raise.
    """
    loaded = open_checkpoint(checkpoint, overrides, training=True)
    if not len(loaded.run.task.pairs.rows("train")):
        raise DataError(
            f"none of the recordings that {checkpoint.name} was trained on is in {loaded.run.recipe.data.root}:"
            " give the folder of its own data set with data.root"
        )
    print(in_words(checkpoint.name, loaded.run, rule, checkpoint.facts["accuracy"]))
    other, known = loaded.other, len(loaded.run.record["recordings"]["train"])
    missing = known - len(loaded.run.task.pairs.rows("train"))
    if not other and missing:
        other = f"{missing} of the {known} recordings it was trained on are not in {loaded.run.recipe.data.root}"
    if other:
        print(f"note: {other}")
    return other is None


def _verdict(off: int, stated: float) -> str:
    if not off:
        return "as stated"
    return f"stated are {stated:.2%}: {abs(off)} recording{'s' * (abs(off) > 1)} {'more' if off > 0 else 'less'}"


def _task(recipe: Recipe, recordings: dict[str, Any], fabric: Any, training: bool) -> tuple[TaskData, str | None]:
    """Load the data, and say why they are not those of the stated accuracy; None if they are."""
    dataset, index = open_dataset(recipe.data)
    here = {item.key for item in index.recordings}
    train = tuple(key for key in recordings["train"] if key in here) if training else ()
    wanted = {*recordings["test"], *train}
    chosen = tuple(item for item in index.recordings if item.key in wanted)
    if missing := set(recordings["test"]) - here:
        task = load_task(recipe, fabric)
        seen = set(recordings["train"]) | set(recordings["val"])
        assert task.content is not None
        rows = len(task.pairs.rows("train")) + len(task.pairs.rows("val"))
        trained = sum(item.key in seen for item in task.content.recordings[rows:])
        words = (
            f"this is not the split it was measured on: {len(missing)} of its {len(recordings['test'])} test recordings"
            f" are not in {recipe.data.root}"
        )
        return task, words + (f", and {trained} of yours have the names of ones it was trained on" if trained else "")
    only = Index(index.classes, chosen, (), twins_known=index.twins_known)
    split = Split(protocol_of(recipe.data), train, (), tuple(recordings["test"]), (), leaky=False)
    spec = frame_spec(recipe.data)
    frames = prepare(dataset, only, spec, recipe.data.cache, progress=fabric.is_global_zero)
    pairs = PairSet(only, split, frames, spec.steps).to(fabric.device)
    content = content_of(only, replace(split, train=()), frames.event_marks, frames.image_marks)
    task = TaskData(pairs, {}, {}, "", content)
    if _same(content, recordings["marks"]):
        return task, None
    return task, "these are not the recordings it was measured on, though they have the same names"


def _same(content: Content, marks: list[float]) -> bool:
    now, then = content.marks, torch.tensor(marks, dtype=torch.float64)
    return bool((now.sum(0) - then).norm() <= TOLERANCE["recordings"] * now.norm(dim=1).sum())
