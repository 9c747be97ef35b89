"""Proof before every run that nothing shown in training is held out for the accuracy.

The audit trusts no protocol: it compares the keys of a split with the index, however the split was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from ..errors import DataError
from .duplicates import Groups
from .names import unmatched
from .splits import Split, drawable
from .types import Index


@dataclass(frozen=True)
class Audit:
    """The findings: counts of recordings and images, and names of classes.

    Args:
        protocol: name of the protocol.
        split: hash of the split.
        classes: classes of recordings.
        train: recordings trained on.
        val: recordings that select a checkpoint.
        test: recordings the accuracy is measured on.
        pool: static images that training may draw.
        pool_twins_of_val: how many of them show what a validation recording shows.
        pool_twins_of_test: how many of them show what a test recording shows.
        val_with_twin_in_pool: validation recordings whose own image can be drawn.
        test_with_twin_in_pool: test recordings whose own image can be drawn.
        in_two_parts: recordings that occur more than once in train, val and test together.
        same_content: recordings of validation or test whose content training sees under another key: as a recording,
            or as an image that equals their own. None if contents were not compared.
        unknown: keys of the split that are not in the index.
        twins_known: whether the data set says which image a recording shows; without, a leak of images cannot be seen.
        wrong_class_draws: expected share of draws, over all training recordings, that give an image of another class.
        pool_without_training: images of the pool whose class has no training recording; they are never drawn.
        twins_of_other_class: recordings whose own image carries another class name.
        classes_without_training: classes without a training recording.
        classes_without_validation: the same for validation, if other classes have any.
        classes_without_test: the same for test.
        without_image: recordings without an image of their name, in a data set where names say who shows what.
        classes_without_pool: classes with a training recording and no image to draw.
        classes_without_images: classes of recordings that no static image has.
        classes_without_recordings: classes of static images that no recording has.
    """

    protocol: str
    split: str
    classes: int
    train: int
    val: int
    test: int
    pool: int
    pool_twins_of_val: int
    pool_twins_of_test: int
    val_with_twin_in_pool: int
    test_with_twin_in_pool: int
    in_two_parts: int
    same_content: int | None
    unknown: int
    twins_known: bool
    wrong_class_draws: float
    pool_without_training: int
    twins_of_other_class: int
    classes_without_training: tuple[str, ...]
    classes_without_validation: tuple[str, ...]
    classes_without_test: tuple[str, ...]
    without_image: int
    classes_without_pool: tuple[str, ...]
    classes_without_images: tuple[str, ...]
    classes_without_recordings: tuple[str, ...]

    @property
    def draws_held_out(self) -> bool:
        """Whether the image of a validation or test recording can be drawn in training."""
        return bool(self.pool_twins_of_val or self.pool_twins_of_test)

    @property
    def partial(self) -> bool:
        """Whether a class is not trained on or not tested, so that the accuracy says nothing about it."""
        return bool(self.classes_without_training or self.classes_without_test)

    @property
    def leaks(self) -> bool:
        """Whether anything held out, a recording or its image, can be seen in training."""
        return self.draws_held_out or bool(self.in_two_parts or self.same_content)

    def as_dict(self) -> dict[str, Any]:
        """The findings and the verdict as plain values, for records."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {**plain, "leaks": self.leaks}

    def sentence(self) -> str:
        """The findings in one sentence, for the terminal and the record."""
        clauses = [
            f"Split '{self.protocol}' {self.split[:12]} has {self.train} training, {self.val} validation and "
            f"{self.test} test recordings and draws from {self.pool} static images"
        ]
        if not self.pool:
            clauses[0] += "; no static image is drawn"
        elif not self.twins_known:
            clauses.append(
                "IT MAY LEAK: the data set does not say which image a recording shows, so nobody can tell whether those"
                " of validation and test recordings are among them"
            )
        elif self.draws_held_out:
            share = self.test_with_twin_in_pool / max(self.test, 1)
            clauses.append(
                f"IT LEAKS: {self.test_with_twin_in_pool} test ({share:.1%}) and {self.val_with_twin_in_pool} "
                "validation recordings have their own image among them"
            )
        else:
            clauses.append("none of them shows what a validation or test recording shows")
        for what in ("training", "validation", "test"):
            if names := getattr(self, f"classes_without_{what}"):
                clauses.append(f"NO {what} recordings of {_listed(names)}")
        clauses += [f"{count} {what}" for count, what in self._oddities() if count]
        return "; ".join(clauses) + "."

    def _oddities(self) -> tuple[tuple[int | str | None, str], ...]:
        wrong = f"{self.wrong_class_draws:.0%}" if self.wrong_class_draws else 0
        return (
            (self.in_two_parts, "recordings are in two parts of the split: IT LEAKS"),
            (self.same_content, "validation or test recordings have the content of something trained on: IT LEAKS"),
            (self.unknown, "keys of the split are not in the index"),
            (self.pool_without_training, "of the images have a class without training recordings"),
            (wrong, "of the draws give an image of another class"),
            (self.twins_of_other_class, "recordings have an image of another class"),
            (self.without_image, "recordings have no image of their name"),
            (len(self.classes_without_pool), "classes have no image to draw"),
            (len(self.classes_without_images), "classes of recordings have no static image at all"),
            (len(self.classes_without_recordings), "classes of static images have no recording"),
        )


def _listed(names: tuple[str, ...]) -> str:
    """The first names of some classes, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{'class' if len(names) == 1 else 'classes'} {shown}{more}"


def audit(index: Index, split: Split, duplicates: tuple[Groups, Groups] | None = None) -> Audit:
    """Count what a split lets training see.

    Args:
        index: all recordings and images.
        split: the split to audit.
        duplicates: what `duplicates.find_duplicates` found; None does not compare contents, as before every run, where
            reading all files would take too long.

    Example:
        >>> from braincog_tmkt.data.splits import Protocol, make_split
        >>> from braincog_tmkt.data.types import Item
        >>> items = tuple(Item(f"cup/{number:02}", "cup") for number in range(20))
        >>> index = Index(("cup",), items, items)
        >>> audit(index, make_split(index, Protocol("clean"))).leaks
        False
        >>> audit(index, make_split(index, Protocol("published"))).test_with_twin_in_pool
        1
    """
    train, val, test = (set(keys) for keys in (split.train, split.val, split.test))
    draws = drawable(index, split)
    pool = {*split.pool, *chain.from_iterable(draws.values())}
    drawn = [item for item in index.statics if item.key in pool]
    trained, validated, tested = (
        {item.class_name for item in index.recordings if item.key in part} for part in (train, val, test)
    )
    recorded, shown = ({item.class_name for item in items} for items in (index.recordings, index.statics))
    class_of_image = {item.key: item.class_name for item in index.statics}
    return Audit(
        protocol=split.protocol.name,
        split=split.hash,
        classes=len(recorded),
        train=len(split.train),
        val=len(split.val),
        test=len(split.test),
        pool=len(pool),
        pool_twins_of_val=len(pool & val),
        pool_twins_of_test=len(pool & test),
        val_with_twin_in_pool=sum(key in pool for key in split.val),
        test_with_twin_in_pool=sum(key in pool for key in split.test),
        in_two_parts=len(split.train) + len(split.val) + len(split.test) - len(train | val | test),
        same_content=None if duplicates is None else _count_same_content(split, pool, *duplicates),
        unknown=len((train | val | test) - {item.key for item in index.recordings}) + len(pool - set(class_of_image)),
        twins_known=index.twins_known,
        wrong_class_draws=_wrong_class_draws(index, split, draws),
        pool_without_training=sum(item.class_name not in trained for item in drawn),
        twins_of_other_class=sum(
            class_of_image.get(item.key, item.class_name) != item.class_name for item in index.recordings
        ),
        classes_without_training=tuple(sorted(recorded - trained)),
        classes_without_validation=tuple(sorted(recorded - validated)) if val else (),
        classes_without_test=tuple(sorted(recorded - tested)),
        without_image=len(unmatched(index)) if index.twins_known else 0,
        classes_without_pool=tuple(sorted(trained - set(draws))) if pool else (),
        classes_without_images=tuple(sorted(recorded - shown)),
        classes_without_recordings=tuple(sorted(shown - recorded)),
    )


def _count_same_content(split: Split, pool: set[str], recordings: Groups, images: Groups) -> int:
    """Held-out recordings that equal a training recording, or whose image equals another image that can be drawn."""
    held_out = {*split.val, *split.test}
    train = set(split.train)
    equal = {key for group in recordings for key in group if key in held_out and train.intersection(group)}
    shown = {key for group in images for key in group if key in held_out and pool.intersection(group) - {key}}
    return len(equal | shown)


def _wrong_class_draws(index: Index, split: Split, draws: Mapping[str, list[str]]) -> float:
    """Share of draws that give an image of another class, if every training recording draws equally often."""
    class_of_image = {item.key: item.class_name for item in index.statics}
    wrong = {
        name: sum(class_of_image.get(key, name) != name for key in keys) / max(1, len(keys))
        for name, keys in draws.items()
    }
    train = set(split.train)
    names = [item.class_name for item in index.recordings if item.key in train]
    return sum(wrong.get(name, 0.0) for name in names) / max(1, len(names))


def require_clean(verdict: Audit, split: Split) -> None:
    """Stop a run whose accuracy would mean nothing, with a DataError that has the numbers and what to do.

    A protocol that is known to draw images of test recordings (`split.leaky`) may do so; a recording in two parts or
    a key without a file is an error under every protocol.
    """
    if verdict.in_two_parts or verdict.unknown:
        raise DataError(f"{verdict.sentence()} Make the split anew from this index.")
    if verdict.draws_held_out and not split.leaky:
        raise DataError(
            f"{verdict.sentence()} Correct protocol '{verdict.protocol}', or mark its splits as leaky if it is meant"
            " to."
        )


def require_two_classes(verdict: Audit) -> None:
    """Stop a run, with a DataError, whose training or test recordings are all of one class.

    A network that always gives the same answer would then have a perfect accuracy.
    """
    for what in ("training", "test"):
        if verdict.classes - len(getattr(verdict, f"classes_without_{what}")) < 2:
            raise DataError(
                f"{verdict.sentence()} All {what} recordings are of one class, so that an accuracy would say nothing:"
                " add recordings of other classes, or change the portions."
            )
