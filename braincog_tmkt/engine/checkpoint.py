"""Checkpoints: `last.pt` to go on from, the one before it in case the last is damaged, `best.pt` to keep."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..errors import TrainingError
from ..files import write_whole

LAST, PREVIOUS, BEST = "last.pt", "previous.pt", "best.pt"


def kept(epoch: int, stage: str = "") -> str:
    """Name of the checkpoint that stays (`train.keep_every`) after so many epochs of a stage, if there are several.

    Example:
        >>> kept(30), kept(30, "snn")
        ('epoch-0030.pt', 'snn-epoch-0030.pt')
    """
    return f"{stage}{'-' * bool(stage)}epoch-{epoch:04d}.pt"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all; the old `last.pt` becomes `previous.pt`.

    Raises:
        TrainingError: naming the file, if the disk is full; the old checkpoint is still there.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer, path.with_name(PREVIOUS) if path.name == LAST else None)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; only tensors and plain values are unpickled.

    Raises:
        TrainingError: naming the file, if it is missing, truncated or no checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"there is no checkpoint {path}: copy it back, or train the run again") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        # What torch says to a file of other objects is how to load it all the same, which is not safe.
        known = str(error) and not isinstance(error, pickle.UnpicklingError)
        reason = str(error).splitlines()[0] if known else "it is no file of tensors and plain values"
        raise TrainingError(f"the checkpoint {path} is damaged ({reason})") from error
    if not isinstance(state, dict) or "method" not in state:
        raise TrainingError(f"{path} is not a checkpoint of this project, it has no method: give the folder of a run")
    return state


def load_newest(folder: Path, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest checkpoint of a folder that can be read, or None if there is none; `warn` is told of damaged ones.

    Raises:
        TrainingError: if there are checkpoints but none can be read.
    """
    damage: list[str] = []
    for file in filter(Path.is_file, (folder / LAST, folder / PREVIOUS)):
        try:
            state = load(file)
        except TrainingError as error:
            damage.append(str(error))
            continue
        for sentence in damage:
            warn(f"{sentence}; going on from {file.name}, the one before it")
        return state
    if damage:
        advice = f"remove the run folder {folder.parent} to train from the beginning"
        raise TrainingError(f"{' and '.join(damage)}: {advice}")
    return None
