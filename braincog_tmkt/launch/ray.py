"""Runs side by side through Ray: on this machine, or on the nodes of a cluster that share a file system."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..engine.signals import StopRequest, catch_signals
from ..errors import RecipeError
from .local import POLL, Report, announce, start, unfinished
from .plan import RunSpec

RETRIES = 5
"""How often a run is taken up again after its process, its worker or its node has died."""

PATIENCE = 300.0
"""Seconds that a run waits for the process of a dead worker, which saves its state, to leave the folder."""


class RunDied(Exception):
    """The process of a run was ended by a signal; its argument is the status of `subprocess.Popen`."""


def run_ray(cells: list[RunSpec], runs: Path, resume: bool = False) -> None:
    """Train what is not finished yet as tasks of Ray, and write the records.

    It uses the cluster that RAY_ADDRESS names, or one of this machine's that ends with the sweep. Each run is a
    process of its own, as in `local.run_jobs`, on one GPU if the cluster has any, and `train.threads` CPUs (or one).
    If it dies, or its worker or node, Ray takes it up again from its checkpoint. All nodes need this project, the
    current folder, the data and `runs` at the same path: a shared file system, whose file locks work across nodes.

    Raises:
        RecipeError: if Ray is not installed or reached; and what `local.run_jobs` raises.
    """
    ray = _import_ray()
    todo = unfinished(cells, runs, resume)
    if not todo:
        return
    try:
        with catch_signals() as early:  # and put back the handlers that Ray replaces
            _connect(ray)
        early.check()
        announce(todo, runs, "by Ray")
        with catch_signals() as stop, Report(runs, len(todo)) as report:
            refs = _submit(ray, todo, runs)
            _collect(ray, refs, report, stop)
            report.conclude(stop.signum)
    finally:
        ray.shutdown()


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when it is imported
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise RecipeError(f"Ray is not installed ({error}): pip install 'braincog_tmkt[ray]'") from error


def _connect(ray: Any) -> None:
    """Find the cluster, or start one on this machine."""
    address = os.environ.get("RAY_ADDRESS", "local")
    host, _, port = address.rpartition(":")
    try:
        if port.isdigit():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise RecipeError(
            f"Ray cannot be used with RAY_ADDRESS={address}: {' '.join(str(error).split())}; correct or unset"
            " RAY_ADDRESS"
        ) from error


def _submit(ray: Any, todo: list[RunSpec], runs: Path) -> dict[Any, RunSpec]:
    """One task a run.

    Raises:
        RecipeError: if no node has the CPUs for one; it would wait for ever.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = max(node.get("CPU", 0) for node in nodes)
    gpus = int(any(node.get("GPU", 0) for node in nodes))
    for cell in todo:
        if _threads(cell) > most:
            wanted = f"train.threads={_threads(cell)}"
            raise RecipeError(
                f"{cell} takes {wanted}, but no node of Ray has over {most:.0f} CPUs: set a smaller train.threads"
            )
    task = ray.remote(max_retries=RETRIES, retry_exceptions=[RunDied])(_train)
    here = Path.cwd()
    return {task.options(num_cpus=_threads(cell), num_gpus=gpus).remote(cell, runs, here): cell for cell in todo}


def _collect(ray: Any, refs: dict[Any, RunSpec], report: Report, stop: StopRequest) -> None:
    """Report the tasks as they end; after a signal, have all of them stop."""
    cancelled = False
    while refs:
        if stop.signum and not cancelled:
            cancelled = True
            for ref in refs:
                ray.cancel(ref)
        for ref in ray.wait(list(refs), timeout=POLL)[0]:
            cell = refs.pop(ref)
            try:
                report.ended(cell, ray.get(ref))
            except ray.exceptions.TaskCancelledError:
                pass
            except ray.exceptions.RayError as error:
                cause = getattr(error, "cause", None) or error
                if isinstance(cause, RunDied):
                    report.ended(cell, cause.args[0])
                else:
                    report.failed(cell, " ".join(str(cause).split())[:300])
        report.bar.update(0)  # the time goes on


def _threads(cell: RunSpec) -> int:
    return cell.recipe.train.threads or 1


def _train(cell: RunSpec, runs: Path, where: Path) -> int:
    """What a worker does: have a process train the run, and return its exit status.

    Raises:
        RunDied: if a signal ended it.
    """
    os.chdir(where)
    folder = cell.folder(runs)
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(Timeout), FileLock(folder / ".lock").acquire(timeout=PATIENCE):
        pass  # if it is still taken, the new process will say so
    process = start(cell, runs, _threads(cell))
    try:
        while process.poll() is None:
            time.sleep(POLL)
    finally:  # Ray cancels a task by an interrupt
        process.terminate()
        process.communicate()
    if process.returncode < 0 or process.returncode > 128:
        raise RunDied(process.returncode)
    return process.returncode
