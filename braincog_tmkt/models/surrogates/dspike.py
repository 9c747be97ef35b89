"""Dspike (Li et al. 2021): a surrogate gradient whose temperature goes from a straight line to a step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...errors import RecipeError
from . import SURROGATES


@SURROGATES.register("Dspike", label="Dspike", paper="Li et al., NeurIPS 2021", year=2021)
class Dspike(nn.Module):
    """Spikes where x > 0; the gradient is `b / (2 w tanh(b / 2) cosh(b x / w)^2)` where |x| <= w/2, and 0 elsewhere.

    With w = 1 it is the derivative of the paper's function, a tanh scaled to go from 0 to 1 over a window of width 1
    around the threshold. Both ends belong to the window, as in PyTorch up to 2.13, whose `clamp` public codes use.
    These have it in three forms:

    | code | its keywords | here |
    |---|---|---|
    | MPBN, spikes where u / V_th > 1/2 | b, V_th | threshold V_th / 2, `temperature=b, window=V_th` |
    | SpikingJelly, spikes where x >= 0 | b | `temperature=b`, a node with `inclusive=True` |
    | SNN_HAR and SEENN, spikes where x >= 0, window \\|x\\| <= r | b, r | `temperature=2*b*r, window=2*r`, likewise |

    The temperature is a buffer: a method may change it (`methods.dspike`), and a checkpoint has it.

    Args:
        temperature: b; the authors' later code has 3 for images.
        window: w, the width of the window, in the unit of the potential.

    Raises:
        RecipeError: for a temperature or a window that is not above 0.

    Example:
        >>> x = torch.tensor([-1.0, 0.0, 0.25], requires_grad=True)
        >>> Dspike()(x).sum().backward()
        >>> x.grad
        tensor([0.0000, 1.6572, 0.9887])
    """

    temperature: Tensor

    def __init__(self, temperature: float = 3.0, window: float = 1.0) -> None:
        super().__init__()
        for name, value in (("temperature", temperature), ("window", window)):
            if not value > 0:
                raise RecipeError(f"surrogate 'Dspike': {name} must be above 0, not {value}")
        self.window = window
        self.register_buffer("temperature", torch.tensor(temperature, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Potentials above the threshold, of any shape -> spikes, 0 or 1."""
        spikes: Tensor = _Dspike.apply(x, self.temperature, self.window)
        return spikes

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *args: Any) -> None:
        """Keep the temperature where a checkpoint of an older version has none."""
        state.setdefault(f"{prefix}temperature", self.temperature)
        super()._load_from_state_dict(state, prefix, *args)


class _Dspike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, temperature: Tensor, window: float) -> Tensor:
        ctx.save_for_backward(x, temperature)
        ctx.window = window
        return (x > 0).to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x, b), window = ctx.saved_tensors, ctx.window
        slope = (2 * torch.tanh(b / 2) * torch.cosh(b / window * x).square()).reciprocal() * (b / window)
        return grads[0] * slope * (x.abs() <= window / 2), None, None
