import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from braincog_tmkt.data.augment import AUGMENTS
from braincog_tmkt.data.batch import BatchRNG

CROP, FLIP, ROTATE, ROLL = 2, 3, 4, 5  # streams of the random numbers
SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(5, 20), st.integers(5, 20))


def whole(seed: int, rows: int) -> BatchRNG:
    return BatchRNG(seed=seed, start=0, rows=rows, total=rows)


def counts(shape, seed=0) -> torch.Tensor:
    """Integer event counts `[B, T, 2, H, W]`, nearly all pixels different."""
    b, t, h, w = shape
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 10_000, (b, t, 2, h, w), generator=generator).float()


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(0, 2**31))
def test_crop_is_torchvisions_pad_and_crop(shape, seed):
    frames, rng = counts(shape), whole(seed, shape[0])
    height, width = shape[2:]
    offsets = (rng.uniform(2, stream=CROP) * 9).floor().int().tolist()
    expected = [
        TF.crop(TF.pad(sample, [4, 4, 4, 4]), top, left, height, width)
        for sample, (top, left) in zip(frames, offsets, strict=True)
    ]
    assert torch.equal(AUGMENTS["crop"](frames, rng), torch.stack(expected))


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(0, 2**31))
def test_rotate_is_torchvisions_rotate(shape, seed):
    frames, rng = counts(shape), whole(seed, shape[0])
    angles = (rng.uniform(stream=ROTATE) * 30 - 15).tolist()
    expected = [
        TF.rotate(sample, angle, InterpolationMode.NEAREST) for sample, angle in zip(frames, angles, strict=True)
    ]
    assert torch.equal(AUGMENTS["rotate"](frames, rng), torch.stack(expected))


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(0, 2**31))
def test_roll_is_torchs_roll_by_up_to_five_pixels(shape, seed):
    frames, rng = counts(shape), whole(seed, shape[0])
    shifts = ((rng.uniform(2, stream=ROLL) * 11).floor().int() - 5).tolist()
    expected = [sample.roll(shift, (-2, -1)) for sample, shift in zip(frames, shifts, strict=True)]
    assert torch.equal(AUGMENTS["roll"](frames, rng), torch.stack(expected))


@settings(max_examples=30, deadline=None)
@given(SHAPES, st.integers(0, 2**31))
def test_flip_is_torchvisions_flip_of_half_the_samples(shape, seed):
    frames, rng = counts(shape), whole(seed, shape[0])
    heads = (rng.uniform(stream=FLIP) < 0.5).tolist()
    expected = [TF.hflip(sample) if head else sample for sample, head in zip(frames, heads, strict=True)]
    assert torch.equal(AUGMENTS["flip"](frames, rng), torch.stack(expected))


@pytest.mark.parametrize("name", ["crop", "flip", "rotate", "roll"])
def test_one_geometry_for_all_steps_and_its_own_for_each_sample(name):
    still = counts((1, 1, 24, 24)).expand(16, 5, 2, -1, -1)
    before = still.clone()
    moved = AUGMENTS[name](still, whole(4, 16))
    assert moved.shape == still.shape
    assert moved.dtype == still.dtype
    assert torch.equal(moved, moved[:, :1].expand_as(moved)), "each step is moved alike"
    assert len({tuple(sample.flatten().tolist()) for sample in moved}) > 1, "samples are moved apart"
    assert torch.equal(still, before), "the input is left as it is"


@pytest.mark.parametrize("name", ["crop", "flip", "rotate", "roll"])
def test_both_polarities_move_together(name):
    frames = counts((8, 2, 16, 16))
    frames[:, :, 1] = frames[:, :, 0] + 20_000
    moved = AUGMENTS[name](frames, whole(1, 8))
    inside = moved[:, :, 1] > 0
    assert torch.equal(moved[:, :, 0][inside] + 20_000, moved[:, :, 1][inside])
    assert not moved[:, :, 0][~inside].any()


def test_crop_reaches_every_offset_equally_often():
    spot = torch.zeros(9 * 9 * 60, 1, 2, 9, 9)
    spot[..., 4, 4] = 1  # the centre stays in view at every offset, each one elsewhere
    moved = AUGMENTS["crop"](spot, whole(0, len(spot)))
    assert moved.sum().item() == spot.sum().item()
    hits = moved[:, 0, 0].sum(0)
    assert hits.min() > 60 - 5 * 60**0.5
    assert hits.max() < 60 + 5 * 60**0.5


def test_rotation_stays_within_fifteen_degrees_and_turns_both_ways():
    size = 201
    bar = torch.zeros(64, 1, 2, size, size)
    bar[..., size // 2, :] = 1
    moved = AUGMENTS["rotate"](bar, whole(0, 64))[:, 0, 0]
    column = size // 2 + 80
    heights = torch.stack([image[:, column].argmax() for image in moved]).double() - size // 2
    degrees = torch.rad2deg(torch.atan2(-heights, torch.tensor(80.0)))
    assert degrees.abs().max() < 15.5
    assert degrees.min() < -12
    assert degrees.max() > 12
    assert degrees.mean().abs() < 4


@pytest.mark.parametrize("name", ["crop", "flip", "rotate", "roll"])
def test_ranks_share_the_draws_of_the_global_batch(name):
    frames = counts((8, 2, 12, 12))
    one = AUGMENTS[name](frames, whole(9, 8))
    two = [AUGMENTS[name](frames[at : at + 4], BatchRNG(seed=9, start=at, rows=4, total=8)) for at in (0, 4)]
    assert torch.equal(one, torch.cat(two))


def test_all_are_registered():
    assert list(AUGMENTS) == ["crop", "flip", "roll", "rotate"]
