"""The loss landscape: directions, the plane's numbers against closed formulas, kills, and what the run keeps."""

import math
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from braincog_tmkt.errors import RecipeError, TrainingError
from braincog_tmkt.figures.landscape import balanced_subset, draw, landscape
from braincog_tmkt.figures.loss_plane import RADII, Landscape, Plane, directions, measure, moving
from braincog_tmkt.inspect.reload import load_run
from tests.children import Child
from tests.figures import rows_of

SMALL = {"grid": 3, "samples": 20}
ALL = 10_000


def points_in(path):
    return [{key: float(value) for key, value in row.items()} for row in rows_of(path)]


def points_of(out):
    return sorted(out.glob("landscape_*.csv"))


def state(run):
    return {name: value.clone() for name, value in run.method.state_dict().items()}


def test_every_filter_of_a_direction_is_as_long_as_the_weights_own(loaded):
    method = loaded[1].method
    for way in directions(method, seed=3):
        assert way.keys() == {name for name, weight in method.named_parameters() if weight.dim() > 1}
        for name, direction in way.items():
            weight = method.get_parameter(name).detach().numpy()
            for filter_of_direction, filter_of_weight in zip(direction.numpy(), weight, strict=True):
                assert np.linalg.norm(filter_of_direction) == pytest.approx(np.linalg.norm(filter_of_weight), rel=1e-5)
    first, second = directions(method, seed=3)
    a, b = (torch.cat([direction.flatten() for direction in way.values()]).numpy() for way in (first, second))
    assert abs(a @ b) < 0.1 * np.linalg.norm(a) * np.linalg.norm(b)  # two directions, not one twice


def test_draws_are_those_of_the_seed_and_shared_by_runs_of_one_architecture(loaded):
    baseline, tmkt = (directions(run.method, seed=3)[0] for run in loaded)
    assert baseline.keys() < tmkt.keys()  # TMKT has heads of its own, which must not shift the draws of the others
    for name, direction in baseline.items():
        one, other = (way[name].flatten(1) for way in (baseline, tmkt))
        angles = torch.nn.functional.cosine_similarity(one, other)
        assert angles.numpy() == pytest.approx(1, abs=1e-5)
        assert not torch.equal(direction, directions(loaded[0].method, seed=4)[0][name])


def test_one_axis_parameters_and_buffers_never_move_and_all_weights_come_back(loaded):
    run = loaded[1]
    before = state(run)
    with moving(run.method, seed=0) as move:
        move(0.7, -0.4)
        moved = {name for name, value in run.method.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(before[name].dim() > 1 for name in moved)
    assert all(torch.equal(value, before[name]) for name, value in run.method.state_dict().items())


def test_the_middle_is_the_recorded_test_result_and_weights_come_back_from_an_interruption(
    loaded, tmp_path, monkeypatch
):
    from braincog_tmkt.figures import landscape as module

    real, calls = module.evaluate, []

    def once(*arguments):
        calls.append(arguments)
        if len(calls) % 2 == 0:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "evaluate", once)
    for number, run in enumerate(loaded):
        before, out = state(run), tmp_path / str(number)
        with pytest.raises(KeyboardInterrupt):
            landscape([run], out, samples=ALL, grid=3)
        assert all(torch.equal(value, before[name]) for name, value in run.method.state_dict().items())
        (middle,) = points_in(*points_of(out))
        assert (middle["alpha"], middle["beta"]) == (0, 0)
        assert middle["loss"] == pytest.approx(run.record["last"]["loss"], rel=1e-12)
        assert middle["accuracy"] == run.record["last"]["accuracy"]


def test_two_runs_make_a_picture_a_table_and_their_points(loaded, tmp_path):
    before = [state(run) for run in loaded]
    picture, table, *points = landscape(loaded, tmp_path, **SMALL)
    assert (picture.name, table.name) == ("landscape.png", "landscape.csv")
    assert picture.read_bytes().startswith(b"\x89PNG")
    rows = rows_of(table)
    assert [row["points"] for row in rows] == [path.name for path in points]
    for run, row, path in zip(loaded, rows, points, strict=True):
        measured = {(each["alpha"], each["beta"]): each["loss"] for each in points_in(path)}
        assert row["run"] == str(run)
        assert float(row["loss"]) == measured[0, 0]
        circle = [loss for place, loss in measured.items() if math.hypot(*place) == pytest.approx(0.5)]
        assert len(circle) == 16
        assert float(row["max_rise_0.5"]) == pytest.approx(max(circle) - measured[0, 0])
        assert all((x, y) in measured for x in (-1, 0, 1) for y in (-1, 0, 1))
    for run, old in zip(loaded, before, strict=True):
        assert all(torch.equal(value, old[name]) for name, value in run.method.state_dict().items())


@pytest.fixture
def cheap(monkeypatch):
    """An evaluation that looks at the weights alone."""

    def evaluate(method, pairs, rows, *rest):
        return SimpleNamespace(loss=1 + sum(float(w.detach().abs().sum()) for w in method.parameters()), accuracy=0.5)

    monkeypatch.setattr("braincog_tmkt.figures.landscape.evaluate", evaluate)


def test_finished_points_are_not_computed_again(loaded, tmp_path, cheap, monkeypatch):
    landscape(loaded[:1], tmp_path, **SMALL)
    (points,) = points_of(tmp_path)
    before = points.read_bytes()
    picture = (tmp_path / "landscape.png").read_bytes()
    monkeypatch.setattr("braincog_tmkt.figures.landscape.evaluate", None)  # any call would fail
    landscape(loaded[:1], tmp_path, **SMALL)
    assert points.read_bytes() == before
    assert (tmp_path / "landscape.png").read_bytes() == picture


def test_other_settings_or_weights_are_other_points(loaded, tmp_path, cheap):
    run = loaded[0]
    for settings in ({}, {"seed": 1}, {"reach": 0.5}, {"samples": 10}, {"grid": 5}):
        landscape([run], tmp_path, **{**SMALL, **settings})
    with torch.no_grad():
        next(run.method.parameters()).mul_(1.5)
    landscape([run], tmp_path, **SMALL)
    assert len(points_of(tmp_path)) == 6


def whole_landscape(folder, out):
    landscape([load_run(folder)], out, grid=3, samples=20)


def test_killed_in_the_middle_it_ends_with_the_same_points(finished_runs, tmp_path, monkeypatch):
    whole_landscape(finished_runs[1], tmp_path / "whole")
    (whole,) = points_of(tmp_path / "whole")
    out = tmp_path / "killed"
    process, deadline = Child(whole_landscape, finished_runs[1], out), time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if any(path.read_bytes().count(b"\n") > 10 for path in points_of(out)):
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    (points,) = points_of(out)
    left = points.read_bytes()
    assert 11 <= left.count(b"\n") < whole.read_bytes().count(b"\n")
    assert whole.read_bytes().startswith(left[: left.rfind(b"\n") + 1])
    points.write_bytes(left + b"0.5,0.25,1.")  # a line that was cut off in the middle
    from braincog_tmkt.figures import landscape as module

    real, calls = module.evaluate, []
    monkeypatch.setattr(module, "evaluate", lambda *arguments: calls.append(1) or real(*arguments))
    whole_landscape(finished_runs[1], out)
    assert points.read_bytes() == whole.read_bytes()
    assert len(calls) == whole.read_bytes().count(b"\n") - left.count(b"\n")


def bowl(place):
    x, y = place
    return 2 + 0.3 * x - 0.1 * y + 1.5 * x * x + 0.5 * y * y + 0.8 * x * y, 0.5


def test_sharpness_of_a_quadratic_is_its_formula(tmp_path):
    plane = Plane(grid=5, reach=2.0)
    found = Landscape(plane, measure(plane.places(), bowl, tmp_path / "points.csv"))
    values = found.sharpness()
    assert (values["loss"], values["accuracy"]) == (2, 0.5)
    for radius in RADII:
        r = 2 * radius
        assert values[f"mean_rise_{radius}"] == pytest.approx((1.5 + 0.5) / 2 * r * r)
        angles = np.arange(16) * np.pi / 8
        rises = 0.3 * r * np.cos(angles) - 0.1 * r * np.sin(angles)
        rises += r * r * (1.5 * np.cos(angles) ** 2 + 0.5 * np.sin(angles) ** 2 + 0.4 * np.sin(2 * angles))
        assert values[f"max_rise_{radius}"] == pytest.approx(rises.max())
    assert values["curvature"] == pytest.approx(2 + math.sqrt(1 + 0.8**2))  # of [[3, .8], [.8, 1]]
    assert values["misfit"] == pytest.approx(0, abs=1e-9)
    assert found.grid[0, -1] == bowl((2.0, -2.0))[0]  # rows along beta, columns along alpha


def test_losses_that_are_not_finite_are_kept_and_shown_as_missing(loaded, tmp_path):
    plane = Plane(grid=5, reach=1.0)
    wild = {(1.0, 1.0): math.nan, (-1.0, 1.0): math.inf}
    scores = measure(plane.places(), lambda place: (wild.get(place, bowl(place)[0]), 0.5), tmp_path / "points.csv")
    kept = {(row["alpha"], row["beta"]): row["loss"] for row in points_in(tmp_path / "points.csv")}
    assert math.isnan(kept[1.0, 1.0])
    assert kept[-1.0, 1.0] == math.inf
    again = measure(plane.places(), lambda place: pytest.fail("computed again"), tmp_path / "points.csv")
    assert str(again) == str(scores)
    figure = draw(loaded[:1], [Landscape(plane, again)], "")
    assert any("not finite (2 points)" in text.get_text() for text in figure.axes[0].texts)


@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_runs_share_one_colour_scale(loaded, factor):
    plane = Plane(grid=5, reach=1.0)
    low = {place: bowl(place) for place in plane.places()}
    high = {place: (factor * loss + 1, accuracy) for place, (loss, accuracy) in low.items()}
    figure = draw(loaded, [Landscape(plane, low), Landscape(plane, high)], "")
    first, second = (panel.collections[0] for panel in figure.axes[:2])
    assert first.get_clim() == second.get_clim()
    assert list(first.levels) == list(second.levels)
    assert first.get_clim()[0] <= Landscape(plane, low).grid.min()
    assert first.get_clim()[1] >= Landscape(plane, high).grid.max()
    steps = np.diff(first.levels)
    assert bool(steps.max() > 1.01 * steps.min()) == (factor == 100)  # a logarithmic scale has growing steps


def test_the_subset_is_fixed_and_balanced():
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 4)
    chosen = balanced_subset(labels, 30)
    assert torch.bincount(labels[chosen]).tolist() == [13, 13, 4]
    assert chosen.tolist() == sorted(set(chosen.tolist())) == balanced_subset(labels, 30).tolist()
    assert balanced_subset(labels, 1000).tolist() == list(range(84))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grid": 20}, "grid is 20: choose an odd number"),
        ({"grid": 1}, "grid is 1: choose an odd number"),
        ({"grid": "21"}, "grid is 21: choose an odd number"),
        ({"samples": 0}, "samples is 0: choose 1 test recording or more"),
        ({"reach": 0.0}, "reach is 0.0: choose a positive number"),
        ({"reach": -1}, "reach is -1: choose a positive number"),
        ({"reach": math.inf}, "reach is inf: choose a positive number"),
        ({"seed": 0.5}, "seed is 0.5: choose a whole number"),
    ],
)
def test_bad_settings_get_one_sentence(loaded, tmp_path, settings, message):
    with pytest.raises(RecipeError, match=message) as caught:
        landscape(loaded, tmp_path, **settings)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_file_of_other_points_is_an_error(tmp_path):
    file = tmp_path / "points.csv"
    places = Plane(grid=3, reach=1.0).places()
    measure(places[1:4], bowl, file)
    for content in (file.read_bytes(), b"alpha,beta,loss,accuracy\nx,y,z\n", b"something else\n"):
        file.write_bytes(content)
        with pytest.raises(TrainingError, match=r"points\.csv does not hold the points it should: move it away"):
            measure(places, bowl, file)
        assert file.read_bytes() == content
