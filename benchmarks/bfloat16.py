"""What `bf16-mixed` costs on this CPU beside fp32: prints times and ratios measured in one run.

Run it as `python benchmarks/bfloat16.py [REPEATS]`. A training step of VGGSNN at 1/8 width, T 4, 24 samples of 48x48
pixels, one thread. PyTorch's own convolutions are the fast ones where the CPU has bfloat16; elsewhere the convolutions
are those of float32, of the rounded numbers.
"""

import sys
import time

import timm
import torch
from tabulate import tabulate

import braincog_tmkt  # noqa: F401
from braincog_tmkt.models import spikes

WAYS = {"fp32": None, "bf16, PyTorch's convolutions": True, "bf16, float32 convolutions": False}


def step(net: torch.nn.Module, frames: torch.Tensor, way: bool | None) -> float:
    """CPU time of a training step."""
    spikes._fast_bfloat16 = lambda: bool(way)  # type: ignore[assignment]
    start = time.process_time()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=way is not None):
        logits = net(frames)
    logits.float().sum().backward()
    return time.process_time() - start


def main(repeats: int = 5) -> None:
    """Measure in turns; the fastest of all repeats counts."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    here = "yes" if spikes._fast_bfloat16() else "no"
    net = timm.create_model("tmkt_vggsnn", num_classes=20, step=4, width=0.125, img_size=48)
    frames = torch.rand(24, 4, 2, 48, 48)
    for way in WAYS.values():
        step(net, frames, way)  # compiles
    turns = [[step(net, frames, way) for way in WAYS.values()] for _ in range(repeats)]
    found = [min(times) for times in zip(*turns, strict=True)]
    rows = [[name, f"{seconds:.2f}", f"{seconds / found[0]:.2f}"] for name, seconds in zip(WAYS, found, strict=True)]
    print(f"this CPU has bfloat16: {here}")
    print(tabulate(rows, headers=["way", "seconds a step", "times fp32"]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
