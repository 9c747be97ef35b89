"""A pen before the simulated camera: drawings with known times and lengths, and Omniglot's own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from braincog_tmkt.data.simulate.camera import Camera, CameraParams
from braincog_tmkt.data.simulate.strokes import (
    INK_LIGHT,
    INK_RADIUS,
    TIP_RADIUS,
    PenTrace,
    Screen,
    ink_of_image,
    read_strokes,
)
from braincog_tmkt.errors import DataError

IDEAL = CameraParams(mismatch=0, noise_on_hz=0, refractory_us=1)
SIDE = 105
"""Here a unit of the canvas is a pixel."""


def written(path: Path, *strokes: list[tuple[float, float, float]]) -> Path:
    lines = [line for stroke in strokes for line in ("START", *(f"{x},{y},{t}" for x, y, t in stroke), "BREAK")]
    path.write_text("\n".join(lines) + "\n")
    return path


def filmed(*drawings: PenTrace, params: CameraParams = IDEAL) -> tuple[np.ndarray, list[float]]:
    """Events of drawings one after the other, the screen wiped after each; when each ends and when it is wiped."""
    camera = Camera(np.full(SIDE * SIDE, np.log1p(np.float32(params.floor)), np.float32), SIDE, params)
    screen = Screen(camera, SIDE, params.floor, 0, 0, SIDE)
    times = [0.0]
    for ink in drawings:
        times.append(screen.draw(ink, times[-1]))
        times.append(screen.wipe(times[-1]))
    return camera.events(times[-1], 0), times


def test_a_drawing_is_read_with_its_times_and_upside_up(tmp_path):
    ink = read_strokes(written(tmp_path / "a.txt", [(10, -20, 0), (30, -20, 1000), (30, -60, 3000)]))
    assert (np.diff(ink.t) >= 0).all()
    assert (ink.x[0], ink.y[0], ink.t[0]) == (10.5, 20.5, 0)  # the middle of pixel 10, 20
    assert (ink.x[-1], ink.y[-1]) == (30.5, 60.5)
    assert np.hypot(np.diff(ink.x), np.diff(ink.y)).max() <= 0.4 + 1e-9


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((0, 100, 200, 300), (0, 100, 200, 300)),
        ((0, 100, 300_000, 300_100), (0, 100, 350, 450)),  # a pause of minutes counts as a quarter of a second
        ((500, 700, 690, 800), (0, 200, 200, 310)),  # some official files go back by some milliseconds
    ],
)
def test_pauses_are_cut_and_the_rest_keeps_its_pace(tmp_path, times, expected):
    points = [(10.0 * k, -5.0, t) for k, t in enumerate(times)]
    ink = read_strokes(written(tmp_path / "a.txt", points[:2], points[2:]))
    place = [int(np.abs(ink.x - 0.5 - 10 * k).argmin()) for k in range(4)]
    assert ink.t[-1] == pytest.approx(2e6)  # the shortest drawing
    np.testing.assert_allclose(ink.t[place] / ink.t[-1], np.array(expected) / expected[-1])


@pytest.mark.parametrize(("last", "expected"), [(200, 2.0), (2500, 2.5), (30_000, 8.0)])
def test_drawings_last_two_to_eight_seconds(tmp_path, last, expected):
    points = [(k, -50, last * k / 99) for k in range(100)]
    ink = read_strokes(written(tmp_path / "a.txt", points))
    assert ink.t[-1] == pytest.approx(expected * 1e6)


def test_between_strokes_there_is_no_ink(tmp_path):
    ink = read_strokes(written(tmp_path / "a.txt", [(10, -10, 0), (20, -10, 500)], [(60, -10, 900), (70, -10, 1400)]))
    assert not ((ink.x > 20.6) & (ink.x < 60.4)).any()
    assert {10.5, 20.5, 60.5, 70.5} <= set(ink.x)


@pytest.mark.parametrize(
    "text", ["", "START\nBREAK\n", "1,2\n", "1,2,x\n", "1,2,3,4\n", "nan,1,2\n", "\xff\xfe", "1,2,inf\n"]
)
def test_what_is_no_drawing_is_named(tmp_path, text):
    path = tmp_path / "0001_01.txt"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(DataError, match=r"0001_01\.txt"):
        read_strokes(path)
    with pytest.raises(DataError, match="nowhere"):
        read_strokes(tmp_path / "nowhere")


def test_one_dot_is_a_drawing(tmp_path):
    ink = read_strokes(written(tmp_path / "a.txt", [(50, -50, 7)]))
    assert (ink.x.tolist(), ink.y.tolist(), ink.t.tolist()) == ([50.5], [50.5], [0])
    events, _ = filmed(ink)
    assert np.abs(events["x"] - 50).max() <= TIP_RADIUS + 1


def test_an_image_is_drawn_from_the_top_left_end_line_after_line():
    image = np.full((20, 20), 255, np.uint8)
    image[3, 2:9] = 0  # a line to the right ...
    image[15, 4:8] = 0  # ... and one below
    ink = ink_of_image(image)
    assert len(ink.t) == 7 + 4
    np.testing.assert_allclose(ink.x[:7], (np.arange(2, 9) + 0.5) * 105 / 20)
    np.testing.assert_allclose(ink.y, [3.5 * 105 / 20] * 7 + [15.5 * 105 / 20] * 4)
    np.testing.assert_allclose(np.diff(ink.t), ink.t[-1] / 10)
    assert ink_of_image(np.full((5, 5), 255, np.uint8)).t.size == 0


def test_a_branch_grows_at_both_ends_at_once():
    image = np.full((9, 9), 255, np.uint8)
    image[1, 1:8] = image[1:8, 1] = 0
    ink = ink_of_image(image)
    ends = [ink.t[(ink.x > 80) & (ink.y < 30)].max(), ink.t[(ink.y > 80) & (ink.x < 30)].max()]
    assert ends[0] == ends[1] == ink.t[-1]


def line(duration_us: float = 1e6) -> PenTrace:
    """A pen that goes right at a steady pace, 60 pixels a second."""
    way = np.linspace(0, 1, 201)
    return PenTrace(20.5 + 60 * way, np.full(201, 50.5), duration_us * way)


def test_ink_sends_as_many_events_as_its_contrast_says_and_wiping_takes_them_back():
    events, (_, drawn, _) = filmed(line())
    middle = events[(events["y"] == 50) & (events["x"] > 30) & (events["x"] < 70)]
    darker = int(np.log((1 + IDEAL.floor) / (INK_LIGHT + IDEAL.floor)) / IDEAL.threshold_off)
    brighter = int(darker * IDEAL.threshold_off / IDEAL.threshold_on)  # from the light of the last OFF event to white
    off, on = middle[~middle["p"]], middle[middle["p"]]
    assert set(np.bincount(off["x"], minlength=105)[31:70]) == {darker}
    assert set(np.bincount(on["x"], minlength=105)[31:70]) == {brighter}
    assert off["t"].max() <= drawn
    assert on["t"].min() >= drawn


def test_events_follow_the_pen():
    events, (_, drawn, _) = filmed(line())
    drawing = events[(events["t"] < drawn) & ~events["p"]]
    pen = 20 + 60 * drawing["t"] / 1e6
    ahead = drawing["x"] - pen
    assert np.abs(drawing["y"] - 50).max() <= TIP_RADIUS + 1
    # A picture of the screen shows what the pen did in the frame before, and fades in within a frame: a pixel each.
    assert ahead.max() <= TIP_RADIUS + 2
    assert ahead.min() >= -TIP_RADIUS - 2


def test_the_tip_leaves_a_thinner_line_behind():
    """What the tip covers beside the line gets dark, and bright again when it has moved on: both polarities."""
    events, (_, drawn, _) = filmed(line())
    drawing = events[(events["t"] < drawn) & (events["x"] > 30) & (events["x"] < 70)]
    inside = np.abs(drawing["y"] - 50) < INK_RADIUS - 0.5
    beside = (np.abs(drawing["y"] - 50) >= INK_RADIUS + 0.5) & (np.abs(drawing["y"] - 50) <= TIP_RADIUS - 0.5)
    assert not drawing["p"][inside].any()
    assert drawing["p"][beside].mean() == pytest.approx(2 / 5, abs=0.02)  # 3 OFF, then 2 ON


def test_a_wiped_screen_is_white_again():
    events, times = filmed(line(), line(), line())
    counts = np.histogram(events["t"], bins=times)[0]
    assert counts[1] == pytest.approx(counts[3], rel=0.01)
    assert counts[2] == pytest.approx(counts[4], rel=0.01)  # the first finds pixels that have not seen ink before
    assert counts[0] > counts[2] > 1000


def test_a_wiped_line_does_not_come_back():
    dot = PenTrace(np.array([50.5]), np.array([46.5]), np.zeros(1))
    events, times = filmed(line(), dot)
    after = events[(events["t"] > times[2]) & (events["t"] < times[3])]
    assert after.size > 50
    assert np.hypot(after["x"] - 50, after["y"] - 46.0).max() <= TIP_RADIUS + 1


def test_a_pen_that_jumps_leaves_its_place():
    """The tip at the old place is taken away at once, not when the drawing ends."""
    jump = PenTrace(np.array([20.5, 80.5, 80.5]), np.full(3, 50.5), np.array([0, 1e6, 2e6]))
    events, _ = filmed(jump)
    left = events[(events["x"] < 50) & events["p"] & (events["t"] < 1_900_000)]
    assert left.size > 20
    assert left["t"].min() >= 1_000_000 - 17_000
    assert left["t"].max() < 1_100_000


def test_a_pen_that_rests_is_still_there_and_sends_nothing():
    ink = line()
    paused = PenTrace(ink.x, ink.y, np.where(ink.t > 5e5, ink.t + 1e6, ink.t))
    events, _ = filmed(paused)
    assert not ((events["t"] > 560_000) & (events["t"] < 1_480_000)).any()
    assert len(events) == pytest.approx(len(filmed(ink)[0]), rel=0.02)


def test_the_edge_of_the_screen_cuts_the_pen():
    edge = np.linspace(0, 105, 50)
    for ink in (PenTrace(edge, np.zeros(50), edge * 1e4), PenTrace(np.full(50, 105.0), edge, edge * 1e4)):
        events, _ = filmed(ink)
        assert events.size > 100
        assert {0, 104} & set(events["x"])


@pytest.mark.data
def test_omniglots_strokes_cover_omniglots_images(shared):
    """Nearly all ink lies on a line of the image, and nearly all of a line gets ink."""
    inside, hit = [], []
    for path in sorted((shared / "data/omniglot/strokes_background_small1").rglob("*_07.txt"))[::9]:
        picture = shared / "data/omniglot/images_background_small1" / path.relative_to(path.parents[2])
        dark = np.asarray(Image.open(picture.with_suffix(".png")).convert("L")) < 128
        params = replace(IDEAL, floor=0.3)
        events, times = filmed(read_strokes(path), params=params)
        wiped = events[events["t"] > times[1]]  # every pixel with ink sends ON events
        drawn = np.zeros((SIDE, SIDE), bool)
        drawn[wiped["y"], wiped["x"]] = True
        inside.append(binary_dilation(dark)[drawn].mean())
        hit.append(binary_dilation(drawn)[dark].mean())
    assert len(hit) > 10
    assert np.mean(inside) > 0.98
    assert np.mean(hit) > 0.95
