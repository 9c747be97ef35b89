"""Temporal consistency (Zhao et al. 2025): every two time steps should say the same."""

from torch import Tensor
from torch.nn import functional

from ..errors import RecipeError
from .base import LOSSES, Loss


@LOSSES.register("etc", label="ETC", paper="Zhao et al., Pattern Recognition 2025", year=2025, arxiv="2305.14174")
class ETC(Loss):
    """`CE(mean_t o_t, y) + weight * E`, where E compares every pair of time steps.

    `E = K^2 / (T (T - 1)) sum_{i != j} mean_B KL(p_j || p_i)`, `p = softmax(o / K)`, which is
    `K^2 T / (T - 1) mean_{j,B} sum_c p_j (log p_j - mean_i log p_i)`, one divergence for T (T - 1). As in ETC's public
    code, p_j is a target without gradient, so that `dE/do_i = K / (B T (T - 1)) (T p_i - sum_j p_j)`.

    Args:
        weight: of E.
        temperature: K.
        detach: whether p_j gets no gradient. The value of the loss is the same.

    Raises:
        RecipeError: for a weight below 0 or a temperature that is not above 0; and, with the first batch, if there is
            one time step: it has no pair, and the published code divides by 0.
    """

    def __init__(self, weight: float = 1.0, temperature: float = 4.0, detach: bool = True) -> None:
        super().__init__()
        if not (weight >= 0 and temperature > 0):
            raise RecipeError(
                f"loss 'etc': weight must be 0 or more and temperature above 0, not {weight} and {temperature}"
            )
        self.weight, self.temperature, self.detach = weight, temperature, detach

    def forward(self, logits: Tensor, target: Tensor, progress: float) -> dict[str, Tensor]:
        """`loss` and its parts `classification` and `consistency`; see `Loss.forward`."""
        steps = len(logits)
        if steps < 2:
            raise RecipeError("loss 'etc' compares time steps, and there is one: take two or more, or the loss ce_mean")
        own = (logits / self.temperature).log_softmax(2)
        teacher = own.detach() if self.detach else own
        divergence = (teacher.exp() * (teacher - own.mean(0))).sum(2).mean()
        consistency = self.temperature**2 * steps / (steps - 1) * divergence
        classification = functional.cross_entropy(logits.mean(0), target)
        loss = classification + self.weight * consistency
        return {"loss": loss, "classification": classification, "consistency": consistency}
