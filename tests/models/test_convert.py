"""QCFS against its formula, conversion against the theory, the one-stream networks against BrainCog's own."""

from functools import partial

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import braincog_tmkt  # noqa: F401  registers the backbones
from braincog_tmkt.bridge import brain_cog_module
from braincog_tmkt.engine.task import build_method
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.convert import convert
from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.nodes.qcfs import QCFSNode, qcfs
from braincog_tmkt.models.parts import node_class, surrogate_class
from braincog_tmkt.recipe import recipe_from_dict

VGG_SNN = brain_cog_module("model_zoo.vgg_snn").VGG_SNN
RESNET19 = brain_cog_module("model_zoo.resnet19_snn")
ThresholdDependentBatchNorm2d = brain_cog_module("base.connection.layer").ThresholdDependentBatchNorm2d

NAMES = ("hsd_vggsnn", "hsd_resnet18", "hsd_resnet19", "tmkt_vggsnn", "tmkt_resnet18", "tmkt_scnn")


def small(name, steps=1, **kwargs):
    torch.manual_seed(0)
    size = 28 if name == "tmkt_scnn" else 16
    ann = {} if name.startswith("hsd") else {"node_type": "QCFSNode", "threshold": 8.0}
    return build_backbone(name, 5, steps, size, **{"width": 0.0625, **ann, **kwargs})


def trained(net, levels=4):
    """The network in evaluation, with thresholds and running statistics that leave no layer silent."""
    generator = torch.Generator().manual_seed(1)
    for node in net.nodes:
        node.threshold.data.fill_(1 + float(torch.rand((), generator=generator)))
        node.levels = levels
    with torch.no_grad():
        for _ in range(20):
            net.train().event_logits(pictures(net, 8, seed=2))
    return net.eval()


def pictures(net, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.rand(batch, net.step, net.in_chans, net.img_size, net.img_size, generator=generator)


@settings(max_examples=60, deadline=None)
@given(
    currents=st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=20),
    threshold=st.floats(0.125, 16, width=32),
    levels=st.integers(1, 32),
)
def test_the_activation_is_the_formula(currents, threshold, levels):
    z = np.array(currents, np.float32)
    expected = threshold * np.clip(np.floor(z / np.float32(threshold) * levels + 0.5) / levels, 0, 1)
    away = np.abs(z / threshold * levels + 0.5 - np.round(z / threshold * levels + 0.5)) > 1e-4
    got = qcfs(torch.from_numpy(z), torch.tensor(threshold), levels).numpy()
    np.testing.assert_allclose(got[away], expected[away], rtol=1e-6, atol=1e-6)


def test_the_gradients_are_those_of_a_floor_that_is_passed_straight_through():
    def slowly(z, threshold):
        share = (z / threshold).clamp(0, 1)
        level = torch.floor(share * 4 + 0.5) / 4
        return (share + (level - share).detach()) * threshold

    z = torch.linspace(-2, 5, 71) + 0.01
    found = []
    for function in (lambda z, theta: qcfs(z, theta, 4), slowly):
        current, theta = z.clone().requires_grad_(), torch.tensor(2.3, requires_grad=True)
        (function(current, theta) * torch.linspace(1, 2, 71)).sum().backward()
        found.append((current.grad, theta.grad))
    torch.testing.assert_close(found[0], found[1])


@settings(max_examples=25, deadline=None)
@given(levels=st.integers(1, 12), threshold=st.floats(0.25, 8, width=32), seed=st.integers(0, 999))
def test_a_layer_that_sees_a_constant_current_counts_to_the_activation(levels, threshold, seed):
    z = threshold * (3 * torch.rand(4, 6, 5, 5, generator=torch.Generator().manual_seed(seed)) - 1)
    ann = QCFSNode(threshold=threshold, levels=levels)
    snn = multi_step_node(node_class("SoftResetIFNode"))(threshold=threshold, step=levels, layer_by_layer=True)
    fired = snn(z.repeat(levels, 1, 1, 1)).unflatten(0, (levels, -1)).mean(0)
    place = z / threshold * levels + 0.5
    away = (place - place.round()).abs() > 1e-4
    torch.testing.assert_close(fired[away], ann(z)[away], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("levels", [2, 4, 8])
def test_every_layer_of_a_converted_network_is_the_ann_s_for_what_it_gets(levels):
    """Layer by layer: each node gets, at every step, the current that the ANN's node got."""
    ann = trained(small("hsd_vggsnn"), levels)
    snn = convert(ann)
    snn.set_steps(levels)
    seen = {}
    hooks = [
        node.register_forward_hook(lambda node, got, out, i=i: seen.update({i: (got[0].detach(), out.detach())}))
        for i, node in enumerate(ann.nodes)
    ]
    ann.event_logits(pictures(ann))
    for hook in hooks:
        hook.remove()
    for i, node in enumerate(snn.nodes):
        current, wanted = seen[i]
        node.n_reset()
        fired = node(current.repeat(levels, 1, 1, 1)).unflatten(0, (levels, -1)).mean(0)
        place = current / node.threshold * levels + 0.5
        away = (place - place.round()).abs() > 1e-3
        torch.testing.assert_close(fired[away], wanted[away], rtol=1e-4, atol=1e-4)
        assert wanted.unique().numel() > 1, "a silent layer proves nothing"


@pytest.mark.parametrize("name", NAMES)
def test_with_many_steps_a_converted_network_is_the_ann_without_rounding(name):
    """In the limit the neurons' rates are clipped currents, which an activation of very many levels is, too."""
    ann = trained(small(name))
    for node in ann.nodes:
        node.levels = 10**5
    x = pictures(ann, batch=4)
    wanted = ann.event_logits(x)[0].detach()
    errors = []
    for steps in (1, 8, 64, 512):
        snn = convert(ann)
        snn.set_steps(steps)
        errors.append(float((snn.event_logits(x).mean(0) - wanted).detach().norm() / wanted.norm()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.05, errors


def test_conversion_leaves_the_ann_alone_and_shares_nothing():
    ann = small("hsd_vggsnn", steps=3)
    before = {key: value.clone() for key, value in ann.state_dict().items()}
    snn = convert(ann)
    for parameter in snn.parameters():
        parameter.data.add_(1)
    assert all(torch.equal(value, before[key]) for key, value in ann.state_dict().items())
    assert {type(node).__name__ for node in ann.nodes} == {"MultiStepQCFSNode"}
    assert not {id(module) for module in ann.modules()} & {id(module) for module in snn.modules()}
    assert not [name for name, p in snn.named_parameters() if p.requires_grad and "threshold" in name]


def test_the_nodes_of_a_step_by_step_network_are_converted_too():
    ann = trained(small("tmkt_vggsnn", steps=4, execution="step"))
    fast = trained(small("tmkt_vggsnn", steps=4))
    fast.load_state_dict(ann.state_dict())
    x = pictures(ann)
    torch.testing.assert_close(convert(fast).event_logits(x), convert(ann).event_logits(x), rtol=1e-4, atol=1e-4)


def test_a_threshold_that_went_below_zero_cannot_be_converted():
    ann = small("hsd_vggsnn")
    ann.nodes[2].threshold.data.fill_(-0.5)
    with pytest.raises(RecipeError, match=r"'feature\.3\.node' is -0\.5, but it must be above 0"):
        convert(ann)


LIF = {
    "node_type": node_class("LIFNode"),
    "act_fun": surrogate_class("QGateGrad"),
    "threshold": 0.5,
    "tau": 2.0,
    "layer_by_layer": True,
    "step": 3,
}
"""BrainCog's keywords for three steps of its LIF nodes, all at once."""


@pytest.mark.parametrize("training", [True, False])
def test_vgg_snn_is_brain_cog_s_in_layer_by_layer(training):
    theirs = VGG_SNN(num_classes=10, dataset="dvsc10", **LIF)
    ours = timm.create_model("hsd_vggsnn", step=3, node_type="LIFNode")
    renamed = {key.replace("fc.1.", "dvs_fc.1."): value for key, value in theirs.state_dict().items()}
    ours.load_state_dict(renamed)
    compare(theirs.train(training), ours.train(training), torch.rand(2, 3, 2, 48, 48) * 3)


@pytest.mark.parametrize("training", [True, False])
def test_resnet19_is_brain_cog_s(training):
    norm = partial(ThresholdDependentBatchNorm2d, layer_by_layer=True, threshold=0.5)
    theirs = RESNET19.ResNet(RESNET19.BasicBlock, [3, 3, 2], num_classes=10, norm_layer=norm, dataset="cifar10", **LIF)
    ours = timm.create_model("hsd_resnet19", step=3, node_type="LIFNode", in_chans=3)
    weights = theirs.state_dict()
    torch.testing.assert_close(ours.bn1.weight, theirs.bn1.weight)  # tdBN's initial weight
    torch.testing.assert_close(ours.layer1[0].bn1.weight, theirs.layer1[0].bn1.weight)
    ours.load_state_dict(weights)
    compare(theirs.train(training), ours.train(training), torch.rand(2, 3, 3, 16, 16))


def compare(theirs, ours, x):
    wanted, got = theirs(x), ours(x)
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)
    wanted.square().sum().backward()
    got.square().sum().backward()
    for (key, one), other in zip(theirs.named_buffers(), ours.buffers(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5, msg=key)
    stem = (theirs.feature[0].conv if hasattr(theirs, "feature") else theirs.conv1).weight.grad
    torch.testing.assert_close(ours.stem.weight.grad, stem, rtol=1e-2, atol=1e-3 * float(stem.abs().max()))


def test_what_one_stream_cannot_do_is_refused():
    with pytest.raises(RecipeError, match="execution must be multi_step, not 'step'"):
        timm.create_model("hsd_vggsnn", execution="step")
    net = small("hsd_vggsnn", steps=2)
    assert not hasattr(net, "streams")
    recipe = {
        "name": "mine",
        "data": {"name": "digits"},
        "method": {"name": "tmkt", "mix_ratio": 0.4},
        "model": {"name": "hsd_vggsnn", "width": 0.1},
    }
    with pytest.raises(RecipeError, match="'hsd_vggsnn' cannot transfer from images as method 'tmkt' does"):
        build_method(recipe_from_dict(recipe), 3, seed=0)
    with pytest.raises(RecipeError, match="did you mean 'hsd_resnet19'"):
        build_backbone("hsd_resnet29", 10, 1, 32)


def test_fewer_steps_see_what_the_first_of_many_saw():
    snn = convert(trained(small("hsd_vggsnn", steps=6)))
    x = pictures(snn)
    every = snn.event_logits(x)
    snn.set_steps(2)
    torch.testing.assert_close(snn.event_logits(x[:, :2]), every[:2], rtol=1e-5, atol=1e-5)


def test_one_frame_is_shown_at_all_steps():
    snn = convert(trained(small("hsd_resnet19", in_chans=3)))
    snn.set_steps(4)
    x = pictures(snn)[:, :1]
    torch.testing.assert_close(snn.event_logits(x), snn.event_logits(x.repeat(1, 4, 1, 1, 1)), rtol=1e-4, atol=1e-5)
