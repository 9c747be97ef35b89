"""Batch normalisation per time step, with running statistics for each step of the event stream."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import RecipeError
from ..recompute import recomputing
from . import NORMS
from .step import StepBatchNorm2d


@NORMS.register("step_own", label="step, own statistics")
class StepOwnBatchNorm2d(StepBatchNorm2d):
    """Trains exactly as `step`; evaluates step t of the event stream with running statistics of step t.

    Beside the one running set it keeps `step_mean` and `step_var` `[T, C]`, which move once a training step. In
    evaluation, other streams than the event stream use the one running set. Fewer steps than T use the first sets. A
    state dict without the buffers loads: every step then begins with the one running set.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: of all running statistics.
        steps: T.
    """

    step_mean: Tensor
    step_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, steps: int = 1) -> None:
        super().__init__(num_features, eps, momentum)
        self.register_buffer("step_mean", torch.zeros(steps, num_features))
        self.register_buffer("step_var", torch.ones(steps, num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `[T*S*B, C, H, W]`."""
        if self.training:
            result = super().forward(x)
            if self.one_set and not recomputing() and x.shape[0] * x.shape[2] * x.shape[3] > 1:
                var, mean = torch.var_mean(x.detach().float(), (0, 2, 3))
                self.update_own_stats(mean[None, None], var[None, None])
            return result
        mean, var = self.evaluation_stats()
        if len(mean) * mean.shape[1] == 1:
            return functional.batch_norm(x, mean[0, 0], var[0, 0], self.weight, self.bias, False, 0.0, self.eps)
        scale = self.weight * torch.rsqrt(var + self.eps)
        groups = x.float().unflatten(0, (*mean.shape[:2], -1))
        parts = (part[:, :, None, :, None, None] for part in (mean, scale))
        normal = (groups - next(parts)) * next(parts) + self.bias[:, None, None]
        return normal.flatten(0, 2).to(x.dtype)

    def evaluation_stats(self) -> tuple[Tensor, Tensor]:
        """Mean and variance `[T, S, C]`: of each step for the event stream, the one running set for the other."""
        last = self.first_step + self.steps
        if last > len(self.step_mean):
            raise RecipeError(
                f"norm step_own keeps statistics of {len(self.step_mean)} steps, but the network runs for {last}:"
                " build it with as many steps"
            )
        found = []
        for one, own in zip(self.running(), (self.step_mean, self.step_var), strict=True):
            sets = one.expand(self.steps, self.streams, -1).clone()
            if self.has_events:
                sets[:, -1] = own[self.first_step : last]
            found.append(sets)
        return found[0], found[1]

    @torch.no_grad()
    def update_own_stats(self, mean: Tensor, var: Tensor) -> None:
        """Move the sets of the steps in the input.

        Args:
            mean: `[T, S, C]`.
            var: unbiased, `[T, S, C]`.
        """
        if not (self.has_events and self.track_running_stats):
            return
        assert self.momentum is not None
        for own, moments in ((self.step_mean, mean), (self.step_var, var)):
            own[self.first_step : self.first_step + len(moments)].lerp_(moments[:, -1].to(own.dtype), self.momentum)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *args: Any) -> None:
        steps = len(self.step_mean)
        for own, one in (("step_mean", "running_mean"), ("step_var", "running_var")):
            if f"{prefix}{one}" in state:
                sets = state.get(f"{prefix}{own}", state[f"{prefix}{one}"].expand(steps, -1))
                state[f"{prefix}{own}"] = sets[:steps]
        super()._load_from_state_dict(state, prefix, *args)
