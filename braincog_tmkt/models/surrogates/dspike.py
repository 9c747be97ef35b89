"""Dspike (Li et al. 2021): a surrogate gradient whose temperature goes from a straight line to a step."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import RecipeError
from . import SURROGATES


@SURROGATES.register("Dspike", label="Dspike", paper="Li et al., NeurIPS 2021", year=2021)
class Dspike(nn.Module):
    """Spikes where x > 0; the gradient is `b / (2 tanh(b / 2) cosh(b x)^2)` where |x| <= 1/2, and 0 elsewhere.

    It is the derivative of the paper's function, a tanh scaled to go from 0 to 1 over a window of width 1 around the
    threshold. The temperature is fixed; the paper's search for it, which has no public code, is not here.

    Args:
        temperature: b; the authors' later code has 3 for images.

    Raises:
        RecipeError: for a temperature that is not above 0.

    Example:
        >>> x = torch.tensor([-1.0, 0.0, 0.25], requires_grad=True)
        >>> Dspike()(x).sum().backward()
        >>> x.grad
        tensor([0.0000, 1.6572, 0.9887])
    """

    def __init__(self, temperature: float = 3.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise RecipeError(f"surrogate 'Dspike': temperature must be above 0, not {temperature}")
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        """Potentials above the threshold, of any shape -> spikes, 0 or 1."""
        spikes: Tensor = _Dspike.apply(x, self.temperature)
        return spikes


class _Dspike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, temperature: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.temperature = temperature
        return (x > 0).to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,), b = ctx.saved_tensors, ctx.temperature
        slope = b / (2 * math.tanh(b / 2) * torch.cosh(b * x).square())
        return grads[0] * slope * (x.abs() <= 0.5), None
