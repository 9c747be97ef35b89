"""Twins of N-Caltech101."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ..readers.atis import write_atis
from ..sets.listing import first_folder
from ..sets.ncaltech101 import STATIC_LAYOUTS
from .layout import ImageLayout, Job, folders_in, images_in


class Caltech(ImageLayout):
    """Caltech-101, or any tree of class folders, seen through the three saccades."""

    folders = ("Caltech101",)
    suffix = ".bin"
    bytes_each = 400_000

    def jobs(self, static_dir: Path, limit: int | None) -> Iterator[Job]:
        """One job an image; Faces, the double of Faces_easy, is left out."""
        root = first_folder(static_dir, STATIC_LAYOUTS) or static_dir
        names = {folder.name for folder in folders_in(root)}
        for folder in folders_in(root):
            if folder.name == "Faces" and "Faces_easy" in names:
                continue
            for source in images_in(folder, limit):
                target = Path("Caltech101", folder.name, f"{source.stem}.bin")
                yield Job((source,), (target,), folder.name)

    def render(self, image: Image.Image) -> np.ndarray:
        """As large as fits into 240x180 with the aspect ratio kept; the sensor is cut to the image."""
        return fitted(image, 240, 180)

    def write(self, path: Path, events: np.ndarray) -> None:
        """Write an ATIS file."""
        write_atis(path, events)


def fitted(image: Image.Image, width: int, height: int) -> np.ndarray:
    """Return the image as large as fits, with its aspect ratio kept."""
    scale = min(width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))
