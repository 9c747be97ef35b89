"""TMKT (Time-step Mixup Knowledge Transfer): mixed and event streams, alignment, two modality objectives."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..data.batch import Batch
from ..errors import RecipeError
from ..losses import MixRatioPerception, ModalityGuidance, StepLoss, build_loss, cka, gather, rda
from .base import METHODS, Method
from .mixing import MIXINGS, mix


@METHODS.register("tmkt", label="TMKT", paper="Xie et al., arXiv 2025", year=2025, arxiv="2509.12959", colour="#b2182b")
class TMKT(Method):
    """Eq. 17: `L = TET(mixed) + lambda * RDA + MAG + MRP`; every part can be switched off for the ablations.

    Args:
        backbone: a two-stream network.
        mixing: `time_step` (TSM), `fixed`, `dynamic_nonlinear`, `dynamic_linear` (Table 4) or `sliding`.
        mix_ratio: r_m, for `time_step` and `fixed` only.
        expectation: how `time_step` solves for p, see `mixing.TimeStepMixup`.
        share: how `fixed` reads r_m, see `mixing.FixedRatio`.
        alignment_weight: lambda.
        modality_weight: weight of MAG, 1 in the paper; 0 builds no modality head.
        ratio_weight: weight of MRP, 1 in the paper; 0 builds no ratio head.
        loss: of both streams, `tet` in the paper; see `losses.LOSSES`.
        per_step: event loss of each step under its own step weight, as the baseline's code, for a loss with a value per
            time step (`losses.StepLoss`, as `tet`); the paper's Eq. 12 puts the mean over steps under every weight
            (deviation D-05).
        event_weight: a constant weight of the event loss in place of Eq. 17's lambda * (1 - s(theta)), for studies.
        static_scale: factor on the appearance frames, for studies (they lie in [0, 1], event counts do not).

    Raises:
        RecipeError: for a ratio out of range, one given to a law that has none, or a loss that does not fit.
    """

    takes_mixtures = False

    def __init__(
        self,
        backbone: Any,
        mixing: str = "time_step",
        mix_ratio: float | None = None,
        expectation: str | None = None,
        share: str | None = None,
        alignment_weight: float = 0.5,
        modality_weight: float = 1.0,
        ratio_weight: float = 1.0,
        loss: str | Mapping[str, Any] = "tet",
        per_step: bool = False,
        event_weight: float | None = None,
        static_scale: float = 1.0,
    ) -> None:
        super().__init__(backbone)
        settings = {"mix_ratio": mix_ratio, "expectation": expectation, "share": share}
        given = {key: value for key, value in settings.items() if value is not None}
        if mixing in ("time_step", "fixed") and mix_ratio is None:
            raise RecipeError(f"mixing '{mixing}' needs a mix_ratio (r_m; 0.4 is the paper's for N-Caltech101)")
        self.law = MIXINGS.build(mixing, backbone.step, **given)
        self.loss = build_loss(loss)
        if per_step and not isinstance(self.loss, StepLoss):
            raise RecipeError("per_step needs a loss with a value per time step: take tet, or per_step=false")
        self.alignment_weight, self.per_step = alignment_weight, per_step
        self.modality_weight, self.ratio_weight = modality_weight, ratio_weight
        self.event_weight, self.static_scale = event_weight, static_scale
        self.modality = ModalityGuidance(backbone.feature_size) if modality_weight else None
        self.ratio = MixRatioPerception(backbone.feature_size) if ratio_weight else None

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """`loss` and its parts `mixed`, `events`, `similarity` (mean CKA), `rda`, `modality`, `ratio`."""
        scaled = replace(batch, static=batch.static * self.static_scale)
        blend = mix(scaled, self.law.switch_points(batch, progress))
        mixed, events = self.backbone.streams(*blend)
        parts = {"mixed": self.loss(mixed.logits, batch.target, progress)["loss"]}
        loss = parts["mixed"] + self._alignment(mixed.aligned, events, batch.target, progress, parts)
        if self.modality is not None:
            parts["modality"] = self.modality(mixed.features, blend.source)
            loss = loss + self.modality_weight * parts["modality"]
        if self.ratio is not None:
            parts["ratio"] = self.ratio(mixed.features, blend.ratio)
            loss = loss + self.ratio_weight * parts["ratio"]
        return {"loss": loss, **parts}

    def _alignment(
        self, mixed: Tensor, events: Any, target: Tensor, progress: float, parts: dict[str, Tensor]
    ) -> Tensor:
        """lambda * RDA (Eq. 12); with a constant `event_weight` the event loss stands beside it instead."""
        similarity = cka(gather(mixed), gather(events.aligned))
        if self.per_step and isinstance(self.loss, StepLoss):
            event_loss = self.loss.steps(events.logits, target, progress)
        else:
            event_loss = self.loss(events.logits, target, progress)["loss"]
        parts |= {"events": event_loss.mean(), "similarity": similarity.mean()}
        if self.event_weight is None:
            parts["rda"] = rda(similarity, self.backbone.step_weights, event_loss)
            return self.alignment_weight * parts["rda"]
        parts["rda"] = rda(similarity, self.backbone.step_weights, torch.zeros_like(similarity))
        return self.alignment_weight * parts["rda"] + self.event_weight * parts["events"]
