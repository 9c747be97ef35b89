"""What recordings and images look like, in a few numbers each: to see whether files were changed under their names.

Names, sizes and times of files cannot tell: a copy has other times and the same content, and a file may be replaced by
another. The numbers are projections of the frames and images onto fixed random directions, float64. Rounding (another
processor, another version of torch) moves them by less than `TOLERANCE` of their size, other content by far more.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import TrainingError
from ..files import write_whole
from .splits import Split
from .types import Index, Item

DIRECTIONS = 4
"""Numbers that stand for a recording or an image."""

TOLERANCE = {"recordings": 1e-5, "images": 1e-2}
"""Of images more, since they are rounded to whole numbers: a decoder may differ by one here and there."""

CHUNK_BYTES = 2**24
"""What is projected at once."""


@dataclass(frozen=True)
class Content:
    """The recordings of a split and the images that it may draw, and the numbers that stand for them.

    Args:
        recordings: of train, val and test, in this order.
        images: of the pool.
        marks: `[recordings + images, DIRECTIONS]`, float64.
    """

    recordings: tuple[Item, ...]
    images: tuple[Item, ...]
    marks: Tensor

    def changes(self, before: Tensor) -> str | None:
        """Which items differ from `before`, marks of the same split of an earlier time, in words; None if none."""
        words, first = [], None
        parts = zip((self.recordings, self.images), self._parts(self.marks), self._parts(before), strict=True)
        for (what, tolerance), (items, now, then) in zip(TOLERANCE.items(), parts, strict=True):
            far = (now - then).norm(dim=1) > tolerance * torch.maximum(now.norm(dim=1), then.norm(dim=1))
            if far.any():
                words.append(f"{int(far.sum())} of {len(items)} {what}")
                item = items[int(far.nonzero()[0])]
                first = first or item.path or item.key
        return f"{' and '.join(words)} changed, the first {first}" if words else None

    def _parts(self, marks: Tensor) -> tuple[Tensor, Tensor]:
        return marks[: len(self.recordings)], marks[len(self.recordings) :]


def content_of(index: Index, split: Split, recordings: np.ndarray, images: np.ndarray) -> Content:
    """The content of a split, from the marks (see `marks_of`) of all recordings and images of the index."""
    used = _chosen(index.recordings, (*split.train, *split.val, *split.test))
    drawn = _chosen(index.statics, split.pool)
    marks = np.concatenate([recordings[list(used)], images[list(drawn)]])
    return Content(tuple(used.values()), tuple(drawn.values()), torch.from_numpy(marks))


def _chosen(items: tuple[Item, ...], keys: tuple[str, ...]) -> dict[int, Item]:
    """Row -> item, in the order of the keys."""
    row_of = {item.key: row for row, item in enumerate(items)}
    return {row_of[key]: items[row_of[key]] for key in keys}


def marks_of(array: Path) -> np.ndarray:
    """The marks of all rows of a `.npy` file; stored beside it, and read from there the next time.

    Args:
        array: file of numbers `[N, ...]`. It is read piece by piece, so that little memory is used.

    Returns:
        `[N, DIRECTIONS]`, float64: the rows, each projected onto directions that are the same everywhere.

    Raises:
        OSError: if it cannot be read.
    """
    kept = array.with_suffix(".marks.npy")
    rows = np.load(array, mmap_mode="r")
    with suppress(OSError, EOFError, ValueError):
        marks = np.load(kept)
        if marks.shape == (len(rows), DIRECTIONS):
            return marks
    marks = np.concatenate([np.empty((0, DIRECTIONS)), *_projected(array, rows)])
    buffer = io.BytesIO()
    np.save(buffer, marks)
    with suppress(TrainingError):  # a full disk, or a folder that is read only: they are made again the next time
        write_whole(kept, buffer)
    return marks


def _projected(array: Path, rows: np.memmap) -> Iterator[np.ndarray]:
    """Plain reads, not the memory map: what is read through a map counts as this process's memory."""
    length = int(np.prod(rows.shape[1:]))
    directions = np.random.RandomState(0).standard_normal((length, DIRECTIONS))  # numpy never changes this stream
    step = max(1, CHUNK_BYTES // (directions.itemsize * length))
    with array.open("rb") as file:
        file.seek(rows.offset)
        for start in range(0, len(rows), step):
            count = min(step, len(rows) - start) * length
            yield np.fromfile(file, rows.dtype, count).reshape(-1, length) @ directions
