"""HDF5 recordings: `.h5`, `.hdf5`, and MATLAB's version 7.3.

The HDF5 library can crash on damaged files (7 of 30,000 fuzzed ones end it with a segmentation fault), so it runs in a
process of its own, with bounded memory and time. It takes a fifth of a second to start, and then reads one file after
the other. A damaged file ends it, because the library may read the next one wrongly.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from . import names
from .check import AGAIN, check_events, file_size, unpacked_limit
from .columns import columns_of_matrix, events_of_columns, with_unit
from .reading import AS_STORED, Reading

CHILD = Path(__file__).with_name("hdf5_child.py")
BYTES_A_SECOND = 10_000_000
START_SECONDS = 30
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # others would take 40 MB each of its bounded memory
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
    size = file_size(path)
    ask = {"names": names.__file__, "path": os.path.abspath(path), "bytes": unpacked_limit(size)}
    said, arrays = _process.answer(
        ask | {"group": reading.group, "columns": dict(reading.columns or {})},
        path,
        START_SECONDS + size // BYTES_A_SECOND,
    )
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


class _Process:
    """The process that reads, started when the first file is; every process of this program has its own."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    def answer(self, ask: dict[str, Any], path: str | Path, seconds: int) -> tuple[dict[str, Any], list[np.ndarray]]:
        """What the child says of a file, and the arrays; a DataError that names `path` if it cannot read it."""
        with self.lock:
            used = self.child is not None
            said, arrays = self._asked(ask, seconds)
            if used and "damage" in said:  # a file before this one may have spoilt it
                said, arrays = self._asked(ask, seconds)
        if "damage" in said:
            raise DataError(f"{path} {said['damage']}; {AGAIN}")
        if "refusal" in said:
            raise DataError(f"{path} {' '.join(said['refusal'].split())[:500]}")
        return said, arrays

    def _asked(self, ask: dict[str, Any], seconds: int) -> tuple[dict[str, Any], list[np.ndarray]]:
        """One answer of the child, which ends unless the file is whole."""
        child = self.child = self.child or self._started()
        assert child.stdin
        assert child.stdout
        said: dict[str, Any] = {"damage": ""}
        arrays: list[np.ndarray] = []
        late, start = threading.Timer(seconds, child.kill), time.monotonic()
        late.start()
        try:
            child.stdin.write(json.dumps(ask).encode() + b"\n")
            child.stdin.flush()
            said = json.loads(child.stdout.readline())
            arrays = [_array(child.stdout.read, *described) for described in said.get("arrays", ())]
        except (OSError, ValueError):  # it ended, even inside its answer
            said, arrays = {"damage": ""}, []
        finally:
            late.cancel()
            if not arrays and "refusal" not in said:  # also where this process was interrupted
                self.end()
        if "damage" in said:
            reason = " ".join(said["damage"].split())[:200] or f"the HDF5 library ended with status {child.returncode}"
            said["damage"] = f"is no whole HDF5 recording ({reason})"
            if time.monotonic() - start >= seconds:
                said["damage"] = f"could not be read in {seconds} seconds: it is corrupt"
        return said, arrays

    @staticmethod
    def _started() -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-P", str(CHILD)],
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            env=os.environ | ONE_THREAD,
        )

    def end(self) -> None:
        """End the child, if there is one."""
        child, self.child = self.child, None
        if child:
            child.kill()
            child.communicate()

    def forget(self) -> None:
        """In a process that was forked: leave the child to the parent; its pipes close here with the object."""
        if self.child:
            self.child.returncode = 0  # not ours to wait for
        self.child, self.lock = None, threading.Lock()


def _array(read: Any, dtype: str, shape: list[int]) -> np.ndarray:
    """An array of the answer; a ValueError if it is cut off."""
    kind = np.dtype(dtype)
    return np.frombuffer(read(kind.itemsize * int(np.prod(shape, dtype=np.int64))), dtype=kind).reshape(shape)


_process = _Process()
atexit.register(_process.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.forget)
