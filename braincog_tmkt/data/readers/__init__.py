"""Raw recordings, one file format a module: bytes on the disk <-> events of `EVENT_DTYPE`.

A reader takes and returns what `read_events` does. A writer takes a path and events, and raises a `DataError` for
events that its format cannot hold (see `check.check_writable`) and for a file that it cannot write whole.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...errors import DataError
from .aedat import read_aedat
from .aedat4 import read_aedat4
from .arrays import read_npy, read_npz
from .atis import read_atis
from .hdf5 import read_h5
from .mat import read_mat
from .text import read_text

READERS: dict[str, Callable[[str | Path, tuple[int, int] | None], np.ndarray]] = {
    ".bin": read_atis,
    ".aedat": read_aedat,
    ".aedat4": read_aedat4,
    ".mat": read_mat,
    ".npy": read_npy,
    ".npz": read_npz,
    ".h5": read_h5,
    ".hdf5": read_h5,
    ".csv": read_text,
    ".txt": read_text,
}
"""Suffix of a recording's file -> its reader."""


def read_events(path: str | Path, sensor: tuple[int, int] | None) -> np.ndarray:
    """Read a recording in any of the formats in `READERS`, chosen by its suffix.

    Args:
        path: the recording.
        sensor: width and height in pixels; None sets no bound beyond that of the format.

    Returns:
        Events `[N]` of `EVENT_DTYPE`, N > 0, sorted by time.

    Raises:
        DataError: naming the file, if its suffix is unknown, or if it is missing, truncated or damaged, empty, of
            another format, unpacks to far more than its size, or has events beyond the sensor or out of time order.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in READERS:
        raise DataError(f"{path} has no suffix that is read here: convert it to one of {', '.join(READERS)}")
    return READERS[suffix](path, sensor)
