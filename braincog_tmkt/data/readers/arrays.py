"""Recordings saved by numpy: `.npy`, `.npz`, and BrainCog's `events_npy`."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..notes import remark
from .check import check_writable, damage_named, read_bytes, unpacked_limit, write_bytes
from .columns import columns_of_groups, columns_of_names, events_of_columns
from .matrix import columns_of_matrix, columns_without_names
from .names import ROOT
from .pickled import array_of, array_state, unpickled
from .reading import AS_STORED, LETTERS, MICROSECONDS, Reading


def read_npy(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read a structured array with fields t, x, y and p in any order, or a plain `[N, 4]` (`columns_of_matrix`).

    Arguments, result and errors are those of `readers.read_events`.
    """
    with damage_named(path, ".npy file"):
        array, _ = _parse_npy(read_bytes(path))
    if array.dtype.hasobject:
        raise DataError(
            f"{path} holds Python objects, which are not loaded: save a structured array with t, x, y and p"
        )
    if array.dtype.names:
        columns, reading = columns_of_names(array.dtype.names, list(_fields(array).values()), path, reading)
    elif array.ndim == 2 and array.dtype.kind in "biuf":
        columns = columns_of_matrix(array, path, reading)
    else:
        raise DataError(
            f"{path} has numbers of type {array.dtype} and shape {array.shape}, no events: save an array [N, 4], or a"
            " structured one with t, x, y and p"
        )
    return events_of_columns(columns, path, sensor, reading)


def read_npz(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read the arrays t, x, y and p (or xyp and t), one structured array with these fields, or one plain `[N, 4]`.

    Arrays `pos` and `neg` `[N, 3]` are ON and OFF events, as ES-ImageNet has them. The archive may be compressed or
    not. See `columns.columns_of_groups` for which arrays count.
    Arguments, result and errors are those of `readers.read_events`.
    """
    content = read_bytes(path)
    with damage_named(path, ".npz file"), zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        if sum(member.file_size for member in members) > unpacked_limit(len(content)):
            raise ValueError("it unpacks to more than events can")
        if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
            raise ValueError("numpy does not pack like this")
        arrays = {}
        for member in members:
            name = member.filename[:-4]
            if name in arrays:
                raise ValueError(f"it holds two arrays {name}")
            with archive.open(member) as file:  # with a size: without one a lying directory lets it grow
                arrays[name], _ = _parse_npy(file.read(member.file_size + 1))
    numbers = {name: array for name, array in arrays.items() if not array.dtype.hasobject}
    if reading.group is None and all(name in numbers and _is_list(numbers[name]) for name in ("pos", "neg")):
        columns = _signed(numbers["pos"], numbers["neg"], path, reading)
        return events_of_columns(columns, path, sensor, reading)
    groups = {name: _fields(array) for name, array in numbers.items() if array.dtype.names}
    plain = {name: array for name, array in numbers.items() if not array.dtype.names}
    columns, reading = columns_of_groups({ROOT: plain, **groups}, path, reading)
    return events_of_columns(columns, path, sensor, reading)


def read_events_npy(path: str | Path, sensor: tuple[int, int] | None) -> np.ndarray:
    """Read one of BrainCog's `events_npy` files: a pickled dictionary of the arrays t, x, y and p.

    `convert_aedat4_dir_to_events_dir` or `write_events_npy` wrote it. No code of the file runs: its pickle is not
    loaded but searched for arrays of numbers. Arguments, result and errors are those of `readers.read_events`.
    """
    with damage_named(path, "events_npy file of BrainCog"):
        array, rest = _parse_npy(read_bytes(path))
        if not array.dtype.hasobject:
            raise ValueError("it holds a plain array")
        _, _, _, _, (dictionary,) = array_state(unpickled(rest))
        columns, _ = columns_of_groups({ROOT: {name: array_of(column) for name, column in dictionary.items()}}, path)
    return events_of_columns(columns, path, sensor, MICROSECONDS)


def write_events_npy(path: str | Path, events: np.ndarray) -> None:
    """Write events as BrainCog does: a pickled dictionary of arrays."""
    check_writable(events, path, 2**15, 2**15)
    columns = {name: events[name].astype(bool if name == "p" else np.int64) for name in LETTERS}
    out = io.BytesIO()
    np.save(out, np.array(columns, dtype=object), allow_pickle=True)
    write_bytes(path, out.getvalue())


def _is_list(array: np.ndarray) -> bool:
    """Whether it has rows of three numbers."""
    return array.ndim == 2 and array.shape[1] == 3 and array.dtype.kind in "biuf"


def _signed(on: np.ndarray, off: np.ndarray, path: str | Path, reading: Reading) -> dict[str, np.ndarray]:
    """The columns of ES-ImageNet's lists of ON and OFF events, rows of y, x and t, sorted by time.

    The order is that of SpikingJelly's `ESImageNet` and of the authors' loader: first the row, then the column.
    """
    numbers = {"y": 0, "x": 1, "t": 2, "p": 3, **(reading.columns or {})}
    if reading.columns is None:
        remark(
            "columns of pos and neg are taken as y, x, t, as SpikingJelly reads ES-ImageNet, in",
            f"{len(on)} and {len(off)} events",
            "to say it yourself, set data.columns: {y: 0, x: 1, t: 2}, with other numbers if it is wrong",
            0.0,
        )
    rows = np.concatenate([np.c_[on, np.ones(len(on), on.dtype)], np.c_[off, np.zeros(len(off), off.dtype)]])
    columns = columns_without_names(list(rows.T), path, replace(reading, columns=numbers))
    order = np.argsort(columns["t"], kind="stable")
    return {letter: column[order] for letter, column in columns.items()}


def _fields(array: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of a structured array."""
    return {name: array[name] for name in array.dtype.names or ()}


def _parse_npy(content: bytes) -> tuple[np.ndarray, memoryview]:
    """The array of an `.npy` file, and what follows its header; an array of objects is left empty.

    Raises ValueError for a damaged header, and TypeError if less follows than the header says.
    """
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} is unknown")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    rest = memoryview(content)[file.tell() :]
    if dtype.hasobject:
        return np.empty(0, dtype=dtype), rest
    return np.ndarray(shape, dtype=dtype, buffer=rest, order="F" if fortran else "C"), rest
