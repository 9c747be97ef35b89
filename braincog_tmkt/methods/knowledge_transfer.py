"""Knowledge-Transfer (He et al., AAAI 2024), as its public code computes it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..data.batch import Batch
from ..losses import StepLoss, cka, gather
from ..models.two_stream import StreamOutput
from .base import METHODS, Method, classification_loss
from .mixing import MIXINGS, mix


@METHODS.register(
    "knowledge_transfer",
    label="Knowledge-Transfer",
    paper="He et al., AAAI 2024",
    year=2024,
    arxiv="2303.13077",
    colour="#1b7fbd",
)
class KnowledgeTransfer(Method):
    """A static stream, slowly replaced by events, and the event stream; CKA between them; learnable step weights.

    Loss: `l(static) + mean_t (1 - s_t) l_t(events) + w * mean_t s_t (1 - CKA_t)`, with `s = sigmoid(theta)`. A loss
    without a value per time step (all but `tet` and other `losses.StepLoss`) is not weighted: its s_t is 0.

    Args:
        backbone: a two-stream network.
        sliding: replace whole static samples with probability progress^3; otherwise, as the code, no sample in the
            first half of the training, all in the second, and no alignment loss.
        alignment_weight: w; 0 switches the alignment off.
        loss: of both streams; `{name: tet, weight: 0.001}` if None; see `losses.LOSSES`.
        tet: an older key: `false` stands for the loss `ce_mean`.
        mse_weight: an older key: the `weight` of the loss `tet`.
        regularise: use the step weights; otherwise s = 1 in the alignment and no factor on the event loss.

    Raises:
        RecipeError: for an unknown loss or keyword, or `loss` together with an older key.
    """

    takes_mixtures = False

    def __init__(
        self,
        backbone: Any,
        sliding: bool = True,
        alignment_weight: float = 0.5,
        loss: str | Mapping[str, Any] | None = None,
        tet: bool | None = None,
        mse_weight: float | None = None,
        regularise: bool = True,
    ) -> None:
        super().__init__(backbone)
        self.law = MIXINGS.build("sliding", backbone.step)
        self.sliding, self.regularise = sliding, regularise
        self.alignment_weight = alignment_weight if sliding else 0.0
        self.loss = classification_loss(loss, tet, mse_weight, default_weight=1e-3)

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """`loss` and its parts `static`, `events`, `alignment` (before its weight)."""
        return self.losses(*self.streams(batch, progress), batch.target, progress)

    def streams(self, batch: Batch, progress: float) -> tuple[StreamOutput, StreamOutput]:
        """The static stream, in which some samples are replaced by events, and the event stream."""
        chance = progress if self.sliding else float(progress >= 0.5)
        mixed, events = self.backbone.streams(*mix(batch, self.law.switch_points(batch, chance)))
        return mixed, events

    def losses(self, mixed: StreamOutput, events: StreamOutput, target: Tensor, progress: float) -> dict[str, Tensor]:
        """The loss of both streams, and its parts."""
        share = torch.sigmoid(self.backbone.step_weights)
        static_loss = self.loss(mixed.logits, target, progress)["loss"]
        if self.regularise and isinstance(self.loss, StepLoss):
            event_loss = ((1 - share) * self.loss.steps(events.logits, target, progress)).mean()
        else:
            event_loss = self.loss(events.logits, target, progress)["loss"]
        distance = 1 - cka(gather(mixed.aligned), gather(events.aligned))
        alignment = (share * distance).mean() if self.regularise else distance.mean()
        loss = static_loss + event_loss + self.alignment_weight * alignment
        return {"loss": loss, "static": static_loss, "events": event_loss, "alignment": alignment}
