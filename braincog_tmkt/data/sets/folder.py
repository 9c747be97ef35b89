"""A user's own pairs: a folder of recordings and one of images, in the same class folders. No code is needed."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ...errors import DataError, RecipeError
from ...registry import did_you_mean
from ..images import image_suffixes
from ..names import composed, names_in_words, nearest_name, unmatched
from ..readers import AS_STORED, READERS, Reading, read_events
from ..turn import check_turn, turned
from ..types import Index, Item
from .base import DATASETS, Card, DataSet
from .listing import distinct, entries, need_file

EVENTS, STATIC = "events", "static"


@DATASETS.register("folder", title="a folder of your own pairs")
class Folder(DataSet):
    """Recordings in `events/<class>/` and images in `static/<class>/`, of any format there is a reader for.

    If every recording has an image of its class and name (`events/cat/7.npy`, `static/cat/7.jpg`), they are twins; more
    images are welcome. If none has, recordings and images share classes only: it is not known which image a recording
    shows, `clean` draws no images, and protocol `unpaired` draws all of a class and is marked as leaky. A mixture is an
    error, as it hides a missing file or names that agree by chance. Without a folder `static` there are recordings
    alone, for methods that need no images.

    The sensor is not known unless `data.sensor` names it. Without, a frame shows a recording's own extent, from its
    least to its greatest x and y, but for stray events (deviation D-24, see `lost.without_strays`).
    """

    name = "folder"
    sensor = (4096, 4096)
    """A bound for damaged files, larger than the sensors there are."""
    own_extent = True
    camera_sensor = sensor
    manners: Mapping[str, tuple[Reading, Sequence[str]]] = MappingProxyType({})
    """Suffix -> how its files are read and turned upright, where a recipe says it."""
    averages = surveyed = True
    protocols = ("clean", "unpaired")
    card = Card(
        source="your own recordings and images",
        licence="yours",
        tree=f"""\
ROOT/
  {EVENTS}/                    recordings: {" ".join(READERS)}
    cat/7.npy ...            a folder for each class, no folders in it
  {STATIC}/                    images, of any format that Pillow reads; may be left out
    cat/7.jpg ...            the same classes; the image that 7.npy shows has the same name, or no image has""",
        counts={},
    )

    def index(self) -> Index:
        """List recordings and images, in sorted order.

        Raises:
            DataError: naming the folder or file, if something is missing, nested, unreadable, of an unknown format, or
                there twice under one name; if the classes of recordings and images differ; or if only some recordings
                have an image of their name.
        """
        recordings = list_classes(self.root / EVENTS, READERS)
        items, images = _joined(recordings), self.static_root / STATIC
        self._refuse_idle_settings(items)
        if self.static_root == self.root and not os.path.lexists(images):
            return Index(tuple(recordings), items, ())
        statics = list_classes(images, image_suffixes())
        if odd := sorted(recordings.keys() ^ statics.keys()):
            there, missing = (EVENTS, images) if odd[0] in recordings else (STATIC, self.root / EVENTS)
            others = sorted((statics if odd[0] in recordings else recordings).keys() & odd)
            near = nearest_name(odd[0], others)
            raise DataError(
                f"{missing / odd[0]} is missing though there is {there}/{odd[0]}: both need the same class folders;"
                f" {f'is it {missing / near}? ' if near else ''}add it, or remove or rename the other"
            )
        index = Index(tuple(recordings), items, _joined(statics))
        return replace(index, twins_known=are_twins(index))

    def _refuse_idle_settings(self, items: Collection[Item]) -> None:
        """Refuse a setting that says something about none of the files, so that none is misspelt or forgotten."""
        there = sorted({item.file.suffix.lower() for item in items})
        for suffix in (f".{name.lstrip('.')}" for name in self.own.get("formats", ())):
            if suffix not in there:
                raise DataError(
                    f"data.formats has {suffix[1:]}, but the recordings in {self.root / EVENTS} are"
                    f" {' '.join(there)}: leave it out"
                )
        for key in (field.name for field in fields(Reading) if field.name in self.own):
            if not any(key in READERS[suffix].takes for suffix in there):
                able = " ".join(suffix for suffix, form in READERS.items() if key in form.takes)
                raise DataError(
                    f"data.{key} says nothing about {' '.join(there)}, the recordings in {self.root / EVENTS}: leave it"
                    f" out; it is for {able}"
                )

    def use(self, sensor: Sequence[int] | None = None, formats: Mapping[str, Any] | None = None, **own: Any) -> None:
        """Read the recordings as a recipe says.

        With a `sensor` (height, width), that of the camera, every frame shows the whole of it, and events beyond are
        refused. `turn` turns recordings upright, see `turn.turned`; the other settings are those of `readers.Reading`.
        `formats` has other values of these for files of one suffix.

        Raises:
            RecipeError: naming the key, for a setting or a format that there is not.
        """
        if "set" in own:
            raise RecipeError(f"{self.title} is not a data set of tonic's: leave out data.set, or take data.name=tonic")
        special = {f".{name.lstrip('.')}": settings for name, settings in (formats or {}).items()}
        for suffix in special.keys() - READERS.keys():
            raise RecipeError(
                f"data.formats: no format '{suffix[1:]}': {did_you_mean(suffix[1:], [known[1:] for known in READERS])}"
            )
        self.manners = {suffix: _manner(suffix, own, special.get(suffix, {})) for suffix in READERS}
        if sensor is not None:
            height, width = sensor
            self.camera_sensor, self.own_extent = (width, height), False
            lying = {list(turn).count("transpose") % 2 == 1 for _, turn in self.manners.values()}
            if len(lying) > 1:
                raise RecipeError("data.formats: either all formats are transposed or none, where data.sensor is given")
            self.sensor = (height, width) if lying.pop() else (width, height)

    def events(self, item: Item) -> np.ndarray:
        """Read one recording: events `[N]` of `EVENT_DTYPE`, without stray ones where the sensor is not known.

        A DataError names a file that `read_events` refuses, or an event beyond the sensor.
        """
        reading, turn = self.manners.get(item.file.suffix.lower(), (AS_STORED, ()))
        events = read_events(item.file, Folder.sensor, reading)
        if self.own_extent:
            from ..lost import without_strays  # torch

            events = without_strays(events)
            size = int(events["x"].max()) + 1, int(events["y"].max()) + 1  # a frame shows the extent alone
            return turned(events, turn, size) if turn else events
        width, height = self.camera_sensor
        beyond = events[(events["x"] >= width) | (events["y"] >= height)]
        if len(beyond):
            raise DataError(
                f"{item.file} has {len(beyond)} of {len(events)} events beyond the sensor of height {height} and width"
                f" {width}, the first at x = {beyond['x'][0]}, y = {beyond['y'][0]}: remove them, or correct"
                " data.sensor"
            )
        return turned(events, turn, self.camera_sensor) if turn else events

    def places(self) -> list[Path]:
        """The folder of the recordings."""
        return [self.root / EVENTS]

    def download(self) -> None:
        """Raise a DataError: these are the user's own files."""
        raise DataError(f"there is nothing to download: put your own recordings and images into {self.root}")


def _manner(suffix: str, own: Mapping[str, Any], special: Any) -> tuple[Reading, Sequence[str]]:
    """How files of one suffix are read and turned: the settings for all files, and those for this format over them."""
    known = [*READERS[suffix].takes, "turn"]
    if not isinstance(special, Mapping) or (wrong := [key for key in special if key not in known]):
        raise RecipeError(
            f"data.formats: {suffix[1:]} takes {', '.join(known)}, as in {{{suffix[1:]}: {{{known[-1]}: ..}}}}, not"
            f" {wrong[0] if isinstance(special, Mapping) else special!r}"
        )
    settings = {**own, **special}
    turn = settings.pop("turn", ())
    check_turn(turn)
    return Reading(**settings), turn


def _joined(classes: dict[str, list[Item]]) -> tuple[Item, ...]:
    return tuple(sorted(item for items in classes.values() for item in items))


def are_twins(index: Index) -> bool:
    """Whether all recordings, and not none, have an image of their class and name; a mixture is a DataError."""
    alone = unmatched(index)
    if 0 < len(alone) < len(index.recordings):
        raise DataError(
            f"{names_in_words(index)}: add, remove or rename files until all have one, or rename files until none has"
        )
    return not alone


def list_classes(folder: Path, suffixes: Collection[str]) -> dict[str, list[Item]]:
    """Class name -> items, both sorted; files beside the class folders are passed over.

    A DataError names what is empty, nested, unreadable, of an unknown format, or there twice under one name.
    """
    classes: dict[str, list[Item]] = {}
    folders: dict[str, Path] = {}
    for entry in entries(folder):
        if entry.is_file():
            continue
        items = distinct(_item(path, suffixes) for path in entries(entry))
        if not items:
            raise DataError(f"{entry} is empty: put files into it, or remove it")
        name = composed(entry.name)
        if folders.setdefault(name, entry) != entry:
            raise DataError(f"{folders[name]} and {entry} are one name for a class: rename one of them")
        classes[name] = list(items)
    if not classes:
        raise DataError(f"{folder} holds no class folders: put the files of each class into a folder of its name")
    return dict(sorted(classes.items()))


def _item(path: Path, suffixes: Collection[str]) -> Item:
    """The item of one file in a class folder."""
    if path.is_dir():
        if (path / "metadata.yaml").is_file():
            raise DataError(f"{path} is the folder of a ROS 2 bag: put its .db3 or .mcap file in its place")
        raise DataError(f"{path} is a folder inside a class: move its files up, or make it a class of its own")
    if path.suffix.lower() not in suffixes:
        raise DataError(f"{path} has none of the suffixes {' '.join(sorted(suffixes))}: convert or remove it")
    need_file(path)
    name = composed(path.parent.name)
    return Item(f"{name}/{composed(path.stem)}", name, path)
