"""A data set without files."""

import numpy as np

from braincog_tmkt.data.sets import DataSet
from braincog_tmkt.data.sets.base import Card
from braincog_tmkt.data.types import EVENT_DTYPE, Index, Item

CLASSES = ("left", "right", "up")


class Moving(DataSet):
    """Three classes of random dots in their own corner; `root` says what kind of data to pretend."""

    name = "moving"
    sensor = (28, 28)
    own_extent = False
    card = Card("nowhere", "none", "no files", {})

    def index(self):
        items = tuple(Item(f"{name}/{number}", name) for name in CLASSES for number in range(8))
        return Index(CLASSES, items, items)

    def events(self, item):
        label, number = CLASSES.index(item.class_name), int(item.key[-1])
        rng = np.random.default_rng([label, number])
        found = np.zeros(300, EVENT_DTYPE)
        found["t"] = np.sort(rng.integers(0, 10_000, 300))
        found["x"], found["y"] = rng.integers(0, 9, (2, 300)) + 9 * np.array([[label], [label]])
        found["p"] = rng.random(300) < 0.5
        return found

    def image(self, item, size, appearance="value"):
        return np.tile(60 * CLASSES.index(item.class_name) + np.arange(size, dtype=np.uint8), (size, 1))

    def kind(self):
        return "simulated" if "twin" in str(self.root) else "real"

    def fingerprint(self, index):
        return f"{self.root} {len(index.recordings)} {len(index.statics)}"


class Still(Moving):
    """The same as one frame, which stands for all steps."""

    name = "still"
    still = True

    def frames(self, item, spec):
        return super().frames(item, spec).sum(0, keepdims=True)


class Late(Moving):
    """All recordings begin with the same frame, which says nothing of their classes."""

    name = "late"

    def frames(self, item, spec):
        found = super().frames(item, spec)
        found[0] = 1
        return found
