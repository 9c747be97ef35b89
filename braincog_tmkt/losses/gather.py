"""One batch out of the ranks' batches, with gradients, for losses that need all of it."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def gather(x: Tensor) -> Tensor:
    """Concatenate `[T, B, ...]` of all ranks to `[T, B * world, ...]` in rank order; the identity in one process.

    The gradient of every rank's copy flows back and is summed, and DDP averages over ranks: a loss that is equal on all
    ranks so has the gradient it would have in one process. Without this, CKA of each rank's part is another objective
    (spec: .342 becomes .206 at two ranks).
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    return torch.cat(all_gather(x.contiguous()), dim=1)
