"""The same content under two names: what no comparison of keys can find."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from ..errors import DataError
from .sets.base import DataSet
from .types import FrameSpec, Index, Item

IMAGE_SIZE = 64
"""Side in pixels at which images that share one file are compared."""

Groups = tuple[tuple[str, ...], ...]
"""Groups of keys with the same content, each sorted, two keys or more."""


def find_duplicates(dataset: DataSet, index: Index, progress: bool = True) -> tuple[Groups, Groups]:
    """Find recordings, and static images, that have the same content as another one of the index.

    Files are compared by their bytes, and only files of equal size are read. Items that share one file (or live in
    none) are compared by their events, or by their pixels at `IMAGE_SIZE`.

    Args:
        dataset: reads the items.
        index: its recordings and images.
        progress: show a bar with rate and remaining time.

    Returns:
        Groups of recordings, and groups of static images.

    Raises:
        DataError: naming a file that cannot be read.
    """

    def events(item: Item) -> bytes:
        return dataset.events(item).tobytes()

    def frames(item: Item) -> bytes:
        return dataset.frames(item, FrameSpec(1, IMAGE_SIZE)).tobytes()

    def image(item: Item) -> bytes:
        return dataset.image(item, IMAGE_SIZE).tobytes()

    recordings = _groups(index.recordings, frames if dataset.still else events, "recordings", progress)
    return recordings, _groups(index.statics, image, "images", progress)


def _groups(items: tuple[Item, ...], decode: Callable[[Item], bytes], what: str, progress: bool) -> Groups:
    """Group the items by content."""
    owners = Counter(item.path for item in items)
    own_file = [item for item in items if item.path is not None and owners[item.path] == 1]
    shared = [item for item in items if item.path is None or owners[item.path] > 1]
    shared.sort(key=lambda item: str(item.path))  # a data set can then read a file of many recordings once
    suspects = [item for group in _grouped(own_file, _size) for item in group]
    bar = tqdm(total=len(suspects) + len(shared), desc=f"comparing {what}", disable=not progress)

    def content(item: Item) -> Hashable:
        data = _read(item.path) if item.path is not None and owners[item.path] == 1 else decode(item)
        bar.update()
        return hashlib.sha256(data).digest()

    with bar:
        found = [*_grouped(suspects, content), *_grouped(shared, content)]
    return tuple(sorted(tuple(sorted(item.key for item in group)) for group in found))


def _grouped(items: Iterable[Item], value: Callable[[Item], Hashable]) -> Iterator[list[Item]]:
    """The groups of two items or more that have the same value."""
    groups = defaultdict(list)
    for item in items:
        groups[value(item)].append(item)
    return (group for group in groups.values() if len(group) > 1)


def _size(item: Item) -> int:
    assert item.path is not None  # items of files only
    try:
        return item.path.stat().st_size
    except OSError as error:
        raise _unreadable(item.path, error) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read ({error.strerror}): download or copy it again")
