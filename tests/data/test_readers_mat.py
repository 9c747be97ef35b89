"""The MATLAB reader against scipy, h5py and the baseline's arithmetic."""

import struct
import tracemalloc
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings

from braincog_tmkt.data.readers.mat import read_mat, write_mat
from braincog_tmkt.data.readers.reading import MICROSECONDS
from braincog_tmkt.data.types import EVENT_DTYPE
from braincog_tmkt.errors import DataError
from tests.data.corpus import columns, random_events, recordings, refuses, saved_mat

SENSOR = (128, 128)
EVENTS = random_events(50, seed=4)


def put(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "made.mat"
    path.write_bytes(content)
    return path


def baseline_events(path: Path) -> np.ndarray:
    """The arithmetic of the baseline's CEP-DVS reader."""
    data = scipy.io.loadmat(path, verify_compressed_data_integrity=False)
    numbers = {name: np.squeeze(data[name].astype(np.int64)) for name in ("x", "y", "ts", "p")}
    out = np.empty(numbers["x"].size, dtype=EVENT_DTYPE)
    out["t"], out["x"], out["y"], out["p"] = numbers["ts"], numbers["x"], numbers["y"], numbers["p"] != -1
    return out


@settings(deadline=None, max_examples=60)
@given(events=recordings(max_x=345, max_y=259, max_t=2**62))
def test_what_is_written_reads_back_here_and_as_the_baseline_reads(
    tmp_path_factory: pytest.TempPathFactory, events: np.ndarray
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.mat"
    write_mat(path, events)
    np.testing.assert_array_equal(read_mat(path, (346, 260)), events)
    np.testing.assert_array_equal(baseline_events(path), events)


def test_written_variables_are_those_of_cepdvs(tmp_path: Path) -> None:
    write_mat(tmp_path / "a.mat", EVENTS)
    data = scipy.io.loadmat(tmp_path / "a.mat")
    assert {name: array.shape for name, array in data.items() if name[0] != "_"} == dict.fromkeys(
        ["x", "y", "ts", "p"], (50, 1)
    )
    assert set(data["p"].ravel().tolist()) == {-1, 1}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("oriented", ["row", "column"])
@pytest.mark.parametrize("kind", ["f8", "f4", "i8", "u4", "i2"])
def test_any_type_and_orientation(tmp_path: Path, kind: str, oriented: str, compressed: bool) -> None:
    events = EVENTS.copy()
    events["t"] //= 10
    numbers = {name: column.astype(kind) for name, column in columns(events).items()}
    path = put(tmp_path, saved_mat(numbers, do_compression=compressed, oned_as=oriented))
    np.testing.assert_array_equal(read_mat(path, SENSOR), events)


@pytest.mark.parametrize("compressed", [False, True])
def test_fields_of_a_structure_are_found_beside_other_things(tmp_path: Path, compressed: bool) -> None:
    others: dict[str, object] = {"who": "me", "cells": np.array([1, "a"], dtype=object), "z": np.array([1j]), "n": 3}
    inner = {"X": EVENTS["x"], "y": EVENTS["y"], "timeStamp": EVENTS["t"], "numEvents": 50, "Pol": EVENTS["p"]}
    path = put(tmp_path, saved_mat({**others, "a": {"b": {"c": inner}}}, do_compression=compressed))
    np.testing.assert_array_equal(read_mat(path, SENSOR), EVENTS)


def test_a_short_vector_in_the_small_form_of_an_element(tmp_path: Path) -> None:
    one = {"x": np.uint8([7]), "y": np.uint8([8]), "ts": np.uint8([9]), "p": np.uint8([1])}
    assert read_mat(put(tmp_path, saved_mat(one)), None).tolist() == [(9, 7, 8, True)]


@pytest.mark.parametrize("head", [b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM", b""])
def test_version_7_3_is_read_as_hdf5(tmp_path: Path, head: bytes) -> None:
    """As MATLAB writes it, and as h5py does."""
    path = tmp_path / "new.mat"
    with h5py.File(path, "w", userblock_size=512 if head else 0) as file:
        for name, column in columns(EVENTS).items():
            file[{"t": "ts"}.get(name, name)] = column.astype(float)[None]
    with path.open("r+b") as file:
        file.write(head)
    np.testing.assert_array_equal(read_mat(path, SENSOR), EVENTS)


def test_a_fraction_of_a_microsecond_is_cut_off_as_the_baseline_does(tmp_path: Path) -> None:
    numbers = {"x": [1, 2], "y": [3, 4], "ts": [0.9, 1000.9], "p": [-1, 1]}
    path = put(tmp_path, saved_mat(numbers))
    np.testing.assert_array_equal(read_mat(path, None, MICROSECONDS), baseline_events(path))
    with pytest.raises(DataError, match=r"2 times from 0.9 to 1000.9, which may be s, ms or us: set data.time_unit"):
        read_mat(path, None)


def elements(content: bytes) -> list[bytes]:
    """The compressed elements of a file, unpacked."""
    found, start = [], 128
    while start < len(content):
        kind, size = struct.unpack_from("<II", content, start)
        assert kind == 15
        found.append(zlib.decompress(content[start + 8 : start + 8 + size]))
        start += 8 + size
    return found


def packed(content: bytes, *unpacked: bytes, cut: int = 0) -> bytes:
    """A file with the header of another and these elements."""
    zipped = [zlib.compress(element)[: -cut or None] for element in unpacked]
    return content[:128] + b"".join(struct.pack("<II", 15, len(element)) + element for element in zipped)


COMPRESSED = saved_mat(columns(EVENTS), do_compression=True)


def test_bytes_behind_a_compressed_variable_are_ignored_as_the_baseline_does(tmp_path: Path) -> None:
    path = put(tmp_path, packed(COMPRESSED, *(element + b"more" * 9 for element in elements(COMPRESSED))))
    with pytest.raises(ValueError, match="fully consume"):
        scipy.io.loadmat(path)
    scipy.io.loadmat(path, verify_compressed_data_integrity=False)
    np.testing.assert_array_equal(read_mat(path, SENSOR), EVENTS)


def test_a_wrong_checksum_is_found(tmp_path: Path) -> None:
    flipped = bytearray(packed(COMPRESSED, *elements(COMPRESSED)))
    flipped[-1] ^= 1
    with pytest.raises(DataError, match=r"made\.mat is a truncated or corrupt MATLAB file.*check"):
        read_mat(put(tmp_path, bytes(flipped)), SENSOR)


def matrix(*parts: bytes) -> bytes:
    return struct.pack("<II", 14, sum(map(len, parts))) + b"".join(parts)


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def variable(name: bytes, shape: tuple[int, ...], data: bytes, kind: int = 6, stored: int = 9, flags: int = 0) -> bytes:
    head = element(6, struct.pack("<II", kind | flags, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return matrix(head, element(1, name), element(stored, data))


TWO = struct.pack("<2d", 0, 1)
HEADER = COMPRESSED[:128]
GOOD = HEADER + b"".join(variable(name, (1, 2), TWO) for name in (b"t", b"x", b"y", b"p"))
NESTED = variable(b"x", (1, 2), TWO)
for _ in range(1500):
    head = element(6, struct.pack("<II", 2, 0)) + element(5, struct.pack("<2i", 1, 1)) + element(1, b"s")
    NESTED = matrix(head, element(5, struct.pack("<i", 8)), element(1, b"x".ljust(8, b"\0")), NESTED)

BAD_FILES = {
    "empty": (b"", "no header of version 5"),
    "version_4": (saved_mat(columns(EVENTS), format="4"), "of version 4: save it again with scipy"),
    "big_endian": (HEADER[:124] + b"\1\0MI" + GOOD[128:], "big-endian: save it again with scipy"),
    "nothing": (HEADER, "columns without names"),
    "other_names": (GOOD.replace(b"t\0\0\0", b"q\0\0\0"), "columns q, x, y, p"),
    "complex": (
        HEADER + variable(b"t", (1, 2), TWO, flags=0x800) + GOOD[128:].replace(b"t\0\0\0", b"q\0\0\0"),
        "columns",
    ),
    "no_arrays": (saved_mat(dict.fromkeys("txyp", "text")), "without names"),
    "nested": (HEADER + NESTED, "recursion"),
    "cut_off": (GOOD[:-1], "cut off"),
    "cut_inside_a_tag": (GOOD + b"\1", "unpack"),
    "huge_element": (HEADER + struct.pack("<II", 14, 2**32 - 1) + GOOD[136:], "cut off"),
    "small_element": (HEADER + struct.pack("<HH", 14, 5) + GOOD[132:], "cut off"),
    "huge_shape": (GOOD.replace(struct.pack("<2i", 1, 2), struct.pack("<2i", 2**31 - 1, 2**31 - 1)), "reshape"),
    "free_shape": (GOOD.replace(struct.pack("<2i", 1, 2), struct.pack("<2i", 1, -1)), "negative size"),
    "wrong_shape": (saved_mat({name: np.zeros((2, 2)) for name in "txyp"}), r"shape \(2, 2\)"),
    "lengths": (saved_mat({"t": [1, 2], "x": [1], "y": [1], "p": [1]}), "different lengths"),
    "unknown_storage": (HEADER + variable(b"t", (1, 2), TWO, stored=10), "MATLAB file"),
    "empty_arrays": (saved_mat({name: np.zeros((0, 0)) for name in "txyp"}), "no events"),
    "fraction": (saved_mat({"t": [1, 2], "x": [1.5, 2], "y": [1, 1], "p": [0, 1]}), "x with a fraction"),
    "nan": (saved_mat({"t": [1, np.nan], "x": [1, 2], "y": [1, 1], "p": [0, 1]}), "values of t"),
    "polarities": (
        saved_mat({"t": [1, 2, 3], "x": [1, 2, 3], "y": [1, 1, 1], "p": [-1, 0, 1]}),
        "values of p from -1 to 1, but",
    ),
    "wide_polarity": (saved_mat({"t": [1, 2], "x": [1, 2], "y": [1, 1], "p": [1, 3]}), "values of p from 1 to 3, but"),
    "wrapping_x": (saved_mat({"t": [1, 2], "x": [1, 65537], "y": [1, 1], "p": [0, 1]}), "values of x"),
    "half_packed": (packed(COMPRESSED, *elements(COMPRESSED), cut=30), "cut off"),
    "not_packed": (HEADER + struct.pack("<II", 15, 8) + b"12345678", "MATLAB file"),
    "bomb_by_tag": (packed(COMPRESSED, struct.pack("<II", 14, 2**31)), "more than events can"),
    "new_but_no_hdf5": (b"MATLAB 7.3 MAT-file".ljust(600), "HDF5"),
}


def test_the_model_of_the_bad_files_is_good(tmp_path: Path) -> None:
    assert read_mat(put(tmp_path, GOOD), None).tolist() == [(0, 0, 0, False), (1, 1, 1, True)]


test_bad_files_are_named_with_their_fault = refuses(read_mat, "made.mat", BAD_FILES)


def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = put(tmp_path, packed(COMPRESSED, variable(b"x", (1, 2**23), b"\0" * 2**26)))
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more than events can"):
            read_mat(path, SENSOR)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
