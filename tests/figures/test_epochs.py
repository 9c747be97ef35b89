"""Figures 2 and 3: curves by epoch, worked out from made records by hand."""

import numpy as np
import pytest
from PIL import Image

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.figures.epochs import epochs
from tests.figures import rows_of
from tests.made_records import hsd, tet

SHARES, LOSSES = np.array([[0.70, 0.72, 0.74], [0.71, 0.75, 0.76]]), np.array([[0.9, 0.8, 0.85], [0.7, 0.8, 0.9]])


def run(seed, **method):
    stages = [0.8] * 10, [0.5, 0.69], [0.7, 0.74]
    return hsd(2, seed, *stages, epochs=SHARES[seed - 1].tolist(), losses=LOSSES[seed - 1].tolist(), **method)


def drawn(records, folder, **settings):
    """(run, what is measured) -> {epoch: (mean, std, n)}."""
    picture, table = epochs(records, folder, **settings)
    assert np.asarray(Image.open(picture).convert("L")).std() > 5
    found = {}
    for row in rows_of(table):
        line = found.setdefault((row["run"], row["measured"]), {})
        line[int(row["epoch"])] = float(row["mean"]), float(row["std"]), int(row["seeds"])
    return found


def test_the_last_stage_is_drawn_from_the_converted_network_on(tmp_path):
    found = drawn([run(1), run(2)], tmp_path)
    for row, values, start in (("accuracy", 100 * SHARES, 69.0), ("loss", LOSSES, 1.5)):
        points = found["HSD", row]
        assert points[0] == pytest.approx((start, 0, 2))
        assert [points[epoch] for epoch in (1, 2, 3)] == [
            pytest.approx((values[:, at].mean(), values[:, at].std(ddof=1), 2)) for at in range(3)
        ]
        assert len(points) == 4


def test_lines_are_named_by_what_differs_numbers_in_order(tmp_path):
    settings = [{"temperature": value, "distillation": kind} for kind in ("skd", "kd") for value in (10.0, 2.0)]
    found = drawn([run(seed, **one) for one in settings for seed in (1, 2)], tmp_path)
    names = [name for name, row in found if row == "loss"]
    assert names == [f"HSD, {kind}, temperature {value}" for kind in ("KD", "SKD") for value in (2, 10)]


def test_two_methods_side_by_side(tmp_path):
    other = tet(10, 1, [0.5] * 10)
    other["history"] = [
        {"stage": 0, "epoch": e, "train": {}, "test": {"accuracy": 0.1 * e, "loss": 1.0}} for e in (0, 4)
    ]
    found = drawn([run(1), other], tmp_path)
    assert found["TET", "accuracy"] == {1: (0, 0, 1), 5: (40, 0, 1)}
    assert ("HSD", "accuracy") in found


def test_another_stage_can_be_chosen(tmp_path):
    record = run(1)
    record["history"].insert(1, {**record["history"][0], "epoch": 1, "test": {"accuracy": 0.9, "loss": 0.3}})
    assert drawn([record], tmp_path, stage="ann")["HSD", "accuracy"] == {1: (80, 0, 1), 2: (90, 0, 1)}


def test_what_cannot_be_drawn_is_one_sentence(tmp_path):
    elsewhere = run(1)
    elsewhere["data"] = elsewhere["data"] | {"set": "dvsgesture"}
    for wrong, settings, words in (
        ([], {}, "no record is left"),
        ([run(1), elsewhere], {}, "do not share their data"),
        ([run(1)], {"stage": "distill"}, "no stage 'distill': did you mean 'distil'"),
        ([tet(10, 1, [0.5] * 10)], {}, r"train\.eval_every=1"),
    ):
        with pytest.raises(RecipeError, match=words):
            epochs(wrong, tmp_path, **settings)
    assert list(tmp_path.iterdir()) == []
