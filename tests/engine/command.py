"""The real command in a real process, on a small share of the embedded digits."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "data.train_per_class=8",
    "data.val_portion=0.0",
    "data.steps=3",
    "train.batch=16",
    "model.width=0.5",
)


def start(cache, *arguments, recipe="digits/tmkt", settings=SMALL, seeds=(1,)):
    """Start `tmkt train` with its frames in `cache`."""
    seed_options = ["--seeds", *map(str, seeds)]
    command = [
        sys.executable,
        "-m",
        "braincog_tmkt.cli",
        "train",
        recipe,
        *settings,
        f"data.cache={cache}",
        *seed_options,
        *arguments,
    ]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "GLOO_SOCKET_IFNAME": "lo"},
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


def run_folder(runs, seed=1):
    """The only run of this seed below `runs`."""
    (folder,) = runs.rglob(f"seed{seed}")
    return folder
