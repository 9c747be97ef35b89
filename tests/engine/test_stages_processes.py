"""Stages in real processes: two that want the same one, a kill while one waits, and two that train together."""

import json
import signal

import pytest
import torch
import yaml

from .command import ROOT, finish, run_folder, start, weights
from .toys import equal

STAGES = {"ann.optim.name": "momentum", "ann.optim.lr": 0.05, "ann.train.epochs": 1}


@pytest.fixture
def recipe(tmp_path):
    content = {
        "extends": str(ROOT / "experiments" / "digits" / "common.yaml"),
        "imports": ["tests.engine.toys"],
        "method": {"name": "handover"},
        "optim": {"name": "momentum", "lr": 0.01, "warmup_epochs": 0},
        "train": {"epochs": 1},
        "stages": STAGES,
    }
    path = tmp_path / "toys" / "handover.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(content))
    return str(path)


def lines_until(process, words):
    """What the process prints, up to the line with these words."""
    said = []
    for line in process.stdout:
        said.append(line)
        if words in line:
            return "".join(said)
    raise AssertionError("".join(said) + process.stderr.read())


def begin(cache, runs, recipe, seed, *settings, options=()):
    small = ("data.train_per_class=8", "data.val_portion=0.0", "data.steps=3", "train.batch=40", "model.width=0.5")
    options = ("--runs", str(runs), "--resume", *options)
    return start(cache, *options, recipe=recipe, settings=(*small, *settings), seeds=(seed,))


@pytest.mark.slow
def test_the_second_waits_goes_on_when_the_first_is_killed_and_both_end_alike(tmp_path, cache, recipe):
    seed, long = 21, ("stages.ann.train.epochs=24", "stages.ann.train.eval_every=24")
    first = begin(cache, tmp_path / "first", recipe, seed, *long)
    lines_until(first, "ann  epoch 2/24")
    first.send_signal(signal.SIGSTOP)
    second = begin(cache, tmp_path / "second", recipe, seed, *long, "method.teaching=0.5")
    lines_until(second, "stage ann: another process trains it")
    first.kill()
    finish(first)
    lines_until(second, "ann  epoch 2/24")
    second.send_signal(signal.SIGSTOP)
    first = begin(cache, tmp_path / "first", recipe, seed, *long)
    assert "going on at stage ann, epoch" in lines_until(first, "stage ann: another process trains it")
    second.send_signal(signal.SIGCONT)
    assert finish(second)[0] == 0
    status, out, err = finish(first)
    assert status == 0, err
    assert "stage ann: taken from" in out
    assert "ann  epoch" not in out
    one, other = (run_folder(tmp_path / name, seed) for name in ("first", "second"))
    teachers = [
        {key: value for key, value in weights(run).items() if key.startswith("teacher.")} for run in (one, other)
    ]
    assert equal(*teachers)
    assert not equal(weights(one), weights(other))
    shared = [json.loads((run / "record.json").read_text())["stages"]["ann"]["shared"] for run in (one, other)]
    (file,) = (cache / "stages").glob(f"ann_*_seed{seed}.pt")
    assert shared == [file.name, None]
    file.unlink()
    assert finish(begin(cache, tmp_path / "alone", recipe, seed, *long))[0] == 0
    assert equal(weights(run_folder(tmp_path / "alone", seed)), weights(one))


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_train_every_stage_as_one_does(tmp_path, cache, recipe):
    seed, plain, found = 22, ("optim.weight_decay=0.0",), []
    for devices in ("1", "2"):
        runs = tmp_path / devices
        process = begin(cache, runs, recipe, seed, *plain, options=("--devices", devices))
        status, out, err = finish(process)
        assert status == 0, err
        assert out.count("ann  epoch 1/1") == out.count("distil  epoch 1/1") == 1
        found.append(weights(run_folder(runs, seed)))
        (file,) = (cache / "stages").glob(f"ann_*_seed{seed}.pt")
        if devices == "1":
            file.unlink()
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, atol=1e-3, rtol=1e-2, msg=name)
    status, out, err = finish(
        begin(cache, tmp_path / "3", recipe, seed, *plain, "method.teaching=0.5", options=("--devices", "2"))
    )
    assert status == 0, err
    assert out.count("stage ann: taken from") == 1
    third = weights(run_folder(tmp_path / "3", seed))
    for name, value in found[1].items():
        if name.startswith("teacher."):
            assert torch.equal(third[name], value), name
