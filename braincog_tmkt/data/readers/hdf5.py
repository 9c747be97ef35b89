"""HDF5 recordings: `.h5`, `.hdf5`, and MATLAB's version 7.3.

The HDF5 library can crash on damaged files (7 of 30,000 fuzzed ones end it with a segmentation fault), so it runs in a
process of its own (see `apart`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import DataError
from . import names
from .apart import Apart
from .check import AGAIN, check_events
from .columns import columns_of_matrix, events_of_columns, with_unit
from .reading import AS_STORED, Reading

LIBRARY = Apart(Path(__file__).with_name("hdf5_child.py"), "HDF5 recording", "h5py", spoils=True)
LATEST = 2**61
"""No clock counts more microseconds."""


def read_h5(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read columns t, x, y and p wherever in the file they are: a group, a data set with fields, or a matrix `[N, 4]`.

    This covers the files of DSEC (its `t_offset` is added), MVSEC, Metavision, v2e, event_utils, tonic's disk cache and
    MATLAB 7.3. Where several places may have the events, their names decide (`names.one_of`), else `reading.group`.

    Links into other files, and data sets that keep their numbers in other files, are not followed. A compression filter
    that is not installed, and columns that could mean two things, are a DataError, too.
    Arguments, result and errors are those of `readers.read_events`.
    """
    columns_said = dict(reading.columns or {})
    said, parts = LIBRARY.read(path, names=names.__file__, group=reading.group, columns=columns_said)
    arrays = [_array(part, *described) for part, described in zip(parts, said["arrays"], strict=True)]
    if labels := said["labels"]:
        columns = dict(zip(labels, arrays, strict=True))
        reading = with_unit(reading, labels["t"])
    else:
        columns = columns_of_matrix(arrays[0], path, reading)
    events = events_of_columns(columns, path, sensor, reading)
    if said["offset"]:
        if not 0 <= said["offset"] <= LATEST:
            raise DataError(
                f"{path} has t_offset = {said['offset']}, outside 0..2^61 microseconds: it is corrupt; {AGAIN}"
            )
        events["t"] += said["offset"]
        check_events(events, path, sensor)
    return events


def _array(part: bytes, dtype: str, shape: list[int]) -> np.ndarray:
    return np.frombuffer(part, dtype=np.dtype(dtype)).reshape(shape)
