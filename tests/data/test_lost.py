"""Events that frames do not show: what is left out, what is said about it, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from braincog_tmkt.data.frames import FRAMES, RESIZES, to_frames
from braincog_tmkt.data.lost import LATE_SAID, _looked_at, check_seen, check_slices, without_strays
from braincog_tmkt.data.notes import Remark, listening
from braincog_tmkt.data.readers import read_events
from braincog_tmkt.data.types import FrameSpec
from braincog_tmkt.errors import DataError

from .corpus import random_events


def said(look: Callable[[], object]) -> list[Remark]:
    with listening() as heard:
        look()
    return heard


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("place", [97, 600, 3000])
def test_one_stray_event_is_left_out_and_said(axis: str, place: int) -> None:
    events = random_events(300, 32, 32)
    changed = events.copy()
    changed[axis][40] = place
    (remark,) = said(lambda: np.testing.assert_array_equal(without_strays(changed), np.delete(events, 40)))
    assert "stray events" in remark.what
    assert "1 of 300 events" in remark.here
    assert f"{axis} = {place}" in remark.here
    moved = changed.copy()
    moved[axis] = place - changed[axis]  # the stray one is the least now
    np.testing.assert_array_equal(without_strays(moved), np.delete(moved, 40))


def test_a_gap_of_twice_the_range_is_none_yet() -> None:
    """Columns 0 to 31 and one event behind a gap of 64 columns, or of 65."""
    events = random_events(300, 32, 32)
    assert (events["x"].min(), events["x"].max()) == (0, 31)
    for place, kept in ((96, 300), (97, 299)):
        events["x"][40] = place
        assert len(without_strays(events)) == kept


def test_at_most_one_event_in_a_thousand_is_stray_and_more_are_said() -> None:
    for count, most in ((99, 0), (300, 1), (1999, 1), (5000, 5)):
        for strays in (most, most + 1):
            events = random_events(count, 32, 32)
            events["x"][np.arange(strays) * 7] = 3000
            heard = said(lambda events=events: without_strays(events))
            assert len(without_strays(events)) == count - (strays if strays == most else 0)
            if count >= 100:
                assert ("stretch" in heard[0].what) == (strays > most)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 3000),
    sides=st.tuples(st.integers(1, 400), st.integers(1, 300)),
    noise=st.sampled_from([0.0, 0.002, 0.05, 1.0]),
)
def test_events_near_the_border_of_a_recording_are_never_left_out(seed, count, sides, noise) -> None:
    """An object somewhere on a sensor, with noise all over it as far as there is enough of it to leave no wide gap."""
    rng = np.random.default_rng(seed)
    events = random_events(count, *sides, seed=seed)
    width, height = max(1, sides[0] // 3), max(1, sides[1] // 3)
    left, top = rng.integers(0, sides[0] - width + 1), rng.integers(0, sides[1] - height + 1)
    inside = rng.random(count) >= noise
    events["x"][inside] = left + events["x"][inside] % width
    events["y"][inside] = top + events["y"][inside] % height
    assert without_strays(events) is events


def numbered(pictures: int, count: int = 300) -> np.ndarray:
    """Times that are numbers of pictures."""
    events = random_events(count, 32, 24)
    events["t"] = np.arange(count) * pictures // count
    return events


@pytest.mark.parametrize("kind", ["time", "frequency", "event"])
def test_coarse_times_are_refused_with_the_share_the_duration_and_what_to_do(kind: str) -> None:
    events = numbered(20)
    with pytest.raises(
        DataError, match=r"made\.npz .*149 of 300 events, 50%.*19 micros.*10 slices of 1 end at 10"
    ) as e:
        check_slices(events, FrameSpec(10, 8, kind), "made.npz")
    assert all(word in str(e.value) for word in ("data.steps", "microseconds", "data.frames=number"))
    if kind == "time":
        assert to_frames(events, FrameSpec(10, 30), (32, 24)).any()  # frames of one half would be made in silence
    for other in ("number", "presence"):
        assert not said(lambda other=other: check_slices(events, FrameSpec(10, 8, other), "made.npz"))


@pytest.mark.parametrize(
    ("pictures", "steps", "fate"), [(2000, 10, None), (100, 33, None), (105, 10, "said"), (1, 3, None)]
)
def test_a_small_share_is_said_and_next_to_nothing_is_not(pictures: int, steps: int, fate: str | None) -> None:
    heard = said(lambda: check_slices(numbered(pictures, 6000), FrameSpec(steps, 8), "made.npz"))
    assert bool(heard) == (fate == "said")
    if heard:
        assert "no frame holds them" in heard[0].what
        assert heard[0].share > LATE_SAID


def test_the_last_event_of_a_short_recording_is_no_sign_of_coarse_times() -> None:
    for count in (2, 5, 30):
        events = random_events(count, 8, 8)
        assert not said(lambda events=events: check_slices(events, FrameSpec(2, 4), "made.npz"))


@pytest.mark.data
def test_no_real_recording_comes_near_the_refusal(shared: Path) -> None:
    files = [*(shared / "data/nmnist").rglob("*.bin"), *(shared / "data/recordings/ncaltech101").glob("*.bin")]
    files += [shared / "data/sample.aedat4", shared / "data/recordings/other/davis346.aedat4"]
    assert len(files) >= 500
    for file in files:
        events = read_events(file, None)
        for kind in ("time", "frequency", "event"):
            assert not said(lambda: check_slices(events, FrameSpec(10, 48, kind), file)), file  # noqa: B023


@pytest.mark.parametrize("kind", ["time", "frequency", "event"])
def test_a_time_far_from_all_others_is_said_and_nothing_is_left_out(kind: str) -> None:
    """A first event at 0 where all others carry the time since 1970, or a last one of a broken clock."""
    events = random_events(5000, 32, 24)
    for place, moved in ((slice(1, None), 1_600_000_000_000_000), (slice(-3, None), 2**61)):
        changed = events.copy()
        changed["t"][place] += moved
        (remark,) = said(lambda changed=changed: check_slices(changed, FrameSpec(10, 8, kind), "made.npz"))
        assert "far in time" in remark.what
        assert remark.here.startswith("1 of 5000" if moved < 2**60 else "3 of 5000")
    assert not said(lambda: check_slices(events, FrameSpec(10, 8, kind), "made.npz"))


@pytest.mark.parametrize("kind", sorted(RESIZES))
@pytest.mark.parametrize(("pixels", "size"), [(1280, 48), (720, 48), (240, 48), (34, 48), (48, 48), (95, 48), (7, 1)])
def test_looked_at_pixels_are_those_that_change_a_frame(kind: str, pixels: int, size: int) -> None:
    rows = _looked_at(kind, pixels, size)
    nothing = RESIZES[kind](torch.zeros(1, 1, pixels, 1), (size, 1))
    for pixel in {*range(0, pixels, 13), pixels - 1, *np.flatnonzero(rows)[:20].tolist()}:
        one = torch.zeros(1, 1, pixels, 1)
        one[0, 0, pixel] = 1000
        assert rows[pixel] == (not torch.equal(RESIZES[kind](one, (size, 1)), nothing))


@pytest.mark.parametrize("kind", ["time", "number", "frequency", "event"])
def test_frames_that_see_less_than_half_say_so_and_averages_see_everything(kind: str) -> None:
    events = random_events(3000, 1280, 720)
    (remark,) = said(lambda: check_seen(events, FrameSpec(10, 48, kind), (1280, 720), None))
    seen = _looked_at(kind, 720, 48)[events["y"]] & _looked_at(kind, 1280, 48)[events["x"]]
    assert 1 - remark.share == pytest.approx(seen.mean())
    assert seen.mean() < 0.02
    assert "on 1280x720 pixels" in remark.here
    np.testing.assert_array_equal(
        to_frames(events[~seen], FrameSpec(1, 48, "number"), (1280, 720)) if kind == "number" else 0, 0
    )
    assert not said(lambda: check_seen(events, FrameSpec(10, 48, kind, antialias=True), (1280, 720), None))
    assert not said(lambda: check_seen(events, FrameSpec(10, 480, "time"), (640, 480), None))
    assert not said(lambda: check_seen(random_events(300, 34, 34), FrameSpec(10, 48, kind), (34, 34), None))


def test_own_extent_and_crop_decide_what_is_seen() -> None:
    events = random_events(3000, 300, 300)
    events["x"] += 500
    (own,) = said(lambda: check_seen(events, FrameSpec(1, 48), None, None))
    assert "on 300x300 pixels" in own.here
    assert not said(lambda: check_seen(events, FrameSpec(1, 300), None, None))
    (cut,) = said(lambda: check_seen(events, FrameSpec(1, 50), (800, 300), (500, 0, 50, 50)))
    inside = (events["x"] < 550) & (events["y"] < 50)
    assert 1 - cut.share == pytest.approx(inside.mean())


@pytest.mark.parametrize("kind", sorted(set(FRAMES) - {"presence", "e2vid"}))  # which round to steps of 1/255
def test_every_event_counts_in_frames_that_average(kind: str) -> None:
    """Without one of the events that plain frames do not see, averaged ones change."""
    events = random_events(400, 200, 100)
    spec = FrameSpec(1, 12, kind, antialias=True)
    whole = to_frames(events, spec, (200, 100))
    for number in range(0, 400, 40):
        others = np.delete(events, number)
        others = others[(others["x"] != events["x"][number]) | (others["y"] != events["y"][number])]
        assert not np.array_equal(to_frames(others, spec, (200, 100)), whole)


def test_averages_are_those_of_torch() -> None:
    events = random_events(2000, 200, 100)
    counts = torch.from_numpy(to_frames(events, FrameSpec(1, 200, "number"), (200, 200)))[..., :100, :]
    assert counts.sum() == 2000
    made = to_frames(events, FrameSpec(1, 25, "number", antialias=True), (200, 100))
    torch.testing.assert_close(torch.from_numpy(made), adaptive_avg_pool2d(counts, 25))
    made = to_frames(events[:-1], FrameSpec(1, 25, "time", antialias=True), (200, 100))
    whole = to_frames(events[:-1], FrameSpec(1, 200, "time"), (200, 200))[..., :100, :]
    theirs = interpolate(torch.from_numpy(whole), (25, 25), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(torch.from_numpy(made), theirs)
