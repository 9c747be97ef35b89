"""Twins of N-Caltech101."""

from collections.abc import Iterator
from pathlib import Path

from ..images import image_suffixes
from ..readers.atis import write_atis
from ..sets.listing import files_in, first_folder, subfolders
from ..sets.ncaltech101 import STATIC_LAYOUTS
from .layout import ImageLayout, Job


class Caltech(ImageLayout):
    """Caltech-101, or any tree of class folders, seen through the three saccades."""

    folders = ("Caltech101",)
    suffix = ".bin"
    bytes_each = 400_000
    write = staticmethod(write_atis)

    def jobs(self, static_dir: Path, limit: int | None) -> Iterator[Job]:
        """One job an image; Faces, the double of Faces_easy, is left out."""
        root = first_folder(static_dir, STATIC_LAYOUTS) or static_dir
        folders = subfolders(root)
        for name, folder in folders.items():
            if name == "Faces" and "Faces_easy" in folders:
                continue
            for source in files_in(folder, image_suffixes())[:limit]:
                target = Path("Caltech101", name, f"{source.stem}.bin")
                yield Job((source,), (target,), name)
