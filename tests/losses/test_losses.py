"""The losses against closed formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.losses import (
    LOSSES,
    MixRatioPerception,
    ModalityGuidance,
    StepLoss,
    build_loss,
    cka,
    per_step_tet,
    rda,
    tet,
)


def tensor(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference_cka(x, y):
    """Double centring with explicit matrices, in numpy and float64."""
    n = len(x)
    centre = np.eye(n) - np.ones((n, n)) / n
    gram_x, gram_y = (centre @ (z @ z.T) @ centre for z in (x, y))
    return (gram_x * gram_y).sum() / (np.linalg.norm(gram_x) * np.linalg.norm(gram_y) + 1e-7)


@settings(max_examples=30, deadline=None)
@given(
    steps=st.integers(1, 3),
    batch=st.integers(2, 9),
    d=st.integers(1, 12),
    e=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_cka_is_the_biased_linear_estimator(steps, batch, d, e, seed):
    x, y = tensor(steps, batch, d, seed=seed), tensor(steps, batch, e, seed=seed + 100)
    expected = [reference_cka(a.double().numpy(), b.double().numpy()) for a, b in zip(x, y, strict=True)]
    assert cka(x, y).numpy() == pytest.approx(expected, abs=2e-5)


def test_cka_ignores_scale_shift_rotation_and_minds_the_order_of_samples():
    x = tensor(2, 8, 5)
    rotation = torch.linalg.qr(tensor(5, 5, seed=1))[0]
    torch.testing.assert_close(cka(x, 3 * x @ rotation + 7), torch.ones(2), atol=1e-5, rtol=0)
    assert (cka(x, x.flip(1)) < 0.9).all()


def test_cka_of_equal_membranes_has_no_nan_even_when_nothing_varies():
    constant = torch.ones(1, 4, 3, requires_grad=True)
    value = cka(constant, torch.ones(1, 4, 3))
    assert value.item() == 0.0


def test_tet_is_the_mean_cross_entropy_over_steps():
    logits, label = tensor(4, 6, 5), torch.arange(6) % 5
    expected = sum(functional.cross_entropy(step, label) for step in logits) / 4
    torch.testing.assert_close(tet(logits, label), expected)
    torch.testing.assert_close(per_step_tet(logits, label).mean(), expected)


def test_the_squared_term_draws_logits_to_the_threshold():
    logits, label = tensor(3, 6, 5), torch.arange(6) % 5
    steps = per_step_tet(logits, label, weight=0.25, phi=0.5)
    for t in range(3):
        entropy, squared = functional.cross_entropy(logits[t], label), (logits[t] - 0.5).square().mean()
        torch.testing.assert_close(steps[t], 0.75 * entropy + 0.25 * squared)


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_loss_takes_hard_and_soft_targets(name):
    loss, logits, label = build_loss(name), tensor(4, 6, 5).requires_grad_(), torch.arange(6) % 5
    hard = functional.one_hot(label, 5).float()
    parts = loss(logits, label, 0.3)
    assert all(part.shape == () for part in parts.values())
    torch.testing.assert_close(loss(logits, hard, 0.3)["loss"], parts["loss"])
    value = loss(logits, 0.7 * hard + 0.3 * hard.roll(1, 0), 0.3)["loss"]
    assert value != parts["loss"]
    value.backward()
    assert logits.grad.abs().sum() > 0


def test_soft_targets_are_probabilities_of_the_classes():
    logits, soft = tensor(4, 6, 5), tensor(6, 5, seed=1).softmax(1)
    mean = logits.mean(0)
    for name, expected in (
        ("tet", sum(-(soft * step.log_softmax(1)).sum(1).mean() for step in logits) / 4),
        ("ce_mean", -(soft * mean.log_softmax(1)).sum(1).mean()),
        ("mse_rate", (mean - soft).square().sum() / 30),
    ):
        torch.testing.assert_close(build_loss(name)(logits, soft, 0.0)["loss"], expected)


def test_a_step_loss_is_the_mean_of_its_steps():
    loss, logits, label = build_loss({"name": "tet", "weight": 0.25, "phi": 1.0}), tensor(3, 6, 5), torch.arange(6) % 5
    assert isinstance(loss, StepLoss)
    torch.testing.assert_close(loss(logits, label, 0.0)["loss"], loss.steps(logits, label, 0.0).mean())
    torch.testing.assert_close(loss.steps(logits, label, 0.0), per_step_tet(logits, label, 0.25, 1.0))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("ttet", "unknown loss 'ttet': did you mean 'tet'"),
        ({"name": "tet", "wieght": 0.1}, "loss 'tet' takes no 'wieght': did you mean 'weight'"),
        ({"name": "tet", "weight": "much"}, "weight must be a number, not 'much'"),
        ({"weight": 0.1}, "method.loss needs a name"),
    ],
)
def test_a_wrong_loss_is_one_sentence(settings, words):
    with pytest.raises(RecipeError, match=words):
        build_loss(settings)


def test_rda_with_a_mean_event_loss_and_with_one_a_step():
    similarity, theta = torch.tensor([0.2, 0.6]), torch.tensor([0.0, 50.0])
    assert rda(similarity, theta, torch.tensor(3.0)).item() == pytest.approx((0.5 * 0.8 + 0.5 * 3 + 0.4) / 2)
    assert rda(similarity, theta, torch.tensor([1.0, 9.0])).item() == pytest.approx((0.5 * 0.8 + 0.5 * 1 + 0.4) / 2)


def test_modality_guidance_is_the_cross_entropy_of_each_frame():
    torch.manual_seed(0)
    guidance, features = ModalityGuidance(7), tensor(3, 4, 7)
    source = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    total = 0.0
    for t in range(3):
        for b in range(4):
            total -= torch.log_softmax(guidance.head(features[t, b]), 0)[source[t, b]] / 12
    torch.testing.assert_close(guidance(features, source), total)


def test_mix_ratio_perception_averages_over_steps_before_the_square():
    torch.manual_seed(0)
    perception, features = MixRatioPerception(7), tensor(3, 4, 7)
    ratio = torch.tensor([0.0, 0.25, 0.5, 1.0])
    estimate = torch.stack([perception.head(features[t])[:, 0] for t in range(3)]).mean(0)
    torch.testing.assert_close(perception(features, ratio), (estimate - ratio).square().mean())
