"""What a run says while it goes: a progress bar, a line an epoch, log.csv, TensorBoard scalars."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ..errors import TrainingError
from ..files import write_whole
from ..recipe.identity import flat


class Log:
    """The outputs of one run; made by the first process only. Its methods raise `TrainingError` if the disk is full.

    Args:
        folder: run folder; gets `log.csv` and `tensorboard/`.
        total: optimiser steps of the whole run.
        done: of these, how many lie behind.
        epochs: epochs that lie behind; TensorBoard drops what an interrupted run wrote after them.
        stages: names of all stages; lines, rows and scalars tell which one they are of if there are several.
    """

    def __init__(self, folder: Path, total: int, done: int, epochs: int, stages: Sequence[str]) -> None:
        self.file, self.stages, self.written = folder / "log.csv", stages, epochs
        try:
            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=epochs)
        except OSError as error:
            raise TrainingError(f"{folder / 'tensorboard'} cannot be written: {error.strerror}") from error
        # disable=None: no bar where the output is no terminal; TQDM_DISABLE=1 turns it off everywhere.
        self.bar = tqdm(total=total, initial=done, unit="step", disable=None, dynamic_ncols=True, smoothing=0.05)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        """End the bar and the TensorBoard file."""
        self.bar.close()
        self.board.close()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.bar.write(line)

    def step(self, place: str, loss: float) -> None:
        """Move the bar by one optimiser step."""
        self.bar.update()
        self.bar.set_postfix_str(f"{place}, loss {loss:.4f}", refresh=False)

    def taken(self, history: list[dict[str, Any]], steps: int) -> None:
        """Report epochs that another run has trained, whose `steps` optimiser steps need not be taken."""
        self.bar.update(steps)
        self._write(history)

    def epoch(self, history: list[dict[str, Any]], epochs: int) -> None:
        """Report the last entry of the history."""
        self.say(_sentence(history[-1], epochs, self._stage(history[-1])))
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
            raise TrainingError(f"{self.board.log_dir} cannot be written: {error.strerror}") from error


def _sentence(entry: dict[str, Any], epochs: int, stage: str) -> str:
    """One line for the terminal."""
    words = [stage] if stage else []
    if "train" in entry:
        parts = ", ".join(f"{name} {value:.4f}" for name, value in entry["train"].items())
        words += [f"epoch {entry['epoch'] + 1}/{epochs}", f"lr {entry['lr']:.3g}", parts]
    words += [f"{part} {entry[part]['accuracy']:.1%}" for part in ("val", "test") if part in entry]
    return "  ".join([*words, f"{entry['seconds']:.0f} s"])


def _csv(history: list[dict[str, Any]]) -> bytes:
    """A column for each number, as `train_loss`."""
    rows = [{key.replace(".", "_"): value for key, value in flat(entry).items()} for entry in history]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
