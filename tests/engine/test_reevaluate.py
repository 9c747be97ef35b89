"""`tmkt eval`: finished runs give their numbers again, also step by step."""

import csv
import math
from statistics import fmean

import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.data.sets import DATASETS
from braincog_tmkt.errors import RecipeError, TrainingError
from braincog_tmkt.inspect.reevaluate import evaluate_steps, parse_steps, re_evaluate
from braincog_tmkt.launch.plan import plan, train
from braincog_tmkt.results.store import read_record, write_record

from .moving import CLASSES, Late, Still

LEARNT = ("data.name=late", "train.epochs=30", "optim.lr=0.01", "model.threshold=0.2")
"""Enough for more than one answer, once there is more than the first frame."""


def test_evaluating_again_gives_the_recorded_numbers(recipes, tmp_path, capsys):
    cells = plan(recipes[1:], seeds=[1])
    train(cells, tmp_path / "runs")
    folder = cells[0].folder(tmp_path / "runs")
    assert re_evaluate(folder) is True
    assert re_evaluate(folder / "record.json", ["data.root=elsewhere"]) is True
    assert capsys.readouterr().out.count("as recorded") == 4
    record = read_record(folder)
    record["last"]["accuracy"] -= 1 / 6
    write_record(folder, record)
    assert re_evaluate(folder) is False
    assert "1 recordings off" in capsys.readouterr().out
    with pytest.raises(RecipeError, match="do not change the result"):
        re_evaluate(folder, ["train.epochs=5"])
    record["data"]["split"] = "another"
    write_record(folder, record)
    with pytest.raises(TrainingError, match="another split"):
        re_evaluate(folder)


@pytest.mark.parametrize("execution", ["multi_step", "step"])
def test_the_first_steps_alone_give_what_the_record_says_of_them(recipes, tmp_path, capsys, monkeypatch, execution):
    monkeypatch.setitem(DATASETS, "late", Late)
    cells = plan(recipes[:1], [f"model.execution={execution}", *LEARNT], seeds=[1])
    train(cells, tmp_path / "runs")
    folder = cells[0].folder(tmp_path / "runs")
    record = read_record(folder)
    capsys.readouterr()
    assert main(["eval", str(folder), "--steps", "1..3", "data.root=elsewhere"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == str(folder / "steps.csv")
    rows = list(csv.DictReader((folder / "steps.csv").open()))
    assert [row["steps"] for row in rows] == [line.split()[0] for line in said[1:4]] == ["1", "2", "3"]
    assert [float(row["accuracy"]) for row in rows] == record["last"]["accuracy_by_step"]
    assert record["last"]["accuracy"] > 0.5
    assert float(rows[2]["loss"]) == record["last"]["loss"]
    # Alike until then, the recordings of all classes get one answer; no answer has a smaller mean loss than this.
    assert float(rows[0]["accuracy"]) == pytest.approx(1 / len(CLASSES))
    assert float(rows[0]["loss"]) > math.log(len(CLASSES)) - 1e-6 > float(rows[2]["loss"])
    assert float(rows[2]["firing_rate"]) == pytest.approx(fmean(record["firing_rates"].values()))
    assert float(rows[2]["synaptic_operations"]) == pytest.approx(record["synaptic_operations"])
    assert 0 < float(rows[0]["synaptic_operations"]) < float(rows[1]["synaptic_operations"])
    with pytest.raises(RecipeError, match="recordings of 3 frames, too few for 4 time steps"):
        evaluate_steps(folder, [2, 4])
    assert re_evaluate(folder) is True


def test_what_stands_still_may_be_shown_for_any_number_of_steps(recipes, tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "still", Still)
    cells = plan(recipes[:1], ["data.name=still", "data.steps=2"], seeds=[1])
    train(cells, tmp_path / "runs")
    folder = cells[0].folder(tmp_path / "runs")
    rows = list(csv.DictReader(evaluate_steps(folder, [1, 2, 5]).open()))
    assert [row["steps"] for row in rows] == ["1", "2", "5"]
    assert [float(row["accuracy"]) for row in rows[:2]] == read_record(folder)["last"]["accuracy_by_step"]
    assert float(rows[2]["synaptic_operations"]) > 2 * float(rows[1]["synaptic_operations"])
    assert float(rows[2]["energy"]) > float(rows[1]["energy"]) > 0
    (rounded,) = csv.DictReader(evaluate_steps(folder, [5], precision="bf16-mixed").open())
    assert float(rounded["loss"]) != float(rows[2]["loss"])
    assert float(rounded["loss"]) == pytest.approx(float(rows[2]["loss"]), rel=0.05)


def test_less_precise_numbers_do_not_take_the_place_of_others(recipes, tmp_path):
    cells = plan(recipes[:1], seeds=[1])
    train(cells, tmp_path / "runs")
    folder = cells[0].folder(tmp_path / "runs")
    usual = evaluate_steps(folder, [1, 2]).read_text()
    assert evaluate_steps(folder, [1, 2], precision="bf16-mixed") == folder / "steps-bf16-mixed.csv"
    assert (folder / "steps.csv").read_text() == usual
    assert evaluate_steps(folder, [1, 2], precision="32-true").read_text() == usual


def test_steps_without_statistics_of_their_own_are_refused(recipes, tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "still", Still)
    network = ["model.norm=step_own", "model.name=tmkt_vggsnn", "model.width=0.05"]
    cells = plan(recipes[:1], ["data.name=still", "data.steps=2", *network], seeds=[1])
    train(cells, tmp_path / "runs")
    folder = cells[0].folder(tmp_path / "runs")
    with pytest.raises(RecipeError, match="the 2 time steps that it was trained with, so nothing to normalise step 3"):
        evaluate_steps(folder, [1, 3])
    rows = list(csv.DictReader(evaluate_steps(folder, [1, 2]).open()))
    assert [float(row["accuracy"]) for row in rows] == read_record(folder)["last"]["accuracy_by_step"]


@pytest.mark.parametrize("text", ["", "0", "3..1", "1..", "a", "1,,2", "-1", "1.5"])
def test_numbers_of_steps_look_like_this(text):
    with pytest.raises(RecipeError, match=r"does not name numbers of time steps: write 1\.\.10, or 5, or 1,2,4"):
        parse_steps(text)
