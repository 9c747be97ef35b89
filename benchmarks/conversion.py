"""How far a converted network is from its ANN, layer by layer, when every step shows the same frame.

    python benchmarks/conversion.py RUN [--steps 1 2 4 8 16 32] [--recordings 100] [data.root=...]

RUN is the folder of a finished run of method `hsd`. The converted network is that of its stage `convert`, before any
distillation. For constant currents a neuron's mean output over T = L steps is the ANN's activation, exactly; in a
network the currents of the second layer on are spikes, which come unevenly, so a neuron may fire more or less often
than its mean current says. That unevenness is what is left at T = L; the first layer shows none.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from braincog_tmkt.inspect.reload import load_run
from braincog_tmkt.models.convert import convert


def outputs(network: nn.Module, frames: Tensor, steps: int) -> tuple[list[Tensor], Tensor]:
    """Mean output over the steps of every node, and the mean logits; one frame `[B, 1, C, H, W]` at all steps."""
    seen: list[Tensor] = []

    def see(node: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output.unflatten(0, (steps, -1)).mean(0))

    hooks = [node.register_forward_hook(see) for node in network.nodes]
    network.set_steps(steps)
    logits = network.event_logits(frames).mean(0)
    for hook in hooks:
        hook.remove()
    return seen, logits


def error(found: Tensor, wanted: Tensor) -> float:
    """Norm of the difference over the norm of what is wanted."""
    return float((found - wanted).norm() / wanted.norm())


@torch.inference_mode()
def measure(place: str, steps: Iterable[int], recordings: int, overrides: list[str]) -> None:
    """Print one line for each number of steps."""
    run = load_run(place, overrides)
    ann = run.method.pretraining.backbone.eval()
    snn = convert(ann)
    frames, _ = run.task.pairs.events(run.task.pairs.rows("test")[:recordings])
    wanted, logits = outputs(ann, frames[:, :1], 1)
    print(f"{run}, {len(frames)} recordings, first frame at all steps; L = {ann.nodes[0].levels}")
    print("relative error of each node's mean output | of the logits | equal predictions | neurons off by half a level")
    for count in steps:
        found, given = outputs(snn, frames[:, :1], count)
        layers = "  ".join(f"{error(*pair):7.4f}" for pair in zip(found, wanted, strict=True))
        agree = (given.argmax(1) == logits.argmax(1)).float().mean()
        level = [node.threshold / node.levels / 2 for node in ann.nodes]
        off = [((f - w).abs() > half).float().mean() for f, w, half in zip(found, wanted, level, strict=True)]
        shares = "  ".join(f"{float(share):6.2%}" for share in off)
        print(f"T {count:3}:  {layers}  | {error(given, logits):7.4f} | {float(agree):6.1%} | {shares}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--steps", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--recordings", type=int, default=100)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    arguments = parser.parse_args()
    measure(arguments.run, arguments.steps, arguments.recordings, arguments.overrides)
