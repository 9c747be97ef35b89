"""HSD, Hybrid Step-wise Distillation (Zhong et al., ACM MM 2024): an ANN becomes an SNN of few steps and teaches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..data.batch import Batch
from ..errors import RecipeError
from ..losses import build_loss, kl_weight
from ..losses.distillation import DISTILLATIONS, check_distillation
from .base import METHODS, BuildNetwork, Stage
from .conversion import Conversion


@METHODS.register(
    "hsd", label="HSD", paper="Zhong et al., ACM MM 2024", year=2024, arxiv="2409.12507", colour="#762a83"
)
class HSD(Conversion):
    """Three stages: those of `Conversion` (`ann`, `convert`), and the ANN teaches the SNN, its student (`distil`).

    Loss of the last stage: `CE(mean_t o_t, y) + lambda * SKD`. The ANN is not trained any more and sees all frames of
    the recording, the student `steps` of them (deviation D-32).

    The teacher is whatever `pretraining` makes of `backbone`: with QCFS nodes an ANN as in the paper; with spiking
    nodes an SNN of many steps, distilled to few.

    Args:
        backbone: the teacher's network, built for all frames of a recording.
        steps: T of the student.
        node: its nodes, by name, or name and keywords, see `Conversion`.
        pretraining: the method of the first stage, `name` and its arguments; cross-entropy of the mean logits if None.
        distillation: `skd` (every step) or `kd` (the mean).
        temperature: K of the softened classes; 10 in the paper.
        weight: lambda; 5 in the paper. 0 fine-tunes without a teacher.
        loss: of the student's classes, the cross-entropy of the mean output in the paper; see `losses.LOSSES`.
        kl_reduction: `mean` or `batchmean`, see `losses.kd`.
        student_frames: `first` (as HSD's code), `last` or `spread` evenly.
        percentile: as `Conversion`.
        build: builds further networks, for a pretraining that takes it.

    Raises:
        RecipeError: for an unknown name, or more steps than frames.
    """

    name = "hsd"

    def __init__(
        self,
        backbone: Any,
        steps: int,
        node: str | Mapping[str, Any] = "SoftResetIFNode",
        pretraining: Mapping[str, Any] | None = None,
        distillation: str = "skd",
        temperature: float = 10.0,
        weight: float = 5.0,
        loss: str | Mapping[str, Any] = "ce_mean",
        kl_reduction: str = "mean",
        student_frames: str = "first",
        percentile: float | None = None,
        build: BuildNetwork | None = None,
    ) -> None:
        self.check_name(distillation, DISTILLATIONS)
        if not weight >= 0:
            raise RecipeError(f"the weight of the distillation must be 0 or more, not {weight}")
        check_distillation(temperature, kl_reduction)
        super().__init__(backbone, steps, node, pretraining, student_frames, percentile, build)
        self.loss = build_loss(loss)
        self.distillation, self.temperature, self.weight = distillation, temperature, float(weight)
        self.kl_reduction = kl_reduction

    def stages(self) -> tuple[Stage, ...]:
        """`ann`, which other runs may take over, `convert`, `distil`."""
        return (*super().stages(), Stage("distil"))

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """The pretraining's loss; then `loss` and its parts `classification` and `distillation` (before its weight)."""
        if self.stage == "ann":
            return self.pretraining(batch, progress)
        with torch.no_grad():
            teacher = self.pretraining.predict(batch.events).mean(0)
        logits = self.predict(batch.events)
        classification = self.loss(logits, batch.target, progress)["loss"]
        distance = DISTILLATIONS[self.distillation](logits, teacher, self.temperature, self.kl_reduction)
        loss = classification + self.weight * distance
        return {"loss": loss, "classification": classification, "distillation": distance}

    def notes(self) -> list[str]:
        """What the weight comes to."""
        classes = self.backbone.num_classes
        alone = kl_weight(self.weight, classes, self.kl_reduction)
        return [
            f"{self.distillation} with temperature {self.temperature:g} and weight {self.weight:g}; the divergence is"
            f" reduced by '{self.kl_reduction}', so that of one recording counts {alone:g}",
            *super().notes(),
        ]
