"""The training stages of a run: how each is trained, and under which name other runs find its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..files import user_path
from ..methods.base import Method, Stage
from ..recipe import Recipe
from ..recipe.identity import relevant
from ..recipe.stages import check_stage_names, stage_recipe
from .step import learning_rate_in_words, steps_per_epoch


class StagePlan(NamedTuple):
    """A stage of a run.

    Args:
        stage: what the method says about it.
        recipe: the settings by which it is trained.
        epochs: 1 (one evaluation) where nothing is trained.
        steps: optimiser steps of an epoch; 0 where nothing is trained.
        file: where its result is kept for other runs, or None.
    """

    stage: Stage
    recipe: Recipe
    epochs: int
    steps: int
    file: Path | None

    def __str__(self) -> str:
        if not self.stage.trains:
            return "no training" if self.stage.calibration is None else "calibration, no training"
        rate = learning_rate_in_words(self.recipe)
        counts = ((self.epochs, "epoch"), (self.steps, "step"))
        epochs, steps = (f"{count} {what}{'s' * (count != 1)}" for count, what in counts)
        return f"{epochs} of {steps}, batch {self.recipe.train.batch}, {rate}"


def plan_stages(
    recipe: Recipe, method: Method, facts: Mapping[str, Any], count: int, seed: int, world_size: int = 1
) -> list[StagePlan]:
    """All stages of a run, in order.

    Args:
        recipe: of the run, from which `method` was built.
        facts: what the record says about the data, see `task.TaskData`.
        count: training recordings.

    Raises:
        RecipeError: for settings of an unknown stage, or a batch that does not fit.
    """
    stages = method.stages()
    check_stage_names(recipe, [stage.name for stage in stages if stage.trains])
    settings = [stage_recipe(recipe, stage.name) for stage in stages]
    plans = []
    for place, (stage, own) in enumerate(zip(stages, settings, strict=True)):
        reads = stage.trains or stage.calibration is not None
        steps = steps_per_epoch(count, own.train, world_size) if reads else 0
        file = None
        if stage.depends is not None and place + 1 < len(stages):
            file = _file(stages[: place + 1], settings[: place + 1], facts, seed)
        epochs, steps = (own.train.epochs, steps) if stage.trains else (1, 0)
        plans.append(StagePlan(stage, own, epochs, steps, file))
    return plans


def describe_stages(plans: list[StagePlan]) -> list[str]:
    """How long each stage trains, and how fast; a line each, without its name if it is the only one."""
    if len(plans) == 1:
        return [str(plans[0])]
    return [f"stage {plan.stage.name}: {plan}" for plan in plans]


def _file(stages: tuple[Stage, ...], settings: list[Recipe], facts: Mapping[str, Any], seed: int) -> Path:
    """`<data.cache>/stages/<stage>_<16 digits>_seed<seed>.pt`; the digits stand for all that the result depends on."""
    last, recipe = stages[-1], settings[-1]
    method = {key: recipe.method[key] for key in ("name", *(last.depends or ())) if key in recipe.method}
    about = {
        "stages": [
            (stage.name, relevant({**own.as_dict(), "method": method}))
            for stage, own in zip(stages, settings, strict=True)
        ],
        "data": [facts[key] for key in ("kind", "split", "fingerprint")],
    }
    digits = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    return user_path(recipe.data.cache) / "stages" / f"{last.name}_{digits}_seed{seed}.pt"
