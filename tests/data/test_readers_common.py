"""What all readers share: which files they open, how they name faults, and how columns become events."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braincog_tmkt.data.readers import READERS, check, read_events
from braincog_tmkt.data.readers.aedat import write_aedat3, write_cifar10dvs
from braincog_tmkt.data.readers.aedat4 import write_aedat4
from braincog_tmkt.data.readers.arrays import read_events_npy, write_events_npy
from braincog_tmkt.data.readers.atis import write_atis
from braincog_tmkt.data.readers.check import check_events, file_size, read_bytes, unpacked_limit
from braincog_tmkt.data.readers.columns import events_of_columns
from braincog_tmkt.data.readers.mat import write_mat
from braincog_tmkt.data.types import EVENT_DTYPE
from braincog_tmkt.errors import DataError
from tests.data.corpus import SEED_EVENTS, random_events, seeds

SUFFIXES = sorted(READERS)
WRITERS = {
    ".bin": write_atis,
    ".aedat": write_cifar10dvs,
    "3.aedat": write_aedat3,
    ".aedat4": lambda path, events: write_aedat4(path, events, (128, 128)),
    ".mat": write_mat,
    ".npy": write_events_npy,
}


def test_every_suffix_of_a_seed_is_read_to_the_same_events(tmp_path: Path) -> None:
    for suffix, contents in seeds(tmp_path).items():
        for number, content in enumerate(contents):
            path = tmp_path / f"{number}{suffix.upper()}"
            path.write_bytes(content)
            read = read_events_npy if suffix == ".dict" else read_events
            for sensor in ((128, 128), None):
                found = read(path, sensor)
                assert found.dtype == EVENT_DTYPE
                np.testing.assert_array_equal(found, SEED_EVENTS, err_msg=str(path))


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.bin.gz", ".bin"])
def test_an_unknown_suffix_is_an_error_that_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=rf"{name} has no suffix.*\.bin.*\.aedat4.*\.txt"):
        read_events(tmp_path / name, None)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_no_regular_file_is_named_and_never_waited_for(tmp_path: Path, suffix: str) -> None:
    missing, folder, pipe, loop, zero = (
        tmp_path / f"{name}{suffix}" for name in ("no", "folder", "pipe", "loop", "zero")
    )
    folder.mkdir()
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    zero.symlink_to("/dev/zero")
    faults = {
        missing: "No such file",
        folder: "not a regular",
        pipe: "not a regular",
        loop: "symbolic",
        zero: "not a regular",
    }
    for path, fault in faults.items():
        with pytest.raises(DataError, match=f"{path} cannot be read.*{fault}"):
            read_events(path, None)
    with pytest.raises(DataError, match=r"null (byte|character)"):
        read_events(f"{tmp_path}/a\0{suffix}", None)


def test_a_link_to_a_recording_is_followed(tmp_path: Path) -> None:
    write_atis(tmp_path / "a.bin", random_events(3))
    (tmp_path / "b.bin").symlink_to("a.bin")
    assert len(read_events(tmp_path / "b.bin", None)) == 3


def test_a_file_that_is_too_large_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.bin"
    path.touch()
    os.truncate(path, check.MAX_BYTES + 1)  # takes no room on the disk
    with pytest.raises(DataError, match=r"large\.bin has 8589934593 bytes"):
        read_bytes(path)
    os.truncate(path, check.MAX_BYTES)
    assert file_size(path) == check.MAX_BYTES
    assert unpacked_limit(check.MAX_BYTES) == check.MAX_BYTES


def test_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.bin"
    path.touch()

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"locked\.bin cannot be read \(Permission denied\)"):
        read_bytes(path)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(DataError, match=f"a{suffix} cannot be written"):
        WRITERS[suffix](tmp_path / "missing" / f"a{suffix}", random_events(3))
    (tmp_path / f"a{suffix}").mkdir()
    with pytest.raises(DataError, match=f"a{suffix} cannot be written"):
        WRITERS[suffix](tmp_path / f"a{suffix}", random_events(3))


@pytest.mark.parametrize("suffix", WRITERS)
def test_unsorted_negative_or_no_events_are_not_written(tmp_path: Path, suffix: str) -> None:
    events = random_events(50)
    bad = {name: events.copy() for name in ("t", "x", "y")}
    for name, changed in bad.items():
        changed[name][0] = -1
    for wrong in (events[::-1], events[:0], *bad.values()):
        with pytest.raises(DataError, match=f"a{suffix}"):
            WRITERS[suffix](tmp_path / f"a{suffix}", wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_is_replaced_at_once(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    with path.open("rb") as old:
        WRITERS[suffix](path, random_events(3))
        assert old.read() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


# check_events


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        ((0, -1, 0, True), "negative coordinates"),
        ((0, 0, -1, True), "negative coordinates"),
        ((0, 10, 0, True), "x up to 10 and y up to 0, beyond the 10x20 sensor"),
        ((0, 0, 20, True), "x up to 0 and y up to 20, beyond the 10x20 sensor"),
        ((-1, 0, 0, True), "outside"),
        ((2**62 + 1, 0, 0, True), "outside"),
    ],
)
def test_events_that_cannot_be_are_refused(event: tuple[int, int, int, bool], fault: str) -> None:
    with pytest.raises(DataError, match=f"name.*{fault}"):
        check_events(np.array([event], dtype=EVENT_DTYPE), "name", (10, 20))


def test_bounds_are_inclusive_and_none_sets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    check_events(np.array([(0, 0, 0, True), (2**62, 9, 19, False)], dtype=EVENT_DTYPE), "name", (10, 20))
    check_events(np.array([(0, 2**15 - 1, 2**15 - 1, True)], dtype=EVENT_DTYPE), "name", None)
    lowest, highest = np.iinfo("i8").min, np.iinfo("i8").max
    with pytest.raises(DataError, match="back in time after event 0"):  # their difference would wrap
        check_events(np.array([(highest, 0, 0, True), (lowest, 0, 0, True)], dtype=EVENT_DTYPE), "name", None)
    monkeypatch.setattr(check, "MAX_EVENTS", 2)
    check_events(random_events(2), "name", None)
    with pytest.raises(DataError, match="more than 2 events"):
        check_events(random_events(3), "name", None)


# columns

KINDS = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">i4", ">f8", "c8", "S2", "O", "M8[s]")


@st.composite
def columns(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Four columns of any type; mostly small sorted numbers, so that some are events."""
    count = draw(st.integers(0, 6))
    made = {}
    for name in "txyp":
        kind = draw(st.sampled_from(KINDS))
        usual = st.integers(0, 1) if name == "p" else st.integers(0, 100)
        odd = st.one_of(
            st.integers(-2, 2), st.sampled_from([2**15, 2**16, 2**31, 2**63, -(2**15), 0.5, np.nan, np.inf])
        )
        values = sorted(draw(st.lists(usual, min_size=count, max_size=count)))
        if count and draw(st.integers(0, 9)) == 0:
            values[draw(st.integers(0, count - 1))] = draw(odd)
        with np.errstate(all="ignore"):
            made[name] = np.array(values).astype(kind)
        if draw(st.booleans()):
            made[name] = made[name].reshape(draw(st.sampled_from([(1, -1), (-1, 1)])))
    return made


def events_or_error(made: dict[str, np.ndarray]) -> np.ndarray | str:
    try:
        return events_of_columns(made, "made", None)
    except DataError as error:
        return str(error)


@settings(deadline=None, max_examples=300)
@given(columns())
def test_columns_become_exactly_their_numbers_or_an_error(made: dict[str, np.ndarray]) -> None:
    events = events_or_error(made)
    if isinstance(events, str):
        assert events.startswith("made ")
        return
    check_events(events, "made", None)
    for name in "txy":
        assert [int(value) for value in made[name].ravel()] == events[name].tolist()
        assert all(value == int(value) for value in made[name].ravel())
    on = 2 if 2 in made["p"] else 1
    assert [value == on for value in made["p"].ravel()] == events["p"].tolist()


@pytest.mark.parametrize("codes", [(0, 1), (-1, 1), (1, 2)])
@pytest.mark.parametrize("kind", ["i1", "f4"])
def test_the_greater_of_two_polarities_is_on(codes: tuple[int, int], kind: str) -> None:
    made = {name: np.arange(2) for name in "txy"}
    polarities = np.array(codes, kind)
    assert events_of_columns({**made, "p": polarities}, "made", None)["p"].tolist() == [False, True]


@pytest.mark.parametrize("codes", [(-1, 0), (0, 2), (-1, 2), (0, 1, 2), (-1, 0, 1), (1, 3), (0.5, 1), (np.nan, 1)])
def test_other_polarities_are_refused(codes: tuple[float, ...]) -> None:
    made = {name: np.arange(len(codes)) for name in "txy"}
    with pytest.raises(DataError, match=r"values of p from .*, but polarities are 0 and 1, -1 and 1, or 1 and 2"):
        events_of_columns({**made, "p": np.array(codes)}, "made", None)


def test_columns_beyond_the_most_events_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from braincog_tmkt.data.readers import columns as module

    monkeypatch.setattr(module, "MAX_EVENTS", 2)
    with pytest.raises(DataError, match="more than 2 events"):
        events_of_columns(dict.fromkeys("txyp", np.zeros(3)), "made", None)
