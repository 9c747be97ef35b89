"""KD and SKD against scipy's divergence, and the bound that the HSD paper states."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.losses import kd, kl_weight, skd

SIZES = {"steps": st.integers(1, 6), "batch": st.integers(1, 5), "classes": st.integers(2, 12)}


def logits(*shape, seed, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def divergence(student, teacher, temperature):
    """K^2 KL(teacher || student), mean over the rows, in float64."""
    p, q = (softmax(x.double().numpy() / temperature, axis=1) for x in (teacher, student))
    return temperature**2 * np.mean([entropy(a, b) for a, b in zip(p, q, strict=True)])


@settings(max_examples=40, deadline=None)
@given(**SIZES, temperature=st.floats(0.5, 20), seed=st.integers(0, 999))
def test_both_are_the_kullback_leibler_divergence(steps, batch, classes, temperature, seed):
    o, z = logits(steps, batch, classes, seed=seed, scale=3), logits(batch, classes, seed=seed + 1, scale=3)
    each = np.mean([divergence(step, z, temperature) for step in o])
    assert skd(o, z, temperature, "batchmean").item() == pytest.approx(each, rel=1e-3, abs=1e-4)
    mean = divergence(o.mean(0), z, temperature)
    assert kd(o, z, temperature, "batchmean").item() == pytest.approx(mean, rel=1e-3, abs=1e-4)


@settings(max_examples=100, deadline=None)
@given(**SIZES, scale=st.floats(0.1, 20), temperature=st.floats(0.5, 20), seed=st.integers(0, 9999))
def test_teaching_every_step_bounds_teaching_the_mean(steps, batch, classes, scale, temperature, seed):
    """KL(teacher || mean student) <= mean over steps of KL(teacher || student), of averaged logits and shares."""
    o, z = logits(steps, batch, classes, seed=seed, scale=scale), logits(batch, classes, seed=seed + 1, scale=scale)
    every = skd(o, z, temperature, "batchmean").item()
    assert kd(o, z, temperature, "batchmean").item() <= every * (1 + 1e-4) + 1e-4
    shares = (o.double() / temperature).softmax(2).mean(0)
    of_shares = divergence(shares.log() * temperature, z, temperature)
    assert of_shares <= every * (1 + 1e-4) + 1e-4


def test_the_reduction_of_hsd_s_code_divides_by_the_classes_too():
    o, z = logits(3, 4, 10, seed=0), logits(4, 10, seed=1)
    torch.testing.assert_close(skd(o, z, reduction="mean") * 10, skd(o, z, reduction="batchmean"))
    assert [kl_weight(5, 10, "mean"), kl_weight(5, 101, "mean"), kl_weight(5, 10, "batchmean")] == [0.5, 5 / 101, 5]


def test_the_teacher_gets_no_gradient():
    o, z = logits(3, 4, 10, seed=0).requires_grad_(), logits(4, 10, seed=1).requires_grad_()
    (kd(o, z) + skd(o, z)).backward()
    assert z.grad is None
    assert o.grad.abs().sum() > 0


def test_what_makes_no_sense_is_refused():
    o, z = logits(3, 4, 10, seed=0), logits(4, 10, seed=1)
    with pytest.raises(RecipeError, match="one of mean, batchmean, not 'sum'"):
        skd(o, z, reduction="sum")
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(RecipeError, match="must be above 0"):
            kd(o, z, temperature)
