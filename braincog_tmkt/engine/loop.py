"""The training loop: stages, epochs, steps; one step is in `engine.step`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ..data.augment import build_augmentations
from ..data.batch import Batch
from ..data.pairs import Part
from ..errors import TrainingError
from ..recipe import Recipe, recipe_hash
from ..results.notes import notes_of
from . import checkpoint
from .devices import on_first_rank, reduced
from .environment import machine, now, versions
from .evaluate import Evaluation, evaluate, measure_activity, within_memory
from .log import Log
from .memory import peak_memory, reset_peak_memory
from .signals import Stopped, catch_signals
from .stage_cache import claimed, keep, take
from .stages import plan_stages
from .state import Progress, Run, exclusive
from .step import DeferredValues, Trainer, epoch_rows, make_batch, seed_of
from .task import TaskData, build_method, load_task

SELECTED_ON_TEST = "the test set, as the papers report"
CALIBRATION = 2**31
"""Stands for the number of the epoch whose batches a calibration gets."""


def fit(
    recipe: Recipe, seed: int, run_dir: str | Path, resume: bool, fabric: Fabric, task: TaskData | None = None
) -> dict[str, Any]:
    """Train one recipe with one seed, stage by stage.

    Every random number is a function of seed, stage, epoch and step, so that a resumed run ends with the very weights
    of one that was never stopped (bitwise on the CPU, with the same number of processes and threads).

    Args:
        recipe: what to train.
        seed: of the initial weights, the order and all draws.
        run_dir: gets `checkpoints/`, `log.csv` and `tensorboard/`.
        resume: go on from the newest checkpoint, if there is one.
        fabric: launched, see `devices.make_fabric`.
        task: the data, if they are loaded already.

    Returns:
        The record of the run, plain values; see `results.store`.

    Raises:
        TrainingError: for a loss that is not finite, a full disk, or a checkpoint of another recipe.
        Stopped: after SIGINT or SIGTERM, once the state is saved.
        DataError: if the data cannot be read.
        RecipeError: if recipe and data do not fit together.
    """
    with _threads(recipe.train.threads):
        reset_peak_memory(fabric.device)
        task = task or load_task(recipe, fabric)
        method = build_method(recipe, len(task.pairs.classes), seed)
        plan = plan_stages(recipe, method, task.facts, len(task.pairs.rows("train")), seed, fabric.world_size)
        folder = Path(run_dir)
        with exclusive(folder, fabric), catch_signals() as stop:
            augmentations = build_augmentations(recipe.data.augment)
            run = Run(recipe, seed, folder, fabric, task, method, plan, augmentations, Progress(), stop)
            run.losses = DeferredValues(fabric.device, partial(_take_losses, run))
            run.signals = DeferredValues(fabric.device, partial(_take_signal, run))
            run.restore(resume)
            fabric.to_device(method)
            _train(run)
            return on_first_rank(fabric, lambda: _record(run))


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """So many threads of PyTorch, if any are asked for; afterwards as many as before, for runs that do not ask."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(run: Run) -> None:
    """All stages that are left; a stop is saved before it is passed on."""
    at, total = run.progress, sum(plan.epochs * plan.steps for plan in run.plan)
    behind = sum(plan.epochs * plan.steps for plan in run.plan[: at.stage]) + at.epoch * run.now.steps + at.step
    names = [plan.stage.name for plan in run.plan]
    name = f"seed {run.seed}"  # short: the bar has little room
    log = Log(run.folder, name, total, behind, len(at.history), names) if run.fabric.is_global_zero else None
    with log or nullcontext() as run.log:
        try:
            _do_stage(run)
            while run.progress.stage + 1 < len(run.plan):
                run.next_stage()
                _do_stage(run)
        except Stopped as stopped:
            _require_finite(run)
            run.save(checkpoint.LAST)
            place = f"{run.place} after {run.progress.step} of {run.now.steps} steps"
            advice = "run the same command with --resume to go on"
            raise Stopped(f"{stopped} in {place}; {advice}", stopped.signum) from None


def _do_stage(run: Run) -> None:
    """Take the stage that runs over from another run that has trained it; or train it, for this run and others."""
    at, plan = run.progress, run.now
    if plan.file is None:
        _train_stage(run)
        return
    if plan.stage.name in at.results:  # taken over before the run was stopped
        return
    own = at.epoch == plan.epochs  # trained, but perhaps not kept, before the run was stopped
    with claimed(run, plan.file, lambda: _check_stop(run)):
        run.signals.flush()
        if own or not take(run, plan.file):
            _train_stage(run)
            keep(run, plan.file)


def _train_stage(run: Run) -> None:
    """All epochs that are left of the stage that runs; a single evaluation where nothing is trained."""
    plan = run.now
    _calibrate(run)
    if plan.stage.trains:
        if run.log:
            run.log.begin_stage()
        run.trainer = Trainer(run.method, plan.recipe, run.fabric, run.optimizer_state)
        run.optimizer_state = None
    while run.progress.epoch < plan.epochs:
        if run.trainer is not None:
            _train_epoch(run, run.trainer)
        _finish_epoch(run)
    run.progress.results[plan.stage.name] = run.progress.result()


def _calibrate(run: Run) -> None:
    """Let the method look at training batches, once in the stage that runs; the result is in a checkpoint."""
    at, calibration = run.progress, run.now.stage.calibration
    if calibration is None or at.calibrated:
        return
    before = {name: value.clone() for name, value in run.method.state_dict().items()}
    run.method.train(calibration.training)
    try:
        with torch.no_grad(), run.fabric.autocast():
            run.method.calibrate(_calibration_batches(run, calibration.augment))
    except Stopped:
        run.method.load_state_dict(before)  # a resumed run calibrates from the beginning
        raise
    finally:
        run.method.train()
    at.calibrated = True
    _require_finite(run)
    run.save(checkpoint.LAST)


def _calibration_batches(run: Run, augment: bool) -> Iterator[Batch]:
    """Global batches of an epoch; each process gets all of them whole, and so the same result."""
    at, pairs, plan = run.progress, run.task.pairs, run.now
    rows = epoch_rows(pairs, plan.recipe.train, seed_of(run.seed, at.stage, CALIBRATION))
    for step, chosen in enumerate(rows):
        seed = seed_of(run.seed, at.stage, CALIBRATION, step)
        yield make_batch(pairs, chosen, seed, plan.stage, run.augmentations if augment else ())
        _check_stop(run)


def _train_epoch(run: Run, trainer: Trainer) -> None:
    """All steps that are left of this epoch."""
    at, plan, pairs, fabric = run.progress, run.now, run.task.pairs, run.fabric
    trainer.begin_epoch(at.epoch)
    rows = epoch_rows(pairs, plan.recipe.train, seed_of(run.seed, at.stage, at.epoch))
    while at.step < len(rows):
        seed = seed_of(run.seed, at.stage, at.epoch, at.step)
        batch = make_batch(
            pairs, rows[at.step], seed, plan.stage, run.augmentations, fabric.global_rank, fabric.world_size
        )
        share_done = (at.epoch + at.step / len(rows)) / plan.recipe.train.epochs
        trainer.step(batch, share_done, partial(_send_losses, run))
        at.step += 1
        _check_stop(run)


def _send_losses(run: Run, parts: dict[str, Tensor]) -> None:
    """Send the parts of the loss, mean over the processes, to the log; on the CPU, one that is not finite raises."""
    values = reduced(run.fabric, torch.stack([part.detach().float() for part in parts.values()]), "mean")
    run.losses.send((run.progress.step, tuple(parts)), values)


def _take_losses(run: Run, sent: tuple[int, tuple[str, ...]], values: list[float]) -> None:
    """Check, add up and show the parts of the loss of one step of this epoch."""
    at, (step, names) = run.progress, sent
    parts = dict(zip(names, values, strict=True))
    if not all(math.isfinite(value) for value in values):
        shown = ", ".join(f"{name} {value:.6g}" for name, value in parts.items())
        raise TrainingError(f"the loss is not finite in {run.place}, step {step + 1} ({shown}); {_way_back(run)}")
    at.sums = {name: at.sums.get(name, 0.0) + value for name, value in parts.items()}
    if run.log:
        run.log.step(run.place, parts["loss"], (run.now.epochs - at.epoch) * run.now.steps - step - 1)


def _require_finite(run: Run) -> None:
    """Look at all losses and weights: nothing that is not finite is saved."""
    run.losses.flush()
    weights = [value for value in run.method.state_dict().values() if value.is_floating_point()]
    if not torch.stack([value.isfinite().all() for value in weights]).all():
        raise TrainingError(f"a weight is not finite after {run.place}, step {run.progress.step}; {_way_back(run)}")


def _way_back(run: Run) -> str:
    file = run.checkpoints / checkpoint.LAST
    good = f"the last good checkpoint is {file}" if file.is_file() else "there is no checkpoint yet"
    rate = f"stages.{run.now.stage.name}.optim.lr" if len(run.plan) > 1 else "optim.lr"
    return f"{good}; a lower {rate} or a longer warm-up may help"


def _check_stop(run: Run) -> None:
    """Raise `Stopped` in all processes, at the same step, if one of them got a signal."""
    if run.fabric.world_size == 1:
        run.stop.check()
        return
    signum = torch.full((1,), float(run.stop.signum), device=run.fabric.device)
    run.signals.send(None, reduced(run.fabric, signum, "max"))


def _take_signal(run: Run, sent: None, values: list[float]) -> None:
    """Stop if any process got a signal by the time of this value; one that came later is still on its way."""
    if values[0]:
        run.stop.signum = int(values[0])
        run.stop.check()


def _finish_epoch(run: Run) -> None:
    """Evaluate, save, report."""
    at, epochs = run.progress, run.now.epochs
    _require_finite(run)
    entry: dict[str, Any] = {"stage": at.stage, "epoch": at.epoch}
    if run.trainer is not None:
        mean = {name: value / at.step for name, value in at.sums.items()}
        entry |= {"lr": run.trainer.optimizer.param_groups[0]["lr"], "train": mean}
    if (at.epoch + 1) % run.now.recipe.train.eval_every == 0 or at.epoch + 1 == epochs:
        entry |= _evaluate(run)
    run.tick()
    at.history.append({**entry, "seconds": round(at.seconds, 3)})
    at.epoch, at.step, at.sums = at.epoch + 1, 0, {}
    every = run.now.recipe.train.keep_every
    if every and at.epoch % every == 0 and run.trainer is not None:
        run.keep()
    run.save(checkpoint.LAST)
    log = run.log
    on_first_rank(run.fabric, lambda: log.epoch(at.history, epochs) if log else None)


def _evaluate(run: Run) -> dict[str, dict[str, float]]:
    """Accuracy on the validation (if there are any) and test recordings; keeps the best, returns both."""
    at, pairs, train = run.progress, run.task.pairs, run.now.recipe.train
    parts: tuple[Part, ...] = ("val", "test") if len(pairs.rows("val")) else ("test",)
    found: dict[str, Evaluation] = {}
    batch = within_memory(run.method, train.at_once)
    for part in parts:
        found[part] = evaluate(run.method, pairs, pairs.rows(part), batch, run.fabric, lambda: _check_stop(run))
    run.signals.flush()  # no signal stays on its way when the run may end
    test = found["test"]
    result = {"epoch": at.epoch, **test.summary(), "accuracy_by_step": test.accuracy_by_step}
    if len(test.guessed) == 1 and len(pairs.labels[pairs.rows("test")].unique()) > 1:
        result["one_class"] = pairs.classes[test.guessed[0]]
        _say_one_class(run, result)
    best_on_test = at.best_test is None or test.accuracy > at.best_test["accuracy"]
    improved = best_on_test
    at.last = result
    if "val" in found:
        result["val_accuracy"] = found["val"].accuracy
        improved = at.best_val is None or result["val_accuracy"] > at.best_val["val_accuracy"]
        at.best_val = result if improved else at.best_val
    if best_on_test:
        at.best_test = {**result, "selected_on": SELECTED_ON_TEST}
    if improved:
        run.save(checkpoint.BEST)
    return {part: evaluation.summary() for part, evaluation in found.items()}


def _say_one_class(run: Run, result: dict[str, Any]) -> None:
    """Warn, the first time, that all test recordings get one class, and whether the network has no spikes."""
    if not run.told:
        run.told = True
        rows = run.task.pairs.rows("test")[: within_memory(run.method, run.now.recipe.train.at_once)]
        activity = on_first_rank(
            run.fabric, lambda: measure_activity(run.method, run.task.pairs, rows, len(rows), run.fabric)
        )
        run.say(f"{run.place}: {'; '.join(notes_of({'last': result, **activity}).values())}")


def _record(run: Run) -> dict[str, Any]:
    """What is kept of a finished run."""
    at, pairs = run.progress, run.task.pairs
    batch = within_memory(run.method, run.now.recipe.train.at_once)
    activity = measure_activity(run.method, pairs, pairs.rows("test"), batch, run.fabric)
    run.tick()
    remarks = run.method.notes()
    return {
        "format": 1,
        "name": run.recipe.name,
        "recipe": run.recipe.as_dict(),
        "recipe_hash": recipe_hash(run.recipe),
        "seed": run.seed,
        "data": run.task.facts,
        "audit": run.task.audit,
        "last": at.last,
        "best_val": at.best_val,
        "best_test": at.best_test,
        **({"stages": at.results} if len(run.plan) > 1 else {}),
        **({"remarks": remarks} if remarks else {}),
        **activity,
        "parameters": sum(parameter.numel() for parameter in run.method.parameters() if parameter.requires_grad),
        "history": at.history,
        "seconds": round(at.seconds, 3),
        "peak_memory": peak_memory(run.fabric.device),
        **machine(run.fabric),
        "versions": versions(),
        "started": at.started,
        "finished": now(),
    }
