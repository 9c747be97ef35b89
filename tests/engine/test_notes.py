"""A network that tells nothing apart is named while it trains, at the end, and in its record."""

import pytest
import torch

from braincog_tmkt.launch.plan import plan, train
from braincog_tmkt.results.notes import notes_of
from braincog_tmkt.results.store import read_records

from .toys import make_recipe

SAYS_ONE = "the network says 'cup' to every test recording"


def say_cup(method):
    with torch.no_grad():
        method.backbone.bias.copy_(torch.tensor([1e6, 0.0, 0.0]))


def test_a_silent_network_is_named_once_in_training_and_at_the_end(recipes, tmp_path, capsys):
    """A threshold that no potential reaches: only the biases of the last layer are left."""
    cells = plan(recipes[:1], ["model.threshold=1e6", "train.epochs=3"], seeds=[1])
    train(cells, tmp_path / "runs")
    said = capsys.readouterr().out.splitlines()
    (record,) = read_records([tmp_path / "runs"])
    assert set(record["firing_rates"].values()) == {0.0}
    notes = notes_of(record)
    assert notes.keys() == {"one_class", "silent"}
    assert f"says '{record['last']['one_class']}' to" in notes["one_class"]
    assert f"('{list(record['firing_rates'])[-1]}') never fire" in notes["silent"]
    (first, *later) = [line for line in said if "never fire" in line]
    assert first.startswith("epoch 1: the network says")
    assert later == [f"note: {notes['silent']}"]
    assert said.index(later[0]) > next(place for place, line in enumerate(said) if line.startswith("epoch 3/3"))
    train(cells, tmp_path / "runs")
    assert notes["silent"] in capsys.readouterr().out  # "finished already"


@pytest.mark.parametrize("eval_batch", [5, 18])
def test_one_class_for_all_is_found_where_nodes_fire(bench, capsys, eval_batch):
    record = bench.fit(recipe=make_recipe(eval_batch=eval_batch), prepare=say_cup)
    for evaluation in ("last", "best_val", "best_test"):
        assert record[evaluation]["one_class"] == "cup"
    assert notes_of(record).keys() == {"one_class"}
    assert SAYS_ONE in notes_of(record)["one_class"]
    assert capsys.readouterr().out.count(SAYS_ONE) == 1


def test_a_network_that_learns_has_no_notes(bench, capsys):
    record = bench.fit(recipe=make_recipe(epochs=10))
    assert notes_of(record) == {}
    assert "one_class" not in record["last"]


def test_one_class_among_the_test_recordings_is_no_fault_of_the_network(bench):
    """All say 'cup' and all are cups: it may well tell the others apart."""
    pairs = bench.task.pairs
    rows = pairs.rows("test")
    pairs._rows["test"] = rows[pairs.labels[rows] == 0]

    record = bench.fit(prepare=say_cup)
    assert record["last"]["accuracy"] == 1
    assert notes_of(record) == {}


def test_records_without_spiking_nodes_or_of_older_versions():
    assert notes_of({"last": {"accuracy": 0.5}, "firing_rates": {}}) == {}
    assert notes_of({"last": {"accuracy": 0.5}, "firing_rates": {"first": 0.0, "last": 0.1}}) == {}
