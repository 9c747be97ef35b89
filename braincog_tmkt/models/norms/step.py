"""Batch normalisation with statistics per time step and stream, whatever the execution.

BrainCog's step mode normalises one time step of one stream at a time, so the statistics of a training forward are per
(stream, step) and the running statistics move once for each, stream by stream and in step order. A layer that sees all
steps at once must keep both, or it is another model (spec: 64 of 64 checks fail with statistics over T*B).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from ..recompute import recomputing
from . import NORMS


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


@NORMS.register("step", label="step")
class StepBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over a flat `[T*S*B, C, H, W]`, normalised per step and stream in training, as in BrainCog.

    `steps` (T) and `streams` (S) say how the first axis is made up; with 1 and 1 it is `nn.BatchNorm2d`. In evaluation
    the running statistics serve all steps, as in BrainCog.

    In front of a node that has a kernel, `fused_bn_neuron.fire` does this layer's work and only uses its parameters.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: of the running statistics; None takes the mean over all of training.
    """

    shared: ClassVar[bool] = False
    """Whether all steps have their statistics together."""

    circumstances: ClassVar[tuple[str, ...]] = ("steps", "streams", "first_step", "has_events", "training")

    synchronised: bool = False
    """Whether several processes take the statistics of their global batch (deviation D-06), as recipes have it; else
    each takes its own, as in BrainCog's scripts."""

    steps: int = 1
    streams: int = 1

    first_step: int = 0
    """Number of the first step in the input; above 0 where the network runs step by step."""

    has_events: bool = True
    """Whether the last stream of the input is the event stream."""

    watch: Callable[[Tensor, Tensor], None] | None = None
    """Gets the mean and the unbiased variance `[T, S, C]` of every training forward, instead of all buffers."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__(num_features, eps, momentum)

    @property
    def one_set(self) -> bool:
        """Whether all of the input has its statistics together, in this process alone: torch's own operator does."""
        return self.streams == 1 and (self.shared or self.steps == 1) and self.processes == 1 and self.watch is None

    @property
    def processes(self) -> int:
        """Number of processes whose samples have their statistics together."""
        return world_size() if self.synchronised else 1

    @property
    def fuses(self) -> bool:
        """Whether `fire` may do this layer's work: it does what the `forward` of our classes does."""
        owner = next(cls for cls in type(self).__mro__ if "forward" in vars(cls))
        known = owner.__module__.startswith(__package__)
        return known and not any(part is None for part in (self.weight, self.bias, self.running_mean))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `[T*S*B, C, H, W]`; without running statistics as in training, as `nn.BatchNorm2d` does."""
        batch_statistics = self.training or self.running_mean is None
        if not batch_statistics or (self.one_set and not recomputing()):
            return super().forward(x)
        if self.one_set:  # the same operator again; the running statistics have seen these frames already
            return functional.batch_norm(x, *self.running(), self.weight, self.bias, True, 0.0, self.eps)
        steps = 1 if self.shared and self.streams == 1 else self.steps
        groups = x.float().unflatten(0, (steps, self.streams, -1))
        axes = (0, 2, 4, 5) if self.shared else (2, 4, 5)
        mean = groups.mean(axes, keepdim=True)
        mean = _MeanOverRanks.apply(mean) if self.processes > 1 else mean
        centred = groups - mean
        var = centred.square().mean(axes, keepdim=True)
        var = _MeanOverRanks.apply(var) if self.processes > 1 else var
        count = x.numel() // mean.numel() * self.processes
        self.update_running_stats(mean.detach()[:, :, 0, :, 0, 0], var.detach()[:, :, 0, :, 0, 0], count)
        scale = torch.rsqrt(var + self.eps)
        normal = centred * (scale if self.weight is None else self.weight[:, None, None] * scale)
        normal = normal if self.bias is None else normal + self.bias[:, None, None]
        return normal.flatten(0, 2).to(x.dtype)

    def running(self) -> tuple[Tensor, Tensor]:
        """The running mean and variance `[C]`."""
        assert self.running_mean is not None
        assert self.running_var is not None
        return self.running_mean, self.running_var

    def evaluation_stats(self) -> tuple[Tensor, Tensor]:
        """Mean and variance for evaluation, to be expanded to `[T, S, C]`."""
        return self.running()

    @torch.no_grad()
    def update_running_stats(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Move the running statistics once for each stream and step, in the order of step mode.

        Args:
            mean: `[T, S, C]`; T is 1 where all steps have their statistics together.
            var: biased, likewise.
            count: numbers that went into each of them.

        Raises:
            ValueError: for one number, as `nn.BatchNorm2d` does.
        """
        if count == 1:
            raise ValueError(
                "batch norm needs more than 1 value per channel in training: set a larger train.batch or data.size"
            )
        if recomputing() or not (self.training and self.track_running_stats) or self.running_mean is None:
            return
        unbiased = var * count / (count - 1)
        if self.watch is not None:
            return self.watch(mean, unbiased)
        moves, before = len(mean) * self.streams, mean.new_zeros((), dtype=torch.float64)
        if self.num_batches_tracked is not None:
            before = self.num_batches_tracked.double()
            self.num_batches_tracked.add_(moves)
        # One move is r = (1 - m) r + m s; of many in a row, the k-th counts m_k times all (1 - m) that come after it.
        number = torch.arange(1, moves + 1, device=mean.device, dtype=torch.float64)
        momentum = 1 / (before + number) if self.momentum is None else torch.full_like(number, self.momentum)
        left = (1 - momentum).flip(0).cumprod(0).flip(0)
        share = momentum * torch.cat([left[1:], left.new_ones(1)])
        for running, moments in zip(self.running(), (mean, unbiased), strict=True):
            ordered = moments.transpose(0, 1).flatten(0, 1).double()
            running.copy_(running * left[0] + share @ ordered)
        self.update_own_stats(mean, unbiased)
        return None

    def update_own_stats(self, mean: Tensor, var: Tensor) -> None:
        """Called with what moved the running statistics; for norms that keep more of it."""
