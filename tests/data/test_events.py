"""Readers and frames against tonic, which is the truth here, on real recordings where the shared folder is there."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from braincog_tmkt.data.frames import to_frames
from braincog_tmkt.data.readers.atis import read_atis, write_atis
from braincog_tmkt.data.types import EVENT_DTYPE, FrameSpec
from braincog_tmkt.errors import DataError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tonic.io import read_mnist_file
    from tonic.transforms import ToFrame

TONIC_DTYPE = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
ATIS = (256, 256)


def as_tonic(events: np.ndarray) -> np.ndarray:
    out = np.empty(len(events), dtype=TONIC_DTYPE)
    for name in "xytp":
        out[name] = events[name]
    return out


def tonic_frames(events: np.ndarray, spec: FrameSpec, sensor: tuple[int, int] | None) -> np.ndarray:
    """What the baseline computes: tonic's ToFrame (both polarities asked for), then torch's interpolate."""
    events = as_tonic(events)
    if sensor is None:
        events["x"] -= events["x"].min()
        events["y"] -= events["y"].min()
    width, height = sensor or (int(events["x"].max()) + 1, int(events["y"].max()) + 1)
    frames = ToFrame(sensor_size=(width, height, 2), n_time_bins=spec.steps)(events)
    return torch.nn.functional.interpolate(
        torch.from_numpy(frames).float(), size=(spec.size, spec.size), mode="bilinear", align_corners=True
    ).numpy()


def random_events(count: int, width: int, height: int, duration: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    events = np.empty(count, dtype=EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, duration, count))
    events["x"], events["y"] = rng.integers(0, width, count), rng.integers(0, height, count)
    events["p"] = rng.integers(0, 2, count)
    return events


@st.composite
def recordings(draw, max_x: int = 255, max_y: int = 239, max_t: int = 2**23 - 1) -> np.ndarray:
    row = st.tuples(st.integers(0, max_t), st.integers(0, max_x), st.integers(0, max_y), st.booleans())
    return np.array(sorted(draw(st.lists(row, min_size=1, max_size=60))), dtype=EVENT_DTYPE)


@pytest.mark.data
def test_reader_and_frames_equal_tonic_on_all_real_recordings(shared: Path, tmp_path: Path) -> None:
    files = sorted((shared / "data/nmnist").rglob("*.bin"))
    assert len(files) == 500
    for number, file in enumerate(files):
        events, truth = read_atis(file, (34, 34)), read_mnist_file(file, dtype=TONIC_DTYPE)
        np.testing.assert_array_equal(as_tonic(events), truth, err_msg=str(file))
        spec = [FrameSpec(10, 28), FrameSpec(4, 48), FrameSpec(7, 34)][number % 3]
        for sensor in ((34, 34), None):
            expected = tonic_frames(events, spec, sensor)
            assert np.array_equal(to_frames(events, spec, sensor), expected), file  # bitwise
        write_atis(tmp_path / "copy.bin", events)
        assert (tmp_path / "copy.bin").read_bytes() == file.read_bytes()


@settings(deadline=None, max_examples=150)
@given(recordings())
def test_write_then_read_gives_the_same_events(tmp_path_factory: pytest.TempPathFactory, events: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "round.bin"
    write_atis(path, events)
    assert path.stat().st_size == 5 * len(events)
    np.testing.assert_array_equal(read_atis(path, ATIS), events)
    np.testing.assert_array_equal(read_mnist_file(path, dtype=TONIC_DTYPE), as_tonic(events))


@settings(deadline=None, max_examples=150)
@given(recordings(max_x=30, max_y=20, max_t=400), st.integers(1, 12), st.integers(2, 9), st.booleans())
def test_frames_equal_tonic_on_any_events(events: np.ndarray, steps: int, size: int, whole: bool) -> None:
    sensor = (31, 21) if whole else None
    spec = FrameSpec(steps, size)
    expected = tonic_frames(events, spec, sensor)
    frames = to_frames(events, spec, sensor)
    assert frames.dtype == np.float32
    assert frames.shape == (steps, 2, size, size)
    assert np.array_equal(frames, expected)


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


def test_one_polarity_still_gives_two_channels() -> None:
    events = random_events(500, 20, 20, 1000)
    events["p"] = True
    frames = to_frames(events, FrameSpec(3, 20), (20, 20))
    assert frames.shape == (3, 2, 20, 20)
    assert not frames[:, 0].any()
    assert frames[:, 1].sum() == np.count_nonzero(
        events["t"] - events["t"][0] < (events["t"][-1] - events["t"][0]) // 3 * 3
    )


def test_a_channel_is_a_polarity_and_a_row_is_y() -> None:
    events = np.array([(0, 3, 1, False), (50, 0, 2, True), (100, 0, 0, False)], dtype=EVENT_DTYPE)
    frames = to_frames(events, FrameSpec(2, 4), (4, 4))
    assert frames[0, 0, 1, 3] == 1
    assert frames[1, 1, 2, 0] == 1
    assert frames.sum() == 2  # the last instant belongs to no bin


def test_events_beyond_the_given_sensor_are_refused() -> None:
    with pytest.raises(DataError, match="beyond the 10x20"):
        to_frames(random_events(50, 20, 20, 1000), FrameSpec(2, 4), (10, 20))


BAD_FILES = {
    "truncated": (b"\1\1\0\0\1\2", "truncated"),
    "empty": (b"", "no events"),
    "only_marks": (b"\0\xf0\0\0\0" * 3, "no events"),
    "beyond_x": (b"\x22\0\0\0\1", "x up to 34.*34x34"),
    "beyond_y": (b"\0\x22\0\0\1", "y up to 34.*34x34"),
    "backwards": (b"\1\1\0\0\2" * 2 + b"\1\1\0\0\1", "back in time after event 1"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_named_with_their_fault(tmp_path: Path, case: str) -> None:
    content, fault = BAD_FILES[case]
    path = tmp_path / f"{case}.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{case}.bin.*{fault}"):
        read_atis(path, (34, 34))


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.bin", tmp_path):
        with pytest.raises(DataError, match=str(path)):
            read_atis(path, (34, 34))


@pytest.mark.parametrize(
    ("field", "value"), [("x", 256), ("x", -1), ("y", 256), ("y", 240), ("y", -1), ("t", 2**23), ("t", -1)]
)
def test_values_the_format_cannot_hold_are_refused(tmp_path: Path, field: str, value: int) -> None:
    events = np.array([(5, 5, 5, True)], dtype=EVENT_DTYPE)
    events[field] = value
    with pytest.raises(DataError, match=r"no\.bin"):
        write_atis(tmp_path / "no.bin", events)
    assert not list(tmp_path.iterdir())


def test_unsorted_or_no_events_are_not_written(tmp_path: Path) -> None:
    events = np.array([(5, 5, 5, True), (4, 5, 5, True)], dtype=EVENT_DTYPE)
    for bad in (events, events[:0]):
        with pytest.raises(DataError, match=r"no\.bin"):
            write_atis(tmp_path / "no.bin", bad)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_atis(tmp_path / "missing" / "a.bin", np.array([(5, 5, 5, True)], dtype=EVENT_DTYPE))
