"""Dspike (Li et al., NeurIPS 2021): a surrogate gradient whose temperature can be searched during training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..data.batch import Batch
from ..errors import RecipeError
from ..models.norms.step import mean_over_ranks
from ..models.surrogates.dspike import Dspike
from .base import METHODS
from .baseline import Baseline

SEARCH: Mapping[str, float] = {"search_step": 0.2, "search_epsilon": 1e-4, "search_weights": 64}
"""What a search takes unless told otherwise: from memory of the paper, but for the number of weights."""

LEAST = 1e-3
"""The smallest temperature that a search tries; at it the surrogate is a straight line already."""


@METHODS.register("dspike", label="Dspike", paper="Li et al., NeurIPS 2021", year=2021, colour="#01665e")
class DspikeTraining(Baseline):
    """The event stream alone, through nodes whose surrogate is `Dspike`; its temperature is fixed, or searched for.

    A search compares, on the batch that comes next, the surrogate gradient of the first convolution's weights with
    their finite differences `(L(w + epsilon) - L(w - epsilon)) / (2 epsilon)`. Of the temperatures b, b + step and
    b - step it keeps the one whose gradient has the largest cosine similarity with them, b if two are as good.
    No code of the search is public; its source is the paper's Algorithm 1, which takes all weights of the first layer
    and searches once an epoch (deviation D-44). Batch norms are in training mode, but keep their running statistics.

    A search costs two forward passes for each of `search_weights`, and three passes forward and back.

    Args:
        backbone: a network whose nodes have the surrogate `Dspike`.
        loss: see `losses.LOSSES`.
        steps: T, where it is not the number of frames, see `Baseline`.
        searches: how often the temperature is searched for, evenly over the training; the paper's once an epoch is
            `train.epochs`. 0 keeps it as `model.temperature` sets it.
        search_step: what is tried on both sides of the temperature; 0.2 if None.
        search_epsilon: epsilon, for weights of the first convolution; 1e-4 if None.
        search_weights: how many of these weights, drawn anew each time; 64 if None.

    Raises:
        RecipeError: for a number out of range, another surrogate, keywords of a search without searches, or a network
            without a first convolution to search with.
    """

    def __init__(
        self,
        backbone: Any,
        loss: str | Mapping[str, Any] = "ce_mean",
        steps: int | None = None,
        searches: int = 0,
        search_step: float | None = None,
        search_epsilon: float | None = None,
        search_weights: int | None = None,
    ) -> None:
        super().__init__(backbone, loss, steps=steps)
        asked = {"search_step": search_step, "search_epsilon": search_epsilon, "search_weights": search_weights}
        given = {key: value for key, value in asked.items() if value is not None}
        _check(searches, given)
        self.searches, self.search = searches, {**SEARCH, **given}
        self.surrogates = [part for part in backbone.modules() if isinstance(part, Dspike)]
        if not self.surrogates or len(self.surrogates) < len(getattr(backbone, "nodes", ())):
            raise RecipeError("method dspike needs nodes with its surrogate: set model.act_fun to Dspike")
        if searches and not hasattr(backbone, "stem"):
            raise RecipeError("method.searches needs a network with a first convolution `stem`: set it to 0")
        self._due = self._made = self._blind = 0

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """`loss` and its parts; with searches `temperature`, too, which may have changed before."""
        if not self.searches:
            return super().forward(batch, progress)
        due = int(progress * self.searches + 1e-9) + 1
        if due > self._due:
            self._find_temperature(batch, progress)
            self._due, self._made = due, self._made + 1
        return {**super().forward(batch, progress), "temperature": self.temperature.clone()}

    @property
    def temperature(self) -> Tensor:
        """The temperature of all nodes, float64."""
        return self.surrogates[0].temperature

    def _find_temperature(self, batch: Batch, progress: float) -> None:
        """Set the temperature of all nodes to the best of three."""
        now, step = float(self.temperature), self.search["search_step"]
        weight = self.backbone.stem.weight
        count = min(int(self.search["search_weights"]), weight.numel())
        drawn = batch.rng.generator("dspike").permutation(weight.numel())[:count]
        places = torch.unravel_index(torch.from_numpy(drawn).to(weight.device), weight.shape)
        found, similarities = now, dict[float, float]()
        with self._undisturbed():
            differences = self._finite_differences(batch, progress, places)
            if differences.any():
                for tried in (now, now + step, now - step):
                    if tried >= LEAST:
                        self._set_temperature(tried)
                        gradient = self._surrogate_gradient(batch, progress)[places]
                        similarities[tried] = float(cosine_similarity(gradient, differences, dim=0))
                found = max(similarities, key=lambda tried: similarities[tried])
            else:
                self._blind += 1
        self._set_temperature(found)

    def _finite_differences(self, batch: Batch, progress: float, places: tuple[Tensor, ...]) -> Tensor:
        """Central differences of the loss by single weights of the first convolution, float64 `[n]`."""
        weight, epsilon, found = self.backbone.stem.weight, self.search["search_epsilon"], []
        with torch.no_grad():
            for place in zip(*places, strict=True):
                kept, losses, values = weight[place].clone(), [], []
                for sign in (1, -1):
                    weight[place] = kept + sign * epsilon
                    values.append(weight[place].double())
                    losses.append(self._loss(batch, progress))
                weight[place] = kept
                found.append((losses[0] - losses[1]) / (values[0] - values[1]))
        return mean_over_ranks(torch.stack(found))

    def _surrogate_gradient(self, batch: Batch, progress: float) -> Tensor:
        """The gradient of the first convolution's weights with the temperature as it is, float64."""
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self._loss(batch, progress), self.backbone.stem.weight)
        return mean_over_ranks(gradient.double())

    def _loss(self, batch: Batch, progress: float) -> Tensor:
        """The loss, of logits in float64; layers that draw by themselves draw the same each time."""
        device, target = batch.events.device, batch.target
        target = target.double() if target.is_floating_point() else target
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            return self.loss(self.predict(batch.events).double(), target, progress)["loss"]

    def _set_temperature(self, temperature: float) -> None:
        for surrogate in self.surrogates:
            surrogate.temperature.fill_(temperature)

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Within it all is computed in full precision; afterwards the weights and all buffers are as before."""
        weight = self.backbone.stem.weight
        kept = [(tensor, tensor.detach().clone()) for tensor in (weight, *self.backbone.buffers())]
        try:
            with torch.autocast(weight.device.type, enabled=False):
                yield
        finally:
            with torch.no_grad():
                for tensor, before in kept:
                    tensor.copy_(before)

    def get_extra_state(self) -> Tensor:
        """How many searches have been due and were made, and how many of them saw no difference; for checkpoints."""
        return torch.tensor([self._due, self._made, self._blind])

    def set_extra_state(self, state: Tensor) -> None:
        """Go on with the searches from there."""
        self._due, self._made, self._blind = state.tolist()

    def notes(self) -> list[str]:
        """Whether searches were in vain."""
        if not self._blind:
            return super().notes()
        return [
            *super().notes(),
            f"in {self._blind} of {self._made} searches of the temperature no finite difference was other than 0, so it"
            " stayed: a larger method.search_epsilon, or more method.search_weights, would see one",
        ]


def _check(searches: int, given: Mapping[str, float]) -> None:
    """Refuse numbers out of range, and keywords that would do nothing."""
    if searches < 0:
        raise RecipeError(f"method.searches must be 0 or more, not {searches}")
    if given and not searches:
        raise RecipeError(f"method.{next(iter(given))} is for a search: set method.searches, or leave it out")
    for key, value in given.items():
        if not value > 0 or (key == "search_weights" and value < 1):
            raise RecipeError(f"method.{key} must be above 0, not {value}")
