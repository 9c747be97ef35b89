"""Sweeps of real recipes on a real backbone, over a tiny data set made on the spot."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from braincog_tmkt.bridge import BaseNode
from braincog_tmkt.engine.step import Trainer
from braincog_tmkt.engine.task import build_method
from braincog_tmkt.errors import RecipeError, TrainingError
from braincog_tmkt.launch.plan import dry_run, plan, share_of, train
from braincog_tmkt.recipe import recipe_from_dict, recipe_hash
from braincog_tmkt.results.store import read_record, read_records

from .moving import Moving


def test_shards_make_up_the_whole_plan(recipes):
    whole = [str(cell) for cell in plan(recipes, seeds=[1, 2, 3])]
    assert len(set(whole)) == 6
    parts = [[str(cell) for cell in share_of(plan(recipes, seeds=[1, 2, 3]), (i, 4))] for i in range(1, 5)]
    assert sorted(cell for part in parts for cell in part) == sorted(whole)
    assert {len(part) for part in parts} == {1, 2}
    assert [str(cell).split()[-1] for cell in plan(recipes[:1])] == ["1", "2"]
    for shard in ((0, 4), (5, 4)):
        with pytest.raises(RecipeError, match="does not exist"):
            share_of(plan(recipes), shard)


def test_all_recipes_are_checked_before_anything_is_trained(recipes):
    with pytest.raises(RecipeError, match=r"train\.epoch="):
        plan(recipes, ["train.epoch=1"])
    with pytest.raises(RecipeError, match="no recipe file or name 'nothing'"):
        plan([*recipes, "nothing"])


def test_sets_without_images_train_the_baseline_and_refuse_what_draws_them(recipes, tmp_path, monkeypatch):
    monkeypatch.setattr(Moving, "index", lambda self, index=Moving.index: replace(index(self), statics=()))
    baseline, transfer = ([cell] for cell in plan(recipes, seeds=[1]))
    with pytest.raises(RecipeError, match="'knowledge_transfer' draws static images, but there are none for moving"):
        train(transfer, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    train(baseline, tmp_path / "runs")
    (record,) = read_records([tmp_path / "runs"])
    assert record["data"]["pool"] == 0


def test_a_sweep_writes_records_and_is_not_repeated(recipes, tmp_path, capsys):
    runs = tmp_path / "runs"
    cells = plan(recipes, seeds=[1])
    train(cells, runs)
    said = capsys.readouterr().out
    assert "learning rate 0.002" in said
    assert "real data" in said
    assert said.count("record: ") == 2
    first, second = (runs / cell.recipe.name / recipe_hash(cell.recipe)[:8] / "seed1" for cell in cells)
    record = read_record(first)
    assert (record["name"], record["seed"]) == ("moving/baseline", 1)
    assert record["data"] | {"set": "moving", "kind": "real", "train": 15, "val": 3, "test": 6} == record["data"]
    assert record["audit"]["leaks"] is False
    assert set(record["firing_rates"]) == {f"backbone.{name}" for name in node_names(record)}
    assert all(0 <= rate < 1 for rate in record["firing_rates"].values())
    assert max(record["firing_rates"].values()) > 0
    assert record["synaptic_operations"] > 0
    assert len(read_records([runs])) == 2
    before = (first / "record.json").read_bytes()
    shutil.rmtree(second)
    train(cells, runs)
    said = capsys.readouterr().out
    assert said.count("finished already") == 1
    assert (first / "record.json").read_bytes() == before
    assert (second / "record.json").is_file()
    train(plan(recipes, ["train.keep_every=1"], seeds=[1])[:1], runs)
    said = capsys.readouterr().out
    assert "its weights were not kept with train.keep_every=1: to train it again, remove the folder" in said


def node_names(record):
    """Names of the spiking nodes of a record's backbone, found another way than by hooks."""
    backbone = build_method(recipe_from_dict(record["recipe"]), 3, 1).backbone
    return {name for name, module in backbone.named_modules() if isinstance(module, BaseNode)}


def test_other_data_are_not_taken_for_finished(recipes, tmp_path, capsys):
    runs = tmp_path / "runs"
    train(plan(recipes[:1], ["train.epochs=1"], seeds=[1]), runs)
    train(plan(recipes[:1], ["train.epochs=1", "data.root=moved"], seeds=[1]), runs)  # other fingerprint alone
    assert "warning: the files of the data set have changed" in capsys.readouterr().out
    with pytest.raises(TrainingError, match=r"finished, but with other data .kind real, yours simulated.*--runs"):
        train(plan(recipes[:1], ["train.epochs=1", "data.root=twin"], seeds=[1]), runs)


def test_a_dry_run_trains_nothing_and_estimates_the_time(recipes, tmp_path, capsys):
    dry_run(plan(recipes), tmp_path / "runs")
    said = capsys.readouterr().out
    assert not (tmp_path / "runs").exists()
    assert said.count("2 epochs of 3 steps, batch 4, learning rate 0.002") == 4
    assert len(re.findall(r"time +about \d+ s in one process", said)) == 4
    assert re.search(r"^about \d+ s in all; nothing was trained", said, re.MULTILINE)
    peaks = [float(size) for size in re.findall(r"peak memory +host (\d+) MiB", said)]
    assert len(peaks) == 4
    assert min(peaks) > 100


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_no_step_waits_for_the_gpu(recipes, tmp_path, monkeypatch):
    step, seen = Trainer.step, []

    def watched(*arguments):
        seen.append(len(seen))
        torch.cuda.set_sync_debug_mode("error" if len(seen) > 3 else "default")  # the first ones compile
        try:
            step(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Trainer, "step", watched)
    train(plan(recipes[1:], ["train.epochs=3", "data.augment=[crop,flip,roll,rotate]"], seeds=[1]), tmp_path / "runs")
    assert len(seen) == 9


@pytest.mark.parametrize("execution", ["step", "multi_step"])
def test_bf16_trains_and_leaves_the_weights_in_fp32(recipes, tmp_path, execution):
    cells = plan(recipes[1:], ["train.precision=bf16-mixed", f"model.execution={execution}"], seeds=[1])
    train(cells, tmp_path / "runs")
    record = read_record(cells[0].folder(tmp_path / "runs"))
    assert all(np.isfinite(entry["train"]["loss"]) for entry in record["history"])
    state = torch.load(cells[0].folder(tmp_path / "runs") / "checkpoints" / "last.pt", weights_only=True)
    assert {value.dtype for value in state["method"].values() if value.is_floating_point()} == {torch.float32}


def test_a_run_that_is_not_finished_has_no_record(tmp_path):
    with pytest.raises(TrainingError, match=r"record\.json does not exist: finish the run with --resume"):
        read_record(tmp_path)
