"""The event stream alone, with TET: what transfer has to beat."""

from typing import Any

from torch import Tensor
from torch.nn import functional

from ..data.batch import Batch
from ..losses import per_step_tet
from .base import METHODS, Method


@METHODS.register("baseline")
class Baseline(Method):
    """Event frames through the event head; no static image is used.

    Args:
        backbone: a two-stream network, of which one stream is used.
        tet: cross-entropy at every step (Table 1, TET); otherwise of the mean logits (N-Omniglot, plain).
        mse_weight: weight of the baseline's squared term in TET (its recipes use 1e-3).
        steps: T, where it is not the number of frames: the first T of them are seen, or a single one T times.
    """

    needs_static = False

    def __init__(self, backbone: Any, tet: bool = True, mse_weight: float = 0.0, steps: int | None = None) -> None:
        super().__init__(backbone)
        if steps is not None:
            self.set_steps(steps)
        self.tet, self.mse_weight = tet, mse_weight

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """`loss`: TET, or the cross-entropy of the mean logits."""
        logits = self.predict(batch.events)
        if self.tet:
            return {"loss": per_step_tet(logits, batch.label, self.mse_weight).mean()}
        return {"loss": functional.cross_entropy(logits.mean(0), batch.label)}
