"""How often rounding flips a spike: step mode and multi-step execution in float32, against the same net in float64.

    python benchmarks/exactness.py     # prints the table, writes benchmarks/results/exactness.md; about 5 minutes

A potential within a rounding error of the threshold fires in one arithmetic and not in the other, and what comes after
differs. No float32 execution is free of it, BrainCog's neither; the question is whether ours does it more often. For
each network several seeds are tried: fresh weights, random frames, one training forward of both streams. Counted are
the networks with a flip, and the flips of the first layer that has one: what follows from them is no rounding.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor, nn

from braincog_tmkt.models import build_backbone

RESULTS = Path(__file__).parent / "results"
NETS = (("tmkt_vggsnn", 48, 0.25), ("tmkt_resnet18", 48, 0.25), ("tmkt_scnn", 28, 1.0))
SEEDS, STEPS, BATCH = 30, 6, 4


def spikes(net: nn.Module, frames: tuple[Tensor, Tensor]) -> list[Tensor]:
    """Spikes of all nodes `[T, S, B, ...]` in a training forward."""
    seen: dict[str, list[Tensor]] = {}

    def watch(name: str) -> None:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            seen.setdefault(name, []).append(output.detach().bool())
            return output.to(frames[0].dtype)  # BrainCog's surrogates return float32 whatever they are given

        net.get_submodule(name).register_forward_hook(hook)

    for name, module in net.named_modules():
        if module in set(net.nodes):
            watch(name)
    with torch.no_grad():
        net.streams(*frames)
    return [together(parts) for parts in seen.values()]


def together(parts: list[Tensor]) -> Tensor:
    """Step mode gives one tensor a stream and step, stream after stream; multi-step one for all."""
    if len(parts) == 1:
        return parts[0].unflatten(0, (STEPS, 2, BATCH))
    return torch.stack(parts).unflatten(0, (2, STEPS)).transpose(0, 1)


def flips(name: str, size: int, width: float, seed: int) -> list[int]:
    """Neuron-steps, then the flips of the first layer that differs from float64: step mode, multi-step execution."""
    generator = torch.Generator().manual_seed(seed)
    shape = (BATCH, STEPS, 2, size, size)
    mixed, events = torch.rand(shape, generator=generator), torch.poisson(torch.full(shape, 0.3), generator=generator)
    found = []
    for execution, dtype in (("step", torch.float64), ("step", torch.float32), ("multi_step", torch.float32)):
        torch.manual_seed(seed)
        net = build_backbone(name, 11, STEPS, size, width=width, execution=execution).to(dtype).train()
        found.append(spikes(net, (mixed.to(dtype), events.to(dtype))))
    truth = found[0]
    counts = [[int((a != b).sum()) for a, b in zip(truth, other, strict=True)] for other in found[1:]]
    return [sum(part.numel() for part in truth), *(next(filter(None, layers), 0) for layers in counts)]


def main() -> None:
    rows = []
    for name, size, width in NETS:
        tried = torch.tensor([flips(name, size, width, seed) for seed in range(SEEDS)])
        total, step, multi = tried.sum(0).tolist()
        nets = [f"{int((tried[:, side] > 0).sum())} of {SEEDS}" for side in (1, 2)]
        rows.append([name, width, f"{total:,}", *chain.from_iterable(zip(nets, (step, multi), strict=True))])
        print(rows[-1], flush=True)
    sides = ("step: nets with a flip", "first flips", "multi-step: nets with a flip", "first flips")
    headers = ["net", "width", "neuron-steps", *sides]
    table = tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)
    print(table)
    title = "# Spikes that rounding flips, against float64\n\n`python benchmarks/exactness.py`"
    (RESULTS / "exactness.md").write_text(f"{title}, torch {torch.__version__}, CPU\n\n{table}\n")


if __name__ == "__main__":
    main()
