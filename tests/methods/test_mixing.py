"""The mixing laws against closed formulas, the numbers of the specification, and a literal walk."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.methods.mixing import MIXINGS, FixedRatio, SlidingReplacement, TimeStepMixup, mix
from tests.methods.toys import make_batch


@pytest.mark.parametrize(
    ("steps", "ratio", "sampler", "truncated"),
    [
        (10, 0.3, 0.06606, -0.4415),
        (10, 0.4, 0.09550, -0.2128),
        (10, 0.5, 0.13118, -0.0629),
        (10, 0.6, 0.17632, 0.05916),
        (10, 0.7, 0.23730, 0.17546),
        (6, 0.9, 0.62434, 0.61775),
        (12, 0.95, 0.62500, 0.62496),
    ],
)
def test_probabilities_of_the_specification(steps, ratio, sampler, truncated):
    assert TimeStepMixup(steps, ratio).p == pytest.approx(sampler, abs=6e-6)
    assert TimeStepMixup(steps, ratio, "truncated").p == pytest.approx(truncated, abs=6e-5)


@settings(deadline=None)
@given(steps=st.integers(1, 20), ratio=st.floats(0.01, 0.99))
def test_the_sampler_law_is_the_geometric_walk_with_the_right_mean(steps, ratio):
    mixup = TimeStepMixup(steps, ratio)
    q = 1 - mixup.p
    walk = [mixup.p * q ** (t - 1) for t in range(1, steps + 1)] + [q**steps]
    assert mixup.law.tolist() == pytest.approx(walk, abs=1e-12)
    assert sum((steps + 1 - t) * chance for t, chance in enumerate(walk, 1)) / steps == pytest.approx(ratio, abs=1e-9)


@settings(deadline=None)
@given(steps=st.integers(2, 20), share=st.floats(0.02, 0.98))
def test_the_truncated_law_always_hits_and_has_the_right_mean(steps, share):
    ratio = 1 / steps + share * (1 - 1 / steps)
    law = TimeStepMixup(steps, ratio, "truncated").law
    assert law[-1] == 0
    assert law.sum() == pytest.approx(1)
    assert float(law @ torch.arange(steps, -1, -1, dtype=law.dtype)) / steps == pytest.approx(ratio, abs=1e-9)
    assert law[1:-1] / law[:-2] == pytest.approx(float(law[1] / law[0]), rel=1e-6)  # geometric: Eq. 8


@pytest.mark.parametrize("expectation", ["sampler", "truncated"])
def test_drawn_switch_points_follow_the_law(expectation):
    mixup = TimeStepMixup(10, 0.4, expectation)
    batch = make_batch(rows=20_000, steps=1, size=1)
    points = mixup.switch_points(batch, 0.0)
    observed = torch.bincount(points, minlength=12)[1:].double()
    expected = mixup.law * len(points)
    assert points.min() >= 1
    assert observed[expected == 0].sum() == 0
    chi_square = ((observed - expected).square() / expected)[expected > 0].sum()
    assert chi_square < 31.3  # 99.95 % of chi-square with 11 degrees of freedom
    assert float((11 - points).double().mean()) / 10 == pytest.approx(0.4, abs=0.01)


def test_a_literal_walk_gives_the_same_distribution():
    mixup = TimeStepMixup(6, 0.55)
    hits = torch.rand(50_000, 6, generator=torch.Generator().manual_seed(0)) < mixup.p
    walked = torch.where(hits.any(1), hits.int().argmax(1) + 1, 7)
    observed = torch.bincount(walked, minlength=8)[1:] / len(walked)
    assert observed.numpy() == pytest.approx(mixup.law.numpy(), abs=0.012)


def test_frames_and_labels_agree_frame_by_frame():
    batch = make_batch(rows=5, steps=4)
    switch = torch.tensor([1, 2, 3, 4, 5])
    mixed = mix(batch, switch)
    for b in range(5):
        for t in range(1, 5):
            appearance = t < switch[b]
            frame = batch.static[b] if appearance else batch.events[b, t - 1]
            assert torch.equal(mixed.frames[b, t - 1], frame)
            assert mixed.source[t - 1, b] == int(appearance)  # Eq. 13: 1 is appearance
    assert mixed.ratio.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]  # Eq. 14: (t* - 1) / T


def test_fixed_ratio_to_the_letter_and_as_event_share():
    batch = make_batch()
    letter = FixedRatio(10, 0.4).switch_points(batch, 0.3)
    assert letter.tolist() == [4] * 6  # floor(10 * 0.4): 3 appearance and 7 event frames
    assert FixedRatio(10, 0.4, "events").switch_points(batch, 0.3).tolist() == [7] * 6
    for ratio in (0.1, 0.2, 0.3, 0.6, 0.7, 0.9):
        assert FixedRatio(10, ratio).switch == round(10 * ratio)  # no step is lost to rounding


def test_dynamic_laws_move_from_appearance_to_events():
    batch = make_batch(steps=10)
    for name, power in (("dynamic_linear", 1), ("dynamic_nonlinear", 3)):
        law = MIXINGS.build(name, 10)
        shares = [(11 - int(law.switch_points(batch, p)[0])) / 10 for p in (0.0, 0.5, 0.9, 1.0)]
        assert shares == pytest.approx([0, 0.5**power, 0.9**power, 1], abs=0.051)
        assert shares[0] == 0
        assert shares[-1] == 1


def test_sliding_replaces_whole_samples_with_probability_progress_cubed():
    batch = make_batch(rows=20_000, steps=1, size=1)
    points = SlidingReplacement(10).switch_points(batch, 0.7)
    assert set(points.tolist()) == {1, 11}
    assert (points == 1).double().mean().item() == pytest.approx(0.343, abs=4 * math.sqrt(0.343 * 0.657 / 20_000))
    assert SlidingReplacement(10).switch_points(batch, 0.0).eq(11).all()


def test_draws_are_the_same_for_one_rank_and_for_two():
    mixup = TimeStepMixup(10, 0.4)
    whole = mixup.switch_points(make_batch(rows=8), 0)
    halves = [mixup.switch_points(make_batch(rows=4, total=8, start=start), 0) for start in (0, 4)]
    assert torch.equal(whole, torch.cat(halves))
    assert not torch.equal(whole, mixup.switch_points(make_batch(rows=8, seed=1), 0))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: TimeStepMixup(10, 1.0), r"\(0, 1\)"),
        (lambda: TimeStepMixup(10, 0.1, "truncated"), r"\(0.1, 1\)"),
        (lambda: TimeStepMixup(10, 0.4, "exact"), "sampler or truncated"),
        (lambda: FixedRatio(10, 0.0), r"\(0, 1\]"),
        (lambda: MIXINGS.build("time_stop", 10), "did you mean 'time_step'"),
        (lambda: MIXINGS.build("sliding", 10, mix_ratio=0.4), "takes no 'mix_ratio'"),
    ],
)
def test_ratios_out_of_reach_name_the_range(build, words):
    with pytest.raises(RecipeError, match=words):
        build()
