"""CKD, Cross Knowledge Distillation (Ye et al., ICME 2025), re-derived from its figures and abstract."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data.batch import Batch
from ..errors import RecipeError
from ..losses.distillation import DISTILLATIONS, check_distillation
from ..models.images import in_channels
from ..registry import did_you_mean
from .base import METHODS, BuildNetwork, Stage
from .knowledge_transfer import KnowledgeTransfer

TEACHER = MappingProxyType({"name": "hsd_resnet18", "node_type": "ReLUNode"})
"""A plain ANN."""


@METHODS.register(
    "ckd",
    title="CKD, Cross Knowledge Distillation (re-derived).",
    label="CKD (re-derived)",
    paper="after Ye et al., ICME 2025",
    year=2025,
    arxiv="2507.09269",
    colour="#e7298a",
)
class CKD(KnowledgeTransfer):
    """Re-derived: an ANN learns images (`teacher`), then teaches the image stream of Knowledge-Transfer (`student`).

    No code is public, so this follows the paper's figures and abstract (deviation D-39). Loss of the second stage: that
    of Knowledge-Transfer with sliding replacement, plus `W(progress) * w * KD`, in which the teacher sees the image and
    the student's mixed stream (replaced samples too) is taught; the event stream is not. W is
    `sigmoid((switch - progress) * steepness)`, not normalised: near 1 first, 1/2 at `switch`, near 0 at the end.

    All that the figures leave open is an argument with a default of ours: everything below but `alignment_weight`,
    `loss` and `regularise`, which are Knowledge-Transfer's. The figure draws one classifier for both streams.

    The teacher is an ANN, ResNet-18 of ReLUs, or any network of `MODELS` for one step. It has three input channels; an
    image of one channel is shown in all of them. The student sees V = max(R, G, B). The stage `teacher` is evaluated on
    event frames, as all stages are, and the teacher never learns these: its accuracy there says little.

    Args:
        backbone: the student, a two-stream network.
        teacher: what is different from `{name: hsd_resnet18, node_type: ReLUNode}` at the student's width.
        switch: share of the training at which W is 1/2.
        steepness: of W; above 0.
        temperature: of the softened classes.
        distillation: `kd` (the mean logits are taught) or `skd` (those of every step).
        distillation_weight: w; 0 switches the distillation off.
        kl_reduction: `batchmean` or `mean`, see `losses.kd`.
        shared_head: classify the mixed stream with the event stream's classifier, instead of one of its own.
        alignment_weight: of the CKA of membranes, as in Knowledge-Transfer.
        loss: of both streams, as in Knowledge-Transfer.
        regularise: use the step weights, as in Knowledge-Transfer.
        build: builds the teacher.

    Raises:
        RecipeError: for an unknown name or keyword, or a number out of range.
    """

    colour_static = True

    def __init__(
        self,
        backbone: Any,
        build: BuildNetwork,
        teacher: Mapping[str, Any] | None = None,
        switch: float = 0.5,
        steepness: float = 20.0,
        temperature: float = 4.0,
        distillation: str = "kd",
        distillation_weight: float = 1.0,
        kl_reduction: str = "batchmean",
        shared_head: bool = True,
        alignment_weight: float = 0.5,
        loss: str | Mapping[str, Any] | None = None,
        regularise: bool = True,
    ) -> None:
        super().__init__(backbone, alignment_weight=alignment_weight, loss=loss, regularise=regularise)
        if distillation not in DISTILLATIONS:
            raise RecipeError(f"method ckd does not know '{distillation}': {did_you_mean(distillation, DISTILLATIONS)}")
        check_distillation(temperature, kl_reduction)
        if not 0 <= switch <= 1:
            raise RecipeError(f"method ckd: switch is a share of the training, from 0 to 1, not {switch}")
        if not steepness > 0:
            raise RecipeError(f"method ckd: steepness must be above 0, not {steepness}")
        if not distillation_weight >= 0:
            raise RecipeError(f"method ckd: distillation_weight must be 0 or more, not {distillation_weight}")
        self.switch, self.steepness = switch, steepness
        self.distance = DISTILLATIONS[distillation]
        self.temperature, self.kl_reduction = temperature, kl_reduction
        self.distillation_weight, self.shared_head = distillation_weight, shared_head
        settings = {**TEACHER, "width": getattr(backbone, "width", 1.0), **(teacher or {})}
        self.teacher: Any = build(settings, steps=1, in_chans=3)

    def stages(self) -> tuple[Stage, ...]:
        """`teacher`, on images alone, which other runs may take over, and `student`."""
        return Stage("teacher", depends=("teacher",), static_only=True), Stage("student")

    def begin_stage(self, stage: str) -> None:
        """Freeze a teacher that is done."""
        super().begin_stage(stage)
        if stage == "student":
            self.teacher.requires_grad_(False)
        self.train(self.training)

    def trainable(self) -> nn.Module:
        """The teacher; then the student."""
        return self.teacher if self.stage == "teacher" else self.backbone

    def train(self, mode: bool = True) -> CKD:
        """As any module, but a teacher that is done stays in evaluation: its running statistics do not move."""
        super().train(mode)
        if self.stage == "student":
            self.teacher.eval()
        return self

    def weight(self, progress: float) -> float:
        """W, the weight of the distillation."""
        return (1 - math.tanh((progress - self.switch) * self.steepness / 2)) / 2

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """The teacher's `loss`; then `loss` and Knowledge-Transfer's parts, and `distillation` (before its weights)."""
        if self.stage == "teacher":
            return {"loss": functional.cross_entropy(self.teach(batch.events[:, 0]), batch.target)}
        seen = replace(batch, static=in_channels(batch.static, batch.events.shape[2]))
        mixed, events = self.streams(seen, progress)
        if self.shared_head:
            mixed = mixed._replace(logits=self.backbone.classified("events", mixed.features))
        parts = self.losses(mixed, events, batch.target, progress)
        if self.distillation_weight:
            with torch.no_grad():
                wanted = self.teach(batch.static)
            parts["distillation"] = self.distance(mixed.logits, wanted, self.temperature, self.kl_reduction)
            parts["loss"] = parts["loss"] + self.weight(progress) * self.distillation_weight * parts["distillation"]
        return parts

    def teach(self, images: Tensor) -> Tensor:
        """The teacher's logits `[B, K]` of images `[B, C, H, W]`."""
        logits: Tensor = self.teacher.event_logits(in_channels(images, 3)[:, None])
        return logits[0]

    def predict(self, events: Tensor) -> Tensor:
        """Per-step logits `[T, B, K]` of the student; in the stage `teacher` the teacher's, one a frame."""
        if self.stage == "student":
            return super().predict(events)
        frames = self.select_frames(events)
        return self.teach(frames.flatten(0, 1)).unflatten(0, (len(frames), -1)).transpose(0, 1)

    def notes(self) -> list[str]:
        """What is re-derived, and what the weight of the distillation comes to."""
        first, last = (self.distillation_weight * self.weight(progress) for progress in (0.0, 1.0))
        return [
            *super().notes(),
            "CKD is re-derived from its figures and abstract: its settings beyond those of Knowledge-Transfer are ours",
            f"the weight of the distillation falls from {first:.3g} to {last:.3g}, by half at {self.switch:.0%} of the"
            " training",
        ]
