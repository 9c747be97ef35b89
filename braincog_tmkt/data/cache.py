"""Frames of a whole data set, made once: memory-mapped, in parallel, resumable after a kill.

A finished cache is a folder `<name>-<hash>` with `events.npy` and `images.npy`, and `remarks.jsonl` if something was
said about the files. While it is made it is called `<name>-<hash>.partial` and has a `.done` file for each array, one
byte an item, set once the item is on the disk.
"""

import errno
import hashlib
import importlib
import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from ..errors import DataError
from ..files import user_path
from ..own_code import Code, code_behind, digests, load_code, loaded_code
from ..progress import counting
from .content import marks_of
from .frames import FRAMES, READER_VERSION
from .images import refuse_plain
from .notes import in_words, listening, read_remarks, write_remarks
from .readers import READERS
from .room import bytes_in_words, cache_bytes, need_memory, size_in_words
from .sets.base import DataSet
from .static import APPEARANCES, static_shape
from .types import FrameSpec, Index, Item
from .workers import interrupts_for_this_process_alone, start_worker

CHUNK = 32
"""Items that a worker makes, writes and marks as done at once, at most twice as many: what a kill costs, per worker."""

LARGE = 5000
"""Items from which several processes pay: starting one costs about 4 seconds."""

REMARKS = "remarks.jsonl"
"""File of what was said about recordings and images, if there was anything."""

ELSEWHERE = "choose another folder with data.cache=FOLDER (tmkt data prepare: --cache FOLDER)"

_Job = tuple[Path, list[tuple[int, Item]]]
"""The file of an array, and rows of it with their items."""


@dataclass(frozen=True)
class Frames:
    """The frames of a data set, rows as in its index, memory-mapped and read-only.

    Args:
        events: `[N, T, channels, H, W]`, float32 (`[N, 1, ...]` if the data set is `still`).
        images: `[M, H, W]`, uint8, the channel that stands for an image; `[M, 3, H, W]` for `appearance: rgb`.
        event_marks: numbers that stand for the content of each recording, see `content.marks_of`.
        image_marks: the same of each image.
        remarks: what a user should know about the files, a sentence each.
    """

    events: np.ndarray
    images: np.ndarray
    event_marks: np.ndarray
    image_marks: np.ndarray
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Array:
    """One of the two arrays of a cache."""

    file: str
    items: tuple[Item, ...]
    row_shape: tuple[int, ...]
    dtype: type

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.items), *self.row_shape)


def prepare(
    dataset: DataSet,
    index: Index,
    spec: FrameSpec,
    cache_dir: str | Path,
    workers: int | None = None,
    progress: bool = True,
) -> Frames:
    """Return the frames of all recordings and images, making those that are not in the cache yet.

    A second process that needs the same frames waits for the first and then shares its files. With more than one
    worker, a script must call this under `if __name__ == "__main__":`, as always when Python starts processes.

    Args:
        dataset: reads the files.
        index: its recordings and images.
        spec: T, height and width of a frame, and how events and images fill it.
        cache_dir: folder of all caches, made if missing.
        workers: processes; 1 works in this one, None takes one a core for sets large enough to pay for their start.
        progress: show a bar with rate and remaining time.

    Raises:
        DataError: for a file that cannot be read (naming it), frames that do not fit into the memory, a full disk or a
            cache folder that cannot be written. Finished frames are kept, and the next call goes on from there.
    """
    modules = _modules_behind(dataset, index, spec)
    code = digests({file: source for module in modules for file, source in code_behind(module).items()})
    about = {
        "dataset": dataset.name,
        **spec.as_dict(),
        **({"steps": 1} if dataset.still else {}),
        "sensor": None if dataset.own_extent else getattr(dataset, "sensor", None),
        "reader_version": READER_VERSION,
        "fingerprint": dataset.fingerprint(index),
        **({"own": dict(dataset.own)} if dataset.own else {}),
        **({"code": code} if code else {}),
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    folder = user_path(cache_dir) / f"{dataset.name}-{key}"
    steps = 1 if dataset.still else spec.steps
    arrays = (
        _Array("events.npy", index.recordings, (steps, dataset.channels, *spec.shape), np.float32),
        _Array("images.npy", index.statics, static_shape(spec), np.uint8),
    )
    try:
        if not folder.is_dir():
            most = need_memory(dataset, index, spec)
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _locked(folder.with_name(f"{folder.name}.lock"), progress):
                if not folder.is_dir():
                    unfinished = _open_partial(folder, arrays, about, size_in_words(spec))
                    if progress:
                        size = bytes_in_words(cache_bytes(dataset, index, spec))
                        print(f"{size_in_words(spec)} make {size} of frames in {folder}", file=sys.stderr)
                    _make(dataset, spec, modules, unfinished, arrays, min(workers or _worth(index), most), progress)
                    unfinished.rename(folder)
                    for done in folder.glob("*.done"):
                        done.unlink()
        events, images = (_load(folder / array.file, array) for array in arrays)
        event_marks, image_marks = (marks_of(folder / array.file) for array in arrays)
    except OSError as error:
        raise _disk_error(error, folder.parent) from error
    remarks = tuple(_sentences(folder / REMARKS, arrays, dataset))
    return Frames(events, images, event_marks, image_marks, remarks)


def _modules_behind(dataset: DataSet, index: Index, spec: FrameSpec) -> list[str]:
    """The modules of what makes these frames and may be the user's own."""
    suffixes = {item.path.suffix.lower() for item in index.recordings if item.path}
    readers = [READERS[suffix].read for suffix in suffixes & READERS.keys()]
    makers = type(dataset), FRAMES[spec.kind], APPEARANCES[spec.appearance], *readers
    return sorted({maker.__module__ for maker in makers})


def _worth(index: Index) -> int:
    """One process a core, unless importing torch in each takes longer than making the frames in this one."""
    return os.cpu_count() or 1 if len(index.recordings) + len(index.statics) > LARGE else 1


def _locked(path: Path, progress: bool) -> AbstractContextManager[object]:
    """Take the lock, with a message if another process has it; the system frees it when that process dies."""
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        if progress:
            print(f"another process is making {path.with_suffix('')}: waiting for it", file=sys.stderr)
        return lock.acquire()


def _disk_error(error: OSError, folder: Path) -> DataError:
    """Explain why the cache could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(f"the disk of {folder} is full: free some space or {ELSEWHERE}, then run this again")
    return DataError(f"the folder of the frame cache, {folder}, cannot be used ({error}): {ELSEWHERE}")


def _load(path: Path, array: _Array) -> np.ndarray:
    """Map a finished array."""
    try:
        rows = np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}): delete the folder {path.parent} and run this again") from error
    if rows.shape != array.shape or rows.dtype != array.dtype:
        raise DataError(
            f"{path} has not the size that it should have: delete the folder {path.parent} and run this again"
        )
    return rows


def _sentences(file: Path, arrays: tuple[_Array, ...], dataset: DataSet) -> Iterator[str]:
    """What was said about the recordings and images when their frames were made."""
    try:
        said = read_remarks(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is damaged ({error}): delete the folder {file.parent} and run this again") from error
    for array, items in zip(arrays, ("recordings", "images"), strict=True):
        found = [(_place(array.items[row], dataset), words) for name, row, words in said if name == array.file]
        yield from in_words(found, len(array.items), items)


def _place(item: Item, dataset: DataSet) -> str:
    """What to call an item: its file below the root, if it has one."""
    path = item.path
    return item.key if path is None else str(path.relative_to(dataset.root) if dataset.root in path.parents else path)


def _open_partial(folder: Path, arrays: tuple[_Array, ...], about: dict[str, object], settings: str) -> Path:
    """Return the folder of the unfinished cache, with all files in place; new ones where a kill left none.

    A DataError if the disk has no room for the whole cache.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    written = sum(file.stat().st_blocks * 512 for file in partial.glob("*.npy"))
    missing = sum(int(np.prod(array.shape)) * np.dtype(array.dtype).itemsize for array in arrays) - written
    free = shutil.disk_usage(folder.parent).free
    if missing > free:
        raise DataError(
            f"{settings} need {bytes_in_words(missing)} more for the frame cache, but {bytes_in_words(free)} are left"
            f" on the disk of {folder.parent}: free some space, take fewer steps or smaller frames, or {ELSEWHERE}"
        )
    partial.mkdir(exist_ok=True)
    (partial / "about.json").write_text(json.dumps(about, indent=1))
    for array in arrays:
        done = partial / f"{array.file}.done"
        if not done.is_file() or done.stat().st_size != len(array.items):
            # A sparse file: only what is written takes space. The map comes last, so that it vouches for the array.
            np.lib.format.open_memmap(partial / array.file, mode="w+", dtype=array.dtype, shape=array.shape).flush()
            done.write_bytes(bytes(len(array.items)))
    return partial


def _make(
    dataset: DataSet,
    spec: FrameSpec,
    modules: list[str],
    partial: Path,
    arrays: tuple[_Array, ...],
    workers: int,
    progress: bool,
) -> None:
    """Make all rows that are not done yet, in this process or in several."""
    jobs: list[_Job] = []
    for array in arrays:
        done = np.frombuffer((partial / f"{array.file}.done").read_bytes(), dtype=np.uint8)
        todo = [(row, array.items[row]) for row in np.flatnonzero(done == 0).tolist()]
        jobs += [(partial / array.file, chunk) for chunk in _chunks(todo)]
    total, left = sum(len(array.items) for array in arrays), sum(len(chunk) for _, chunk in jobs)
    with counting(total, f"frames of {dataset.name}", "item", total - left, progress) as count:
        for made in _run(dataset, spec, modules, jobs, workers):
            count(made)


def _chunks(todo: list[tuple[int, Item]]) -> Iterator[list[tuple[int, Item]]]:
    """Cut rows into pieces of `CHUNK` or some more, rows of one file together: the data set can read it only once."""
    todo = sorted(todo, key=lambda entry: str(entry[1].path))
    start = 0
    while start < len(todo):
        end = start + CHUNK
        while end < min(start + 2 * CHUNK, len(todo)) and todo[end][1].path == todo[end - 1][1].path:
            end += 1
        yield todo[start:end]
        start = end


def _run(dataset: DataSet, spec: FrameSpec, modules: list[str], jobs: list[_Job], workers: int) -> Iterator[int]:
    """Yield the number of items of each job when they are on the disk."""
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield _write_rows(dataset, spec, *job)
        return
    # A plain fork would copy the locks of torch's threads. The fork server imports torch once for all workers.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload([__name__])
    count, code = min(workers, len(jobs)), loaded_code()
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker, initargs=(code, modules))
    try:
        with interrupts_for_this_process_alone():
            futures = [pool.submit(_write_rows, dataset, spec, *job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a process that made frames died (out of memory, or a script without `if __name__ == '__main__':`):"
            " run this again with fewer workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(code: Code, modules: list[str]) -> None:
    """Set up a worker: the user's own code, one thread, and what `workers.start_worker` does."""
    load_code(code)
    for module in modules:  # a reader or a kind of frames of the user's own is known once its module is imported
        with suppress(ImportError):  # of a script that this process has as its main program
            importlib.import_module(module)
    torch.set_num_threads(1)
    start_worker()


def _write_rows(dataset: DataSet, spec: FrameSpec, file: Path, chunk: list[tuple[int, Item]]) -> int:
    """Make some rows of an array, write them, and only when they are on the disk mark them as done.

    Plain writes, not the memory map: on a full disk a write fails with an error, a map kills the process. Remarks on
    the items go to the disk before these are marked: a kill in between has them written twice, and read once.
    """
    said = []
    make = dataset.frames if file.name == "events.npy" else partial(_image_row, dataset)
    target = np.load(file, mmap_mode="r")
    with file.open("r+b") as rows, file.with_name(f"{file.name}.done").open("r+b") as done:
        for row, item in chunk:
            with listening() as heard:
                data = make(item, spec)
            said += [(file.name, row, words) for words in heard]
            assert (data.shape, data.dtype) == (target.shape[1:], target.dtype), (
                f"{dataset.name}: {data.dtype}{data.shape}"
            )
            rows.seek(target.offset + row * data.nbytes)
            rows.write(data.tobytes())
        rows.flush()
        os.fsync(rows.fileno())
        write_remarks(file.with_name(REMARKS), said)
        for row, _ in chunk:
            done.seek(row)
            done.write(b"\1")
    return len(chunk)


def _image_row(dataset: DataSet, item: Item, spec: FrameSpec) -> np.ndarray:
    """Make one static image."""
    image = dataset.image(item, spec.size, spec.appearance)
    refuse_plain(image, f"{item.path or item.key} as an image of {spec.in_words} ({spec.appearance})")
    return image
