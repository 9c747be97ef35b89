"""Hybrid training (Rathi et al., ICLR 2020): an ANN, thresholds found on data, and an SNN trained from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..data.batch import Batch
from ..errors import RecipeError
from .base import METHODS, BuildNetwork, Calibration, Stage
from .conversion import Conversion


@METHODS.register(
    "hybrid", label="Hybrid training", paper="Rathi et al., ICLR 2020", year=2020, arxiv="2005.01807", colour="#bf812d"
)
class Hybrid(Conversion):
    """Three stages: train an ANN (`ann`), convert it and balance its thresholds (`balance`), train the SNN (`snn`).

    The SNN has the ANN's weights and nodes that fire a step late (`STDBNode`, with the surrogate of the `model`
    section). In `balance` the thresholds of the network's first layers become the largest currents that they get, see
    `NormFreeResNet.balance`, times `scaling`; the others keep `model.threshold`. The loss of the SNN is the
    cross-entropy of its output layer's potential after T steps, which integrates, and is not divided by T.

    It takes still images, and event frames: a recording of F frames is shown to the SNN for T steps, each frame for
    T / F of them, as Poisson spikes of the probability `rate` times the scaled frame. Images scaled to [-1, 1] have
    spikes of both signs; event frames, which are not below 0, are rates as they are.

    The published code picks the epochs with the best test accuracy, of the ANN, too, and trains one epoch less than it
    is asked for; each layer is balanced with 512 other images (deviation D-42).

    Args:
        backbone: the ANN's network, `hybrid_resnet20` or another with `balance`, built for all frames of a recording.
        steps: T of the SNN, more than its layers delay the first spike.
        leak: of the SNN's nodes, the share of the potential that a step leaves.
        dropout: of the SNN in training; that of the ANN is `model.dropout`.
        input_mean: what is subtracted from the SNN's frames, one number or one for each channel; 0 if None.
        input_deviation: what they are divided by then; 1 if None.
        rate: probability of an input spike for a scaled value of 1.
        scaling: of the thresholds that are found.
        balance_steps: how many steps each layer is watched.
        balance_images: on how many training recordings, or all if there are fewer.
        pretraining: the method of the first stage, `name` and its arguments; cross-entropy of the mean logits if None.
        build: builds further networks, for a pretraining that takes it.

    Raises:
        RecipeError: for another network, numbers outside their ranges, or too few steps.
    """

    name = "hybrid"

    def __init__(
        self,
        backbone: Any,
        steps: int,
        leak: float = 1.0,
        dropout: float = 0.3,
        input_mean: list[float] | None = None,
        input_deviation: list[float] | None = None,
        rate: float = 0.9,
        scaling: float = 0.7,
        balance_steps: int = 1000,
        balance_images: int = 512,
        pretraining: Mapping[str, Any] | None = None,
        build: BuildNetwork | None = None,
    ) -> None:
        if not hasattr(backbone, "balance"):
            raise RecipeError(
                "method hybrid balances thresholds, for which the network needs a function 'balance': take model"
                " hybrid_resnet20"
            )
        for key, value in (("balance_steps", balance_steps), ("balance_images", balance_images)):
            if value < 1:
                raise RecipeError(f"method hybrid: {key} must be 1 or more, not {value}")
        if not scaling > 0:
            raise RecipeError(f"method hybrid: scaling must be above 0, not {scaling}")
        if not 0 < leak <= 1:
            raise RecipeError(f"method hybrid: leak must be above 0 and at most 1, not {leak}")
        self.leak, self.dropout, self.scaling = leak, dropout, scaling
        self.input = input_mean or [0.0], input_deviation or [1.0], rate
        self.balance_steps, self.balance_images = balance_steps, balance_images
        super().__init__(backbone, steps, "STDBNode", pretraining, "spread", build=build)

    def make_student(self, ann: Any) -> Any:
        """The SNN of an ANN, with its own input, leak and dropout."""
        student = super().make_student(ann)
        student.set_input(*self.input)
        student.set_dropout(self.dropout)
        _set_leak(student, self.leak)
        return student

    @property
    def student_keywords(self) -> dict[str, Any]:
        """Also those of its input, leak and dropout."""
        mean, deviation, rate = self.input
        own = {"input_mean": mean, "input_deviation": deviation, "rate": rate}
        return {**super().student_keywords, **own, "leak": self.leak, "dropout": self.dropout}

    def check_frames(self, frames: int, steps: int) -> None:
        """Refuse too few steps; there may be more of them than frames."""
        if steps <= (delay := getattr(self.backbone, "delay", 0)):
            raise RecipeError(
                f"method hybrid: steps is {steps}, but nothing reaches the output in the first {delay}: take more,"
                " such as 100"
            )

    def stages(self) -> tuple[Stage, ...]:
        """`ann`, which other runs may take over, `balance`, `snn`."""
        ann = super().stages()[0]
        return ann, Stage("balance", trains=False, calibration=Calibration(augment=True)), Stage("snn")

    def calibrate(self, batches: Iterator[Batch]) -> None:
        """Find the thresholds of the SNN's first layers; before the ANN is trained, as its method says."""
        if self.stage == "ann":
            super().calibrate(batches)
            return
        seen: list[Tensor] = []
        while sum(map(len, seen)) < self.balance_images and (batch := next(batches, None)):
            seen.append(batch.events)
        _set_leak(self.backbone, 1.0)
        self.backbone.balance(torch.cat(seen)[: self.balance_images], self.balance_steps, self.scaling)
        _set_leak(self.backbone, self.leak)

    def predict(self, events: Tensor) -> Tensor:
        """Per-step logits `[T, B, K]`; those of the SNN times T, so that their mean is its potential after T steps."""
        logits = super().predict(events)
        return logits if self.stage == "ann" else logits * len(logits)

    def notes(self) -> list[str]:
        """Whether the ANN's activations are rates of spikes."""
        kind = type(self.pretraining.backbone.nodes[0]).__name__.removeprefix("MultiStep")
        wrong = [] if kind == "ReLUNode" else [f"hybrid training converts an ANN of ReLUNode; this one has {kind}"]
        return [*self.pretraining.notes(), *wrong]


def _set_leak(network: Any, leak: float) -> None:
    for node in network.nodes:
        node.leak = leak
