from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from braincog_tmkt.data.sets.digits import Digits
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.figures.features import (
    Points,
    _apart,
    chosen_rows,
    features,
    linear_cka,
    measure,
    measure_points,
)
from braincog_tmkt.figures.inputs import keys_of, partners
from tests.figures import rows_of


def cka_of_features(x, y):
    """Kornblith et al. 2019, Eq. 5, in the space of the features instead of the recordings."""
    x, y = x - x.mean(0), y - y.mean(0)
    return np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def test_cka_is_the_published_formula_and_ignores_turns_and_scale():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 7)), rng.normal(size=(40, 5))
    assert linear_cka(x, y) == pytest.approx(cka_of_features(x, y), abs=1e-9)
    turn = np.linalg.qr(rng.normal(size=(7, 7)))[0]
    assert linear_cka(x, 3 * x @ turn + 2) == pytest.approx(1)
    assert linear_cka(x[:1], y[:1]) is None


def test_the_silhouette_tells_tight_classes_from_none():
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    tight = rng.normal(size=(40, 3)) + 50 * label[:, None]
    known = np.ones(20, bool)
    found = measure(Points(tight, label, known))
    assert found["silhouette"] > 0.9
    assert found["silhouette_events"] > 0.9
    loose = measure(Points(rng.normal(size=(40, 3)), label, known))
    assert abs(loose["silhouette"]) < 0.1
    assert measure(Points(tight, label, np.zeros(40, bool)))["cka"] is None


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_labels_find_places_apart_whatever_the_precision_of_the_points(kind):
    for seed in range(50):  # in float32 the search for a place did not end for some of them
        places = np.random.default_rng(seed).random((10, 2)).astype(kind)
        moved = _apart(places, [0.3] * 10)
        for one in range(10):
            beside = np.abs(places[:one, 0] - places[one, 0]) < 0.3
            assert (np.abs(moved[:one, 1] - moved[one, 1])[beside] > 0.0399).all()


def test_partners_are_the_digits_that_the_recordings_show(loaded):
    run = loaded[0]
    rows = run.task.pairs.rows("test")[:20]
    images, known = partners(run, rows)
    assert known.all()
    drawn = load_digits().images / 16
    for key, image in zip(keys_of(run, rows), images, strict=True):
        small = torch.tensor(drawn[int(key.split("/")[1])])
        whole = image[0, 4:24, 4:24][None, None].double()  # the margin is 5 of 34 pixels
        shrunk = torch.nn.functional.interpolate(whole, 8, mode="area")[0, 0]
        assert torch.corrcoef(torch.stack([small.flatten(), shrunk.flatten()]))[0, 1] > 0.8, key
        assert torch.equal(image[0], image[1])


@pytest.mark.parametrize("execution", ["multi_step", "step"])
@pytest.mark.parametrize("model", ["tmkt_vggsnn", "tmkt_resnet18", "tmkt_scnn"])
def test_features_are_the_aligned_ones_of_each_stream(loaded, with_model, model, execution):
    run = with_model(loaded[1], name=model, execution=execution, width=0.25)
    rows = run.task.pairs.rows("test")[::60]
    points = measure_points(run, rows)
    images, _ = partners(run, rows)
    events, label = run.task.pairs.events(rows)
    still = images[:, None].expand(-1, events.shape[1], -1, -1, -1)
    with torch.no_grad():
        static, moving = run.method.eval().backbone.streams(still, events)
    expected = torch.cat([moving.aligned, static.aligned], 1).mean(0).flatten(1)
    assert np.abs(points.vectors - expected.numpy()).max() < 1e-4
    assert points.label.tolist() == [*label.tolist(), *label.tolist()]
    assert points.vectors.std(0).max() > 0


def test_the_picture_and_its_rows(loaded, tmp_path):
    picture, table = features(loaded, tmp_path, recordings=60, perplexity=10)
    rows = rows_of(table)
    assert len(rows) == 2 * 2 * 60
    assert {row["run"] for row in rows} == {str(run) for run in loaded}
    assert {row["class"] for row in rows} == set("0123456789")
    assert all(row["key"].startswith(f"{row['class']}/") for row in rows)
    by_modality = {name: [row["key"] for row in rows if row["modality"] == name] for name in ("events", "static")}
    assert by_modality["events"] == by_modality["static"]
    assert all(-1 <= float(row["silhouette"]) <= 1 and 0 <= float(row["cka"]) <= 1 for row in rows)
    assert Image.open(picture).width > 800
    assert all(run.method.training for run in loaded)


def test_above_ten_classes_ten_are_shown():
    labels = torch.arange(300) % 101
    pairs = SimpleNamespace(rows=lambda part: torch.arange(300), labels=labels)
    rows = chosen_rows(SimpleNamespace(task=SimpleNamespace(pairs=pairs)), 500)
    assert sorted(set(labels[rows].tolist())) == [0, 11, 22, 33, 44, 56, 67, 78, 89, 100]
    assert len(rows) == sum(int((labels == number).sum()) for number in set(labels[rows].tolist()))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"recordings": 2}, "recordings must be a whole number from 3"),
        ({"recordings": 5}, "take more"),
        ({"perplexity": 0}, "perplexity must be a whole number from 1 to"),
        ({"recordings": 30, "perplexity": 60}, "perplexity must be a whole number from 1 to 59"),
    ],
)
def test_settings_out_of_range_are_refused(loaded, tmp_path, settings, words):
    with pytest.raises(RecipeError, match=words):
        features(loaded, tmp_path, **settings)
    assert list(tmp_path.iterdir()) == []


def test_networks_of_one_stream_are_refused(loaded, with_model, tmp_path):
    with pytest.raises(RecipeError, match=r"needs a tmkt_\* network, 'plif_snn4' does not show images"):
        features([loaded[1], with_model(loaded[0], name="plif_snn4")], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_known_images_the_recordings_stand_alone(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(Digits, "index", lambda self, index=Digits.index: replace(index(self), twins_known=False))
    _, table = features(loaded[:1], tmp_path, recordings=40, perplexity=5)
    rows = rows_of(table)
    assert {row["modality"] for row in rows} == {"events"}
    assert {row["cka"] for row in rows} == {""}
    assert len(rows) == 40
