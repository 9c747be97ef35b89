"""The same content under two names: what no comparison of keys can find."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ..progress import counting
from .sets.base import DataSet
from .sets.listing import looked_at
from .types import FrameSpec, Index, Item

IMAGE_SIZE = 64
"""Side in pixels at which images that share one file are compared."""

Groups = tuple[tuple[str, ...], ...]
"""Groups of keys with the same content, each sorted, two keys or more."""


def find_duplicates(dataset: DataSet, index: Index, progress: bool = True) -> tuple[Groups, Groups]:
    """Groups of recordings, and groups of static images, that have the same content as another one of the index.

    Files are compared by their bytes, and only files of equal size are read. Items that share one file (or have none)
    are compared by their events, or by their pixels at `IMAGE_SIZE`. A DataError names a file that cannot be read.
    """
    decode = partial(dataset.frames, spec=FrameSpec(1, IMAGE_SIZE)) if dataset.still else dataset.events
    recordings = _groups(index.recordings, decode, "recordings", progress)
    return recordings, _groups(index.statics, partial(dataset.image, size=IMAGE_SIZE), "images", progress)


def _groups(items: tuple[Item, ...], decode: Callable[[Item], np.ndarray], what: str, progress: bool) -> Groups:
    """Group the items by content."""
    alone = {path for path, count in Counter(item.path for item in items).items() if path and count == 1}
    own_file = [item for item in items if item.path in alone]
    # Sorted by path, so that a data set can read a file of many recordings once.
    shared = sorted((item for item in items if item.path not in alone), key=lambda item: str(item.path))
    by_size = _grouped(own_file, lambda item: looked_at(item.file, Path.stat).st_size)
    suspects = [item for group in by_size for item in group]
    with counting(len(suspects) + len(shared), f"comparing {what}", what[:-1], shown=progress) as count:

        def content(item: Item) -> Hashable:
            data = looked_at(item.file, Path.read_bytes) if item.path in alone else decode(item).tobytes()
            count()
            return hashlib.sha256(data).digest()

        found = [*_grouped(suspects, content), *_grouped(shared, content)]
    return tuple(sorted(tuple(sorted(item.key for item in group)) for group in found))


def _grouped(items: Iterable[Item], value: Callable[[Item], Hashable]) -> Iterator[list[Item]]:
    """The groups of two items or more that have the same value."""
    groups = defaultdict(list)
    for item in items:
        groups[value(item)].append(item)
    return (group for group in groups.values() if len(group) > 1)
