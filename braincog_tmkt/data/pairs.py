"""Pairs of a recording and a static image of its class, drawn anew for every presentation.

Frames stay in their memory maps and rows are read when a batch asks for them, or the whole set moves to the device.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import DataError
from .augment import Augmentation
from .batch import Batch, BatchRNG, to_device
from .splits import Split, drawable
from .types import Index

Part = Literal["train", "val", "test"]


class FrameArrays(Protocol):
    """What `PairSet` needs of the cache."""

    @property
    def events(self) -> np.ndarray:
        """Event frames, float32 `[N, T, 2, H, W]`; row i is recording i of the index."""

    @property
    def images(self) -> np.ndarray:
        """Static images, uint8 `[M, H, W]`; row j is static image j of the index."""


class PairSet:
    """The recordings of an index, with the static images that training may draw for each class.

    Args:
        index: recordings, static images and class names.
        split: which recordings train and which images may be drawn.
        frames: their frames, row by row as in the index.
        steps: T; needed where a recording's one frame stands for all steps.

    Raises:
        DataError: if the frames are not those of the index, a key of the split is not in it, or a class with
            training recordings has no image to draw.

    Example:
        >>> from types import SimpleNamespace
        >>> from braincog_tmkt.data.splits import Protocol as SplitProtocol, make_split
        >>> from braincog_tmkt.data.types import Item
        >>> items = tuple(Item(f"cup/{number:02}", "cup") for number in range(20))
        >>> index = Index(("cup",), items, items)
        >>> frames = SimpleNamespace(
        ...     events=np.zeros((20, 4, 2, 8, 8), np.float32), images=np.zeros((20, 8, 8), np.uint8)
        ... )
        >>> pairs = PairSet(index, make_split(index, SplitProtocol("clean")), frames)
        >>> batch = pairs.batch(pairs.rows("train")[:3], BatchRNG(seed=0, start=0, rows=3, total=3))
        >>> batch.static.shape, batch.events.shape
        (torch.Size([3, 2, 8, 8]), torch.Size([3, 4, 2, 8, 8]))
    """

    def __init__(self, index: Index, split: Split, frames: FrameArrays, steps: int | None = None) -> None:
        self.classes = index.classes
        self.labels = torch.tensor([index.label_of[item.class_name] for item in index.recordings])
        self.device = torch.device("cpu")
        self._events = _tensor(frames.events)
        self._images = _tensor(frames.images)
        self.steps = steps or self._events.shape[1]
        for what, array, items in (
            ("recordings", self._events, index.recordings),
            ("static images", self._images, index.statics),
        ):
            if len(array) != len(items):
                raise DataError(
                    f"the cache holds {len(array)} {what}, the data set {len(items)}: delete the cache folder and"
                    " prepare it again."
                )
        self._rows = _rows_of_parts(index, split)
        self._pool, self._pool_sizes = _pool_table(index, split)
        self._trains = torch.zeros(len(self), dtype=torch.bool)
        self._trains[self._rows["train"]] = True
        self.has_statics = bool(split.pool)
        drawing = torch.unique(self.labels[self._trains]) if self.has_statics else torch.tensor([])
        if empty := [self.classes[label] for label in drawing.tolist() if not self._pool_sizes[label]]:
            raise DataError(
                f"no static image can be drawn for class {', '.join(repr(name) for name in empty)}: "
                "add images of that class whose names match its recordings."
            )

    def __len__(self) -> int:
        """N, all recordings of the index."""
        return len(self.labels)

    def rows(self, part: Part) -> Tensor:
        """The rows of a part of the split in `index.recordings`, int64, in the order of the split."""
        return self._rows[part]

    def to(self, device: torch.device | str, max_bytes: int = 0) -> PairSet:
        """Make batches on `device`, and keep all frames there if they take `max_bytes` or less.

        N-Caltech101 takes 1.5 GiB at T 10 and 48x48.
        """
        self.device = torch.device(device)
        if self._events.nbytes + self._images.nbytes <= max_bytes:
            self._events, self._images = self._events.to(self.device), self._images.to(self.device)
        return self

    def batch(
        self, rows: Tensor, rng: BatchRNG, augmentations: Sequence[Augmentation] = (), static_only: bool = False
    ) -> Batch:
        """Pair training recordings with images of their class, drawn uniformly from the pool.

        Where recordings are mixed, each rank makes the global batch and keeps its own rows of it.

        Args:
            rows: rows of training recordings in the index, all of the global batch, on the CPU.
            rng: random numbers of the global batch; this rank's rows are the ones that it draws for.
            augmentations: of the event frames, in this order.
            static_only: whether the images stand in the place of the event frames, one a sample.

        Returns:
            This rank's share.

        Raises:
            DataError: if a row is no training recording, or there are no images for `static_only`.
        """
        if not self._trains[rows].all():
            raise DataError("a batch to train on has validation or test recordings: take its rows from rows('train')")
        if static_only and not self.has_statics:
            raise DataError(
                "a stage of static images alone needs static images, but there are none to draw: add images, or choose"
                " a protocol that has some"
            )
        own = slice(rng.start, rng.start + rng.rows)
        mixing = any(augmentation.mixes for augmentation in augmentations)
        made, drawn = (rows, rng.of_all_ranks()) if mixing else (rows[own], rng)
        label = to_device(self.labels[made], self.device)
        static = self._statics(made, drawn)
        events = static[:, None] if static_only else self.events(made)[0]
        target = functional.one_hot(label, len(self.classes)).float() if mixing else label
        for augmentation in augmentations:
            events, target = augmentation(events, target, drawn)
        if mixing:
            static, events, label, target = static[own], events[own], label[own], target[own]
        return Batch(static, events, label, to_device(rows[own], self.device), rng, target)

    def _statics(self, rows: Tensor, rng: BatchRNG) -> Tensor:
        """Drawn images `[B, 2, H, W]` in [0, 1], in colour `[B, 3, H, W]`; `[B, 0, H, W]` if there are none to draw."""
        if not self.has_statics:
            return torch.empty(len(rows), 0, *self._events.shape[-2:], device=self.device)
        static = self._take(self._images, self._partners(rows, rng)).float().div_(255)
        # One channel stands for both polarities: a view, so that nothing is copied.
        return static if static.dim() == 4 else static[:, None].expand(-1, 2, -1, -1)

    def events(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Event frames `[B, T, 2, H, W]` and labels `[B]` of any recordings; no static image is touched."""
        frames = self._take(self._events, rows)
        return frames.expand(-1, self.steps, -1, -1, -1), to_device(self.labels[rows], self.device)

    def _take(self, array: Tensor, rows: Tensor) -> Tensor:
        """Rows of the events or images, on the device, wherever these are kept."""
        return to_device(array.index_select(0, to_device(rows, array.device)), self.device)

    def class_weights(self, rows: Tensor) -> Tensor:
        """Weights `[len(rows)]`, float64, under which every class among `rows` is drawn equally often.

        Each is N/n: N the number of rows, n those of the class. The baseline's sampler takes both numbers from the
        whole data set, which comes to the same up to rounding (1.5 % of a class's mass on N-Caltech101; deviation
        D-13).
        """
        labels = self.labels[rows]
        sizes = torch.bincount(labels, minlength=len(self.classes))
        return len(rows) / sizes[labels].double()

    def _partners(self, rows: Tensor, rng: BatchRNG) -> Tensor:
        """Rows of the drawn images in `index.statics` `[B]`."""
        labels = self.labels[rows]
        # u < 1 in float64, so that u * size rounds down below size for every size that fits in memory.
        place = (rng.uniform(stream="partner") * self._pool_sizes[labels]).long()
        return self._pool[labels, place]


def _tensor(array: np.ndarray) -> Tensor:
    """The array as a tensor that shares its memory: of a memory map, only rows asked for are read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # we only read
        return torch.from_numpy(array)


def _rows_of_parts(index: Index, split: Split) -> dict[Part, Tensor]:
    row_of = {item.key: row for row, item in enumerate(index.recordings)}
    parts: dict[Part, tuple[str, ...]] = {"train": split.train, "val": split.val, "test": split.test}
    if lost := [key for keys in parts.values() for key in keys if key not in row_of]:
        raise DataError(f"the split holds '{lost[0]}', the data set does not: make the split anew from this data set.")
    return {part: torch.tensor([row_of[key] for key in keys], dtype=torch.int64) for part, keys in parts.items()}


def _pool_table(index: Index, split: Split) -> tuple[Tensor, Tensor]:
    """For each class the rows of the images it may draw, `[K, P]` padded with 0, and how many they are, `[K]`."""
    row_of = {item.key: row for row, item in enumerate(index.statics)}
    groups = {name: [row_of[key] for key in keys] for name, keys in drawable(index, split).items()}
    sizes = torch.tensor([len(groups.get(name, ())) for name in index.classes])
    table = torch.zeros(len(index.classes), max(1, int(sizes.max())), dtype=torch.int64)
    for label, name in enumerate(index.classes):
        table[label, : sizes[label]] = torch.tensor(groups.get(name, ()), dtype=torch.int64)
    return table, sizes
