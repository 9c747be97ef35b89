"""Files that are either whole or not there: written under a temporary name, flushed to the disk, renamed."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from .errors import TrainingError


def write_whole(path: Path, content: bytes | memoryview, keep_old_as: Path | None = None) -> None:
    """Write a file so that a kill at any moment leaves the old file or the new one, never a part.

    Args:
        path: its folder is made if missing.
        content: all of it.
        keep_old_as: where the old file goes; a kill between the two renames leaves it there and `path` missing.

    Raises:
        TrainingError: naming the file, if the disk is full or the folder cannot be written; the old file is untouched.
    """
    path = path.resolve()  # a link stays, what it leads to is replaced
    partial = path.with_name(f"{path.name}.partial")
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is no regular file")
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if keep_old_as is not None and path.is_file():
            path.replace(keep_old_as)
        partial.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise TrainingError(
            f"{path} cannot be written ({error.strerror}): free some space or choose another folder, then run the"
            " command again"
        ) from error


def _flush_folder(folder: Path) -> None:
    """Have the rename itself survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
