"""Ctrl-C while worker processes start: they never see it, and the parent gets it once they are all there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from braincog_tmkt.data import workers

COMMAND = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
os.environ.setdefault("PARENT", str(os.getpid()))
import workers
from slow import work

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(2, mp_context=context, initializer=workers.start_worker) as pool:
            with workers.interrupts_for_this_process_alone():
                done = pool.map(work, range(2))
                print("now", flush=True)
                sys.stdin.read(1)
            print("never")
    except KeyboardInterrupt:
        print(*done)
"""
SLOW = """
import os, time

def work(number):
    return number

if os.environ["PARENT"] != str(os.getpid()):  # a worker that imports for a long time
    open(f"started{os.getpid()}", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)
"""


def test_workers_that_still_import_never_see_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "command.py").write_text(COMMAND)
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "workers.py").write_text(Path(workers.__file__).read_text())
    process = subprocess.Popen(
        [sys.executable, "command.py"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert process.stdout.readline() == "now\n"
    for _ in range(6000):
        if len(list(tmp_path.glob("started*"))) == 2:
            break
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    (tmp_path / "go").touch()
    assert process.communicate("x", timeout=120) == ("0 1\n", "")
    assert process.returncode == 0
