"""The ATIS reader against tonic, on real recordings where the shared folder is there."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from braincog_tmkt.data.readers.atis import read_atis, write_atis
from braincog_tmkt.data.types import EVENT_DTYPE
from braincog_tmkt.errors import DataError
from tests.data.corpus import TONIC_DTYPE, as_tonic, recordings, refuses

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tonic.io import read_mnist_file

WHOLE = (256, 256)


@pytest.mark.data
def test_equal_to_tonic_on_all_real_recordings_and_written_back_byte_for_byte(shared: Path, tmp_path: Path) -> None:
    """500 of N-MNIST, 3 of N-Caltech101."""
    files = [*(shared / "data/nmnist").rglob("*.bin"), *(shared / "data/recordings/ncaltech101").glob("*.bin")]
    assert len(files) == 503
    for file in files:
        events = read_atis(file, (34, 34) if "nmnist" in file.parts else (240, 180))
        assert np.array_equal(as_tonic(events), read_mnist_file(file, dtype=TONIC_DTYPE)), file
        write_atis(tmp_path / "copy.bin", events)
        assert (tmp_path / "copy.bin").read_bytes() == file.read_bytes()


@settings(deadline=None, max_examples=150)
@given(events=recordings(max_x=255, max_y=239, max_t=2**23 - 1))
def test_write_then_read_gives_the_same_events(tmp_path_factory: pytest.TempPathFactory, events: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "round.bin"
    write_atis(path, events)
    assert path.stat().st_size == 5 * len(events)
    for sensor in (WHOLE, None):
        np.testing.assert_array_equal(read_atis(path, sensor), events)
    np.testing.assert_array_equal(read_mnist_file(path, dtype=TONIC_DTYPE), as_tonic(events))


def test_time_overflow_marks_as_tonic_reads_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 200, (300, 5), dtype=np.uint8)
    rows[:, 2:] = np.sort(rng.integers(0, 8192, 300)).astype(">u4").view(np.uint8).reshape(-1, 4)[:, 1:]
    rows[:, 2] |= rng.integers(0, 2, 300, dtype=np.uint8) << 7
    rows[[0, 40, 41, 299], 1] = 240
    path = tmp_path / "marks.bin"
    path.write_bytes(rows.tobytes())
    events = read_atis(path, (200, 200))
    assert len(events) == 296
    np.testing.assert_array_equal(as_tonic(events), read_mnist_file(path, dtype=TONIC_DTYPE))


BAD_FILES = {
    "truncated": (b"\1\1\0\0\1\2", "truncated"),
    "only_marks": (b"\0\xf0\0\0\0" * 3, "no events"),
    "beyond_x": (b"\x22\0\0\0\1", "x up to 34.*34x34"),
    "beyond_y": (b"\0\x22\0\0\1", "y up to 34.*34x34"),
    "backwards": (b"\1\1\0\0\2" * 2 + b"\1\1\0\0\1", "back in time after event 1"),
}


test_bad_files_are_named_with_their_fault = refuses(read_atis, "made.bin", BAD_FILES, (34, 34))


@pytest.mark.parametrize(
    ("field", "value"), [("x", 256), ("x", -1), ("y", 256), ("y", 240), ("y", -1), ("t", 2**23), ("t", -1)]
)
def test_values_the_format_cannot_hold_are_refused(tmp_path: Path, field: str, value: int) -> None:
    events = np.array([(5, 5, 5, True)], dtype=EVENT_DTYPE)
    events[field] = value
    with pytest.raises(DataError, match=r"no\.bin"):
        write_atis(tmp_path / "no.bin", events)
    assert not list(tmp_path.iterdir())
