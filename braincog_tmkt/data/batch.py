"""What a method gets: one process's share of a batch, and its random numbers.

Tensor letters: `B` batch, `T` time steps, `H`, `W` frame height and width.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError

NUMBERED = {"mixing": 0, "partner": 1, "crop": 2, "flip": 3, "rotate": 4, "roll": 5}
"""Streams that are seeded by a number, so that earlier runs can be repeated; all others are seeded by their name."""


@dataclass(frozen=True)
class BatchRNG:
    """The random numbers of one global batch: a function of its seed alone.

    Every rank draws for the whole global batch and keeps its own rows, so that one process and several see the same
    numbers, and a resumed run the same as one that was never stopped (deviation D-10). A stream has a name, and gives
    the same numbers each time; different names are independent.

    Args:
        seed: seed of this batch.
        start: first row of this rank inside the global batch.
        rows: rows of this rank.
        total: rows of the global batch.
    """

    seed: int
    start: int
    rows: int
    total: int

    def uniform(self, *shape: int, stream: str) -> Tensor:
        """Uniform numbers in [0, 1) for the rows of this rank, float64, `[rows, *shape]`, on the CPU.

        Args:
            shape: of each row's numbers.
            stream: the name of what they are for, e.g. that of an augmentation.
        """
        if stream in NUMBERED:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + NUMBERED[stream]) % 2**63)
            numbers = torch.rand(self.total, *shape, generator=generator, dtype=torch.float64)
        else:
            numbers = torch.from_numpy(self._numpy("uniform", stream).random((self.total, *shape)))
        return numbers[self.start : self.start + self.rows]

    def generator(self, stream: str) -> np.random.Generator:
        """A generator of any other numbers (`beta`, `permutation`, ..), the same in all ranks.

        For augmentations that mix recordings of the global batch, or numbers that its rows have in common.
        """
        return self._numpy("generator", stream)

    def of_all_ranks(self) -> BatchRNG:
        """The random numbers of all rows of the global batch."""
        return replace(self, start=0, rows=self.total)

    def _numpy(self, purpose: str, stream: str) -> np.random.Generator:
        digest = hashlib.sha256(f"{self.seed} {purpose} {stream}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest, "little"))


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; the host goes on while a GPU still copies, from pinned memory.

    Example:
        >>> to_device(torch.arange(3), torch.device("cpu"))
        tensor([0, 1, 2])
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@dataclass
class Batch:
    """One rank's share of a batch, on the device.

    Args:
        static: appearance frames `[B, 2, H, W]` in [0, 1] (one channel, twice), not yet repeated over T; `[B, 0, H, W]`
            where the data set or the protocol offers no static images.
        events: event frames `[B, T, 2, H, W]`; in a stage of static images alone `static`, as one frame.
        label: class labels of the recordings `[B]`, int64.
        index: rows of the recordings in the index `[B]`, int64.
        rng: the random numbers of this batch.
        target: what to classify `events` as: `label` unless given, or class probabilities `[B, K]` if recordings were
            mixed.
    """

    static: Tensor
    events: Tensor
    label: Tensor
    index: Tensor
    rng: BatchRNG
    target: Tensor = None  # type: ignore[assignment]  # set below

    def __post_init__(self) -> None:
        if self.target is None:
            self.target = self.label

    @classmethod
    def of(cls, static: Tensor, events: Tensor, label: Tensor, seed: int | None = None) -> Batch:
        """A batch from the tensors of any loader, for a method in a training loop of your own.

        Args:
            static: appearance frames `[B, C, H, W]` in [0, 1], one a recording.
            events: event frames `[B, T, C, H, W]`.
            label: class labels `[B]`, int64; mixed labels are refused.
            seed: of the batch's random numbers; None draws one from PyTorch's generator (`torch.manual_seed`).

        Raises:
            DataError: if the shapes do not belong together.

        Example:
            >>> batch = Batch.of(torch.rand(3, 2, 8, 8), torch.rand(3, 4, 2, 8, 8), torch.tensor([0, 1, 0]))
            >>> batch.steps
            4
        """
        rows = len(events)
        if events.dim() != 5 or static.shape != (rows, *events.shape[2:]) or label.shape != (rows,):
            raise DataError(
                f"static {[*static.shape]}, events {[*events.shape]} and label {[*label.shape]} make no batch: they"
                " must be [B, C, H, W], [B, T, C, H, W] and [B]"
            )
        seed = int(torch.randint(2**62, ())) if seed is None else seed
        return cls(static, events, label, torch.arange(rows), BatchRNG(seed, 0, rows, rows))

    @property
    def steps(self) -> int:
        """T, the number of time steps."""
        return self.events.shape[1]
