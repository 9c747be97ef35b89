"""CPU time of a training step by neuron: ours in the kernels, ours walking, BrainCog's own node, and SpikingJelly's.

    pip install ".[bench]"                   # SpikingJelly; without it, its column stays empty
    python benchmarks/nodes.py               # two minutes; prints the table
    python benchmarks/nodes.py --repeats 20  # a steadier minimum

VGGSNN at 1/8 width, frames of 48x48, T = 10, batch 8, batch norm over all steps, AtanGrad with alpha 2, detached reset:
cross-entropy of the mean logits, forward and backward. BrainCog's nodes run with `layer_by_layer`, SpikingJelly's with
`step_mode="m"`, both between torch's own layers. First it is shown that all are one network: with weights on a grid,
where no order of additions rounds, all nodes must give the same spikes. (BrainCog's fire above the threshold and
SpikingJelly's at it, too; UnitLIFNode has both, and is asked for each.) Then the contenders take turns, all with the
same weights; shown is the fastest of the repeats by the process's own clock, with one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from tabulate import tabulate
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from braincog_tmkt.bridge import BaseNode
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.parts import node_class, surrogate_class

STEPS, SIZE, BATCH, CLASSES = 10, 48, 8, 10
PLAN = (8, 16, "P", 32, 32, "P", 64, 64, "P", 64, 64, "P")
LEAKY = {"decay": 0.5, "decay_input": True}
KERNELS, WALKING, BRAINCOG, RIVAL = "our kernels", "ours walking", "BrainCog", "SpikingJelly"


class Neuron(NamedTuple):
    """The same neuron three times: keywords of `UnitLIFNode`, BrainCog's class, SpikingJelly's with its keywords."""

    ours: dict[str, Any]
    braincog: str | None
    spikingjelly: str
    keywords: dict[str, Any]


NEURONS = {
    "IF": Neuron({"decay": 1.0}, "IFNode", "IFNode", {}),
    "LIF": Neuron(LEAKY, "LIFNode", "LIFNode", {"tau": 2.0}),
    "PLIF": Neuron({**LEAKY, "learn_decay": True}, "PLIFNode", "ParametricLIFNode", {"init_tau": 2.0}),
    "LIF, soft reset": Neuron({**LEAKY, "soft_reset": True}, None, "LIFNode", {"tau": 2.0, "v_reset": None}),
}


class Contender(NamedTuple):
    """A network, and what runs it: frames `[B, T, C, H, W]` -> logits `[T, B, K]`."""

    net: nn.Module
    run: Callable[[Tensor], Tensor]


def layers(kit: Any, norm: Callable[[int], nn.Module], node: Callable[[], nn.Module], flatten: nn.Module) -> nn.Module:
    """VGGSNN of the layers of a kit: torch's, or SpikingJelly's."""
    made: list[nn.Module] = []
    before = 2
    for entry in PLAN:
        if isinstance(entry, str):
            made.append(kit.AvgPool2d(2))
            continue
        made += [kit.Conv2d(before, entry, 3, padding=1, bias=False), norm(entry), node()]
        before = entry
    return nn.Sequential(*made, flatten, kit.Linear(before * (SIZE // 16) ** 2, CLASSES))


def ours(neuron: Neuron, walks: bool, inclusive: bool = True) -> Contender:
    how = {"threshold": 1.0, "act_fun": "AtanGrad", "alpha": 2.0, "detach_reset": True, "inclusive": inclusive}
    how |= {"node_type": "UnitLIFNode", "norm": "shared", "width": 1 / 8, **neuron.ours}
    net = build_backbone("hsd_vggsnn", CLASSES, STEPS, SIZE, **how)
    for node in net.nodes:
        node.walks = walks
    return Contender(net, net.event_logits)


def braincogs(neuron: Neuron) -> Contender:
    kind, act_fun = node_class(neuron.braincog or ""), surrogate_class("AtanGrad")
    node = partial(kind, threshold=1.0, tau=2.0, act_fun=act_fun, step=STEPS, layer_by_layer=True)
    net = layers(nn, nn.BatchNorm2d, node, nn.Flatten()).to(memory_format=torch.channels_last)
    nodes = [part for part in net if isinstance(part, kind)]

    def run(frames: Tensor) -> Tensor:
        for node in nodes:
            node.n_reset()
        return net(frames.transpose(0, 1).flatten(0, 1)).unflatten(0, (STEPS, -1))

    return Contender(net, run)


def spikingjellys(neuron: Neuron) -> Contender:
    from spikingjelly.activation_based import functional, layer, surrogate
    from spikingjelly.activation_based import neuron as neurons

    kind = getattr(neurons, neuron.spikingjelly)
    how = {"surrogate_function": surrogate.ATan(2.0), "detach_reset": True, **neuron.keywords}
    net = layers(layer, layer.BatchNorm2d, partial(kind, **how), layer.Flatten())
    functional.set_step_mode(net, "m")
    net = net.to(memory_format=torch.channels_last)

    def run(frames: Tensor) -> Tensor:
        functional.reset_net(net)
        return net(frames.transpose(0, 1))

    return Contender(net, run)


def weighed(net: nn.Module) -> list[Any]:
    """Convolutions, batch norms and the linear layer, in the order of the layers."""
    return [part for part in net.modules() if isinstance(part, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    for one, two in zip(weighed(source), weighed(target), strict=True):
        two.load_state_dict(one.state_dict())
        if isinstance(one, nn.BatchNorm2d):
            two.eps = one.eps


@torch.no_grad()
def put_on_grid(net: nn.Module) -> None:
    """Weights in multiples of 1/64, and norms that do nothing in evaluation: every sum is exact in float32."""
    for part in weighed(net):
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 0.0  # the running mean is 0, the variance 1
        else:
            part.weight.normal_(0, 8 / part.weight[0].numel() ** 0.5).mul_(64).round_().div_(64)


@torch.no_grad()
def spikes_of(contender: Contender, frames: Tensor) -> list[Tensor]:
    """The outputs of all nodes in evaluation, `[T*B, C, H, W]`."""
    seen: list[Tensor] = []
    parts = contender.net.modules()
    nodes = [part for part in parts if isinstance(part, BaseNode) or hasattr(part, "surrogate_function")]
    hooks = [node.register_forward_hook(lambda _, __, output: seen.append(output.flatten(0, -4))) for node in nodes]
    contender.net.eval()
    contender.run(frames)
    for hook in hooks:
        hook.remove()
    contender.net.train()
    return seen


def prove(name: str, neuron: Neuron, contenders: dict[str, Contender], frames: Tensor) -> None:
    """All contenders must give the same spikes, each in every layer."""
    first = contenders[KERNELS].net
    put_on_grid(first)
    expected = {True: spikes_of(contenders[KERNELS], frames)}
    strict = ours(neuron, walks=False, inclusive=False)
    copy_weights(first, strict.net)
    expected[False] = spikes_of(strict, frames)
    for other, contender in contenders.items():
        copy_weights(first, contender.net)
        found = spikes_of(contender, frames)
        for layer, (got, wanted) in enumerate(zip(found, expected[other != BRAINCOG], strict=True)):
            if not torch.equal(got, wanted) or not 0.01 < wanted.mean() < 0.99:
                apart = (got != wanted).sum().item()
                raise SystemExit(f"{name}, {other}: layer {layer} differs in {apart} spikes, or has too few of them")


def train(contender: Contender, frames: Tensor, label: Tensor) -> None:
    contender.net.zero_grad(set_to_none=True)
    cross_entropy(contender.run(frames).mean(0), label).backward()


def measure(name: str, repeats: int) -> dict[str, float]:
    """Contender -> CPU seconds of its fastest training step."""
    neuron = NEURONS[name]
    contenders = {KERNELS: ours(neuron, walks=False), WALKING: ours(neuron, walks=True)}
    if neuron.braincog:
        contenders[BRAINCOG] = braincogs(neuron)
    if find_spec("spikingjelly"):
        contenders[RIVAL] = spikingjellys(neuron)
    torch.manual_seed(0)
    frames, label = torch.poisson(torch.full((BATCH, STEPS, 2, SIZE, SIZE), 0.3)), torch.arange(BATCH) % CLASSES
    prove(name, neuron, contenders, frames)
    fresh = ours(neuron, walks=False).net
    for contender in contenders.values():
        copy_weights(fresh, contender.net)
    best = dict.fromkeys(contenders, float("inf"))
    for turn in range(repeats + 1):
        for other, contender in contenders.items():
            start = time.process_time()
            train(contender, frames, label)
            if turn:  # the first compiles
                best[other] = min(best[other], time.process_time() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=8, help="turns of each contender (8)")
    repeats = parser.parse_args().repeats
    if not find_spec("spikingjelly"):
        print('SpikingJelly is not installed, so its column stays empty: pip install ".[bench]"\n')
    torch.set_num_threads(1)
    rows = []
    for name in NEURONS:
        taken = measure(name, repeats)
        print(f"{name}: the same spikes in every layer: {', '.join(taken)}", flush=True)
        fastest = taken[KERNELS]
        cells = (taken.get(other) for other in (KERNELS, WALKING, BRAINCOG, RIVAL))
        rows.append((name, *("-" if each is None else f"{1000 * each:.0f} ({each / fastest:.2f})" for each in cells)))
    header = ("CPU ms a step (/ kernels)", KERNELS, WALKING, BRAINCOG, RIVAL)
    print("\n" + tabulate(rows, header, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
