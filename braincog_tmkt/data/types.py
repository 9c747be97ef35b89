"""What flows through the data code: events, items, indices, frame specifications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RecipeError

EVENT_DTYPE = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?")])
"""One event: time in microseconds, pixel column and row, polarity (True is ON, brighter)."""


@dataclass(frozen=True, order=True)
class Item:
    """One recording or one static image.

    A recording and the static image it shows have the same `key` (`<class>/<stem>`): they are twins. `path` is None for
    items without a file of their own data (the embedded digits).
    """

    key: str
    class_name: str
    path: Path | None = None

    @property
    def file(self) -> Path:
        """The path of an item that has a file."""
        assert self.path is not None
        return self.path


@dataclass(frozen=True)
class Index:
    """All recordings and static images of a data set, sorted by key, and its class names in label order.

    Args:
        classes: class names, in label order.
        recordings: sorted by key.
        statics: sorted by key; empty for a data set without static images.
        official_test: keys of the recordings that the data set's authors set aside for testing; empty where they
            published no split, or where the folder at hand has no test part.
        unused: keys of the recordings that the published split neither trains nor tests on.
        twins_known: whether an equal key says that an image is the one a recording shows. Where it is false, images and
            recordings share classes only, and no protocol can prove that a held-out image is not drawn.
    """

    classes: tuple[str, ...]
    recordings: tuple[Item, ...]
    statics: tuple[Item, ...]
    official_test: frozenset[str] = frozenset()
    unused: frozenset[str] = frozenset()
    twins_known: bool = True

    @cached_property
    def label_of(self) -> dict[str, int]:
        """Class name -> label."""
        return {name: label for label, name in enumerate(self.classes)}


Size = int | Sequence[int]
"""Height and width in pixels; one number for a square."""


def height_and_width(size: Size) -> tuple[int, int]:
    """Both sides of a size; a RecipeError if it is neither a whole number from 1 on nor two of them."""
    sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2 or not all(type(side) is int and side >= 1 for side in sides):
        raise RecipeError(f"the size of a frame is {size}, but must be 1 or more, or height and width, as [180, 240]")
    return sides


@dataclass(frozen=True)
class Reconstruction:
    """How frames of the kind `e2vid` are reconstructed; `data.reconstruction` in a recipe.

    Args:
        weights: the user's own file, see `reconstruct.weights`.
        windows: `time`, T windows of equal duration, or `number`, T windows of equally many events, which are the
            slices of these kinds of frames. Each gives one image.
        unsharp: amount of the unsharp mask.
        auto_hdr: whether the scale of intensities follows the images, see `reconstruct.post.Scale`.
        sha256: of the file, in hex. It is found; a recipe that states it, such as the one in a run folder, takes no
            other file.

    Raises:
        RecipeError: for a value that is none of these.
    """

    weights: str
    windows: str = "time"
    unsharp: float = 0.3
    auto_hdr: bool = False
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.windows not in ("time", "number"):
            raise RecipeError(f"windows of data.reconstruction is '{self.windows}', but must be time or number")
        if self.unsharp < 0:
            raise RecipeError(f"unsharp of data.reconstruction is {self.unsharp}, but must be 0 or more")


@dataclass(frozen=True)
class FrameSpec:
    """How events become frames, and images the pictures they are mixed with.

    Args:
        steps: T, the number of frames of a recording.
        size: height and width of a frame, as in `height_and_width`; one number for a square, also if it is given as
            two.
        kind: which counts a frame shows, see `data.frames.FRAMES`.
        antialias: whether the resize averages over all pixels, instead of leaving some out.
        appearance: which channels stand for an image, see `data.static.APPEARANCES`.
        reconstruction: for the kind `e2vid` alone, which needs it.

    Example:
        >>> FrameSpec(10, (180, 240)).shape, FrameSpec(10, 48).shape, FrameSpec(10, [48, 48]) == FrameSpec(10, 48)
        ((180, 240), (48, 48), True)
    """

    steps: int
    size: Size
    kind: str = "time"
    antialias: bool = False
    appearance: str = "value"
    reconstruction: Reconstruction | None = None

    def __post_init__(self) -> None:
        height, width = height_and_width(self.size)
        object.__setattr__(self, "size", height if height == width else (height, width))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return height_and_width(self.size)

    @property
    def in_words(self) -> str:
        """Height and width for messages, as `180x240`."""
        return "{}x{}".format(*self.shape)

    @property
    def slices(self) -> str:
        """The kind of frames whose slices these are."""
        return self.reconstruction.windows if self.reconstruction else self.kind

    @property
    def by_number(self) -> str:
        """What gives slices of equally many events instead, for messages."""
        return "windows: number in data.reconstruction" if self.reconstruction else "data.frames=number"

    def as_dict(self) -> dict[str, Any]:
        """The specification as plain values, for hashes: of weights not the path, but the content, and only if any."""
        values = asdict(self)
        if values["reconstruction"] is None:
            del values["reconstruction"]
        else:
            del values["reconstruction"]["weights"]
        return values
