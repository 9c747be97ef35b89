"""SLTT on batches: portions, their gradients in both executions, steps without a loss, memory, refusals."""

from dataclasses import replace

import pytest
import torch

from braincog_tmkt.data.batch import BatchRNG
from braincog_tmkt.engine.devices import make_fabric
from braincog_tmkt.engine.step import Trainer
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.launch.forecast import _saved
from braincog_tmkt.losses import per_step_tet
from braincog_tmkt.methods import METHODS
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.sltt import LIF
from braincog_tmkt.recipe import OptimConfig, Recipe
from tests.methods.toys import make_batch
from tests.models.test_sltt import case_of

STILL = Recipe(name="still", optim=OptimConfig(name="sgd", lr=1e-30, weight_decay=0.0))
"""The weights stay as they are, and so do their gradients."""


def make_method(execution="step", steps=4, k=None, loss=None, **changes):
    torch.manual_seed(0)
    settings = {**LIF, "width": 1 / 16, "execution": execution, **changes}
    return METHODS.build("sltt", build_backbone("sltt_resnet18", 3, steps, 16, **settings).train(), loss=loss, k=k)


def train(method, batch, precision="32-true"):
    """The parts of the loss and all gradients of one step of the engine."""
    parts = {}
    Trainer(method, STILL, make_fabric(precision)).step(batch, 0.5, parts.update)
    return parts["loss"], {name: weight.grad for name, weight in method.named_parameters() if weight.grad is not None}


def statistics(method):
    return {name: value for name, value in method.named_buffers() if value.is_floating_point()}


def require_close(found, expected, most):
    """Tensors by name, close relative to the norm; biases in front of a batch norm have a gradient of rounding."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] - value).norm() <= most * value.norm() + 1e-6, name


def make_published(execution, k):
    """The method on the small published ResNet-18, whose potentials keep off the threshold, and its batch."""
    net, _, batch = case_of("resnet18_small", execution)
    return METHODS.build("sltt", net, k=k), replace(batch, rng=BatchRNG(0, 0, 4, 4))


@pytest.mark.parametrize(("k", "chosen"), [(None, [0, 1, 2]), (1, [1]), (2, [0, 1])])
def test_portions_are_one_backward_pass_of_either_execution(k, chosen):
    outcomes = []
    for execution, whole in (("step", False), ("step", True), ("multi_step", False)):
        method, batch = make_published(execution, k)
        assert method.portions == (None if execution == "multi_step" else len(chosen))
        assert method.steps_with_loss(batch) == chosen
        if whole:
            loss = method(batch, 0.5)["loss"]
            loss.backward()
            gradients = {name: weight.grad for name, weight in method.named_parameters() if weight.grad is not None}
        else:
            loss, gradients = train(method, batch)
        outcomes.append((loss, gradients, statistics(method)))
    method, batch = make_published("step", k)
    method.backbone.event_logits(batch.events)
    outcomes.append((outcomes[0][0], outcomes[0][1], statistics(method)))  # all steps move them, whatever K
    for found in outcomes[1:]:
        torch.testing.assert_close(found[0], outcomes[0][0])
        require_close(found[1], outcomes[0][1], 1e-4)
        require_close(found[2], outcomes[0][2], 1e-5)


def test_the_loss_is_a_share_of_all_steps_whatever_k():
    batch = make_batch(size=16)
    with torch.no_grad():
        each = per_step_tet(make_method().backbone.event_logits(batch.events), batch.label, 0.05, 1.0)
    for k in (None, 2):
        method = make_method(k=k)
        loss, _ = train(method, batch)
        torch.testing.assert_close(loss, each[method.steps_with_loss(batch)].sum() / 4)


def test_steps_with_a_loss_are_drawn_for_each_batch_and_alike_in_all_processes():
    method, batch = make_method(k=2), make_batch(size=16)
    drawn = []
    for seed in range(300):
        one, other = (replace(batch, rng=BatchRNG(seed, start, 3, 6)) for start in (0, 3))
        drawn.append(tuple(method.steps_with_loss(one)))
        assert method.steps_with_loss(other) == [*drawn[-1]] == sorted(set(drawn[-1]))
    assert {pair: drawn.count(pair) for pair in set(drawn)}.keys() == {
        (first, last) for first in range(4) for last in range(first + 1, 4)
    }
    assert min(drawn.count(pair) for pair in set(drawn)) > 25  # 50 each on average
    assert make_method().steps_with_loss(batch) == [0, 1, 2, 3]


def test_without_mem_detach_the_gradient_is_another_one():
    batch = make_batch(size=16)
    _, gradients = train(make_method(), batch)
    net = make_method().backbone
    net.set_attr("mem_detach", False)
    per_step_tet(net.event_logits(batch.events), batch.label, 0.05, 1.0).mean().backward()
    weight = net.layer1[0].conv1.weight.grad
    assert (gradients["backbone.layer1.0.conv1.weight"] - weight).norm() > 0.01 * weight.norm()


@pytest.mark.parametrize("k", [None, 1, 2])
def test_bf16_has_the_gradients_of_one_backward_pass(k):
    """Also behind steps without a gradient, whose weights autocast would keep."""
    batch = replace(make_batch(size=16), rng=BatchRNG(3, 0, 6, 6))
    method, other = make_method(k=k), make_method(k=k)
    chosen = method.steps_with_loss(batch)
    assert k is None or (chosen[0] > 0 and chosen[-1] < 3)
    loss, gradients = train(method, batch, "bf16-mixed")
    with make_fabric("bf16-mixed").autocast():
        logits = other.backbone.event_logits(batch.events)
        expected = per_step_tet(logits, batch.label, 0.05, 1.0)[chosen].sum() / 4
    expected.backward()
    torch.testing.assert_close(loss, expected)
    require_close(
        gradients, {name: weight.grad for name, weight in other.named_parameters() if name in gradients}, 0.02
    )
    assert len(gradients) == 75


@pytest.mark.parametrize(("execution", "k", "grows"), [("step", None, 1), ("step", 2, 1), ("multi_step", None, 4)])
def test_what_a_batch_keeps_grows_with_the_steps_in_multi_step_only(execution, k, grows):
    kept = []
    for steps in (2, 8):
        method = make_method(execution, steps, k)
        kept.append(_saved(method, Trainer(method, STILL, make_fabric()), make_batch(size=16, steps=steps)))
    assert kept[1] / kept[0] == pytest.approx(grows, rel=0.02)


def test_a_still_image_is_shown_at_all_steps_and_notes_tell_of_memory():
    net = build_backbone("sltt_resnet18", 3, 1, 16, **LIF, width=1 / 16, execution="step")
    method = METHODS.build("sltt", net, steps=3)
    assert method.portions == 3
    batch = make_batch(size=16, steps=1)
    assert len(method.predict(batch.events)) == 3
    loss, gradients = train(method, batch)
    assert loss > 0
    assert gradients
    assert method.notes() == []
    assert "whose memory grows with them" in make_method("multi_step").notes()[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mem_detach": False}, "mem_detach=true"),
        ({"execution": "multi_step", "norm": "shared"}, "SharedBatchNorm2d sees all of them"),
        ({"k": 5}, "k must be from 1 to the number of time steps, 4, not 5"),
        ({"k": 0}, "k must be from 1"),
        ({"loss": "ce_mean"}, "a loss at each time step, .* which MeanCrossEntropy has not"),
        ({"loss": {"name": "tet", "phi": "onehot"}}, "phi must be a number or 'one_hot', not 'onehot'"),
    ],
)
def test_what_would_not_be_sltt_is_refused(changes, words):
    with pytest.raises(RecipeError, match=words):
        make_method(**changes)


def test_networks_of_others_and_attention_over_steps_are_refused():
    with pytest.raises(RecipeError, match="not a Linear"):
        METHODS.build("sltt", torch.nn.Linear(2, 2))
    settings = {**LIF, "norm": "step", "width": 1 / 16}
    with pytest.raises(RecipeError, match="TCJA sees all of them"):
        METHODS.build("sltt", build_backbone("tcja_vggsnn", 3, 4, 16, **settings))


def test_a_one_hot_target_draws_the_logits_to_the_label():
    logits, label = torch.randn(2, 3, 4), torch.tensor([0, 3, 1])
    entropy = per_step_tet(logits, label)
    squared = (logits - torch.eye(4)[label]).square().mean((1, 2))
    expected = 0.95 * entropy + 0.05 * squared
    torch.testing.assert_close(per_step_tet(logits, label, 0.05, "one_hot"), expected)
    torch.testing.assert_close(per_step_tet(logits, torch.eye(4)[label], 0.05, "one_hot"), expected)
