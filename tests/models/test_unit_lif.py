"""LIF in the forms of TET, NDA and SpikingJelly: the kernels and the walking node, against each other and the
published code's numbers."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models.fused_bn_neuron import neuron_of
from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.nodes.lif import UnitLIFNode
from braincog_tmkt.models.norms.shared import SharedBatchNorm2d
from braincog_tmkt.models.norms.step import StepBatchNorm2d
from braincog_tmkt.models.parts import surrogate_class
from braincog_tmkt.models.spikes import levels_of

from ..golden.published import published
from ..golden.vectors import direction
from .test_fused_bn_neuron import KERNEL_SURROGATES

NDA = {"threshold": 0.5, "decay": 0.25, "inclusive": True}
SJ = {"decay_input": True, "inclusive": True}
SWITCHES = ("inclusive", "soft_reset", "detach_reset", "decay_input", "mem_detach", "learn_decay")
PUBLISHED = [
    ("tet", "lif/default", "QGateGrad", 1.0, {}),
    ("tet", "lif/half", "QGateGrad", 2.0, {"threshold": 0.5, "decay": 0.25}),
    ("tet", "lif/wide", "QGateGrad", 0.5, {}),
    ("nda", "lif", "BackEIGateGrad", 1.0, NDA),
    ("tcja", "sj_lif", "AtanGrad", 2.0, SJ),
]


def make_node(surrogate, alpha, steps, walks, **kwargs):
    act_fun = surrogate_class(surrogate)(alpha=alpha, requires_grad=False)
    node = multi_step_node(UnitLIFNode)(act_fun=act_fun, step=steps, layer_by_layer=True, requires_mem=True, **kwargs)
    node.walks = walks
    assert (neuron_of(node) is None) == walks
    return node


def far(got, expected):
    """The distance of two gradients, relative to the norm."""
    return ((got - expected).norm() / expected.norm().clamp(min=1e-12)).item()


@pytest.mark.parametrize("walks", [False, True])
@pytest.mark.parametrize("variant", ["published", "reset_detached"])
@pytest.mark.parametrize(("source", "case", "surrogate", "alpha", "form"), PUBLISHED)
def test_the_published_nodes(source, case, surrogate, alpha, form, variant, walks):
    vectors, name = published(source), case.split("/")[0]
    detached = variant == "reset_detached" or source == "tcja"
    x, spikes, grad = (
        vectors.input(f"{name}/x"),
        vectors.array(f"{case}/spike"),
        vectors.array(f"{case}/grad" if source == "tcja" else f"{case}/{variant}/grad"),
    )
    along = torch.from_numpy(direction(f"{source}|{name}|a", tuple(x.shape))).float()
    if source != "tcja":  # samples first there
        x, spikes, grad, along = (part.transpose(0, 1) for part in (x, spikes, grad, along))
    x = x.contiguous().requires_grad_()
    node = make_node(surrogate, alpha, len(x), walks, detach_reset=detached, **form)
    got = node(x.flatten(0, 1)).view(x.shape)
    assert torch.equal(got, spikes.float())
    (got * along).sum().backward()
    assert far(x.grad, grad) < 2e-4


def balanced(steps, rows, channels, seed):
    """Currents of -1 and 1, as many of each a step and channel: mean 0 and variance 1 in any arithmetic."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(steps, rows, channels, 4, 3, generator=generator).transpose(1, 2).flatten(2).argsort(-1)
    signs = (order % 2 * 2.0 - 1).view(steps, channels, rows, 4, 3)
    return signs.transpose(1, 2).flatten(0, 1).contiguous()


@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    decay=st.sampled_from([0.0, 0.25, 0.5, 0.875, 1.0]),
    threshold=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    switches=st.fixed_dictionaries({name: st.booleans() for name in SWITCHES}),
    surrogate=st.sampled_from(KERNEL_SURROGATES),
    norm=st.sampled_from([None, StepBatchNorm2d, SharedBatchNorm2d]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    loss=st.sampled_from([(1, 0), (0, 1), (1, 1)]),
    seed=st.integers(0, 1000),
)
def test_the_kernels_are_the_walking_node(decay, threshold, switches, surrogate, norm, dtype, loss, seed):
    """Every number up to the spikes is a multiple of a small power of 2, so potentials often equal the threshold."""
    torch.manual_seed(seed)
    switches["decay_input"] &= decay < 1
    switches["learn_decay"] &= switches["decay_input"] and decay > 0
    steps, channels = 4, 5
    currents = balanced(steps, 2, channels, seed)
    if norm is None:
        currents = currents * torch.randint(1, 5, currents.shape) / 4
    weight, of_membranes = torch.randn_like(currents), torch.randn_like(currents)
    results = []
    for walks in (False, True):
        x, own = currents.to(dtype).requires_grad_(), None
        node = make_node(surrogate, 1.0, steps, walks, threshold=threshold, decay=decay, **switches)
        if norm is not None:
            own = norm(channels, eps=1e-12)  # 1 / sqrt(1 + eps) is 1 in float32
            own.steps = steps
            with torch.no_grad():
                own.weight.copy_(torch.arange(1, channels + 1) / 4)
                own.bias.copy_(torch.arange(channels) / 4)
        spikes = node(x, own)
        membranes = torch.cat(node.mem_collect)
        assert membranes.dtype == torch.float32
        (loss[0] * (spikes.float() * weight).sum() + loss[1] * (membranes * of_membranes).sum()).backward()
        assert walks or levels_of(spikes) == 1
        learnt = [] if own is None else [parameter.grad for parameter in own.parameters()]
        learnt += [node.w.grad] if switches["learn_decay"] else []
        results.append((spikes.float(), membranes, x.grad.float(), *learnt))
    (spikes, membranes, *grads), (expected, expected_membranes, *expected_grads) = results
    assert torch.equal(spikes, expected)
    assert torch.equal(membranes, expected_membranes)
    for ours, theirs in zip(grads, expected_grads, strict=True):
        assert far(ours, theirs) < (2e-4 if dtype == torch.float32 else 2e-2)


@pytest.mark.parametrize("decay_input", [False, True])
def test_membranes_are_the_walking_nodes_to_the_last_bit_for_every_decay(decay_input):
    x = torch.randn(5 * 40, 30)
    nodes = [make_node("QGateGrad", 1.0, 5, walks, decay=0.3, decay_input=decay_input) for walks in (False, True)]
    spikes = [node(x) for node in nodes]
    assert torch.equal(*spikes)
    assert torch.equal(*(torch.stack(node.mem_collect) for node in nodes))


def test_what_the_kernels_do_not_know_walks():
    for changes in ({"requires_thres_grad": True}, {"act_fun": "SigmoidGrad"}):
        assert neuron_of(multi_step_node(UnitLIFNode)(step=2, layer_by_layer=True, **changes)) is None


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"decay": 1.01}, "from 0 to 1, not 1.01"),
        ({"decay": 1.0, "decay_input": True}, "the current would count nothing"),
    ],
)
def test_a_decay_that_makes_no_neuron_is_refused(how, words):
    with pytest.raises(RecipeError, match=words):
        UnitLIFNode(**how)
