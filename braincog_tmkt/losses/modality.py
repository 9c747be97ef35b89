"""The two auxiliary objectives of TMKT: which modality a frame has, and how much of the sequence was mixed in."""

from torch import Tensor, nn
from torch.nn import functional


class ModalityGuidance(nn.Module):
    """MAG (TMKT Eq. 15): a linear head g_s tells appearance from event frames, step by step.

    Args:
        features: D, length of the encoder's output.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.head = nn.Linear(features, 2)

    def forward(self, features: Tensor, source: Tensor) -> Tensor:
        """Mean cross-entropy over steps and samples.

        Args:
            features: F `[T, B, D]` of the mixed stream.
            source: y_s `[T, B]`, 1 for an appearance frame, 0 for an event frame (Eq. 13).

        Returns:
            A scalar.
        """
        return functional.cross_entropy(self.head(features).float().flatten(0, 1), source.long().flatten())


class MixRatioPerception(nn.Module):
    """MRP (TMKT Eq. 16): a linear head g_m, averaged over the steps, estimates the share of appearance frames.

    Args:
        features: D, length of the encoder's output.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.head = nn.Linear(features, 1)

    def forward(self, features: Tensor, ratio: Tensor) -> Tensor:
        """Mean squared error over the samples.

        Args:
            features: F `[T, B, D]` of the mixed stream.
            ratio: y_m `[B]`, the share of appearance frames (Eq. 14).

        Returns:
            A scalar.
        """
        estimate = self.head(features).float().squeeze(-1).mean(0)
        return functional.mse_loss(estimate, ratio.to(estimate.dtype))
