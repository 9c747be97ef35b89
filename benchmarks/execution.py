"""How long a training step and inference take: step mode, multi-step, SpikingJelly, the bare convolutions; one run.

    python benchmarks/execution.py            # everything, on the GPU if there is one; writes results/execution.*
    python benchmarks/execution.py --large    # training steps of the two large nets; writes to a temporary folder
    python benchmarks/execution.py --quick    # small nets and batches, a smoke test; likewise

All competitors live in this process and take turns: a repeat times each of them once, so that whatever else the machine
does hits all of them alike. Shown are the median and the fastest of the repeats; ratios are those of the medians. A
training step is the forward of TMKT with its whole loss and the backward, without an optimiser. Memory is measured in a
fresh process each: on the CPU by how much the process grows during a training step, at its peak; on the GPU all that
its tensors hold, at the peak. SpikingJelly computes less than the others, see `execution_nets.py`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import torch
from execution_nets import CONTENDERS, MULTI, OPTIONAL, RESNET, RIVAL, SCNN, STEP, VGGSNN, Case, make_contender
from execution_nets import __doc__ as nets_doc
from execution_report import RESULTS, Row, compare, machine, report

from braincog_tmkt.engine.devices import make_fabric
from braincog_tmkt.engine.memory import peak_memory, reset_peak_memory

QUICK = ("model.width=0.125", "data.steps=3")
NARROW = VGGSNN.changed(4, "model.width=0.125", "data.steps=4")
ENOUGH_SECONDS = 0.2
"""A repeat runs short work several times, until it takes this long."""


def cases(device: torch.device, quick: bool) -> list[Case]:
    if quick:
        return [case.changed(4, *QUICK) for case in (VGGSNN, RESNET, SCNN)]
    if device.type == "cuda":
        return [VGGSNN.changed(120), RESNET.changed(120), SCNN, SCNN.changed(128)]
    return [VGGSNN, RESNET, SCNN]


def growth_cases(quick: bool) -> list[tuple[str, Case]]:
    """(what grows, case); a quick run has the ends of every curve alone."""
    small = (2, 16) if quick else (2, 4, 8, 16)
    sizes = (32, 64) if quick else (32, 48, 64)
    return [
        *(("steps", NARROW.changed(4, f"data.steps={steps}")) for steps in small),
        *(("batch", NARROW.changed(batch)) for batch in small),
        *(("size", NARROW.changed(4, f"data.size={size}")) for size in sizes),
    ]


def seconds(work: Callable[[], object], device: torch.device, times: int = 1) -> float:
    """Wall-clock time of one call, the mean of several in a row."""
    _wait(device)
    start = time.perf_counter()
    for _ in range(times):
        work()
    _wait(device)
    return (time.perf_counter() - start) / times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def take_turns(works: dict[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, list[float]]:
    """Time every work once a repeat; the first two calls (compilation, tuning) do not count.

    What does not fit the GPU is left out.
    """
    counts = {}
    for name, work in works.items():
        try:
            work()
            counts[name] = max(1, round(ENOUGH_SECONDS / seconds(work, device)))
        except torch.OutOfMemoryError as error:
            print(f"{name} is left out: {error}", flush=True)
    times: dict[str, list[float]] = {name: [] for name in counts}
    for _ in range(repeats):
        for name, count in counts.items():
            times[name].append(seconds(works[name], device, count))
    return times


def time_case(
    case: Case, names: tuple[str, ...], device: torch.device, repeats: int, phases: dict[str, str]
) -> list[Row]:
    """Rows of a case.

    Args:
        case: the net.
        names: the competitors.
        device: where.
        repeats: turns; inference, which is shorter, gets twice as many.
        phases: `train` and `infer`, what is timed, and the name of the phase in the rows.
    """
    data = case.load().data
    contenders = {name: make_contender(name, case, device) for name in names}
    rows = []
    for kind, phase in phases.items():
        works = {name: getattr(contender, kind) for name, contender in contenders.items()}
        times = take_turns(works, device, repeats if kind == "train" else 2 * repeats)
        rows += compare(
            [
                Row(phase, case.net, case.batch, data.steps, data.size, name, median(taken), min(taken))
                for name, taken in times.items()
            ]
        )
        for row in rows[-len(times) :]:
            print(f"{phase} {row.net} B {row.batch} T {row.steps}, {row.contender}: {row.median_s:.4g} s", flush=True)
    return rows


def peak_of(case: Case, name: str, device: torch.device) -> float:
    """MiB of a training step at its peak; run in a process of its own."""
    small = case.changed(2, "model.width=0.125", "data.steps=2")
    make_contender(name, small, device).train()  # code is loaded and compiled
    contender = make_contender(name, case, device)
    if device.type == "cuda":
        contender.train()  # cuDNN tries its ways at the first call, with workspaces of all sizes
    reset_peak_memory(device)
    before = 0.0 if device.type == "cuda" else _resident()
    contender.train()
    return peak_memory(device)["device_mib" if device.type == "cuda" else "host_mib"] - before


def _resident() -> float:
    """Resident memory of this process now, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_peak(row: Row, arguments: list[str]) -> None:
    """Fill in the memory of a training row, in a process of its own."""
    command = [sys.executable, __file__, *arguments, "--peak-of", row.net, str(row.batch), row.contender]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        print(f"no peak of {row.net}, {row.contender}: {done.stderr.strip().splitlines()[-1:]}", flush=True)
        return
    row.peak_mib = float(done.stdout.split()[-1])
    print(f"peak of {row.net} B {row.batch}, {row.contender}: {row.peak_mib:.0f} MiB", flush=True)


def notes(quick: bool) -> list[str]:
    """What a reader of the tables has to know."""
    paragraphs = (__doc__ or "").split("\n\n")[2:] + (nets_doc or "").split("\n\n")[1:]
    asked = f"Made by `{' '.join(['python benchmarks/execution.py', *sys.argv[1:]])}`."
    return [asked + " **A quick run: small nets, not to be quoted.**" * quick, *map(str.strip, paragraphs)]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small nets and batches: does it run at all?")
    parser.add_argument("--large", action="store_true", help="the two large nets alone, without growth and inference")
    parser.add_argument("--compile", action="store_true", help="SpikingJelly through torch.compile, too: slow to start")
    parser.add_argument("--repeats", type=int, help="turns of a training step (3 on the CPU, 10 on a GPU)")
    parser.add_argument("--threads", type=int, help="torch's threads (its own choice)")
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--peak-of", nargs=3, metavar=("NET", "BATCH", "NAME"), help="used by the script itself")
    return parser.parse_args()


def main() -> None:
    asked = parsed()
    device = make_fabric().device  # sets the process up as the engine does: malloc, TF32 off
    if asked.threads:
        torch.set_num_threads(asked.threads)
    chosen = cases(device, asked.quick)
    if asked.peak_of:
        net, batch, name = asked.peak_of
        case = next(case for case in chosen if (case.net, str(case.batch)) == (net, batch))
        print(peak_of(case, name, device))
        return
    about, rows = machine(device), list[Row]()
    repeats = asked.repeats or (10 if device.type == "cuda" else 3)
    folder = asked.out or (Path(tempfile.mkdtemp()) if asked.quick or asked.large else RESULTS)
    passed = ["--quick"] * asked.quick + (["--threads", str(asked.threads)] if asked.threads else [])

    def measured(new: list[Row]) -> str:
        """Add rows; what is measured so far is written, so that a stop loses nothing."""
        rows.extend(new)
        return report(about, rows, notes(asked.quick), device, not asked.quick, folder)

    names, phases = CONTENDERS + OPTIONAL * asked.compile, {"train": "training", "infer": "inference"}
    if find_spec("spikingjelly") is None:
        print("SpikingJelly is not installed and left out: pip install 'braincog_tmkt[bench]'", flush=True)
        names = tuple(name for name in names if RIVAL not in name)
    if asked.large:
        chosen, phases = chosen[:2], {"train": "training"}
    for case in chosen:
        measured(time_case(case, names, device, repeats, phases))
    for along, case in [] if asked.large else growth_cases(asked.quick):
        measured(time_case(case, (STEP, MULTI), device, repeats, {"train": along}))
    torch.cuda.empty_cache()  # the processes to come need the memory; does nothing without a GPU
    for row in rows:
        if row.phase == "training" and (row.net == "SCNN" or not asked.quick):
            measure_peak(row, passed)
            measured([])
    print(f"{measured([])}\n\nwritten to {folder}/execution.md, .csv, .png")


if __name__ == "__main__":
    main()
