"""Taps: what single nodes do during a forward pass, for methods and figures that ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..bridge import BaseNode
from ..errors import RecipeError
from ..registry import did_you_mean
from . import contract
from .hooks import Tap
from .multi_step import MultiStep
from .recompute import recomputing

POOLED = "pooled"
KINDS = ("potential", "membrane", "spikes")


class Recorder:
    """Collects what some taps see during one forward pass of a network.

    Args:
        network: whose nodes are watched.
        taps: names, see `SpikingNetwork.taps`.
    """

    def __init__(self, network: nn.Module, taps: tuple[str, ...]) -> None:
        self.taps, self.found = taps, dict[str, Tensor]()
        self._parts: dict[str, list[Tensor]] = {}
        self.nodes = {tap: _node_of(network, tap) for tap in taps if tap != POOLED}

    def begin(self) -> None:
        """Called before a forward pass."""
        self._parts = {tap: [] for tap in self.nodes}

    def finish(self, steps: int, features: list[Tensor]) -> None:
        """Called after a forward pass, with the features `[T, B, D]` of each stream."""
        if POOLED in self.taps:
            self.found[POOLED] = features[0] if len(features) == 1 else torch.cat(features, 1)
        for tap, parts in self._parts.items():
            if not parts:
                raise RecipeError(
                    f"tap '{tap}' got no values, since its node comes after the classifier's input: choose an"
                    " earlier node"
                )
            streams = (parts[0] if len(parts) == 1 else torch.cat(parts)).split(steps)
            self.found[tap] = streams[0] if len(streams) == 1 else torch.cat(streams, 1)
        self._parts = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within it the nodes record; afterwards they are as before."""
        with ExitStack() as stack:
            for tap, node in self.nodes.items():
                kind = tap.partition(":")[0]
                stack.callback(contract.release, node, as_it_is=True)
                potentials: list[Tensor] = []
                if kind != "spikes":
                    stack.enter_context(_attributes(node, requires_mem=True))
                if kind == "potential":
                    fire = partial(_keep_potential, node, node.calc_spike, potentials)
                    stack.enter_context(_attributes(node, walks=True, calc_spike=fire))
                hook = node.register_forward_hook(Tap(partial(self._see, tap, kind, potentials)))
                stack.callback(hook.remove)
            yield

    def _see(self, tap: str, kind: str, potentials: list[Tensor], node: Any, _: Any, output: Tensor) -> None:
        """The forward hook of a node: take what it recorded at its last steps."""
        if recomputing() or tap not in self._parts:
            return
        count = node.input_steps if isinstance(node, MultiStep) else 1
        if kind == "spikes":  # of all steps in one piece: no copy
            seen = output.unflatten(0, (count, -1)) if isinstance(node, MultiStep) else output[None]
        else:
            seen = torch.stack((potentials if kind == "potential" else node.mem_collect)[-count:])
        self._parts[tap].append(seen)
        potentials.clear()


def _node_of(network: nn.Module, tap: str) -> Any:
    kind, colon, name = tap.partition(":")
    nodes = {name: layer for name, layer in network.named_modules() if isinstance(layer, BaseNode)}
    known = [POOLED, *(f"{each}:{node}" for each in ([kind] if kind in KINDS else KINDS) for node in nodes)]
    if not colon or kind not in KINDS or name not in nodes:
        raise RecipeError(f"the network has no tap '{tap}': {did_you_mean(tap, known)}")
    return nodes[name]


def _keep_potential(node: Any, calc_spike: Any, kept: list[Tensor]) -> None:
    """`calc_spike` of a node, which keeps the membrane that it decides on, before any reset."""
    if not recomputing():
        kept.append(node.mem)
    calc_spike()


@contextmanager
def _attributes(node: Any, **values: Any) -> Iterator[None]:
    """Set attributes of a node, and put back what the instance had."""
    before = {name: vars(node)[name] for name in values if name in vars(node)}
    vars(node).update(values)
    try:
        yield
    finally:
        for name in values:
            vars(node).pop(name)
        vars(node).update(before)
