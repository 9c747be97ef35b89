"""Listings of class folders, the same whatever order the file system gives, and what all data sets of files share."""

import hashlib
import zipfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from ...errors import DataError
from ..types import Item
from .base import Card

SIMULATED = "SIMULATED.json"
"""The simulator leaves this file with the recordings it makes."""


def first_folder(root: Path, layouts: Iterable[str]) -> Path | None:
    """Return the first of the folders `root/layout` that exists, or None."""
    return next((root / layout for layout in layouts if (root / layout).is_dir()), None)


def need_folder(root: Path, layouts: tuple[str, ...], title: str) -> Path:
    """Return the first of the folders `root/layout` that exists.

    Raises:
        DataError: if there is none, with all that were looked for.
    """
    folder = first_folder(root, layouts)
    if folder is None:
        raise DataError(
            f"cannot find {title} in {root}: put them there as one of {', '.join(layouts)}"
            " (`tmkt data check` prints the whole tree and where to get it)"
        )
    return folder


def class_folders(folder: Path, known: Collection[str]) -> dict[str, Path]:
    """Return class name -> folder, sorted by name; plain files and hidden folders are passed over.

    Raises:
        DataError: naming a folder that is no class, or `folder` if it holds none.
    """
    found = {entry.name: entry for entry in sorted(folder.iterdir()) if entry.is_dir() and entry.name[0] != "."}
    for name, path in found.items():
        if name not in known:
            raise DataError(f"{path} is no class of this data set: remove or rename the folder")
    if not found:
        raise DataError(f"{folder} holds no class folders: unpack the archive again")
    return found


def class_files(folder: Path, suffix: str) -> list[Path]:
    """Return the files of one class with this suffix, sorted by name.

    Raises:
        DataError: naming the folder, if it holds none.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix == suffix and path.name[0] != ".")
    if not files:
        raise DataError(f"{folder} holds no {suffix} files: unpack the archive again, or remove the folder")
    return files


def number_in(path: Path) -> int:
    """Return the number that a file is named by, e.g. 12 for `00012.bin`.

    Raises:
        DataError: naming the file, if its name is no number.
    """
    if not (path.stem.isascii() and path.stem.isdigit()):
        raise DataError(f"{path} is not named by a number as the files of this data set are: remove or rename it")
    return int(path.stem)


def kind_of(folder: Path, root: Path) -> str:
    """Return `simulated` if the simulator's mark lies in `folder` or between it and `root`, else `real`."""
    between = [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]
    return "simulated" if any((place / SIMULATED).is_file() for place in between) else "real"


def fingerprint_files(items: Iterable[Item]) -> str:
    """Hash keys, file names, sizes and modification times; the same files elsewhere have the same hash.

    Raises:
        DataError: naming a file that is gone.
    """
    digest = hashlib.sha256()
    stats: dict[Path, str] = {}
    for item in items:
        path = item.path
        assert path is not None  # items of files only
        if path not in stats:
            try:
                stat = path.stat()
            except OSError as error:
                raise DataError(f"{path} cannot be read ({error.strerror}): download or copy it again") from error
            stats[path] = f"{path.name} {stat.st_size} {stat.st_mtime_ns}"
        digest.update(f"{item.key} {stats[path]}\n".encode())
    return digest.hexdigest()


def fetch(card: Card, *downloads: Callable[[], object]) -> None:
    """Run the downloads of other libraries, one after the other.

    Raises:
        DataError: if one fails, with the addresses to fetch the files from by hand.
    """
    try:
        for download in downloads:
            download()
    except (OSError, RuntimeError, ImportError, zipfile.BadZipFile) as error:
        raise DataError(
            f"the download of {card.title} failed ({error}): try again, or fetch it by hand from {card.source}"
        ) from error
