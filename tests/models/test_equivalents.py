"""The tables of docs/reference/equivalents.md: our neurons, surrogates and losses are BrainCog's,
SpikingJelly's and snnTorch's, by these keywords. Each neuron is also compared with its equations."""

import math

import pytest
import torch

from braincog_tmkt.losses import tet
from braincog_tmkt.losses.mse_rate import RateMSE
from braincog_tmkt.models.fused_bn_neuron import neuron_of
from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.nodes.lif import UnitLIFNode
from braincog_tmkt.models.parts import node_class, surrogate_class
from braincog_tmkt.models.surrogates.dspike import Dspike

ROWS = {
    "IF": ({"decay": 1.0}, "IFNode", {}),
    "LIF": ({"decay": 0.75, "decay_input": True}, "LIFNode", {"tau": 4.0}),
    "LIF, current in full": ({"decay": 0.75}, "LIFNode", {"tau": 4.0, "decay_input": False}),
    "PLIF": ({"decay": 0.5, "decay_input": True, "learn_decay": True}, "ParametricLIFNode", {"init_tau": 2.0}),
}
"""Name of a row -> keywords of `UnitLIFNode`; class and keywords of SpikingJelly's."""

RESETS = [(soft, detached) for soft in (False, True) for detached in (False, True)]


def currents(highest=3.0):
    """Multiples of 1/8, so that potentials are exact and often equal the threshold."""
    return (torch.randint(-8, int(8 * highest), (6, 4, 50)) / 8).requires_grad_()


def assert_same(x, got, expected, of_membranes=True):
    """Spikes and membranes to the last bit, and gradients of both: for the currents, and for what is learnt."""
    generator, grads = torch.Generator().manual_seed(1), []
    weights = torch.randn(2, *x.shape, generator=generator)
    for spikes, membranes, learnt in (got, expected):
        total = (spikes * weights[0]).sum() + of_membranes * (membranes * weights[1]).sum()
        grads.append(torch.autograd.grad(total, [x, *learnt], retain_graph=True))
    assert torch.equal(got[0], expected[0])
    assert torch.equal(got[1], expected[1])
    assert got[0].unique().tolist() == [0, 1]
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-5)


def ours(x, walks=False, **how):
    """`UnitLIFNode` in the kernels, or as it walks."""
    act_fun = surrogate_class("AtanGrad")(alpha=2.0, requires_grad=False)
    node = multi_step_node(UnitLIFNode)(act_fun=act_fun, step=len(x), layer_by_layer=True, requires_mem=True, **how)
    node.walks = walks
    assert (neuron_of(node) is None) == walks
    spikes = node(x.flatten(0, 1)).view(x.shape)
    return spikes, torch.stack(node.mem_collect).view(x.shape), [node.w] if node.learn_decay else []


def one_by_one(x, node):
    """Spikes and membranes of a node that sees one step at a time."""
    spikes, membranes = [], []
    for current in x:
        spikes.append(node(current))
        membranes.append(node.mem)
    return torch.stack(spikes), torch.stack(membranes)


def equations(x, threshold, inclusive, soft_reset, detach_reset, decay, decay_input=False, learn_decay=False):
    w = torch.tensor(math.log((1 - decay) / decay) if learn_decay else 0.0, requires_grad=True)
    left = 1 - w.sigmoid() if learn_decay else decay
    m, spikes, membranes = torch.zeros_like(x[0]), [], []
    for current in x:
        v = left * m + (1 - left if decay_input else 1) * current
        smooth = (math.pi * (v - threshold)).atan() / math.pi
        spike = (v >= threshold if inclusive else v > threshold).float() + (smooth - smooth.detach())
        fired = spike.detach() if detach_reset else spike
        m = v - threshold * fired if soft_reset else v * (1 - fired)
        spikes.append(spike)
        membranes.append(m)
    return torch.stack(spikes), torch.stack(membranes), [w] if learn_decay else []


@pytest.mark.parametrize(("soft", "detached"), RESETS)
@pytest.mark.parametrize("row", ROWS)
def test_a_neuron_is_its_equations(row, soft, detached):
    x = currents()
    for inclusive in (False, True):
        how = {"threshold": 0.5, "soft_reset": soft, "detach_reset": detached, "inclusive": inclusive, **ROWS[row][0]}
        expected = equations(x, **how)
        for walks in (False, True):
            assert_same(x, ours(x, walks, **how), expected)


@pytest.mark.parametrize(("soft", "detached"), RESETS)
@pytest.mark.parametrize("row", ROWS)
def test_a_neuron_is_spikingjellys(row, soft, detached):
    keywords, name, theirs = ROWS[row]
    neurons = pytest.importorskip("spikingjelly.activation_based.neuron")
    surrogates = pytest.importorskip("spikingjelly.activation_based.surrogate")
    node = getattr(neurons, name)(
        **theirs,
        v_threshold=0.5,
        v_reset=None if soft else 0.0,
        detach_reset=detached,
        surrogate_function=surrogates.ATan(2.0),
        step_mode="m",
        store_v_seq=True,
    )
    x = currents()
    spikes = node(x)
    got = ours(x, threshold=0.5, soft_reset=soft, detach_reset=detached, inclusive=True, **keywords)
    assert_same(x, got, (spikes, node.v_seq, [*node.parameters()]))


@pytest.mark.parametrize(("row", "name"), [("IF", "IFNode"), ("LIF", "LIFNode"), ("PLIF", "PLIFNode")])
def test_a_neuron_is_brain_cogs(row, name):
    x, keywords = currents(), ROWS[row][0]
    tau = 1 / (1 - keywords["decay"] % 1)
    node = node_class(name)(threshold=1.0, tau=tau, act_fun=surrogate_class("AtanGrad"))
    expected = *one_by_one(x, node), [node.w] if row == "PLIF" else []
    assert_same(x, ours(x, detach_reset=True, **keywords), expected)


SNNTORCH = [
    ({"beta": 1.0, "reset_mechanism": "zero"}, {"decay": 1.0, "detach_reset": True}),
    ({"beta": 0.75, "reset_mechanism": "zero"}, {"decay": 0.75, "decay_input": True, "detach_reset": True}),
    ({"beta": 0.75, "reset_mechanism": "zero"}, {"decay": 0.75, "detach_reset": True}),
    ({"beta": 0.75, "reset_mechanism": "zero", "reset_delay": False}, {"decay": 0.75}),
    ({"beta": 1.0, "reset_mechanism": "subtract"}, {"decay": 1.0, "soft_reset": True, "detach_reset": True}),
    ({"beta": 0.75, "reset_mechanism": "subtract", "reset_delay": False}, {"decay": 0.75, "soft_reset": True}),
]
"""Keywords of `snn.Leaky` and of `UnitLIFNode`."""


def leaky(x, **keywords):
    """Spikes of `snn.Leaky`, and what it returns with them."""
    snn = pytest.importorskip("snntorch")
    return one_by_one(x, snn.Leaky(spike_grad=snn.surrogate.atan(alpha=2.0), init_hidden=True, **keywords))


@pytest.mark.parametrize(("keywords", "how"), SNNTORCH)
def test_a_neuron_is_snntorchs(keywords, how):
    delay = keywords.get("reset_delay", True)
    x = currents(
        highest=3.0 if delay else 1.125
    )  # without a delay, no membrane may be above the threshold after a reset
    given = x * (1 - how["decay"]) if how.get("decay_input") else x
    got = *leaky(given, **keywords), []
    spikes, membranes, _ = ours(x, **how)
    if delay:  # it resets at the next step, and returns the potential of this one
        membranes = how["decay"] * torch.cat([torch.zeros_like(x[:1]), membranes[:-1]]) + given
    assert_same(x, got, (spikes, membranes, []), of_membranes=not delay)


def test_snntorchs_own_soft_reset_is_not_ours_where_the_membrane_leaks():
    """It subtracts a step later, after the leak, so that the whole threshold is missing and not what is left of it."""
    x = currents()
    spikes, membranes = leaky(x, beta=0.5, reset_mechanism="subtract")
    before = torch.cat([torch.zeros_like(x[:1]), membranes[:-1]])
    assert torch.equal(membranes, 0.5 * before + x - (before > 1).float())
    assert not torch.equal(spikes, ours(x, decay=0.5, soft_reset=True)[0])


def slopes(function):
    x = torch.linspace(-2, 2, 257).requires_grad_()
    function(x).sum().backward()
    return x.grad


def brain_cogs(alpha):
    made = {name: surrogate_class(name) for name in ("AtanGrad", "SigmoidGrad", "QGateGrad", "GateGrad")}
    return {name: slopes(kind(alpha=alpha, requires_grad=False)) for name, kind in made.items()}


ALPHAS = pytest.mark.parametrize("alpha", [1.0, 2.0, 5.0])


@ALPHAS
def test_surrogates_are_their_formulas(alpha):
    x = torch.linspace(-2, 2, 257)
    part = (-alpha * x.abs()).exp()
    formulas = {
        "AtanGrad": alpha / 2 / (1 + (math.pi / 2 * alpha * x).square()),
        "SigmoidGrad": alpha * part / (1 + part).square(),
        "QGateGrad": (alpha - alpha**2 * x.abs()).relu(),
        "GateGrad": (x.abs() < 1 / alpha).float(),
    }
    torch.testing.assert_close(brain_cogs(alpha), formulas, rtol=1e-5, atol=1e-6)


@ALPHAS
def test_surrogates_are_spikingjellys(alpha):
    theirs, same = pytest.importorskip("spikingjelly.activation_based.surrogate"), brain_cogs(alpha)
    made = {"AtanGrad": theirs.ATan, "SigmoidGrad": theirs.Sigmoid, "QGateGrad": theirs.PiecewiseQuadratic}
    for name, kind in made.items():
        torch.testing.assert_close(same[name], slopes(kind(alpha)), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(same["GateGrad"] * alpha / 2, slopes(theirs.Rect(alpha / 2)))
    spike_dhs = pytest.importorskip("spikingjelly.activation_based.model.spike_dhs")
    torch.testing.assert_close(slopes(Dspike(alpha)), slopes(spike_dhs.DSpike(alpha)), rtol=1e-5, atol=1e-6)


@ALPHAS
def test_surrogates_are_snntorchs(alpha):
    theirs = pytest.importorskip("snntorch").surrogate
    for name, kind in {"AtanGrad": theirs.atan, "SigmoidGrad": theirs.sigmoid}.items():
        torch.testing.assert_close(brain_cogs(alpha)[name], slopes(kind(alpha)), rtol=1e-5, atol=1e-6)


def test_the_rectangle_of_stbp_has_two_names():
    gate, back = (surrogate_class(name)(alpha=2.0, requires_grad=False) for name in ("GateGrad", "BackEIGateGrad"))
    assert torch.equal(slopes(gate), slopes(back))
    assert torch.equal(slopes(gate), (torch.linspace(-2, 2, 257).abs() < 0.5).float())


def test_losses_are_spikingjellys():
    logits, label = torch.rand(4, 6, 10), torch.arange(6)
    functions = pytest.importorskip("spikingjelly.activation_based.functional")
    torch.testing.assert_close(tet(logits, label), functions.temporal_efficient_training_cross_entropy(logits, label))


def test_losses_are_snntorchs():
    logits, label = torch.rand(4, 6, 10), torch.arange(6)
    squared = RateMSE()(logits, label, 0.0)["loss"]
    snn = pytest.importorskip("snntorch.functional")
    torch.testing.assert_close(tet(logits, label), snn.ce_rate_loss()(logits, label).squeeze())
    torch.testing.assert_close(
        4 * squared, snn.mse_count_loss(correct_rate=1, incorrect_rate=0)(logits, label).squeeze()
    )
