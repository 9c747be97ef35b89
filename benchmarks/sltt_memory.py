"""Memory and time of an optimiser step over T: SLTT's backward pass at each time step, SLTT-2, and BPTT; one run.

    python benchmarks/sltt_memory.py          # prints the table, writes experiments/studies/sltt_memory/memory.csv
    python benchmarks/sltt_memory.py --quick  # two T's, a smoke test; writes nothing

SLTT's VGG-11, an eighth as wide, on frames of 32x32, batches of 8, one thread of a CPU. Each row is a process of its
own. `allocated` is the most that torch's allocator held during one step of the engine (forward, backward, SGD) above
what it held before, from torch's profiler, which sees every tensor. `resident` is how far the resident set of the
process (from Linux, whose mark of the peak is set back first) rises in three steps, after one of T 2, which loads what
all steps need and leaves some free memory to them.
`seconds` are those of the processor, in the shortest of steps 2 and 3.

In execution `multi_step` all steps have one backward pass, whatever the rule. Below the table: how far the gradients of
a backward pass at each step are from those of one pass over all steps.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from braincog_tmkt.data.batch import Batch
from braincog_tmkt.engine.devices import make_fabric
from braincog_tmkt.engine.step import Trainer
from braincog_tmkt.methods import METHODS, Method
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.sltt import LIF
from braincog_tmkt.recipe import OptimConfig, Recipe

OUT = Path(__file__).resolve().parents[1] / "experiments/studies/sltt_memory/memory.csv"
STEPS, QUICK = (6, 10, 20, 40, 60), (2, 4)
CASES = (("SLTT", "step"), ("SLTT-2", "step"), ("BPTT", "step"), ("SLTT", "multi_step"), ("BPTT", "multi_step"))
LOSS = {"name": "tet", "weight": 0.05, "phi": 1.0}
ROWS, SIZE, WIDTH, CLASSES = 8, 32, 1 / 8, 10
MIB = 2**20


def make_method(rule: str, execution: str, steps: int) -> Method:
    """The rule on the same weights."""
    torch.manual_seed(0)
    settings = {**LIF, "mem_detach": rule != "BPTT", "width": WIDTH, "execution": execution}
    net = build_backbone("sltt_vgg11", CLASSES, steps, SIZE, **settings)
    name, more = ("baseline", {}) if rule == "BPTT" else ("sltt", {"k": 2} if rule == "SLTT-2" else {})
    method: Method = METHODS.build(name, net, loss=LOSS, **more)
    return method.train()


def make_batch(steps: int) -> Batch:
    """Counts of random events."""
    generator = torch.Generator().manual_seed(0)
    events = torch.poisson(torch.full((ROWS, steps, 2, SIZE, SIZE), 0.5), generator=generator)
    return Batch.of(events[:, 0], events, torch.arange(ROWS) % CLASSES, seed=0)


def gradients(rule: str, execution: str, steps: int) -> dict[str, Tensor]:
    """Of one step."""
    method = make_method(rule, execution, steps)
    trainer = Trainer(method, Recipe(name="still", optim=OptimConfig(name="sgd", lr=0.0)), make_fabric())
    trainer.step(make_batch(steps), 0.0, lambda parts: None)
    return {name: weight.grad for name, weight in method.named_parameters() if weight.grad is not None}


def flat(tensors: dict[str, Tensor]) -> Tensor:
    """All numbers in a row."""
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def measure(rule: str, execution: str, steps: int) -> dict[str, float]:
    """Run in a process of its own."""
    torch.set_num_threads(1)
    gradients(rule, execution, QUICK[0])
    batch, method = make_batch(steps), make_method(rule, execution, steps)
    trainer = Trainer(method, Recipe(name="bench", optim=OptimConfig(name="momentum", lr=1e-3)), make_fabric())
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident
    before, times = peak_resident(), []
    for _ in range(3):
        start = time.process_time()
        trainer.step(batch, 0.0, lambda parts: None)
        times.append(time.process_time() - start)
    grown = peak_resident() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        trainer.step(batch, 0.0, lambda parts: None)
    return {"allocated": peak_of(trace) / MIB, "resident": grown / MIB, "seconds": min(times[1:])}


def peak_resident() -> int:
    """Bytes of the largest resident set since the mark was set back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def peak_of(trace: profile) -> int:
    """The most bytes that were allocated since the trace began."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        trace.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    now = most = 0
    for event in sorted((event for event in events if event.get("name") == "[memory]"), key=lambda event: event["ts"]):
        now += event["args"]["Bytes"]
        most = max(most, now)
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two T's: does it run at all?")
    asked, rows = parser.parse_args(), []
    spawn = multiprocessing.get_context("spawn")
    for steps in QUICK if asked.quick else STEPS:
        for case in CASES:
            with spawn.Pool(1) as pool:
                found = pool.apply(measure, (*case, steps))
            rows.append(
                {
                    "T": steps,
                    "rule": case[0],
                    "execution": case[1],
                    "allocated MiB": f"{found['allocated']:.1f}",
                    "resident MiB": f"{found['resident']:.1f}",
                    "seconds": f"{found['seconds']:.3f}",
                }
            )
            print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))
    alone, together = (flat(gradients("SLTT", execution, STEPS[0])) for execution in ("step", "multi_step"))
    off = float((alone - together).norm() / together.norm())
    print(f"gradients at each step against those of one pass over {STEPS[0]} steps: relative difference {off:.1e}")
    if not asked.quick:
        OUT.parent.mkdir(parents=True, exist_ok=True)
        with OUT.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        print(f"written to {OUT}")


if __name__ == "__main__":
    main()
