"""Memory and disk space for frames: computed, and compared with what the machine has, before any frame is made."""

from __future__ import annotations

import os
from contextlib import suppress
from math import prod
from pathlib import Path

import numpy as np

from ..errors import DataError
from .sets.base import DataSet
from .static import static_shape
from .types import FrameSpec, Index

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def memory_bytes() -> int:
    """The memory of this machine, or what its control groups (containers, batch systems) leave to this process."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError):
        for line in OWN_CGROUPS.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers == "":
                limits += _limits(CGROUPS, group, "memory.max")
            elif controllers == "memory":
                limits += _limits(CGROUPS / "memory", group, "memory.limit_in_bytes")
    return min(limits)


def _limits(root: Path, group: str, file: str) -> list[int]:
    """The limits of a control group and of those it lies in; inside a container the group's name leads nowhere."""
    inner = root / group.lstrip("/")
    found = []
    for folder in (inner, *inner.parents):
        with suppress(OSError, ValueError):  # "max": no limit
            found.append(int((folder / file).read_text()))
        if folder == root:
            break
    return found


def frame_bytes(dataset: DataSet, spec: FrameSpec) -> int:
    """Bytes of the frames of one recording."""
    return (1 if dataset.still else spec.steps) * dataset.channels * prod(spec.shape) * np.dtype(np.float32).itemsize


def cache_bytes(dataset: DataSet, index: Index, spec: FrameSpec) -> int:
    """Bytes of the frames and images of a whole data set."""
    return len(index.recordings) * frame_bytes(dataset, spec) + len(index.statics) * prod(static_shape(spec))


def need_memory(dataset: DataSet, index: Index, spec: FrameSpec) -> int:
    """How many processes can make frames at once without running out of memory.

    A process has the frames of a recording twice: one by one, and as the array that is written. If there is no room for
    one process, a DataError states the bytes.
    """
    one, here = frame_bytes(dataset, spec), memory_bytes()
    if 2 * one > here:
        everything = bytes_in_words(cache_bytes(dataset, index, spec))
        raise DataError(
            f"{size_in_words(spec)} make frames of {bytes_in_words(one)} a recording ({everything} in all), which are"
            f" held twice while they are made, but there are {bytes_in_words(here)} of memory: choose fewer steps or"
            " smaller frames"
        )
    return here // (2 * one)


def size_in_words(spec: FrameSpec) -> str:
    """The settings that decide how large frames are."""
    size = spec.size if isinstance(spec.size, int) else f"[{spec.shape[0]},{spec.shape[1]}]"
    return f"data.steps={spec.steps} and data.size={size}"


def bytes_in_words(count: int | float) -> str:
    """A number of bytes, for people.

    Example:
        >>> bytes_in_words(1_500_000), bytes_in_words(800)
        ('1.5 MB', '0.8 kB')
    """
    count = count / 1000
    for unit in ("kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"
