"""Accuracy on the event stream, and what it costs in spikes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from ..data.pairs import PairSet
from ..methods.base import Method
from .costs import StepCosts, watching
from .devices import reduced

MOST_FRAMES = 8192
"""Frames that are evaluated at once: of 32x32 pixels and 16 channels they take 0.5 GB in every layer."""


def within_memory(method: Method, batch: int, most: int = MOST_FRAMES) -> int:
    """So many recordings at most that all their steps together are `most` frames; one at least."""
    return max(1, min(batch, most // getattr(method.backbone, "step", 1)))


@dataclass(frozen=True)
class Evaluation:
    """What a method does on some recordings.

    Args:
        accuracy: share of recordings whose class has the highest logit, mean over all steps; in [0, 1].
        accuracy_by_step: the same from the first 1..T steps, `[T]`.
        loss: cross-entropy of the mean logits.
        count: number of recordings.
        guessed: labels that at least one recording got, sorted.
        loss_by_step: the loss from the first 1..T steps, `[T]`.
    """

    accuracy: float
    accuracy_by_step: list[float]
    loss: float
    count: int
    guessed: tuple[int, ...]
    loss_by_step: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Accuracy and loss, for the history."""
        return {"accuracy": self.accuracy, "loss": self.loss}


@torch.inference_mode()
def evaluate(
    method: Method,
    pairs: PairSet,
    rows: Tensor,
    batch: int,
    fabric: Fabric,
    check: Callable[[], object] = lambda: None,
    costs: StepCosts | None = None,
) -> Evaluation:
    """Classify recordings with the event head; the processes share the work.

    Args:
        method: left in training mode.
        pairs: the data.
        rows: of the recordings in the index `[N]`, at least one; `batch` of them at once, over all processes.
        fabric: autocast and the sums over processes.
        check: called after every batch, in all processes equally often; may raise.
        costs: of `count_costs`, is told of every batch.
    """
    torch.manual_seed(0)  # a network that draws at test time gives the same numbers at every evaluation
    method.eval()
    try:
        totals = torch.stack([_score(method, pairs, chunk, fabric, check, costs) for chunk in rows.split(batch)]).sum(0)
    finally:
        method.train()
    classes = len(pairs.classes)
    shares = reduced(fabric, totals, "sum") / len(rows)
    losses, correct = shares[:-classes].view(2, -1).tolist()
    guessed = tuple(shares[-classes:].nonzero().flatten().tolist())
    return Evaluation(correct[-1], correct, losses[-1], len(rows), guessed, losses)


def _score(
    method: Method, pairs: PairSet, rows: Tensor, fabric: Fabric, check: Callable[[], object], costs: StepCosts | None
) -> Tensor:
    """Sums over this process's share: loss and recordings right after 1..T steps, and by class 1 if any got it.

    float64, `[T + T + K]`, on the device: the host queues the next batch while this one is computed.
    """
    mine = rows[fabric.global_rank :: fabric.world_size]
    # A share may be empty at the end of the rows: one recording keeps the shapes, and counts for nothing.
    events, label = pairs.events(mine if len(mine) else rows[:1])
    if costs is not None:
        costs.begin(len(events))
    with fabric.autocast():
        logits = method.predict(events)
    first = logits.double().cumsum(0) / torch.arange(1, len(logits) + 1, device=logits.device)[:, None, None]
    correct = (first.argmax(2) == label).sum(1).double()
    loss = torch.stack([functional.cross_entropy(part, label, reduction="sum") for part in first])
    guessed = torch.zeros_like(first[-1, 0]).index_fill_(0, first[-1].argmax(1), 1.0)
    check()
    return torch.cat([loss, correct, guessed]) * bool(len(mine))


@dataclass
class Activity:
    """Sums while recordings pass through a network; float64, on the device.

    Args:
        spikes: of a node, by its name; `outputs`: its neurons times steps.
        operations: synaptic operations of all layers.
    """

    spikes: dict[str, Tensor]
    outputs: dict[str, int]
    operations: Tensor


@contextmanager
def count_spikes(network: nn.Module) -> Iterator[Activity]:
    """Watch the spiking nodes (all modules with `n_reset`), convolutions and linear layers of a network.

    Synaptic operations are an estimate: multiply-accumulates of a layer times the share of its inputs that are not 0.
    """
    activity = Activity({}, {}, torch.zeros((), dtype=torch.float64))

    def see_node(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            # A spike may be of any height: soft-reset nodes fire with that of their threshold.
            activity.spikes[name] = activity.spikes.get(name, 0.0) + torch.count_nonzero(output).double()
            activity.outputs[name] = activity.outputs.get(name, 0) + output.numel()

        return hook

    def see_layer(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module.weight, Tensor)
        share = torch.count_nonzero(inputs[0]).double() / inputs[0].numel()
        activity.operations = activity.operations + share * output.numel() * module.weight[0].numel()

    with watching(network, see_node, lambda name: see_layer):
        yield activity


@torch.inference_mode()
def measure_activity(method: Method, pairs: PairSet, rows: Tensor, batch: int, fabric: Fabric) -> dict[str, Any]:
    """Firing rates and synaptic operations over some recordings, all of them in this process.

    Returns:
        `firing_rates`: mean spikes of a neuron in a time step, by node; `synaptic_operations`: of one recording.
    """
    torch.manual_seed(0)  # as in `evaluate`
    method.eval()
    with count_spikes(method) as activity, fabric.autocast():
        for chunk in rows.split(batch):
            method.predict(pairs.events(chunk)[0])
    method.train()
    sums = [activity.operations, *activity.spikes.values()]
    operations, *spikes = torch.stack([value.to(fabric.device) for value in sums]).tolist()
    counts = zip(activity.spikes, spikes, strict=True)
    rates = {name: count / activity.outputs[name] for name, count in counts}
    return {"firing_rates": rates, "synaptic_operations": operations / len(rows)}
