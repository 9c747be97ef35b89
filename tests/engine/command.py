"""The command in a process of its own, on a small share of the embedded digits."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from braincog_tmkt.cli import main
from tests.children import Child

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("data.train_per_class=8", "data.val_portion=0.0", "data.steps=3", "train.batch=16", "model.width=0.5")


def start(cache, *arguments, recipe="digits/tmkt", settings=SMALL, seeds=(1,)):
    """Start `tmkt train` with its frames in `cache`: for several devices in a new Python, which starts the others."""
    words = ["train", recipe, *settings, f"data.cache={cache}", "--seeds", *map(str, seeds), *arguments]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "GLOO_SOCKET_IFNAME": "lo"}
    if "--devices" not in arguments or "1" in arguments:
        return Child(main, words, env=environment)
    return subprocess.Popen(
        [sys.executable, "-m", "braincog_tmkt.cli", *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process, timeout=240):
    """Wait; return exit status, standard output and standard error."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


def weights(folder, name="last.pt"):
    """What a run has learnt."""
    return torch.load(folder / "checkpoints" / name, weights_only=True)["method"]


def run_folder(runs, seed=1):
    """The only run of this seed below `runs`."""
    (folder,) = runs.rglob(f"seed{seed}")
    return folder
