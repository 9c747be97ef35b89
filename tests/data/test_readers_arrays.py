"""The numpy readers against numpy itself and against what BrainCog writes."""

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from braincog_tmkt.data.readers.arrays import read_events_npy, read_npy, read_npz, write_events_npy
from braincog_tmkt.data.readers.pickled import array_of, unpickled
from braincog_tmkt.errors import DataError
from tests.data.corpus import columns, random_events, recordings, refuses

SENSOR = (128, 128)
EVENTS = random_events(50, seed=4)
PLAIN = np.stack([EVENTS[name].astype(np.int64) for name in "txyp"], axis=1)


def put(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "made.npy"
    path.write_bytes(content)
    return path


def saved(array: Any, **options: bool) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def renamed(**names: str) -> np.ndarray:
    """The events as a structured array with other names, orders and types."""
    out = np.empty(len(EVENTS), dtype=[(new, "f4" if old in "xy" else "f8") for old, new in names.items()])
    for old, new in names.items():
        out[new] = EVENTS[old]
    return out


GOOD_NPY = {
    "our_own": saved(EVENTS),
    "other_order": saved(renamed(p="p", y="y", x="x", t="t")),
    "other_names": saved(renamed(p="Polarity", x="x", y="y", t="timestamp")),
    "big_endian": saved(EVENTS.astype(EVENTS.dtype.newbyteorder(">"))),
    "more_fields": saved(np.rec.fromarrays([*columns(EVENTS).values(), PLAIN[:, 0]], names="t,x,y,p,more")),
    "plain": saved(PLAIN),
    "plain_float_by_columns": saved(np.asfortranarray(PLAIN.astype(float))),
    "signed": saved(np.where(np.arange(4) == 3, 2 * PLAIN - 1, PLAIN)),
}


@pytest.mark.parametrize("case", GOOD_NPY)
def test_npy_files_of_many_kinds(tmp_path: Path, case: str) -> None:
    np.testing.assert_array_equal(read_npy(put(tmp_path, GOOD_NPY[case]), SENSOR), EVENTS)


def header(text: str, version: bytes = b"\1\0", form: str = "<H") -> bytes:
    return b"\x93NUMPY" + version + struct.pack(form, len(text)) + text.encode()


BAD_NPY = {
    "empty": (b"", r"\.npy file"),
    "no_magic": (b"hello" * 20, "magic"),
    "version_3": (header("{}", b"\3\0", "<I"), "version 3.0"),
    "no_header": (header("os.system('true')"), r"\.npy file"),
    "endless_header": (header("{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}" + " " * 50_000), r"\.npy file"),
    "deep_header": (header("(" * 9000), r"\.npy file"),
    "truncated": (saved(EVENTS)[:-1], "too small"),
    "no_data": (saved(EVENTS)[:192], "too small"),
    "huge": (header("{'descr': '<i8', 'fortran_order': False, 'shape': (4, 9999999999999)}"), r"\.npy file"),
    "beyond_any_address": (header(f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({2**70},)}}"), r"\.npy file"),
    "negative": (header("{'descr': '<i8', 'fortran_order': False, 'shape': (-1, 4)}") + b"\0" * 64, "negative"),
    "huge_field": (
        header("{'descr': [('t', '<i8', (99999999,))], 'fortran_order': False, 'shape': (1,)}"),
        "too small",
    ),
    "objects": (saved(np.array([{}], dtype=object), allow_pickle=True), "Python objects"),
    "object_field": (saved(np.zeros(1, "i8,O"), allow_pickle=True), "Python objects"),
    "text": (saved(np.array(["t", "x"])), r"type <U1 and shape \(2,\), no events"),
    "other_fields": (
        saved(renamed(t="when", x="x", y="y", p="p")),
        r"columns when, x, y, p, but no t .*data.columns: \{t: when\}",
    ),
    "five_columns": (saved(np.zeros((3, 5))), "5 columns without names: say which"),
    "text_field": (
        saved(np.zeros(2, "i8,i2,i2,U3").view([("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "U3")])),
        "type <U3",
    ),
    "vector_field": (saved(np.zeros(2, [("t", "i8", 2), ("x", "i2"), ("y", "i2"), ("p", "?")])), r"shape \(2, 2\)"),
    "no_events": (saved(EVENTS[:0]), "no events"),
    "no_rows": (saved(PLAIN[:0]), "no events"),
    "backwards": (saved(EVENTS[::-1]), "back in time"),
    "negative_x": (saved(PLAIN - [0, 200, 0, 0]), "column 1 from -197 to -73.*not certain"),
}


test_bad_npy_files_are_named_with_their_fault = refuses(read_npy, "made.npy", BAD_NPY)


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


ARRAYS = {f"{name}.npy": saved(column) for name, column in columns(EVENTS).items()}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_files_of_columns_and_of_structures(tmp_path: Path, save: Any) -> None:
    for arrays in (
        columns(EVENTS),
        {"events": EVENTS},
        {"other": np.zeros(3), "Timestamps": EVENTS["t"], **columns(EVENTS)},
    ):
        save(tmp_path / "a.npz", **arrays)
        np.testing.assert_array_equal(read_npz(tmp_path / "a.npz", SENSOR), EVENTS)
    (tmp_path / "b.npz").write_bytes(zipped({**ARRAYS, "note.txt": b"no array", "q.npy": saved({}, allow_pickle=True)}))
    np.testing.assert_array_equal(read_npz(tmp_path / "b.npz", SENSOR), EVENTS)


def with_flag(content: bytes) -> bytes:
    """The archive with its first member marked as encrypted."""
    marked = bytearray(content)
    marked[6] |= 1
    marked[content.index(b"PK\1\2") + 8] |= 1
    return bytes(marked)


BAD_NPZ = {
    "empty": (b"", "zip"),
    "empty_zip": (zipped({}), "columns without names"),
    "one_missing": (zipped(dict(list(ARRAYS.items())[:3])), r"columns t, x, y, but no p \(or pol"),
    "cut_off": (zipped(ARRAYS)[:-30], "zip"),
    "no_array": (zipped({**ARRAYS, "t.npy": b"hello"}), "magic"),
    "truncated_array": (zipped({**ARRAYS, "t.npy": ARRAYS["t.npy"][:-3]}), "too small"),
    "objects": (zipped({**ARRAYS, "t.npy": saved(np.array([{}]), allow_pickle=True)}), "but no t"),
    "encrypted": (with_flag(zipped(ARRAYS)), "encrypted"),
    "lzma": (zipped(ARRAYS, zipfile.ZIP_LZMA), "numpy does not pack like this"),
    "flipped": (zipped(ARRAYS, zipfile.ZIP_STORED).replace(saved(EVENTS["t"])[-8:], b"\1" * 8), "CRC"),
    "lengths": (zipped({**ARRAYS, "t.npy": saved(EVENTS["t"][1:])}), "different lengths"),
}


test_bad_npz_files_are_named_with_their_fault = refuses(read_npz, "made.npz", BAD_NPZ)


@pytest.mark.parametrize("claimed", [True, False])
def test_a_zip_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path, claimed: bool) -> None:
    content = bytearray(zipped({**ARRAYS, "t.npy": saved(np.zeros(2**24, dtype="i8"))}))
    if not claimed:  # the directory at the end says it is small
        entry = content.index(b"PK\1\2")
        content[entry + 24 : entry + 28] = struct.pack("<I", 1000)
    path = tmp_path / "bomb.npz"
    path.write_bytes(content)
    assert len(content) < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more than events can" if claimed else r"bomb\.npz"):
            read_npz(path, SENSOR)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def braincog_file(path: Path, events: np.ndarray) -> None:
    """What BrainCog's `convert_aedat4_dir_to_events_dir` does with the lists it collects."""
    np.save(path, {name: np.array(events[name].tolist()) for name in "txyp"})


@settings(deadline=None, max_examples=60)
@given(events=recordings(max_x=345, max_y=259, max_t=2**62))
def test_braincogs_files_are_read_and_written(tmp_path_factory: pytest.TempPathFactory, events: np.ndarray) -> None:
    ours, theirs = (tmp_path_factory.getbasetemp() / name for name in ("ours.npy", "theirs.npy"))
    write_events_npy(ours, events)
    braincog_file(theirs, events)
    assert ours.read_bytes() == theirs.read_bytes()
    np.testing.assert_array_equal(read_events_npy(theirs, (346, 260)), events)
    loaded = np.load(ours, allow_pickle=True).item()  # as BrainCog reads it
    for name in "txyp":
        np.testing.assert_array_equal(loaded[name], events[name])


def dictionary(contents: Any, protocol: int = 4) -> bytes:
    """An object array as `np.save` writes it, with any protocol."""
    array = np.empty((), dtype=object)
    array[()] = contents
    return saved(np.empty((), dtype=object), allow_pickle=True).split(b"\n")[0] + b"\n" + pickle.dumps(array, protocol)


@pytest.mark.parametrize("protocol", [3, 4])
def test_files_of_older_numpy(tmp_path: Path, protocol: int) -> None:
    content = dictionary(columns(EVENTS), protocol)
    assert b"numpy._core.multiarray" in content
    old = content.replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
    old = old.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    if protocol == 4:  # the frame is a byte shorter
        start = old.index(b"\x80\x04\x95") + 3
        old = old[:start] + struct.pack("<Q", struct.unpack_from("<Q", old, start)[0] - 1) + old[start + 8 :]
    assert b"_core" not in old
    np.testing.assert_array_equal(read_events_npy(put(tmp_path, old), SENSOR), EVENTS)


class Attack:
    """Loading it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_pickle_runs(tmp_path: Path) -> None:
    marker = tmp_path / "attacked"
    for contents in ({**columns(EVENTS), "z": Attack(marker)}, Attack(marker), {"t": Attack(marker)}):
        for protocol in range(6):
            with pytest.raises(DataError, match=r"made\.npy is a truncated or corrupt events_npy"):
                read_events_npy(put(tmp_path, dictionary(contents, protocol)), SENSOR)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Attack(marker)))
    assert marker.exists()


def billion_hashes() -> bytes:
    """A key that takes 2^50 steps to hash."""
    code = b"\x80\x04}(" + b")q\0" + b"h\0h\0\x86q\0" * 50 + b"K\1u."
    return saved(np.empty((), dtype=object), allow_pickle=True).split(b"\n")[0] + b"\n" + code


def lying(old: bytes, new: bytes) -> bytes:
    content = dictionary(columns(EVENTS))
    assert old in content
    return content.replace(old, new)


def test_a_far_place_in_the_memo_takes_no_memory(tmp_path: Path) -> None:
    """Python's own unpickler makes room for all 2^31 places."""
    content = lying(b"}\x94", b"}r\xff\xff\xff\x7f")
    np.testing.assert_array_equal(read_events_npy(put(tmp_path, content), SENSOR), EVENTS)


BAD_DICTIONARIES = {
    "empty": (b"", "events_npy"),
    "plain": (saved(PLAIN), "plain array"),
    "no_pickle": (saved(np.empty((), dtype=object), allow_pickle=True).split(b"\n")[0] + b"\n", "events_npy"),
    "cut_off": (dictionary(columns(EVENTS))[:-40], "events_npy"),
    "list": (dictionary([1, 2]), "events_npy"),
    "one_missing": (dictionary({name: EVENTS[name] for name in "txy"}), "columns t, x, y, but no p"),
    "objects": (dictionary({name: np.array([None]) for name in "txyp"}), "something else than numbers"),
    "complex": (dictionary({name: np.array([1j]) for name in "txyp"}), "something else than numbers"),
    "lists": (dictionary({name: [1] for name in "txyp"}), "more than arrays"),
    "other_call": (lying(b"_reconstruct", b"_reconstruct"[::-1]), "more than arrays"),
    "endless_hash": (billion_hashes(), "keys that are no text"),
    "long_pickle": (dictionary(columns(EVENTS))[:-1] + b"0N" * 200_000, "events_npy"),
    "lengths": (dictionary({**columns(EVENTS), "t": EVENTS["t"][1:]}), "different lengths"),
}


test_bad_dictionaries_are_named_with_their_fault = refuses(read_events_npy, "made.npy", BAD_DICTIONARIES)


def test_an_array_that_claims_more_than_it_has_is_refused() -> None:
    whole = pickle.dumps(np.arange(3), 4)
    np.testing.assert_array_equal(array_of(unpickled(whole)), np.arange(3))
    with pytest.raises(TypeError, match="too small"):
        array_of(unpickled(whole.replace(b"K\3\x85", b"M\xff\xff\x85")))
    for kind in (">i2", "<f8", "?", "u1"):
        array = np.arange(6).reshape(2, 3).astype(kind)
        for order in "CF":
            np.testing.assert_array_equal(array_of(unpickled(pickle.dumps(np.asarray(array, order=order), 4))), array)
