"""Twins of N-MNIST."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..readers.atis import write_atis
from ..sets.listing import first_folder, number_in
from ..sets.nmnist import PNG_LAYOUTS, digit_images
from .layout import ImageLayout, Job


class Mnist(ImageLayout):
    """MNIST as `[train|test/]<digit>/<index>.png`, seen through the three saccades."""

    folders = ("Train", "Test")
    suffix = ".bin"
    bytes_each = 25_000
    write = staticmethod(write_atis)

    def jobs(self, static_dir: Path, limit: int | None) -> Iterator[Job]:
        """One job an image; recording k shows image k - 1, as in N-MNIST."""
        top = first_folder(static_dir, PNG_LAYOUTS) or static_dir
        for part, digit, sources in digit_images(top):
            for source in sources[:limit]:
                target = Path(part.capitalize(), digit, f"{number_in(source) + 1:05d}.bin")
                yield Job((source,), (target,), digit)

    def render(self, image: Image.Image) -> np.ndarray:
        """28x28 in the middle of 34x34, dark on bright, as the real recordings show it (docs/how-to/simulator.md)."""
        digit = image if image.size == (28, 28) else image.resize((28, 28), Image.Resampling.BILINEAR)
        return np.asarray(ImageOps.invert(ImageOps.expand(digit, border=3, fill=0)))
