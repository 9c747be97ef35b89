"""What a run would cost, from a few real steps."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import torch
from lightning_fabric import Fabric

from ..data.augment import build_augmentations
from ..data.pairs import PairSet
from ..engine.evaluate import evaluate
from ..engine.memory import peak_memory, reset_peak_memory
from ..engine.stages import StagePlan, plan_stages
from ..engine.step import Trainer, epoch_rows, make_batch, seed_of
from ..engine.task import TaskData, build_method
from ..methods import Method
from ..recipe import Recipe

TIMED_STEPS = 3


class Estimate(NamedTuple):
    """What a run would cost: seconds, and peak memory as in its record."""

    seconds: float
    memory: dict[str, float]


def estimate(recipe: Recipe, seed: int, task: TaskData, fabric: Fabric, trained: set[Path]) -> Estimate:
    """What a run would cost, from a few steps and one batch of an evaluation of each stage, without calibrations.

    Args:
        recipe: of the run, with its `seed` and its data, `task`.
        fabric: one process.
        trained: files of stages that runs before this one will have trained; this one's are added. They cost nothing,
            as those that are there already.
    """
    reset_peak_memory(fabric.device)
    method = build_method(recipe, len(task.pairs.classes), seed)
    fabric.to_device(method)
    seconds = 0.0
    for plan in plan_stages(recipe, method, task.facts, len(task.pairs.rows("train")), seed):
        method.begin_stage(plan.stage.name)
        if plan.file is not None and (plan.file in trained or plan.file.is_file()):
            continue
        trained |= {plan.file} if plan.file else set()
        evaluations = -(-plan.epochs // plan.recipe.train.eval_every)
        seconds += evaluations * _time_evaluation(method, task.pairs, plan, fabric)
        if plan.stage.trains:
            seconds += plan.epochs * plan.steps * _time_step(method, task.pairs, plan, seed, fabric)
    return Estimate(seconds, peak_memory(fabric.device))


def _time_step(method: Method, pairs: PairSet, plan: StagePlan, seed: int, fabric: Fabric) -> float:
    """Seconds of an optimiser step."""
    trainer, augmentations = Trainer(method, plan.recipe, fabric), build_augmentations(plan.recipe.data.augment)
    rows = epoch_rows(pairs, plan.recipe.train, seed_of(seed, 0, 0))
    times = []
    for number in range(TIMED_STEPS + 1):
        start = time.perf_counter()
        batch = make_batch(pairs, rows[number % len(rows)], number, plan.stage, augmentations)
        trainer.step(batch, 0.0, lambda parts: parts["loss"].item())  # waits for the device
        times.append(time.perf_counter() - start)
    return min(times[1:])  # the first one also compiles and allocates


def _time_evaluation(method: Method, pairs: PairSet, plan: StagePlan, fabric: Fabric) -> float:
    """Seconds of an evaluation on all validation and test recordings."""
    held_out = torch.cat([pairs.rows("val"), pairs.rows("test")])
    few = held_out[: plan.recipe.train.at_once]
    times = []
    for _ in range(2):  # the first one also compiles
        start = time.perf_counter()
        evaluate(method, pairs, few, len(few), fabric)
        times.append(time.perf_counter() - start)
    return min(times) / len(few) * len(held_out)
