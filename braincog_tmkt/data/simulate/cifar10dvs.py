"""Twins of CIFAR10-DVS."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ..readers.aedat import write_cifar10dvs
from ..sets.cifar10 import CLASSES
from .camera import CameraParams, Motion, path_through
from .layout import ImageLayout, Job, as_classes

SCREEN = 512
"""Images are enlarged to so many pixels of the screen, which fill the sensor."""
SENSOR = 128
LOOPS = 6
DIAMOND = ((-0.5, 0.0), (0.0, -0.5), (0.5, 0.0), (0.0, 0.5))
"""Corners of a loop in the order they are passed, right and down, in units of the diamond's diagonal."""
KNOTS = 8
"""Knots on a side: enough to keep it straight and its corners sharp."""
MOST = 1000
"""Recordings of a class; the data set has no more, and its numbers have three digits."""


class Cifar10Dvs(ImageLayout):
    """CIFAR-10, or any tree of at most ten class folders, moved round and round on a screen.

    The movement is the one of Li et al. (2017): four sides of a diamond of 20 screen pixels, 200 pixels a second in
    both directions, six times.
    """

    folders = ("CIFAR10DVS",)
    suffix = ".aedat"
    partners_in_static = False
    renames = True
    bytes_each = 1_300_000
    write = staticmethod(write_cifar10dvs)
    # A DVS128 takes smaller changes for events than the calibrated camera (docs/how-to/simulator.md, deviation D-18).
    params = CameraParams(
        threshold_on=0.12,
        threshold_off=0.12,
        amplitude=20 * SENSOR / SCREEN,
        duration_us=LOOPS * len(DIAMOND) * 50_000,
    )

    def jobs(self, static_dir: Path, limit: int | None) -> Iterator[Job]:
        """One job an image; the k-th of a class becomes number k."""
        for name, images in as_classes(static_dir, CLASSES, MOST if limit is None else min(limit, MOST)):
            for number, source in enumerate(images):
                target = Path("CIFAR10DVS", name, f"cifar10_{name}_{number}.aedat")
                yield Job((source,), (target,), name)

    def render(self, image: Image.Image) -> np.ndarray:
        """Enlarge the image for the screen; a pixel of the sensor sees 4x4 pixels of it."""
        return np.asarray(image.resize((SCREEN, SCREEN), Image.Resampling.BICUBIC).reduce(SCREEN // SENSOR))

    @staticmethod
    def motion(params: CameraParams, seed: int) -> Motion:
        """The same for all images."""
        return diamond_path(params)


def diamond_path(params: CameraParams) -> Motion:
    """Where the image is at the ends of the sub-steps: times in microseconds, pixels right and pixels down."""
    corners = np.array([*DIAMOND * LOOPS, DIAMOND[0]])
    places = np.linspace(0, len(corners) - 1, KNOTS * (len(corners) - 1) + 1)
    right, down = (np.interp(places, np.arange(len(corners)), column) for column in corners.T)
    return path_through(right.tolist(), down.tolist(), params.amplitude, params.duration_us)
