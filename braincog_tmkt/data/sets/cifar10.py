"""CIFAR-10 alone: still images in the place of recordings, for conversion from a plain network (HSD)."""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import DataError
from ..images import image_suffixes, read_image
from ..readers.check import damage_named, file_size
from ..readers.pickled import array_of, unpickled
from ..static import static_channel
from ..types import FrameSpec, Index, Item, Size
from .base import DATASETS, Card, DataSet
from .listing import class_files, class_folders, distinct, fetch, fingerprint_files, numbered_item, official_test_keys

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""The official class names in label order, which is alphabetical."""

BATCH_LAYOUTS = ("cifar-10-batches-py", ".")
FOLDER_LAYOUTS = ("cifar10_jpg", "cifar10", ".")
PARTS = ("train", "test")

BATCH_ROWS, SIDE, PIXELS = 10_000, 32, 3 * 32 * 32
BATCHES = {f"data_batch_{number}": ("train", BATCH_ROWS * (number - 1)) for number in range(1, 6)} | {
    "test_batch": ("test", 0)
}
"""File of the pickled layout -> its part, and the number of its first image."""

BATCH_BYTES, BATCH_INSTRUCTIONS = 64 * 2**20, 200_000
"""A batch has 31 MB and about 40,000 pickle instructions; beyond these bounds nothing is read."""


@DATASETS.register("cifar10", title="CIFAR-10", paper="Krizhevsky, University of Toronto", year=2009)
class CIFAR10(DataSet):
    """CIFAR-10 images as recordings that stand still: one frame of three colours, the same at all T steps.

    A "recording" and its static image are the same picture, so each is its own twin. Keys are
    `<class>/<train|test>-<number>`, the number being the place in the batches or the number in the file's name. A frame
    has colours in [0, 1], red first; the kind of frames and the antialias flag of a recipe do not apply: any size but
    32x32 is made bilinear and antialiased.
    """

    name = "cifar10"
    sensor = (SIDE, SIDE)
    channels = 3
    still = True
    protocols = ("clean", "published")
    card = Card(
        source="https://www.cs.toronto.edu/~kriz/cifar.html (cifar-10-python.tar.gz)",
        licence="none stated by its authors",
        tree="""\
ROOT/
  cifar-10-batches-py/                 torchvision's layout (or its files straight in ROOT)
    data_batch_1 ... data_batch_5  test_batch
  or images named by a number, in folders of ROOT (or of ROOT/cifar10/, ROOT/cifar10_jpg/)
  train/airplane/0001.jpg ...  test/...   10 classes each, .jpg, .png, ..; one of train and test will do""",
        counts={"classes": 10, "recordings": 60000, "images": 60000},
    )

    def index(self) -> Index:
        """List all images, as recordings and as their own static partners; the test part is the official one."""
        items = tuple(cifar10_images(self.root))
        present = {item.class_name for item in items}
        return Index(tuple(name for name in CLASSES if name in present), items, items, official_test_keys(items))

    def events(self, item: Item) -> np.ndarray:
        """Raise a DataError: a still image has no events."""
        raise DataError(f"{self.title} holds still images and no events, so {item.key} has none: use its frames")

    def frames(self, item: Item, spec: FrameSpec) -> np.ndarray:
        """Read the colours of one image: float32 `[1, 3, H, W]` in [0, 1]; raises as `read_cifar10` does."""
        resized = read_cifar10(item).resize(spec.shape[::-1], Image.Resampling.BILINEAR)
        return np.asarray(resized, np.float32).transpose(2, 0, 1)[None] / np.float32(255)

    def image(self, item: Item, size: Size, appearance: str = "value") -> np.ndarray:
        """Read one channel of one image: uint8 `[H, W]`; raises as `read_cifar10` does."""
        return static_channel(read_cifar10(item), size, appearance)

    def fingerprint(self, index: Index) -> str:
        """Hash each image once, though it is also a recording."""
        return fingerprint_files(index.recordings)

    def download(self) -> None:
        """Fetch the images with torchvision, to `cifar-10-batches-py/`."""
        import torchvision

        fetch(self, lambda: torchvision.datasets.CIFAR10(self.root, download=True))


def cifar10_images(root: Path) -> list[Item]:
    """List the images of CIFAR-10 below a folder, in one of the layouts of the card.

    Returns:
        Items sorted by key, `<class>/<train|test>-<NNNNN>`; `path` is the image file, or the batch that many share.

    Raises:
        DataError: if there are none, or naming a damaged batch, a folder that is no class, a file without a number in
            its name, or two files with the same number.
    """
    for layout in BATCH_LAYOUTS:
        if any((root / layout / name).is_file() for name in BATCHES):
            return sorted(_batch_items(root / layout))
    for layout in FOLDER_LAYOUTS:
        if any((root / layout / part).is_dir() for part in PARTS):
            return _folder_items(root / layout)
    raise DataError(
        f"cannot find CIFAR-10 in {root}: put it there as one of {BATCH_LAYOUTS[0]}/data_batch_1 or"
        " train/airplane/0001.jpg (`tmkt data check cifar10` prints the whole tree and where to get it)"
    )


def read_cifar10(item: Item) -> Image.Image:
    """Read one image of `cifar10_images`: RGB, 32x32 in the batches, as large as its file otherwise.

    A DataError names a file that cannot be read.
    """
    if item.file.name in BATCHES:
        pixels, _ = _read_batch(item.file)
        row = int(item.key.rpartition("-")[2]) % BATCH_ROWS
        return Image.fromarray(pixels[row].reshape(3, SIDE, SIDE).transpose(1, 2, 0))
    return read_image(item.file)


def _batch_items(folder: Path) -> list[Item]:
    """The images of all batches that are there, with their class."""
    items = []
    for name, (part, first) in BATCHES.items():
        path = folder / name
        if path.is_file():
            _, labels = _read_batch(path)
            items += [numbered_item(CLASSES[label], part, first + row, path) for row, label in enumerate(labels)]
    return items


def _folder_items(folder: Path) -> list[Item]:
    """The images of all class folders that are there, sorted by key."""
    items = []
    for part in (name for name in PARTS if (folder / name).is_dir()):
        for name, files in class_folders(folder / part, CLASSES).items():
            images = class_files(files, *image_suffixes(), what="image")
            items += [numbered_item(name, part, _number_in(path), path) for path in images]
    return list(distinct(items))


def _number_in(path: Path) -> int:
    """The one number in the name of an image file, e.g. 12 in `0012.jpg` and in `12_frog.png`."""
    numbers = re.findall("[0-9]+", path.stem)
    if len(numbers) != 1:
        raise DataError(f"{path} does not have one number in its name as the files of CIFAR-10 have: rename it")
    return int(numbers[0])


@lru_cache(maxsize=len(BATCHES))  # 31 MB each; the images of a class lie in all of them
def _read_batch(path: Path) -> tuple[np.ndarray, list[int]]:
    """Read a pickled batch: pixels uint8 `[N, 3072]` (read-only, as all callers share them) and labels.

    Nothing in the file is ever executed; a DataError names one that is no such batch.
    """
    if file_size(path) > BATCH_BYTES:
        raise DataError(f"{path} is larger than any batch of CIFAR-10: download it again")
    with damage_named(path, "batch of CIFAR-10"):
        batch = unpickled(path.read_bytes(), BATCH_INSTRUCTIONS)
        pixels, labels = array_of(batch["data"]), batch["labels"]
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), PIXELS) or not 0 < len(labels) <= BATCH_ROWS:
            raise ValueError("its pixels and labels do not fit together")
        if any(type(label) is not int or not 0 <= label < len(CLASSES) for label in labels):
            raise ValueError("it has labels beyond 0..9")
    return pixels, labels
