"""What a run says while it goes: a progress bar, a line an epoch, log.csv, TensorBoard scalars."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ..errors import TrainingError
from ..files import write_whole


class Log:
    """The outputs of one run; made by the first process only.

    Args:
        folder: run folder; gets `log.csv` and `tensorboard/`.
        total: optimiser steps of the whole run.
        done: of these, how many lie behind.
        epochs: epochs that lie behind; TensorBoard drops what an interrupted run wrote after them.
    """

    def __init__(self, folder: Path, total: int, done: int, epochs: int) -> None:
        self.file = folder / "log.csv"
        try:
            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=epochs)
        except OSError as error:
            raise TrainingError(f"{folder / 'tensorboard'} cannot be written: {error.strerror}") from error
        # disable=None: no bar where the output is no terminal; TQDM_DISABLE=1 turns it off everywhere.
        self.bar = tqdm(total=total, initial=done, unit="step", disable=None, dynamic_ncols=True, smoothing=0.05)

    def step(self, epoch: int, loss: float) -> None:
        """Move the bar by one optimiser step."""
        self.bar.update()
        self.bar.set_postfix_str(f"epoch {epoch + 1}, loss {loss:.4f}", refresh=False)

    def epoch(self, history: list[dict[str, Any]], epochs: int) -> None:
        """Report the last entry of the history.

        Raises:
            TrainingError: if the disk is full.
        """
        entry = history[-1]
        self.bar.write(_sentence(entry, epochs))
        write_whole(self.file, _csv(history))
        try:
            for name, value in _flat(entry).items():
                if name not in ("stage", "epoch"):
                    self.board.add_scalar(name.replace("_", "/", 1), value, len(history) - 1)
            self.board.flush()
        except OSError as error:
            raise TrainingError(f"{self.board.log_dir} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """End the bar and the TensorBoard file."""
        self.bar.close()
        self.board.close()


@contextmanager
def open_log(wanted: bool, folder: Path, total: int, done: int, epochs: int) -> Iterator[Log | None]:
    """A `Log` for the first process, None for the others."""
    if not wanted:
        yield None
        return
    log = Log(folder, total, done, epochs)
    try:
        yield log
    finally:
        log.close()


def _sentence(entry: dict[str, Any], epochs: int) -> str:
    """One line for the terminal."""
    parts = ", ".join(f"{name} {value:.4f}" for name, value in entry["train"].items())
    words = [f"epoch {entry['epoch'] + 1}/{epochs}", f"lr {entry['lr']:.3g}", parts]
    words += [f"{part} {entry[part]['accuracy']:.1%}" for part in ("val", "test") if part in entry]
    return "  ".join([*words, f"{entry['seconds']:.0f} s"])


def _flat(entry: dict[str, Any]) -> dict[str, float]:
    """`{"train": {"loss": 1}}` -> `{"train_loss": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in entry.items():
        flat |= {f"{key}_{name}": number for name, number in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def _csv(history: list[dict[str, Any]]) -> bytes:
    rows = [_flat(entry) for entry in history]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
