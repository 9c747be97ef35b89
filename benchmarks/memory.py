"""What a training step holds in memory: what its graph keeps, by layer kind, its peak, and whether that fits a card.

    python benchmarks/memory.py            # full recipes, small batches, on the CPU; writes results/memory.{csv,md}
    python benchmarks/memory.py --quick    # narrow nets, a smoke test; writes to a temporary folder

Every allocation of torch during one training step (forward of TMKT with its loss, backward) is read from torch's
profiler. `kept` is what is left of them when the forward is over: the graph, and what it returns. `peak` is the most at
any time, gradients of the weights included. Both grow as a + b * batch: the line of `kept` goes through the two smaller
batches, and the largest one shows how far it is off; that of `peak` goes through the two larger ones, since at the
smallest the gradients of the weights decide. What a card needs is the peak's line at the recipe's batch, the weights,
AdamW's two moments, and the batch's frames; not in it are the workspaces of cuDNN, and the frames of the data set,
which live on the card only if there is room. Half a GiB of a card is left to CUDA itself.

The layer kinds are those of the autograd graph's saved tensors (hooks; every storage once, under the layer that saved
it first; weights and frames left out). Recomputation keeps its inputs beside the graph, so it has no such table.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import torch
from execution_nets import BF16, MULTI, RESNET, SCNN, STEP, VGGSNN, Case, make_batch, make_method
from execution_report import RESULTS, machine
from tabulate import tabulate
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile, record_function

from braincog_tmkt.engine.devices import make_fabric

CPU = torch.device("cpu")
RECOMPUTE = ", recompute"
VARIANTS = (STEP, MULTI, MULTI + BF16, MULTI + RECOMPUTE, MULTI + BF16 + RECOMPUTE)
BATCHES = (2, 4, 8)
CARDS, CONTEXT = (12, 24), 0.5
PUBLISHED = {"VGGSNN": 38.0}
"""GB that the public baseline's step mode took on an A100 for N-Caltech101."""

SMALL = 0.002
"""Layer kinds with a smaller share of the graph are others."""

MIB, GIB = 2**20, 2**30
OVER = "the forward is over"


@dataclass
class Step:
    """One training step; bytes.

    Args:
        kept: allocated since its start when the forward is over.
        peak: the most that was allocated since its start.
        resident: weights, AdamW's moments and the batch.
        kinds: what the graph saved, by layer kind.
    """

    kept: int
    peak: int
    resident: int
    kinds: Counter[str]


class Saved:
    """A tensor that the graph keeps; it lives as long as the graph's node."""

    def __init__(self, tensor: Tensor, kind: str) -> None:
        self.tensor, self.kind = tensor, kind


class Line(NamedTuple):
    """Bytes as a + b * batch."""

    start: float
    slope: float

    def at(self, batch: int) -> float:
        return self.start + self.slope * batch


@contextmanager
def saved_tensors() -> Iterator[weakref.WeakSet[Saved]]:
    """What the graph that is made meanwhile saves, as long as it does."""
    alive: weakref.WeakSet[Saved] = weakref.WeakSet()

    def pack(tensor: Tensor) -> Saved:
        saved = Saved(tensor, _kind(sys._getframe(1)))
        alive.add(saved)
        return saved

    with saved_tensors_hooks(pack, lambda saved: saved.tensor):
        yield alive


def _kind(frame: FrameType | None) -> str:
    """The innermost layer or function of ours, BrainCog's or torch.nn's on the stack."""
    while frame is not None:
        name, owner = frame.f_globals.get("__name__", ""), frame.f_locals.get("self")
        if isinstance(owner, nn.Module):
            return type(owner).__name__
        if name.startswith("braincog_tmkt."):
            return f"{name.removeprefix('braincog_tmkt.')}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return "other"


def by_kind(alive: weakref.WeakSet[Saved], known: set[int]) -> Counter[str]:
    """Bytes by layer kind; storages in `known` do not count, all others once."""
    kinds: Counter[str] = Counter()
    for saved in alive:
        storage = saved.tensor.untyped_storage()
        if storage.data_ptr() not in known:
            known.add(storage.data_ptr())
            kinds[saved.kind] += storage.nbytes()
    return kinds


def measure(case: Case, variant: str) -> Step:
    """Profile one training step."""
    execution = variant.split()[0].rstrip(",")
    recompute = {"recompute": True} if variant.endswith(RECOMPUTE) else {}
    torch.manual_seed(0)
    method = make_method(case, CPU, execution=execution, **recompute).train()
    batch = make_batch(case, CPU)
    weights = [*method.parameters(), *method.buffers()]
    frames = [batch.static, batch.events]
    known = {tensor.untyped_storage().data_ptr() for tensor in weights + frames}
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        with saved_tensors() as alive, torch.autocast("cpu", torch.bfloat16, enabled=BF16 in variant):
            loss = method(batch, 0.5)["loss"]
        with record_function(OVER):
            kinds = by_kind(alive, known)
        loss.backward()
    moments = 2 * sum(weight.nbytes for weight in method.parameters() if weight.requires_grad)
    return Step(*_allocations(trace), sum(x.nbytes for x in weights + frames) + moments, kinds)


def _allocations(trace: profile) -> tuple[int, int]:
    """Bytes when the forward is over, and at the peak."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        trace.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    over = next(event["ts"] for event in events if event.get("name") == OVER)
    kept = now = peak = 0
    for event in sorted((event for event in events if event.get("name") == "[memory]"), key=lambda event: event["ts"]):
        now += event["args"]["Bytes"]
        peak = max(peak, now)
        kept = now if event["ts"] < over else kept
    return kept, peak


def through(first: int, second: int, batches: tuple[int, int]) -> Line:
    slope = (second - first) / (batches[1] - batches[0])
    return Line(first - slope * batches[0], slope)


def summary(case: Case, variant: str, steps: dict[int, Step]) -> dict[str, object]:
    """A row of the table: kept and peak, their lines, and what the recipe's batch needs."""
    small, large, last = BATCHES
    kept = through(steps[small].kept, steps[large].kept, (small, large))
    peak = through(steps[large].peak, steps[last].peak, (large, last))
    resident = through(steps[small].resident, steps[large].resident, (small, large))
    batch = case.load().train.batch
    needs = (peak.at(batch) + resident.at(batch)) / GIB
    published = PUBLISHED.get(case.net)
    return {
        "net": case.net,
        "execution": variant,
        **{f"kept MiB, B {size}": f"{steps[size].kept / MIB:.1f}" for size in BATCHES},
        f"line of kept off at B {last}": f"{100 * (kept.at(last) / steps[last].kept - 1):+.1f} %",
        "kept MiB a sample": f"{kept.slope / MIB:.2f}",
        "peak MiB a sample": f"{peak.slope / MIB:.2f}",
        f"transient MiB, B {last}": f"{(steps[last].peak - steps[last].kept) / MIB:.1f}",
        "recipe's batch": batch,
        "graph GiB": f"{kept.at(batch) / GIB:.2f}",
        "needs GiB": f"{needs:.2f}",
        **{f"{card} GB card": "fits" if needs < card - CONTEXT else "too large" for card in CARDS},
        "public baseline": f"{100 * needs * GIB / (published * 1e9):.0f} % of {published:.0f} GB" if published else "",
    }


def kinds_table(case: Case, measured: dict[str, Step]) -> list[dict[str, object]]:
    """MiB that the graph saved by layer kind, and in total, beside what the allocator says."""
    names = Counter[str]()
    for step in measured.values():
        names.update(step.kinds)
    large = [name for name, size in names.most_common() if size > SMALL * names.total()]
    rows = [(name, {variant: step.kinds[name] for variant, step in measured.items()}) for name in large]
    rest = {variant: sum(step.kinds[name] for name in names if name not in large) for variant, step in measured.items()}
    rows += [
        ("others", rest),
        ("all saved tensors", {variant: step.kinds.total() for variant, step in measured.items()}),
        ("all that is kept (allocator)", {variant: step.kept for variant, step in measured.items()}),
    ]
    return [
        {"net": case.net, "saved by": name, **{variant: f"{size / MIB:.2f}" for variant, size in sizes.items()}}
        for name, sizes in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="narrow nets: does it run at all?")
    parser.add_argument("--out", type=Path, help="folder of the results")
    asked = parser.parse_args()
    make_fabric()  # sets the process up as the engine does
    needs, kinds = [], []
    for case in (VGGSNN, RESNET, SCNN):
        case = case.changed(case.batch, "model.width=0.125") if asked.quick else case
        measured = {}
        for variant in VARIANTS:
            steps = {batch: measure(case.changed(batch), variant) for batch in BATCHES}
            measured[variant] = steps[BATCHES[-1]]
            needs.append(summary(case, variant, steps))
            print(f"{case.net}, {variant}: needs {needs[-1]['needs GiB']} GiB", flush=True)
        kinds += kinds_table(case, {name: step for name, step in measured.items() if not name.endswith(RECOMPUTE)})
    folder = asked.out or (Path(tempfile.mkdtemp()) if asked.quick else RESULTS)
    write(folder, needs, kinds)
    print(f"\nwritten to {folder}/memory.md, .csv")


def write(folder: Path, needs: list[dict[str, object]], kinds: list[dict[str, object]]) -> None:
    """Print the tables and write them."""
    style = {"headers": "keys", "tablefmt": "github", "disable_numparse": True}
    who, fit = ["net", "execution"], [key for key in needs[0] if "batch" in key or "GiB" in key or "card" in key]
    fit.append("public baseline")
    lines = [key for key in needs[0] if key not in fit]
    parts = [
        "# Memory of a training step",
        *(paragraph.strip() for paragraph in (__doc__ or "").split("\n\n")[2:]),
        tabulate(machine(CPU), ("machine", ""), tablefmt="github"),
        "## At the recipe's batch, extrapolated",
        tabulate([{key: row[key] for key in who + fit} for row in needs], **style),
        "## Measured, and their lines",
        tabulate([{key: row[key] for key in lines} for row in needs], **style),
        f"## MiB that the graph keeps, by layer kind, batch {BATCHES[-1]}",
        tabulate(kinds, **style),
    ]
    print("\n\n".join(parts))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.md").write_text("\n\n".join(parts) + "\n")
    with (folder / "memory.csv").open("w", newline="") as file:
        for table in (needs, kinds):
            writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main()
