"""The one interface of a method: a loss for a batch, and logits for event frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from ..data.types import Batch
from ..registry import Registry

METHODS = Registry("method")


class Method(nn.Module, ABC):
    """A way to train a two-stream backbone.

    A method of your own is a class with a `forward`, entered with `METHODS.register("name")`; the keyword arguments of
    its constructor are the keys of the recipe's `method` section.

    Args:
        backbone: a network with `event_logits` and `streams` (see `models.two_stream.TwoStream`).
    """

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone

    needs_static: ClassVar[bool] = True
    """Whether a batch must come with static images; the engine refuses a data set without them."""

    stage: str = "train"
    """The stage that runs now; the engine sets it."""

    @abstractmethod
    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            batch: one rank's share of a batch; random numbers come from `batch.draw` alone.
            progress: share of the training that is over, in [0, 1): the only schedule input.

        Returns:
            `loss`, a scalar to minimise, and its parts by name (for the log).
        """

    def predict(self, events: Tensor) -> Tensor:
        """Per-step logits `[T, B, K]` of event frames `[B, T, 2, H, W]`: the event stream and its head alone."""
        return self.backbone.event_logits(events)

    def stages(self) -> tuple[str, ...]:
        """The training stages, in order; each runs the recipe's epochs."""
        return ("train",)
