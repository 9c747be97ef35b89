"""MATLAB `.mat` recordings: variables, structures and matrices of events.

Version 5 (MATLAB's `save` up to `-v7`) is parsed here, not by scipy, because scipy unpacks and allocates whatever a
file claims. Version 7.3 is HDF5 and read as such.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from .check import check_writable, damage_named, read_bytes, unpacked_limit, write_bytes
from .columns import columns_of_groups, events_of_columns
from .hdf5 import read_h5
from .names import ROOT
from .reading import AS_STORED, Reading

Groups = dict[str, dict[str, np.ndarray]]
HEADER = 128
VERSION, BIG_ENDIAN = b"\x00\x01IM", b"\x01\x00MI"
MATRIX, COMPRESSED = 14, 15
STRUCT = 2
NUMERIC = range(6, 16)
COMPLEX = 0x800
STORED = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}


def read_mat(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read variables t (or ts), x, y and p of a file of version 5, 7 or 7.3, a structure of these, or one `[N, 4]`.

    Of several structures, that of an ATIS's changes (TD) counts, not its exposure measurements (EM). See
    `columns.columns_of_groups` for other names.
    Arguments, result and errors are those of `readers.read_events`.
    """
    content = read_bytes(path)
    if content.startswith((b"MATLAB 7.3", b"\x89HDF")):
        return read_h5(path, sensor, reading)
    big = content[124:128] == BIG_ENDIAN
    if big or (len(content) >= HEADER and 0 in content[:4]):
        kind = "big-endian" if big else "of version 4"
        raise DataError(f"{path} is a MATLAB file that is {kind}: save it again with scipy or a newer MATLAB")
    with damage_named(path, "MATLAB file of version 5"):
        groups = _groups(content)
    if list(groups[ROOT]) == ["spiketrain"]:
        raise DataError(f"{path} has spike trains of a tactile sensor, as ST-MNIST, not events of a camera: remove it")
    columns, reading = columns_of_groups(groups, path, reading)
    return events_of_columns(columns, path, sensor, reading)


def write_mat(path: str | Path, events: np.ndarray) -> None:
    """Write the variables x, y, ts and p (-1 OFF, 1 ON) as columns, compressed."""
    from scipy.io import savemat

    check_writable(events, path, 2**15, 2**15)
    columns = {"x": events["x"], "y": events["y"], "ts": events["t"], "p": 2 * events["p"].astype(np.int8) - 1}

    out = io.BytesIO()
    savemat(out, columns, do_compression=True, oned_as="column")
    write_bytes(path, out.getvalue())


def _groups(content: bytes) -> Groups:
    """The numeric variables, and for each structure its numeric fields; a path names a structure in another."""
    if len(content) < HEADER or content[124:128] != VERSION:
        raise ValueError("it has no header of version 5, little-endian")
    groups: Groups = {ROOT: {}}
    allowed = unpacked_limit(len(content))
    for kind, data in _elements(memoryview(content)[HEADER:]):
        if kind == COMPRESSED:
            kind, data = _inflate(data, allowed)
            allowed -= len(data)
        if kind == MATRIX:
            _add_matrix(data, "", groups, ROOT)
    return groups


def _inflate(packed: memoryview, allowed: int) -> tuple[int, memoryview]:
    """The one element that a compressed element contains.

    Bytes behind it are ignored, as in the baseline (`verify_compressed_data_integrity=False`); without any, the
    checksum is compared.
    """
    decoder = zlib.decompressobj()
    head = decoder.decompress(packed, 8)
    kind, size = struct.unpack("<II", head)
    if size > allowed:
        raise ValueError("it unpacks to more than events can")
    data = decoder.decompress(decoder.unconsumed_tail, size) if size else b""
    if len(data) < size:
        raise ValueError("a compressed variable is cut off")
    return kind, memoryview(data)


def _elements(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Type and content of each data element in a row."""
    start = 0
    while start < len(view):
        kind, size = struct.unpack_from("<II", view, start)
        if kind >> 16:  # the small form: size and type in one word, the content in the other
            kind, size, first, step = kind & 0xFFFF, kind >> 16, start + 4, 8
        else:
            first, step = start + 8, 8 + (size if kind == COMPRESSED else size + -size % 8)
        if first + size > min(len(view), start + step):
            raise ValueError("an element is cut off")
        yield kind, view[first : first + size]
        start += step


def _add_matrix(data: memoryview, name: str, groups: Groups, group: str) -> None:
    """Put a numeric matrix into the group of this name, or the fields of a structure into a new one.

    What is neither is left out. A variable of the file has its own name; `name` is for fields of a structure.
    """
    head, dimensions, title, *parts = _elements(data)
    flags, shape = int(_numbers(*head)[0]), tuple(_numbers(*dimensions).tolist())
    name = bytes(title[1]).decode("latin-1") or name
    kind = flags & 0xFF
    if kind in NUMERIC and not flags & COMPLEX:
        numbers = _numbers(*parts[0])
        if min(shape, default=-1) < 0:
            raise ValueError("a variable has a negative size")
        if name and name in groups[group]:
            raise ValueError(f"it holds two variables {name}")
        groups[group][name] = numbers.reshape(shape, order="F")
    elif kind == STRUCT and shape == (1, 1):
        width, names = int(_numbers(*parts[0])[0]), bytes(parts[1][1])
        path = name if group == ROOT else f"{group}/{name}"
        if path in groups:
            raise ValueError(f"it holds two structures {path}")
        groups[path] = {}
        for number, (_, field) in enumerate(parts[2:]):
            label = names[number * width : (number + 1) * width].split(b"\0")[0].decode("latin-1")
            if field:
                _add_matrix(field, label, groups, path)


def _numbers(kind: int, data: memoryview) -> np.ndarray[Any, np.dtype[Any]]:
    """The numbers of an element."""
    return np.frombuffer(data, dtype=STORED[kind])
