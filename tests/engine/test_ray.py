"""Runs as tasks of a Ray that is started on this machine."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from braincog_tmkt.engine.signals import Stopped
from braincog_tmkt.errors import RecipeError, TrainingError
from braincog_tmkt.launch.plan import train
from braincog_tmkt.launch.ray import run_ray

from .test_sweep import LONG, cells, meanwhile, require_same, wait_for, written  # noqa: F401


@pytest.fixture
def local_ray(monkeypatch):
    """Ray is there, and no cluster is named."""
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def process_of(folder):
    """The process that trains in a run folder, and the worker that started it, as the system knows them."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode().split("\0")
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if str(folder / "recipe.yaml") in words:
            return int(place.name), parent
    raise AssertionError(f"no process trains in {folder}")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_ray_takes_up_what_was_killed_from_its_checkpoint(cells, tmp_path, local_ray):
    runs = tmp_path / "runs"
    one, other = sweep = cells(["digits/tmkt"], *LONG, seeds=(1, 2))

    def kill_the_worker_of_one_and_the_process_of_the_other():
        for cell, which in ((one, 1), (other, 0)):
            wait_for(lambda cell=cell: written(cell.folder(runs)))
            os.kill(process_of(cell.folder(runs))[which], signal.SIGKILL)

    thread = meanwhile(kill_the_worker_of_one_and_the_process_of_the_other)
    run_ray(sweep, runs)
    thread.join()
    train(sweep, tmp_path / "whole")
    for cell in sweep:
        require_same(cell, runs, tmp_path / "whole")
        assert (cell.folder(runs) / "output.txt").read_text().count("going on at epoch") == 1
    assert len(list(runs.rglob("record.json"))) == 2
    assert "stopped by SIGTERM" in (one.folder(runs) / "output.txt").read_text()  # it saw its worker die


@pytest.mark.slow
def test_a_stopped_ray_saves_its_runs(cells, tmp_path, local_ray):
    runs = tmp_path / "runs"
    (cell,) = cells(["digits/baseline"], "train.epochs=1000", "train.eval_every=1000")

    def stop_the_sweep():
        wait_for(lambda: written(cell.folder(runs)))
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    thread = meanwhile(stop_the_sweep)
    with pytest.raises(
        Stopped, match="stopped by SIGTERM, 0 of 1 runs are finished; run the same command with --resume"
    ):
        run_ray([cell], runs)
    thread.join()
    assert "error: stopped by SIGTERM in epoch" in (cell.folder(runs) / "output.txt").read_text().splitlines()[-1]
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
def test_a_run_that_fails_is_not_tried_again(cells, tmp_path, local_ray):
    (bad,) = cells(["digits/baseline"], "optim.lr=1e30", "optim.warmup_epochs=0")
    with pytest.raises(TrainingError, match="0 of 1 runs are finished") as caught:
        run_ray([bad], tmp_path)
    assert "not finite in epoch 1" in str(caught.value)
    assert (bad.folder(tmp_path) / "output.txt").read_text().count("error:") == 1


def test_without_ray_the_way_to_install_it_is_named(cells, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RecipeError, match=r"pip install 'braincog_tmkt\[ray\]'"):
        run_ray(cells(["digits/tmkt"]), tmp_path)


def test_a_cluster_that_is_not_there_is_named_at_once(cells, tmp_path, local_ray, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(RecipeError, match=f"RAY_ADDRESS={address}: .*refused"):
        run_ray(cells(["digits/tmkt"]), tmp_path)
