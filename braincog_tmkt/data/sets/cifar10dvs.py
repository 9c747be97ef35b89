"""CIFAR10-DVS: 10,000 recordings of moving CIFAR-10 images; which image a recording shows is not published."""

import re
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..readers.aedat import read_cifar10dvs
from ..readers.aedat4 import read_aedat4
from ..static import static_channel
from ..types import Index, Item, Size
from .base import DATASETS, Card, DataSet
from .cifar10 import BATCH_LAYOUTS, BATCHES, CLASSES, FOLDER_LAYOUTS, PARTS, cifar10_images, read_cifar10
from .listing import class_files, class_folders, distinct, fetch, need_folder

LAYOUTS = ("CIFAR10DVS/extract", "CIFAR10DVS", "CIFAR10-DVS", "cifar10dvs", ".")
READERS = {".aedat": read_cifar10dvs, ".aedat4": read_aedat4}


@DATASETS.register("cifar10dvs", title="CIFAR10-DVS", paper="Li et al., Frontiers in Neuroscience", year=2017)
class CIFAR10DVS(DataSet):
    """CIFAR10-DVS recordings, with the images of CIFAR-10 where there are any.

    The recording `airplane/cifar10_airplane_7.aedat` has the key `airplane/007`, so that sorted keys are in the order
    of the numbers, by which the published divisions go. Recordings and images share classes and nothing else
    (`Index.twins_known` is False): protocol `clean` draws no image, `unpaired` any of the class.
    """

    name = "cifar10dvs"
    sensor = (128, 128)
    pairs_by_name = False
    protocols = ("clean", "published", "unpaired")
    card = Card(
        source="https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671 (ten zips of .aedat; Li et al. 2017,"
        " doi 10.3389/fnins.2017.00309); as .aedat4: https://figshare.com/ndownloader/files/38023437 (tonic's mirror);"
        " images, if wanted: https://www.cs.toronto.edu/~kriz/cifar.html",
        licence="recordings: CC BY 4.0; images: none stated",
        tree="""\
ROOT/
  CIFAR10DVS/                          (or CIFAR10DVS/extract/, CIFAR10-DVS/, cifar10dvs/, or straight in ROOT)
    airplane/cifar10_airplane_0.aedat ...   10 class folders; .aedat or .aedat4
    automobile/cifar10_automobile_0.aedat ...
  and, if images are wanted, CIFAR-10 in one of
  cifar-10-batches-py/data_batch_1 ...      torchvision's layout
  train/airplane/0001.jpg ...  test/...     named by a number (or in cifar10/, cifar10_jpg/)""",
        counts={"classes": 10, "recordings": 10000, "images": 60000},
    )

    def places(self) -> list[Path]:
        """The folder of the recordings."""
        layouts = [place for place in LAYOUTS if any((self.root / place / name).is_dir() for name in CLASSES)]
        return [need_folder(self.root, tuple(layouts) or LAYOUTS[:-1], "the recordings of CIFAR10-DVS", self.name)]

    def index(self) -> Index:
        """List the recordings of all class folders, and the images of their classes if there are any."""
        folders = class_folders(self.places()[0], CLASSES)
        recordings = [item for name, folder in folders.items() for item in _recordings(name, folder)]
        statics = cifar10_images(self.static_root) if self._has_images() else []
        return Index(
            classes=tuple(folders),
            recordings=distinct(recordings),
            statics=tuple(item for item in statics if item.class_name in folders),
            twins_known=False,
        )

    def _has_images(self) -> bool:
        """Whether there are images, or should be, since their folder was given."""
        batches = (self.static_root / place / name for place in BATCH_LAYOUTS for name in BATCHES)
        folders = (self.static_root / place / part for place in FOLDER_LAYOUTS for part in PARTS)
        return self.static_root != self.root or any(path.exists() for path in (*batches, *folders))

    def events(self, item: Item) -> np.ndarray:
        """Read one recording: events `[N]` of `EVENT_DTYPE`; raises as `read_cifar10dvs` and `read_aedat4` do."""
        return READERS[item.file.suffix.lower()](item.file, self.sensor)

    def image(self, item: Item, size: Size, appearance: str = "value") -> np.ndarray:
        """Read one channel of one image: uint8 `[H, W]`; raises as `read_cifar10` does."""
        return static_channel(read_cifar10(item), size, appearance)

    def download(self) -> None:
        """Fetch the recordings with tonic, as .aedat4 files in `CIFAR10DVS/`; `cifar10` fetches the images."""
        import tonic

        fetch(self, lambda: tonic.datasets.CIFAR10DVS(str(self.root)))


def _recordings(name: str, folder: Path) -> list[Item]:
    """Make the items of one class."""
    items = []
    for path in class_files(folder, *READERS):
        named = re.fullmatch(rf"(?:cifar10_{name}_)?([0-9]{{1,3}})", path.stem)
        if not named:
            raise DataError(f"{path} is not named cifar10_{name}_0 to _999 as the recordings of its class are: move it")
        items.append(Item(f"{name}/{int(named[1]):03d}", name, path))
    return items
