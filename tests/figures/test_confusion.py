from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix
from torch import nn

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.figures.confusion import confused_pairs, confusion
from braincog_tmkt.figures.inputs import names_of
from tests.figures import rows_of


class Rule(nn.Module):
    """A method that knows the class, and takes every class that is a multiple of 3 for the next one."""

    def predict(self, events):
        label = events.flatten(1)[:, 0].long()
        label = torch.where(label % 3 == 0, (label + 1) % 31, label)
        return nn.functional.one_hot(label, 31).float().expand(2, -1, -1)


def toy(run, test):
    """A run of 31 classes; recording i is of class i modulo 31, and its frames say so."""
    pairs = SimpleNamespace(
        classes=tuple(f"thing number {number}" for number in range(31)),
        rows=lambda part: torch.arange(test),
        events=lambda rows: ((rows % 31).float()[:, None, None, None, None], rows % 31),
    )
    return replace(run, task=SimpleNamespace(pairs=pairs), method=Rule())


def test_counts_are_scikit_learns_and_the_accuracy_is_the_records(loaded, tmp_path):
    picture, table = confusion(loaded, tmp_path)
    assert all(run.method.training for run in loaded)
    rows = rows_of(table)
    assert list(rows[0]) == ["run", "true", "predicted", "count"]
    for run in loaded:
        pairs = run.task.pairs
        events, label = pairs.events(pairs.rows("test"))
        with torch.no_grad():
            predicted = run.method.eval().predict(events).mean(0).argmax(1)
        found = np.zeros((10, 10), int)
        for row in rows:
            if row["run"] == str(run):
                found[int(row["true"]), int(row["predicted"])] = int(row["count"])
        assert (found == confusion_matrix(label, predicted, labels=range(10))).all()
        assert np.trace(found) / found.sum() == pytest.approx(run.record["last"]["accuracy"], abs=1e-12)
    assert Image.open(picture).width > Image.open(picture).height


def test_many_classes_are_counted_and_the_most_confused_pairs_listed(loaded, tmp_path):
    picture, table = confusion([toy(loaded[0], 124)], tmp_path)
    rows = rows_of(table)
    wrong = {(row["true"], row["predicted"], row["count"]) for row in rows if row["true"] != row["predicted"]}
    assert wrong == {(f"thing number {i}", f"thing number {(i + 1) % 31}", "4") for i in range(0, 31, 3)}
    assert picture.stat().st_size > 0


def test_pairs_are_ranked_by_their_share_of_the_true_class():
    table = np.array([[90, 10, 0], [0, 1, 1], [0, 0, 0]])
    assert confused_pairs(table) == [(1, 2, 0.5), (0, 1, 0.1)]
    assert confused_pairs(np.eye(3, dtype=int)) == []


def test_runs_that_cannot_be_compared_are_refused(loaded, tmp_path):
    run = loaded[0]
    with pytest.raises(RecipeError, match="at least one finished run"):
        confusion([], tmp_path)
    for key, value, words in (("set", "nmnist", "digits, nmnist"), ("split", "0123", "do not share one split")):
        other = replace(run, record={**run.record, "data": {**run.record["data"], key: value}})
        with pytest.raises(RecipeError, match=words):
            confusion([run, other], tmp_path)
    with pytest.raises(RecipeError, match="no test recordings"):
        confusion([toy(run, 0)], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_equal_names_are_told_apart(loaded, with_model, tmp_path):
    run = loaded[0]
    other = replace(run, record={**run.record, "recipe_hash": "0123456789"})
    assert {row["run"] for row in rows_of(confusion([run, other], tmp_path)[1])} == {
        f"{run} ({run.record['recipe_hash'][:8]})",
        f"{run} (01234567)",
    }
    network = with_model(run, name="tmkt_resnet18", width=0.1)
    assert names_of([run, network]) == [f"{run} (tmkt_scnn)", f"{run} (tmkt_resnet18)"]
    assert names_of(loaded) == [str(run) for run in loaded]
