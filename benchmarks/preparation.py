"""How long frames take: from events, from files, through the cache; against tonic and BrainCog in the same run.

    python benchmarks/preparation.py            # prints the tables, writes benchmarks/results/preparation.{csv,md}

The recordings are made up: events spread evenly over pixels and time, which is the worst case for the processor's
caches. A recording is timed three times by either side in turn, in one thread and by that thread's clock, which stands
still while other programs run; the fastest counts. Shown are medians over the recordings, of their ratios too.
"""

from __future__ import annotations

import csv
import importlib
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch.nn.functional import interpolate

from braincog_tmkt.data.cache import prepare
from braincog_tmkt.data.frames import to_frames
from braincog_tmkt.data.readers.atis import read_atis, write_atis
from braincog_tmkt.data.sets.ncaltech101 import NCaltech101
from braincog_tmkt.data.types import EVENT_DTYPE, FrameSpec, Index, Item

# tonic, torchvision and BrainCog are imported where they are needed: the processes of `prepare` import this file, too.

RESULTS = Path(__file__).parent / "results"
RECORDINGS, ROUNDS = 24, 3
TONIC_DTYPE = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
CALTECH, MNIST, OMNIGLOT, CIFAR = (240, 180), (34, 34), (346, 260), (128, 128)
CROP = (54, 4, 250, 250)

Row = list[object]
Work = Callable[[np.ndarray], object]


def recording(seed: int, count: int, sensor: tuple[int, int], microseconds: int) -> np.ndarray:
    """Events spread evenly; their number varies by a tenth."""
    rng = np.random.default_rng(seed)
    events = np.empty(int(count * rng.uniform(0.9, 1.1)), dtype=EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, microseconds, len(events)))
    events["x"], events["y"] = rng.integers(0, sensor[0], len(events)), rng.integers(0, sensor[1], len(events))
    events["p"] = rng.integers(0, 2, len(events))
    return events


def as_tonic(events: np.ndarray) -> np.ndarray:
    out = np.empty(len(events), dtype=TONIC_DTYPE)
    for name in "xytp":
        out[name] = events[name]
    return out


def resized(frames: np.ndarray, size: int) -> np.ndarray:
    """What the baseline does with tonic's frames."""
    return interpolate(torch.from_numpy(frames).float(), size=(size, size), mode="bilinear", align_corners=True).numpy()


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.thread_time) -> float:
    start = clock()
    work()
    return clock() - start


def compare(what: str, name: str, inputs: list[tuple[object, object]], theirs: Work | None, ours: Work) -> Row:
    """Time both sides on (their input, our input) pairs; their results must be the same numbers."""
    if theirs is not None:
        np.testing.assert_array_equal(np.asarray(theirs(inputs[0][0])), ours(inputs[0][1]))
    ours(inputs[0][1])
    pairs = []
    for left, right in inputs:
        rounds = [
            (seconds(lambda left=left: theirs(left)) if theirs else np.nan, seconds(lambda right=right: ours(right)))
            for _ in range(ROUNDS)
        ]
        pairs.append(np.min(rounds, axis=0))
    reference, mine = 1000 * np.array(pairs).T
    row: Row = [what, name, np.median(reference), np.median(mine), np.median(reference / mine)]
    print(f"{what}: {row[3]:.2f} ms" + (f" instead of {row[2]:.2f}: {row[4]:.1f} times faster" if theirs else ""))
    return row


def compare_tonic(what: str, count: int, sensor: tuple[int, int], size: int) -> list[Row]:
    """Events to frames, and files to frames."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tonic.io import read_mnist_file
        from tonic.transforms import ToFrame

    spec, count_events = FrameSpec(10, size), ToFrame(sensor_size=(*sensor, 2), n_time_bins=10)
    recordings = [recording(seed, count, sensor, 300_000) for seed in range(RECORDINGS)]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{row}.bin") for row in range(RECORDINGS)]
        for path, events in zip(paths, recordings, strict=True):
            write_atis(path, events)
        return [
            compare(
                f"{what}: events -> frames",
                "tonic ToFrame + interpolate",
                [(as_tonic(events), events) for events in recordings],
                lambda events: resized(count_events(events), size),
                lambda events: to_frames(events, spec, sensor),
            ),
            compare(
                f"{what}: file -> frames",
                "tonic read_mnist_file + ToFrame + interpolate",
                [(path, path) for path in paths],
                lambda path: resized(count_events(read_mnist_file(path, dtype=TONIC_DTYPE)), size),
                lambda path: to_frames(read_atis(path, sensor), spec, sensor),
            ),
        ]


def compare_braincog(antialias: bool) -> Row:
    """N-Omniglot: BrainCog's function, its crop, torchvision's resize."""
    importlib.import_module("braincog_tmkt.bridge")  # without it BrainCog is not imported on Python 3.12
    from braincog.datasets.NOmniglot.utils import integrate_events_to_frames
    from torchvision.transforms import Resize

    left, top, width, height = CROP
    resize = Resize((28, 28), antialias=antialias)

    def theirs(columns: dict[str, np.ndarray]) -> np.ndarray:
        frames = torch.tensor(integrate_events_to_frames(dict(columns), 260, 346, 12, "frequency")).float()
        return resize(frames[:, :, top : top + height, left : left + width]).numpy()

    spec = FrameSpec(12, 28, "frequency", antialias)
    recordings = [recording(seed, 20_000, OMNIGLOT, 4_000_000) for seed in range(RECORDINGS)]
    columns = [{name: events[name].astype(np.int64) for name in "txyp"} for events in recordings]
    return compare(
        f"N-Omniglot, antialias {'on' if antialias else 'off'}: events -> frames",
        "BrainCog's integrate_events_to_frames + crop + torchvision Resize",
        list(zip(columns, recordings, strict=True)),
        theirs,
        lambda events: to_frames(events, spec, OMNIGLOT, CROP),
    )


def compare_cifar10dvs() -> list[Row]:
    """The rules of SpikingJelly and TET in plain numpy, then their resize (neither is a package we need)."""
    from torchvision.transforms import Resize, ToPILImage, ToTensor

    def counts(events: np.ndarray, remainder: bool) -> torch.Tensor:
        frames = np.zeros((10, 2 * 128 * 128), dtype=np.float32)
        share = len(events) // 10
        for step in range(10):
            part = events[step * share : None if remainder and step == 9 else (step + 1) * share]
            cell = (part["p"].astype(int) * 128 + part["y"]) * 128 + part["x"]
            frames[step] = np.bincount(cell, minlength=2 * 128 * 128)
        return torch.from_numpy(frames.reshape(10, 2, 128, 128))

    def tet(events: np.ndarray) -> np.ndarray:
        maps = counts(events, remainder=False).clamp(max=1)
        return torch.stack([ToTensor()(Resize((48, 48))(ToPILImage()(frame))) for frame in maps]).numpy()

    recordings = [recording(seed, 200_000, CIFAR, 1_200_000) for seed in range(RECORDINGS)]
    inputs = [(events, events) for events in recordings]
    return [
        compare(
            "CIFAR10-DVS, number: events -> frames",
            "SpikingJelly's rule in numpy + interpolate",
            inputs,
            lambda events: interpolate(counts(events, remainder=True), size=(48, 48), mode="nearest").numpy(),
            lambda events: to_frames(events, FrameSpec(10, 48, "number"), CIFAR),
        ),
        compare(
            "CIFAR10-DVS, presence: events -> frames",
            "TET's rule in numpy + torchvision's resize over PIL",
            inputs,
            tet,
            lambda events: to_frames(events, FrameSpec(10, 48, "presence"), CIFAR),
        ),
    ]


class Links(NCaltech101):
    """Recordings that are all links to a few files: as many as we like on a small disk. There are no images."""

    count = 0

    def index(self) -> Index:
        files = sorted(self.root.glob("*.bin"))
        items = (Item(f"all/{row:05d}", "all", files[row % len(files)]) for row in range(self.count))
        return Index(("all",), tuple(items), ())


def memory(field: str) -> float:
    """A size of this process in MB: `VmRSS` now, `VmHWM` at most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def prepare_all(root: str, count: int, workers: int) -> None:
    """A process of its own: prepare and print the seconds, and by how many MB memory grew meanwhile."""
    torch.set_num_threads(1)
    dataset = Links(root)
    dataset.count = count
    index = dataset.index()
    dataset.frames(index.recordings[0], FrameSpec(10, 48))  # loads the machine code
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    before = memory("VmRSS")
    with tempfile.TemporaryDirectory(dir=root) as cache:
        took = seconds(
            lambda: prepare(dataset, index, FrameSpec(10, 48), cache, workers, progress=False), time.perf_counter
        )
    print(took, memory("VmHWM") - before)


def through_cache() -> list[Row]:
    """Seconds and memory of `cache.prepare`, each in a new process."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as root:
        for seed in range(20):
            write_atis(Path(root, f"{seed:02d}.bin"), recording(seed, 100_000, CALTECH, 300_000))
        for count, workers in ((200, 1), (800, 1), (3200, 1), (3200, 2)):
            command = [sys.executable, __file__, "prepare", root, str(count), str(workers)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            took, growth = map(float, done.stdout.split())
            rows.append([count, workers, took, count / took, growth if workers == 1 else np.nan])
            print(f"{count} recordings, {workers} processes: {took:.1f} s")
    return rows


def machine() -> list[tuple[str, str]]:
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ": unknown")
    packages = ("numpy", "torch", "torchvision", "numba", "tonic", "braincog", "pillow")
    return [
        ("processor", f"{model.partition(': ')[2]}, {os.cpu_count()} cores, one thread used"),
        ("load before (1, 5, 15 min)", " ".join(f"{load:.1f}" for load in os.getloadavg())),
        ("system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"),
        ("packages", ", ".join(f"{name} {version(name)}" for name in packages)),
    ]


def report(about: list[tuple[str, str]], speed: list[Row], cached: list[Row]) -> None:
    """Print both tables, and write them as Markdown and as one CSV."""
    speed_head = ["per recording", "reference", "reference ms", "ours ms", "ratio"]
    cache_head = ["recordings", "processes", "seconds", "recordings/s", "growth of memory at its peak, MB"]
    style = {"floatfmt": ".2f", "missingval": ""}
    blank = [[None if cell != cell else cell for cell in row] for row in cached]
    parts = [
        "# Preparation: from events to cached frames",
        (__doc__ or "").split("\n\n")[2].strip(),
        tabulate(about, ("machine", ""), tablefmt="github"),
        tabulate(speed, speed_head, tablefmt="github", **style),
        "N-Caltech101-sized files through `cache.prepare`, with all it takes to start the processes:",
        tabulate(blank, cache_head, tablefmt="github", **style),
    ]
    print("\n\n".join(parts))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "preparation.md").write_text("\n\n".join(parts) + "\n")
    with (RESULTS / "preparation.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerows([["machine", *pair] for pair in about])
        table.writerows([speed_head, *speed, cache_head, *blank])


def main() -> None:
    torch.set_num_threads(1)
    about = machine()
    speed = [
        *compare_tonic("N-Caltech101, 100,000 events, T 10, 48x48", 100_000, CALTECH, 48),
        *compare_tonic("N-MNIST, 4,200 events, T 10, 28x28", 4_200, MNIST, 28),
        *(compare_braincog(antialias) for antialias in (False, True)),
        *compare_cifar10dvs(),
    ]
    report(about, speed, through_cache())


if __name__ == "__main__":
    if sys.argv[1:2] == ["prepare"]:
        prepare_all(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
