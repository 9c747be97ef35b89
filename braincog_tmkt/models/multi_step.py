"""BrainCog's nodes, made fit for multi-step execution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar

from torch import Tensor, nn

from ..bridge import BaseNode
from .fused_bn_neuron import fire
from .hooks import watched
from .norms.step import StepBatchNorm2d
from .recompute import recomputing

STATE = ("mem", "spike", "feature_map", "mem_collect")


class MultiStep:
    """Mixed into a node class: its forward sees all steps, and may do the batch norm in front of it, too.

    Nodes with a recurrence and a surrogate that the kernels know run there; they want a reset before each sequence.
    Others walk as BrainCog's `layer_by_layer` does, but without its T^2 cost: it indexes the steps one by one, and the
    gradient of every single index fills a tensor of all T steps (48 % of an SCNN training step at T = 10). Unbinding
    the steps once gives the same numbers.

    How many steps its input has is `steps`, which the network sets. `step` is BrainCog's attribute, which its scripts
    change; in BrainCog's own networks, too, that leaves T as it is.
    """

    plain: ClassVar[Any]
    """The class of the node for one step at a time."""

    walks: bool = False
    """Whether to walk even where there is a kernel."""

    circumstances: ClassVar[tuple[str, ...]] = ("steps", "walks", "requires_mem", "requires_fp")

    step: int

    steps: int = 0
    """T of the input; 0 in a node outside of a network, which takes `step`."""

    @property
    def input_steps(self) -> int:
        """T of the input."""
        return self.steps or self.step

    def rearrange2node(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Currents `[T*N, ...]` -> those of each step."""
        return inputs.unflatten(0, (self.input_steps, -1)).unbind(0)

    def forward(self, inputs: Tensor, norm: nn.Module | None = None) -> Tensor:
        """Currents `[T*N, ...]`, normalised first if there is a norm -> spikes `[T*N, ...]`."""
        if norm is not None and (watched(norm) or not (isinstance(norm, StepBatchNorm2d) and norm.fuses)):
            inputs, norm = norm(inputs), None
        spikes = fire(self, inputs, norm)
        if spikes is not None:
            return spikes
        currents = inputs if norm is None else norm(inputs)
        with _as_before(self), _walking(self):
            walked: Tensor = self.plain.forward(self, currents.float())  # membranes stay in full precision
        return walked

    def __reduce__(self) -> tuple[Any, ...]:
        return _empty, (self.plain,), self.__getstate__()


@cache
def multi_step_node(node: type[BaseNode]) -> type[BaseNode]:
    """Return a subclass of a node for all steps at once, see `MultiStep`.

    Example:
        >>> from braincog_tmkt.models.parts import node_class
        >>> multi_step_node(node_class("LIFNode")).__name__
        'MultiStepLIFNode'
    """
    members = {"plain": node, "__doc__": node.__doc__, "__module__": __name__}
    return type(f"MultiStep{node.__name__}", (MultiStep, node), members)


def _empty(plain: Any) -> Any:
    """A node without attributes, for copy and pickle, which cannot find a class that is made when it is needed."""
    kind: Any = multi_step_node(plain)
    return kind.__new__(kind)


def normalised(node: nn.Module, norm: nn.Module, currents: Tensor) -> Tensor:
    """Spikes of a node for currents that pass a norm first, together where the node sees all steps.

    A hook or a `forward` of somebody's own on either of them gets what it would get in BrainCog's networks.
    """
    together = isinstance(node, MultiStep) and not watched(node)
    spikes: Tensor = node(currents, norm) if together else node(norm(currents))
    return spikes


@contextmanager
def _as_before(node: Any) -> Iterator[None]:
    """While layers are computed again: a fresh node, and afterwards the state it had."""
    if not recomputing():
        yield
        return
    state = {name: getattr(node, name) for name in STATE}
    node.n_reset()
    try:
        yield
    finally:  # the second run is left by an exception as soon as it has made what the backward pass needs
        vars(node).update(state)


@contextmanager
def _walking(node: Any) -> Iterator[None]:
    """While a node walks through its input: BrainCog's `step` is the number of steps there."""
    step, node.step = node.step, node.input_steps
    try:
        yield
    finally:
        node.step = step
