"""QCFS: the activation whose levels are the spike counts of an IF neuron (Bu et al., ICLR 2022, Eq. 15)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...bridge import BaseNode
from . import NODES


class _QuantisedClip(torch.autograd.Function):
    """`theta * floor(L * clip(z / theta, 0, 1) + 1/2) / L`; the floor lets gradients through as they are."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, levels: int) -> Tensor:
        share = (z / threshold).clamp_(0, 1).mul_(levels).add_(0.5).floor_().div_(levels)
        ctx.save_for_backward(z, threshold)
        ctx.levels = levels
        return share.mul_(threshold)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        z, threshold = ctx.saved_tensors
        (grad,) = grads
        share = z / threshold
        inside = (share > 0) & (share < 1)
        level = share.clamp(0, 1).mul_(ctx.levels).add_(0.5).floor_().div_(ctx.levels)
        of_threshold = (grad * torch.where(inside, level - share, level)).sum()
        return grad * inside, of_threshold.view_as(threshold), None


def qcfs(z: Tensor, threshold: Tensor, levels: int) -> Tensor:
    """`theta * clip(floor(z L / theta + 1/2) / L, 0, 1)`, with a straight-through gradient of the floor.

    The gradient reaches z between 0 and theta, and theta from everywhere above 0: clipped first, floored then, as
    QCFS's second repository has it (deviation D-29).

    Args:
        z: currents of any shape.
        threshold: theta, a scalar above 0.
        levels: L.

    Example:
        >>> qcfs(torch.tensor([-1.0, 0.2, 0.3, 0.7, 5.0]), torch.tensor(1.0), levels=2)
        tensor([0.0000, 0.0000, 0.5000, 0.5000, 1.0000])
    """
    return _QuantisedClip.apply(z, threshold, levels)


@NODES.register("QCFSNode", label="QCFS", paper="Bu et al., ICLR 2022", year=2022, arxiv="2303.04347")
class QCFSNode(BaseNode):
    """QCFS as a node: a network of these is a plain ANN, which sees every frame by itself.

    It has no memory; `mem` is the current itself. `convert.convert` replaces it by spiking nodes.

    Args:
        threshold: theta at the beginning; it is learnt.
        levels: L, the steps in which the converted neuron counts as far.
        kwargs: BrainCog's; those of spiking nodes (`tau`, `act_fun`, ..) have no meaning here.
    """

    fires_threshold = True
    """Its output is as large as its threshold, so currents need not be scaled to the threshold."""

    def __init__(self, threshold: float = 8.0, levels: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs, threshold=float(threshold), requires_thres_grad=True)
        self.levels = levels

    def integral(self, inputs: Tensor) -> None:
        """Take the current as it is."""
        self.mem = inputs

    def calc_spike(self) -> None:
        """Quantise it."""
        self.spike = qcfs(self.mem, self.threshold, self.levels)

    def forward(self, inputs: Tensor) -> Tensor:
        """Currents of any shape -> activations; all steps at once unless traces are wanted step by step."""
        if self.requires_fp or self.requires_mem:
            activations: Tensor = super().forward(inputs)
            return activations
        return qcfs(inputs, self.threshold, self.levels)
