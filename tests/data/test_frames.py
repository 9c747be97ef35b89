"""Frames against those who made them first: tonic, SpikingJelly's rule, TET's pipeline, BrainCog's function."""

import importlib.util
import sys
import warnings
from copy import deepcopy
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode, Resize, ToPILImage, ToTensor

from braincog_tmkt.data.frames import FRAMES, check_spec, to_frames
from braincog_tmkt.data.readers import read_events
from braincog_tmkt.data.types import EVENT_DTYPE, FrameSpec
from braincog_tmkt.errors import DataError, RecipeError
from tests.data.corpus import as_tonic, random_events, recordings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tonic.transforms import ToFrame

SENSOR, CROP = (346, 260), (54, 4, 250, 250)
KINDS = [kind for kind in FRAMES if kind != "e2vid"]  # which has a file of tests of its own
SPECS = [FrameSpec(3, 5, kind) for kind in KINDS]
kinds = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
any_events = settings(deadline=None, max_examples=60)


def counted(events: np.ndarray, edges: list[int], width: int, height: int) -> np.ndarray:
    """The slow way to count: one event after the other."""
    frames = np.zeros((len(edges) - 1, 2, height, width), dtype=np.float32)
    for step in range(len(edges) - 1):
        for _, x, y, p in events[edges[step] : edges[step + 1]].tolist():
            frames[step, int(p), y, x] += 1
    return frames


# time: tonic


def tonic_frames(events: np.ndarray, spec: FrameSpec, sensor: tuple[int, int] | None) -> np.ndarray:
    """What the baseline computes: tonic's ToFrame (both polarities asked for), then torch's interpolate."""
    theirs = as_tonic(events)
    if sensor is None:
        theirs["x"] -= theirs["x"].min()
        theirs["y"] -= theirs["y"].min()
    width, height = sensor or (int(theirs["x"].max()) + 1, int(theirs["y"].max()) + 1)
    frames = ToFrame(sensor_size=(width, height, 2), n_time_bins=spec.steps)(theirs)
    return torch.nn.functional.interpolate(
        torch.from_numpy(frames).float(), size=(spec.size, spec.size), mode="bilinear", align_corners=True
    ).numpy()


@pytest.mark.data
def test_time_frames_equal_tonics_on_all_real_recordings(shared: Path) -> None:
    files = sorted((shared / "data/nmnist").rglob("*.bin"))
    assert len(files) == 500
    sensors = dict.fromkeys(files, (34, 34)) | dict.fromkeys(
        (shared / "data/recordings/ncaltech101").iterdir(), (240, 180)
    )
    sensors |= {shared / "data/sample.aedat4": (320, 240), shared / "data/recordings/other/davis346.aedat4": (346, 260)}
    assert len(sensors) == 505
    for number, (file, size) in enumerate(sensors.items()):
        events = read_events(file, size)
        spec = [FrameSpec(10, 28), FrameSpec(4, 48), FrameSpec(7, 34)][number % 3]
        for sensor in (size, None):
            assert np.array_equal(to_frames(events, spec, sensor), tonic_frames(events, spec, sensor)), file  # bitwise


@any_events
@given(recordings(30, 20, 400), st.integers(1, 12), st.integers(2, 9), st.booleans())
def test_time_frames_equal_tonics_on_any_events(events: np.ndarray, steps: int, size: int, whole: bool) -> None:
    sensor, spec = (31, 21) if whole else None, FrameSpec(steps, size)
    assert np.array_equal(to_frames(events, spec, sensor), tonic_frames(events, spec, sensor))


def test_time_frames_equal_tonics_on_a_large_recording() -> None:
    for size in (48, 128, 180):
        events, spec = random_events(100_000, 240, 180, 300_000), FrameSpec(10, size)
        assert np.array_equal(to_frames(events, spec, (240, 180)), tonic_frames(events, spec, (240, 180)))


def test_a_channel_is_a_polarity_and_a_row_is_y() -> None:
    events = np.array([(0, 3, 1, False), (50, 0, 2, True), (100, 0, 0, False)], dtype=EVENT_DTYPE)
    frames = to_frames(events, FrameSpec(2, 4), (4, 4))
    assert frames[0, 0, 1, 3] == 1
    assert frames[1, 1, 2, 0] == 1
    assert frames.sum() == 2  # the last instant belongs to no bin


# number: SpikingJelly's integration, and the resize of NDA and HSD


def slices(count: int, steps: int, remainder: bool) -> list[int]:
    """Where slices of `count // steps` events begin, and where the last one ends."""
    edges = [step * (count // steps) for step in range(steps + 1)]
    return [*edges[:-1], count] if remainder else edges


@any_events
@given(recordings(30, 20, 400), st.integers(1, 12), st.integers(1, 40))
def test_number_frames_are_spikingjellys(events: np.ndarray, steps: int, size: int) -> None:
    counts = counted(events, slices(len(events), steps, remainder=True), 31, 21)
    assert counts.sum() == len(events)
    expected = Resize((size, size), InterpolationMode.NEAREST)(torch.from_numpy(counts)).numpy()
    np.testing.assert_array_equal(to_frames(events, FrameSpec(steps, size, "number"), (31, 21)), expected)


# presence: TET's preprocessing and loader


def tet_frames(events: np.ndarray, steps: int, size: int, width: int, height: int) -> np.ndarray:
    """Binary maps, and torchvision's way over an image of PIL, which for two channels is one of grey and opacity."""
    maps = np.minimum(counted(events, slices(len(events), steps, remainder=False), width, height), 1)
    images = (Resize((size, size))(ToPILImage()(frame)) for frame in torch.from_numpy(maps))
    return torch.stack([ToTensor()(image) for image in images]).numpy()


@any_events
@given(recordings(30, 20, 400), st.integers(1, 12), st.integers(1, 40))
def test_presence_frames_are_tets_on_any_events(events: np.ndarray, steps: int, size: int) -> None:
    frames = to_frames(events, FrameSpec(steps, size, "presence"), (31, 21))
    np.testing.assert_array_equal(frames, tet_frames(events, steps, size, 31, 21))


# frequency and event: BrainCog's N-Omniglot


@pytest.fixture(scope="session")
def braincog() -> ModuleType:
    """The module of BrainCog's function alone: the whole package takes seconds to import."""
    pytest.importorskip("dv")
    folder = next(path for path in map(Path, sys.path) if (path / "braincog/datasets/NOmniglot/utils.py").is_file())
    spec = importlib.util.spec_from_file_location("nomniglot_utils", folder / "braincog/datasets/NOmniglot/utils.py")
    assert spec is not None
    assert spec.loader is not None
    if not hasattr(np, "bool"):  # numpy 1.24 to 1.26
        np.bool = bool
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def braincog_frames(braincog: ModuleType, events: np.ndarray, steps: int, kind: str = "frequency") -> torch.Tensor:
    """As its data set does it: whole sensor, half precision or truth values, then float32."""
    columns = {name: events[name].astype(np.int64) for name in "txyp"}
    width, height = SENSOR
    return torch.tensor(braincog.integrate_events_to_frames(columns, height, width, steps, kind)).float()


brain_kinds = pytest.mark.parametrize("kind", ["frequency", "event"])


@brain_kinds
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("count", "duration"), [(30_000, 6_000_000), (4_000, 200_000), (50, 900_000), (20_000, 200)])
def test_frames_of_nomniglot_are_braincogs(
    braincog: ModuleType, kind: str, antialias: bool, count: int, duration: int
) -> None:
    events = random_events(count, *SENSOR, duration)
    for name in "xy":
        events[name][::2] = 100 + events[name][::2] % 3  # busy pixels
    events["t"] += 1_634_027_000_000_000  # the true files count from 1970
    left, top, width, height = CROP
    truth = braincog_frames(braincog, events, 12, kind)[:, :, top : top + height, left : left + width]
    frames = to_frames(events, FrameSpec(12, 28, kind, antialias), SENSOR, CROP)
    np.testing.assert_array_equal(frames, Resize((28, 28), antialias=antialias)(truth).numpy())
    assert not np.allclose(frames, Resize((28, 28), antialias=not antialias)(truth).numpy(), atol=1e-3)
    np.testing.assert_array_equal(to_frames(events, FrameSpec(12, 250, kind), SENSOR, CROP), truth.numpy())


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("busiest", [2049, 4099, 40_001])
def test_frequency_rounds_as_braincog_does(braincog: ModuleType, busiest: int) -> None:
    """Beyond 2048, half precision knows not every count: the first frame is divided before it is rounded."""
    events = random_events(3 * busiest + 999, 300, 200, 600_000)
    for step in range(3):
        here = np.flatnonzero(events["t"] // 200_000 == step)[:busiest]
        events["x"][here], events["y"][here], events["p"][here] = 60 + step, 70, step % 2
    truth = braincog_frames(braincog, events, 3)[..., 60:110, 50:100].numpy()
    np.testing.assert_array_equal(to_frames(events, FrameSpec(3, 50, "frequency"), SENSOR, (50, 60, 50, 50)), truth)


@brain_kinds
@any_events
@given(events=recordings(30, 20, 3000, least=2), steps=st.integers(1, 12), data=st.data())
def test_slices_of_nomniglot_are_braincogs(
    braincog: ModuleType, kind: str, events: np.ndarray, steps: int, data: st.DataObject
) -> None:
    events["t"][0] = 0
    events["t"][-1] = max(events["t"][-1], steps + 1)  # it refuses shorter recordings
    if data.draw(st.booleans(), label="gap"):  # nothing in the last slice but the remainder, which then is lost
        events["t"][1:-1] //= 2
    truth = braincog_frames(braincog, events, steps, kind)[..., :40, :40].numpy()
    made = to_frames(events, FrameSpec(steps, 40, kind), SENSOR, (0, 0, 40, 40))
    np.testing.assert_array_equal(made, truth)


def test_a_lonely_event_in_long_slices_stays_below_one() -> None:
    events = np.array([(0, 0, 0, True), (1, 1, 1, True), (4_000_000, 1, 1, True)], dtype=EVENT_DTYPE)
    frames = to_frames(events, FrameSpec(4, 2, "frequency"), (2, 2))
    assert frames[0, 1].max() == pytest.approx(0.1, abs=0.003)  # 1e-6 events a microsecond, over 1e-5


def test_no_count_is_too_large_for_frequencies() -> None:
    """Half precision ends at 65,504; BrainCog's frames are not numbers then."""
    events = np.zeros(200_000, dtype=EVENT_DTYPE)
    events["t"] = np.arange(200_000)
    events["x"][::5] = 1
    frames = to_frames(events, FrameSpec(2, 2, "frequency"), (2, 1))
    assert np.isfinite(frames).all()
    assert frames.max() == 1


# all kinds


@kinds
def test_all_kinds_have_one_form(spec: FrameSpec) -> None:
    events = random_events(400, 31, 21, 1000)
    frames = to_frames(events, spec, (31, 21))
    assert frames.dtype == np.float32
    assert frames.shape == (3, 2, 5, 5)
    assert frames.flags.c_contiguous
    assert frames[:, 0].any()
    assert frames[:, 1].any()


@kinds
def test_without_a_sensor_the_recordings_own_extent_counts(spec: FrameSpec) -> None:
    events = random_events(400, 31, 21, 1000)
    moved = deepcopy(events)
    moved["x"] += 7
    moved["y"] += 100
    np.testing.assert_array_equal(to_frames(moved, spec), to_frames(events, spec, (31, 21)))


@kinds
def test_a_crop_is_cut_before_the_resize(spec: FrameSpec) -> None:
    """The frames of the crop at its own size, from the frames of the whole sensor at its own size."""
    events = random_events(2000, 30, 30, 1000)
    whole = to_frames(events, FrameSpec(3, 30, spec.kind), (30, 30))
    shown = to_frames(events, FrameSpec(3, 10, spec.kind), (30, 30), (4, 15, 10, 10))
    np.testing.assert_array_equal(shown, whole[:, :, 15:25, 4:14])


@kinds
def test_too_few_events_or_too_short_a_time_give_no_false_numbers(spec: FrameSpec) -> None:
    events = np.array([(5, 1, 1, True), (5, 2, 2, True)], dtype=EVENT_DTYPE)
    frames = to_frames(events, spec, (5, 5))
    assert np.isfinite(frames).all()
    assert frames.sum() == (2 if spec.kind == "number" else 0)  # the last of its slices takes the remainder


@kinds
def test_events_are_left_as_they_are(spec: FrameSpec) -> None:
    """Data sets keep what several recordings share, and hand out parts of it that nobody may write."""
    shared = random_events(900, 31, 21, 1000)
    shared.setflags(write=False)
    copy = shared.copy()
    np.testing.assert_array_equal(to_frames(shared[300:700], spec, (31, 21)), to_frames(copy[300:700], spec, (31, 21)))
    np.testing.assert_array_equal(shared, copy)


@kinds
def test_events_beyond_the_given_sensor_are_refused(spec: FrameSpec) -> None:
    for x, y in ((10, 3), (3, 20), (-1, 3), (3, -1)):
        events = np.array([(0, 1, 1, True), (9, x, y, False)], dtype=EVENT_DTYPE)
        with pytest.raises(DataError, match="beyond the 10x20"):
            to_frames(events, spec, (10, 20))


def test_one_corrupt_coordinate_does_not_take_all_memory() -> None:
    events = np.array([(0, 0, 0, True), (9, 32_767, 32_767, False)], dtype=EVENT_DTYPE)
    with pytest.raises(DataError, match="32768x32768 pixels"):
        to_frames(events, FrameSpec(2, 4))


def test_antialiasing_is_refused_where_the_resize_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FRAMES, "mine", lambda view, steps, size: iter(()))
    spec = FrameSpec(2, 4, "mine", antialias=True)
    for refuse in (check_spec, lambda spec: to_frames(random_events(9, 4, 4, 50), spec)):
        with pytest.raises(RecipeError, match=r"'mine'.*antialias.*e2vid, event, frequency, number, presence, time"):
            refuse(spec)


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    for spec in (FrameSpec(2, 4, "numbers"), FrameSpec(2, 4, "numbers", antialias=True)):
        with pytest.raises(RecipeError, match="did you mean 'number'"):
            check_spec(spec)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_frames_may_be_wider_than_high(kind: str, antialias: bool) -> None:
    events = random_events(3000, 34, 34, 1000)
    turned = events.copy()
    turned["x"], turned["y"] = events["y"], events["x"]
    spec, other = FrameSpec(3, (12, 20), kind, antialias), FrameSpec(3, (20, 12), kind, antialias)
    wide, high = to_frames(events, spec, (34, 34)), to_frames(turned, other, (34, 34))
    assert wide.shape == (3, 2, 12, 20)
    if kind == "presence":  # PIL resizes rows first and rounds, and divides grey by opacity
        wide, high = wide[:, 1:], high[:, 1:]
    np.testing.assert_allclose(wide, high.swapaxes(2, 3), atol=2.1 / 255)
    whole = to_frames(events, FrameSpec(3, (34, 34), kind), (34, 34))
    assert FrameSpec(3, [34, 34], kind) == FrameSpec(3, 34, kind)
    assert whole.shape == (3, 2, 34, 34)


@pytest.mark.parametrize("size", [0, [48], [0, 3], (1, 2, 3), [2.5, 3], "48", 4.5, True, None])
def test_a_size_is_a_side_or_height_and_width(size: object) -> None:
    with pytest.raises(RecipeError, match=r"1 or more, or height and width, as \[180, 240\]"):
        FrameSpec(2, size)  # type: ignore[arg-type]
