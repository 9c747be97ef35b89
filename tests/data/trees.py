"""Small trees of true files for the tests: the official layouts, written with our writer."""

import gzip
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from braincog_tmkt.data.readers.atis import write_atis
from braincog_tmkt.data.simulate import LAYOUTS
from braincog_tmkt.data.simulate.camera import CameraParams
from braincog_tmkt.data.types import EVENT_DTYPE, Item


def recording(seed: int, width: int, height: int, count: int = 400) -> np.ndarray:
    """Random events over 300 ms, none at the rim of the sensor: its extent is smaller than the sensor."""
    rng = np.random.default_rng(seed)
    events = np.empty(count, dtype=EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, 300_000, count))
    events["x"], events["y"] = rng.integers(4, width - 3, count), rng.integers(2, height - 5, count)
    events["p"] = rng.integers(0, 2, count)
    return events


def keys(items: Iterable[Item]) -> list[str]:
    return [item.key for item in items]


def contents(root: Path) -> dict[str, bytes]:
    """All files of a tree."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def picture(seed: int, *shape: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def caltech_tree(
    root: Path,
    classes: tuple[str, ...] = ("BACKGROUND_Google", "Leopards", "accordion"),
    count: int = 3,
    events: str = "NCALTECH101/Caltech101",
    statics: str = "caltech101/101_ObjectCategories",
) -> None:
    """`count` pairs of each class."""
    for name in classes:
        (root / events / name).mkdir(parents=True)
        (root / statics / name).mkdir(parents=True)
        for number in range(1, count + 1):
            seed = 100 * len(name) + number
            write_atis(root / events / name / f"image_{number:04d}.bin", recording(seed, 240, 180))
            picture(seed, 40, 60, 3).save(root / statics / name / f"image_{number:04d}.jpg")


MNIST_LABELS = {"train": [5, 0, 4, 1, 5, 0], "test": [0, 5, 5]}


def nmnist_events(root: Path, layout: str = "NMNIST") -> None:
    """A recording for every entry of MNIST_LABELS."""
    for part, labels in MNIST_LABELS.items():
        for number, digit in enumerate(labels):
            folder = root / layout / part.capitalize() / str(digit)
            folder.mkdir(parents=True, exist_ok=True)
            write_atis(folder / f"{number + 1:05d}.bin", recording(number, 34, 34))


def mnist_image(part: str, number: int) -> np.ndarray:
    return np.asarray(picture(1000 * len(part) + number, 28, 28))


def mnist_png(root: Path) -> None:
    for part, labels in MNIST_LABELS.items():
        for number, digit in enumerate(labels):
            folder = root / "mnist_png" / part / str(digit)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mnist_image(part, number)).save(folder / f"{number}.png")


def mnist_idx(folder: Path, packed: bool = False) -> None:
    """The four files of MNIST in its own format: magic number, sizes (big-endian), bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, labels in MNIST_LABELS.items():
        stem = {"train": "train", "test": "t10k"}[part]
        pixels = np.stack([mnist_image(part, number) for number in range(len(labels))])
        contents = {
            f"{stem}-images-idx3-ubyte": np.array([0x803, len(labels), 28, 28], ">i4").tobytes() + pixels.tobytes(),
            f"{stem}-labels-idx1-ubyte": np.array([0x801, len(labels)], ">i4").tobytes() + bytes(labels),
        }
        for name, content in contents.items():
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)


QUICK = {
    "ncaltech101": CameraParams(amplitude=1.0),
    "nmnist": CameraParams(amplitude=1.0),
    "nomniglot": replace(LAYOUTS["nomniglot"].params, duration_us=200_000, noise_on_hz=0.002),
    "cepdvs": replace(LAYOUTS["cepdvs"].params, amplitude=4.0, duration_us=50_000),
    "cifar10dvs": replace(LAYOUTS["cifar10dvs"].params, amplitude=0.5, duration_us=100_000),
}
"""A camera for each simulated data set that makes small files fast: short movements, hasty pens."""


def filmable(root: Path, name: str, parts: tuple[str, ...] = (), suffix: str = ".png", wide: bool = False) -> Path:
    """A tree of images of two classes for the simulator.

    Args:
        root: made if missing.
        name: the data set that is to be simulated.
        parts: `train`, `test` (of Omniglot: background, evaluation) or none, where the classes lie in `root`.
        suffix: of the image files; they are PNGs.
        wide: 16 bits instead of 8.
    """
    if name == "nomniglot":
        sets = {"train": "images_background/Futurama", "test": "images_evaluation/Atlantean"}
        classes = ("character01", "character02")
        folders = [root / sets[part] / character for part in parts or ("train",) for character in classes]
        stems = [f"00{{number}}_{drawer:02d}" for drawer in range(1, 21)]
    else:
        classes = {"nmnist": ("0", "7"), "cepdvs": ("fish", "people")}.get(name, ("cat", "ship"))
        folders = [root / part / label for part in parts or (".",) for label in classes]
        stems = [str(number) for number in range(6)]
    for number, folder in enumerate(folders, 17):
        folder.mkdir(parents=True)
        for seed, stem in enumerate(stems):
            pixels = np.asarray(picture(100 * number + seed, 24, 24))
            if (
                name == "nomniglot"
            ):  # a slanting line, farther down with each character and to the right with each drawer
                pixels, way = np.full((105, 105), 255, np.uint8), np.arange(50)
                pixels[way + number, way + seed] = 0
            image = Image.fromarray(pixels.astype(np.uint16) * 257 if wide else pixels)
            image.save(folder / f"{stem.format(number=number)}{suffix}", "PNG")
    return root
