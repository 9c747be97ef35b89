import itertools

import pytest
import torch

from braincog_tmkt.engine.sampling import epoch_rows, seed_of, steps_per_epoch
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.recipe import TrainConfig

from .toys import make_task


def test_every_step_epoch_stage_and_seed_has_its_own_number():
    steps = [None, *range(4)]
    seeds = [seed_of(*place) for place in itertools.product(range(3), range(3), range(3), steps)]
    assert len(set(seeds)) == len(seeds) == 135
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(42, 0, 3, 5) == seed_of(42, 0, 3, 5)


def test_an_epoch_is_a_function_of_its_seed():
    pairs, train = make_task().pairs, TrainConfig(batch=6)
    assert torch.equal(epoch_rows(pairs, train, 7), epoch_rows(pairs, train, 7))
    assert not torch.equal(epoch_rows(pairs, train, 7), epoch_rows(pairs, train, 8))


@pytest.mark.parametrize("balanced", [True, False])
def test_only_training_recordings_in_whole_batches(balanced):
    pairs = make_task().pairs
    rows = epoch_rows(pairs, TrainConfig(batch=6, balanced=balanced), 7)
    assert rows.shape == (len(pairs.rows("train")) // 6, 6)
    assert set(rows.flatten().tolist()) <= set(pairs.rows("train").tolist())


def test_sharing_a_batch_among_processes():
    assert steps_per_epoch(34, TrainConfig(batch=6), world_size=3) == 5
    with pytest.raises(RecipeError, match="6, which 4 processes cannot share"):
        steps_per_epoch(34, TrainConfig(batch=6), world_size=4)
