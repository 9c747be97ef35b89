"""The one interface of a method: a loss for a batch, and logits for event frames."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from ..data.batch import Batch
from ..errors import RecipeError
from ..losses import Loss, build_loss
from ..models.causal import is_causal
from . import METHODS as METHODS

BuildNetwork = Callable[..., nn.Module]
"""`build(settings, steps=None, in_chans=None)`: a further network, e.g. a teacher. `settings` has its `name` and its
keywords, as the `model` section of a recipe; steps and channels are those of the recipe's frames if None."""


class Calibration(NamedTuple):
    """How a stage looks at training batches before it trains, see `Method.calibrate`.

    Args:
        training: whether the method is in training mode, instead of evaluation.
        augment: whether the batches are augmented as in training.
    """

    training: bool = False
    augment: bool = False


class Stage(NamedTuple):
    """A training stage of a method.

    Args:
        name: lower-case letters and underscores, as in the recipe's `stages` section.
        trains: False if nothing is trained: the stage is entered, evaluated and saved.
        depends: keys of the recipe's `method` section on which the result (of this stage and those before it) depends,
            besides the other sections; runs that agree in all of it train the stage once. None: it is never shared,
            nor is the last stage.
        calibration: how `Method.calibrate` gets training batches, once, before the first step; None: it is not called.
            What it changes must be in the `state_dict`, that of `Method.trainable` if the stage has `depends`.
        static_only: whether batches have static images alone: they are in the place of the event frames, one a sample
            (`events [B, 1, C, H, W]`), and no event frame is read.
    """

    name: str
    trains: bool = True
    depends: tuple[str, ...] | None = None
    calibration: Calibration | None = None
    static_only: bool = False


class Method(nn.Module, ABC):
    """A way to train a backbone.

    A method of your own is a class with a `forward`, entered with `METHODS.register("name")`; the keyword arguments of
    its constructor are the keys of the recipe's `method` section. A keyword `build` is no key: it gets a function that
    builds further networks (`BuildNetwork`).

    Args:
        backbone: a network with `event_logits`, and `transfers_by` for transfer (see `models.two_stream.TwoStream`).
    """

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone

    needs_static: ClassVar[bool] = True
    """Whether a batch must come with static images; the engine refuses a data set without them."""

    takes_mixtures: ClassVar[bool] = True
    """Whether augmentations may mix recordings of two classes, with soft targets; False where a static image of the
    recording's one class is shown with it. The engine refuses such augmentations before training."""

    transfers_by: ClassVar[str] = "streams"
    """The function of the network that shows both images and events; the engine refuses a network without it, if the
    method needs static images."""

    colour_static: ClassVar[bool] = False
    """Whether it can train on static images of several channels (`data.appearance: rgb`), `[B, 3, H, W]`."""

    _stage: str | None = None

    @property
    def portions(self) -> int | None:
        """In how many portions the loss of a batch is computed, each with a backward pass of its own.

        The engine then calls `forward(batch, progress, portion)` for portion 0, 1, .., and adds up the gradients and
        the parts of the loss. With None, as for most methods, it calls `forward(batch, progress)` once.
        """
        return None

    @abstractmethod
    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            batch: one rank's share of a batch; random numbers come from `batch.rng` alone. Losses take `batch.target`.
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

    @property
    def causal(self) -> bool:
        """Whether the first t of T steps are, in evaluation, what a run with t steps gives (`models.causal`)."""
        as_usual = all(
            getattr(type(self), name) is getattr(Method, name) for name in ("predict", "select_frames", "set_steps")
        )
        return as_usual and is_causal(self.backbone)

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

    def calibrate(self, batches: Iterator[Batch]) -> None:
        """Look at training batches before the stage that runs trains, if its `Stage.calibration` asks for it.

        Called without gradients, once: a run that goes on in the middle of the stage has the result in its checkpoint.

        Args:
            batches: those of one epoch, each made when it is asked for; every process gets the whole batches, so that
                all of them come to the same result.
        """
        raise TypeError(f"stage {self.stage} asks for a calibration, but {type(self).__name__} has no calibrate()")

    def notes(self) -> list[str]:
        """Sentences on what the settings come to, printed before training and kept in the record."""
        return [*getattr(self.backbone, "notes", list)()]


def build_from_settings(settings: Mapping[str, Any], backbone: nn.Module, build: BuildNetwork | None) -> Method:
    """The method that a `method` section describes.

    Args:
        settings: `name`, and the keywords of its constructor.
        backbone: the network to train.
        build: builds further networks, for a method that takes it.

    Raises:
        RecipeError: for an unknown name or keyword.
    """
    keywords = dict(settings)
    name = keywords.pop("name", None)
    if "build" in keywords:
        raise RecipeError(
            "method.build is not for recipes, since a method is given the function by itself: leave it out"
        )
    if "build" in inspect.signature(METHODS[name]).parameters:
        keywords["build"] = build
    method = METHODS.build(name, backbone, **keywords)
    assert isinstance(method, Method)
    return method


def classification_loss(
    loss: str | Mapping[str, Any] | None, tet: bool | None, mse_weight: float | None, default_weight: float = 0.0
) -> Loss:
    """The loss that `method.loss` names, or the older keys `tet` and `mse_weight` in its place.

    Args:
        loss: see `losses.build_loss`.
        tet: False stands for `ce_mean`, otherwise the loss is `tet`.
        mse_weight: the `weight` of `tet`.
        default_weight: the same, where neither is given.

    Raises:
        RecipeError: for an unknown loss or keyword, or if `loss` and an older key are given.
    """
    if loss is None:
        weight = default_weight if mse_weight is None else mse_weight
        return build_loss("ce_mean" if tet is False else {"name": "tet", "weight": weight})
    if tet is not None or mse_weight is not None:
        raise RecipeError("method.loss takes the place of method.tet and method.mse_weight: give one or the other")
    return build_loss(loss)
