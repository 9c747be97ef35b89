"""Norms, taps, nodes and surrogates of one's own, keywords: against torch, BrainCog's modules and closed formulas."""

import sys

import pytest
import torch
from torch import nn

from braincog_tmkt.bridge import BaseNode, brain_cog_module
from braincog_tmkt.engine.task import build_method
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.norms.estimate import estimate_statistics
from braincog_tmkt.models.parts import node_class, norm_class
from braincog_tmkt.recipe import recipe_from_dict

ThresholdDependentBatchNorm2d = brain_cog_module("base.connection.layer").ThresholdDependentBatchNorm2d

EXECUTIONS = ("step", "multi_step")
STEPS = 3


def small(name="tmkt_vggsnn", **kwargs):
    torch.manual_seed(0)
    size = kwargs.pop("img_size", 28 if "scnn" in name else 16)
    return build_backbone(name, 5, STEPS, size, **{"width": 0.125, **kwargs})


def frames(batch=4, seed=0, size=(16, 16), scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    rates = torch.arange(1, STEPS + 1).view(1, STEPS, 1, 1, 1)  # the steps differ
    return scale * rates * torch.rand(batch, STEPS, 2, *size, generator=generator)


def flat(shape=(STEPS, 2, 4, 5, 6, 7)):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return x * torch.arange(1, shape[0] + 1).view(-1, *[1] * (len(shape) - 1)) + torch.arange(shape[0]).view(
        -1, *[1] * (len(shape) - 1)
    )


@pytest.mark.parametrize("norm", ["shared", "tdbn"])
def test_shared_norms_are_torchs_on_all_steps_of_each_stream(norm):
    x = flat()
    ours, theirs = norm_class(norm)(5), nn.BatchNorm2d(5)
    ours.steps, ours.streams = x.shape[:2]
    got = ours(x.flatten(0, 2)).view(x.shape)
    for stream in range(2):
        expected = theirs(x[:, stream].flatten(0, 1))
        torch.testing.assert_close(got[:, stream].flatten(0, 1), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-5, atol=1e-6)
    assert ours.num_batches_tracked == 2


def test_tdbn_begins_at_brain_cogs_weight():
    theirs = ThresholdDependentBatchNorm2d(8, alpha=1.0, threshold=0.7)
    net = small("hsd_vggsnn", node_type="LIFNode", threshold=0.7, norm="tdbn")
    assert torch.equal(net.feature[0].bn.weight, theirs.weight)
    assert small("hsd_resnet19").bn1.weight[0].item() == pytest.approx(0.5**0.5)  # QCFS: the threshold counts as 1


@pytest.mark.parametrize("name", ["tmkt_vggsnn", "tmkt_resnet18", "hsd_resnet19"])
def test_without_a_norm_nothing_is_normalised(name):
    net = small(name, norm="none")
    assert not [key for key in net.state_dict() if "running" in key or "bn" in key]
    assert net.event_logits(frames()).shape == (STEPS, 4, 5)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_own_statistics_train_as_step_does_and_evaluate_each_step_with_its_own(execution):
    step, own = (small(norm=norm, execution=execution).train() for norm in ("step", "step_own"))
    for seed in range(2):
        for net in (step, own):
            net.zero_grad()
            outputs = net.streams(frames(seed=seed), frames(seed=9))
            sum(part.square().sum() for output in outputs for part in output).backward()
    for (key, one), other in zip(step.named_parameters(), own.named_parameters(), strict=True):
        assert one.grad is None or torch.equal(one.grad, other[1].grad), key
    state = own.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in step.state_dict().items())
    own.eval()
    step.load_state_dict({key: value for key, value in state.items() if ".step_" not in key})
    step.eval()
    x = frames(seed=3)
    with torch.no_grad(), own.taps("membrane:feature.0.node") as seen:
        own.event_logits(x)
    layer, node = own.feature[0], node_class("LIFNode")()
    membranes = []
    for t in range(STEPS):  # torch's own batch norm with the statistics of the step, BrainCog's own node
        plain = nn.BatchNorm2d(8).eval()
        plain.running_mean, plain.running_var = layer.bn.step_mean[t], layer.bn.step_var[t]
        with torch.no_grad():
            node(plain(layer.conv(x[:, t])))
        membranes.append(node.mem)
    torch.testing.assert_close(seen["membrane:feature.0.node"], torch.stack(membranes), rtol=1e-4, atol=1e-4)
    with step.taps("membrane:feature.0.node") as with_one_set:
        step.event_logits(x)
    assert not torch.allclose(seen["membrane:feature.0.node"], with_one_set["membrane:feature.0.node"], atol=1e-2)


def test_own_statistics_move_with_the_momentum_and_agree_between_executions():
    nets = [small(norm="step_own", execution=execution, momentum=0.3).train() for execution in EXECUTIONS]
    x = frames()
    for net in nets:
        net.event_logits(x)
    with torch.no_grad():
        currents = nets[0].feature[0].conv(x.flatten(0, 1)).unflatten(0, (-1, STEPS))
    expected = 0.3 * currents.mean((0, 3, 4))
    variance = 0.7 + 0.3 * currents.permute(1, 2, 0, 3, 4).flatten(2).var(2)
    for net in nets:
        torch.testing.assert_close(net.feature[0].bn.step_mean, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(net.feature[0].bn.step_var, variance, rtol=1e-4, atol=1e-5)
    one, other = (dict(net.eval().named_buffers()) for net in nets)
    for key, value in one.items():
        torch.testing.assert_close(other[key], value, rtol=1e-4, atol=1e-5)
    outputs = [out for net in nets for out in net.streams(frames(seed=1), x)]
    for slow, fast in zip(outputs[:2], outputs[2:], strict=True):
        torch.testing.assert_close(fast.logits, slow.logits, rtol=1e-4, atol=1e-5)


def test_checkpoints_without_own_statistics_load_and_evaluate_as_step():
    step, own = small(norm="step").train(), small(norm="step_own")
    step.event_logits(frames())
    own.load_state_dict(step.state_dict())
    x = frames(seed=1)
    torch.testing.assert_close(own.eval()(x), step.eval()(x), rtol=1e-4, atol=1e-5)
    own.set_steps(2)
    assert own.event_logits(x[:, :2]).shape[0] == 2
    own.set_steps(4)
    with pytest.raises(RecipeError, match="keeps statistics of 3 steps, but the network runs for 4"):
        own.event_logits(x[:, [0, 1, 2, 2]])


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_statistics_are_estimated_over_batches(execution):
    net = small(norm="step_own", execution=execution).eval()
    weights = [p.clone() for p in net.parameters()]
    batches = [frames(seed=seed) for seed in range(3)]
    estimate_statistics(net, batches)
    with torch.no_grad():
        currents = torch.stack([net.feature[0].conv(x.flatten(0, 1)).unflatten(0, (-1, STEPS)) for x in batches])
    by_step = currents.permute(2, 3, 0, 1, 4, 5).flatten(2)  # [T, C, numbers of all batches]
    norm = net.feature[0].bn
    torch.testing.assert_close(norm.step_mean, by_step.mean(2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.step_var, by_step.var(2), rtol=1e-2, atol=1e-3)
    everything = by_step.transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, everything.mean(1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.running_var, everything.var(1), rtol=1e-2, atol=1e-3)
    assert not net.training
    assert all(torch.equal(one, other) for one, other in zip(weights, net.parameters(), strict=True))


@pytest.mark.parametrize(("norm", "steps", "moves"), [("step", 4, 4), ("step", 10, 10), ("shared", 10, 1)])
def test_two_streams_share_the_one_running_set(norm, steps, moves):
    layer = norm_class(norm)(1)
    layer.steps, layer.streams = steps, 2
    images, events = 0.0, 1.0
    x = torch.tensor([images, events]).repeat(steps).repeat_interleave(3).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    for _ in range(100):
        layer(x)
    share = 1 / (1 + (1 - layer.momentum) ** moves)  # of the event stream, which comes last
    assert layer.running_mean.item() == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize("node", ["LIFNode", "BiasLIFNode", "SoftResetIFNode", "QCFSNode"])
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_taps_see_what_a_node_records_one_step_at_a_time(node, execution):
    net = small("tmkt_scnn", node_type=node, execution=execution, act_fun="AtanGrad").eval()
    x = frames(size=(28, 28))
    kinds = ("potential", "membrane", "spikes")
    plain = net.make_node()
    truth = node_class(node)(**{**net.node_kwargs, "layer_by_layer": False})
    outputs = []
    net.fc1.register_forward_hook(lambda layer, inputs, output: outputs.append(output.detach()))
    with net.taps(*(f"{kind}:node1" for kind in kinds), "pooled") as seen:
        logits = net.event_logits(x)
    currents = torch.cat(outputs).unflatten(0, (STEPS, -1))
    found = {kind: [] for kind in kinds}
    for current in currents:
        truth.integral(current)
        found["potential"].append(truth.mem)
        truth.calc_spike()
        found["membrane"].append(truth.mem)
        found["spikes"].append(truth.spike)
    for kind in kinds:
        torch.testing.assert_close(seen[f"{kind}:node1"].detach(), torch.stack(found[kind]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(net.fc2(seen["pooled"]), logits)
    assert torch.equal(net.event_logits(x), logits)  # and leaves no trace
    assert not any("calc_spike" in vars(node) or node.mem_collect or node.requires_mem for node in net.nodes)
    assert vars(net.node1).keys() == vars(plain).keys() | ({"steps"} if execution == "multi_step" else set())


def test_taps_of_two_streams_and_their_gradients_agree_between_executions():
    results = []
    for execution, recompute in (("step", False), ("multi_step", False), ("multi_step", True)):
        net = small(execution=execution, recompute=recompute).train()
        with net.taps("potential:feature.0.node", "spikes:feature.4.node") as seen:
            net.streams(frames(seed=1), frames())
        sum(part.square().sum() for part in seen.values()).backward()
        results.append((*seen.values(), net.stem.weight.grad))
    assert results[0][0].shape[:2] == (STEPS, 8)
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-3 * float(one.detach().abs().max()))


def test_an_unknown_tap_is_refused():
    with pytest.raises(RecipeError, match="no tap 'membrane:node2': did you mean 'membrane:node1'"):
        small("tmkt_scnn").taps("membrane:node2").__enter__()


MINE = """
import torch
from torch import nn
from braincog_tmkt.bridge import BaseNode
from braincog_tmkt.models.nodes import NODES
from braincog_tmkt.models.surrogates import SURROGATES


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, temperature):
        ctx.save_for_backward(x)
        ctx.temperature = temperature
        return (x > 0).float()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * ctx.temperature * torch.exp(-x.abs()), None


@SURROGATES.register("Mine")
class Mine(nn.Module):
    def __init__(self, temperature: float = 1.0):
        super().__init__()
        self.temperature = temperature

    def forward(self, x):
        return _Step.apply(x, self.temperature)


@NODES.register("MyNode")
class MyNode(BaseNode):
    def __init__(self, threshold: float = 1.0, act_fun: type = Mine, leak: float = 0.5, **kwargs):
        super().__init__(threshold, **kwargs)
        self.leak, self.act_fun = leak, act_fun()

    def integral(self, inputs):
        self.mem = self.leak * self.mem + inputs

    def calc_spike(self):
        self.spike = self.act_fun(self.mem - self.threshold)
        self.mem = self.mem * (1 - self.spike.detach())
"""


@pytest.fixture
def my_module(tmp_path, monkeypatch):
    (tmp_path / "my_parts.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("my_parts")
    from braincog_tmkt.models.nodes import NODES
    from braincog_tmkt.models.surrogates import SURROGATES

    del NODES["MyNode"], SURROGATES["Mine"], sys.modules["my_parts"]


def test_a_node_and_a_surrogate_of_ones_own_with_keywords(my_module):
    gradients = []
    for execution in EXECUTIONS:
        for node, surrogate in (("MyNode", "Mine"), ("my_parts.MyNode", "my_parts.Mine")):
            kwargs = {"node_type": node, "act_fun": surrogate, "temperature": 3.0, "leak": 0.9, "execution": execution}
            net = small("tmkt_scnn", **kwargs)
            assert (net.node1.act_fun.temperature, net.node1.leak) == (3.0, 0.9)
            net.event_logits(frames(size=(28, 28))).square().sum().backward()
            gradients.append(net.stem.weight.grad)
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(RecipeError, match="takes no 'temprature': did you mean 'temperature'"):
        small("tmkt_scnn", act_fun="Mine", temprature=2.0)


@pytest.mark.parametrize("node", ["LIFNode", "PLIFNode", "SoftResetIFNode"])
def test_keywords_reach_the_surrogate_of_every_node(node):
    net = small("tmkt_scnn", node_type=node, alpha=3.5)
    assert {each.act_fun.alpha.item() for each in net.nodes} == {3.5}
    assert small("tmkt_scnn", node_type="LIFNode", mem_detach=True).node1.mem_detach
    assert small("tmkt_scnn", node_type="IzhNode", a=0.1).node1.a == 0.1  # not in BrainCog's signature


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"treshold": 0.4}, "takes no 'treshold': did you mean 'threshold'"),
        ({"levels": 8}, "takes no 'levels'"),
        ({"alpha": "much"}, "alpha must be a number, not 'much'"),
        ({"mem_detach": 3}, "mem_detach must be true or false, not 3"),
        ({"norm": "stepown"}, "unknown norm 'stepown': did you mean 'step_own'"),
        ({"norm": "shared", "execution": "step"}, "execution must be multi_step"),
        ({"norm": "none", "momentum": 0.1}, "takes no 'momentum'"),
        ({"node_type": "no.such.Node"}, "node 'no.such.Node' cannot be imported: ModuleNotFoundError"),
        ({"node_type": "torch.nn.ReLU"}, "not a subclass of BrainCog's BaseNode"),
        ({"name": "tmkt_scnn", "norm": "step"}, "has no place for norm 'step': it takes 'none' only"),
        ({"step": 4}, r"model\.step follows from the data: set data\.steps instead"),
        ({"width": "wide"}, r"model\.width must be a number, not 'wide'"),
    ],
)
def test_wrong_settings_of_a_model_are_explained(settings, words):
    values = {"name": "mine", "data": {"name": "digits"}, "method": {"name": "baseline"}, "model": settings}
    with pytest.raises(RecipeError, match=words):
        build_method(recipe_from_dict(values), 3, seed=0)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("r2etl_vggsnn", {"attention": "tcja"}, "no place for attention 'tcja'"),
        ("tmkt_vggsnn", {"plan": "64-AP", "attention": "tcja"}, "give a plan with an A"),
        ("tmkt_vggsnn", {"node_type": "UnitLIFNode", "tau": 4.0}, "takes decay, not tau"),
        ("tmkt_vggsnn", {"plan": "64-GAP-AP"}, "nothing left to pool"),
        ("tet_resnet19", {"stem_channels": 0}, "stem_channels must be a whole number from 1 on"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(name, settings, words):
    with pytest.raises(RecipeError, match=words):
        small(name, **settings)


def test_a_published_network_says_that_it_runs_with_another_neuron():
    assert small("nda_vgg11").notes() == []
    (note,) = small("nda_vgg11", node_type="LIFNode").notes()
    assert "runs with LIFNode; its published code has {node_type: UnitLIFNode, threshold: 0.5" in note


def test_a_recipe_takes_any_keyword_of_the_parts():
    model = {"name": "hsd_vggsnn", "node_type": "QCFSNode", "levels": 8, "momentum": 0.2, "width": 0.0625}
    recipe = recipe_from_dict(
        {"name": "mine", "data": {"name": "digits"}, "method": {"name": "baseline"}, "model": model}
    )
    net = build_method(recipe, 3, seed=0).backbone
    assert (net.nodes[0].levels, net.norms[0].momentum) == (8, 0.2)
    assert isinstance(net.nodes[0], BaseNode)


@pytest.mark.parametrize("name", ["tmkt_vggsnn", "tmkt_resnet18", "tmkt_scnn", "hsd_resnet19"])
def test_frames_need_not_be_square(name):
    net = small(name, img_size=(20, 32)).eval()
    assert net(frames(size=(20, 32))).shape == (4, 5)
    with pytest.raises(RecipeError, match="needs frames of 16x16 or larger, not 12x40"):
        small("tmkt_vggsnn", img_size=(12, 40))
