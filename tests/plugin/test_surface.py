"""What a script may do to a network through BrainCog's public surface: as on BrainCog's own, or refused.

The truth is BrainCog's own VGG_SNN and ResNet, step by step, with the same layers and weights.
"""

import copy
import inspect
import re
import warnings

import numpy
import pytest
import torch
from torch import nn

from braincog_tmkt.bridge import BaseModule, BaseNode, brain_cog_module
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.parts import node_class, surrogate_class

from . import changes
from .changes import NEVER, NOT_IN_MULTI_STEP, SAME, drop_layer, each, nodes
from .pairs import NAMES, SIDE, STEPS, assert_same, frames, pair, passed, prototypes, steadily

EXECUTIONS = ("multi_step", "step")
Encoder = brain_cog_module("base.encoder.encoder").Encoder


@pytest.mark.filterwarnings("ignore:set_attr")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", SAME)
def test_a_change_acts_as_on_brain_cogs_own_network(change, name):
    def check(seed):
        theirs = copy.deepcopy(prototypes(name, "multi_step")[1])
        ours = {execution: copy.deepcopy(prototypes(name, execution)[0]) for execution in EXECUTIONS}
        for net in (theirs, *ours.values()):
            SAME[change](net)
        for training in (True, False):
            wanted = passed(theirs, training, seed)
            for execution, net in ours.items():
                assert_same(passed(net, training, seed), wanted, execution)

    steadily(check)


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
    def check(seed):
        nets = pair("tmkt_vggsnn", "multi_step", node_type=node)
        for net in nets:
            SAME[change](net)
        assert_same(*(passed(net, True, seed) for net in nets))

    steadily(check)


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

    def check(seed):
        for net in nets:
            for number in (seed + 1, seed):  # traces are those of the last pass
                net(frames(seed=number))
        for what, read in READ.items():
            found, wanted = (tensors(read(net)) for net in nets)
            assert len(found) == len(wanted) > 0, what
            for here, there in zip(found, wanted, strict=True):
                torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-4, msg=what, check_dtype=False)

    steadily(check)
    for traces in nets[0].get_fp(temporal_info=True) + nets[0].get_mem(temporal_info=True):
        assert [trace.view(len(trace), -1).shape[0] for trace in traces] == [2] * STEPS  # as scripts flatten them


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_a_network_can_be_copied_and_saved_as_a_whole(name, execution, tmp_path):
    net, theirs = pair(name, execution)
    for one in (net, theirs):
        one(frames()).sum().backward()
    with pytest.raises(RuntimeError, match="deepcopy"):  # its nodes keep the graph
        copy.deepcopy(theirs)
    torch.save(net, tmp_path / "net.pt")
    twins = [copy.deepcopy(net), torch.load(tmp_path / "net.pt", weights_only=False)]
    logits = net.eval()(frames(seed=4))
    for twin in twins:
        assert [type(node) for node in nodes(twin)] == [type(node) for node in nodes(net)]
        assert torch.equal(twin.eval()(frames(seed=4)), logits)


@pytest.mark.parametrize("owner", ["LIFNode", "QGateGrad"])
def test_a_class_of_brain_cogs_that_is_patched_is_used_as_it_is_now(owner, monkeypatch):
    if owner == "LIFNode":
        monkeypatch.setattr(node_class(owner), "calc_spike", changes.fire_late)
    else:
        other = staticmethod(surrogate_class("GateGrad").act_fun)
        monkeypatch.setattr(surrogate_class(owner), "act_fun", other)
    steadily(lambda seed: assert_same(*(passed(net, True, seed) for net in pair("tmkt_vggsnn", "multi_step"))))


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_threshold_may_change_before_the_backward_pass(execution):
    def check(seed):
        results = []
        for net in pair("tmkt_vggsnn", execution):
            logits = net(frames(seed=seed))
            with torch.no_grad():
                for node in nodes(net):
                    node.threshold.mul_(0.5)
            logits.square().sum().backward()
            results.append({"weight": net.feature[1].conv.weight.grad})
        assert_same(*results)

    steadily(check)


def test_a_node_alone_takes_its_own_number_of_steps():
    ours, theirs = pair("tmkt_vggsnn", "multi_step")
    ours(frames())
    node, plain = nodes(ours)[0], nodes(theirs)[0]
    node.n_reset()
    node.step = 6
    x = torch.rand(12, 8, 4, 4)
    assert torch.equal(node(x), torch.cat([plain(part) for part in x.chunk(6)]))


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_what_was_not_kept_is_refused_or_empty(execution):
    ours, theirs = pair("tmkt_vggsnn", execution)
    for net in (ours, theirs):
        net(frames())
    assert ours.get_tot_spike() == theirs.get_tot_spike() == 0
    assert ours.get_fire_rate() == theirs.get_fire_rate()
    for name, how in (("mem", "set_requires_mem"), ("spike", "set_requires_fp")):
        kept = ours.get_attr(name)[0]
        functions = (torch.mean, lambda x: torch.stack([x]), lambda x: -x, lambda x: x == 0, numpy.asarray)
        for use in (
            *functions,
            lambda x: x.mean(),
            lambda x: x + 1,
            lambda x: torch.ones(1) - x,
            lambda x: 2 * x,
            float,
            list,
        ):
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
@pytest.mark.parametrize("name", ["tmkt_vggsnn", "tmkt_resnet18", "tmkt_scnn", "hsd_resnet19"])
def test_a_hook_on_every_module_sees_each_of_them(name, execution):
    """As tools that count operations register them; logits and gradients stay."""
    norm = {} if execution == "multi_step" or name == "tmkt_scnn" else {"norm": "step"}
    net = build_backbone(name, 5, STEPS, 28, width=0.1, node_type="LIFNode", execution=execution, **norm)
    events = torch.rand(2, STEPS, 2, 28, 28)
    wanted = net.eval()(events)
    seen = set()
    for key, part in net.named_modules():
        part.register_forward_hook(lambda part, inputs, output, key=key: seen.add(key))
    torch.testing.assert_close(net(events), wanted, rtol=1e-3, atol=1e-3)
    unused = {"rgb_fc", "rgb_fc.0", "rgb_fc.1", "coefficient"}  # of the other stream
    assert {key for key, _ in net.named_modules()} - seen <= unused


@pytest.mark.parametrize("kind", ["forward_hook", "forward_pre_hook"])
def test_a_hook_of_all_modules_sees_each_of_them(kind):
    """As debuggers and profilers register them."""
    net, seen = pair("tmkt_vggsnn", "multi_step")[0], set()
    handle = getattr(nn.modules.module, f"register_module_{kind}")(lambda part, *_: seen.add(part))
    try:
        net.eval()(frames())
    finally:
        handle.remove()
    used = {part for name, part in net.named_modules() if not name.startswith("rgb_fc") and name != "coefficient"}
    assert used <= seen


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
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)


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
    here = inspect.getmodule(test_every_entry_of_brain_cogs_surface_is_covered_here)
    text = inspect.getsource(here) + inspect.getsource(changes)
    elsewhere = {"kwargs", "init_channel_mul", "fire_rate", "fun", "forward", "no_encode", "delete", "shift"}
    inner = {"rearrange2node", "rearrange2op", "requires_grad", "training", "mem_collect", "feature_map"}
    for kind in (BaseModule, BaseNode, Encoder):
        for name in public(kind) - elsewhere - inner:
            assert re.search(rf"\b{name}\b", text), f"{kind.__name__}.{name}"
