"""SLTT (Meng et al., ICCV 2023): no gradient from step to step, and a backward pass at each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..data.batch import Batch
from ..errors import RecipeError
from ..losses import StepLoss, build_loss
from ..models.all_steps import AllSteps
from ..models.network import SpikingNetwork
from .base import METHODS, Method


@METHODS.register("sltt", label="SLTT", paper="Meng et al., ICCV 2023", year=2023, arxiv="2302.14311", colour="#8c510a")
class SLTT(Method):
    """Every time step has its loss, `l_t / T`, and its backward pass; the memory of a batch does not grow with T.

    That takes `execution: step`. In `multi_step` one backward pass over all steps gives the same gradients, and needs
    memory for all of them. SLTT-K has losses at K random steps of each batch alone, the same steps for all recordings;
    their factor stays 1 / T, as in the published code. Batch norms see all steps.

    Args:
        backbone: a network whose nodes have `mem_detach` and whose norm sees each step by itself.
        loss: at each step; `{name: tet, weight: 0.05, phi: 1.0}` if None.
        steps: T, where it is not the number of frames: the first T of them are seen, or a single one T times.
        k: K of SLTT-K; None for all steps.

    Raises:
        RecipeError: for an unknown loss, one without a value per time step, a K that is not from 1 to T, or a network
            whose steps depend on each other's gradients.
    """

    needs_static = False

    def __init__(
        self,
        backbone: Any,
        loss: str | Mapping[str, Any] | None = None,
        steps: int | None = None,
        k: int | None = None,
    ) -> None:
        super().__init__(backbone)
        if steps is not None:
            self.set_steps(steps)
        _check_network(backbone)
        built = build_loss({"name": "tet", "weight": 0.05, "phi": 1.0} if loss is None else loss)
        if not isinstance(built, StepLoss):
            raise RecipeError(
                f"method sltt needs a loss at each time step, as 'tet', which {type(built).__name__} has not"
            )
        if k is not None and not 1 <= k <= backbone.step:
            raise RecipeError(f"method sltt: k must be from 1 to the number of time steps, {backbone.step}, not {k}")
        self.loss, self.k = built, k

    @property
    def portions(self) -> int | None:
        """One for each step that has a loss; None in `multi_step`."""
        return None if self.backbone.execution == "multi_step" else self.k or self.backbone.step

    def forward(self, batch: Batch, progress: float, portion: int | None = None) -> dict[str, Tensor]:
        """`loss` of all steps that have one, or of the one that a portion is about.

        The steps that come before a portion's, and after the last one's, run without a gradient in its course.
        """
        chosen = self.steps_with_loss(batch)
        if self.backbone.execution == "multi_step":
            return {"loss": self._losses(self.predict(batch.events)[chosen], batch, progress).sum()}
        wanted = range(len(chosen)) if portion is None else [portion]
        return {"loss": torch.stack([self._loss_of(number, chosen, batch, progress) for number in wanted]).sum()}

    def steps_with_loss(self, batch: Batch) -> list[int]:
        """The time steps of a batch that have a loss, in order (deviation D-43)."""
        steps = self.backbone.step
        if self.k is None:
            return [*range(steps)]
        return sorted(batch.rng.generator("sltt").permutation(steps)[: self.k].tolist())

    def notes(self) -> list[str]:
        """Whether the memory grows with T."""
        if self.portions is not None:
            return super().notes()
        return [
            "one backward pass for all time steps, whose gradients are SLTT's, but whose memory grows with them:"
            " model.execution=step has one for each",
            *super().notes(),
        ]

    def _loss_of(self, number: int, chosen: list[int], batch: Batch, progress: float) -> Tensor:
        """The loss at the step `chosen[number]`; runs all steps since the one before it, or up to the last one."""
        frames, step = self.select_frames(batch.events), chosen[number]
        self._run(frames, chosen[number - 1] + 1 if number else 0, step)
        logits = self.backbone.step_logits(frames, step)
        if number + 1 == len(chosen):
            self._run(frames, step + 1, self.backbone.step)
        return self._losses(logits[None], batch, progress)[0]

    def _run(self, frames: Tensor, first: int, end: int) -> None:
        """Run some steps for the state that they leave."""
        with torch.no_grad():
            for step in range(first, end):
                self.backbone.step_logits(frames, step)
        # Older PyTorch goes on with weights that it cast here, without a gradient (its issue 112583).
        torch.clear_autocast_cache()

    def _losses(self, logits: Tensor, batch: Batch, progress: float) -> Tensor:
        """The losses of some steps, with logits `[.., B, K]`."""
        return self.loss.steps(logits, batch.target, progress) / self.backbone.step


def _check_network(network: Any) -> None:
    """Refuse a network in which the gradient of a step depends on other steps."""
    if not isinstance(network, SpikingNetwork):
        raise RecipeError(f"method sltt needs one of our networks, as sltt_vgg11, not a {type(network).__name__}")
    if not all(node.mem_detach for node in network.nodes):
        raise RecipeError("method sltt needs nodes whose membranes pass no gradient on: give model.mem_detach=true")
    shared = [norm for norm in network.norms if norm.shared]
    mixing = [*shared, *(part for part in network.modules() if isinstance(part, AllSteps))]
    if mixing:
        raise RecipeError(
            f"method sltt takes each time step by itself, but {type(mixing[0]).__name__} sees all of them: give"
            " model.norm=step, and no attention"
        )
