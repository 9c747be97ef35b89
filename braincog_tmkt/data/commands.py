"""What `tmkt data ...` does; every function prints its findings, and tells whether they are good."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shlex import quote

from ..errors import DataError, RecipeError
from ..terminal import painted, table, wrapped
from .audit import Audit, audit
from .names import names_note
from .sets import DataSet
from .splits import Protocol, Split, make_split
from .survey import print_survey
from .types import FrameSpec, Index

FILES = 20
"""Recordings of each format that `check` reads unless told otherwise."""


def check(dataset: DataSet, files: int | None = FILES, figure: Path | None = None) -> bool:
    """Print what is there; if something is missing, what should be there and where to get it.

    Args:
        dataset: its recordings are read if their formats are not known beforehand, see `DataSet.surveyed`.
        files: at most so many of each format; None reads all.
        figure: where to draw frames of some recordings beside their images.
    """
    try:
        index = dataset.index()
    except DataError as error:
        print(f"{error}\n\n{_instructions(dataset)}")
        return False
    print(_headline(dataset, index))
    for what, expected in dataset.card.counts.items():
        found = _numbers(index).get(what, expected)
        if found != expected:
            _note(f"the full set has {expected} {what}, this one {found}")
    _print_names_note(dataset, index)
    sound = print_survey(dataset, index, files) if dataset.surveyed else True
    if figure:
        from .sheet import draw_sheet

        draw_sheet(dataset, index, figure)
        print(f"drawn: {figure}")
    return sound


def prepare(dataset: DataSet, spec: FrameSpec, cache: str, workers: int | None) -> bool:
    """Make the frames that a recipe with these settings will use."""
    from .cache import prepare as make_frames
    from .frames import check_spec

    check_spec(spec)
    index = dataset.index()
    frames = make_frames(dataset, index, spec, cache, workers)
    print(f"{cache} holds the frames of {_counts(index)}: {frames.events.shape} and {frames.images.shape}")
    for remark in frames.remarks:
        _note(remark)
    return True


def report_audit(dataset: DataSet, how: Protocol) -> bool:
    """Print the audit of every protocol of the data set, with the portions and the pool of `how`.

    Returns:
        False if a protocol that does not call itself leaky leaks, or leaves a class without training or test, or if no
        protocol suits the files at hand.
    """
    from .duplicates import find_duplicates

    index = dataset.index()
    duplicates = find_duplicates(dataset, index)
    verdicts = [(split, audit(index, split, duplicates)) for split in _splits(dataset, index, how)]
    print(_headline(dataset, index))
    print(*([_audit_table(verdicts), ""] if verdicts else []), sep="\n")
    for _, verdict in verdicts:
        print(wrapped(verdict.sentence(), 2))
    for what, groups in zip(("recordings", "images"), duplicates, strict=True):
        if groups:
            same = f"{len(groups)} groups of {what} have the same content, the first: {', '.join(groups[0])}"
            print(wrapped(same, 2))
    _print_names_note(dataset, index)
    return bool(verdicts) and not any(
        (verdict.leaks or verdict.partial) and not split.leaky for split, verdict in verdicts
    )


def _print_names_note(dataset: DataSet, index: Index) -> None:
    if words := names_note(dataset, index):
        _note(words)


def _note(words: str) -> None:
    print(f"{painted('note:', 'yellow')} {wrapped(words, 2, len('note: '))}")


def _headline(dataset: DataSet, index: Index) -> str:
    return painted(f"{dataset.title}: {_counts(index)}, {dataset.kind()} data", "bold")


def _splits(dataset: DataSet, index: Index, how: Protocol) -> Iterator[Split]:
    """The splits of all protocols that suit the data set; those that do not suit the files at hand are named."""
    for protocol in dataset.protocols:
        try:
            yield make_split(index, replace(how, name=protocol))
        except RecipeError as error:
            print(f"{protocol}: not for these files ({error})")


def _audit_table(verdicts: list[tuple[Split, Audit]]) -> str:
    """One column a protocol, which are few, and one row a finding, which are many."""
    columns = {verdict.protocol: _findings(split, verdict) for split, verdict in verdicts}
    names = next(iter(columns.values()), {})
    return table([{"protocol": name, **{key: found[name] for key, found in columns.items()}} for name in names])


def _findings(split: Split, verdict: Audit) -> dict[str, object]:
    """What the audit counted, in words."""
    return {
        "training recordings": verdict.train,
        "validation recordings": verdict.val,
        "test recordings": verdict.test,
        "images to draw": verdict.pool,
        "images of validation": verdict.pool_twins_of_val if verdict.twins_known else "?",
        "images of test": verdict.pool_twins_of_test if verdict.twins_known else "?",
        "draws of the right class": f"{1 - verdict.wrong_class_draws:.0%}" if verdict.pool else "-",
        "same content": verdict.same_content,
        "classes not trained": len(verdict.classes_without_training),
        "classes not tested": len(verdict.classes_without_test),
        "hash": split.short_hash,
        "verdict": _verdict(split, verdict),
    }


def _verdict(split: Split, verdict: Audit) -> str:
    if split.leaky:
        return "leaky (declared)"
    return "LEAKS" if verdict.leaks else "PARTIAL" if verdict.partial else "clean"


def download(dataset: DataSet) -> bool:
    """Fetch the official files, then check them."""
    dataset.download()
    return check(dataset)


def simulate(name: str, static: str, out: str, limit_per_class: int | None, workers: int | None) -> bool:
    """Make a simulated twin of a data set from a tree of images."""
    from .simulate import LAYOUTS, simulate_tree

    made = simulate_tree(static, out, name, workers=workers or os.cpu_count() or 1, limit_per_class=limit_per_class)
    root, images = quote(str(out)), f" --static-root {quote(str(static))}" if LAYOUTS[name].partners_in_static else ""
    print(f"{made} recordings were made in {out}; what is there: tmkt data check {name} --root {root}{images}")
    return True


def _numbers(index: Index) -> dict[str, int]:
    return {"recordings": len(index.recordings), "classes": len(index.classes), "images": len(index.statics)}


def _counts(index: Index) -> str:
    return ", ".join(f"{count} {what}" for what, count in _numbers(index).items())


def _instructions(dataset: DataSet) -> str:
    """How to get a data set, for people."""
    card = dataset.card
    counts = ", ".join(f"{count} {what}" for what, count in card.counts.items())
    tree = "\n".join(f"  {line}" for line in card.tree.splitlines())
    layout = f"{dataset.title} should lie in {dataset.root} like this:\n{tree}"
    if not counts:  # nobody's data but the user's
        return layout
    from .simulate import LAYOUTS

    root = quote(str(dataset.root))
    twin = f"\nOr simulate a twin from images: tmkt data simulate {dataset.name} --static IMAGES --out {root}"
    return (
        f"{layout}\nSize:    {counts}\nSource:  {card.source}\nLicence: {card.licence}\n"
        f"Fetch:   tmkt data download {dataset.name} --root {root}{twin if dataset.name in LAYOUTS else ''}"
    )
