"""Paths as users give them, and files that are either whole or not there: written under a temporary name, renamed."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from io import BytesIO
from pathlib import Path

from .errors import DataError, TmktError, TrainingError

LONGEST = 3000
"""Bytes of a path that leave room for what lies below it; systems allow about 4000."""


def shipped(folder: str) -> Path:
    """A folder of data that travels with the package, `experiments` or `checkpoints`; it is only read.

    It lies beside the package in a checkout and inside it in a wheel, where setup.py puts it.
    """
    package = Path(__file__).resolve().parent
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder


def user_path(text: str | Path) -> Path:
    """A path as a user gives it; `~` is the home folder.

    Raises:
        DataError: naming it, if no file or folder can be called so, or if it cannot be looked at.
    """
    try:
        path = Path(text).expanduser()
        if not str(text):
            raise ValueError("it is empty")
        if len(os.fsencode(path.absolute())) > LONGEST:
            raise OSError(errno.ENAMETOOLONG, "it is too long")
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # it may be made, or its absence has a message of its own
    except OSError as error:
        raise DataError(f"{_shown(text)} cannot be used as a path: {error.strerror}") from error
    except (ValueError, RuntimeError) as error:  # NUL, broken Unicode; a user that is not known here
        raise DataError(f"{_shown(text)} cannot be used as a path: {error}") from error
    return path


def _shown(text: str | Path) -> str:
    return ascii(str(text) if len(str(text)) < 100 else f"{str(text)[:97]}...")


def write_whole(path: Path, content: bytes | BytesIO, keep_old_as: Path | None = None) -> None:
    """Write a file so that a kill at any moment leaves the old file or the new one, never a part.

    Args:
        path: its folder is made if missing.
        content: all of it.
        keep_old_as: where the old file goes; a kill between the two renames leaves it there and `path` missing.

    Raises:
        TrainingError: naming the file, if the disk is full or the folder cannot be written; the old file is untouched.
    """
    path = path.resolve()  # a link stays, what it leads to is replaced
    with written_whole(path, suffix=".partial", error=TrainingError, flush=True) as (part,):
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is not a regular file")
        path.parent.mkdir(parents=True, exist_ok=True)
        # A view of a buffer ends with this block: Python 3.12.1 crashes where it collects one that a traceback holds.
        view = nullcontext(content) if isinstance(content, bytes) else content.getbuffer()
        with part.open("wb") as file, view as data:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if keep_old_as is not None and path.is_file():
            path.replace(keep_old_as)


@contextmanager
def written_whole(
    *paths: Path, suffix: str = ".part", error: type[TmktError] = DataError, flush: bool = False
) -> Iterator[tuple[Path, ...]]:
    """Temporary names to write to, which become `paths` at the end: no one sees a part of any file.

    Args:
        paths: the files to write.
        suffix: of the temporary names.
        error: what is raised if the disk is full or a folder cannot be written.
        flush: whether the renames must survive a power cut.

    Raises:
        DataError: (or `error`) naming a file that cannot be written.
    """
    parts = tuple(path.with_name(f"{path.name}{suffix}") for path in paths)
    try:
        yield parts
        for path, part in zip(paths, parts, strict=True):
            part.replace(path)
        for folder in {path.parent for path in paths} if flush else ():
            _flush_folder(folder)
    except OSError as problem:
        names = ", ".join(map(str, paths))
        raise error(
            f"{names} cannot be written ({problem.strerror}): free some space or choose another folder, then run the"
            " command again"
        ) from problem
    finally:
        for part in parts:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Have the rename itself survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_below(name: str | Path, root: str | Path) -> Path | None:
    """The file of a name: a path as it stands, one below `root`, or one of the same last name in `root`; None if none.

    Raises:
        DataError: as `user_path` does.
    """
    path, folder = user_path(name), user_path(root)
    return next((file for file in (path, folder / path, folder / path.name) if file.is_file()), None)


def sha256_of(file: Path) -> str:
    """SHA-256 (hex) of a file's content.

    Raises:
        DataError: naming the file, if it cannot be read.
    """
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
