"""Who trains, who is held out, and which static images training may draw: named protocols, fixed by the keys alone.

A split depends on the keys and class names of an index and on the protocol, on nothing else: every listing is sorted
here, no random number is drawn, and no file is looked at. Shares are rounded as Python's `round` does (half to even),
since the baseline's code rounds with it: 4 of 5 recordings at .9, not 5.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from ...errors import DataError, RecipeError
from ...registry import Registry
from ..types import Index, Item

PROTOCOLS = Registry("protocol", __package__, ["PROTOCOLS.register"])
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
        static_pool: `partners`, the twins of training recordings; `open`, every image that is no twin of a validation
            or test recording.

    Raises:
        RecipeError: naming the value that is wrong and what it may be.

    Example:
        >>> Protocol("clean", train_per_class=10).static_pool
        'partners'
    """

    name: str = "clean"
    train_portion: float = 0.9
    val_portion: float = 0.1
    train_per_class: int | None = None
    static_pool: str = "partners"

    def __post_init__(self) -> None:
        PROTOCOLS.require(self.name)
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
        leaky: whether the protocol may draw images of held-out recordings, and is meant to.
        draws: class name -> sorted keys of the images its recordings draw, under a rule that mixes classes up; None
            where a recording draws the images of its own class in `pool`.
    """

    protocol: Protocol
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    pool: tuple[str, ...]
    leaky: bool
    draws: Mapping[str, tuple[str, ...]] | None = None

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) over the protocol, its parameters and every key: equal splits, equal hashes."""
        parts = {part: getattr(self, part) for part in ("train", "val", "test", "pool")}
        mixed = {"draws": dict(self.draws)} if self.draws is not None else {}
        text = json.dumps({"protocol": asdict(self.protocol), **parts, **mixed}, sort_keys=True)
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


def drawable(index: Index, split: Split) -> dict[str, list[str]]:
    """Class name -> sorted keys of the images that its training recordings draw from."""
    if split.draws is not None:
        return {name: list(keys) for name, keys in split.draws.items()}
    pool = set(split.pool)
    return keys_by_class(item for item in index.statics if item.key in pool)


def keys_by_class(items: Iterable[Item]) -> dict[str, list[str]]:
    """Class name -> its keys; both sorted."""
    groups = defaultdict(list)
    for item in sorted(items, key=lambda item: item.key):
        groups[item.class_name].append(item.key)
    return dict(sorted(groups.items()))


def in_order(keys: Iterable[str]) -> tuple[str, ...]:
    """The keys in the order of a `Split`: sorted."""
    return tuple(sorted(keys))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(holds: bool, what: str, value: object, allowed: str) -> None:
    if not holds:
        raise RecipeError(f"{what} is {value!r}, but must be {allowed}.")
