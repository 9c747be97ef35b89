"""What a run says while it goes: a progress bar, a line an epoch, log.csv, TensorBoard scalars."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from ..errors import TrainingError
from ..files import write_whole
from ..progress import duration, make_bar
from ..recipe.identity import flat
from ..terminal import width, wrapped

FIRST_STEPS, WORTH_SAYING = 3, 60.0
"""Steps after the first, slow one that tell how long a stage will take; seconds from which that is worth a line."""

ROOM = "free some space or choose another folder with --runs, then run this again with --resume"

LAST_EPOCHS = 3
"""Epochs whose mean duration tells when a stage will be finished."""


class Log:
    """The outputs of one run; made by the first process only. Its methods raise `TrainingError` if the disk is full.

    Args:
        folder: run folder; gets `log.csv` and `tensorboard/`.
        name: of the run, for the progress bar.
        total: optimiser steps of the whole run.
        done: of these, how many lie behind.
        epochs: epochs that lie behind; TensorBoard drops what an interrupted run wrote after them.
        stages: names of all stages; lines, rows and scalars tell which one they are of if there are several.
    """

    def __init__(self, folder: Path, name: str, total: int, done: int, epochs: int, stages: Sequence[str]) -> None:
        self.file, self.stages, self.written = folder / "log.csv", stages, epochs
        try:
            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=epochs)
        except OSError as error:
            raise TrainingError(f"{folder / 'tensorboard'} cannot be written ({error.strerror}): {ROOM}") from error
        self.bar = make_bar(total, name, "step", done, smoothing=0.05)
        self.times: list[float] = []

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        """End the bar and the TensorBoard file."""
        self.bar.close()
        self.board.close()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.bar.write(wrapped(line))

    def begin_stage(self) -> None:
        """The steps to come may be slower or faster than those before."""
        self.times = []

    def step(self, place: str, loss: float, left: int) -> None:
        """Move the bar by one optimiser step, and tell once how long those that are `left` in this stage will take."""
        self.bar.set_postfix_str(f"{place}, loss {loss:.3f}", refresh=False)
        self.bar.update()
        if len(self.times) <= FIRST_STEPS:
            self.times.append(time.perf_counter())
            seconds = left * (self.times[-1] - self.times[0]) / FIRST_STEPS
            if len(self.times) > FIRST_STEPS and seconds > WORTH_SAYING:
                where = place.rpartition("epoch")[0]
                self.say(
                    f"{where}about {duration(seconds)} to go, judging by {FIRST_STEPS} steps; evaluations add to it"
                )

    def taken(self, history: list[dict[str, Any]], steps: int) -> None:
        """Report epochs that another run has trained, whose `steps` optimiser steps need not be taken."""
        self.bar.update(steps)
        self._write(history)

    def epoch(self, history: list[dict[str, Any]], epochs: int) -> None:
        """Report the last entry of the history."""
        if len(self.times) <= FIRST_STEPS:  # the evaluation would be counted with the steps
            self.times = []
        self.say(_sentence(history, epochs, self._stage(history[-1])))
        self._write(history)

    def _stage(self, entry: dict[str, Any]) -> str:
        """The name of an entry's stage, empty if it is the only one."""
        return self.stages[entry["stage"]] if len(self.stages) > 1 else ""

    def _write(self, history: list[dict[str, Any]]) -> None:
        """Write log.csv, and to TensorBoard what came since the last call."""
        names = [self._stage(entry) for entry in history]
        rows = [{**entry, "stage": name or entry["stage"]} for entry, name in zip(history, names, strict=True)]
        write_whole(self.file, _csv(rows))
        try:
            for place in range(self.written, len(history)):
                for key, value in flat(history[place]).items():
                    if key not in ("stage", "epoch"):
                        tag = f"{names[place]}/{key.replace('.', '/')}".lstrip("/")
                        self.board.add_scalar(tag, value, place)
            self.written = len(history)
            self.board.flush()
        except OSError as error:
            raise TrainingError(f"{self.board.log_dir} cannot be written ({error.strerror}): {ROOM}") from error


def _sentence(history: list[dict[str, Any]], epochs: int, stage: str) -> str:
    """One line for the terminal on the last epoch, with the time since the start and the time that is left."""
    entry, before, behind = history[-1], [stage] if stage else [], []
    if "train" in entry:
        before += [f"epoch {entry['epoch'] + 1}/{epochs}", f"lr {entry['lr']:.3g}"]
    behind += [f"{part} {entry[part]['accuracy']:.1%}" for part in ("val", "test") if part in entry]
    left = _seconds_left(history, epochs)
    most = "at most " * (entry["epoch"] == 0)  # the first epoch also compiles
    time_left = f", {most}{duration(left)} left{' in this stage' * bool(stage)}" if left else ""
    behind.append(duration(entry["seconds"]) + time_left)
    losses = [f"{name} {value:.4f}" for name, value in entry.get("train", {}).items()]
    whole, short = (
        "  ".join([*before, *some, *behind]) for some in ([", ".join(losses)] if losses else [], losses[:1])
    )
    return whole if len(whole) <= (width() or len(whole)) else short


def _seconds_left(history: list[dict[str, Any]], epochs: int) -> float:
    """For the other epochs of the stage, if they take as long as the last ones."""
    ends = [entry["seconds"] for entry in history if entry["stage"] == history[-1]["stage"]][-LAST_EPOCHS - 1 :]
    if len(ends) == 1 and history[-1]["stage"] > 0:  # how long the stage before took may be another run's
        return 0.0
    ends = ends if len(ends) > 1 else [0.0, *ends]
    return (epochs - 1 - history[-1]["epoch"]) * max(0.0, ends[-1] - ends[0]) / (len(ends) - 1)


def _csv(history: list[dict[str, Any]]) -> bytes:
    """A column for each number, as `train_loss`."""
    rows = [{key.replace(".", "_"): value for key, value in flat(entry).items()} for entry in history]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
