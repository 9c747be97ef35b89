"""Twins of CEP-DVS."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from shutil import copyfile

import numpy as np

from ..images import read_image
from ..readers.mat import write_mat
from ..sets.cepdvs import CLASSES, IMAGES, LABELS, RECORDINGS
from .camera import CameraParams, Motion, path_through
from .layout import ImageLayout, Job, Writer, as_classes

ROOT = "CEP-DVS"
TEXT = b"MATLAB 5.0 MAT-file, simulated by braincog_tmkt".ljust(116)
KNOTS = 7
"""Points that a random path passes at equal steps of time; a recording is a look around of so many turns."""


def random_path(params: CameraParams, seed: int) -> Motion:
    """A smooth path through random points of a square of `params.amplitude` pixels, beginning in its middle."""
    knots = np.random.default_rng((seed, 2)).uniform(-0.5, 0.5, (2, KNOTS))  # 0 and 1 draw the noise
    knots[:, 0] = 0
    right, down = knots.tolist()
    return path_through(right, down, params.amplitude, params.duration_us)


class CepDvs(ImageLayout):
    """Any tree of at most twenty class folders, each image on a random smooth path of its own.

    Recordings are numbered through all classes, class after class. The tree also contains the images.
    """

    folders = (ROOT,)
    suffix = ".mat"
    bytes_each = 600_000
    # How the real images moved is not known (docs/how-to/simulator.md, deviation D-18).
    params = CameraParams(amplitude=8.0, duration_us=400_000)
    numbered = True
    partners_in_static = False
    renames = True
    motion = staticmethod(random_path)

    def jobs(self, static_dir: Path, limit: int | None) -> Iterator[Job]:
        """One job an image, which makes a recording and a copy of the image."""
        number = 0
        for name, images in as_classes(static_dir, CLASSES, limit):
            for source in images:
                stem = f"{number:05d}"
                number += 1
                targets = Path(ROOT, RECORDINGS, f"{stem}.mat"), Path(ROOT, IMAGES, f"{stem}.jpg")
                yield Job((source,), targets, name)

    @staticmethod
    def write(path: Path, events: np.ndarray) -> None:
        """Write a MATLAB file, without the time of writing in its text: equal recordings have equal bytes."""
        write_mat(path, events)
        with path.open("r+b") as file:
            file.write(TEXT)

    def record(self, job: Job, params: CameraParams, seed: int) -> Sequence[Writer]:
        """Film the image and copy it."""
        return (*super().record(job, params, seed), partial(_write_jpeg, job.sources[0]))

    def tables(self, jobs: Sequence[Job]) -> dict[str, str]:
        """The list of labels: the fifth field of line k after the header is the class of recording k."""
        lines = ["index\timage\trecording\tfine\tcoarse"]
        for number, job in enumerate(jobs):
            recording, image = (target.relative_to(ROOT).as_posix() for target in job.targets)
            lines.append(f"{number}\t{image}\t{recording}\t-\t{job.class_name}")
        return {f"{ROOT}/{LABELS}": "\n".join(lines) + "\n"}


def _write_jpeg(source: Path, path: Path) -> None:
    """Copy a JPEG byte by byte; make one of anything else."""
    if source.suffix.lower() in (".jpg", ".jpeg"):
        copyfile(source, path)
    else:
        read_image(source).save(path, "JPEG", quality=95)
