"""Names of recordings and images: when two are the same, and which two nearly are."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .types import Index, Item

if TYPE_CHECKING:
    from .sets.base import DataSet  # which imports this module

TRIED = 20
"""Names that are compared letter by letter, at most: each with all images of its class."""

ALIKE = 0.6
"""Share of equal letters from which two names count as near."""


def composed(name: str) -> str:
    """A name with one code for each letter (Unicode NFC): some systems store an accent as a letter of its own.

    Example:
        >>> composed("u" + chr(0x308) + "ber") == chr(0xFC) + "ber"
        True
    """
    return unicodedata.normalize("NFC", name)


def unmatched(index: Index) -> tuple[Item, ...]:
    """The recordings without an image of their name; none where the data set has no images at all."""
    shown = {item.key for item in index.statics}
    return tuple(item for item in index.recordings if item.key not in shown) if shown else ()


def names_note(dataset: DataSet, index: Index) -> str | None:
    """How names disagree and what to do; None if they agree, or mean nothing in this data set."""
    words = names_in_words(index) if dataset.pairs_by_name else None
    if words is None:
        return None
    unpaired = " (or take data.protocol=unpaired, if they never do)" if "unpaired" in dataset.protocols else ""
    return f"{words}: give a recording and the image it shows one name{unpaired}"


def names_in_words(index: Index) -> str | None:
    """How the names of recordings and images disagree, with the nearest pair; None if they do not.

    Example:
        >>> from pathlib import Path
        >>> recordings = (Item("cat/7", "cat", Path("events/cat/7.npz")),)
        >>> names_in_words(Index(("cat",), recordings, (Item("cat/007", "cat", Path("static/cat/007.png")),)))
        'no recording has an image of its name; the nearest are events/cat/7.npz and static/cat/007.png'
    """
    alone = unmatched(index)
    if not alone:
        return None
    count = (
        f"{len(alone)} of {len(index.recordings)} recordings have no image of their name, such as {_place(alone[0])}"
    )
    if len(alone) == len(index.recordings):
        count = "no recording has an image of its name"
    recorded = {item.key for item in index.recordings}
    pair = nearest(alone, (item for item in index.statics if item.key not in recorded))
    return f"{count}; the nearest are {_place(pair[0])} and {_place(pair[1])}" if pair else count


def nearest(recordings: Iterable[Item], images: Iterable[Item]) -> tuple[Item, Item] | None:
    """The recording and the image whose names differ least: in case or zeros, then in words, then in letters.

    Neither the recordings nor the images have a partner of their own name.
    """
    recordings, images = tuple(recordings), tuple(images)
    for form in (lambda item: _plain(item.key), _numbers):
        known = {form(image): image for image in reversed(images)}
        known.pop(None, None)
        for item in recordings:
            if form(item) in known:
                return item, known[form(item)]
    return _alike(recordings[:TRIED], images)


def nearest_name(name: str, others: Iterable[str]) -> str | None:
    """The name among `others` that is nearest to another, or None if none is near.

    Example:
        >>> nearest_name("Cat_1", ["dog", "cat 01"])
        'cat 01'
    """
    plain = {_plain(other): other for other in others}
    near = difflib.get_close_matches(_plain(name), plain, 1, ALIKE)
    return plain[near[0]] if near else None


def _alike(recordings: tuple[Item, ...], images: tuple[Item, ...]) -> tuple[Item, Item] | None:
    """The first two of one class that have most letters in common."""
    by_class: dict[str, dict[str, Item]] = defaultdict(dict)
    for image in images:
        by_class[image.class_name][_stem(image)] = image
    for item in recordings:
        others = by_class[item.class_name]
        if near := nearest_name(_stem(item), others):
            return item, others[near]
    return None


def _plain(name: str) -> str:
    """The name without case, leading zeros, spaces and signs."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s_.-]+", "", text))


def _stem(item: Item) -> str:
    return item.key.removeprefix(f"{item.class_name}/")


def _numbers(item: Item) -> str | None:
    """The numbers in the name and the class; None if there are none."""
    numbers = re.findall(r"\d+", _stem(item))
    return f"{item.class_name} {[int(number) for number in numbers]}" if numbers else None


def _place(item: Item) -> str:
    """The end of its path, or its key if its file has another name or many items."""
    named = item.path is not None and item.key.endswith(f"/{composed(item.path.stem)}")
    return "/".join(item.path.parts[-3:]) if item.path and named else item.key
