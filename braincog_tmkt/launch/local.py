"""Runs side by side on one machine, each in a process of its own: what ends one of them leaves the others alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch

from ..engine.signals import Stopped, catch_signals
from ..errors import RecipeError, TmktError, TrainingError
from ..progress import make_bar
from ..results.store import RECORD, read_record
from ..terminal import labelled, painted, wrapped
from .plan import HOW_TO_STOP, RECIPE, RunSpec, is_finished, result_in_words, validate

OUTPUT = "output.txt"
LISTED = 8
"""Recipes that are named before a sweep."""

POLL = 0.2
"""Seconds between two looks at the processes."""

STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)
"""How a process ends after SIGTERM: its state saved, or, while it was still loading, at once."""

_CHILD = (
    "import sys; from braincog_tmkt.launch.local import follow_parent; from braincog_tmkt.cli import main;"
    " follow_parent(); sys.exit(main())"
)


def run_jobs(cells: list[RunSpec], runs: Path, jobs: int, resume: bool = False) -> None:
    """Train what is not finished yet, `jobs` runs at a time, and write the records.

    Each GPU that this process may use is given to every n-th of the running processes; on the CPU each gets its share
    of torch's threads, unless the recipe sets `train.threads`. What a run prints goes to `output.txt` in its folder;
    the recipe as it was trained is beside it, in `recipe.yaml`, and the user's own code in `code.zip`.

    Raises:
        RecipeError: for less than one job, or recipes that cannot be trained; nothing was started.
        TrainingError: once all others are finished, naming the runs that failed.
        Stopped: after SIGINT or SIGTERM, once the running ones have saved their state.
    """
    if jobs < 1:
        raise RecipeError(f"{jobs} runs at a time are too few: give --jobs 1 or more")
    todo = unfinished(cells, runs, resume)
    announce(todo, runs, f"{jobs} at a time")
    with catch_signals() as stop, Report(runs, len(todo)) as report, _Pool(runs, jobs, report) as pool:
        while pool.running or (todo and not stop.signum):
            while todo and pool.free and not stop.signum:
                pool.start(todo.pop(0))
            if stop.signum:
                pool.stop()
            time.sleep(POLL)
            pool.collect()
        report.conclude(stop.signum)


def unfinished(cells: list[RunSpec], runs: Path, resume: bool) -> list[RunSpec]:
    """The runs that are left, after a look at all recipes; says which ones are finished.

    Raises:
        RecipeError: if a recipe cannot be trained.
        DataError: if its data are missing.
        TrainingError: for a finished run of other data; for one that was begun, if `resume` is not set.
    """
    validate(cells, world_size=1)
    left = [cell for cell in cells if not is_finished(cell, runs)]
    begun = [cell.folder(runs) for cell in left if any((cell.folder(runs) / "checkpoints").glob("*.pt"))]
    if begun and not resume:
        more = f" (and {len(begun) - 1} more folders)" if len(begun) > 1 else ""
        raise TrainingError(f"{begun[0]} holds an unfinished run{more}: go on with --resume, or remove the folder")
    return left


def announce(todo: list[RunSpec], runs: Path, how: str) -> None:
    """Print which runs will be trained and where their results and output go; nothing if no run is left."""
    if not todo:
        return
    seeds: dict[str, list[str]] = {}
    for cell in todo:
        seeds.setdefault(str(cell).rpartition(" seed ")[0], []).append(str(cell.seed))
    listed = [f"{name} seed{'s' * (len(some) > 1)} {', '.join(some)}" for name, some in seeds.items()]
    shown = listed if len(listed) <= LISTED else [*listed[: LISTED - 1], f"and {len(listed) - LISTED + 1} more recipes"]
    print(painted(f"{len(todo)} run{'s' * (len(todo) > 1)} to train, {how}", "bold"))
    results = f"{runs}/RECIPE/HASH/seedN (record.json, checkpoints, log.csv, tensorboard, and {OUTPUT}: what it prints)"
    print(labelled([*(("" if number else "runs", line) for number, line in enumerate(shown)), ("results in", results)]))
    print(wrapped(HOW_TO_STOP))


def start(cell: RunSpec, runs: Path, threads: int, gpu: str | None = None) -> subprocess.Popen[bytes]:
    """Start the process that trains one run, in the current folder; it goes on from a checkpoint if there is one.

    It has a process group of its own, so that Ctrl-C reaches this process alone, which then passes it on; and it
    stops, its state saved, when this process is gone (see `follow_parent`).

    `threads` are OpenMP's; `gpu` is the only one it may use, as in CUDA_VISIBLE_DEVICES, which None leaves alone.

    Raises:
        TrainingError: if the run folder cannot be written.
        OSError: if no process can be started.
    """
    folder = cell.folder(runs)
    cell.write_inputs(runs)
    arguments = [str(folder / RECIPE), "--seeds", str(cell.seed), f"--runs={runs}", "--resume"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    with (folder / OUTPUT).open("ab") as output:
        command = [sys.executable, "-c", _CHILD, "train", *arguments]
        streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": output, "stderr": output}
        return subprocess.Popen(command, env=environment, start_new_session=True, **streams)


def follow_parent() -> None:
    """Have this process stop, as by SIGTERM, when its standard input ends, which the process that started it holds.

    So no run goes on when its sweep was killed, and none is in the way of the sweep that takes it up again.
    """

    def follow() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()


def visible_gpus() -> list[str | None]:
    """The GPUs of this process as CUDA_VISIBLE_DEVICES names them, `[None]` without any; none of them is touched."""
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",") if named else [str(number) for number in range(count)]
    return [*names[:count]] or [None]


def why_it_failed(status: int, output: Path) -> str:
    """The last line that a process printed, and the signal n that ended it if its exit status is -n."""
    try:
        lines = output.read_bytes()[-4096:].decode(errors="replace").split("\n")
    except OSError:
        lines = []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output").rpartition("\r")[2]
    if status >= 0:
        return last.removeprefix("error: ")
    guess = ", perhaps because memory ran out" if status == -signal.SIGKILL else ""
    return f"ended by {signal.Signals(-status).name}{guess}, after: {last}"


class Report:
    """A bar over the `total` runs to be done, a line for each that ended, and at the end an error if any is left."""

    def __init__(self, runs: Path, total: int) -> None:
        self.runs = runs
        self.finished = 0
        self.failures: list[str] = []
        # smoothing=0: the remaining time comes from the mean over all runs so far.
        self.bar = make_bar(total, "runs", "run", smoothing=0)

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def ended(self, cell: RunSpec, status: int) -> None:
        """A process has ended, well or not."""
        folder = cell.folder(self.runs)
        if status != 0:
            self.failed(cell, why_it_failed(status, folder / OUTPUT))
            return
        self.finished += 1
        self.bar.update()
        self.bar.write(f"{wrapped(result_in_words(read_record(folder)))}\nrecord: {folder / RECORD}\n")

    def failed(self, cell: RunSpec, reason: str) -> None:
        """A run was not finished, for the reason given."""
        self.failures.append(f"{cell}: {reason} ({cell.folder(self.runs) / OUTPUT})")
        self.bar.set_postfix_str(f"{len(self.failures)} failed", refresh=False)
        self.bar.write(f"failed: {self.failures[-1]}\n")

    def conclude(self, signum: int) -> None:
        """Raise if a run is not finished: `Stopped` if there was a signal, else `TrainingError`, with what failed."""
        self.bar.close()
        if self.finished == self.bar.total:
            return
        done = f"{self.finished} of {self.bar.total} runs are finished; run the same command with --resume to"
        listed = "".join(f"\n  {failure}" for failure in self.failures)
        if signum:
            raise Stopped(f"stopped by {signal.Signals(signum).name}, {done} go on{listed}", signum)
        raise TrainingError(f"{done} try the others again:{listed}")


class _Pool:
    """The processes that are running, in `jobs` places, each with its GPU; none is left behind."""

    def __init__(self, runs: Path, jobs: int, report: Report) -> None:
        self.runs, self.report = runs, report
        self.threads = max(1, torch.get_num_threads() // jobs)
        self.free = list(range(min(jobs, int(report.bar.total or 0))))
        self.running: dict[int, tuple[RunSpec, subprocess.Popen[bytes]]] = {}
        self.gpus = visible_gpus()
        self.stopping = False

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *error: object) -> None:
        """Kill what an error, or a second Ctrl-C, would leave."""
        for _, process in self.running.values():
            process.kill()
            process.communicate()

    def start(self, cell: RunSpec) -> None:
        """Start a run in a free place."""
        place = self.free.pop(0)
        gpu = self.gpus[place % len(self.gpus)]
        try:
            process = start(cell, self.runs, cell.recipe.train.threads or self.threads, gpu)
        except (TmktError, OSError) as error:
            self.report.failed(cell, str(error))
            self.free.append(place)
        else:
            self.running[place] = cell, process

    def stop(self) -> None:
        """Ask all to stop, once: asked again while it ends, a process would not say where it stopped."""
        if not self.stopping:
            self.stopping = True
            for _, process in self.running.values():
                process.terminate()

    def collect(self) -> None:
        """Report those that have ended, and free their places."""
        for place, (cell, process) in list(self.running.items()):
            if process.poll() is None:
                continue
            process.communicate()  # closes the pipe
            if not (self.stopping and process.returncode in STOPPED):
                self.report.ended(cell, process.returncode)
            del self.running[place]
            self.free.append(place)
        self.report.bar.update(0)  # the time goes on
