"""One batch out of the ranks' batches, with gradients, for losses that need all of it."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Gather(torch.autograd.Function):
    """All-gather along the second axis; every rank's gradient of a row flows back to the rank that has the row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x)
        ctx.rows = x.shape[1]
        return torch.cat(parts, dim=1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous()
        dist.all_reduce(total)
        return total.narrow(1, dist.get_rank() * ctx.rows, ctx.rows)


def gather(x: Tensor) -> Tensor:
    """Concatenate `[T, B, ...]` of all ranks to `[T, B * world, ...]` in rank order; the identity in one process.

    The gradient of every rank's copy flows back and is summed, and DDP averages over ranks: a loss that is equal on all
    ranks so has the gradient it would have in one process. Without this, CKA of each rank's part is another objective
    (spec: .342 becomes .206 at two ranks).
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    return _Gather.apply(x.contiguous())
