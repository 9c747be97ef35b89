"""What each time step of a network costs: spikes, synaptic operations and an estimate of their energy."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..models.hooks import Tap
from ..models.nodes.qcfs import QCFSNode

MAC, AC = 4.6, 0.9
"""Picojoule of a multiply-accumulate and of an accumulate, 32-bit float in 45 nm CMOS (Horowitz, ISSCC 2014)."""

SPIKE_LEVELS = 4
"""Spikes, and their means over windows of 2x2, are multiples of 1/4 from 0 to 1 of what a spike is high."""

ROUNDING = 0.02
"""Of levels, in bfloat16."""

LOOKED_AT = 64
"""Frames of a layer's input that are looked at for what is no spike."""


def are_spikes(x: Tensor, nodes: Sequence[nn.Module] = ()) -> bool:
    """Whether all numbers are spikes of one of the nodes that fired so far, or their means over 2x2.

    Spikes may be as high as a threshold, which the next layer's weights can take up. A shortcut gets the spikes of a
    node that others have followed.

    Args:
        x: of any shape.
        nodes: the last one first; what an ANN's node gives is no spike. Without any, spikes are 1.
    """
    spiking = [node for node in nodes if not isinstance(node, QCFSNode)]
    if nodes and not spiking:
        return False
    heights = [node.threshold if getattr(node, "fires_threshold", False) else 1.0 for node in spiking] or [1.0]
    return any(_are_levels(x.float() / torch.as_tensor(height).to(x).float() * SPIKE_LEVELS) for height in heights)


def _are_levels(x: Tensor) -> bool:
    near = (x - x.round()).abs() < ROUNDING
    return bool((near & (x > -0.5) & (x < SPIKE_LEVELS + 0.5)).all())


class StepCosts:
    """Sums over recordings, one number a time step; float64 `[T]`.

    `synaptic operations` are an estimate: multiply-accumulates of a layer times the share of its inputs that are not 0.
    Energy in pJ: `4.6 * MACs` for layers whose input is not spikes (the first one, even if Poisson spikes stand for the
    frames; those behind an average of more than 2x2 pixels), 0 or not, and `0.9 * operations` for all others. It is
    that of arithmetic alone: no memory, no neuron, no batch norm (which folds into the layer before it), no bias.

    What is computed once for all steps, such as the first convolution of a still image, counts in the first step.

    Args:
        steps: T; 1 to sum over all steps.
    """

    def __init__(self, steps: int = 1) -> None:
        self.steps, self.batch, self.recordings = steps, 0, 0
        self.spikes: dict[str, Tensor] = {}
        self.outputs: dict[str, int] = {}
        self.operations = torch.zeros(steps, dtype=torch.float64)
        self.energy = torch.zeros(steps, dtype=torch.float64)
        self.macs = torch.zeros(steps, dtype=torch.float64)
        self._real: dict[str, bool] = {}
        self._fired: list[nn.Module] = []
        self._last: tuple[weakref.ref[Tensor], Tensor, int] | None = None

    def begin(self, recordings: int) -> None:
        """A batch of so many recordings passes through the network next."""
        self.batch, self._fired, self._last = recordings, [], None
        self.recordings += recordings

    def firing_rates(self) -> list[float]:
        """Mean over the nodes of the spikes of a neuron in a step, over the first 1..T steps."""
        if not self.spikes:
            return [0.0] * self.steps
        share = torch.arange(1, self.steps + 1, dtype=torch.float64) / self.steps
        rates = [count.cpu().cumsum(0) / (self.outputs[name] * share) for name, count in self.spikes.items()]
        return torch.stack(rates).mean(0).tolist()

    def of_first_steps(self, sums: Tensor) -> list[float]:
        """`operations`, `energy` or `macs` of one recording, over the first 1..T steps."""
        mean: list[float] = (sums.cpu().cumsum(0) / self.recordings).tolist()
        return mean

    def see_node(self, name: str) -> Callable[..., None]:
        """The hook of a node."""

        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._fired = [module, *(node for node in self._fired if node is not module)]
            count, size = self._counts(output)
            self._last = weakref.ref(output), count, size
            self.spikes[name] = self.spikes.get(name, 0.0) + count
            self.outputs[name] = self.outputs.get(name, 0) + output.numel()

        return hook

    def see_layer(self, name: str) -> Callable[..., None]:
        """The hook of a convolution or a linear layer."""

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            (x,), weight = inputs, module.weight
            assert isinstance(weight, Tensor)
            if name not in self._real:
                looked_at = x[:: -(-len(x) // LOOKED_AT)]
                self._real[name] = not (self._fired and are_spikes(looked_at, self._fired))
            count, size = self._counts(x)
            parts = x.numel() // size
            macs = torch.zeros_like(count)
            macs[:parts] = output.numel() / parts * weight[0].numel()
            operations = macs * count / size
            self.macs = self.macs.to(count.device) + macs
            self.operations = self.operations.to(count.device) + operations
            self.energy = self.energy.to(count.device) + (MAC * macs if self._real[name] else AC * operations)

        return hook

    def _counts(self, x: Tensor) -> tuple[Tensor, int]:
        """Numbers that are not 0 in each step `[T]`, and how many a step has; all in the first if x serves all."""
        if self._last is not None and self._last[0]() is x:  # what a node fired is the input of a layer or two
            return self._last[1:]
        parts = x.unflatten(0, (self.steps, -1)) if self.steps > 1 and len(x) == self.steps * self.batch else x[None]
        count = torch.zeros(self.steps, dtype=torch.float64, device=x.device)
        count[: len(parts)] = count_nonzero(parts)
        return count, parts[0].numel()


def count_nonzero(parts: Tensor) -> Tensor:
    """Numbers that are not 0 in each of the parts `[N, ..]`: float64 `[N]`."""
    if parts.device.type != "cpu":
        return torch.count_nonzero(parts.flatten(1), 1).double()
    # On the CPU numpy counts truth values several times as fast as torch, if they are read as they lie in memory.
    flags = (parts.movedim(2, -1) if parts.dim() == 5 else parts) != 0
    return torch.tensor([np.count_nonzero(flag) for flag in flags.numpy()], dtype=torch.float64)


@contextmanager
def count_costs(network: nn.Module, steps: int = 1) -> Iterator[StepCosts]:
    """Watch the nodes (all modules with `n_reset`), convolutions and linear layers of a network.

    Args:
        network: whose layers see all steps at once, `[T*B, ..]`, the first steps first, if `steps` is not 1.
        steps: see `StepCosts`, of which `begin` must be called before every batch.
    """
    costs = StepCosts(steps)
    with watching(network, costs.see_node, costs.see_layer):
        yield costs


@contextmanager
def watching(
    network: nn.Module, see_node: Callable[[str], Callable[..., None]], see_layer: Callable[[str], Callable[..., None]]
) -> Iterator[None]:
    """Within it, nodes (all modules with `n_reset`), convolutions and linear layers have forward hooks.

    Args:
        network: any module.
        see_node: makes the hook of a node of this name; it looks at the output only.
        see_layer: likewise, of a layer.
    """
    handles = []
    for name, module in network.named_modules():
        if hasattr(module, "n_reset"):
            handles.append(module.register_forward_hook(Tap(see_node(name))))
        elif isinstance(module, nn.Conv2d | nn.Linear):
            handles.append(module.register_forward_hook(see_layer(name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
