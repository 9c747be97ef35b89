"""What a network costs in spikes: firing rates, operations of every layer, and an estimate of their energy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from ..engine.costs import AC, MAC, are_spikes, watching
from ..engine.evaluate import count_spikes, within_memory
from ..inspect.reload import LoadedRun
from ..progress import progress
from .base import entitle, figure_of_runs
from .inputs import at_test_time, colour_of, names_of, require_range, setting_in_words, titles_of, warnings_in_words

ASSUMPTIONS = (
    f"Energy of arithmetic alone (no memory, no neuron updates), 32-bit float in 45 nm CMOS (Horowitz 2014): {MAC} pJ a"
    f" multiply-accumulate, {AC} pJ an accumulate. First convolution, and layers with real-valued input: all"
    " multiply-accumulates. Layers with spikes, or means of spikes, as input: one accumulate for each weight whose"
    " input is not 0. Same network as ANN: all multiply-accumulates of one frame, once, not T times."
)


@dataclass
class Layer:
    """Counts of a convolution or linear layer, summed over recordings and steps.

    Args:
        name: in the network.
        first: whether it gets the frames.
        macs: multiply-accumulates of a dense layer.
        operations: those whose input is not 0, on average over its outputs.
        real: whether an input was neither a spike nor a mean of spikes.
        frames: how many it got; one for all steps, where it is computed once for them.
        recordings: how many.
    """

    name: str
    first: bool
    macs: float = 0.0
    operations: float = 0.0
    real: bool = False
    frames: int = 0
    recordings: int = 0

    @property
    def accumulates(self) -> bool:
        """Whether it only has to add weights: it gets spikes."""
        return not (self.first or self.real)

    @property
    def picojoule(self) -> float:
        """Energy of one recording."""
        return (AC * self.operations if self.accumulates else MAC * self.macs) / self.recordings

    @property
    def ann_picojoule(self) -> float:
        """Energy of one frame through the same layer of an ANN."""
        return MAC * self.macs / self.frames


@dataclass(frozen=True)
class Costs:
    """What a run's network does for one recording.

    Args:
        layers: in the order they run.
        rates: mean spikes of a neuron in a step, by node.
        steps: T.
        recordings: how many were measured.
    """

    layers: list[Layer]
    rates: dict[str, float]
    steps: int
    recordings: int


@figure_of_runs("activity")
def activity(runs: list[LoadedRun], recordings: int = 1_000_000) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw firing rates by node, synaptic operations by layer, and an estimate of the energy, one column a run.

    Measured on test recordings through the event classifier, with the weights of the last epoch. The operations are the
    record's: multiply-accumulates of a layer times the share of its inputs that are not 0. The energy follows Horowitz
    (2014) under the assumptions that are printed below the picture and in the CSV.

    Args:
        runs: on the same data and split.
        recordings: at most so many, the first ones; all of them give the record's numbers.

    Returns:
        The figure, and one row a node (`firing_rate`) and one a layer (all else); operations and energies are those of
        one recording, over all steps.
    """
    require_range("recordings", recordings, 1, 1_000_000)
    found = [measure_costs(run, run.task.pairs.rows("test")[:recordings]) for run in runs]
    rows = [row for name, costs in zip(names_of(runs), found, strict=True) for row in _rows(name, costs)]
    return _draw(runs, found), rows


@torch.inference_mode()
def measure_costs(run: LoadedRun, rows: Tensor) -> Costs:
    """Count spikes and operations while recordings (rows of the index `[N]`) pass through the network."""
    method, pairs = run.method, run.task.pairs
    with (
        at_test_time(method),
        count_spikes(method) as counted,
        count_layers(method, method.backbone.stem) as layers,
        run.fabric.autocast(),
    ):
        for chunk in progress(rows.split(within_memory(method, run.recipe.train.at_once)), str(run), "batch"):
            method.predict(pairs.events(chunk)[0])
    for layer in layers:
        layer.recordings = len(rows)
    rates = {name: float(spikes) / counted.outputs[name] for name, spikes in counted.spikes.items()}
    return Costs(layers, rates, method.backbone.step, len(rows))


@contextmanager
def count_layers(network: nn.Module, stem: nn.Module) -> Iterator[list[Layer]]:
    """Watch the convolutions and linear layers of a network; gives those that ran, in their order.

    Args:
        network: any module.
        stem: the layer that gets the frames.
    """
    ran: dict[str, Layer] = {}

    def see(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            assert isinstance(module.weight, Tensor)
            if name not in ran:
                layers.append(ran.setdefault(name, Layer(name, module is stem)))
            layer, macs = ran[name], float(output.numel() * module.weight[0].numel())
            layer.frames += len(output)
            layer.macs += macs
            layer.operations += macs * float(torch.count_nonzero(inputs[0])) / inputs[0].numel()
            layer.real = layer.real or not are_spikes(inputs[0], fired)

        return hook

    def see_node(name: str) -> Callable[..., None]:
        def hook(node: nn.Module, inputs: Any, output: Tensor) -> None:
            fired[:] = [node, *(other for other in fired if other is not node)]

        return hook

    layers: list[Layer] = []
    fired: list[nn.Module] = []
    with watching(network, see_node, see):
        yield layers


def _rows(name: str, costs: Costs) -> Iterator[dict[str, Any]]:
    """The rows of a run in the CSV."""
    empty = dict.fromkeys(("firing_rate", "operations", "macs", "kind", "energy_pj", "ann_energy_pj"))
    common = {"run": name, "recordings": costs.recordings, "steps": costs.steps}
    note = {"assumptions": ASSUMPTIONS}
    for node, rate in costs.rates.items():
        yield {**common, "part": node, **empty, "firing_rate": rate, **note}
    for layer in costs.layers:
        numbers = {
            "operations": layer.operations / costs.recordings,
            "macs": layer.macs / costs.recordings,
            "kind": "accumulate" if layer.accumulates else "multiply-accumulate",
            "energy_pj": layer.picojoule,
            "ann_energy_pj": layer.ann_picojoule,
        }
        yield {**common, "part": layer.name, **empty, **numbers, **note}


def _draw(runs: list[LoadedRun], found: list[Costs]) -> Figure:
    nodes, layers = (
        max(len(part) for part in parts) for parts in zip(*((c.rates, c.layers) for c in found), strict=True)
    )
    figure = Figure(figsize=(3.9 * len(runs) + 0.6, 0.26 * (nodes + layers) + 4.2), layout="constrained")
    ratios = [nodes + 1, layers + 1, 3]
    grid = figure.subplots(3, len(runs), squeeze=False, sharex="row", gridspec_kw={"height_ratios": ratios})
    for column, (run, title, costs) in enumerate(zip(runs, titles_of(runs), found, strict=True)):
        rates, operations, energy = grid[:, column]
        rates.set_title(title, fontsize=10)
        colour = colour_of(run)
        percent = {_short(name): 100 * rate for name, rate in costs.rates.items()}
        _bars(rates, percent, nodes, colour, "{:.1f}", "firing rate, spikes of a neuron in 100 steps")
        millions = {_short(layer.name): layer.operations / costs.recordings / 1e6 for layer in costs.layers}
        total = sum(millions.values())
        unit = f"synaptic operations of a recording, millions (in all {total:.3g})"
        _bars(operations, millions, layers, colour, "{:.3g}", unit)
        _draw_energy(energy, costs, colour)
    for row in grid:
        row[0].set_xlim(left=0)  # of all panels of the row, also where no node fires
    few = found[0].recordings
    entitle(figure, f"Activity over {few} test recordings of {setting_in_words(runs)}", warnings_in_words(runs))
    figure.supxlabel(fill(ASSUMPTIONS, int(20 * figure.get_figwidth())), fontsize=7, x=0.01, ha="left")
    return figure


def _draw_energy(axes: Axes, costs: Costs, colour: str) -> None:
    """Energy of a recording, and of a frame in the same network as an ANN."""
    spiking = sum(layer.picojoule for layer in costs.layers) / 1e6
    dense = sum(layer.ann_picojoule for layer in costs.layers) / 1e6
    real = sum(layer.picojoule for layer in costs.layers if not layer.accumulates) / 1e6
    unit = f"energy, µJ (of the SNN's, {real:.3g} in multiply-accumulates)"
    _bars(axes, {f"SNN, {costs.steps} steps": spiking, "ANN, 1 frame": dense}, 2, colour, "{:.3g}", unit)
    axes.patches[1].set_facecolor("#bbbbbb")


def _bars(axes: Axes, values: dict[str, float], most: int, colour: str, pattern: str, unit: str) -> None:
    """Horizontal bars from top to bottom, each with its number, as thick as if there were `most` of them."""
    bars = axes.barh(list(values), list(values.values()), color=colour, height=0.7)
    axes.bar_label(bars, [pattern.format(value) for value in values.values()], fontsize=7, padding=2)
    axes.set_ylim(most - 0.4, -0.6)
    axes.margins(x=0.18)
    axes.tick_params(labelsize=8)
    axes.set_xlabel(unit, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _short(name: str) -> str:
    """A layer's name without what all share."""
    return name.removeprefix("backbone.")
