"""Simulated twins of event data sets: a tree of images becomes a tree of recordings, in the real layout and bytes.

The camera is in `saccade.py`. A file `SIMULATED.json` beside the recordings says what they are, so that no reader takes
them for real ones.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from ..errors import DataError, RecipeError
from ..registry import did_you_mean
from .readers.atis import write_atis
from .saccade import SIMULATOR_VERSION, CameraParams, simulate_events
from .sets.listing import SIMULATED, first_folder, number_in
from .sets.ncaltech101 import STATIC_LAYOUTS
from .sets.nmnist import PNG_LAYOUTS

__all__ = ["LAYOUTS", "SIMULATOR_VERSION", "CameraParams", "simulate_events", "simulate_tree"]

DECISIVE = {
    "simulator": "another version of the simulator",
    "layout": "another layout",
    "source_files": "other images",
    "seed": "another seed",
    "camera": "another camera",
}
"""Entries of the marker that decide about the bytes of a recording, and what to call another value."""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Job:
    """One image and where its recording goes, relative to the tree's root."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Layout:
    """How a data set is laid out and shows its images.

    Args:
        folders: the folders of the recordings, relative to the tree's root.
        jobs: lists the jobs of a static tree.
        render: turns an opened image into what the sensor sees, uint8 `[H, W]`.
        bytes_each: rough size of a recording, for the check of free space.
    """

    folders: tuple[str, ...]
    jobs: Callable[[Path], Iterator[Job]]
    render: Callable[[Image.Image], np.ndarray]
    bytes_each: int


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def _classes(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _caltech_jobs(static_dir: Path) -> Iterator[Job]:
    """One job an image of Caltech-101 or of any tree of class folders; Faces, the double of Faces_easy, is left out."""
    root = first_folder(static_dir, STATIC_LAYOUTS) or static_dir
    names = {folder.name for folder in _classes(root)}
    for folder in _classes(root):
        if folder.name == "Faces" and "Faces_easy" in names:
            continue
        for source in _images(folder):
            yield Job(source, Path("Caltech101", folder.name, f"{source.stem}.bin"))


def _mnist_jobs(static_dir: Path) -> Iterator[Job]:
    """One job an image of `[train|test/]<digit>/<index>.png`; recording k shows image k - 1, as in N-MNIST."""
    top = first_folder(static_dir, PNG_LAYOUTS) or static_dir
    parts = [(top / name, name.capitalize()) for name in ("train", "test") if (top / name).is_dir()]
    for root, part in parts or [(top, "Train")]:
        for folder in _classes(root):
            for source in _images(folder):
                yield Job(source, Path(part, folder.name, f"{number_in(source) + 1:05d}.bin"))


def _render_fitted(image: Image.Image) -> np.ndarray:
    """As large as fits into 240x180 with the aspect ratio kept; the sensor is cut to the image."""
    scale = min(240 / image.width, 180 / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def _render_digit(image: Image.Image) -> np.ndarray:
    """28x28 in the middle of 34x34, dark on bright: the real recordings show the negatives (docs/data.md)."""
    digit = image if image.size == (28, 28) else image.resize((28, 28), Image.Resampling.BILINEAR)
    return np.asarray(ImageOps.invert(ImageOps.expand(digit, border=3, fill=0)))


LAYOUTS: dict[str, Layout] = {
    "ncaltech101": Layout(("Caltech101",), _caltech_jobs, _render_fitted, bytes_each=400_000),
    "nmnist": Layout(("Train", "Test"), _mnist_jobs, _render_digit, bytes_each=25_000),
}


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
        static_dir: Caltech-101, MNIST as png folders, or any tree of class folders with images.
        out_dir: root of the new tree; it can be given as the root of the data set.
        layout: `ncaltech101` (any images) or `nmnist` (digits named by their index).
        params: the camera; the calibrated one if None.
        seed: one number for the whole tree.
        workers: processes; 1 starts none.
        limit_per_class: only the first so many images of every class.
        progress: whether to show a bar.

    Returns:
        How many recordings were made now; finished ones are skipped.

    Raises:
        RecipeError: for an unknown layout.
        DataError: if the tree holds no images, one of them cannot be read, `out_dir` holds real recordings or those of
            another simulation, or the disk is full. What is finished by then is whole and stays.
    """
    if layout not in LAYOUTS:
        raise RecipeError(f"unknown layout '{layout}' to simulate: {did_you_mean(layout, LAYOUTS)}")
    params = params or CameraParams()
    static_dir, out_dir = Path(static_dir).expanduser(), Path(out_dir).expanduser()
    jobs = _list_jobs(static_dir, layout)
    _mark(out_dir, LAYOUTS[layout].folders, _description(static_dir, layout, params, seed, jobs))
    if limit_per_class is not None:
        jobs = _first_of_class(jobs, limit_per_class)
    todo = [job for job in jobs if not (out_dir / job.target).exists()]
    _check_space(out_dir, len(todo) * LAYOUTS[layout].bytes_each)
    for folder in {out_dir / job.target.parent for job in todo}:
        folder.mkdir(parents=True, exist_ok=True)
    record = partial(_record, out_dir=out_dir, layout=layout, params=params, seed=seed)
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(todo), desc="simulate", unit="rec", disable=not progress)
    with bar:
        for _ in _run(record, todo, workers):
            bar.update()
    return len(todo)


def _list_jobs(static_dir: Path, layout: str) -> list[Job]:
    """All jobs of a static tree, checked: there are some, and no two make the same recording."""
    if not static_dir.is_dir():
        raise DataError(f"{static_dir} is no folder: give the folder of the static images")
    jobs = list(LAYOUTS[layout].jobs(static_dir))
    if not jobs:
        raise DataError(f"{static_dir} has no images in class folders: give the folder that holds <class>/<image>")
    seen: dict[Path, Path] = {}
    for job in jobs:
        if job.target in seen:
            raise DataError(f"{seen[job.target]} and {job.source} would both be {job.target}: rename one of them")
        seen[job.target] = job.source
    return jobs


def _first_of_class(jobs: list[Job], limit: int) -> list[Job]:
    taken: dict[Path, int] = {}
    kept = []
    for job in jobs:
        taken[job.target.parent] = taken.get(job.target.parent, 0) + 1
        if taken[job.target.parent] <= limit:
            kept.append(job)
    return kept


def _description(static_dir: Path, layout: str, params: CameraParams, seed: int, jobs: list[Job]) -> dict[str, Any]:
    """What the marker says; equal descriptions give equal recordings."""
    listing = "\n".join(f"{job.target.as_posix()} {job.source.stat().st_size}" for job in jobs)
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


def _mark(out_dir: Path, folders: Iterable[str], description: dict[str, Any]) -> None:
    """Write the marker into the tree's root and every folder of recordings, before the first recording."""
    text = json.dumps(description, indent=2) + "\n"
    for folder in (out_dir, *(out_dir / name for name in folders)):
        marker = folder / SIMULATED
        if marker.exists():
            _check_same(marker, description)
        elif folder != out_dir and next(folder.glob("**/*.bin"), None):
            raise DataError(f"{folder} holds recordings that are not simulated: choose another folder for the twin")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            _write(marker, lambda path: path.write_text(text, encoding="utf-8"))


def _check_same(marker: Path, description: dict[str, Any]) -> None:
    """Raise a `DataError` if `marker` describes other recordings."""
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
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        try:
            yield from pool.map(record, jobs, chunksize=4)
        except BrokenProcessPool as error:
            raise DataError(
                "a process of the simulation was killed: use fewer workers, and run again to go on"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _record(job: Job, out_dir: Path, layout: str, params: CameraParams, seed: int) -> None:
    """Simulate one recording; the file appears whole or not at all."""
    name = job.target.as_posix()
    own_seed = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big")
    try:
        with Image.open(job.source) as image:
            shown = LAYOUTS[layout].render(image.convert("L"))
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{job.source} cannot be read as an image: replace it or take it away") from error
    events = simulate_events(shown, params, own_seed)
    if not events.size:
        raise DataError(f"{job.source} makes no events (one colour, no noise): take it away or raise the noise")
    _write(out_dir / job.target, lambda path: write_atis(path, events))


def _write(path: Path, fill: Callable[[Path], Any]) -> None:
    """Fill a file under a temporary name and rename it, so that no one sees a part of it."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        fill(part)
        part.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}): free space or choose another folder") from error
    finally:
        part.unlink(missing_ok=True)
