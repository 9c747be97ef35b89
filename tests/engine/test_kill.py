"""A run that is killed and stopped again and again ends with the weights of one that never was."""

import json
import random
import signal
import time

from braincog_tmkt.engine import checkpoint

from .command import SMALL, finish, run_folder, start, weights
from .toys import equal

SETTINGS = (*SMALL, "train.epochs=16", "train.eval_every=8")
MOMENTS = ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143))


def newest(runs):
    """When the newest checkpoint was written; 0 while there is none, or it is just being renamed."""
    try:
        return max((path.stat().st_mtime_ns for path in runs.rglob("last.pt")), default=0)
    except OSError:
        return 0


def interrupt(process, runs, signum):
    """Send a signal after the process has written a few checkpoints, at some moment of the next epoch."""
    wanted, last, times = random.randint(2, 4), newest(runs), []
    while len(times) < wanted and process.poll() is None:
        now = newest(runs)
        if now not in (0, last):
            last = now
            times.append(time.perf_counter())
        time.sleep(0.002)
    if len(times) > 1:
        time.sleep(random.uniform(0, times[-1] - times[-2]))
    process.send_signal(signum)
    return finish(process)


def test_killed_and_stopped_again_and_again(tmp_path, cache):
    assert finish(start(cache, "--runs", str(tmp_path / "whole"), settings=SETTINGS))[0] == 0
    whole = run_folder(tmp_path / "whole")
    runs = tmp_path / "runs"
    for signum, expected in MOMENTS:
        process = start(cache, "--runs", str(runs), "--resume", settings=SETTINGS)
        status, _, err = interrupt(process, runs, signum)
        assert status == expected, err
        assert not (run_folder(runs) / "record.json").exists()
        # After every kill there is a checkpoint that can be read; between two renames it is the one before.
        assert checkpoint.load_newest(run_folder(runs) / "checkpoints", print)
        if signum != signal.SIGKILL:
            assert f"error: stopped by {signum.name}" in err
            assert err.count("\n") == 1
            assert "--resume" in err
    status, out, err = finish(start(cache, "--runs", str(runs), "--resume", settings=SETTINGS))
    assert status == 0, err
    assert "going on at epoch" in out
    assert equal(weights(run_folder(runs)), weights(whole))
    one, other = (json.loads((folder / "record.json").read_text()) for folder in (run_folder(runs), whole))
    for key in ("last", "best_test", "firing_rates", "synaptic_operations"):
        assert one[key] == other[key]
    assert [{**entry, "seconds": 0} for entry in one["history"]] == [{**e, "seconds": 0} for e in other["history"]]
