"""Stages that several runs have in common: one of them trains it, the others wait for it and take it over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..errors import TrainingError
from . import checkpoint
from .devices import locked, on_first_rank
from .environment import now
from .state import Run, changes_since

POLL = 0.5
"""Seconds between two attempts to take the lock."""


def take(run: Run, file: Path) -> bool:
    """Take the stage that runs over from its file, if that is there and whole: weights, history and results.

    The first process reads; all of them get what it read.
    """
    at, plan = run.progress, run.now
    state = on_first_rank(run.fabric, lambda: _read(run, file))
    if state is None:
        return False
    run.method.trainable().load_state_dict(state["method"])
    before = [entry for entry in at.history if entry["stage"] < at.stage]
    at.history = [*before, *({**entry, "stage": at.stage} for entry in state["history"])]
    left = plan.epochs * plan.steps - at.epoch * plan.steps - at.step
    at.epoch, at.step, at.sums = plan.epochs, 0, {}
    at.results[plan.stage.name] = {**state["result"], "shared": file.name}
    run.optimizer_state = None
    run.save(checkpoint.LAST)
    run.say(f"stage {plan.stage.name}: taken from {file}, trained {state['finished']}")
    log = run.log
    on_first_rank(run.fabric, lambda: log.taken(at.history, left) if log else None)
    return True


def keep(run: Run, file: Path) -> None:
    """Write the stage that was just trained for other runs, see `checkpoint.save`."""
    at, name = run.progress, run.now.stage.name
    state = {
        "method": run.method.trainable().state_dict(),
        "history": [entry for entry in at.history if entry["stage"] == at.stage],
        "result": at.results[name],
        "content": run.task.content and run.task.content.marks,
        "finished": now(),
    }
    on_first_rank(run.fabric, lambda: checkpoint.save(file, state))


def claimed(run: Run, file: Path, check: Callable[[], None]) -> AbstractContextManager[None]:
    """Keep other processes from training the same stage, see `devices.locked`.

    Args:
        run: whose stage it is.
        file: of the stage.
        check: called while another process has it; what it raises ends the waiting.
    """
    told = False

    def wait() -> None:
        nonlocal told
        if not told:
            run.say(f"stage {run.now.stage.name}: another process trains it ({file}): waiting for it")
        told = True
        check()

    return locked(FileLock(file.with_suffix(".lock")), run.fabric, POLL, wait, "set another folder with data.cache")


def _read(run: Run, file: Path) -> dict[str, Any] | None:
    """The content of the file of a stage; None, and a warning, if it cannot be used."""
    if not file.is_file():
        return None
    try:
        state = checkpoint.load(file)
        if missing := {"history", "result", "finished"} - state.keys():
            raise TrainingError(f"{file} holds no {', '.join(sorted(missing))}")
        if _shapes(state["method"]) != _shapes(run.method.trainable().state_dict()):
            raise TrainingError(f"{file} holds the weights of another network")
        if changes := changes_since(state, run.task):
            raise TrainingError(f"{changes} since {file} was trained")
    except TrainingError as error:
        run.say(f"{error}: stage {run.now.stage.name} is trained again")
        return None
    return state


def _shapes(weights: dict[str, Any]) -> dict[str, Any]:
    return {name: value.shape for name, value in weights.items()}
