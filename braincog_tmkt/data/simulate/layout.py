"""What every simulated data set has in common: which files are made of which sources, and what is recorded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from ...errors import DataError
from ..images import image_suffixes, read_image, refuse_plain
from ..sets.listing import files_in, parts_in, subfolders
from .camera import CameraParams, Motion, film
from .saccade import saccade_path

Writer = Callable[[Path], object]
"""Writes one file at the path it is given."""


@dataclass(frozen=True)
class Job:
    """The files of one recording session: made together, and done when all of them are there.

    Args:
        sources: what is shown, one file a recording.
        targets: the files to make, relative to the tree's root; the name of the first seeds the noise.
        class_name: the class of the recordings.
    """

    sources: tuple[Path, ...]
    targets: tuple[Path, ...]
    class_name: str


class Layout(ABC):
    """How a data set is laid out and recorded."""

    folders: ClassVar[tuple[str, ...]]
    """The folders of the recordings, relative to the tree's root."""
    suffix: ClassVar[str]
    """How the name of a recording ends."""
    wanted: ClassVar[str] = "the folder that holds <class>/<image>"
    """What the user has to give."""
    bytes_each: ClassVar[int]
    """Rough size of a recording, for the check of free space."""
    params: ClassVar[CameraParams] = CameraParams()
    """The camera, unless the caller has another one."""
    numbered: ClassVar[bool] = False
    """Whether recordings are numbered through all classes, so that a limit gives them other names."""
    renames: ClassVar[bool] = False
    """Whether folders may become classes of other names, which the marker then lists."""
    partners_in_static: ClassVar[bool] = True
    """Whether the data set needs the images that were filmed, and finds them where they were filmed."""

    @abstractmethod
    def jobs(self, static_dir: Path, limit: int | None) -> Iterator[Job]:
        """List the jobs of a static tree with the first `limit` images of every class, sorted."""

    @abstractmethod
    def record(self, job: Job, params: CameraParams, seed: int) -> Sequence[Writer]:
        """Make the recordings of a job: a writer for each target.

        Raises:
            DataError: naming the source, if it cannot be read or makes no events.
        """

    def tables(self, jobs: Sequence[Job]) -> dict[str, str]:
        """Text files that name all recordings: path relative to the root -> content."""
        return {}


class ImageLayout(Layout):
    """One image a recording, moving before the camera."""

    def render(self, image: Image.Image) -> np.ndarray:
        """What the sensor sees of a grey image, uint8 `[H, W]`; by default as much as fits into 240x180, uncropped."""
        scale = min(240 / image.width, 180 / image.height)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR))

    @staticmethod
    def motion(params: CameraParams, seed: int) -> Motion:
        """How the image moves; by default along the three saccades."""
        return saccade_path(params)

    @staticmethod
    def write(path: Path, events: np.ndarray) -> None:
        """Write a recording in the data set's own format."""
        raise NotImplementedError

    def record(self, job: Job, params: CameraParams, seed: int) -> Sequence[Writer]:
        """Film the image."""
        source = job.sources[0]
        image = read_image(source, "L")
        refuse_plain(np.asarray(image), str(source))
        events = film(self.render(image), self.motion(params, seed), params, seed)
        if not events.size:
            raise DataError(f"{source} makes no events (too little contrast): remove it or raise the noise")
        return (partial(self.write, events=events),)


def write_text(path: Path, text: str) -> None:
    """Write a small file of text."""
    path.write_text(text, encoding="utf-8")


def as_classes(static_dir: Path, known: Sequence[str], limit: int | None) -> Iterator[tuple[str, list[Path]]]:
    """Class name and images, in label order, of a tree `[train|test/]<folder>/<image>`.

    Folders are taken by their names if all of these are classes (`known`, in label order). Otherwise the k-th folder,
    sorted, becomes the k-th class, so that any images can be used; more folders than classes are a DataError. `limit`
    takes only the first so many images of every class.
    """
    folders: dict[str, list[Path]] = {}
    for part in parts_in(static_dir).values():
        for name, folder in subfolders(part).items():
            if images := files_in(folder, image_suffixes()):
                folders.setdefault(name, []).extend(images)
    names = sorted(folders)
    if len(names) > len(known):
        raise DataError(
            f"{static_dir} has {len(names)} class folders, but the data set has {len(known)} classes:"
            " remove some folders"
        )
    class_of = {name: name for name in names} if set(names) <= set(known) else dict(zip(names, known, strict=False))
    for name in sorted(names, key=lambda name: known.index(class_of[name])):
        yield class_of[name], folders[name][:limit]


def named_after(jobs: Sequence[Job]) -> dict[str, str]:
    """Which class each source folder became, for the marker; nothing if all kept their names."""
    names = {job.sources[0].parent.name: job.class_name for job in jobs}
    return {} if all(name == known for name, known in names.items()) else names
