"""Which file formats there are, by suffix, and what other files start with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import DataError
from .aedat import read_aedat, read_aedat2
from .aedat4 import read_aedat4
from .arrays import read_npy, read_npz
from .atis import read_atis
from .check import first_bytes
from .es import MAGIC, read_es
from .hdf5 import read_h5
from .mat import read_mat
from .prophesee import read_dat, read_raw
from .reading import AS_STORED, Reading
from .ros import read_bag
from .text import read_text

Reader = Callable[[str | Path, tuple[int, int] | None, Reading], np.ndarray]


@dataclass(frozen=True)
class Format:
    """A file format of recordings.

    Args:
        title: what it is called.
        read: its reader, with the arguments, the result and the errors of `read_events`.
        takes: which settings of `Reading` say something about files of this format.
    """

    title: str
    read: Reader
    takes: tuple[str, ...] = ()


ARRAYS = ("columns", "time_unit")

READERS: dict[str, Format] = {
    ".bin": Format("ATIS", read_atis),
    ".aedat": Format("AER-DAT 2.0, 3.1", read_aedat, ("camera",)),
    ".aedat2": Format("AER-DAT 2.0", read_aedat2, ("camera",)),
    ".aedat4": Format("AEDAT4", read_aedat4),
    ".mat": Format("MATLAB", read_mat, (*ARRAYS, "group")),
    ".npy": Format("NumPy array", read_npy, ARRAYS),
    ".npz": Format("NumPy archive", read_npz, (*ARRAYS, "group")),
    ".h5": Format("HDF5", read_h5, (*ARRAYS, "group")),
    ".hdf5": Format("HDF5", read_h5, (*ARRAYS, "group")),
    ".csv": Format("text", read_text, ARRAYS),
    ".txt": Format("text", read_text, ARRAYS),
    ".dat": Format("Prophesee DAT", read_dat),
    ".raw": Format("Prophesee EVT 2.0, 2.1, 3.0", read_raw),
    ".es": Format("Event Stream", read_es),
    ".bag": Format("ROS 1 bag", read_bag, ("group",)),
    ".db3": Format("ROS 2 bag", read_bag, ("group",)),
    ".mcap": Format("MCAP", read_bag, ("group",)),
}
"""Suffix of a recording's file -> its format. A format of one's own is one more entry."""

OURS = frozenset(READERS)
"""Suffixes of which it is known how their files start."""

STARTS: dict[bytes, tuple[str, tuple[str, ...]]] = {
    b"#!AER-DAT2": ("AER-DAT 2.0", (".aedat", ".aedat2")),
    b"#!AER-DAT3": ("AER-DAT 3.1", (".aedat",)),
    b"#!AER-DAT4": ("AEDAT4", (".aedat4",)),
    b"\x89HDF\r\n\x1a\n": ("HDF5", (".h5", ".hdf5", ".mat")),
    b"MATLAB 7.3": ("MATLAB 7.3", (".mat",)),
    b"MATLAB 5.0": ("MATLAB", (".mat",)),
    b"\x93NUMPY": ("a NumPy array", (".npy",)),
    b"% Data file": ("Prophesee DAT", (".dat",)),
    b"% Date": ("a Prophesee recording", (".raw", ".dat")),
    b"% date": ("a Prophesee recording", (".raw", ".dat")),
    b"% evt": ("a Prophesee recording", (".raw",)),
    b"% camera_integrator": ("a Prophesee recording", (".raw",)),
    MAGIC: ("Event Stream", (".es",)),
    b"#ROSBAG": ("a ROS 1 bag", (".bag",)),
    b"SQLite format 3": ("an SQLite database, as a ROS 2 bag is", (".db3",)),
    b"\x89MCAP": ("MCAP", (".mcap",)),
    b"PK\x03\x04": ("a zip archive", (".npz",)),
    b"\x1f\x8b": ("packed with gzip", ()),
    b"BZh": ("packed with bzip2", ()),
    b"\xfd7zXZ\0": ("packed with xz", ()),
    b"Rar!": ("a RAR archive", ()),
    b"7z\xbc\xaf": ("a 7-Zip archive", ()),
    b"\x28\xb5\x2f\xfd": ("packed with Zstandard", ()),
    b"\x89PNG": ("a PNG image", ()),
    b"\xff\xd8\xff": ("a JPEG image", ()),
    b"version https://git-lfs": ("a pointer of Git LFS, which git lfs pull replaces by the file", ()),
}
"""What files start with -> what they are, and the suffixes under which they are read; without one they are not."""


def read_events(path: str | Path, sensor: tuple[int, int] | None = None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read a recording in any of the formats in `READERS`, chosen by its suffix.

    Args:
        path: the recording.
        sensor: width and height in pixels; None sets no bound beyond that of the format.
        reading: what the file leaves open.

    Returns:
        Events `[N]` of `EVENT_DTYPE`, N > 0, sorted by time.

    Raises:
        DataError: naming the file, if its suffix is unknown, or if it is missing, truncated or damaged, empty, of
            another format, unpacks to far more than its size, or has events beyond the sensor or out of time order.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in READERS:
        raise DataError(f"{path} has no suffix that is read here: convert it to one of {', '.join(READERS)}")
    if suffix in OURS:
        refuse_other_formats(path, suffix)
    return READERS[suffix].read(path, sensor, reading)


def refuse_other_formats(path: str | Path, suffix: str) -> None:
    """Raise a DataError for a file that starts as one of another format does."""
    start = first_bytes(path)
    for sign, (title, suffixes) in STARTS.items():
        if start.startswith(sign) and suffix not in suffixes:
            advice = f"give it the suffix {suffixes[0]}" if suffixes else "unpack or convert it"
            raise DataError(f"{path} is not a {READERS[suffix].title} file but {title}: {advice}")
