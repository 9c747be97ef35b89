"""What an augmentation is: a function of a batch's frames, targets and random numbers, with parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from ...errors import RecipeError
from ..batch import BatchRNG
from . import AUGMENTS as AUGMENTS


class Augmentation(ABC):
    """A change of a batch's event frames, and of its targets if it mixes recordings.

    The keywords of the constructor are those in a recipe: `augment: [flip, {name: rotate, degrees: 10}]`. Augmentations
    run on whole batches, in the order of the recipe, and are never cached. They leave their input as it is.
    """

    mixes: ClassVar[bool] = False
    """Whether it mixes recordings of the batch. Then it gets the global batch, of all processes, and soft targets."""

    @abstractmethod
    def __call__(self, events: Tensor, target: Tensor, rng: BatchRNG) -> tuple[Tensor, Tensor]:
        """Augment a batch.

        Args:
            events: frames `[B, T, C, H, W]` on any device.
            target: class labels `[B]` (int64), or class probabilities `[B, K]` (float) if an augmentation of the recipe
                mixes recordings.
            rng: the random numbers of the batch; each draw names its stream.

        Returns:
            Frames of the same shape, and targets.
        """


def build_augmentations(settings: Sequence[str | Mapping[str, Any]]) -> list[Augmentation]:
    """The augmentations of a recipe, in order.

    Args:
        settings: the name of each, or a mapping of `name` and keywords.

    Raises:
        RecipeError: for a missing or unknown name, or a keyword that the augmentation does not take.
    """
    built = []
    for each in settings:
        keywords = {"name": each} if isinstance(each, str) else dict(each)
        if "name" not in keywords:
            raise RecipeError(f"data.augment: {keywords} needs a name, as in {{name: rotate, degrees: 10}}")
        built.append(AUGMENTS.build(keywords.pop("name"), **keywords))
    return built
