"""The protocols that leak nothing, and the one that says it cannot know."""

from __future__ import annotations

from dataclasses import replace

from ...errors import RecipeError
from ..types import Index
from .base import PROTOCOLS, Protocol, Split, in_order, keys_by_class


@PROTOCOLS.register("clean")
def _clean(index: Index, protocol: Protocol) -> Split:
    """Split so that no twin of a held-out recording can be drawn in training.

    Of each class, in sorted order, the last n - round(train_portion * n) recordings are the test set, which is the
    published test set if listings are sorted; the last recordings of the rest are the validation set. Where rounding
    would leave a class of two recordings or more without training or test recordings, one goes to that part. An
    official test set, where there is one, takes the place of that portion, and recordings that the published split does
    not use are not used.
    """
    train: list[str] = []
    val: list[str] = []
    test: list[str] = []
    for name, keys in keys_by_class(index.recordings).items():
        used = [key for key in keys if key not in index.unused]
        kept, rest = _divide_class(name, used, index.official_test, protocol)
        held_out = _validation_count(len(kept), protocol.val_portion)
        train += kept[: len(kept) - held_out]
        val += kept[len(kept) - held_out :]
        test += rest
    pool = _clean_pool(index, protocol, train, val + test)
    return Split(protocol, in_order(train), in_order(val), in_order(test), in_order(pool), leaky=False)


def _divide_class(
    name: str, keys: list[str], official_test: frozenset[str], protocol: Protocol
) -> tuple[list[str], list[str]]:
    """The keys of one class for training with validation, and for test."""
    own = [key for key in keys if key not in official_test]  # official test recordings are never trained on
    official = [key for key in keys if key in official_test]
    count = protocol.train_per_class
    if count is None:
        kept = _kept_count(len(own), protocol.train_portion)
        return (own, official) if official_test else (own[:kept], own[kept:])
    if count > len(own) or count == len(keys):
        raise RecipeError(
            f"data.train_per_class is {count}, but class '{name}' has {len(own)} recordings for training and test"
            f" together{f' and {len(official)} more for test' if official else ''}: choose a smaller number (a tier"
            " may have set it)."
        )
    return own[:count], own[count:] + official


def _kept_count(available: int, portion: float) -> int:
    """How many of a class's recordings are not test: of two or more, at least one is on either side."""
    count = round(portion * available)
    return count if available < 2 else min(max(1, count), available - 1)


def _validation_count(available: int, portion: float) -> int:
    """How many of a class's training recordings validate: at least one if asked for, and never all of them."""
    if portion == 0 or available < 2:
        return 0
    return min(max(1, round(portion * available)), available - 1)


def _clean_pool(index: Index, protocol: Protocol, train: list[str], held_out: list[str]) -> set[str]:
    if not index.twins_known:
        if protocol.static_pool == "open":
            raise RecipeError(
                "this data set does not say which image a recording shows, so protocol 'clean' cannot tell which images"
                " are held out: use protocol 'unpaired', which says that it may leak, or a method without images."
            )
        return set()
    statics = {item.key for item in index.statics}
    return statics.intersection(train) if protocol.static_pool == "partners" else statics.difference(held_out)


@PROTOCOLS.register("unpaired")
def _unpaired(index: Index, protocol: Protocol) -> Split:
    """Divide the recordings as `clean` does and draw any image of the class, whatever it shows.

    For data sets that share classes with their images and nothing else: whether the image of a held-out recording is
    among them cannot be known, so the split is marked as one that may leak.
    """
    if protocol.static_pool != "partners":
        raise RecipeError("protocol 'unpaired' draws every image: leave static_pool out.")
    split = _clean(index, protocol)
    return replace(split, pool=in_order(item.key for item in index.statics), leaky=bool(index.statics))
