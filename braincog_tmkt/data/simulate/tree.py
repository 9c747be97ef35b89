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

from ...errors import DataError, RecipeError
from ...files import written_whole
from ...progress import counting
from ...registry import did_you_mean
from ..sets.listing import HIDDEN_MARK, SIMULATED, mark_in
from ..workers import interrupts_for_this_process_alone, start_worker
from .caltech import Caltech
from .camera import SIMULATOR_VERSION, CameraParams
from .cepdvs import CepDvs
from .cifar10dvs import Cifar10Dvs
from .layout import Job, Layout, Writer, named_after, write_text
from .mnist import Mnist
from .omniglot import Omniglot

LAYOUTS: dict[str, Layout] = {
    "ncaltech101": Caltech(),
    "nmnist": Mnist(),
    "nomniglot": Omniglot(),
    "cepdvs": CepDvs(),
    "cifar10dvs": Cifar10Dvs(),
}

DECISIVE = {
    "simulator": "another version of the simulator",
    "layout": "another layout",
    "source_files": "other images",
    "seed": "another seed",
    "camera": "another camera",
}
"""Entries of the marker that decide about the bytes of a recording, and what to call another value."""


def simulate_tree(
    static_dir: str | Path,
    out_dir: str | Path,
    layout: str,
    params: CameraParams | None = None,
    seed: int = 0,
    workers: int = 1,
    limit_per_class: int | None = None,
    progress: bool = True,
) -> int:
    """Simulate a recording of every image of a tree. Run it again to go on after an interruption.

    Each recording is a function of the image, the parameters, the seed and its own name: the number of processes, the
    order and interruptions change no byte.

    Args:
        static_dir: the images: Caltech-101, MNIST as png folders, Omniglot (with strokes if there are any), CIFAR-10 as
            folders, or any tree of class folders.
        out_dir: root of the new tree; it can be given as the root of the data set.
        layout: the data set, a name in `LAYOUTS`.
        params: the camera; the layout's own if None.
        seed: one number for the whole tree.
        workers: processes; 1 starts none.
        limit_per_class: only the first so many images of every class.
        progress: whether to show a bar.

    Returns:
        How many recordings were made now; finished ones are skipped.

    Raises:
        RecipeError: for an unknown layout, or a limit that the layout cannot keep.
        DataError: if there is nothing to simulate, a source cannot be read, `out_dir` has real recordings or those of
            another simulation, or the disk is full. Finished recordings are whole and stay.
    """
    if layout not in LAYOUTS:
        raise RecipeError(f"unknown layout '{layout}' to simulate: {did_you_mean(layout, LAYOUTS)}")
    if limit_per_class is not None and limit_per_class < 1:
        raise RecipeError(f"limit_per_class is {limit_per_class}: it must be 1 or more, or left out")
    static, out = Path(static_dir).expanduser(), Path(out_dir).expanduser()
    plan = LAYOUTS[layout]
    params = params or plan.params
    jobs = _list_jobs(static, plan, limit_per_class)
    listed = jobs if plan.numbered else _list_jobs(static, plan, None)
    description = _description(static, layout, params, seed, listed)
    if plan.renames:
        description["classes"] = named_after(listed)
    todo = [job for job in jobs if not all((out / target).exists() for target in job.targets)]
    try:
        _mark(out, plan, description, {target.parts[0] for job in listed for target in job.targets})
        for path, text in plan.tables(jobs).items():
            if not (out / path).exists():
                _write({out / path: partial(write_text, text=text)})
        _check_space(out, _count(todo) * plan.bytes_each)
        for folder in {(out / target).parent for job in todo for target in job.targets}:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{out} cannot be made or written ({error.strerror}): choose another folder for the twin"
        ) from error
    record = partial(_record, out_dir=out, layout=plan, params=params, seed=seed)
    total = _count(jobs)
    with counting(total, f"simulating {layout}", "recording", total - _count(todo), progress) as count:
        for job, _ in zip(todo, _run(record, todo, workers), strict=True):
            count(len(job.sources))
    return _count(todo)


def _count(jobs: Sequence[Job]) -> int:
    """How many recordings the jobs make."""
    return sum(len(job.sources) for job in jobs)


def _list_jobs(static_dir: Path, layout: Layout, limit: int | None) -> list[Job]:
    """All jobs of a static tree, checked: there are some, and no two make the same file."""
    if not static_dir.is_dir():
        raise DataError(f"{static_dir} is not a folder: give the folder of the images with --static")
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
    """Write the marker into the tree's root and, hidden, into every folder that is used, before the first recording.

    A folder of recordings that is not used (there are no test images) is not made: it would be an empty part.
    """
    unmarked = []
    for folder in (out_dir, *(out_dir / name for name in layout.folders)):
        place = folder / (SIMULATED if folder == out_dir else HIDDEN_MARK)
        if mark := mark_in(folder):
            _check_same(mark, description)
            if mark != place:  # earlier versions did not hide it
                mark.replace(place)
        elif folder != out_dir and any(path.suffix.lower() == layout.suffix for path in folder.rglob("*")):
            raise DataError(f"{folder} holds recordings that are not simulated: choose another folder for the twin")
        elif folder == out_dir or folder.name in used:
            unmarked.append(place)
    text = json.dumps(description, indent=2) + "\n"
    for place in unmarked:
        place.parent.mkdir(parents=True, exist_ok=True)
        _write({place: partial(write_text, text=text)})


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
