"""Frames against tonic, which is the truth here, on real recordings where the shared folder is there."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from braincog_tmkt.data.frames import to_frames
from braincog_tmkt.data.readers.atis import read_atis
from braincog_tmkt.data.types import EVENT_DTYPE, FrameSpec
from braincog_tmkt.errors import DataError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tonic.transforms import ToFrame

TONIC_DTYPE = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])


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
def recordings(draw, max_x: int, max_y: int, max_t: int) -> np.ndarray:
    row = st.tuples(st.integers(0, max_t), st.integers(0, max_x), st.integers(0, max_y), st.booleans())
    return np.array(sorted(draw(st.lists(row, min_size=1, max_size=60))), dtype=EVENT_DTYPE)


@pytest.mark.data
def test_frames_equal_tonic_on_all_real_recordings(shared: Path) -> None:
    files = sorted((shared / "data/nmnist").rglob("*.bin"))
    assert len(files) == 500
    for number, file in enumerate(files):
        events = read_atis(file, (34, 34))
        spec = [FrameSpec(10, 28), FrameSpec(4, 48), FrameSpec(7, 34)][number % 3]
        for sensor in ((34, 34), None):
            expected = tonic_frames(events, spec, sensor)
            assert np.array_equal(to_frames(events, spec, sensor), expected), file  # bitwise


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
