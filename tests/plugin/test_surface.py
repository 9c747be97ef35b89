"""What a script may do to a network through BrainCog's public surface: as on BrainCog's own, or refused.

The truth is BrainCog's own VGG_SNN and ResNet, step by step, with the same layers and weights.
"""

import copy
import inspect
import warnings
from types import MethodType

import pytest
import torch
from torch import nn

from braincog_tmkt.bridge import BaseModule, BaseNode, brain_cog_module
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models.parts import node_class, surrogate_class

from .pairs import NAMES, SIDE, STEPS, frames, pair

EXECUTIONS = ("multi_step", "step")
Encoder = brain_cog_module("base.encoder.encoder").Encoder
LIFNode = node_class("LIFNode")


def nodes(net):
    return [part for part in net.modules() if isinstance(part, BaseNode)]


def norms(net):
    return [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]


def each(parts, change):
    return lambda net: [change(part) for part in parts(net)] and None


def attribute(name, value):
    return lambda net: net.set_attr(name, copy.deepcopy(value))


def parameter(value, learnt=False):
    return nn.Parameter(torch.tensor(value), requires_grad=learnt)


def surrogate(name, **keywords):
    return surrogate_class(name)(**keywords)


def fire_late(node):
    """A `calc_spike` of one's own, as some scripts patch it in."""
    node.spike = node.act_fun(node.mem - 2 * node.threshold)
    node.mem = node.mem - node.spike


def leak_twice(node, inputs):
    node.mem = node.mem / 4 + inputs


def patched(name, function):
    return each(nodes, lambda node: setattr(node, name, MethodType(function, node)))


def replace(kind, make):
    """Put another part in the place of all parts of a kind."""

    def change(net):
        for name, part in list(net.named_modules()):
            if isinstance(part, kind):
                parent, _, leaf = name.rpartition(".")
                setattr(net.get_submodule(parent), leaf, make(part).train(part.training))

    return change


def frozen(net):
    for norm in norms(net):
        norm.eval()
        norm.requires_grad_(False)


def without_running_statistics(norm):
    norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None


def last_layer(net):
    """The last of several layers, which can be dropped without another change."""
    return (net.feature, 10) if hasattr(net, "feature") else (net.layer4, 1)


def drop_layer(net):
    where, number = last_layer(net)
    where[number] = nn.Identity()


def add_layers(net):
    where, number = last_layer(net)
    where[number] = nn.Sequential(where[number], nn.Tanh(), nn.Dropout(0.0))


def other_convolution(net):
    where, number = last_layer(net)
    layer = where[number]
    name = "conv" if hasattr(layer, "conv") else "conv1"
    old = getattr(layer, name)
    torch.manual_seed(5)
    setattr(layer, name, nn.Conv2d(old.in_channels, old.out_channels, 5, padding=2, bias=False))


def hook(parts, function, kind="register_forward_hook"):
    return lambda net: [getattr(part, kind)(function) for part in parts(net)] and None


def halved(module, inputs, output):
    return 0.5 * output


def doubled(module, inputs):
    return (2 * inputs[0], *inputs[1:])


def stage(net):
    return [net.feature[4]] if hasattr(net, "feature") else [net.layer2, net.layer3[0].downsample]


SAME = {
    "step 1": attribute("step", 1),
    "step 2": attribute("step", 2),
    "step 30": attribute("step", 30),
    "threshold": attribute("threshold", parameter(0.3)),
    "learnt threshold": attribute("threshold", parameter(0.3, learnt=True)),
    "threshold with an axis": attribute("threshold", parameter([0.3])),
    "threshold of the columns": attribute("threshold", parameter([[0.3]])),
    "tau": attribute("tau", 3.0),
    "tau as a tensor": attribute("tau", torch.tensor(1.5)),
    "learnt tau": attribute("tau", parameter(1.5, learnt=True)),
    "set_n_tau": each(nodes, lambda node: node.set_n_tau(1.5)),
    "set_n_threshold": each(nodes, lambda node: node.set_n_threshold(0.2)),
    "set_n_warm_up": each(nodes, lambda node: node.set_n_warm_up(True)),
    "dt": attribute("dt", 0.5),
    "v_reset": attribute("v_reset", 0.2),
    "mem": attribute("mem", 1.0),
    "spike": attribute("spike", 1.0),
    "mem_detach": attribute("mem_detach", True),
    "sigmoid_thres": attribute("sigmoid_thres", True),
    "another surrogate": attribute("act_fun", surrogate("AtanGrad", alpha=2.0, requires_grad=False)),
    "an unknown surrogate": attribute("act_fun", surrogate("SigmoidGrad", alpha=2.0, requires_grad=False)),
    "learnt surrogate": attribute("act_fun", surrogate("AtanGrad", alpha=2.0, requires_grad=True)),
    "no such attribute": attribute("nonsense", 1),
    "reset": lambda net: net.reset(),
    "n_reset": each(nodes, lambda node: node.n_reset()),
    "requires_fp": lambda net: net.set_requires_fp(True),
    "requires_mem": lambda net: net.set_requires_mem(True),
    "temporal_flatten": lambda net: setattr(net, "temporal_flatten", True),
    "calc_spike": patched("calc_spike", fire_late),
    "integral": patched("integral", leak_twice),
    "hook on nodes": hook(nodes, halved),
    "pre-hook on nodes": hook(nodes, doubled, "register_forward_pre_hook"),
    "hook on norms": hook(norms, halved),
    "pre-hook on norms": hook(norms, doubled, "register_forward_pre_hook"),
    "hook on surrogates": hook(lambda net: [node.act_fun for node in nodes(net)], halved),
    "hook on convolutions": hook(lambda net: [part for part in net.modules() if isinstance(part, nn.Conv2d)], halved),
    "hook on stages": hook(stage, halved),
    "hook on the classifier": hook(lambda net: [net.dvs_fc], halved),
    "forward of a norm": each(norms, lambda norm: setattr(norm, "forward", torch.tanh)),
    "frozen norms": frozen,
    "norms without statistics": each(norms, without_running_statistics),
    "momentum": each(norms, lambda norm: setattr(norm, "momentum", 0.7)),
    "eps": each(norms, lambda norm: setattr(norm, "eps", 0.5)),
    "other norms": replace(nn.BatchNorm2d, lambda norm: nn.GroupNorm(4, norm.num_features)),
    "no norms": replace(nn.BatchNorm2d, lambda norm: nn.Identity()),
    "dropped layer": drop_layer,
    "added layers": add_layers,
    "another convolution": other_convolution,
    "max pooling": replace(nn.AvgPool2d, lambda pool: nn.MaxPool2d(2)),
}
"""What acts in both executions as on BrainCog's own networks."""

NOT_IN_MULTI_STEP = {
    "torch's norm": replace(nn.BatchNorm2d, lambda norm: nn.BatchNorm2d(norm.num_features)),
    "a synchronised norm": replace(nn.BatchNorm2d, lambda norm: _copied(nn.SyncBatchNorm(norm.num_features), norm)),
    "BrainCog's node": replace(BaseNode, lambda node: LIFNode(step=STEPS, threshold=0.4)),
}
"""What only fits execution `step`, and is refused in the other."""

NEVER = {
    "node.layer_by_layer": lambda net: net.set_attr("layer_by_layer", not nodes(net)[0].layer_by_layer),
    "groups": attribute("groups", 2),
    "layer_by_layer": lambda net: setattr(net, "layer_by_layer", True),
    "warm_up": lambda net: setattr(net, "warm_up", True),
    "encoder.layer_by_layer": lambda net: setattr(net.encoder, "layer_by_layer", True),
    "encoder.temporal_flatten": lambda net: setattr(net.encoder, "temporal_flatten", True),
    "network.step": lambda net: setattr(net, "step", 2),
}
"""What is refused in both."""


def _copied(new, old):
    new.load_state_dict(old.state_dict())
    return new


def passed(net, training):
    """Everything that one forward and backward pass gives."""
    net.train(training)
    events = frames().to(next(net.parameters()).dtype).requires_grad_()
    logits = net(events)
    logits.square().sum().backward()
    grads = {name.replace("dvs_fc", "fc"): part.grad for name, part in net.named_parameters() if part.grad is not None}
    buffers = {name: value for name, value in net.named_buffers() if "num_batches" not in name}
    return {"logits": logits.detach(), "events": events.grad, **grads, **buffers}


def assert_same(found, wanted, what=""):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        scale = float(value.abs().max()) + 1e-6
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4 * scale, msg=f"{what} {name}")


@pytest.mark.filterwarnings("ignore:set_attr")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", SAME)
def test_a_change_acts_as_on_brain_cogs_own_network(change, name):
    theirs = pair(name, "multi_step")[1]
    ours = {execution: pair(name, execution)[0] for execution in EXECUTIONS}
    for net in (theirs, *ours.values()):
        SAME[change](net)
    for training in (True, False):
        wanted = passed(theirs, training)
        for execution, net in ours.items():
            assert_same(passed(net, training), wanted, execution)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", NOT_IN_MULTI_STEP)
def test_a_part_that_sees_one_step_is_refused_in_multi_step(change, name):
    nets = pair(name, "step")
    for net in nets:
        NOT_IN_MULTI_STEP[change](net)
    if change != "a synchronised norm":  # has no statistics of its own on a CPU
        assert_same(*(passed(net, True) for net in nets))
    net = pair(name, "multi_step")[0]
    NOT_IN_MULTI_STEP[change](net)
    with pytest.raises(RecipeError, match=r"execution.*step"):
        net(frames())


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", NEVER)
def test_a_change_of_the_kind_of_network_is_refused(change, name, execution):
    net = pair(name, execution)[0]
    NEVER[change](net)
    with pytest.raises(RecipeError):
        net(frames())


@pytest.mark.parametrize("node", ["IFNode", "PLIFNode"])
@pytest.mark.parametrize(
    "change", ["learnt threshold", "dt", "v_reset", "sigmoid_thres", "mem_detach", "another surrogate"]
)
def test_attributes_of_other_nodes(change, node):
    nets = pair("tmkt_vggsnn", "multi_step", node_type=node)
    for net in nets:
        SAME[change](net)
    assert_same(*(passed(net, True) for net in nets))


READ = {
    "get_threshold": lambda net: net.get_threshold(),
    "get_attr tau": lambda net: net.get_attr("tau"),
    "get_attr step": lambda net: net.get_attr("step"),
    "get_attr threshold": lambda net: net.get_attr("threshold"),
    "get_attr mem": lambda net: net.get_attr("mem"),
    "get_attr spike": lambda net: net.get_attr("spike"),
    "get_fp": lambda net: net.get_fp(),
    "get_fp over time": lambda net: net.get_fp(temporal_info=True),
    "get_mem": lambda net: net.get_mem(),
    "get_mem over time": lambda net: net.get_mem(temporal_info=True),
    "get_fire_rate": lambda net: net.get_fire_rate(),
    "get_fire_rate with gradient": lambda net: net.get_fire_rate(requires_grad=True),
    "get_tot_spike": lambda net: net.get_tot_spike(),
    "get_spike_info": lambda net: net.get_spike_info(),
    "get_n_attr": lambda net: [node.get_n_attr("tau") for node in nodes(net)],
    "get_thres": lambda net: [node.get_thres() for node in nodes(net)],
}


def tensors(value):
    """Nested lists of tensors and numbers as a flat list of tensors."""
    if isinstance(value, list | tuple):
        return [tensor for part in value for tensor in tensors(part)]
    return [torch.as_tensor(value)]


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_what_a_script_reads_after_a_forward_pass(name, execution):
    nets = pair(name, execution)
    for net in nets:
        net.eval()
        net.set_requires_fp(True)
        net.set_requires_mem(True)
        if name == "tmkt_resnet18":  # which gives its nodes no number of steps
            each(nodes, lambda node: setattr(node, "step", STEPS))(net)
        for seed in (1, 2):  # traces are those of the last pass
            net(frames(seed=seed))
    for what, read in READ.items():
        found, wanted = (tensors(read(net)) for net in nets)
        assert len(found) == len(wanted) > 0, what
        for here, there in zip(found, wanted, strict=True):
            torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-5, msg=what, check_dtype=False)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_what_was_not_kept_is_refused_or_empty(execution):
    ours, theirs = pair("tmkt_vggsnn", execution)
    for net in (ours, theirs):
        net(frames())
    assert ours.get_tot_spike() == theirs.get_tot_spike() == 0
    assert ours.get_fire_rate() == theirs.get_fire_rate()
    for name, how in (("mem", "set_requires_mem"), ("spike", "set_requires_fp")):
        kept = ours.get_attr(name)[0]
        for use in (lambda x: x.mean(), lambda x: x + 1, lambda x: torch.ones(1) - x, lambda x: 2 * x, float, list):
            with pytest.raises(RecipeError, match=f"{name} is not kept after a forward pass.*{how}"):
                use(kept)
    for read in ("get_fp", "get_mem"):
        for net in (ours, theirs):
            with pytest.raises(ZeroDivisionError):
                getattr(net, read)()


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_script_is_told_that_set_attr_step_changes_nothing(execution):
    net = pair("tmkt_vggsnn", execution)[0]
    with pytest.warns(UserWarning, match=r"as in BrainCog's own networks.*set_steps"):
        net.set_attr("step", 2)
    assert net.get_attr("step") == [STEPS, STEPS, *[2] * len(nodes(net))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.set_attr("tau", 3.0)
        net.set_steps(2)
    assert net(frames()[:, :2]).shape == (2, 5)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_hooks_on_containers_that_are_never_called_are_refused(execution):
    for part in ("feature", "feature.0"):
        net = pair("tmkt_vggsnn", execution)[0]
        net.get_submodule(part).register_forward_hook(halved)
        with pytest.raises(RecipeError, match=f"a hook on '{part}' would never be called: put it on the layers"):
            net(frames())


@pytest.mark.parametrize("change", [lambda net: net.feature.insert(0, nn.Dropout()), drop_layer])
def test_a_first_layer_that_gets_no_frames_is_refused(change):
    net = pair("tmkt_vggsnn", "multi_step")[0]
    net.feature = net.feature[1:] if change is drop_layer else net.feature
    change(net)
    net.feature[0] = nn.Identity()
    with pytest.raises(RecipeError, match="the first layer of 'feature' must be a ConvLayer"):
        net(frames())


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2, STEPS + 1, 2, SIDE, SIDE), f"runs for {STEPS} time steps, the frames have {STEPS + 1}"),
        ((2, STEPS, 3, SIDE, SIDE), "frames of 2 channels, but these have 3.*in_chans=3"),
        ((2, STEPS, 2, 32, 32), "built for frames of 16x16, but these have 32x32"),
        ((2, 2, SIDE), r"events are \[B, T, C, H, W\] and images \[B, C, H, W\]"),
    ],
)
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_frames_that_do_not_fit_are_refused(shape, words, execution):
    with pytest.raises(RecipeError, match=words):
        pair("tmkt_vggsnn", execution)[0](torch.zeros(shape))


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("encode_type", ["direct", "rate"])
def test_images_are_encoded_by_brain_cogs_encoder(encode_type, execution):
    ours, theirs = (net.eval() for net in pair("tmkt_vggsnn", execution, encode_type=encode_type))
    results = []
    for net in (ours, theirs):
        torch.manual_seed(3)
        results.append(net(frames()[:, 0]))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("encode_type", ["ttfs", "phase", "auto"])
def test_encodings_that_fail_in_brain_cog_are_refused_for_images(encode_type):
    ours, theirs = pair("tmkt_vggsnn", "multi_step", encode_type=encode_type)
    assert ours(frames()).shape == theirs(frames()).shape  # events are not encoded
    with pytest.raises(AttributeError):
        theirs(frames()[:, 0])
    with pytest.raises(RecipeError, match=f"cannot encode images with '{encode_type}'"):
        ours(frames()[:, 0])


def public(kind):
    """Names of methods and of the attributes that a class's constructor sets."""
    own = {name for name in vars(kind) if not name.startswith("_")}
    source = inspect.getsource(kind.__init__)
    return own | {line.split("=")[0].strip()[5:] for line in source.splitlines() if line.strip().startswith("self.")}


def test_every_entry_of_brain_cogs_surface_is_covered_here():
    text = inspect.getsource(inspect.getmodule(test_every_entry_of_brain_cogs_surface_is_covered_here))
    elsewhere = {"kwargs", "init_channel_mul", "fire_rate", "fun", "forward", "no_encode", "delete", "shift"}
    inner = {"rearrange2node", "rearrange2op", "requires_grad", "training", "mem_collect", "feature_map"}
    for kind in (BaseModule, BaseNode, Encoder):
        for name in public(kind) - elsewhere - inner:
            assert name in text, f"{kind.__name__}.{name}"
