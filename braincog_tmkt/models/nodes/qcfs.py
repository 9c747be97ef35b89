"""QCFS: the activation whose levels are the spike counts of an IF neuron (Bu et al., ICLR 2022, Eq. 15)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...bridge import BaseNode
from ...errors import RecipeError
from . import NODES

ORDERS = ("clip_first", "floor_first")
"""Orders of the clip and the floor, which have the same values and other gradients."""


class _QuantisedClip(torch.autograd.Function):
    """`theta * floor(L * clip(z / theta, 0, 1) + 1/2) / L`; the floor lets gradients through as they are.

    The mask of the gradient is written out: whether `torch.clamp` passes it at both ends depends on torch's version.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, levels: int, order: str, closed: bool) -> Tensor:
        level = (z / threshold).clamp_(0, 1).mul_(levels).add_(0.5).floor_().div_(levels).mul_(threshold)
        ctx.save_for_backward(z, threshold, level)
        ctx.how = levels, order, closed
        return level

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        (z, threshold, level), (levels, order, closed), (grad,) = ctx.saved_tensors, ctx.how, grads
        clipped, end = z, threshold
        if order == "floor_first":
            clipped, end = (z / threshold).mul_(levels).add_(0.5).floor_(), torch.tensor(levels)
        inside = (clipped >= 0) & (clipped <= end) if closed else (clipped > 0) & (clipped < end)
        passed = grad * inside.to(grad.dtype)  # a product with truth values is not vectorised
        full = torch.float32  # the two sums nearly cancel
        of_threshold = ((grad * level).sum(dtype=full) - (passed * z).sum(dtype=full)) / threshold
        return passed, of_threshold.view_as(threshold), None, None, None


def qcfs(z: Tensor, threshold: Tensor, levels: int, order: str = "clip_first", closed: bool = True) -> Tensor:
    """`theta * clip(floor(z L / theta + 1/2) / L, 0, 1)`, with a straight-through gradient of the floor.

    Both orders of floor and clip give these values. The gradient reaches z where the clip leaves what it gets as it is,
    and theta from everywhere above 0. What the clip gets is z / theta (`clip_first`, QCFS's second repository), or its
    level (`floor_first`, the first repository), for which half a level more counts at either end (deviation D-29).

    Args:
        z: currents of any shape.
        threshold: theta, a scalar above 0.
        levels: L.
        order: `clip_first` or `floor_first`.
        closed: whether the ends of the clip pass the gradient, as `torch.clamp` did up to torch 2.13, with which the
            papers ran; False: they do not, as in torch 2.14.

    Example:
        >>> qcfs(torch.tensor([-1.0, 0.2, 0.3, 0.7, 5.0]), torch.tensor(1.0), levels=2)
        tensor([0.0000, 0.0000, 0.5000, 0.5000, 1.0000])
    """
    return _QuantisedClip.apply(z, threshold, levels, order, closed)


@NODES.register("QCFSNode", label="QCFS", paper="Bu et al., ICLR 2022", year=2022, arxiv="2303.04347")
class QCFSNode(BaseNode):
    """QCFS as a node: a network of these is a plain ANN, which sees every frame by itself.

    It has no memory; `mem` is the current itself. `convert.convert` replaces it by spiking nodes.

    Args:
        threshold: theta at the beginning; it is learnt.
        levels: L, the steps in which the converted neuron counts as far.
        order: of clip and floor in the gradient, `clip_first` or `floor_first`, see `qcfs`.
        closed: whether the ends of the clip pass the gradient, see `qcfs`.
        kwargs: BrainCog's; those of spiking nodes (`tau`, `act_fun`, ..) have no meaning here.

    Raises:
        RecipeError: for another order, or less than one level.
    """

    fires_threshold = True
    """Its output is as large as its threshold, so currents need not be scaled to the threshold."""

    def __init__(
        self, threshold: float = 8.0, levels: int = 4, order: str = "clip_first", closed: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs, threshold=float(threshold), requires_thres_grad=True)
        if order not in ORDERS:
            raise RecipeError(f"node 'QCFSNode': order must be one of {', '.join(ORDERS)}, not '{order}'")
        if levels < 1:
            raise RecipeError(f"node 'QCFSNode': levels must be 1 or more, not {levels}")
        self.levels, self.order, self.closed = levels, order, closed

    def integral(self, inputs: Tensor) -> None:
        """Take the current as it is."""
        self.mem = inputs

    def calc_spike(self) -> None:
        """Quantise it."""
        self.spike = self._quantised(self.mem)

    def forward(self, inputs: Tensor) -> Tensor:
        """Currents of any shape -> activations; all steps at once unless traces are wanted step by step."""
        if self.requires_fp or self.requires_mem:
            activations: Tensor = super().forward(inputs)
            return activations
        return self._quantised(inputs)

    def _quantised(self, currents: Tensor) -> Tensor:
        return qcfs(currents, self.threshold, self.levels, self.order, self.closed)
