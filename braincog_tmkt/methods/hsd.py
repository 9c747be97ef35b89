"""HSD, Hybrid Step-wise Distillation (Zhong et al., ACM MM 2024): an ANN becomes an SNN of few steps and teaches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..errors import RecipeError
from ..losses import build_loss, kl_weight
from ..losses.distillation import DISTILLATIONS, check_distillation
from ..models.convert import convert
from ..models.nodes.qcfs import QCFSNode
from ..registry import did_you_mean
from .base import METHODS, BuildNetwork, Method, Stage, build_from_settings

SHOWN = {
    "first": lambda frames, steps: list(range(steps)),
    "last": lambda frames, steps: list(range(frames - steps, frames)),
    "spread": lambda frames, steps: [int((step + 0.5) * frames / steps) for step in range(steps)],
}
"""Which of a recording's frames the student sees, one a step."""


@METHODS.register(
    "hsd", label="HSD", paper="Zhong et al., ACM MM 2024", year=2024, arxiv="2409.12507", colour="#762a83"
)
class HSD(Method):
    """Three stages: train an ANN (`ann`), put spiking nodes in its nodes' places (`convert`), distil (`distil`).

    Loss of the last stage: `CE(mean_t o_t, y) + lambda * SKD`. The ANN of the last epoch (deviation D-35) is not
    trained any more and sees all frames of the recording, the student `steps` of them (deviation D-32). A recording of
    one frame (a still image) is shown to the student at all steps. `backbone` is the student, `pretraining.backbone`
    the ANN.

    The teacher is whatever `pretraining` makes of `backbone`: with QCFS nodes an ANN as in the paper; with spiking
    nodes an SNN of many steps, distilled to few.

    Args:
        backbone: the teacher's network, built for all frames of a recording.
        steps: T of the student.
        node: its nodes, by name, see `models.convert.convert`.
        pretraining: the method of the first stage, `name` and its arguments; cross-entropy of the mean logits if None.
        distillation: `skd` (every step) or `kd` (the mean).
        temperature: K of the softened classes; 10 in the paper.
        weight: lambda; 5 in the paper. 0 fine-tunes without a teacher.
        loss: of the student's classes, the cross-entropy of the mean output in the paper; see `losses.LOSSES`.
        kl_reduction: `mean` or `batchmean`, see `losses.kd`.
        student_frames: `first` (as HSD's code), `last` or `spread` evenly.
        build: builds further networks, for a pretraining that takes it.

    Raises:
        RecipeError: for an unknown name, or more steps than frames.
    """

    def __init__(
        self,
        backbone: Any,
        steps: int,
        node: str = "SoftResetIFNode",
        pretraining: Mapping[str, Any] | None = None,
        distillation: str = "skd",
        temperature: float = 10.0,
        weight: float = 5.0,
        loss: str | Mapping[str, Any] = "ce_mean",
        kl_reduction: str = "mean",
        student_frames: str = "first",
        build: BuildNetwork | None = None,
    ) -> None:
        for name, known in ((distillation, DISTILLATIONS), (student_frames, SHOWN)):
            if name not in known:
                raise RecipeError(f"method hsd knows no '{name}': {did_you_mean(name, known)}")
        if not weight >= 0:
            raise RecipeError(f"the weight of the distillation must be 0 or more, not {weight}")
        check_distillation(temperature, kl_reduction)
        student = convert(backbone, node)
        if isinstance(student.nodes[0], QCFSNode):
            raise RecipeError("the student's nodes must spike: take SoftResetIFNode, or another than QCFSNode")
        student.set_steps(steps)
        super().__init__(student)
        settings = {"name": "baseline", **(pretraining or {"tet": False})}
        self.pretraining = build_from_settings(settings, backbone, build)
        if len(self.pretraining.stages()) > 1:
            raise RecipeError("the pretraining of hsd has stages of its own: take baseline, knowledge_transfer or tmkt")
        self.needs_static = self.pretraining.needs_static  # type: ignore[misc]
        self.takes_mixtures = self.pretraining.takes_mixtures  # type: ignore[misc]
        self.loss = build_loss(loss)
        self.steps, self.node, self.student_frames = steps, node, student_frames
        self.distillation, self.temperature, self.weight = distillation, temperature, float(weight)
        self.kl_reduction = kl_reduction
        _check_frames(backbone.step, steps)
        self._learnt = {part: _learnt(part_of) for part, part_of in self._parts().items()}

    def stages(self) -> tuple[Stage, ...]:
        """`ann`, which other runs may take over, `convert`, `distil`."""
        ann = self.pretraining.stages()[0]._replace(name="ann", depends=("pretraining",))
        return ann, Stage("convert", trains=False), Stage("distil")

    def begin_stage(self, stage: str) -> None:
        """Make the student of the teacher in `convert`; let only what the stage trains have gradients."""
        super().begin_stage(stage)
        if stage == "convert":
            self.backbone = convert(self.pretraining.backbone, self.node)
            self.backbone.set_steps(self.steps)
        trained = "ann" if stage == "ann" else "student"
        for part, part_of in self._parts().items():
            for name, parameter in part_of.named_parameters():
                parameter.requires_grad_(part == trained and name in self._learnt[part])
        self.train(self.training)

    def calibrate(self, batches: Iterator[Batch]) -> None:
        """That of the pretraining, before the ANN is trained."""
        self.pretraining.calibrate(batches)

    def trainable(self) -> nn.Module:
        """The pretraining's method, ANN included; then the student."""
        return self.pretraining if self.stage == "ann" else self.backbone

    def train(self, mode: bool = True) -> HSD:
        """As any module, but a teacher that is done stays in evaluation: its running statistics do not move."""
        super().train(mode)
        if self.stage != "ann":
            self.pretraining.eval()
        return self

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

    def predict(self, events: Tensor) -> Tensor:
        """Per-step logits of the student `[T, B, K]`; in the stage `ann` those of the ANN, one a frame."""
        return self.pretraining.predict(events) if self.stage == "ann" else super().predict(events)

    def select_frames(self, events: Tensor) -> Tensor:
        """The frames that the student sees, as `student_frames` says."""
        return events[:, self._rows(events.shape[1])]

    def notes(self) -> list[str]:
        """What the weight comes to."""
        classes = self.backbone.num_classes
        alone = kl_weight(self.weight, classes, self.kl_reduction)
        sentences = [
            f"{self.distillation} with temperature {self.temperature:g} and weight {self.weight:g}; the divergence is"
            f" reduced by '{self.kl_reduction}', so that of one recording counts {alone:g}"
        ]
        teacher, student = (network.nodes[0] for network in (self.pretraining.backbone, self.backbone))
        if not isinstance(teacher, QCFSNode) and type(teacher).__name__ != type(student).__name__:
            sentences.append(
                f"the teacher's nodes are neither QCFSNode nor {self.node}, so nothing says that the converted network"
                " is like the teacher"
            )
        return sentences

    def _parts(self) -> dict[str, nn.Module]:
        return {"ann": self.pretraining, "student": self.backbone}

    def _rows(self, frames: int) -> list[int]:
        """The frames that the student sees, of so many."""
        _check_frames(frames, self.backbone.step)
        return [0] if frames == 1 else SHOWN[self.student_frames](frames, self.backbone.step)


def _check_frames(frames: int, steps: int) -> None:
    """Refuse a student of more steps than there are frames; a single frame is shown at all steps."""
    if 1 < frames < steps:
        raise RecipeError(f"the student has {steps} steps, but a recording has {frames} frames: take fewer steps")


def _learnt(part: nn.Module) -> set[str]:
    """The names of the parameters that can be learnt."""
    return {name for name, parameter in part.named_parameters() if parameter.requires_grad}
