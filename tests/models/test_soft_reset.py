"""The soft-reset node against its formulas in plain torch, the activation it equals, and the kernels against both."""

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from braincog_tmkt.models.fused_bn_neuron import neuron_of
from braincog_tmkt.models.kernels import cpu
from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.nodes.soft_reset import SoftResetIFNode
from braincog_tmkt.models.parts import surrogate_class
from braincog_tmkt.models.spikes import SpikeConv2d, levels_of

from .test_fused_bn_neuron import KERNEL_SURROGATES, make_norm

MultiStep = multi_step_node(SoftResetIFNode)
EXAMPLES = {"derandomize": True, "deadline": None, "suppress_health_check": list(HealthCheck)}


def formulas(currents, theta):
    """Outputs and potentials of `[T, ...]`: the equations, with the triangle of half-width 1 as the step's gradient."""
    u, outputs, potentials = 0.5, [], []
    for x in currents:
        u = u + x / theta
        a = (u - 1).clamp(-1, 1)
        smooth = a - a * a.abs() / 2
        fired = smooth - smooth.detach() + (u > 1)
        u = u - fired
        outputs.append(fired * theta)
        potentials.append(u)
    return torch.stack(outputs), torch.stack(potentials)


@settings(max_examples=200, **EXAMPLES)
@given(
    z=st.floats(-3, 6, width=32),
    theta=st.floats(0.0625, 10, width=32),
    levels=st.integers(1, 16),
    fast=st.booleans(),
)
def test_a_constant_current_gives_the_activation_of_qcfs(z, theta, levels, fast):
    place = z * levels / theta + 0.5
    assume(abs(place - round(place)) > 1e-4)
    kind = MultiStep if fast else SoftResetIFNode
    node = kind(threshold=theta, step=levels, layer_by_layer=True)
    mean = node(torch.full((levels, 3), z)).mean(0)
    expected = theta * min(max((place // 1) / levels, 0), 1)
    torch.testing.assert_close(mean, torch.full((3,), expected), rtol=1e-5, atol=1e-6)


def test_a_potential_at_the_threshold_does_not_fire():
    """Where QCFS's floor goes up a level, the node stays one below."""
    for kind in (SoftResetIFNode, MultiStep):
        node = kind(threshold=2.0, step=1, layer_by_layer=True)
        assert node(torch.ones(1, 4)).sum() == 0
        node.n_reset()
        assert node(torch.full((1, 4), 1.0001)).sum() == 8


@pytest.mark.parametrize("execution", ["step", "layer_by_layer", "walk", "kernel"])
@pytest.mark.parametrize("steps", [1, 4])
def test_every_execution_follows_the_formulas(execution, steps):
    torch.manual_seed(0)
    currents = 1.5 * torch.randn(steps, 2, 5, 3, 7)
    weight, of_membranes = torch.randn_like(currents), torch.randn_like(currents)
    x, y = currents.clone().requires_grad_(), currents.clone().requires_grad_()
    kind = SoftResetIFNode if execution in ("step", "layer_by_layer") else MultiStep
    node = kind(threshold=0.7, step=steps, layer_by_layer=execution != "step", requires_mem=True, requires_fp=True)
    node.walks = execution == "walk"
    for _ in range(2):  # a reset gives a fresh node
        node.n_reset()
        assert node.mem == 0.5
        outputs = (
            torch.stack([node(step) for step in x]) if execution == "step" else node(x.flatten(0, 1)).view(x.shape)
        )
    membranes = torch.stack(node.mem_collect)
    expected, potentials = formulas(y, 0.7)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(membranes, potentials, rtol=1e-5, atol=1e-6)
    assert torch.equal(torch.stack(node.feature_map), outputs)
    assert torch.equal(node.spike, outputs[-1])
    assert torch.equal(node.mem, membranes[-1])
    for got in ((outputs, membranes), (expected, potentials)):
        ((got[0] * weight).sum() + (got[1] * of_membranes).sum()).backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-5, atol=1e-5)


@settings(max_examples=40, **EXAMPLES)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 2), st.integers(2, 3), st.integers(1, 70), st.integers(1, 6)),
    theta=st.sampled_from([0.3, 1.0, 2.7]),
    loss=st.sampled_from(["both", "outputs", "membranes"]),
    training=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_norm_and_node_in_one_are_torchs_norm_and_the_formulas(shape, theta, loss, training, seed):
    steps, streams, batch, channels, side = shape
    torch.manual_seed(seed)
    x = (2 * torch.randn(steps * streams * batch, channels, side, side + 1) + 0.5).requires_grad_()
    twin = x.detach().clone().requires_grad_()
    node = MultiStep(threshold=theta, step=steps, layer_by_layer=True, requires_mem=True)
    norm, plain = make_norm(channels, seed, steps, streams).train(training), nn.BatchNorm2d(channels)
    plain.load_state_dict(norm.state_dict())
    outputs = node(x, norm).unflatten(0, (steps, streams, batch))
    membranes = torch.stack(node.mem_collect).unflatten(1, (streams, batch))
    plain.train(training)
    parts = twin.unflatten(0, (steps, streams, batch))
    normal = torch.stack([torch.stack([plain(parts[t, s]) for t in range(steps)]) for s in range(streams)], 1)
    expected, potentials = formulas(normal, theta)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(membranes, potentials, rtol=1e-4, atol=1e-4)
    weight = torch.randn_like(outputs)
    for got in ((outputs, membranes), (expected, potentials)):
        losses = {"outputs": (got[0] * weight).sum(), "membranes": (got[1] * weight.flip(0)).sum()}
        losses["both"] = losses["outputs"] + losses["membranes"]
        losses[loss].backward()
    torch.testing.assert_close(x.grad, twin.grad, rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(norm.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(norm.state_dict(), plain.state_dict(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("surrogate", KERNEL_SURROGATES)
def test_every_surrogate_of_the_kernels_is_brain_cogs(surrogate):
    """A module is used as it is, with its alpha, and learns it where BrainCog's does."""
    results = []
    for kind in (MultiStep, SoftResetIFNode):
        torch.manual_seed(0)
        act_fun = surrogate_class(surrogate)(alpha=1.5, requires_grad=surrogate == "AtanGrad")
        node = kind(threshold=0.8, act_fun=act_fun, step=4, layer_by_layer=True, requires_mem=True)
        x = torch.randn(4 * 3, 50, requires_grad=True)
        outputs = node(x)
        ((outputs * torch.randn(outputs.shape)).sum() + torch.stack(node.mem_collect).square().sum()).backward()
        results.append((outputs, torch.stack(node.mem_collect), x.grad, act_fun.alpha.grad))
    for ours, theirs in zip(*(result[:2] for result in results), strict=True):
        assert torch.equal(ours, theirs)
    torch.testing.assert_close(results[0][2], results[1][2], rtol=1e-5, atol=1e-5)
    assert (results[0][3] is None) == (surrogate != "AtanGrad")
    torch.testing.assert_close(results[0][3], results[1][3], rtol=1e-5, atol=1e-5)


def test_a_surrogate_may_be_a_class_or_a_name_and_brain_cogs_other_keywords_are_taken():
    for act_fun in (surrogate_class("QGateGrad"), "QGateGrad"):
        node = SoftResetIFNode(act_fun=act_fun, step=3, tau=2.0, n_groups=1, sigmoid_thres=False)
        assert type(node.act_fun).__name__ == "QGateGrad"
        assert node.act_fun.alpha.item() == 1
        assert not node.act_fun.alpha.requires_grad
        assert node.threshold.item() == 1


def test_bfloat16_currents_give_the_numbers_of_their_values():
    torch.manual_seed(0)
    x = torch.randn(3 * 4, 5, 6, 6).bfloat16()
    given, plain = x.clone().requires_grad_(), x.float().requires_grad_()
    weight = torch.randn(x.shape).bfloat16()
    results = []
    for currents in (given, plain):
        node, norm = MultiStep(threshold=0.75, step=3, layer_by_layer=True, requires_mem=True), make_norm(5, steps=3)
        outputs = node(currents, norm)
        assert outputs.dtype == currents.dtype
        assert node.mem.dtype == torch.float32  # membranes stay in full precision
        (outputs * weight.to(outputs.dtype)).sum().backward()
        results.append((outputs.float(), torch.stack(node.mem_collect), norm.weight.grad, currents.grad.float()))
    assert set(results[0][0].unique().tolist()) == {0, 0.75}
    for ours, theirs in zip(results[0][:2], results[1][:2], strict=True):
        assert torch.equal(ours, theirs)
    torch.testing.assert_close(results[0][2], results[1][2], rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(results[0][3], results[1][3], rtol=1e-2, atol=2e-2)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_the_work_and_change_no_number(threads, monkeypatch):
    monkeypatch.setattr(cpu, "WORTH_THREADS", 1)
    results = []
    try:
        for number in (1, threads):
            torch.set_num_threads(number)
            torch.manual_seed(0)
            x, norm = torch.randn(3 * 4, 5, 7, 7, requires_grad=True), make_norm(5, steps=3)
            outputs = MultiStep(threshold=0.6, step=3, layer_by_layer=True)(x, norm)
            (outputs * torch.randn(outputs.shape)).sum().backward()
            results.append((outputs, x.grad, norm.weight.grad))
    finally:
        torch.set_num_threads(1)
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


def test_outputs_are_not_kept_as_if_they_were_ones():
    torch.manual_seed(0)
    outputs = MultiStep(threshold=0.37, step=2, layer_by_layer=True)(torch.rand(4, 3, 6, 6))
    assert levels_of(outputs) is None
    plain, ours = (kind(3, 4, 3) for kind in (nn.Conv2d, SpikeConv2d))
    ours.load_state_dict(plain.state_dict())
    for conv in (ours, plain):
        conv(outputs).square().sum().backward()
    assert torch.equal(ours.weight.grad, plain.weight.grad)


@pytest.mark.parametrize(
    "changes", [{"requires_thres_grad": True}, {"mem_detach": True}, {"sigmoid_thres": True}, {"v_reset": 0.2}]
)
def test_settings_mean_what_they_mean_in_the_plain_node(changes):
    """One that the kernels do not know, and three that they must read."""
    results = []
    for kind in (MultiStep, SoftResetIFNode):
        torch.manual_seed(0)
        node = kind(threshold=0.6, step=4, layer_by_layer=True, **changes)
        norm, x = make_norm(6, steps=4).eval(), torch.randn(4 * 2, 6, 3, 3, requires_grad=True)
        outputs = node(x, norm) if kind is MultiStep else node(norm(x))
        (outputs * torch.randn(x.shape)).sum().backward()
        results.append((outputs, x.grad, node.threshold.grad))
        assert (node.threshold.grad is not None) == ("requires_thres_grad" in changes)
    assert (neuron_of(MultiStep(**changes)) is None) == ("requires_thres_grad" in changes)
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


def test_a_node_with_a_membrane_goes_on_from_there():
    x = torch.rand(6, 5)
    fast, slow = (kind(step=3, layer_by_layer=kind is MultiStep) for kind in (MultiStep, SoftResetIFNode))
    fast.mem, slow.mem = torch.full((2, 5), 0.9), torch.full((2, 5), 0.9)
    assert torch.equal(fast(x), torch.cat([slow(step) for step in x.split(2)]))


def test_a_subclass_is_not_taken_for_this_node():
    class Mine(SoftResetIFNode):
        def integral(self, inputs):
            self.mem = self.mem + 2 * inputs

    x = torch.rand(6, 5)
    fast, slow = multi_step_node(Mine)(step=3, layer_by_layer=True), Mine(step=3)
    assert torch.equal(fast(x), torch.cat([slow(step) for step in x.split(2)]))
