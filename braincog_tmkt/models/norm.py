"""Batch normalisation with statistics per time step and stream, whatever the execution.

BrainCog's step mode normalises one time step of one stream at a time, so the statistics of a training forward are per
(stream, step) and the running statistics move once for each, stream by stream and in step order. A layer that sees all
steps at once must keep both, or it is another model (spec: 64 of 64 checks fail with statistics over T*B).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from .recompute import recomputing


class _MeanOverRanks(torch.autograd.Function):
    """The mean over the processes; the gradient is the mean of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return mean_over_ranks(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return mean_over_ranks(grads[0])


def mean_over_ranks(x: Tensor) -> Tensor:
    """The mean of a tensor over the processes, outside of autograd; the tensor itself in one process."""
    if world_size() == 1:
        return x
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / world_size()


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class StepBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` over a flat `[T*S*B, C, H, W]`, normalised per step and stream in training.

    `steps` (T) and `streams` (S) say how the first axis is made up; with 1 and 1 it is `nn.BatchNorm2d`, which in front
    of a node of several steps normalises them together, as BrainCog's `layer_by_layer` does. In evaluation the running
    statistics serve all steps, as in BrainCog. With several processes the statistics are those of the global batch
    (deviation D-06: BrainCog's scripts leave them to each process, which changes the objective).

    In front of a node that has a kernel, `fire.fire` does this layer's work and only uses its parameters.
    """

    steps: int = 1
    streams: int = 1

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `[T*S*B, C, H, W]`."""
        alone = self.steps * self.streams == 1 and world_size() == 1
        if not self.training or (alone and not recomputing()):
            return super().forward(x)
        if alone:  # the same operator again; the running statistics have seen these frames already
            return functional.batch_norm(x, *self.running(), self.weight, self.bias, True, 0.0, self.eps)
        groups = x.float().unflatten(0, (self.steps, self.streams, -1))
        axes, count = (2, 4, 5), x.shape[0] // (self.steps * self.streams) * x.shape[2] * x.shape[3] * world_size()
        mean = groups.mean(axes, keepdim=True)
        mean = _MeanOverRanks.apply(mean) if world_size() > 1 else mean
        centred = groups - mean
        var = centred.square().mean(axes, keepdim=True)
        var = _MeanOverRanks.apply(var) if world_size() > 1 else var
        self.update_running_stats(mean.detach()[:, :, 0, :, 0, 0], var.detach()[:, :, 0, :, 0, 0], count)
        normal = centred * (self.weight[:, None, None] * torch.rsqrt(var + self.eps)) + self.bias[:, None, None]
        return normal.flatten(0, 2).to(x.dtype)

    def running(self) -> tuple[Tensor, Tensor]:
        """The running mean and variance `[C]`."""
        assert self.running_mean is not None
        assert self.running_var is not None
        return self.running_mean, self.running_var

    @torch.no_grad()
    def update_running_stats(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Move the running statistics once for each stream and step, in the order of step mode.

        Args:
            mean: `[T, S, C]`.
            var: biased, `[T, S, C]`.
            count: numbers that went into each of them.

        Raises:
            ValueError: for one number, as `nn.BatchNorm2d` does.
        """
        if count == 1:
            raise ValueError("batch norm needs more than 1 value per channel in training, a larger batch or frame")
        if recomputing():
            return
        assert self.num_batches_tracked is not None
        moves = self.steps * self.streams
        before = self.num_batches_tracked.double()
        self.num_batches_tracked.add_(moves)
        # One move is r = (1 - m) r + m s; of many in a row, the k-th counts m_k times all (1 - m) that come after it.
        number = torch.arange(1, moves + 1, device=mean.device, dtype=torch.float64)
        momentum = 1 / (before + number) if self.momentum is None else torch.full_like(number, self.momentum)
        left = (1 - momentum).flip(0).cumprod(0).flip(0)
        share = momentum * torch.cat([left[1:], left.new_ones(1)])
        for running, moments in zip(self.running(), (mean, var * count / (count - 1)), strict=True):
            ordered = moments.transpose(0, 1).flatten(0, 1).double()
            running.copy_(running * left[0] + share @ ordered)


def use_step_batch_norm(module: nn.Module) -> nn.Module:
    """Turn every `nn.BatchNorm2d` inside a fresh module into `StepBatchNorm2d`, in place; parameters are kept."""
    for layer in module.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = StepBatchNorm2d
    return module
