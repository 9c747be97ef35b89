"""Who trains, who is held out, and which static images training may draw: named protocols, fixed by the keys alone.

A split depends on the keys and class names of an index and on the protocol, on nothing else: every listing is sorted
here, no random number is drawn, and no file is looked at. Shares are rounded as Python's `round` does (half to even),
since the baseline's code rounds with it: 4 of 5 recordings at .9, not 5.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from ..errors import DataError, RecipeError
from ..registry import Registry
from .types import Index, Item

PROTOCOLS = Registry("protocol")
"""Protocol name -> function of (index, protocol) that returns a `Split`; a further protocol is one such function."""

STATIC_POOLS = ("partners", "open")


@dataclass(frozen=True)
class Protocol:
    """How recordings are divided and which static images training may draw.

    Args:
        name: one of `PROTOCOLS`.
        train_portion: share of each class that is not test, in (0, 1).
        val_portion: share of that part which is held out for selection, in [0, 1).
        train_per_class: recordings of each class for training and validation together; overrides `train_portion`.
        static_pool: `partners`, the twins of training recordings; `open`, every image that is no twin of a
            validation or test recording.

    Raises:
        RecipeError: naming the value that is wrong and what it may be.

    Example:
        >>> Protocol("clean", train_per_class=10).static_pool
        'partners'
        >>> Protocol("clean", train_portion=1.0)
        Traceback (most recent call last):
        ...
        braincog_tmkt.errors.RecipeError: train_portion is 1.0, but must be a number above 0 and below 1.
    """

    name: str = "clean"
    train_portion: float = 0.9
    val_portion: float = 0.1
    train_per_class: int | None = None
    static_pool: str = "partners"

    def __post_init__(self) -> None:
        PROTOCOLS[self.name]  # an unknown name raises, with the nearest known one
        portion, held_out, count = self.train_portion, self.val_portion, self.train_per_class
        _require(_is_number(portion) and 0 < portion < 1, "train_portion", portion, "a number above 0 and below 1")
        _require(_is_number(held_out) and 0 <= held_out < 1, "val_portion", held_out, "a number from 0 to below 1")
        whole = isinstance(count, int) and not isinstance(count, bool)
        _require(count is None or (whole and count > 0), "train_per_class", count, "null or a whole number from 1 on")
        _require(self.static_pool in STATIC_POOLS, "static_pool", self.static_pool, " or ".join(STATIC_POOLS))
        object.__setattr__(self, "val_portion", float(held_out))  # 0 and 0.0 are one protocol and have one hash


@dataclass(frozen=True)
class Split:
    """The keys of each part.

    Args:
        protocol: the protocol as it was applied.
        train: sorted keys of the recordings trained on.
        val: sorted keys of the recordings that select a checkpoint.
        test: sorted keys of the recordings the accuracy is measured on.
        pool: sorted keys of the static images that training may draw.
        leaky: whether the protocol is known to draw twins of test recordings.
    """

    protocol: Protocol
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    pool: tuple[str, ...]
    leaky: bool

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) over the protocol, its parameters and every key: equal splits, equal hashes."""
        parts = {part: getattr(self, part) for part in ("train", "val", "test", "pool")}
        text = json.dumps({"protocol": asdict(self.protocol), **parts}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def short_hash(self) -> str:
        """The first 12 digits of `hash`, for people."""
        return self.hash[:12]


def make_split(index: Index, protocol: Protocol) -> Split:
    """Divide an index as a protocol says.

    Raises:
        DataError: if a key occurs twice, or no recording is left to train or to test on.
        RecipeError: if the protocol does not suit the index.

    Example:
        >>> items = tuple(Item(f"cup/{number:02}", "cup") for number in range(20))
        >>> split = make_split(Index(("cup",), items, items), Protocol("clean"))
        >>> len(split.train), len(split.val), split.test, len(split.pool)
        (16, 2, ('cup/18', 'cup/19'), 16)
    """
    for what, items in (("recording", index.recordings), ("static image", index.statics)):
        if twice := sorted(key for key, count in Counter(item.key for item in items).items() if count > 1):
            raise DataError(f"the index holds the {what} '{twice[0]}' twice: remove one of the files of that name.")
    split: Split = PROTOCOLS[protocol.name](index, protocol)
    for part, keys in (("train", split.train), ("test", split.test)):
        if not keys:
            raise DataError(
                f"protocol '{protocol.name}' leaves none of the {len(index.recordings)} recordings to {part} on: "
                "change its portions or add recordings."
            )
    return split


@PROTOCOLS.register("clean")
def _clean(index: Index, protocol: Protocol) -> Split:
    """Split so that no twin of a held-out recording can be drawn in training.

    Of each class, in sorted order, the last n - round(train_portion * n) recordings are the test set, which is the
    published test set if listings are sorted; the last recordings of the rest are the validation set. An official
    test set, where there is one, takes the place of that portion.
    """
    train: list[str] = []
    val: list[str] = []
    test: list[str] = []
    for name, keys in _keys_by_class(index.recordings).items():
        kept, rest = _divide_class(name, keys, index.official_test, protocol)
        held_out = _validation_count(len(kept), protocol.val_portion)
        train += kept[: len(kept) - held_out]
        val += kept[len(kept) - held_out :]
        test += rest
    pool = _clean_pool(index, protocol, train, val + test)
    return Split(protocol, _sorted(train), _sorted(val), _sorted(test), _sorted(pool), leaky=False)


def _divide_class(
    name: str, keys: list[str], official_test: frozenset[str], protocol: Protocol
) -> tuple[list[str], list[str]]:
    """The keys of one class for training with validation, and for test."""
    own = [key for key in keys if key not in official_test]  # official test recordings are never trained on
    official = [key for key in keys if key in official_test]
    count = protocol.train_per_class
    if count is None:
        return (own, official) if official_test else _cut(own, round(protocol.train_portion * len(own)))
    if count > len(own) or count == len(keys):
        raise RecipeError(
            f"train_per_class is {count}, but class '{name}' has {len(own)} recordings for training and test together"
            f"{f' and {len(official)} more for test' if official else ''}: choose a smaller number."
        )
    return own[:count], own[count:] + official


def _validation_count(available: int, portion: float) -> int:
    """How many of a class's training recordings validate: at least one if asked for, and never all of them."""
    if portion == 0 or available < 2:
        return 0
    return min(max(1, round(portion * available)), available - 1)


def _clean_pool(index: Index, protocol: Protocol, train: list[str], held_out: list[str]) -> set[str]:
    statics = {item.key for item in index.statics}
    return statics.intersection(train) if protocol.static_pool == "partners" else statics.difference(held_out)


@PROTOCOLS.register("published")
def _published(index: Index, protocol: Protocol) -> Split:
    """Split as the baseline's public code splits N-Caltech101, if every listing is sorted.

    Of each class, in sorted order, the first round(train_portion * n) recordings train and the rest test; there is no
    validation set. The static images at positions 0 to n_train of the class can be drawn: the upper bound is meant to
    be left out and is not, so the first test recording's own image is drawn too. Kept, and marked as leaky (deviation
    D-01: our default is `clean`).
    """
    if protocol.train_per_class is not None or protocol.static_pool != "partners":
        raise RecipeError("protocol 'published' has no train_per_class or static_pool: leave them out, or use 'clean'.")
    if index.official_test:
        raise RecipeError("protocol 'published' would train on the official test set of this data set: use 'clean'.")
    train: list[str] = []
    test: list[str] = []
    pool: list[str] = []
    images = _keys_by_class(index.statics)
    for name, keys in _keys_by_class(index.recordings).items():
        kept, rest = _cut(keys, round(protocol.train_portion * len(keys)))
        train += kept
        test += rest
        pool += images.get(name, [])[: len(kept) + 1]
    return Split(replace(protocol, val_portion=0.0), _sorted(train), (), _sorted(test), _sorted(pool), leaky=True)


def _keys_by_class(items: Iterable[Item]) -> dict[str, list[str]]:
    """Class name -> its keys; both sorted."""
    groups = defaultdict(list)
    for item in sorted(items, key=lambda item: item.key):
        groups[item.class_name].append(item.key)
    return dict(sorted(groups.items()))


def _cut(keys: list[str], at: int) -> tuple[list[str], list[str]]:
    return keys[:at], keys[at:]


def _sorted(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(keys))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(holds: bool, what: str, value: object, allowed: str) -> None:
    if not holds:
        raise RecipeError(f"{what} is {value!r}, but must be {allowed}.")
