"""The squared error of the mean output, PLIF's loss."""

from torch import Tensor
from torch.nn import functional

from .base import LOSSES, Loss


@LOSSES.register("mse_rate", label="MSE", paper="Fang et al., ICCV 2021", year=2021, arxiv="2007.05785")
class RateMSE(Loss):
    """`mean((mean_t o_t - y)^2)` over samples and classes, with y one-hot or class probabilities."""

    def forward(self, logits: Tensor, target: Tensor, progress: float) -> dict[str, Tensor]:
        """`loss`; for the arguments see `Loss.forward`."""
        mean = logits.mean(0)
        wanted = target if target.is_floating_point() else functional.one_hot(target, mean.shape[1])
        return {"loss": functional.mse_loss(mean, wanted.to(mean.dtype))}
