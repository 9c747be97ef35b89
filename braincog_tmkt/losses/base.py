"""Classification losses of per-step logits: one file each, found by their decorators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..errors import RecipeError
from ..registry import Registry

LOSSES = Registry("loss", __package__, ["LOSSES.register"])


class Loss(nn.Module, ABC):
    """A classification loss; the keywords of its constructor are those of `method.loss` in a recipe.

    Example:
        >>> import torch
        >>> loss = build_loss({"name": "tet", "weight": 1e-3})
        >>> loss(torch.zeros(6, 4, 10), torch.arange(4), progress=0.0)["loss"].shape
        torch.Size([])
    """

    @abstractmethod
    def forward(self, logits: Tensor, target: Tensor, progress: float) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            logits: `[T, B, K]`.
            target: class labels `[B]` (int64), or class probabilities `[B, K]` (float).
            progress: share of the training that is over, in [0, 1).

        Returns:
            `loss`, a scalar, and further scalars by name, for the log.
        """


class StepLoss(Loss):
    """A loss that is the mean of one value per time step: methods with step weights can weigh each step of it."""

    @abstractmethod
    def steps(self, logits: Tensor, target: Tensor, progress: float) -> Tensor:
        """The value of each step `[T]`; for the arguments see `Loss.forward`."""

    def forward(self, logits: Tensor, target: Tensor, progress: float) -> dict[str, Tensor]:
        """`loss`, the mean over the steps."""
        return {"loss": self.steps(logits, target, progress).mean()}


def build_loss(settings: str | Mapping[str, Any]) -> Loss:
    """The loss that a recipe names: its name, or a mapping with `name` and keywords.

    Raises:
        RecipeError: for a missing or unknown name, or a keyword that the loss does not take.
    """
    keywords = {"name": settings} if isinstance(settings, str) else dict(settings)
    if "name" not in keywords:
        raise RecipeError(f"method.loss needs a name, as in {{name: tet, weight: 0.001}}, not {keywords}")
    loss = LOSSES.build(keywords.pop("name"), **keywords)
    assert isinstance(loss, Loss)
    return loss
