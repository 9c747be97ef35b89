"""What a method gets: one process's share of a batch, and its random numbers.

Tensor letters: `B` batch, `T` time steps, `H`, `W` frame height and width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BatchRNG:
    """The random numbers of one global batch: a function of its seed alone.

    Every rank draws for the whole global batch and keeps its own rows, so that one process and several see the same
    numbers, and a resumed run the same as one that was never stopped (deviation D-10).

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

    def uniform(self, *shape: int, stream: int = 0) -> Tensor:
        """Uniform numbers in [0, 1), float64, `[rows, *shape]`, on the CPU; each `stream` is independent."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + stream) % 2**63)
        numbers = torch.rand(self.total, *shape, generator=generator, dtype=torch.float64)
        return numbers[self.start : self.start + self.rows]


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
        events: event frames `[B, T, 2, H, W]`.
        label: class labels `[B]`, int64.
        index: rows of the recordings in the index `[B]`, int64.
        rng: the random numbers of this batch.
    """

    static: Tensor
    events: Tensor
    label: Tensor
    index: Tensor
    rng: BatchRNG

    @property
    def steps(self) -> int:
        """T, the number of time steps."""
        return self.events.shape[1]
