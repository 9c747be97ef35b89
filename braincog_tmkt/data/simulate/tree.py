"""The engine behind all simulated trees: what is to do, in how many processes, and the file that tells what it is."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...errors import DataError, RecipeError
from ...files import written_whole
from ..sets.listing import SIMULATED
from ..workers import interrupts_for_this_process_alone, start_worker
from .camera import SIMULATOR_VERSION, CameraParams
from .layout import Job, Layout, Writer, named_after, write_text

DECISIVE = {
    "simulator": "another version of the simulator",
    "layout": "another layout",
    "source_files": "other images",
    "seed": "another seed",
    "camera": "another camera",
}
"""Entries of the marker that decide about the bytes of a recording, and what to call another value."""


def make_tree(
    static_dir: Path,
    out_dir: Path,
    name: str,
    layout: Layout,
    params: CameraParams | None,
    seed: int,
    workers: int,
    limit: int | None,
    progress: bool,
) -> int:
    """Do what `simulate_tree` promises, for a layout that is known by `name`."""
    if limit is not None and limit < 1:
        raise RecipeError(f"limit_per_class is {limit}: it must be 1 or more, or left out")
    params = params or layout.params
    jobs = _list_jobs(static_dir, layout, limit)
    listed = jobs if layout.numbered else _list_jobs(static_dir, layout, None)
    description = _description(static_dir, name, params, seed, listed)
    if layout.renames:
        description["classes"] = named_after(listed)
    todo = [job for job in jobs if not all((out_dir / target).exists() for target in job.targets)]
    try:
        _mark(out_dir, layout, description, {target.parts[0] for job in listed for target in job.targets})
        for path, text in layout.tables(jobs).items():
            if not (out_dir / path).exists():
                _write({out_dir / path: partial(write_text, text=text)})
        _check_space(out_dir, _count(todo) * layout.bytes_each)
        for folder in {(out_dir / target).parent for job in todo for target in job.targets}:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{out_dir} cannot be made or written ({error.strerror}): choose another folder for the twin"
        ) from error
    record = partial(_record, out_dir=out_dir, layout=layout, params=params, seed=seed)
    total = _count(jobs)
    bar = tqdm(total=total, initial=total - _count(todo), desc="simulate", unit="rec", disable=not progress)
    with bar:
        for job, _ in zip(todo, _run(record, todo, workers), strict=True):
            bar.update(len(job.sources))
    return _count(todo)


def _count(jobs: Sequence[Job]) -> int:
    """How many recordings the jobs make."""
    return sum(len(job.sources) for job in jobs)


def _list_jobs(static_dir: Path, layout: Layout, limit: int | None) -> list[Job]:
    """All jobs of a static tree, checked: there are some, and no two make the same file."""
    if not static_dir.is_dir():
        raise DataError(f"{static_dir} is no folder: give the folder of the static images")
    jobs = list(layout.jobs(static_dir, limit))
    if not jobs:
        raise DataError(f"{static_dir} has nothing to simulate: give {layout.wanted}")
    seen: dict[Path, Path] = {}
    for job in jobs:
        target, source = job.targets[0], job.sources[0]
        if target in seen:
            raise DataError(f"{seen[target]} and {source} would both be {target}: rename one of them")
        seen[target] = source
    return jobs


def _description(static_dir: Path, layout: str, params: CameraParams, seed: int, jobs: Sequence[Job]) -> dict[str, Any]:
    """What the marker says; equal descriptions give equal recordings."""
    sizes = (" ".join(str(source.stat().st_size) for source in job.sources) for job in jobs)
    listing = "\n".join(f"{job.targets[0].as_posix()} {size}" for job, size in zip(jobs, sizes, strict=True))
    return {
        "what": "recordings simulated by braincog_tmkt, not real ones",
        "version": version("braincog_tmkt"),
        "simulator": SIMULATOR_VERSION,
        "layout": layout,
        "source": static_dir.resolve().name,
        "source_files": hashlib.sha256(listing.encode()).hexdigest(),
        "seed": seed,
        "camera": asdict(params),
    }


def _mark(out_dir: Path, layout: Layout, description: dict[str, Any], used: Collection[str]) -> None:
    """Write the marker into the tree's root and every folder that is used, before the first recording.

    A folder of recordings that is not used (there are no test images) is not made: it would be an empty part.
    """
    unmarked = []
    for folder in (out_dir, *(out_dir / name for name in layout.folders)):
        if (folder / SIMULATED).exists():
            _check_same(folder / SIMULATED, description)
        elif folder != out_dir and any(path.suffix.lower() == layout.suffix for path in folder.rglob("*")):
            raise DataError(f"{folder} holds recordings that are not simulated: choose another folder for the twin")
        elif folder == out_dir or folder.name in used:
            unmarked.append(folder)
    text = json.dumps(description, indent=2) + "\n"
    for folder in unmarked:
        folder.mkdir(parents=True, exist_ok=True)
        _write({folder / SIMULATED: partial(write_text, text=text)})


def _check_same(marker: Path, description: dict[str, Any]) -> None:
    """Check that `marker` describes the same recordings."""
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        other = [what for key, what in DECISIVE.items() if found[key] != description[key]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{marker} cannot be read: delete {marker.parent} and simulate again") from error
    if other:
        raise DataError(
            f"{marker.parent} holds recordings simulated with {' and '.join(other)}:"
            " choose another folder, or delete it"
        )


def _check_space(out_dir: Path, needed: int) -> None:
    free = shutil.disk_usage(out_dir).free
    if needed > free:
        raise DataError(
            f"{out_dir} has {free / 1e9:.1f} GB free, and the recordings need about {needed / 1e9:.1f} GB:"
            " free space or choose another folder"
        )


def _run(record: Callable[[Job], None], jobs: list[Job], workers: int) -> Iterator[None]:
    """Do the jobs, in this process or in several new ones; an error cancels what has not started."""
    if workers <= 1 or len(jobs) < 2:
        yield from map(record, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=start_worker) as pool:
        try:
            with interrupts_for_this_process_alone():
                done = pool.map(record, jobs, chunksize=4)  # starts all processes
            yield from done
        except BrokenProcessPool as error:
            raise DataError(
                "a process of the simulation was killed: use fewer workers, and run again to go on"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _record(job: Job, out_dir: Path, layout: Layout, params: CameraParams, seed: int) -> None:
    """Make the files of one job."""
    name = job.targets[0].as_posix()
    own_seed = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big")
    writers = layout.record(job, params, own_seed)
    _write({out_dir / target: writer for target, writer in zip(job.targets, writers, strict=True)})


def _write(files: dict[Path, Writer]) -> None:
    """Fill files under temporary names and rename them when all are filled, so that no one sees a part of any."""
    with written_whole(*files, suffix=f".{os.getpid()}.part") as parts:
        for fill, part in zip(files.values(), parts, strict=True):
            fill(part)
