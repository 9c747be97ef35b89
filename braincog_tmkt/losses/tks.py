"""Temporal knowledge sharing (Dong et al. 2024): the steps that classify correctly teach all steps."""

from torch import Tensor
from torch.nn import functional

from ..errors import RecipeError
from .base import LOSSES, Loss


@LOSSES.register("tks", label="TKS", paper="Dong et al., IEEE TAI 2024", year=2024, arxiv="2304.06540")
class TKS(Loss):
    """`w CE(mean_t o_t, y) - (1 - w) K^2 mean_t sum_c softmax(z / K) log_softmax(o_t)`, `w = 1 - alpha * progress`.

    z is `teacher_logits`. As in TKS's public code, it is a sum and not a mean, the student's logits are not divided by
    K, and the teacher gets a gradient. There w stays the same within an epoch, and never quite reaches 1 - alpha.

    Args:
        alpha: how much of the weight the teacher has at the end of the training.
        temperature: K.
        detach: whether the teacher gets no gradient.
        constant: whether `w = alpha` in the whole training, the published code's static weight. Alpha then means the
            opposite: it is the weight of the classification, and the teacher has 1 - alpha.

    Raises:
        RecipeError: for an alpha outside [0, 1], or a temperature that is not above 0.
    """

    def __init__(
        self, alpha: float = 0.7, temperature: float = 3.0, detach: bool = False, constant: bool = False
    ) -> None:
        super().__init__()
        if not (0 <= alpha <= 1 and temperature > 0):
            raise RecipeError(
                f"loss 'tks': alpha must be from 0 to 1 and temperature above 0, not {alpha} and {temperature}"
            )
        self.alpha, self.temperature = alpha, temperature
        self.detach, self.constant = detach, constant

    def forward(self, logits: Tensor, target: Tensor, progress: float) -> dict[str, Tensor]:
        """`loss` and its parts `classification` and `sharing`; see `Loss.forward`."""
        teacher = teacher_logits(logits, target)
        probabilities = ((teacher.detach() if self.detach else teacher) / self.temperature).softmax(1)
        sharing = -(self.temperature**2) * (probabilities * logits.log_softmax(2)).sum(2).mean()
        classification = functional.cross_entropy(logits.mean(0), target)
        weight = self.alpha if self.constant else 1 - self.alpha * progress
        loss = weight * classification + (1 - weight) * sharing
        return {"loss": loss, "classification": classification, "sharing": sharing}


def teacher_logits(logits: Tensor, target: Tensor) -> Tensor:
    """The sum of each sample's logits over the steps that classify it correctly `[B, K]`.

    0 if there are none, so that all classes are equally probable.

    Args:
        logits: `[T, B, K]`.
        target: class labels `[B]`, or class probabilities `[B, K]`, of which the most probable class is the right one.
    """
    label = target.argmax(1) if target.is_floating_point() else target
    correct = logits.argmax(2, keepdim=True) == label[:, None]
    return (logits * correct).sum(0)
