"""Where a run is, and how that is kept in its checkpoints."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock
from lightning_fabric import Fabric

from ..data.augment import Augmentation
from ..errors import TrainingError
from ..methods import Method
from ..recipe import Recipe, recipe_hash
from ..recipe.identity import differences
from . import checkpoint
from .devices import locked, on_first_rank
from .environment import now
from .log import Log
from .signals import StopRequest
from .stages import StagePlan
from .step import DeferredValues, Trainer
from .task import TaskData


@dataclass
class Progress:
    """What lies behind; the next thing to do is step `step` of epoch `epoch` of stage `stage`.

    Args:
        stage: number of the method's stage, from 0; `epoch` within it, and optimiser `step` within that, too.
        calibrated: whether the stage's calibration is over.
        sums: sums of the parts of the loss over the steps of this epoch.
        history: one entry an epoch.
        results: of the stages that are finished, by name, as in the record.
        last: newest evaluation on the test recordings.
        best_val: the evaluation, again on the test recordings, of the epoch that was best on the validation recordings.
        best_test: the evaluation of the epoch that was best on the test recordings.
        seconds: time spent, over all stages and restarts.
        before: of these, on the stages before.
        started: when the run was first started.
    """

    stage: int = 0
    epoch: int = 0
    step: int = 0
    calibrated: bool = False
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    last: dict[str, Any] | None = None
    best_val: dict[str, Any] | None = None
    best_test: dict[str, Any] | None = None
    seconds: float = 0.0
    before: float = 0.0
    started: str = field(default_factory=now)

    def next_stage(self) -> Progress:
        """Go to the beginning of the next stage, whose accuracies are its own."""
        kept = {name: getattr(self, name) for name in ("history", "results", "seconds", "started")}
        return Progress(self.stage + 1, before=self.seconds, **kept)

    def result(self) -> dict[str, Any]:
        """What the record keeps of the stage that runs, once it is finished."""
        found = {"last": self.last, "best_val": self.best_val, "best_test": self.best_test}
        return {**found, "seconds": round(self.seconds - self.before, 3), "shared": None}


@dataclass
class Run:
    """Everything the loop works on.

    Args:
        recipe: of the whole run; that of the stage that runs is in `now`.
        plan: all stages.
        augmentations: of the event frames.
        trainer: None before the stage that runs has one, and where nothing is trained.
        told: whether it was said that the network gives all test recordings one class.
        losses: brings in the parts of the loss, step by step.
        signals: brings in the signal that any process got, if there are several.
    """

    recipe: Recipe
    seed: int
    folder: Path
    fabric: Fabric
    task: TaskData
    method: Method
    plan: list[StagePlan]
    augmentations: list[Augmentation]
    progress: Progress
    stop: StopRequest
    log: Log | None = None
    told: bool = False
    losses: DeferredValues = field(init=False)
    signals: DeferredValues = field(init=False)
    trainer: Trainer | None = None
    optimizer_state: dict[str, Any] | None = None
    clock: float = field(default_factory=time.perf_counter)

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / "checkpoints"

    @property
    def now(self) -> StagePlan:
        """The stage that runs."""
        return self.plan[self.progress.stage]

    @property
    def place(self) -> str:
        """The epoch, and the stage if there are several, in words."""
        stage = f"stage {self.now.stage.name}, " if len(self.plan) > 1 else ""
        return f"{stage}epoch {self.progress.epoch + 1}"

    def say(self, line: str) -> None:
        """Print a line, in the first process, above the bar if there is one."""
        if self.log is not None:
            self.log.say(line)
        else:
            self.fabric.print(line)

    def next_stage(self) -> None:
        """Go on to the next stage; no optimiser and no gradient is left of the one before."""
        self.progress, self.trainer, self.optimizer_state = self.progress.next_stage(), None, None
        self.method.zero_grad(set_to_none=True)
        self.method.begin_stage(self.now.stage.name)

    def tick(self) -> None:
        """Add the time since the last call to the run's."""
        before, self.clock = self.clock, time.perf_counter()
        self.progress.seconds += self.clock - before

    def save(self, name: str) -> None:
        """Write a checkpoint: all that going on takes; random states are not among it, since there are none."""
        self.tick()
        # A run may be stopped again before its trainer is made: while another run trains a stage that both share.
        optimizer = self.trainer.optimizer.state_dict() if self.trainer else self.optimizer_state
        self._write(name, {"optimizer": optimizer, "progress": asdict(self.progress)})

    def keep(self) -> None:
        """Write the weights of the epoch that has ended to a file of their own, which stays."""
        stage = self.now.stage.name if len(self.plan) > 1 else ""
        self._write(checkpoint.kept(self.progress.epoch, stage), {})

    def _write(self, name: str, more: dict[str, Any]) -> None:
        state = {
            "recipe": self.recipe.as_dict(),
            "recipe_hash": recipe_hash(self.recipe),
            "seed": self.seed,
            "data": {key: self.task.facts[key] for key in ("kind", "split")},
            "content": self.task.content and self.task.content.marks,
            "method": self.method.state_dict(),
            **more,
        }
        on_first_rank(self.fabric, lambda: checkpoint.save(self.checkpoints / name, state))

    def restore(self, resume: bool) -> None:
        """Enter the first stage; or go to the newest checkpoint, if there is one, and enter its stage.

        Raises:
            TrainingError: if there is one and `resume` is not set, if it belongs to another recipe, seed or data, or
                if none can be read.
        """
        state = checkpoint.load_newest(self.checkpoints, self.fabric.print)
        if state is None:
            self.method.begin_stage(self.now.stage.name)
            return
        if not resume:
            raise TrainingError(f"{self.folder} holds an unfinished run: go on with --resume, or remove the folder")
        self._require_same(state)
        self.progress = Progress(**state["progress"])
        self.method.begin_stage(self.now.stage.name)
        self.method.load_state_dict(state["method"])  # after it: entering may have changed the weights
        self.optimizer_state = state["optimizer"]
        self.fabric.print(f"going on at {self.place}, step {self.progress.step + 1}")

    def _require_same(self, state: dict[str, Any]) -> None:
        other = differences(state["recipe"], self.recipe.as_dict())
        if state["seed"] != self.seed:
            other.append(f"seed ({state['seed']}, {self.seed})")
        facts = self.task.facts
        other += [f"{key} of the data ({old}, {facts[key]})" for key, old in state["data"].items() if old != facts[key]]
        if other:
            raise TrainingError(
                f"the checkpoint in {self.checkpoints} was made with another {', '.join(other)} (its own, yours):"
                " take the settings back, or train in another folder"
            )
        if changes := changes_since(state, self.task):
            raise TrainingError(
                f"{changes} since the run in {self.folder} was stopped: put the files back, or train in another folder"
            )
        if self.task.content and state.get("content") is None:
            self.fabric.print("note: an older version wrote the checkpoint, so nothing tells whether the data changed")


def changes_since(state: dict[str, Any], task: TaskData) -> str | None:
    """What of the data is not as it was when a checkpoint of the same split was written, in words.

    None if nothing changed, or if the checkpoint does not tell.
    """
    before = state.get("content")
    return None if before is None or task.content is None else task.content.changes(before)


def exclusive(folder: Path, fabric: Fabric) -> AbstractContextManager[None]:
    """Keep other processes from training in the same folder, see `devices.locked`; if another one does, it raises."""

    def refuse() -> None:
        raise TrainingError(f"another process trains in {folder}: wait for it, or choose another folder")

    return locked(FileLock(folder / ".lock"), fabric, 0, refuse, "choose another folder of all runs with --runs")
