"""A module of a user's own, an ANN of any layout, as a network of these; and what it may be made of to be converted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from warnings import warn

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode

from ..bridge import BaseNode
from ..errors import RecipeError
from .multi_step import multi_step_node
from .network import SpikingNetwork
from .nodes.qcfs import QCFSNode
from .norms.step import StepBatchNorm2d, world_size

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
LINEAR = (nn.Linear, nn.Flatten, nn.Unflatten, nn.Identity, nn.ZeroPad2d, _ConvNd, _DropoutNd, _BatchNorm)

FUNCTIONS = {
    *("relu", "relu_", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "glu"),
    *("sigmoid", "sigmoid_", "logsigmoid", "tanh", "tanh_", "softmax", "log_softmax", "softplus", "softsign"),
    *("hardtanh", "hardswish", "hardsigmoid", "clamp", "clamp_", "clamp_min", "clip", "maximum"),
}
"""Functions of torch that are no layer that a spiking network has."""


class Place(nn.Module):
    """An activation of a module: as it is, or in its place spiking nodes, one for each call in a pass.

    Args:
        name: of the activation in the module.
        activation: `nn.ReLU` or a `QCFSNode`.
    """

    inside = 0
    """How many places run now."""

    def __init__(self, name: str, activation: nn.Module) -> None:
        super().__init__()
        self.name, self.calls, self.seen = name, 0, dict[int, float]()
        self.share: float | None = None
        self.activation: nn.Module | None = activation
        self.nodes = nn.ModuleList()

    def forward(self, x: Tensor) -> Tensor:
        """Currents of any shape -> activations, or spikes."""
        call, self.calls = self.calls, self.calls + 1
        Place.inside += 1
        try:
            if self.activation is None:
                spikes: Tensor = self._node(call)(x)
                return spikes.contiguous()  # the kernels' are not, and a forward may take views
            y: Tensor = self.activation(x)
        finally:
            Place.inside -= 1
        largest = 0.0 if self.share is None else _largest(y, self.share)
        self.seen[call] = max(largest, self.seen.get(call, 0.0))
        return y

    def become(self, nodes: list[BaseNode]) -> None:
        """From now on these nodes fire, the first one at the first call in a pass."""
        self.activation, self.nodes = None, nn.ModuleList(nodes)

    def _node(self, call: int) -> nn.Module:
        if call >= len(self.nodes):
            found = f"was called {len(self.nodes)} times" if len(self.nodes) != 1 else "has one place"
            raise RecipeError(
                f"activation '{self.name}' {found} when the module was converted, and is called once more: each call"
                " needs a node of its own, so give each place its own activation, or give convert() batches, from"
                " which the calls are counted"
            )
        return self.nodes[call]


def _largest(y: Tensor, share: float) -> float:
    """The number that this share of all numbers does not exceed."""
    numbers = y.detach().float().flatten()
    return float(numbers.kthvalue(int(numbers.numel() * share) or numbers.numel()).values)


class ModuleNetwork(SpikingNetwork):
    """A module that gets frames `[N, C, H, W]` and gives logits `[N, K]`, N = T*B, as a network.

    All of `SpikingNetwork` comes with it: `event_logits`, `set_steps`, `nodes`, `reset()`, taps; so it can be the
    backbone of a method. The module's `forward` runs once for all steps, each frame as a sample; batch norms take their
    statistics over all of them in training. `convert.convert` makes an SNN of it.

    Args:
        module: is used as it is, but `QCFSNode`s are replaced by such for all steps, with the same threshold.
        num_classes: K; None: the units of the last linear layer.
        step: T.
        img_size: height and width of the frames, if they are always the same.
        in_chans: C, likewise.
        kwargs: keywords of the nodes that `convert` makes.
    """

    any_size = True
    default_norm = "none"

    seen_through: bool = True
    """Whether it was run once with a look at the functions that it calls, if it was converted."""

    def __init__(
        self,
        module: nn.Module,
        num_classes: int | None = None,
        step: int = 1,
        img_size: Any = None,
        in_chans: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.given, self.known_size = (module,), None if img_size is None or in_chans is None else (in_chans, img_size)
        units = [part.out_features for part in module.modules() if isinstance(part, nn.Linear)]
        settings: dict[str, Any] = {"num_classes": num_classes or (units or [1])[-1], "step": step, **kwargs}
        super().__init__(**settings, img_size=img_size or 32, in_chans=in_chans)
        if self.execution != "multi_step":
            raise RecipeError(f"a module of your own runs in execution multi_step, not '{self.execution}'")

    def build(self) -> None:
        """Take the module."""
        (self.module,) = self.__dict__.pop("given")
        fresh: dict[nn.Module, nn.Module] = {}
        for name, part in list(self.module.named_modules(remove_duplicate=False)):
            if isinstance(part, _BatchNorm):
                part.shared = True  # type: ignore[assignment]  # over all steps together
            elif type(part) is QCFSNode:
                if part not in fresh:
                    fresh[part] = self._heir(part)
                put(self, f"module.{name}".rstrip("."), fresh[part])
        self.feature_size = self.num_classes

    def synchronise_norms(self, together: bool = True) -> None:
        """Warn of batch norms of the module, each of which has the statistics of its own process's part of a batch."""
        super().synchronise_norms(together)
        alone = (
            isinstance(part, _BatchNorm) and not isinstance(part, (nn.SyncBatchNorm, StepBatchNorm2d))
            for part in self.module.modules()
        )
        if together and world_size() > 1 and any(alone):
            warn(
                f"batch norms of {type(self.module).__name__} take the statistics of each process's own part of a"
                " batch, so the number of processes changes the training",
                stacklevel=2,
            )

    def _heir(self, node: QCFSNode) -> BaseNode:
        kind: Any = multi_step_node(QCFSNode)
        how = {"levels": node.levels, "order": node.order, "closed": node.closed}
        made: BaseNode = kind(**how, step=self.step, layer_by_layer=True)
        made.threshold = node.threshold
        return made

    def build_heads(self) -> None:
        """The module has its own."""

    @property
    def stem(self) -> Any:
        """The module: which layer gets the frames is not known."""
        return self.module

    def encode(self, currents: Tensor) -> Tensor:
        """Frames `[N, C, H, W]` -> logits `[N, K]`: the module runs as a whole."""
        logits: Tensor = self.module(currents)
        if logits.dim() != 2 or len(logits) != len(currents):
            raise RecipeError(
                f"the module must give logits [N, K] for frames [N, C, H, W], not {[*logits.shape]} for"
                f" {[*currents.shape]}"
            )
        return logits

    def _encode_frames(self, frames: Tensor, rows: Tensor | None = None) -> Tensor:
        for part in self.modules():
            if isinstance(part, Place):
                part.calls = 0
        frames = (frames if rows is None else frames.index_select(0, rows)).contiguous()
        if self.seen_through:
            return self.encode(frames)
        with refusing_functions():
            features = self.encode(frames)
        self.seen_through = True
        return features

    def example(self) -> Tensor | None:
        """Random frames `[2, C, H, W]`; None if their size is not known."""
        if self.known_size is None:
            return None
        return torch.rand(2, self.known_size[0], *self.frame_size, generator=torch.Generator().manual_seed(0))

    def classified(self, stream: str, features: Tensor) -> Tensor:
        """Per-step logits `[T, B, K]`, which the module gave."""
        return features.float()


def put(root: nn.Module, name: str, part: nn.Module) -> None:
    """Put a module in the place of another one."""
    parent, _, leaf = name.rpartition(".")
    setattr(root.get_submodule(parent), leaf, part)


def check_convertible(module: nn.Module) -> None:
    """Refuse a module with a part that no spiking network has.

    Raises:
        RecipeError: names the part.
    """
    for name, part in module.named_modules():
        kind, own = type(part).__name__, type(part).__module__.startswith("torch.nn.")
        if "MaxPool" in kind:
            raise RecipeError(
                f"'{name}' is a {kind}, and the maximum of spikes is not the spikes of the maximum: train with average"
                " pools (nn.AvgPool2d) in its place, as QCFS does"
            )
        if isinstance(part, _BatchNorm) and part.running_mean is None:
            raise RecipeError(f"'{name}' has no running statistics: train it with track_running_stats=True")
        spiking = isinstance(part, BaseNode) and not isinstance(part, QCFSNode)
        known = isinstance(part, (*CONTAINERS, *POOLS, *LINEAR)) or type(part) is nn.ReLU
        if spiking or (own and not known):
            raise RecipeError(
                f"'{name}' is a {kind}; nodes can take the places of nn.ReLU and QCFSNode, and beside them there may be"
                " convolutions, linear layers, batch norms, average pools and dropout: train without it"
            )


@contextmanager
def refusing_functions() -> Iterator[None]:
    """Within it, a call of an activation or a maximum pooling that is no module of its own is refused."""
    with _Refusing():
        yield


class _Refusing(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if not Place.inside and (name in FUNCTIONS or "max_pool" in name):
            way_out = "an nn.ReLU of its own for each place" if "relu" in name else "a module that convert() knows"
            way_out = "an average pool" if "max_pool" in name else way_out
            raise RecipeError(
                f"the module calls the function {name}(), whose place no node can take: use {way_out} in forward()"
            )
        return function(*args, **(kwargs or {}))


def frames_of(batches: Any) -> Iterator[Tensor]:
    """Frames `[N, C, H, W]` of batches: tensors `[B, C, H, W]` or `[B, T, C, H, W]`, or what begins with one."""
    for batch in [batches] if isinstance(batches, Tensor) else batches:
        frames = getattr(batch, "events", batch)
        frames = frames[0] if isinstance(frames, list | tuple) else frames
        if not isinstance(frames, Tensor) or frames.dim() not in (4, 5):
            shown = [*frames.shape] if isinstance(frames, Tensor) else type(frames).__name__
            raise RecipeError(
                f"batches are images [B, C, H, W] or frames [B, T, C, H, W], alone or first in a tuple, not {shown}"
            )
        yield frames.flatten(0, 1) if frames.dim() == 5 else frames


@torch.no_grad()
def places_in(network: ModuleNetwork, batches: Any, share: float | None = None) -> dict[str, Place]:
    """Put `Place`s in the places of all activations, and run the ANN in evaluation to count their calls.

    Args:
        network: whose activations are replaced.
        batches: see `frames_of`; None: each activation is taken to be called once in a pass.
        share: of the activations of a batch that the threshold of a ReLU must hold; None: it is not looked for.

    Returns:
        The places by name, with what they saw.
    """
    places = {}
    for name, part in list(network.module.named_modules(remove_duplicate=False)):
        if type(part) is nn.ReLU or isinstance(part, QCFSNode):
            places[name] = Place(name, part)
            places[name].share = share if type(part) is nn.ReLU else None
            put(network, f"module.{name}".rstrip("."), places[name])
    if batches is None:
        network.seen_through = False
        for place in places.values():
            place.seen[0] = 0.0
        return places
    training, weight = network.training, next(network.module.parameters(), torch.zeros(()))
    network.eval()
    with refusing_functions():
        for frames in frames_of(batches):
            network._encode_frames(frames.to(weight))
    network.train(training)
    return places
