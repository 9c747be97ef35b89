"""The cross-entropy of the mean output."""

from torch import Tensor
from torch.nn import functional

from .base import LOSSES, Loss


@LOSSES.register("ce_mean", label="CE")
class MeanCrossEntropy(Loss):
    """`CE(mean_t o_t, y)`."""

    def forward(self, logits: Tensor, target: Tensor, progress: float) -> dict[str, Tensor]:
        """`loss`; for the arguments see `Loss.forward`."""
        return {"loss": functional.cross_entropy(logits.mean(0), target)}
