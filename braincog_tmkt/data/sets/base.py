"""The one interface of a data set: where its files are, what they are called, how one of them is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from ...errors import DataError, RecipeError
from ...files import user_path
from ...registry import Registry
from ..readers import AS_STORED, Reading, read_events
from ..static import read_static_channel
from ..types import FrameSpec, Index, Item, Size
from .listing import fingerprint_files, kind_of

DATASETS = Registry("data set", __package__, ["DATASETS.register"], (__name__, "DataSet"))


@dataclass(frozen=True)
class Card:
    """What a user needs to get a data set and to check it.

    Args:
        source: where the official files are, in words and addresses.
        licence: as its authors give it.
        tree: the expected folders, as text.
        counts: expected numbers of the full set, e.g. `{"recordings": 8709, "classes": 101}`.
    """

    source: str
    licence: str
    tree: str
    counts: dict[str, int]


class DataSet(ABC):
    """A set of event recordings with their static partners: a new one needs `name`, `card`, `sensor` and `index`.

    Args:
        root: folder that contains the official folders (see `card.tree`).
        static_root: folder of the static images, where it is not inside `root`.
    """

    name: ClassVar[str]
    card: ClassVar[Card]
    sensor: tuple[int, int]
    """Width and height of the sensor in pixels: no event may lie beyond."""
    own_extent: bool = False
    """Whether a frame shows a recording's own extent (events shifted to 0) instead of the whole sensor."""
    crop: ClassVar[tuple[int, int, int, int] | None] = None
    """Left, top, width and height of the part of the sensor that a frame shows; None shows all of it."""
    reading: Reading = AS_STORED
    """How to read the recordings, where their format leaves it open."""
    averages: ClassVar[bool] = False
    """Whether `tmkt data prepare`, as the recipes for this data set, averages over pixels unless told otherwise."""
    channels: ClassVar[int] = 2
    """Channels of a frame: OFF and ON events, or colours."""
    still: ClassVar[bool] = False
    """Whether all T frames of a recording are the same one, which is then stored once."""
    pairs_by_name: ClassVar[bool] = True
    """Whether an image of a recording's name is the one it shows."""
    surveyed: ClassVar[bool] = False
    """Whether `tmkt data check` reads recordings: they are a user's own, of any format."""
    protocols: ClassVar[tuple[str, ...]] = ("clean", "published", "published_unsorted")
    """Split protocols that make sense for this data set, see `data.splits.PROTOCOLS`."""

    own: Mapping[str, Any] = MappingProxyType({})
    """What a recipe says about recordings of one's own, but for the sensor: it changes the frames."""

    def __init__(self, root: str | Path, static_root: str | Path | None = None) -> None:
        self.root = user_path(root)
        images = user_path(static_root or root)
        self.static_root = self.root if images.resolve() == self.root.resolve() else images

    @property
    def title(self) -> str:
        """Its full name, as its decorator gives it; without one, the name that recipes use."""
        return DATASETS.identity(self.name).title or self.name

    def use(self, sensor: Sequence[int] | None = None, **own: Any) -> None:
        """Take what a recipe says about recordings of one's own, see `build_dataset`; without it, nothing.

        Raises:
            RecipeError: for a setting that has no meaning for this data set, or another sensor (height, width) than its
                own.
        """
        for key in own:
            raise RecipeError(
                f"{self.title} has files of a known format: leave out data.{key}, which is for recordings of your own"
            )
        if sensor is not None and tuple(sensor) != self.sensor[::-1]:
            raise RecipeError(
                f"the sensor of {self.title} is {self.sensor[1]} pixels high and {self.sensor[0]} wide, not"
                f" {sensor[0]} and {sensor[1]}: leave out data.sensor, which is for recordings of your own"
            )

    @abstractmethod
    def index(self) -> Index:
        """List recordings and statics, sorted, paired by class name and file stem.

        Raises:
            DataError: naming what is missing, empty, wrongly named or there twice, and what to do.
        """

    def events(self, item: Item) -> np.ndarray:
        """Read one recording: events `[N]` of `EVENT_DTYPE`, sorted by time; by default with the reader of its suffix.

        Raises:
            DataError: naming the file, if it is missing, truncated, empty or out of the sensor.
        """
        return read_events(item.file, self.sensor, self.reading)

    def area(self, events: np.ndarray) -> tuple[int, int] | None:
        """Width and height of the counted area; None counts on the recording's own extent."""
        return None if self.own_extent else self.sensor

    def frames(self, item: Item, spec: FrameSpec) -> np.ndarray:
        """Make the frames of one recording: float32 `[T, channels, H, W]` (`[1, ...]` if `still`).

        Raises:
            DataError: as `events` and `lost.check_slices` do, or if the recording is too short to have any events in
                its frames.
        """
        from ..frames import extent, to_frames  # torch
        from ..lost import check_seen, check_slices

        events = self.events(item)
        area = self.area(events)
        check_slices(events, spec, item.path or item.key)
        check_seen(events, spec, area, self.crop)
        made = to_frames(events, spec, area, self.crop)
        if not made.any():
            raise DataError(
                f"{item.path or item.key} leaves its {spec.steps} frames of {spec.in_words} empty: it has very"
                f" few events, or lasts less than {spec.steps} microseconds: take fewer steps or"
                f" larger frames, write times in microseconds, or take {spec.by_number}"
            )
        if area is None and extent(events)[::2] == extent(events)[1::2]:
            raise DataError(
                f"{item.path or item.key} has events of one pixel only, which would fill its frames: remove it, or give"
                " the sensor of recordings of your own with data.sensor=[HEIGHT,WIDTH]"
            )
        return made

    def image(self, item: Item, size: Size, appearance: str = "value") -> np.ndarray:
        """Read one static image: uint8 `[H, W]`, or `[C, H, W]` where `appearance` has several channels.

        `size` is height and width, one number for a square; for `appearance` see `data.static.APPEARANCES`.

        Raises:
            DataError: naming the file, if it cannot be read as an image.
        """
        return read_static_channel(item.file, size, appearance)

    def places(self) -> list[Path]:
        """The folders that the recordings lie in."""
        return [self.root]

    def kind(self) -> str:
        """`real`, `simulated` (our simulator made the recordings) or `embedded`."""
        return "simulated" if any(kind_of(place, self.root) == "simulated" for place in self.places()) else "real"

    def fingerprint(self, index: Index) -> str:
        """A hash that changes when the source files change (names, sizes, modification times)."""
        return fingerprint_files(index.recordings + index.statics)

    def download(self) -> None:
        """Fetch the official files with the library that knows them.

        Raises:
            DataError: if no library does; the message says where to get the files by hand.
        """
        raise DataError(f"{self.title} has no automatic download; get it from {self.card.source}")


def build_dataset(name: str, root: str | Path, static_root: str | Path | None = None, **own: Any) -> DataSet:
    """The data set of that name in `DATASETS`, with the folders of `DataSet`.

    `own` is what a user says about recordings of their own: `sensor`, height and width; `columns`, `time_unit`, `group`
    and `camera`, as in `readers.Reading`; `turn`, as in `turn.turned`; `formats`, other values of these by suffix;
    `set`, the name of a data set of tonic's.

    Raises:
        RecipeError: for an unknown name, or as `DataSet.use` does.
    """
    dataset: DataSet = DATASETS.build(name, root, static_root)
    dataset.use(**own)
    dataset.own = {key: value for key, value in own.items() if key != "sensor"}
    return dataset
