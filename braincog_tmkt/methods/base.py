"""The one interface of a method: a loss for a batch, and logits for event frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from ..data.batch import Batch
from ..registry import Registry

METHODS = Registry("method", __package__, ["METHODS.register"])


class Stage(NamedTuple):
    """A training stage of a method.

    Args:
        name: lower-case letters and underscores, as in the recipe's `stages` section.
        trains: False if nothing is trained: the stage is entered, evaluated and saved.
        depends: keys of the recipe's `method` section on which the result (of this stage and those before it) depends,
            besides the other sections; runs that agree in all of it train the stage once. None: it is never shared,
            nor is the last stage.
    """

    name: str
    trains: bool = True
    depends: tuple[str, ...] | None = None


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

    _stage: str | None = None

    @abstractmethod
    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            batch: one rank's share of a batch; random numbers come from `batch.rng` alone.
            progress: share of the stage's training that is over, in [0, 1): the only schedule input.

        Returns:
            `loss`, a scalar to minimise, and its parts by name (for the log).
        """

    def predict(self, events: Tensor) -> Tensor:
        """Per-step logits `[T, B, K]` of event frames `[B, F, 2, H, W]`: the event stream and its head alone."""
        return self.backbone.event_logits(self.select_frames(events))

    def select_frames(self, events: Tensor) -> Tensor:
        """The frames that the network sees, one a step `[B, T, 2, H, W]`: the first ones of `[B, F, 2, H, W]`.

        A single frame stays one, and is shown at all steps.
        """
        return events[:, : self.backbone.step]

    def set_steps(self, steps: int) -> None:
        """Predict with another number T of time steps from now on.

        Raises:
            RecipeError: for less than one.
        """
        self.backbone.set_steps(steps)

    def stages(self) -> tuple[Stage, ...]:
        """The training stages, in order; the recipe's `stages` section may have settings for each."""
        return (Stage("train"),)

    @property
    def stage(self) -> str:
        """Name of the stage that runs; of the last one, for a method that entered none, as that of a finished run."""
        return self._stage or self.stages()[-1].name

    def begin_stage(self, stage: str) -> None:
        """Begin a stage: convert, freeze (`requires_grad`), whatever it takes; called before its optimiser is made.

        A run that goes on in the middle of a stage enters that stage alone, in a fresh method, and then loads the
        weights of its checkpoint. So all that this leaves behind must follow from the stage's name or be in the
        `state_dict`, whose names and shapes are the same in all stages.
        """
        self._stage = stage

    def trainable(self) -> nn.Module:
        """What the stage that runs trains: its weights go to the optimiser, and are all that other runs may take over.

        The optimiser takes only those that require a gradient.
        """
        return self

    def notes(self) -> list[str]:
        """Sentences on what the settings come to, printed before training and kept in the record."""
        return []
