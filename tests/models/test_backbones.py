"""The backbones against BrainCog's own networks, and step mode against multi-step."""

import copy
import subprocess
import sys

import pytest
import timm
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import braincog_tmkt  # noqa: F401  registers the backbones
from braincog_tmkt.bridge import BaseNode, brain_cog_module
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.parts import node_class, surrogate_class

VGG_SNN = brain_cog_module("model_zoo.vgg_snn").VGG_SNN
BasicBlock, ResNet = (getattr(brain_cog_module("model_zoo.resnet"), name) for name in ("BasicBlock", "ResNet"))
TetLoss = brain_cog_module("base.utils.criterions").TetLoss

NAMES = ("tmkt_vggsnn", "tmkt_resnet18", "tmkt_scnn")
NODES = ("LIFNode", "IFNode", "PLIFNode")


def small(name, execution="multi_step", steps=3, size=16, **kwargs):
    torch.manual_seed(0)
    size = size + 12 if name == "tmkt_scnn" else size
    return build_backbone(name, 5, steps, size, **{"width": 0.125, "execution": execution, **kwargs})


def frames(net, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.rand(batch, net.step, 2, net.img_size, net.img_size, generator=generator)


def test_parameter_numbers_are_those_of_the_reference():
    expected = {
        ("tmkt_vggsnn", 101, 10): (10_153_700, 10_153_684),
        ("tmkt_resnet18", 20, 6): (11_187_924, 11_187_886),
        ("tmkt_scnn", 1623, 12): (696_591, 696_585),
    }
    for (name, classes, steps), counts in expected.items():
        net = timm.create_model(name, num_classes=classes, step=steps)
        got = sum(p.numel() for p in net.parameters()), sum(p.numel() for p in net.parameters() if p.requires_grad)
        assert got == counts, name


@settings(max_examples=24, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(NAMES),
    node=st.sampled_from(NODES),
    surrogate=st.sampled_from(["QGateGrad", "AtanGrad", "BackEIGateGrad", "SigmoidGrad"]),
    steps=st.integers(1, 5),
    batch=st.integers(2, 4),
    width=st.sampled_from([0.0625, 0.125, 0.25]),
    size=st.sampled_from([16, 32]),
    tau=st.sampled_from([2.0, 3.0]),
    shared=st.booleans(),
    recompute=st.booleans(),
    training=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_multi_step_gives_the_numbers_of_step_mode(
    name, node, surrogate, steps, batch, width, size, tau, shared, recompute, training, seed
):
    settings_ = {"node_type": node, "act_fun": surrogate, "width": width, "tau": tau, "size": size}
    reference = small(name, "step", steps, **settings_).train(training)
    fast = small(name, "multi_step", steps, recompute=recompute, **settings_).train(training)
    fast.load_state_dict(reference.state_dict())
    mixed, events = frames(reference, batch, seed), frames(reference, batch, seed + 1)
    given_ = (mixed, events)
    if shared:
        generator = torch.Generator().manual_seed(seed)
        given_ = (mixed[:, 0], events, torch.rand(batch, steps, generator=generator) < 0.5)
    for net in (reference, fast):
        outputs = net.streams(*given_)
        net.seen = [part.detach() for stream in outputs for part in stream]
        sum(part.square().sum() for stream in outputs for part in stream).backward()
    for slow_part, fast_part in zip(reference.seen, fast.seen, strict=True):
        torch.testing.assert_close(fast_part, slow_part, rtol=1e-5, atol=1e-5)
    gradients = dict(reference.named_parameters())
    for key, parameter in fast.named_parameters():
        if parameter.grad is not None:
            scale = gradients[key].grad.abs().max().item() + 1e-6
            torch.testing.assert_close(parameter.grad, gradients[key].grad, rtol=1e-3, atol=1e-4 * scale, msg=key)
    buffers = dict(reference.named_buffers())
    for key, value in fast.named_buffers():
        torch.testing.assert_close(value, buffers[key], rtol=1e-5, atol=1e-6, msg=key)


@pytest.mark.parametrize("execution", ["step", "multi_step"])
def test_vggsnn_has_brain_cogs_own_layers(execution):
    ours = timm.create_model("tmkt_vggsnn", num_classes=10, step=2, execution=execution).eval()
    keywords = {"node_type": node_class("LIFNode"), "act_fun": surrogate_class("QGateGrad"), "dataset": "dvsc10"}
    theirs = VGG_SNN(num_classes=10, step=2, threshold=0.5, tau=2.0, **keywords).eval()
    theirs.feature.load_state_dict(ours.feature.state_dict())
    theirs.fc.load_state_dict(ours.dvs_fc.state_dict())
    events = 3 * torch.rand(2, 2, 2, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours(events), theirs(events))


def test_resnet18_is_brain_cogs_resnet():
    ours = small("tmkt_resnet18").eval()
    keywords = {"node_type": node_class("LIFNode"), "act_fun": surrogate_class("QGateGrad"), "dataset": "dvsc10"}
    theirs = ResNet(BasicBlock, [2, 2, 2, 2], inplanes=8, num_classes=5, step=3, threshold=0.5, tau=2.0, **keywords)
    state = {key.replace("dvs_fc", "fc"): value for key, value in ours.state_dict().items()}
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert not missing
    assert {key.split(".")[0] for key in unexpected} == {"coefficient", "rgb_fc"}
    with torch.no_grad():
        torch.testing.assert_close(ours(frames(ours)), theirs.eval()(frames(ours)))


@pytest.mark.parametrize("name", NAMES)
def test_the_two_streams_use_their_own_heads(name):
    net = small(name).eval()
    events = frames(net)
    with torch.no_grad():
        mixed_out, events_out = net.streams(events, events)
        torch.testing.assert_close(net.event_logits(events), events_out.logits)
        same = torch.equal(mixed_out.logits, events_out.logits)
    assert same == (name == "tmkt_scnn")  # the reference's SCNN has one output layer for both
    torch.testing.assert_close(mixed_out.features, events_out.features)


@pytest.mark.parametrize("execution", ["step", "multi_step"])
@pytest.mark.parametrize("name", NAMES)
def test_no_state_and_no_graph_is_left_behind(name, execution):
    net = small(name, execution)
    first = net.eval()(frames(net))
    net.train().streams(frames(net, seed=5), frames(net, seed=6))
    for node in net.nodes:
        assert not torch.is_tensor(node.mem)
        assert not node.mem_collect
    torch.testing.assert_close(small(name, execution).eval()(frames(net)), first)


def test_brain_cogs_traces_still_work_after_the_forward():
    net = small("tmkt_scnn").eval()
    net.set_requires_fp(True)
    net(frames(net))
    assert len(net.get_fp()) == 3
    assert 0 < float(net.get_fire_rate().mean()) < 1
    assert net.get_tot_spike().item() > 0


def test_every_plain_brain_cog_node_can_be_used():
    events = frames(small("tmkt_scnn"))
    plain = ("LIFNode", "IFNode", "PLIFNode", "BurstLIFNode", "BiasLIFNode", "HTDGLIFNode", "IzhNode", "ReLUNode")
    for node in plain:
        surrogate = "RoundGrad" if node == "BurstLIFNode" else "AtanGrad"
        logits = [
            small("tmkt_scnn", execution, node_type=node, act_fun=surrogate).eval()(events)
            for execution in ("step", "multi_step")
        ]
        torch.testing.assert_close(logits[0], logits[1])


def test_a_model_can_be_copied_and_pickled(tmp_path):
    net = small("tmkt_vggsnn").eval()
    torch.save(net.state_dict(), tmp_path / "state.pt")
    clone = copy.deepcopy(net)
    clone.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    torch.testing.assert_close(clone(frames(net)), net(frames(net)))
    assert clone.nodes[0] is not net.nodes[0]
    assert isinstance(clone.nodes[0], BaseNode)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"node_type": "LIFnode"}, "did you mean 'LIFNode'"),
        ({"act_fun": "QGate"}, "QGateGrad"),
        ({"execution": "fast"}, "multi_step"),
        ({"temporal_flatten": True}, "temporal_flatten=False only"),
    ],
)
def test_wrong_keywords_are_explained(keywords, words):
    with pytest.raises(RecipeError, match=words):
        small("tmkt_scnn", **{"execution": "step", **keywords})


def test_unknown_backbones_and_wrong_step_numbers_are_explained():
    with pytest.raises(RecipeError, match="tmkt_vggsnn"):
        build_backbone("tmkt_vgg", 5, 3, 16)
    net = small("tmkt_scnn")
    with pytest.raises(RecipeError, match="runs for 3 time steps, the frames have 4"):
        net(torch.zeros(1, 4, 2, 28, 28))


def test_importing_the_package_is_quiet_and_does_not_import_brain_cog():
    code = (
        "import warnings; warnings.simplefilter('error', UserWarning)\n"
        "import braincog_tmkt, sys, timm\n"
        "assert not any(name.startswith(('braincog.', 'lightning', 'tonic', 'sklearn')) for name in sys.modules)\n"
        "assert set(timm.list_models('tmkt_*')) == {'tmkt_resnet18', 'tmkt_scnn', 'tmkt_vggsnn'}\n"
        "timm.create_model('tmkt_scnn', num_classes=3, step=2)\n"
        "assert 'braincog.model_zoo.resnet' in sys.modules\n"
    )
    options = ["-W", "ignore::FutureWarning"]  # timm 0.6 uses torch.jit.script, which new PyTorch warns of
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
