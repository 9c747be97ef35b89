"""What scripts change on a network of BrainCog's kind; every change works on ours and on BrainCog's own."""

import copy
from types import MethodType

import torch
from torch import nn

from braincog_tmkt.bridge import BaseNode
from braincog_tmkt.models.parts import node_class, surrogate_class

from .pairs import STEPS

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
    return [net.feature, net.feature[0]] if hasattr(net, "feature") else [net.layer2, net.layer3[0].downsample]


class Half(nn.Sequential):
    """A sequence with a `forward` of its own."""

    def forward(self, x):
        return 0.5 * super().forward(x)


def halve_a_sequence(net):
    if hasattr(net, "feature"):
        net.feature = Half(*net.feature)
    else:
        net.layer1, net.layer2[0].downsample = Half(*net.layer1), Half(*net.layer2[0].downsample)


def other_classifier(*layers):
    """The same linear layer between others."""

    def change(net):
        linear = [part for part in net.dvs_fc.modules() if isinstance(part, nn.Linear)][-1]
        net.dvs_fc = net.fc = nn.Sequential(*(linear if layer is None else copy.deepcopy(layer) for layer in layers))
        if hasattr(net, "rgb_fc"):
            del net.fc

    return change


def less_the_mean(module, inputs, output):
    return output - 0.5 * output.mean(0, keepdim=True)


def surrogates(net):
    return [node.act_fun for node in nodes(net)]


def wide(surrogate):
    act_fun = type(surrogate).act_fun
    surrogate.act_fun = lambda x, alpha: act_fun(x + 0.05, alpha)


def last_convolution(net):
    return [[part for part in net.modules() if isinstance(part, nn.Conv2d)][-1]]


def affine(weight, bias):
    def change(norm):
        norm.weight, norm.bias = norm.weight if weight else None, norm.bias if bias else None

    return each(norms, change)


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
    "pre-hook on surrogates": hook(surrogates, lambda module, inputs: (inputs[0] - 0.05,), "register_forward_pre_hook"),
    "function of surrogates": each(surrogates, wide),
    "hook that changes spikes in place": hook(nodes, lambda module, inputs, output: output.mul_(0.7)),
    "hook on the classifier, over the batch": hook(lambda net: [net.dvs_fc], less_the_mean),
    "softmax": other_classifier(nn.Flatten(), None, nn.Softmax(dim=1)),
    "a bounded classifier": other_classifier(nn.Flatten(), None, nn.Tanh()),
    "sequences of their own": halve_a_sequence,
    "padding mode": each(last_convolution, lambda conv: setattr(conv, "padding_mode", "circular")),
    "divisor of poolings": each(
        lambda net: [part for part in net.modules() if isinstance(part, nn.AvgPool2d)],
        lambda pool: setattr(pool, "divisor_override", 2),
    ),
    "statistics that stand still": each(norms, lambda norm: setattr(norm, "track_running_stats", False)),
    "norms without a weight": affine(False, True),
    "norms without a bias": affine(True, False),
    "norms without a count": each(norms, lambda norm: setattr(norm, "num_batches_tracked", None)),
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
