"""`tmkt train --devices 2`: the global batch is the same, and so are loss and gradients."""

import json

import pytest
import torch

from braincog_tmkt.engine.task import build_method
from braincog_tmkt.recipe import recipe_from_dict

from .command import SMALL, finish, run_folder, start

# One step of SGD: the change of the weights is the gradient, times a constant.
ONE_STEP = ("train.batch=80", "train.epochs=1", "optim.name=sgd", "optim.lr=0.1", "optim.warmup_epochs=0")


CASES = {
    "digits/tmkt": ((), {"loss", "similarity", "modality", "ratio"}, 8),
    "digits/baseline": (("imports=[tests.engine.toys]", "data.augment=[crop, blend]"), {"loss"}, 5),
}
"""Recipe -> more settings, parts of its loss, tensors that move; the second one mixes recordings of both processes."""


@pytest.mark.ddp
@pytest.mark.parametrize("name", CASES)
def test_two_processes_take_the_step_of_one(tmp_path, cache, name):
    changes, parts, tensors = CASES[name]
    records, differences = [], []
    for devices in ("1", "2"):
        runs = tmp_path / devices
        settings = (*SMALL, *ONE_STEP, "optim.weight_decay=0.0", *changes)
        status, out, err = finish(
            start(cache, "--runs", str(runs), "--devices", devices, recipe=name, settings=settings)
        )
        assert status == 0, err
        assert f"{devices} x cpu" in out
        folder = run_folder(runs)
        records.append(json.loads((folder / "record.json").read_text()))
        after = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["method"]
        before = build_method(recipe_from_dict(records[-1]["recipe"]), 10, 1).state_dict()
        differences.append({key: after[key] - before[key] for key in after})
    one, two = records
    assert (one["world_size"], two["world_size"]) == (1, 2)
    losses, other_losses = one["history"][0]["train"], two["history"][0]["train"]
    assert losses.keys() == other_losses.keys() >= parts
    for part, value in losses.items():
        assert other_losses[part] == pytest.approx(value, rel=1e-5), part
    moved = 0
    for weight, change in differences[0].items():
        assert (differences[1][weight] - change).norm() <= 1e-3 * change.norm() + 1e-7, weight
        moved += bool(change.norm() > 1e-6)
    assert moved >= tensors
    assert two["last"]["accuracy"] == pytest.approx(one["last"]["accuracy"], abs=0.01)


@pytest.mark.slow
@pytest.mark.ddp
def test_both_processes_stop_and_go_on_together(tmp_path, cache):
    settings = (*SMALL, "train.epochs=8", "train.eval_every=4")
    runs = tmp_path / "runs"
    process = start(cache, "--runs", str(runs), "--devices", "2", settings=settings)
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            process.terminate()  # the first process alone; the second hears of it from the first
            break
    status, _, err = finish(process)
    assert status == 143, err
    assert err.count("error: stopped by SIGTERM") == 1
    status, out, err = finish(start(cache, "--runs", str(runs), "--devices", "2", "--resume", settings=settings))
    assert status == 0, err
    assert "going on at epoch" in out
    assert len(json.loads((run_folder(runs) / "record.json").read_text())["history"]) == 8


@pytest.mark.slow
@pytest.mark.ddp
def test_an_error_of_the_first_process_ends_both_with_one_sentence(tmp_path, cache):
    (tmp_path / "runs").write_text("no folder")
    status, _, err = finish(start(cache, "--runs", str(tmp_path / "runs"), "--devices", "2"))
    assert status == 2
    assert err.count("error:") == 1
    assert "Traceback" not in err
