"""CEP-DVS: 10,000 recordings of moving CIFAR-100 images, each with the image it shows; 20 classes, the superclasses."""

import re
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..images import read_image
from ..readers.check import file_size, read_bytes
from ..readers.reading import MICROSECONDS
from ..static import channel_of
from ..types import Index, Item, Size, height_and_width
from .base import DATASETS, Card, DataSet
from .listing import class_files, in_any_case, need_folder, number_in

_NAMES = """
aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
"""
CLASSES = tuple(_NAMES.split())
"""The official class names in label order, which is alphabetical: CIFAR-100's superclasses."""

LAYOUTS = ("CEP-DVS", "DVS/CEP-DVS", "CEPDVS", "cepdvs", ".")
RECORDINGS, IMAGES, LABELS = "data/MAT/img", "data/img", "pathFile.csv"

TRAIN_SHARE, TEST_SHARE = 0.5, 0.2
"""Shares of each class that the published division trains and tests on; the rest is not used."""

MAX_LABEL_BYTES = 2**26
"""The official list has 10,000 lines; what is larger than 64 MiB is no such list and is not read into memory."""

OWN_FILE = re.compile(r"(?:^|[\\/])img[\\/]([0-9]+)\.(?:mat|jpg)$")
"""A field of the list that names a recording or an image of this data set, and its number."""


@DATASETS.register("cepdvs", title="CEP-DVS", paper="Deng et al., IEEE TIP", year=2021)
class CEPDVS(DataSet):
    """CEP-DVS recordings paired with the images they show.

    Recording `00012.mat` and image `00012.jpg` are twins; their class stands in the line for number 12, the 13th after
    the header, of `pathFile.csv`. Their key is `<class>/00012`. Of each class, in the order of the numbers, the first
    half trains and the next fifth tests, which is the published division if the recordings are stored by class.
    """

    name = "cepdvs"
    # No public code or text says which sensor it was, so this only bounds what a sound recording can hold.
    sensor = (640, 480)
    reading = MICROSECONDS  # a fraction of one is cut off, as the baseline does
    protocols = ("clean", "published_cepdvs")
    card = Card(
        source="https://github.com/SuppDoc/EventKD (a OneDrive folder; Deng, Chen, Chen and Li 2021, doi"
        " 10.1109/TIP.2021.3077136)",
        licence="none stated by its authors",
        tree="""\
ROOT/
  CEP-DVS/                             (or DVS/CEP-DVS/, CEPDVS/, cepdvs/, or straight in ROOT)
    pathFile.csv                       a header, then one line a recording, which names its class
    data/MAT/img/00000.mat ...         recordings
    data/img/00000.jpg ...             the images they show, equally numbered""",
        counts={"classes": 20, "recordings": 10000, "images": 10000},
    )

    def places(self) -> list[Path]:
        """The folder of the recordings."""
        return [_found(self.root, RECORDINGS, "the recordings of CEP-DVS")]

    def index(self) -> Index:
        """List recordings and images, which must be numbered without gaps and agree with the list of labels."""
        (recordings,) = self.places()
        images = _found(self.static_root, IMAGES, "the images of CEP-DVS")
        labels = in_any_case(recordings.parents[2] / LABELS)
        names = _read_labels(labels)
        items = _items(_numbered(recordings, ".mat"), names, labels)
        test, unused = _division(items)
        return Index(
            classes=tuple(name for name in CLASSES if name in names),
            recordings=items,
            statics=_items(_numbered(images, ".jpg"), names, labels),
            official_test=test,
            unused=unused,
        )

    def area(self, events: np.ndarray) -> tuple[int, int]:
        """As wide and high as the last column and row with an event; the baseline shifts nothing to 0 here."""
        return int(events["x"].max()) + 1, int(events["y"].max()) + 1

    def image(self, item: Item, size: Size, appearance: str = "value") -> np.ndarray:
        """Read one channel of one image: uint8 `[H, W]`.

        As the baseline does for this data set alone, the channel is taken at the full size and resized then, not the
        other way round; antialiased, as its torchvision resizes from 0.17 on (deviation D-21).
        """
        import torch
        from torch.nn.functional import interpolate

        channel = channel_of(np.asarray(read_image(item.file)), appearance)
        full = torch.from_numpy(np.ascontiguousarray(channel)).view(1, -1, *channel.shape[-2:]).float()
        resized = interpolate(full, height_and_width(size), mode="bilinear", antialias=True).round().byte().numpy()
        return resized[0] if channel.ndim == 3 else resized[0, 0]


def _found(root: Path, folder: str, title: str) -> Path:
    return need_folder(root, tuple(f"{place}/{folder}" for place in LAYOUTS), title, "cepdvs")


def _read_labels(path: Path) -> list[str]:
    """The class of each recording, by its number; a DataError names the file and the line.

    The list is only searched for class names. What else a line says is never used as a path.
    """
    if file_size(path) > MAX_LABEL_BYTES:
        raise DataError(f"{path} is larger than the list of labels can be: download or copy it again")
    lines = [line.decode("ascii", "replace") for line in read_bytes(path).rstrip().splitlines()]
    if len(lines) < 2:
        raise DataError(f"{path} lists no recordings below its header: download or copy it again")
    if _classes_in(lines[0]):
        raise DataError(f"{path} starts with a recording's class: its first line must be a header, put one there")
    return [_class_of(line, number, path) for number, line in enumerate(lines[1:])]


def _class_of(line: str, number: int, path: Path) -> str:
    """The class that the line for recording `number` names."""
    place = f"{path}, line {number + 2} (recording {number:05d}),"
    for named in filter(None, map(OWN_FILE.search, line.split())):
        if int(named[1]) != number:
            raise DataError(
                f"{place} is that of file {named[1]}: lines are missing, doubled or moved; copy the list again"
            )
    found = _classes_in(line)
    if len(found) != 1:
        what = "several classes" if found else f"none of the {len(CLASSES)} classes"
        raise DataError(f"{place} names {what}: download or copy the list again")
    return found.pop()


def _classes_in(line: str) -> set[str]:
    return set(CLASSES).intersection(line.split())


def _numbered(folder: Path, suffix: str) -> dict[int, Path]:
    """The files of a folder by the number in their names; a DataError names one without, or two with the same."""
    files: dict[int, Path] = {}
    for path in class_files(folder, suffix):
        other = files.setdefault(number_in(path), path)
        if other is not path:
            raise DataError(f"{other} and {path} have the same number: remove one of them")
    return files


def _items(files: dict[int, Path], names: list[str], labels: Path) -> tuple[Item, ...]:
    """Make the items of all files, sorted by key; each file has its line in the list, and each line its file."""
    for number, path in files.items():
        if number >= len(names):
            raise DataError(
                f"{path} has no line in {labels}, which ends with number {len(names) - 1:05d}: copy the list again"
            )
    example = next(iter(files.values()))
    for number in range(len(names)):
        if number not in files:
            raise DataError(
                f"{labels}, line {number + 2} is for {number:05d}{example.suffix}, which is not in {example.parent}:"
                " copy the folder again"
            )
    items = (Item(f"{names[number]}/{number:05d}", names[number], path) for number, path in files.items())
    return tuple(sorted(items))


def _division(items: tuple[Item, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """The keys that the published division tests on, and those that it does not use.

    The baseline's code divides blocks of 500 files, whatever their classes (deviation D-22).
    """
    test: set[str] = set()
    unused: set[str] = set()
    for name in CLASSES:
        keys = [item.key for item in items if item.class_name == name]
        trained = round(TRAIN_SHARE * len(keys))
        tested = trained + round(TEST_SHARE * len(keys))
        test.update(keys[trained:tested])
        unused.update(keys[tested:])
    return frozenset(test), frozenset(unused)
