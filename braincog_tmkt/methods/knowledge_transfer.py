"""Knowledge-Transfer (He et al., AAAI 2024), as its public code computes it (spec/baseline.md, section 2)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..data.batch import Batch
from ..losses import cka, gather, per_step_tet
from .base import METHODS, Method
from .mixing import MIXINGS, mix


@METHODS.register("knowledge_transfer")
class KnowledgeTransfer(Method):
    """A static stream, slowly replaced by events, and the event stream; CKA between them; learnable step weights.

    Loss: `mean_t l(static_t) + mean_t (1 - s_t) l(event_t) + w * mean_t s_t (1 - CKA_t)`, with `s = sigmoid(theta)` and
    l the TET term of `losses.per_step_tet`.

    Args:
        backbone: a two-stream network.
        sliding: replace whole static samples with probability progress^3; otherwise, as the code, no sample in the
            first half of the training, all in the second, and no alignment loss.
        alignment_weight: w; 0 switches the alignment off.
        tet: per-step losses; otherwise the cross-entropy of the mean logits, which no step weight touches.
        regularise: use the step weights; otherwise s = 1 in the alignment and no factor on the event loss.
        mse_weight: weight of the squared term in TET.
    """

    def __init__(
        self,
        backbone: Any,
        sliding: bool = True,
        alignment_weight: float = 0.5,
        tet: bool = True,
        regularise: bool = True,
        mse_weight: float = 1e-3,
    ) -> None:
        super().__init__(backbone)
        self.law = MIXINGS.build("sliding", backbone.step)
        self.sliding, self.tet, self.regularise = sliding, tet, regularise
        self.alignment_weight = alignment_weight if sliding else 0.0
        self.mse_weight = mse_weight

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """`loss` and its parts `static`, `events`, `alignment` (before its weight)."""
        chance = progress if self.sliding else float(progress >= 0.5)
        mixed, events = self.backbone.streams(*mix(batch, self.law.switch_points(batch, chance)))
        share = torch.sigmoid(self.backbone.step_weights)
        static_loss = self._classification(mixed.logits, batch.label, None)
        event_loss = self._classification(events.logits, batch.label, 1 - share if self.regularise else None)
        distance = 1 - cka(gather(mixed.aligned), gather(events.aligned))
        alignment = (share * distance).mean() if self.regularise else distance.mean()
        loss = static_loss + event_loss + self.alignment_weight * alignment
        return {"loss": loss, "static": static_loss, "events": event_loss, "alignment": alignment}

    def _classification(self, logits: Tensor, label: Tensor, step_factor: Tensor | None) -> Tensor:
        if not self.tet:
            return functional.cross_entropy(logits.mean(0), label)
        steps = per_step_tet(logits, label, self.mse_weight)
        return (steps if step_factor is None else step_factor * steps).mean()
