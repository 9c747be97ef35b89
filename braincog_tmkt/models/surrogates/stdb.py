"""The surrogate gradients of hybrid training (Rathi et al. 2020): by the potential, or by the time since a spike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...errors import RecipeError
from . import SURROGATES


@SURROGATES.register("LinearSpike", label="linear", paper="Rathi et al., ICLR 2020", year=2020, arxiv="2005.01807")
class LinearSpike(nn.Module):
    """Spikes where z > 0; the gradient is `gamma max(0, 1 - |z|)`.

    The default of hybrid training's public code (`--activation Linear`); Bellec et al. (2018) has the function.

    Args:
        gamma: its height.

    Example:
        >>> z = torch.tensor([-0.5, 0.0, 2.0], requires_grad=True)
        >>> LinearSpike()(z).sum().backward()
        >>> z.grad
        tensor([0.1500, 0.3000, 0.0000])
    """

    def __init__(self, gamma: float = 0.3) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, z: Tensor) -> Tensor:
        """Potentials over the threshold, minus 1, of any shape -> spikes, 0 or 1."""
        return _spikes(z, lambda: self.gamma * (1 - z.detach().abs()).clamp(min=0))


@SURROGATES.register("STDB", label="STDB", paper="Rathi et al., ICLR 2020", year=2020, arxiv="2005.01807")
class STDB(nn.Module):
    """Spikes where z > 0; the gradient is `alpha exp(-beta dt)`, dt the steps since the neuron's last spike.

    The published code computes `alpha exp(-dt) ** beta` in float32, where exp(-dt) is 0 from dt = 104 on. So a neuron
    that has been silent for 104 steps, or always, gets no gradient, and never comes back. The formula is still at 35 %
    of its height there. With T = 250 the two are different trainings.

    Args:
        alpha: its height.
        beta: how fast it falls, for each step.
        underflow: whether to compute as the code does; False: as the formula says.

    Example:
        >>> z, dt = torch.zeros(3, requires_grad=True), torch.tensor([1.0, 50.0, 200.0])
        >>> STDB()(z, dt).sum().backward()
        >>> z.grad
        tensor([0.2970, 0.1820, 0.0000])
    """

    timed = True
    """It wants to know the time since the last spike."""

    def __init__(self, alpha: float = 0.3, beta: float = 0.01, underflow: bool = True) -> None:
        super().__init__()
        self.alpha, self.beta, self.underflow = alpha, beta, underflow

    def forward(self, z: Tensor, since: Tensor | None = None) -> Tensor:
        """Potentials over the threshold, minus 1, of any shape; steps since the last spike -> spikes, 0 or 1.

        Raises:
            RecipeError: without the time, which other nodes do not know.
        """
        if since is None:
            raise RecipeError(
                "surrogate 'STDB' needs the time since the last spike, which only STDBNode tracks: set"
                " model.node_type=STDBNode"
            )
        return _spikes(z, lambda: self._slope(since))

    def _slope(self, since: Tensor) -> Tensor:
        since = since.float()
        fallen = (-since).exp() ** self.beta if self.underflow else (-self.beta * since).exp()
        return self.alpha * fallen


def _spikes(z: Tensor, slope: Any) -> Tensor:
    """The step of z, with a gradient; `slope()` is computed only if there will be one."""
    if not (torch.is_grad_enabled() and z.requires_grad):
        return (z > 0).to(z.dtype)
    spikes: Tensor = _Spike.apply(z, slope())
    return spikes


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return (z > 0).to(z.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return grads[0] * slope, None
