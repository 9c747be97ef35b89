"""N-MNIST (recordings) with MNIST (images as png folders or idx files)."""

import gzip
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import DataError
from ..images import image_suffixes
from ..static import read_static_channel, static_channel
from ..types import Index, Item, Size
from .base import DATASETS, Card, DataSet
from .listing import (
    class_files,
    class_folders,
    distinct,
    fetch,
    files_in,
    first_folder,
    in_any_case,
    need_folder,
    number_in,
    numbered_item,
    official_test_keys,
    parts_in,
    subfolders,
)

DIGITS = tuple("0123456789")
EVENT_LAYOUTS = ("NMNIST", "nmnist", "N-MNIST", ".")
PNG_LAYOUTS = ("mnist_png",)
IDX_LAYOUTS = ("MNIST/raw", "mnist", ".")
IDX_NAMES = {"train": "train", "test": "t10k"}


@DATASETS.register(
    "nmnist",
    title="N-MNIST with MNIST",
    paper="Orchard et al., Frontiers in Neuroscience",
    year=2015,
    arxiv="1507.07629",
)
class NMNIST(DataSet):
    """N-MNIST recordings paired with the MNIST images they show.

    Recording `Train/5/00001.bin` shows the first training image of MNIST: recording k shows image k - 1. Twins share a
    key made of digit, set and number of the image: `5/train-00000`. Images come from `mnist_png/` if it is there, else
    from idx files, else from folders of digits straight in the root. Of an idx file `Item.path` is the file (the same
    for all its images), and the row is in the key.
    """

    name = "nmnist"
    sensor = (34, 34)
    card = Card(
        source="recordings: https://www.garrickorchard.com/datasets/n-mnist (Mendeley Data, doi 10.17632/468j46mzdv.1);"
        " images: https://ossci-datasets.s3.amazonaws.com/mnist/ (torchvision's mirror of MNIST)",
        licence="N-MNIST: CC BY-SA 4.0; MNIST: CC BY-SA 3.0 (as usually given)",
        tree="""\
ROOT/
  NMNIST/                               recordings (or nmnist/, N-MNIST/, or straight in ROOT)
    Train/0/00002.bin ...  Test/0/...   10 digits each; one of Train and Test will do
  and the images in one of
  mnist_png/train/0/1.png ...  test/0/...         named by their number in MNIST (or straight in ROOT)
  MNIST/raw/train-images-idx3-ubyte[.gz] ...      four idx files (or in mnist/, or straight in ROOT)""",
        counts={"classes": 10, "recordings": 70000, "images": 70000},
    )

    def _event_folders(self) -> dict[str, Path]:
        """The folders of recordings, by set (`train`, `test`); at least one."""
        for layout in EVENT_LAYOUTS:
            found = {part: self.root / layout / part.capitalize() for part in IDX_NAMES}
            if any(folder.is_dir() for folder in found.values()):
                return {part: folder for part, folder in found.items() if folder.is_dir()}
        places = tuple(f"{layout}/Train" for layout in EVENT_LAYOUTS)
        return {"train": need_folder(self.root, places, "the recordings of N-MNIST", self.name)}

    def index(self) -> Index:
        """List recordings and images of the digits that have recordings; an image without recording is kept."""
        recordings = []
        for part, folder in self._event_folders().items():
            for digit, path in class_folders(folder, DIGITS).items():
                recordings += [numbered_item(digit, part, _row_of(file), file) for file in class_files(path, ".bin")]
        classes = tuple(sorted({item.class_name for item in recordings}))
        statics = [item for item in self._statics() if item.class_name in classes]
        for digit in classes:
            if all(item.class_name != digit for item in statics):
                raise DataError(f"MNIST below {self.static_root} has no images of the digit {digit}: unpack it again")
        return Index(classes, distinct(recordings), distinct(statics), official_test_keys(recordings))

    def _statics(self) -> list[Item]:
        """All MNIST images, from png folders or idx files."""
        png = first_folder(self.static_root, PNG_LAYOUTS)
        if png is None and (statics := self._idx_statics()):
            return statics
        top = png or self.static_root
        if not any((part / digit).is_dir() for part in parts_in(top).values() for digit in DIGITS):
            need_folder(
                self.static_root, (*PNG_LAYOUTS, "MNIST/raw/train-images-idx3-ubyte"), "the images of MNIST", self.name
            )
        return [
            numbered_item(digit, part, number_in(file), file)
            for part, digit, files in digit_images(top)
            for file in files
        ]

    def _idx_statics(self) -> list[Item]:
        """All MNIST images in idx files, if there are any."""
        statics = []
        for part, stem in IDX_NAMES.items():
            images = _find_idx(self.static_root, f"{stem}-images-idx3-ubyte")
            labels = _find_idx(self.static_root, f"{stem}-labels-idx1-ubyte")
            if images and labels:
                if len(_read_idx(images)) != len(_read_idx(labels)):
                    raise DataError(f"{images} and {labels} do not hold equally many entries: download both again")
                statics += [numbered_item(str(digit), part, row, images) for row, digit in enumerate(_read_idx(labels))]
        return statics

    def image(self, item: Item, size: Size, appearance: str = "value") -> np.ndarray:
        """Read the grey values of one image: uint8 `[H, W]`."""
        if item.file.suffix.lower() in image_suffixes():
            return read_static_channel(item.file, size, appearance)
        row = int(item.key.rpartition("-")[2])
        return static_channel(Image.fromarray(_read_idx(item.file)[row]), size, appearance)

    def places(self) -> list[Path]:
        """The folders of recordings."""
        return [*self._event_folders().values()]

    def download(self) -> None:
        """Fetch the recordings with tonic (to `NMNIST/`) and the idx files with torchvision (to `MNIST/raw/`)."""
        import tonic
        import torchvision

        fetch(
            self,
            lambda: tonic.datasets.NMNIST(str(self.root), train=True),
            lambda: tonic.datasets.NMNIST(str(self.root), train=False),
            lambda: torchvision.datasets.MNIST(self.static_root, download=True),
        )


def _row_of(file: Path) -> int:
    """The row in MNIST of the image that a recording shows; the recordings are counted from 1."""
    if number_in(file) == 0:
        raise DataError(f"{file} is numbered from 0, N-MNIST's recordings from 1: download them again")
    return number_in(file) - 1


def digit_images(top: Path) -> Iterator[tuple[str, str, list[Path]]]:
    """Part, digit and sorted files of MNIST as images in folders, `[train|test/]<digit>/<number>.png` below `top`.

    All are of `train` where no part is named. Folders without images are ignored; a DataError names one with images
    that is no digit.
    """
    for part, root in parts_in(top).items():
        for digit, folder in subfolders(root).items():
            files = files_in(folder, image_suffixes())
            if files and digit not in DIGITS:
                raise DataError(f"{folder} is not a digit, as the classes of MNIST are: remove or rename the folder")
            if files:
                yield part, digit, files


def _find_idx(root: Path, name: str) -> Path | None:
    """The idx file of this name, plain or compressed, from the first layout that has it."""
    places = (root / layout / f"{name}{suffix}" for layout in IDX_LAYOUTS for suffix in ("", ".gz"))
    return next((place for place in map(in_any_case, places) if place.is_file()), None)


@lru_cache(maxsize=4)
def _read_idx(path: Path) -> np.ndarray:
    """Read an idx file of bytes, gzipped or not; read-only, as all callers share it."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): download it again") from error
    dimensions = data[3] if len(data) > 3 else 0
    if data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * dimensions:
        raise DataError(f"{path} is not an idx file of bytes: download it again")
    shape = np.frombuffer(data, ">u4", dimensions, offset=4).astype(int)
    if len(data) != 4 + 4 * dimensions + shape.prod():
        raise DataError(f"{path} does not hold the {shape[0]} entries its header promises: download it again")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
