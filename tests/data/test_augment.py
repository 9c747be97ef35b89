"""The augmentations against torchvision's, and the random numbers that they draw."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode
from torchvision.transforms import functional as TF

from braincog_tmkt.data.augment import AUGMENTS, build_augmentations
from braincog_tmkt.data.batch import NUMBERED, BatchRNG
from braincog_tmkt.errors import RecipeError

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(5, 20), st.integers(5, 20))
GEOMETRIES = ["crop", "flip", "rotate", "roll", "nda"]


def whole(seed: int, rows: int) -> BatchRNG:
    return BatchRNG(seed=seed, start=0, rows=rows, total=rows)


def counts(shape, seed=0) -> torch.Tensor:
    """Integer event counts `[B, T, 2, H, W]`, nearly all pixels different."""
    b, t, h, w = shape
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 10_000, (b, t, 2, h, w), generator=generator).float()


def augmented(name, frames, rng, **keywords) -> torch.Tensor:
    """The frames after one augmentation, which leaves the labels alone."""
    label = torch.arange(len(frames))
    events, target = AUGMENTS.build(name, **keywords)(frames, label, rng)
    assert target is label
    return events


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(0, 2**31), st.integers(0, 6))
def test_crop_is_torchvisions_pad_and_crop(shape, seed, padding):
    frames, rng = counts(shape), whole(seed, shape[0])
    height, width = shape[2:]
    offsets = (rng.uniform(2, stream="crop") * (2 * padding + 1)).floor().int().tolist()
    expected = [
        TF.crop(TF.pad(sample, [padding] * 4), top, left, height, width)
        for sample, (top, left) in zip(frames, offsets, strict=True)
    ]
    assert torch.equal(augmented("crop", frames, rng, padding=padding), torch.stack(expected))


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(0, 2**31), st.sampled_from([0, 10, 15.0, 90.0]))
def test_rotate_is_torchvisions_rotate(shape, seed, degrees):
    frames, rng = counts(shape), whole(seed, shape[0])
    angles = (rng.uniform(stream="rotate") * 2 * degrees - degrees).tolist()
    expected = [
        TF.rotate(sample, angle, InterpolationMode.NEAREST) for sample, angle in zip(frames, angles, strict=True)
    ]
    assert torch.equal(augmented("rotate", frames, rng, degrees=degrees), torch.stack(expected))


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(0, 2**31), st.integers(0, 7))
def test_roll_is_torchs_roll(shape, seed, most):
    frames, rng = counts(shape), whole(seed, shape[0])
    shifts = ((rng.uniform(2, stream="roll") * (2 * most + 1)).floor().int() - most).tolist()
    expected = [sample.roll(shift, (-2, -1)) for sample, shift in zip(frames, shifts, strict=True)]
    assert torch.equal(augmented("roll", frames, rng, most=most), torch.stack(expected))


@settings(max_examples=30, deadline=None)
@given(SHAPES, st.integers(0, 2**31), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_flip_is_torchvisions_flip_of_a_share_of_the_samples(shape, seed, p):
    frames, rng = counts(shape), whole(seed, shape[0])
    heads = (rng.uniform(stream="flip") < p).tolist()
    expected = [TF.hflip(sample) if head else sample for sample, head in zip(frames, heads, strict=True)]
    assert torch.equal(augmented("flip", frames, rng, p=p), torch.stack(expected))


def test_erase_is_the_rule_of_torchtoolbox_sample_by_sample():
    """Random rectangles by `w = int(sqrt(s / r)), h = int(sqrt(s r))`, `randint` with both ends, one of 256 shades."""
    frames, rng = torch.rand(200, 2, 3, 20, 32, generator=torch.Generator().manual_seed(0)), whole(5, 200)
    expected, changed = frames.clone(), augmented("erase", frames, rng)
    for sample, (chance, area, ratio, top, left, shade) in zip(
        expected, rng.uniform(6, stream="erase").tolist(), strict=True
    ):
        s, r = (0.02 + 0.38 * area) * 20 * 32, 0.4 + 2.1 * ratio
        w, h = int((s / r) ** 0.5), min(int((s * r) ** 0.5), 20)
        y, x = int(top * (20 - h + 1)), int(left * (32 - w + 1))
        if chance < 0.5:
            sample[:, :, y : y + h, x : x + w] = int(shade * 256) / 255
    torch.testing.assert_close(changed, expected, rtol=0, atol=1e-7)
    kept = (changed == frames).flatten(1).all(1)
    assert 70 < kept.sum() < 130
    assert torch.equal(augmented("erase", frames, rng, p=0.0), frames)


def test_without_parameters_they_are_those_of_the_references():
    frames, rng = counts((8, 2, 12, 12)), whole(9, 8)
    for name, keywords in (("crop", {"padding": 4}), ("flip", {"p": 0.5}), ("roll", {"most": 5})):
        assert torch.equal(augmented(name, frames, rng), augmented(name, frames, rng, **keywords))
    assert torch.equal(augmented("rotate", frames, rng), augmented("rotate", frames, rng, degrees=15.0))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_one_geometry_for_all_steps_and_its_own_for_each_sample(name):
    still = counts((1, 1, 24, 24)).expand(16, 5, 2, -1, -1)
    before = still.clone()
    moved = augmented(name, still, whole(4, 16))
    assert moved.shape == still.shape
    assert moved.dtype == still.dtype
    assert torch.equal(moved, moved[:, :1].expand_as(moved)), "each step is moved alike"
    assert len({tuple(sample.flatten().tolist()) for sample in moved}) > 1, "samples are moved apart"
    assert torch.equal(still, before), "the input is left as it is"


@pytest.mark.parametrize("name", GEOMETRIES)
def test_both_polarities_move_together(name):
    frames = counts((8, 2, 16, 16))
    frames[:, :, 1] = frames[:, :, 0] + 20_000
    moved = augmented(name, frames, whole(1, 8))
    inside = moved[:, :, 1] > 0
    assert torch.equal(moved[:, :, 0][inside] + 20_000, moved[:, :, 1][inside])
    assert not moved[:, :, 0][~inside].any()


def test_crop_reaches_every_offset_equally_often():
    spot = torch.zeros(9 * 9 * 60, 1, 2, 9, 9)
    spot[..., 4, 4] = 1  # the centre stays in view at every offset, each one elsewhere
    moved = augmented("crop", spot, whole(0, len(spot)))
    assert moved.sum().item() == spot.sum().item()
    hits = moved[:, 0, 0].sum(0)
    assert hits.min() > 60 - 5 * 60**0.5
    assert hits.max() < 60 + 5 * 60**0.5


def colours(count=12, size=16, seed=0):
    """Still images `[B, 1, 3, H, W]` in [0, 1], of 8 bits."""
    whole_numbers = torch.randint(0, 256, (count, 1, 3, size, size), generator=torch.Generator().manual_seed(seed))
    return whole_numbers / 255


@pytest.mark.parametrize("policy", ["cifar10", "imagenet", "svhn"])
def test_autoaugment_is_torchvisions_for_the_same_seed_of_each_sample(policy):
    images, rng, before = colours(), whole(3, 12), torch.get_rng_state()
    found = augmented("autoaugment", images, rng, policy=policy)
    assert torch.equal(torch.get_rng_state(), before), "no other draw is moved"
    theirs = AutoAugment(AutoAugmentPolicy(policy))
    for image, seed, changed in zip(images, rng.uniform(stream="autoaugment").tolist(), found, strict=True):
        torch.manual_seed(int(seed * 2**62))
        wanted = TF.pil_to_tensor(theirs(TF.to_pil_image((image[0] * 255).round().byte())))
        assert torch.equal((changed[0] * 255).round().byte(), wanted)
    assert found.shape == images.shape
    assert 0.5 < (found != images).flatten(1).any(1).float().mean() <= 1


@settings(max_examples=100, deadline=None)
@given(SHAPES, st.integers(0, 2**31), st.integers(1, 24), st.sampled_from([0.0, 7.0, [1.0, 2.0]]))
def test_cutout_hides_a_square_of_each_sample_that_ends_with_the_frame(shape, seed, size, fill):
    frames, rng = counts(shape) + 100, whole(seed, shape[0])
    found = augmented("cutout", frames, rng, size=size, fill=fill)
    centres = (rng.uniform(2, stream="cutout") * torch.tensor(shape[2:])).long().tolist()
    for sample, kept, (row, column) in zip(found, frames, centres, strict=True):
        wanted = kept.clone()
        top, left = row - size // 2, column - size // 2
        square = wanted[..., max(top, 0) : top + size, max(left, 0) : left + size]
        square[:] = torch.as_tensor(fill).view(-1, 1, 1)
        assert torch.equal(sample, wanted)
        assert (sample != kept).any()


@pytest.mark.parametrize("name", ["autoaugment", "cutout"])
def test_ranks_change_images_as_one_process_does(name):
    images = colours(8)
    one = augmented(name, images, whole(5, 8))
    several = [
        augmented(name, images[at : at + 2], BatchRNG(seed=5, start=at, rows=2, total=8)) for at in range(0, 8, 2)
    ]
    assert torch.equal(one, torch.cat(several))
    assert not torch.equal(one, augmented(name, images, whole(6, 8)))


@pytest.mark.parametrize(
    ("name", "keywords", "frames", "words"),
    [
        (
            "autoaugment",
            {},
            counts((2, 1, 8, 8)),
            "three colours, not frames of 1 steps and 2 channels",
        ),
        ("autoaugment", {}, colours().expand(-1, 2, -1, -1, -1), "not frames of 2 steps and 3 channels"),
        ("autoaugment", {"policy": "cifar"}, colours(), "policy must be one of cifar10, imagenet, svhn, not 'cifar'"),
        ("cutout", {"size": 0}, colours(), "size must be 1 or more, not 0"),
        ("cutout", {"fill": [1.0, 2.0]}, colours(), "fill has 2 numbers, frames 3 channels"),
    ],
)
def test_what_an_augmentation_of_images_cannot_do_is_refused(name, keywords, frames, words):
    with pytest.raises(RecipeError, match=words):
        augmented(name, frames, whole(0, len(frames)), **keywords)


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        ("corp", "unknown augmentation 'corp': did you mean 'crop'"),
        ({"name": "rotate", "degree": 10}, "augmentation 'rotate' takes no 'degree': did you mean 'degrees'"),
        ({"name": "flip", "p": "half"}, "p must be a number, not 'half'"),
        ({"degrees": 10}, "needs a name"),
        ({"name": "flip", "p": 1.5}, "p must be from 0 to 1, not 1.5"),
        ({"name": "erase", "p": -0.5}, "p must be from 0 to 1, not -0.5"),
        ({"name": "crop", "padding": -1}, "padding must be 0 or more"),
        ({"name": "roll", "most": -1}, "most must be 0 or more"),
        ({"name": "rotate", "degrees": -1}, "degrees must be 0 or more"),
    ],
)
def test_a_wrong_augmentation_is_one_sentence(augment, words):
    with pytest.raises(RecipeError, match=words):
        build_augmentations(["crop", augment])


NAMES = st.lists(st.text(min_size=1), min_size=2, max_size=20, unique=True)


@settings(max_examples=200, deadline=None)
@given(NAMES, st.integers(0, 2**63 - 1))
def test_streams_of_different_names_never_agree(names, seed):
    rng, names = whole(seed, 3), {*names, *NUMBERED}
    for name in names:
        assert torch.equal(rng.uniform(2, stream=name), rng.uniform(2, stream=name))
    drawn = [rng.uniform(2, stream=name).flatten() for name in names]
    drawn += [torch.from_numpy(rng.generator(name).random(6)) for name in names]
    for one, other in itertools.combinations(drawn, 2):
        assert not (one == other).any()


@pytest.mark.parametrize("stream", ["mixing", "crop", "my own"])
def test_one_process_and_several_draw_the_same(stream):
    one = whole(9, 8).uniform(3, stream=stream)
    several = [BatchRNG(seed=9, start=at, rows=2, total=8) for at in range(0, 8, 2)]
    assert torch.equal(one, torch.cat([rng.uniform(3, stream=stream) for rng in several]))
    assert len({tuple(rng.generator(stream).normal(size=3)) for rng in several}) == 1
    assert not torch.equal(one, whole(10, 8).uniform(3, stream=stream))


def test_a_stream_must_be_named_and_those_with_a_number_keep_their_seeds():
    with pytest.raises(TypeError, match="stream"):
        whole(0, 2).uniform(2)
    for number, name in enumerate(("mixing", "partner", "crop", "flip", "rotate", "roll")):
        generator = torch.Generator().manual_seed(7 * 1_000_003 + number)
        expected = torch.rand(4, generator=generator, dtype=torch.float64)
        assert torch.equal(whole(7, 4).uniform(stream=name), expected)
