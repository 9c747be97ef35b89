"""Runs at the same time, each in a process of its own: the same results, whatever becomes of the others."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import torch

from braincog_tmkt.engine.signals import Stopped
from braincog_tmkt.errors import RecipeError, TrainingError
from braincog_tmkt.launch import local
from braincog_tmkt.launch.local import run_jobs
from braincog_tmkt.launch.plan import plan, train

from .command import ROOT, SMALL, weights
from .toys import equal

LONG = ("train.epochs=16", "train.eval_every=8")


@pytest.fixture
def cells(cache):
    """`cells(names, settings, seeds)`: runs on a small share of the embedded digits."""

    def make(names, *settings, seeds=(1,)):
        return plan(names, [*SMALL, f"data.cache={cache}", *settings], seeds=seeds)

    return make


@pytest.fixture
def started(monkeypatch):
    """The processes that were started, in order."""
    processes, start = [], local.start

    def noting(*arguments):
        processes.append(start(*arguments))
        return processes[-1]

    monkeypatch.setattr(local, "start", noting)
    return processes


def require_same(cell, runs, other_runs):
    """The run has the weights and the record of the same run elsewhere, but for the time it took."""
    one, other = cell.folder(runs), cell.folder(other_runs)
    assert equal(weights(one), weights(other))
    records = [json.loads((folder / "record.json").read_text()) for folder in (one, other)]
    for key in ("recipe_hash", "seed", "name", "last", "best_test", "firing_rates", "synaptic_operations", "threads"):
        assert records[0][key] == records[1][key], key
    histories = [[{**entry, "seconds": 0} for entry in record["history"]] for record in records]
    assert histories[0] == histories[1]
    assert [entry["epoch"] for entry in histories[0]] == list(range(cell.recipe.train.epochs))


def wait_for(condition, seconds=200):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def written(folder):
    """When the newest checkpoint was written, 0 without one."""
    try:
        return (folder / "checkpoints" / "last.pt").stat().st_mtime_ns
    except OSError:
        return 0


def meanwhile(action):
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def test_a_failure_is_its_own_and_what_is_finished_starts_no_process(cells, tmp_path, capsys, monkeypatch):
    (good,) = cells(["digits/baseline"], "train.epochs=2")
    (bad,) = cells(["digits/baseline"], "optim.lr=1e30", "optim.warmup_epochs=0", "train.epochs=2")
    runs = tmp_path / "runs"
    with pytest.raises(TrainingError, match="1 of 2 runs are finished") as caught:
        run_jobs([bad, good], runs, 2)
    assert str(bad) in str(caught.value)
    assert "not finite in epoch 1" in str(caught.value)
    assert str(bad.folder(runs) / "output.txt") in str(caught.value)
    assert str(good) not in str(caught.value)
    assert capsys.readouterr().out.count("digits/baseline seed 1: test accuracy") == 1
    assert "digits/baseline seed 1: test accuracy" in (good.folder(runs) / "output.txt").read_text()
    monkeypatch.setattr(local, "subprocess", None)
    run_jobs([good], runs, 2)
    assert capsys.readouterr().out.count("finished already") == 1


@pytest.mark.slow
def test_two_at_once_killed_and_stopped_are_as_one_after_another(cells, tmp_path, started):
    runs = tmp_path / "runs"
    one, other = cells(["digits/tmkt"], *LONG, seeds=(1, 2))

    def kill_the_first():
        wait_for(lambda: written(one.folder(runs)))
        started[0].kill()

    thread = meanwhile(kill_the_first)
    with pytest.raises(TrainingError, match=r"1 of 2 runs .*--resume") as caught:
        run_jobs([one, other], runs, 2)
    thread.join()
    assert f"{one}: ended by SIGKILL" in str(caught.value)
    assert (other.folder(runs) / "record.json").is_file()
    with pytest.raises(TrainingError, match="holds an unfinished run: go on with --resume"):
        run_jobs([one, other], runs, 2)
    before = written(one.folder(runs))

    def stop_the_sweep():
        wait_for(lambda: written(one.folder(runs)) != before)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = meanwhile(stop_the_sweep)
    with pytest.raises(Stopped, match="stopped by SIGTERM, 0 of 1 runs are finished") as stopped:
        run_jobs([one, other], runs, 2, resume=True)
    thread.join()
    assert stopped.value.signum == signal.SIGTERM
    assert [process.returncode for process in started] == [-signal.SIGKILL, 0, 143]
    assert "error: stopped by SIGTERM in epoch" in (one.folder(runs) / "output.txt").read_text().splitlines()[-1]
    run_jobs([one, other], runs, 2, resume=True)
    train([one, other], tmp_path / "whole")
    for cell in (one, other):
        require_same(cell, runs, tmp_path / "whole")


@pytest.mark.slow
def test_a_run_does_not_outlive_its_sweep(cells, tmp_path):
    """When the process that started it is killed, the system closes the pipe; here the pipe alone is closed."""
    (cell,) = cells(["digits/baseline"], "train.epochs=1000", "train.eval_every=1000")
    process = local.start(cell, tmp_path, 1)
    wait_for(lambda: written(cell.folder(tmp_path)))
    process.stdin.close()
    assert process.wait(60) == 143
    assert "stopped by SIGTERM in epoch" in (cell.folder(tmp_path) / "output.txt").read_text()


def test_what_is_wrong_is_said_before_anything_starts(cells, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "subprocess", None)
    with pytest.raises(RecipeError, match="give --jobs 1 or more"):
        run_jobs(cells(["digits/tmkt"]), tmp_path / "runs", 0)
    wrong = cells(["digits/tmkt"], "optim.name=nonsense")
    with pytest.raises(RecipeError, match="nonsense"):
        run_jobs(cells(["digits/tmkt"]) + wrong, tmp_path / "runs", 2)
    assert not (tmp_path / "runs").exists()
    (tmp_path / "runs").write_text("no folder")
    with pytest.raises(TrainingError, match="0 of 1 runs") as caught:
        run_jobs(cells(["digits/tmkt"]), tmp_path / "runs", 2)
    assert "cannot be written" in str(caught.value)


@pytest.mark.parametrize(
    ("visible", "count", "expected"),
    [(None, 0, [None]), (None, 2, ["0", "1"]), ("3,GPU-5a", 2, ["3", "GPU-5a"]), ("", 0, [None]), ("1,-1,2", 1, ["1"])],
)
def test_gpus_are_named_as_the_environment_does(monkeypatch, visible, count, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert local.visible_gpus() == expected


STUBS = {
    "srun": 'while [[ "$1" == --* ]]; do shift; done\nexec "$@"',
    "scontrol": 'echo "$@" >> scontrol.txt',
    "tmkt": 'trap "exit 143" TERM\necho "$@" >> tmkt.txt\nfor i in $(seq "$WAIT"); do sleep 0.1; done\nexit "$STATUS"',
}


@pytest.mark.parametrize(
    ("term", "wait", "status", "expected", "requeued"),
    [(False, 0, 0, 0, False), (False, 0, 2, 2, False), (True, 300, 0, 143, True)],
)
def test_an_array_job_takes_its_share_and_is_put_back_when_its_time_ends(
    tmp_path, term, wait, status, expected, requeued
):
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name, text in STUBS.items():
        (tools / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tools / name).chmod(0o755)
    slurm = {"SUBMIT_DIR": tmp_path, "ARRAY_JOB_ID": 7, "ARRAY_TASK_ID": 3, "ARRAY_TASK_COUNT": 8, "CPUS_PER_TASK": 2}
    environment = {**os.environ, "WAIT": str(wait), "STATUS": str(status)}
    environment |= {f"SLURM_{name}": str(value) for name, value in slurm.items()}
    script = ROOT / "experiments" / "array.sbatch"
    process = subprocess.Popen(["bash", script, "nmnist/tmkt", "train.epochs=2"], env=environment, cwd=tmp_path)
    if term:
        wait_for(lambda: (tmp_path / "tmkt.txt").exists() and (tmp_path / "tmkt.txt").read_text())
        process.terminate()
    assert process.wait(20) == expected
    assert (tmp_path / "tmkt.txt").read_text().split() == [
        *("train", "nmnist/tmkt", "train.epochs=2", "--shard", "3/8", "--resume")
    ]
    told = Path(tmp_path, "scontrol.txt")
    assert told.exists() == requeued
    assert not requeued or told.read_text().split() == ["requeue", "7_3"]
