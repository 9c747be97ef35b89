"""What `tmkt data ...` does; every function prints its findings, and tells whether they are good."""

from __future__ import annotations

import os

from ..errors import DataError, RecipeError
from .audit import audit
from .cache import prepare as make_frames
from .sets import DATASETS, DataSet
from .simulate import simulate_tree
from .splits import PROTOCOLS, Protocol, make_split
from .types import FrameSpec, Index


def check(name: str, root: str, static_root: str | None = None) -> bool:
    """Print what is there; if something is missing, what should be there and where to get it."""
    dataset: DataSet = DATASETS.build(name, root, static_root)
    try:
        index = dataset.index()
    except DataError as error:
        print(f"{error}\n\n{_instructions(dataset)}")
        return False
    print(f"{dataset.card.title}: {_counts(index)}, {dataset.kind()} data")
    for what, expected in dataset.card.counts.items():
        found = _numbers(index).get(what, expected)
        if found != expected:
            print(f"note: the full set has {expected} {what}, this one {found}")
    return True


def prepare(
    name: str, root: str, static_root: str | None, steps: int, size: int, cache: str, workers: int | None
) -> bool:
    """Make the frames that a recipe with these settings will use."""
    dataset: DataSet = DATASETS.build(name, root, static_root)
    index = dataset.index()
    frames = make_frames(dataset, index, FrameSpec(steps, size), cache, workers)
    print(f"{cache} holds the frames of {_counts(index)}: {frames.events.shape} and {frames.images.shape}")
    return True


def report_audit(name: str, root: str, static_root: str | None = None) -> bool:
    """Print the audit of every protocol; false if one leaks that does not call itself leaky."""
    dataset: DataSet = DATASETS.build(name, root, static_root)
    index = dataset.index()
    good = True
    for protocol in sorted(PROTOCOLS):
        try:
            split = make_split(index, Protocol(protocol))
        except RecipeError as error:
            print(f"{protocol}: not for this data set ({error})")
            continue
        verdict = audit(index, split)
        print(f"{protocol}{' (leaky by design)' if split.leaky else ''}: {verdict.sentence()}")
        good = good and (split.leaky or not verdict.leaks)
    return good


def download(name: str, root: str, static_root: str | None = None) -> bool:
    """Fetch the official files, then check them."""
    dataset: DataSet = DATASETS.build(name, root, static_root)
    dataset.download()
    return check(name, root, static_root)


def simulate(name: str, static: str, out: str, limit_per_class: int | None, workers: int | None) -> bool:
    """Make a simulated twin of a data set from a tree of images."""
    made = simulate_tree(static, out, name, workers=workers or os.cpu_count() or 1, limit_per_class=limit_per_class)
    print(f"{made} recordings were made in {out}; to train on them: data.root={out} data.static_root={static}")
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
    return (
        f"{card.title} should lie in {dataset.root} like this:\n{tree}\n"
        f"Size:    {counts}\nSource:  {card.source}\nLicence: {card.licence}\n"
        f"Fetch:   tmkt data download {dataset.name} --root {dataset.root}\n"
        f"Or simulate a twin from images: tmkt data simulate {dataset.name} --static IMAGES --out {dataset.root}"
    )
