"""What long inner loops are worth to the CPU kernels, by the number of channels: prints ratios measured in one run.

Run it as `python benchmarks/narrow.py [REPEATS]`. Batch norm and LIF, forward and backward, bfloat16 currents, T 4,
two streams of 24 samples of 24x24 pixels, one thread; with loops over a row's channels alone, and over about
`cpu.LANES` numbers.
"""

import sys
import time

import torch
from tabulate import tabulate

from braincog_tmkt.models.kernels import Neuron, cpu

STEPS, STREAMS, ROWS = 4, 2, 24 * 24 * 24
LIF = Neuron(torch.tensor(0.5), torch.tensor(0.5), 0, torch.tensor(2.0), 0.0)
LANES = {"a row's channels": 1, "about 256": cpu.LANES}


def step(x: torch.Tensor) -> None:
    """Everything that a training step asks of the kernels for one layer."""
    mean, var = cpu.moments(x)
    mean, rstd = mean.float(), torch.rsqrt(var + 1e-5).float()
    shift = -mean * rstd
    cpu.forward(x, rstd, shift, LIF, False)
    grad, sums, _ = cpu.backward(x, rstd, shift, mean, rstd, LIF, x, None)
    cpu.normalise_backward(grad, x, rstd, mean, rstd, *(sums / x.shape[2]).float().unbind())


def seconds(x: torch.Tensor, lanes: int) -> float:
    """CPU time of a step."""
    cpu.LANES = lanes
    start = time.process_time()
    step(x)
    return time.process_time() - start


def main(repeats: int = 20) -> None:
    """Measure in turns; the fastest of all repeats counts."""
    torch.set_num_threads(1)
    rows = []
    for channels in (8, 16, 32, 64, 128):
        x = torch.randn(STEPS, STREAMS, ROWS, channels, generator=torch.Generator().manual_seed(0)).bfloat16()
        step(x)  # compiles
        turns = [[seconds(x, lanes) for lanes in LANES.values()] for _ in range(repeats)]
        short, long = map(min, zip(*turns, strict=True))
        rows.append([channels, *(f"{1e3 * found:.1f} ms" for found in (short, long)), f"{short / long:.2f}"])
    print(tabulate(rows, headers=["channels", *LANES, "ratio"]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
