"""`tmkt train --devices 2`: the global batch is the same, and so are loss and gradients."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from braincog_tmkt.engine.task import build_method
from braincog_tmkt.recipe import recipe_from_dict

from .command import ROOT, SMALL, finish, run_folder, start, weights

# One step of SGD: the change of the weights is the gradient, times a constant.
ONE_STEP = ("train.batch=80", "train.epochs=1", "optim.name=sgd", "optim.lr=0.1", "optim.warmup_epochs=0")

TOYS = Path(__file__).parent / "toys.py"
MIXED = {"imports": ["toys"], "data": {"augment": ["crop", "blend"]}}
"""A recipe whose augmentation mixes recordings of both processes."""


@pytest.mark.ddp
def test_two_processes_take_the_step_of_one(tmp_path, cache):
    files = []
    for name, changes in (("tmkt", {}), ("baseline", MIXED)):
        files.append(tmp_path / "cases" / f"{name}.yaml")
        files[-1].parent.mkdir(exist_ok=True)
        shutil.copy(TOYS, files[-1].parent)  # as a module of one's own beside the recipe
        files[-1].write_text(yaml.safe_dump({"extends": str(ROOT / f"experiments/digits/{name}.yaml"), **changes}))
    settings = (str(files[1]), *SMALL, *ONE_STEP, "optim.weight_decay=0.0")
    for devices in ("1", "2"):
        options = ("--runs", str(tmp_path / devices), "--devices", devices)
        status, out, err = finish(start(cache, *options, recipe=str(files[0]), settings=settings))
        assert status == 0, err
        assert out.count({"1": "  CPU, ", "2": "  2 x CPU, "}[devices]) == 2
    require_same_step(tmp_path, "tmkt", {"loss", "similarity", "modality", "ratio"}, tensors=8)
    require_same_step(tmp_path, "baseline", {"loss"}, tensors=5)


def require_same_step(place, name, parts, tensors):
    """One and two processes have the same loss, and move so many tensors by the same amounts."""
    folders = [run_folder(place / devices / "cases" / name) for devices in ("1", "2")]
    one, two = (json.loads((folder / "record.json").read_text()) for folder in folders)
    before = build_method(recipe_from_dict(one["recipe"]), 10, 1).state_dict()
    changes, others = ({key: value - before[key] for key, value in weights(folder).items()} for folder in folders)
    assert (one["world_size"], two["world_size"]) == (1, 2)
    losses, other_losses = one["history"][0]["train"], two["history"][0]["train"]
    assert losses.keys() >= parts
    assert other_losses == pytest.approx(losses, rel=1e-5)
    for weight, change in changes.items():
        assert (others[weight] - change).norm() <= 1e-3 * change.norm() + 1e-7, weight
    assert sum(bool(change.norm() > 1e-6) for change in changes.values()) >= tensors
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
