"""What flows through the data code: items, indices, frame specifications, batches.

Tensor letters: `B` batch, `T` time steps, `H`, `W` frame height and width.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

EVENT_DTYPE = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?")])
"""One event: time in microseconds, pixel column and row, polarity (True is ON, brighter)."""


@dataclass(frozen=True, order=True)
class Item:
    """One recording or one static image.

    A recording and the static image it shows have the same `key` (`<class>/<stem>`): they are twins.
    `path` is None for items that live in no file (the embedded digits).
    """

    key: str
    class_name: str
    path: Path | None = None


@dataclass(frozen=True)
class Index:
    """All recordings and static images of a data set, sorted by key, and its class names in label order.

    Args:
        classes: class names, in label order.
        recordings: sorted by key.
        statics: sorted by key; empty for a data set without static images.
        official_test: keys of the recordings that the data set's authors set aside for testing; empty where they
            published no split, or where the folder at hand has no test part.
        unused: keys of the recordings that the published split neither trains nor tests on.
        twins_known: whether an equal key says that an image is the one a recording shows. Where it is false, images and
            recordings share classes only, and no protocol can prove that a held-out image is not drawn.
    """

    classes: tuple[str, ...]
    recordings: tuple[Item, ...]
    statics: tuple[Item, ...]
    official_test: frozenset[str] = frozenset()
    unused: frozenset[str] = frozenset()
    twins_known: bool = True

    @cached_property
    def label_of(self) -> dict[str, int]:
        """Class name -> label."""
        return {name: label for label, name in enumerate(self.classes)}


@dataclass(frozen=True)
class FrameSpec:
    """How events become frames, and images the pictures they are mixed with.

    Args:
        steps: T, the number of frames of a recording.
        size: height and width of a frame.
        kind: what a frame holds, see `data.frames.FRAMES`.
        antialias: whether the resize averages over all pixels, instead of leaving some out.
        appearance: which channel stands for an image, see `data.static.APPEARANCES`.
    """

    steps: int
    size: int
    kind: str = "time"
    antialias: bool = False
    appearance: str = "value"

    def as_dict(self) -> dict[str, Any]:
        """The specification as plain values, for hashes and records."""
        return asdict(self)


@dataclass(frozen=True)
class Draw:
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
        draw: the random numbers of this batch.
    """

    static: Tensor
    events: Tensor
    label: Tensor
    index: Tensor
    draw: Draw

    @property
    def steps(self) -> int:
        """T, the number of time steps."""
        return self.events.shape[1]
