"""Which recordings, in which order, with which random numbers: all of it a function of seed, stage, epoch and step.

Nothing random is carried from step to step, so a run can go on at any step without a generator's state, and every
process of several knows the whole global batch.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import WeightedRandomSampler

from ..data.pairs import PairSet
from ..errors import RecipeError
from ..recipe import TrainConfig


def seed_of(seed: int, stage: int, epoch: int, step: int | None = None) -> int:
    """A seed for one step, or for what belongs to the epoch as a whole; 63 bits.

    Example:
        >>> seed_of(42, 0, 3, 5) != seed_of(42, 0, 5, 3)
        True
    """
    words = np.random.SeedSequence((seed, stage, epoch, 0 if step is None else step + 1)).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def steps_per_epoch(count: int, train: TrainConfig, world_size: int = 1) -> int:
    """Whole batches in `count` training recordings; what remains is dropped.

    Raises:
        RecipeError: if there is not one, or the batch cannot be shared evenly by the processes.
    """
    if count < train.batch:
        raise RecipeError(
            f"train.batch is {train.batch}, but the split has {count} training recordings: choose a batch of"
            f" {count} or less"
        )
    if train.batch % world_size:
        raise RecipeError(
            f"train.batch is {train.batch}, which {world_size} processes cannot share evenly: choose a multiple of"
            f" {world_size}"
        )
    return count // train.batch


def epoch_rows(pairs: PairSet, train: TrainConfig, seed: int) -> Tensor:
    """Rows of all global batches of an epoch, int64 `[steps, batch]`.

    Args:
        pairs: the data.
        train: batch size and whether classes are drawn equally often (with replacement, as many as there are rows).
        seed: of this epoch.
    """
    rows = pairs.rows("train")
    generator = torch.Generator().manual_seed(seed)
    if train.balanced:
        weights = pairs.class_weights(rows).tolist()
        places = torch.tensor(list(WeightedRandomSampler(weights, len(rows), replacement=True, generator=generator)))
    else:
        places = torch.randperm(len(rows), generator=generator)
    steps = steps_per_epoch(len(rows), train)
    return rows[places[: steps * train.batch]].view(steps, train.batch)
