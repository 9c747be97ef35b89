"""Who is compared in `execution.py`: our executions, SpikingJelly on the same nets, and the bare convolutions.

SpikingJelly's nets and the bare ones are written down here, layer by layer, from a kit of constructors; that their
weights have the shapes of our nets is checked whenever one is built. What SpikingJelly computes is less: plain batch
norm (one statistic over all steps; its `BatchNorm2d(step_mode="m")`), no membranes for the alignment, no alignment, no
modality objectives, no mixing (its frames come mixed); the loss is the cross-entropy of every step of both streams.
The bare nets have the convolutions, poolings, residual sums and linear layers alone: their time is the limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from braincog_tmkt.data.batch import Batch, BatchRNG
from braincog_tmkt.methods import METHODS, Method
from braincog_tmkt.methods.mixing import mix
from braincog_tmkt.models import build_backbone
from braincog_tmkt.recipe import Recipe, load_recipe
from braincog_tmkt.recipe.files import find_recipe

STEP, MULTI, LIMIT, RIVAL = "step", "multi_step", "convolutions", "SpikingJelly"
BF16, COMPILED = " bf16", " compiled"
CONTENDERS = (STEP, MULTI, MULTI + BF16, RIVAL, RIVAL + BF16, LIMIT, LIMIT + BF16)
"""In the order of the tables; the first is the reference: BrainCog's own modules, one step at a time."""

OPTIONAL = (RIVAL + COMPILED,)
"""Only if asked for: torch.compile takes minutes before the first step (step mode's own graph takes longer yet)."""

RESNET_PLAN = ((1, 1), (1, 1), (2, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1))
"""Blocks of ResNet-18: multiple of the first width, stride."""


@dataclass(frozen=True)
class Case:
    """A net under its recipe.

    Args:
        net: name in the tables.
        recipe: whose model, method, T and frame size are used.
        classes: K of the real data set.
        batch: B.
        changes: overrides of the recipe, for the growth curves and quick runs.
    """

    net: str
    recipe: str
    classes: int
    batch: int
    changes: tuple[str, ...] = ()

    def load(self) -> Recipe:
        return load_recipe(find_recipe(self.recipe), self.changes)

    def changed(self, batch: int, *changes: str) -> Case:
        return replace(self, batch=batch, changes=self.changes + changes)


VGGSNN = Case("VGGSNN", "ncaltech101/tmkt", 101, 8)
RESNET = Case("ResNet-18", "cepdvs/tmkt", 20, 8)
SCNN = Case("SCNN", "nomniglot/tmkt", 1623, 16)


class Contender(NamedTuple):
    """One competitor on one case.

    Args:
        train: forward with the loss, and backward; gradients of the call before are dropped first.
        infer: the event stream in evaluation, without a graph.
        parts: what lies in memory between two steps.
    """

    train: Callable[[], object]
    infer: Callable[[], object]
    parts: nn.Module


def make_contender(name: str, case: Case, device: torch.device) -> Contender:
    """Build a competitor by its name in `CONTENDERS`; weights and frames are the same numbers on every call."""
    kind, bf16 = name.removesuffix(BF16).removesuffix(COMPILED), name.endswith(BF16)
    torch.manual_seed(0)
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=bf16)
    if kind in (STEP, MULTI):
        return _ours(make_method(case, device, execution=kind), make_batch(case, device), autocast)
    batch = make_batch(case, device)
    kit = _spikingjelly() if kind == RIVAL else _bare()
    net = _check_weights(NETS[case.net](kit, case), case).to(device)
    if name.endswith(COMPILED):
        net.compile()
    return (_spikingjelly_contender if kind == RIVAL else _bare_contender)(net, batch, autocast)


def make_method(case: Case, device: torch.device, **settings: Any) -> Method:
    """The recipe's method around its backbone, as the engine builds it; settings go to `build_backbone`."""
    recipe = case.load()
    model = {**recipe.model, **settings}
    name = model.pop("name")
    backbone = build_backbone(name, case.classes, recipe.data.steps, recipe.data.size, usual=model)
    arguments = {key: value for key, value in recipe.method.items() if key != "name"}
    return METHODS.build(recipe.method["name"], backbone, **arguments).to(device)


def make_batch(case: Case, device: torch.device) -> Batch:
    """Event counts (Poisson) and grey images of a batch; the same numbers on every call."""
    data, generator = case.load().data, torch.Generator().manual_seed(1)
    shape = (case.batch, data.steps, 2, data.size, data.size)
    events = torch.poisson(torch.full(shape, 0.3), generator)
    grey = torch.rand(case.batch, 1, data.size, data.size, generator=generator).expand(-1, 2, -1, -1).contiguous()
    label = torch.randint(case.classes, (case.batch,), generator=generator)
    rows = torch.arange(case.batch)
    draw = BatchRNG(seed=1, start=0, rows=case.batch, total=case.batch)
    return Batch(grey.to(device), events.to(device), label.to(device), rows.to(device), draw)


def _flat_streams(batch: Batch) -> tuple[Tensor, Tensor]:
    """Mixed frames (half of the steps appearance) and event frames `[T*B, 2, H, W]`, channels-last."""
    mixed = mix(batch, torch.full((len(batch.label),), batch.steps // 2 + 1)).frames
    first, second = (
        frames.transpose(0, 1).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        for frames in (mixed, batch.events)
    )
    return first, second


def _ours(method: Method, batch: Batch, autocast: Callable[[], Any]) -> Contender:
    def train() -> None:
        method.train().zero_grad(set_to_none=True)
        with autocast():
            loss = method(batch, 0.5)["loss"]
        loss.backward()

    def infer() -> Tensor:
        method.eval()
        with torch.inference_mode(), autocast():
            return method.predict(batch.events)

    return Contender(train, infer, method)


class Kit(NamedTuple):
    """Constructors of layers, for frames `[T, B, C, H, W]` (SpikingJelly) or `[N, C, H, W]` (bare)."""

    conv: Callable[..., nn.Module]
    norm: Callable[[int], nn.Module]
    node: Callable[[], nn.Module]
    pool: Callable[..., nn.Module]
    mean: Callable[..., nn.Module]
    flatten: Callable[[], nn.Module]
    linear: Callable[[int, int], nn.Module]


def _bare() -> Kit:
    def nothing(*_: object) -> nn.Module:
        return nn.Identity()

    conv = partial(nn.Conv2d, bias=False)
    return Kit(conv, nothing, nothing, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear)


def _spikingjelly() -> Kit:
    """Its layers in multi-step mode; LIF with tau 2, threshold 0.5, hard reset, as ours.

    `PiecewiseQuadratic(2)` is BrainCog's `QGateGrad`. The rectangle that the SCNN recipe asks for has no kernel in
    SpikingJelly, so its SCNN gets this one, too.
    """
    from spikingjelly.activation_based import layer, neuron, surrogate

    def node() -> nn.Module:
        gradient = surrogate.PiecewiseQuadratic(alpha=2.0)
        return neuron.LIFNode(
            2.0, v_threshold=0.5, v_reset=0.0, surrogate_function=gradient, detach_reset=True, step_mode="m"
        )

    several = partial(partial, step_mode="m")
    return Kit(
        several(layer.Conv2d, bias=False),
        several(layer.BatchNorm2d),
        node,
        several(layer.AvgPool2d),
        several(layer.AdaptiveAvgPool2d),
        several(layer.Flatten),
        several(layer.Linear),
    )


def spikingjelly_backend(device: torch.device) -> str:
    """Which of its backends SpikingJelly takes by itself, the best that is installed."""
    if device.type == "cpu":
        return "torch operations (it has no other for the CPU)"
    return "native CUDA" if find_spec("spikingjelly._ops.lif._C") else "Triton"


class Net(nn.Module):
    """An encoder and a classifier for each stream."""

    def __init__(self, encoder: nn.Module, *heads: nn.Module) -> None:
        super().__init__()
        self.encoder, self.heads = encoder, nn.ModuleList(heads)

    def forward(self, frames: Tensor, stream: int) -> Tensor:
        return self.heads[stream](self.encoder(frames))


def _wider(channels: int, case: Case) -> int:
    return max(1, round(channels * case.load().model["width"]))


def vggsnn(kit: Kit, case: Case) -> Net:
    layers: list[nn.Module] = []
    before = 2
    for entry in (64, 128, "P", 256, 256, "P", 512, 512, "P", 512, 512, "P"):
        if isinstance(entry, str):
            layers.append(kit.pool(2))
            continue
        width = _wider(entry, case)
        layers += [kit.conv(before, width, 3, padding=1), kit.norm(width), kit.node()]
        before = width
    size = before * (case.load().data.size // 16) ** 2
    encoder = nn.Sequential(*layers, kit.flatten())
    return Net(encoder, kit.linear(size, case.classes), kit.linear(size, case.classes))


class Block(nn.Module):
    """BrainCog's `BasicBlock`: norm, node, convolution, twice, and the way around."""

    def __init__(self, kit: Kit, before: int, after: int, stride: int) -> None:
        super().__init__()
        first = kit.conv(before, after, 3, padding=1, stride=stride)
        second = kit.conv(after, after, 3, padding=1)
        self.straight = nn.Sequential(kit.norm(before), kit.node(), first, kit.norm(after), kit.node(), second)
        self.around: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.around = nn.Sequential(kit.norm(before), kit.node(), kit.conv(before, after, 1, stride=stride))

    def forward(self, x: Tensor) -> Tensor:
        return self.straight(x) + self.around(x)


def resnet18(kit: Kit, case: Case) -> Net:
    base = _wider(64, case)
    layers: list[nn.Module] = [kit.conv(2, base, 3, padding=1)]
    before = base
    for multiple, stride in RESNET_PLAN:
        layers.append(Block(kit, before, base * multiple, stride))
        before = base * multiple
    encoder = nn.Sequential(*layers, kit.norm(before), kit.mean(1), kit.flatten())
    return Net(encoder, kit.linear(before, case.classes), kit.linear(before, case.classes))


def scnn(kit: Kit, case: Case) -> Net:
    first, second, hidden = (_wider(channels, case) for channels in (15, 40, 300))
    side = ((case.load().data.size - 4) // 2 - 4) // 2
    encoder = nn.Sequential(
        *(kit.conv(2, first, 5), kit.node(), kit.pool(2)),
        *(kit.conv(first, second, 5), kit.node(), kit.pool(2)),
        *(kit.flatten(), kit.linear(second * side**2, hidden), kit.node()),
    )
    head = kit.linear(hidden, case.classes)
    return Net(encoder, head, head)


NETS = {"VGGSNN": vggsnn, "ResNet-18": resnet18, "SCNN": scnn}


def _check_weights(net: Net, case: Case) -> Net:
    """The convolutions and linear layers must be those of our net."""
    ours = make_method(case, torch.device("cpu"), execution=STEP).backbone
    mine, theirs = (
        sorted(tuple(x.weight.shape) for x in model.modules() if isinstance(x, nn.Conv2d | nn.Linear))
        for model in (ours, net)
    )
    assert mine == theirs, f"{case.net}: {mine} is not {theirs}"
    return net


def _spikingjelly_contender(net: Net, batch: Batch, autocast: Callable[[], Any]) -> Contender:
    """Both streams, one after the other, as its users would run them."""
    from spikingjelly.activation_based.functional import reset_net

    net = net.to(memory_format=torch.channels_last)  # not slower for it than the other layout
    streams = [frames.unflatten(0, (batch.steps, -1)) for frames in _flat_streams(batch)]
    label = batch.label.repeat(batch.steps)

    def train() -> None:
        net.train().zero_grad(set_to_none=True)
        loss = torch.zeros((), device=label.device)
        for stream, frames in enumerate(streams):
            reset_net(net)
            with autocast():
                loss = loss + functional.cross_entropy(net(frames, stream).flatten(0, 1), label)
        loss.backward()
        reset_net(net)

    def infer() -> Tensor:
        net.eval()
        reset_net(net)
        with torch.inference_mode(), autocast():
            return net(streams[1], 1)

    return Contender(train, infer, net)


def _bare_contender(net: Net, batch: Batch, autocast: Callable[[], Any]) -> Contender:
    """As many frames as both streams have, in one call, channels-last."""
    net = net.to(memory_format=torch.channels_last)
    mixed, events = _flat_streams(batch)
    both = torch.cat([mixed, events])

    def train() -> None:
        net.train().zero_grad(set_to_none=True)
        with autocast():
            total = net(both, 0).sum()
        total.backward()

    def infer() -> Tensor:
        net.eval()
        with torch.inference_mode(), autocast():
            return net(events, 1)

    return Contender(train, infer, net)
