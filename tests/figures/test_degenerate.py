"""Pictures of what hardly can be drawn: silent and broken networks, constant curves, names that are too long."""

import copy
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.figures import activity, confusion, epochs, features, gradcam, landscape, timesteps
from braincog_tmkt.figures.base import FIGURES, brief, entitle, widen
from braincog_tmkt.figures.features import Points, measure, place_points
from tests.figures import rows_of
from tests.made_records import hsd, tet

LONG = (*(f"a class with a name that goes on and on_{number} $x" for number in range(8)), "名前のクラス", "$_{")


def changed(run, value=None, classes=None, **record):
    """A run with all weights the same, other names, or something else in its record."""
    method = copy.deepcopy(run.method)
    if value is not None:
        with torch.no_grad():
            for weight in method.parameters():
                weight.fill_(value)
    task = run.task
    if classes:
        task = replace(task, pairs=copy.copy(task.pairs))
        task.pairs.classes = classes
    return replace(run, method=method, task=task, record=run.record | record)


def overlaps(figure):
    """Pairs of texts of a figure that cover one another."""
    FigureCanvasAgg(figure).draw()
    texts = [text for axes in figure.axes for text in (axes.title, axes.xaxis.label, *axes.texts) if text.get_text()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    return [(one, other) for (one, a), (other, b) in combinations(boxes, 2) if a.shrunk(0.98, 0.9).overlaps(b)]


@pytest.mark.parametrize(
    ("vectors", "flaw"),
    [
        (np.zeros((40, 5)), "all 40 features\nare the same"),
        (np.full((40, 5), 0.1) + 1e-9 * np.arange(40)[:, None], "all 40 features\nare the same"),
        (np.where(np.eye(40, 5), np.nan, np.arange(200).reshape(40, 5)), "the features are not finite"),
    ],
)
def test_features_that_tell_nothing_have_no_map(vectors, flaw):
    points = Points(vectors, np.arange(40) % 2, np.ones(20, bool))
    assert points.flaw == flaw
    assert np.isnan(place_points(points, 5)).all()
    assert set(measure(points).values()) == {None}


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("shape", [(40, 6), (40, 1)])
def test_features_of_any_size_have_one(scale, shape):
    vectors = scale * np.random.default_rng(0).normal(size=shape)
    points = Points(vectors, np.arange(40) % 2, np.ones(20, bool))
    places = place_points(points, 5)
    assert np.isfinite(places).all()
    assert np.ptp(places, axis=0).max() > 0


def test_events_that_are_all_the_same_have_no_silhouette_of_their_own():
    vectors = np.concatenate([np.full((20, 3), 0.1), np.random.default_rng(0).normal(size=(20, 3))])
    found = measure(Points(vectors, np.arange(40) % 2, np.ones(20, bool)))
    assert (found["silhouette_events"], found["cka"]) == (None, None)
    assert found["silhouette"] is not None


@pytest.fixture
def titles(monkeypatch):
    """What figures are entitled, in turn."""
    found, kept = [], Figure.suptitle
    monkeypatch.setattr(Figure, "suptitle", lambda self, words, **how: found.append(words) or kept(self, words, **how))
    return found


def test_a_silent_network_is_drawn_and_said_to_be_silent(loaded, tmp_path, titles):
    rates = {"first": 0.1, "last": 0.0}
    silent = changed(loaded[0], 0.0, firing_rates=rates, last=loaded[0].record["last"] | {"one_class": "0"})
    for draw, settings in (
        (features.features, {"recordings": 40, "perplexity": 5}),
        (activity.activity, {"recordings": 20}),
        (confusion.confusion, {}),
        (gradcam.gradcam, {"classes": 2}),
    ):
        picture, table = draw([silent], tmp_path, **settings)
        assert np.asarray(Image.open(picture).convert("L")).std() > 1
        assert "nan" not in table.read_text().lower()
        words = " ".join(titles.pop().split())
        assert "! digits/baseline seed 42: the last spiking nodes ('last') never fire" in words
        assert "the network says '0' to every test recording" in words
    rows = rows_of(tmp_path / "features.csv")
    assert {(row["x"], row["cka"], row["silhouette"]) for row in rows} == {("", "", "")}
    picture, *_ = landscape.landscape([silent], tmp_path, samples=20, grid=3)
    assert np.asarray(Image.open(picture).convert("L")).std() > 1


@pytest.mark.parametrize("name", ["activity", "confusion", "features", "gradcam", "landscape"])
def test_weights_that_are_not_finite_are_refused(loaded, tmp_path, name):
    with pytest.raises(RecipeError, match=r"digits/tmkt seed 42 has weights that are not finite"):
        FIGURES[name]([loaded[0], changed(loaded[1], float("nan"))], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_of_any_length_do_not_cover_one_another(loaded, tmp_path, monkeypatch, capsys):
    drawn = []
    kept = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **how: drawn.append(self) or kept(self, *a, **how))
    runs = [changed(run, classes=LONG) for run in loaded]
    gradcam.gradcam(runs, tmp_path)
    confusion.confusion(runs, tmp_path)
    features.features(runs, tmp_path, recordings=60)
    for figure in drawn[:2]:
        assert overlaps(figure) == []
    labels = [text for axes in drawn[2].axes for text in axes.texts]
    assert len(labels) == 20
    width, height = drawn[2].get_size_inches() * drawn[2].dpi
    for box in (text.get_window_extent() for text in labels):
        assert box.x0 > -20
        assert box.x1 < width + 20
        assert 0 < box.y0 < box.y1 < height


def test_fewer_classes_than_usual_are_all_shown(loaded, tmp_path):
    run = changed(loaded[0])
    task = replace(run.task, pairs=copy.copy(run.task.pairs))
    rows = task.pairs.rows("test")
    task.pairs.rows = lambda part: rows[task.pairs.labels[rows] < 2]
    _, table = gradcam.gradcam([replace(run, task=task)], tmp_path)
    assert {row["class"] for row in rows_of(table)} == {"0", "1"}
    picture, table = features.features([replace(run, task=task)], tmp_path, recordings=10)
    assert picture.is_file()


def ranges(figure):
    return [top - bottom for bottom, top in (axes.get_ylim() for axes in figure.axes)]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_curve_that_hardly_changes_looks_flat(share):
    record = tet(4, 1, [share, min(1, share + 1e-4), share, share])
    figure = timesteps._draw({"data": timesteps.lines_of([record], "last")}, "last")
    bottom, top = figure.axes[0].get_ylim()
    assert top - bottom >= 5
    assert -1 < bottom < 100 * share < top < 101
    groups = epochs.group_seeds([hsd(2, 1, [0.8] * 3, [share] * 2, [share] * 2)])
    found = {group: {row: epochs.curve_over_seeds(group, row) for row in epochs.MEASURED} for group in groups}
    assert ranges(epochs._draw(found, "data", None))[0] >= 5


def test_one_time_step_has_its_own_tick():
    figure = timesteps._draw({"data": timesteps.lines_of([tet(1, 1, [0.5])], "last")}, "last")
    FigureCanvasAgg(figure).draw()
    low, high = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high] == [1]


def test_records_with_warnings_say_so(tmp_path, titles):
    records = [tet(4, seed, [0.1] * 4) | {"firing_rates": {"a": 0.5, "b": 0.0}} for seed in range(1, 8)]
    timesteps.timesteps(records, tmp_path)
    assert "! TET, seeds 1, 2, 3, 4, 5, 6, 7: the last spiking nodes ('b') never fire" in " ".join(titles[0].split())


@pytest.mark.parametrize(
    ("limits", "least", "bounds", "expected"),
    [
        ((50, 50.1), 5, (0, 100), (47.55, 52.55)),
        ((-0.05, 0.05), 5, (0, 100), (-0.25, 5)),
        ((94.5, 105.5), 5, (0, 100), (94.5, 100.25)),
        ((20, 80), 5, (0, 100), (20, 80)),
        ((1.0, 1.0001), 0.1, (None, None), (0.95005, 1.05005)),
    ],
)
def test_the_least_range_stays_where_values_can_be(limits, least, bounds, expected):
    axes = Figure().subplots()
    axes.set_ylim(*limits)
    widen(axes, least, *bounds)
    assert axes.get_ylim() == pytest.approx(expected)


def test_titles_are_not_wider_than_their_picture():
    figure = Figure(figsize=(4, 3))
    entitle(figure, "word " * 40, ["! the network tells nothing apart " * 6], 11)
    FigureCanvasAgg(figure).draw()
    assert figure._suptitle.get_window_extent().width <= 400
    assert brief("x" * 30, 10) == "xxxxx…xxxx"
