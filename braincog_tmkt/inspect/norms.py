"""Finished networks with statistics of their batch norms estimated again from training recordings; weights stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..engine.evaluate import Evaluation, evaluate, within_memory
from ..engine.task import build_method
from ..errors import RecipeError
from ..models.norms.estimate import estimate_statistics
from ..models.norms.step import StepBatchNorm2d
from ..models.norms.step_own import StepOwnBatchNorm2d
from ..progress import counting
from .reload import LoadedRun, load_run

Rule = Literal["one", "own"]

RULES: dict[str, str] = {
    "one": "one set of statistics for all steps",
    "own": "a set of statistics for each step",
}
"""What `tmkt eval --norms` knows, in words."""


def with_rule(run: LoadedRun, rule: Rule) -> LoadedRun:
    """The same trained network, evaluated with one running set for all steps, or with one for each step.

    Norms `step` and `step_own` train alike, so a network of the one is one of the other. The running sets are those
    that the training left; a set for each step begins as the one set, where the training had none.

    Raises:
        RecipeError: for `own` and a norm that normalises over all steps in training, too; if there are no norms; or if
            the network was converted after its training.
    """
    if not run.method.stages()[-1].trains:
        raise RecipeError(
            f"{run} was converted and not trained after it, so no training saw its spikes: leave out --norms"
        )
    kinds = {type(norm) for norm in getattr(run.method.backbone, "norms", ())}
    if not kinds:
        raise RecipeError(f"{run} has no batch norms of this package: leave out --norms")
    by_step = kinds <= {StepBatchNorm2d, StepOwnBatchNorm2d}
    if rule == "own" and not by_step:
        raise RecipeError(
            f"{run} normalises over all time steps together in training, too, so it has no statistics of single steps:"
            " give --norms one"
        )
    norm, kind = {"one": ("step", StepBatchNorm2d), "own": ("step_own", StepOwnBatchNorm2d)}[rule]
    if kinds == {kind} or not by_step:
        return run
    recipe = replace(run.recipe, model={**run.recipe.model, "norm": norm})
    method = build_method(recipe, len(run.task.pairs.classes), run.record["seed"])
    dropped = () if rule == "own" else ("step_mean", "step_var")
    state = {name: value for name, value in run.method.state_dict().items() if name.rpartition(".")[2] not in dropped}
    method.load_state_dict(state)
    run.fabric.to_device(method)
    return replace(run, recipe=recipe, method=method)


def estimate(run: LoadedRun) -> None:
    """Estimate all running statistics again from the training recordings, without augmentation.

    See `models.norms.estimate.estimate_statistics`.
    """
    chunks = batches(run)
    with counting(len(chunks), f"{run}, statistics", "batch") as count, run.fabric.autocast():
        estimate_statistics(run.method.backbone, _frames(run, chunks, count))


def batches(run: LoadedRun) -> tuple[Tensor, ...]:
    """The rows of all training recordings, mixed, in parts of nearly equal size: a batch at least, less than two.

    A split lists its recordings class by class. A batch of one class has other statistics than those of a training.
    """
    rows = run.task.pairs.rows("train")
    mixed = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
    return mixed.tensor_split(max(1, len(rows) // run.recipe.train.batch))


def _frames(run: LoadedRun, chunks: tuple[Tensor, ...], count: Callable[[], object]) -> Iterator[Tensor]:
    for rows in chunks:
        yield run.method.select_frames(run.task.pairs.events(rows)[0])
        count()


def re_evaluate_norms(place: Path, rule: Rule, overrides: Iterable[str] = ()) -> None:
    """Evaluate the kept checkpoints of a finished run with statistics that are estimated again, and print both numbers.

    Raises:
        TmktError: what `load_run`, which takes the same places and overrides, and `evaluate_rule` raise.
    """
    run = load_run(place, overrides)
    for name, entry in run.kept:
        run.load_weights(name)
        print(in_words(name, run, rule, entry["accuracy"]))


def in_words(name: str, run: LoadedRun, rule: Rule, stated: float) -> str:
    """The accuracy of `evaluate_rule` in a sentence, beside the stated one."""
    found, count = evaluate_rule(run, rule), len(run.task.pairs.rows("train"))
    return (
        f"{name}: {found.accuracy:.2%} of {found.count} test recordings with {RULES[rule]}, estimated again from"
        f" {count} training recordings; {stated:.2%} as saved"
    )


def evaluate_rule(run: LoadedRun, rule: Rule) -> Evaluation:
    """Evaluate a trained network on its test recordings with statistics that are estimated again.

    Args:
        run: its weights stay, its statistics may change.
        rule: `one` set for all steps, or each step its `own`.

    Raises:
        RecipeError: what `with_rule` raises.
    """
    run = with_rule(run, rule)
    estimate(run)
    rows = run.task.pairs.rows("test")
    batch = within_memory(run.method, run.recipe.train.at_once)
    with counting(-(-len(rows) // batch), str(run), "batch") as count:
        return evaluate(run.method, run.task.pairs, rows, batch, run.fabric, count)
