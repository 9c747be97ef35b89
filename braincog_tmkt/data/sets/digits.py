"""The embedded data set: scikit-learn's 8x8 digits, seen by the simulated event camera. No file, no download."""

import hashlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..simulate.saccade import CameraParams, simulate_events
from ..static import static_channel
from ..types import Index, Item, Size
from .base import DATASETS, Card, DataSet

MARGIN = 5
"""Dark pixels around a digit on the 34x34 sensor: the saccades must not push it out of sight."""


@DATASETS.register("digits", title="scikit-learn's digits, simulated")
class Digits(DataSet):
    """1,797 handwritten digits, and simulated recordings of the first ones of each class.

    An item is `<digit>/<number>`, the number being its place in scikit-learn's `load_digits` and the seed of its
    recording: the recordings are the same at every run. `root` is not used.
    """

    name = "digits"
    sensor = (34, 34)
    recordings_per_class = 60
    card = Card(
        source="nothing to get: scikit-learn has the images, the simulator makes the recordings"
        " (https://archive.ics.uci.edu/dataset/80)",
        licence="CC BY 4.0",
        tree="no files",
        counts={"classes": 10, "recordings": 600, "images": 1797},
    )

    def index(self) -> Index:
        """List all images, and a recording for the first `recordings_per_class` of each digit."""
        classes = tuple("0123456789")
        _, labels = _digits()
        statics = [Item(f"{label}/{number:04d}", str(label)) for number, label in enumerate(labels)]
        by_class = ([item for item in statics if item.class_name == name] for name in classes)
        recordings = [item for items in by_class for item in items[: self.recordings_per_class]]
        return Index(classes, tuple(sorted(recordings)), tuple(sorted(statics)))

    def events(self, item: Item) -> np.ndarray:
        """Simulate one recording of the digit's negative, as N-MNIST shows it: events `[N]` of `EVENT_DTYPE`."""
        negative = ImageOps.invert(_picture(_number(item)))
        return simulate_events(np.asarray(negative), CameraParams(), seed=_number(item))

    def image(self, item: Item, size: Size, appearance: str = "value") -> np.ndarray:
        """Return the digit, bright on dark, with its margin: uint8 `[H, W]`."""
        return static_channel(_picture(_number(item)), size, appearance)

    def kind(self) -> str:
        """Always `embedded`."""
        return "embedded"

    def fingerprint(self, index: Index) -> str:
        """Hash the keys, scikit-learn's images, the simulator's version and parameters."""
        from ..simulate import SIMULATOR_VERSION  # which imports this package: not before it is loaded

        keys = [item.key for item in index.recordings + index.statics]
        digest = hashlib.sha256(f"{keys} {SIMULATOR_VERSION} {CameraParams()} {MARGIN}".encode())
        digest.update(_digits()[0].tobytes())
        return digest.hexdigest()

    def download(self) -> None:
        """Do nothing: there is nothing to fetch."""


def _number(item: Item) -> int:
    """The place of an item in scikit-learn's list."""
    return int(item.key.rpartition("/")[2])


@lru_cache(maxsize=1)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Images `[1797, 8, 8]`, 0..16, and labels `[1797]`, as `sklearn.datasets.load_digits` has them.

    That is imported only if its file has moved: importing scikit-learn takes three seconds.
    """
    package = find_spec("sklearn")
    file = Path(package.origin or "").with_name("datasets") / "data" / "digits.csv.gz" if package else None
    if file is None or not file.is_file():
        from sklearn.datasets import load_digits

        return load_digits(return_X_y=True)[0].reshape(-1, 8, 8), load_digits().target
    table = np.loadtxt(file, delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(int)


def _picture(number: int) -> Image.Image:
    """One digit, enlarged smoothly to the sensor with a dark margin: a grey image of 34x34."""
    small = Image.fromarray(np.round(_digits()[0][number] * (255 / 16)).astype(np.uint8))
    side = Digits.sensor[0] - 2 * MARGIN
    return ImageOps.expand(small.resize((side, side), Image.Resampling.BICUBIC), border=MARGIN, fill=0)
