"""CPU time of a training step by node: BrainCog's LIF and the unit-gain LIF in the kernels, and the latter walking.

    python benchmarks/nodes.py               # a minute; prints the table
    python benchmarks/nodes.py --repeats 20  # a steadier minimum

VGGSNN at 1/8 width, frames of 48x48, T = 10, batch 8, shared norm: cross-entropy of the mean logits, forward and
backward. The nodes take turns; shown is the fastest of the repeats by the process's own clock, with one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from tabulate import tabulate
from torch.nn.functional import cross_entropy

from braincog_tmkt.models import build_backbone

STEPS, SIZE, BATCH, CLASSES = 10, 48, 8, 10
TET = {"node_type": "UnitLIFNode", "threshold": 1.0, "decay": 0.5, "alpha": 1.0}
NODES: dict[str, tuple[bool, dict[str, Any]]] = {
    "LIFNode, kernels": (False, {}),
    "UnitLIFNode (TET), kernels": (False, TET),
    "UnitLIFNode (NDA), kernels": (
        False,
        {**TET, "threshold": 0.5, "decay": 0.25, "inclusive": True, "act_fun": "BackEIGateGrad"},
    ),
    "UnitLIFNode (SpikingJelly), kernels": (
        False,
        {**TET, "inclusive": True, "detach_reset": True, "decay_input": True, "act_fun": "AtanGrad", "alpha": 2.0},
    ),
    "UnitLIFNode (TET), walking": (True, TET),
}
"""Name: whether it walks, and the keywords of the network."""


def training_step(walks: bool, keywords: dict[str, Any]) -> Callable[[], None]:
    """A step of a fresh network; the weights and frames are the same numbers for all nodes."""
    torch.manual_seed(0)
    net = build_backbone("tmkt_vggsnn", CLASSES, STEPS, SIZE, width=1 / 8, norm="shared", **keywords).train()
    for node in net.nodes:
        node.walks = walks
    frames, label = torch.poisson(torch.full((BATCH, STEPS, 2, SIZE, SIZE), 0.3)), torch.arange(BATCH) % CLASSES

    def step() -> None:
        net.zero_grad(set_to_none=True)
        cross_entropy(net.event_logits(frames).mean(0), label).backward()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=8, help="turns of each node (8)")
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    steps = {name: training_step(*how) for name, how in NODES.items()}
    best = dict.fromkeys(steps, float("inf"))
    for turn in range(repeats + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if turn:  # the first compiles
                best[name] = min(best[name], time.process_time() - start)
    first = next(iter(best.values()))
    rows = [(name, f"{1000 * taken:.0f}", f"{taken / first:.2f}") for name, taken in best.items()]
    print(tabulate(rows, ("node", "CPU ms a step", "/ LIFNode"), tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
