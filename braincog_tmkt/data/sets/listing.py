"""Listings of folders, the same whatever order the file system gives, and what all data sets of files share.

Case does not matter in a suffix: `a.BIN` is found where `.bin` is looked for. Links are followed. Hidden files (macOS's
`._*` among them) and what other systems leave behind (`JUNK`) are ignored.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ...errors import DataError
from ..types import Item

if TYPE_CHECKING:
    from .base import DataSet

T = TypeVar("T")

SIMULATED = "SIMULATED.json"
"""The simulator leaves this file in the root of a tree that it makes."""

HIDDEN_MARK = f".{SIMULATED}"
"""The same file in the folders of the recordings, hidden: BrainCog takes every other entry there for an alphabet."""

JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir"})
"""What Windows, macOS and network drives leave in folders, in small letters."""


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without hidden files and `JUNK`.

    A DataError names a folder that cannot be listed, or a name that cannot be printed.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.name.lower() not in JUNK)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be listed ({error.strerror}): it must be a folder that you may read"
        ) from error
    for path in found:
        if not path.name.isprintable():
            raise DataError(f"{folder} holds the name {path.name!r}, which cannot be printed: rename the file")
    return found


def subfolders(folder: Path) -> dict[str, Path]:
    """Name -> folder of the folders in `folder`, sorted; files are ignored.

    Raises a DataError as `entries` does, or naming a link that leads nowhere.
    """
    found = {}
    for path in entries(folder):
        if path.is_dir():
            found[path.name] = path
        elif path.is_symlink():
            need_file(path)
    return found


def files_in(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files in `folder` that have one of these suffixes (given in small letters), sorted by name.

    Raises a DataError as `entries` does, or naming something with such a suffix that is no file.
    """
    found = [path for path in entries(folder) if path.suffix.lower() in suffixes]
    for path in found:
        need_file(path)
    return found


def need_file(path: Path) -> None:
    """Raise a DataError if `path` is no file."""
    if not path.is_file():
        raise DataError(f"{path} is not a file (a broken link, or links in a circle?): remove it")


def in_any_case(path: Path) -> Path:
    """`path`, or the file beside it whose name differs in the case of the suffix alone, if only that exists."""
    if path.exists() or not path.parent.is_dir():
        return path
    name = path.stem, path.suffix.lower()
    return next((other for other in entries(path.parent) if (other.stem, other.suffix.lower()) == name), path)


def first_folder(root: Path, layouts: Iterable[str]) -> Path | None:
    """The first of the folders `root/layout` that exists, or None."""
    return next((root / layout for layout in layouts if (root / layout).is_dir()), None)


def need_folder(root: Path, layouts: tuple[str, ...], title: str, name: str) -> Path:
    """The first of the folders `root/layout` that exists; a DataError lists them all if none does."""
    folder = first_folder(root, layouts)
    if folder is None:
        raise DataError(
            f"cannot find {title} in {root}: put them there as one of {', '.join(layouts)}"
            f" (`tmkt data check {name}` prints the whole tree and where to get it)"
        )
    return folder


def parts_in(folder: Path) -> dict[str, Path]:
    """`{"train": .., "test": ..}` where such folders are, else `{"train": folder}`."""
    parts = {name: folder / name for name in ("train", "test") if (folder / name).is_dir()}
    return parts or {"train": folder}


def class_folders(folder: Path, known: Collection[str] | None) -> dict[str, Path]:
    """Class name -> folder, sorted by name; `known` are the classes of the data set, None takes any name.

    Raises a DataError as `subfolders` does, or naming a folder that is no class, or `folder` if it has no class
    folders.
    """
    found = subfolders(folder)
    for name, path in found.items():
        if known is not None and name not in known:
            raise DataError(f"{path} is not a class of this data set: remove or rename the folder")
    if not found:
        raise DataError(f"{folder} holds no class folders: unpack the archive again, or remove the folder")
    return found


def class_files(folder: Path, *suffixes: str, what: str = "") -> list[Path]:
    """The files of one class with one of these suffixes (in small letters), sorted by name.

    Raises a DataError as `files_in` does, or naming a folder without any; `what` is a word for such files (if empty,
    the suffixes).
    """
    files = files_in(folder, suffixes)
    if not files:
        what = what or " or ".join(suffixes)
        raise DataError(f"{folder} holds no {what} files: unpack the archive again, or remove the folder")
    return files


def distinct(items: Iterable[Item]) -> tuple[Item, ...]:
    """Sort items of files by key; a DataError names two files that have one key, such as `a.bin` and `a.BIN`."""
    found: dict[str, Item] = {}
    for item in items:
        other = found.setdefault(item.key, item)
        if other is not item:
            raise DataError(f"{other.path} and {item.path} have one name or number: remove or rename one of them")
    return tuple(sorted(found.values()))


def number_in(path: Path) -> int:
    """The number that a file is named by, e.g. 12 for `00012.bin`; a DataError names a file whose name is no number."""
    if not (path.stem.isascii() and path.stem.isdigit()):
        raise DataError(f"{path} is not named by a number as the files of this data set are: remove or rename it")
    return int(path.stem)


def numbered_item(class_name: str, part: str, number: int, path: Path) -> Item:
    """The item of a picture that its number in the train or test part names: `<class>/<part>-<NNNNN>`."""
    return Item(f"{class_name}/{part}-{number:05d}", class_name, path)


def official_test_keys(items: Collection[Item]) -> frozenset[str]:
    """The keys of the test part of numbered items; none if there is no other part that could be trained on."""
    tests = frozenset(item.key for item in items if "/test-" in item.key)
    return tests if len(tests) < len(items) else frozenset()


def kind_of(folder: Path, root: Path) -> str:
    """`simulated` if the simulator's mark lies in `folder`, up to `root`, or above the target of a link there."""
    places = [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]
    links = [path for path in (*places, *(folder.iterdir() if folder.is_dir() else ())) if path.is_symlink()]
    beyond = {parent for link in links for parent in link.resolve().parents}
    return "simulated" if any(map(mark_in, (*places, *beyond))) else "real"


def mark_in(folder: Path) -> Path | None:
    """The simulator's mark in a folder, hidden or not, if there is one."""
    return next((folder / name for name in (HIDDEN_MARK, SIMULATED) if (folder / name).is_file()), None)


def looked_at(path: Path, look: Callable[[Path], T]) -> T:
    """What `look` gives for a file; a DataError names one that is gone or cannot be read."""
    try:
        return look(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): download or copy it again") from error


def fingerprint_files(items: Iterable[Item]) -> str:
    """Hash keys, file names, sizes and modification times; the same files elsewhere have the same hash."""
    digest = hashlib.sha256()
    stats: dict[Path, str] = {}
    for item in items:
        path = item.file
        if path not in stats:
            stat = looked_at(path, Path.stat)
            stats[path] = f"{path.name} {stat.st_size} {stat.st_mtime_ns}"
        digest.update(f"{item.key} {stats[path]}\n".encode())
    return digest.hexdigest()


def fetch(dataset: DataSet, *downloads: Callable[[], object]) -> None:
    """Run the downloads of other libraries, one after the other.

    If one fails, a DataError has the addresses to fetch the files from by hand.
    """
    try:
        for download in downloads:
            download()
    except (OSError, RuntimeError, ImportError, zipfile.BadZipFile) as error:
        raise DataError(
            f"the download of {dataset.title} failed ({error}): try again, or fetch it by hand from"
            f" {dataset.card.source}"
        ) from error
