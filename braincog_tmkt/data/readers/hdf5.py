"""HDF5 recordings: `.h5`, `.hdf5`, and MATLAB's version 7.3.

The HDF5 library can crash on damaged files (7 of 30,000 fuzzed ones end it with a segmentation fault), so it runs in a
process of its own, with bounded memory and time. That costs a fifth of a second a file.
"""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from ...errors import DataError
from . import names
from .check import AGAIN, damage_named, file_size, unpacked_limit
from .columns import events_of_columns
from .reading import AS_STORED, Reading

CHILD = Path(__file__).with_name("hdf5_child.py")
WHOLE = 3
"""The status with which the child ends if the file is whole, but cannot be used; its last line says why."""
BYTES_A_SECOND = 10_000_000
START_SECONDS = 30
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # others would take 40 MB each of its bounded memory


def read_h5(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read the data sets t, x, y and p at the root of the file or in its group `events`.

    Links into other files, and data sets that keep their numbers in other files, are not followed. A compression filter
    that is not installed, and columns that could mean two things, are a DataError, too.
    Arguments, result and errors are those of `readers.read_events`.
    """
    size = file_size(path)
    limits = {"names": names.__file__, "bytes": unpacked_limit(size)}
    command = [sys.executable, "-P", str(CHILD), str(path), json.dumps(limits)]
    env = os.environ | ONE_THREAD
    seconds = START_SECONDS + size // BYTES_A_SECOND
    try:
        child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, env=env)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{path} could not be read in {seconds} seconds: it is corrupt; {AGAIN}") from error
    lines = child.stderr.decode(errors="replace").split("\n")
    if child.returncode == WHOLE:
        raise DataError(f"{path} {lines[-2][:300]}")
    if child.returncode:
        reason = lines[-2][:200] if len(lines) > 1 else f"the HDF5 library ended with status {child.returncode}"
        raise DataError(f"{path} is no whole HDF5 recording ({reason}): {AGAIN}")
    out = io.BytesIO(child.stdout)
    with damage_named(path, "HDF5 recording"):
        columns = {name: np.load(out, allow_pickle=False) for name in names.NAMES}
    return events_of_columns(columns, path, sensor)
