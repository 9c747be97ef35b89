"""The event stream alone: what transfer has to beat."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..data.batch import Batch
from .base import METHODS, Method, classification_loss


@METHODS.register(
    "baseline", label="TET", paper="Deng et al., ICLR 2022", year=2022, arxiv="2202.11946", colour="#333333"
)
class Baseline(Method):
    """Event frames through the event head, classified by one loss; no static image is used.

    Args:
        backbone: a two-stream network, of which one stream is used.
        loss: `tet` (Table 1, TET) if None; see `losses.LOSSES`.
        tet: an older key: `false` stands for the loss `ce_mean` (N-Omniglot, plain).
        mse_weight: an older key: the `weight` of the loss `tet`.
        steps: T, where it is not the number of frames: the first T of them are seen, or a single one T times.

    Raises:
        RecipeError: for an unknown loss or keyword, or `loss` together with an older key.
    """

    needs_static = False

    def __init__(
        self,
        backbone: Any,
        loss: str | Mapping[str, Any] | None = None,
        tet: bool | None = None,
        mse_weight: float | None = None,
        steps: int | None = None,
    ) -> None:
        super().__init__(backbone)
        if steps is not None:
            self.set_steps(steps)
        self.loss = classification_loss(loss, tet, mse_weight)

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """`loss`, and whatever parts the loss has."""
        return self.loss(self.predict(batch.events), batch.target, progress)
