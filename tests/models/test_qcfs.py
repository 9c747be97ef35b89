"""QCFS's published code: activation with both gradients, IF neuron, ResNet-20 as ANN and as SNN, VGG-16's layers."""

from functools import cache
from pathlib import Path

import pytest
import timm
import torch
from torch.nn import functional

import braincog_tmkt  # noqa: F401  enters the networks
from braincog_tmkt.bridge import surrogate_classes
from braincog_tmkt.engine.step import learning_rate, make_scheduler
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models.convert import convert
from braincog_tmkt.models.fused_bn_neuron import neuron_of
from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.nodes.qcfs import QCFSNode, qcfs
from braincog_tmkt.models.nodes.soft_reset import SoftResetIFNode
from braincog_tmkt.recipe import load_recipe
from tests.golden.published import gradient_errors, published
from tests.golden.vectors import direction, whole_numbers

published = cache(published)
ROOT = Path(__file__).resolve().parents[2]
ORDERS = {"old": "floor_first", "new": "clip_first"}
READINGS = {"closed": True, "open": False}


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("code", ORDERS)
@pytest.mark.parametrize(("theta", "levels"), [(2.0, 4), (2.0, 8), (1.5, 4), (1.5, 8)])
def test_activation_and_both_gradients(theta, levels, code, reading):
    stored = published("qcfs").array(f"activation/lambda{theta:g}_L{levels}/{code}/{reading}")
    x, wanted = stored[0].clone().requires_grad_(), stored[1:]
    threshold = torch.tensor(theta, requires_grad=True)
    h = qcfs(x, threshold, levels, ORDERS[code], READINGS[reading])
    (of_x,) = torch.autograd.grad(h.sum(), x, retain_graph=True)
    of_theta = torch.stack([torch.autograd.grad(one, threshold, retain_graph=True)[0] for one in h])
    torch.testing.assert_close(torch.stack([h.detach(), of_x, of_theta]), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kernel", [False, True])
def test_the_neuron_fires_at_its_threshold_and_learns_as_the_second_repository_s(kernel):
    golden = published("qcfs")
    facts, theta = golden.facts["if"], golden.facts["if"]["lambda"]
    x = golden.array("if/x").requires_grad_()
    a = torch.from_numpy(direction("qcfs|if|a", x.shape)).float()
    settings = {"act_fun": surrogate_classes()["QGateGrad"](alpha=theta), "inclusive": True}
    if kernel:
        node = multi_step_node(SoftResetIFNode)(theta, **settings, step=facts["T"], layer_by_layer=True)
        assert neuron_of(node) is not None
        node.requires_mem = True
        out = node(x.flatten(0, 1)[:, None]).view_as(x)
        potentials = torch.stack(node.mem_collect).view_as(x)
    else:
        node, parts = SoftResetIFNode(theta, **settings), []
        for step in range(facts["T"]):
            parts.append((node(x[step]), node.mem))
        out, potentials = (torch.stack(part) for part in zip(*parts, strict=True))
    assert torch.equal(out.detach(), golden.array("if/out_new"))
    assert torch.equal(out.detach(), golden.array("if/out_old"))
    torch.testing.assert_close(potentials.detach(), golden.array("if/v_old"), rtol=0, atol=1e-6)
    (out * a).sum().backward()
    torch.testing.assert_close(x.grad, golden.array("if/grad_new"), rtol=1e-5, atol=1e-5)


def theirs(name):
    """The reference's name of a parameter of ours, but for thresholds."""
    parts = name.split(".")
    if parts[0] in ("conv1", "bn1"):
        return ".".join(["conv1", {"conv1": "0", "bn1": "1"}[parts[0]], *parts[1:]])
    if parts[0] == "dvs_fc":
        return f"fc.{parts[-1]}"
    stage, block, layer = f"conv{int(parts[0][-1]) + 1}_x", parts[1], parts[2]
    places = {"conv1": "residual_function.0", "bn1": "residual_function.1"}
    places |= {"conv2": "residual_function.3", "bn2": "residual_function.4"}
    place = f"shortcut.{parts[3]}" if layer == "downsample" else places[layer]
    return f"{stage}.{block}.{place}.{parts[-1]}"


def activation_of(name):
    """The reference's name of a node of ours (second repository), and the first one's."""
    if name == "node1":
        return "conv1.2", "conv1.2"
    layer, block, node = name.split(".")
    stage = f"conv{int(layer[-1]) + 1}_x.{block}"
    return (f"{stage}.residual_function.2",) * 2 if node == "node1" else (f"{stage}.act", f"{stage}.relu")


def resnet20(code="new", reading="closed", **kwargs):
    golden = published("qcfs")
    facts = golden.facts["resnet20"]
    net = timm.create_model(
        "qcfs_resnet20", num_classes=10, step=1, in_chans=3, img_size=16, levels=facts["L"],
        order=ORDERS[code], closed=READINGS[reading], **kwargs,
    )  # fmt: skip
    weights = golden.state(facts)
    state = net.state_dict()
    renamed = {name: weights[theirs(name)] for name in state if "threshold" not in name and "act_fun" not in name}
    net.load_state_dict({**state, **renamed})
    nodes = {name: part for name, part in net.named_modules() if isinstance(part, QCFSNode)}
    for name, node in nodes.items():
        node.threshold.data.fill_(facts["thresholds"][activation_of(name)[0]])
    x = torch.from_numpy(whole_numbers("qcfs|resnet20|x", (2, 3, 16, 16), -16, 16) / 8).float()
    return golden, facts, net, nodes, x


CASES = [
    ("new", "closed", "grad_norm_sum_projection", "new_grad_lambda"),
    ("new", "open", "open_clamp/grad_norm_sum_projection", None),
    ("old", "closed", "old/grad_norm_sum_projection", "old/grad_lambda"),
    ("old", "open", "old/open_clamp/grad_norm_sum_projection", "old/open_clamp/grad_lambda"),
]


@pytest.mark.parametrize(("code", "reading", "sums", "of_thresholds"), CASES)
def test_resnet20_trains_as_both_repositories_do(code, reading, sums, of_thresholds):
    golden, facts, net, nodes, x = resnet20(code, reading)
    logits = net.train().event_logits(x[:, None])[0]
    torch.testing.assert_close(logits, golden.array("resnet20/train_logits"), rtol=0, atol=2e-5)
    loss = functional.cross_entropy(logits, torch.tensor(facts["label"]))
    assert loss.item() == pytest.approx(facts["loss"], rel=1e-5)
    loss.backward()
    grads = {theirs(name): p.grad for name, p in net.named_parameters() if "threshold" not in name}
    ending, which = (".thresh", 0) if code == "new" else (".up", 1)
    grads |= {activation_of(name)[which] + ending: node.threshold.grad.view(1) for name, node in nodes.items()}
    names = facts["grad_names"] if code == "new" else facts["old_grad_names"]
    errors = dict(gradient_errors(names, golden.arrays[f"resnet20/{sums}"], grads))
    assert errors.keys() == grads.keys()
    assert {name: error for name, error in errors.items() if not error <= 2e-4} == {}
    if of_thresholds:
        order = facts[f"activation_names_{code}"]
        found = torch.cat([grads[name + ending] for name in order])
        torch.testing.assert_close(found, golden.array(f"resnet20/{of_thresholds}"), rtol=2e-4, atol=2e-5)


def test_resnet20_evaluates_and_spikes_as_both_repositories_do():
    golden, facts, net, nodes, x = resnet20()
    net.train().event_logits(x[:, None])
    state = net.state_dict()
    moved = [name for name in state if f"resnet20/state/{theirs_of(name)}" in golden.arrays]
    assert len(moved) == 4
    for name in moved:
        wanted = golden.array(f"resnet20/state/{theirs_of(name)}")
        torch.testing.assert_close(state[name], wanted, rtol=1e-6, atol=1e-6)
    net.eval()
    wanted = golden.array("resnet20/eval_logits")
    torch.testing.assert_close(net.event_logits(x[:, None])[0], wanted, rtol=0, atol=2e-5)
    stored = golden.array("resnet20/snn_step_output")
    torch.testing.assert_close(golden.array("resnet20/old/snn_step_output"), stored, rtol=0, atol=1e-6)
    snn = convert(net, inclusive=True)
    snn.set_steps(12)  # at the next step a neuron comes within a rounding of its threshold
    off = snn.event_logits(x[:, None]) - stored[:12]  # a potential within rounding of a threshold may flip
    assert off.norm() < 0.05 * stored[:12].norm()

    by_step = resnet20(execution="step", norm="step")[2]
    by_step.load_state_dict(net.state_dict())
    snn = convert(by_step.eval().double(), inclusive=True)
    snn.set_steps(facts["T"])
    counts = dict.fromkeys(nodes, 0.0)
    for name in nodes:
        snn.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: counts.update({name: counts[name] + float(out.count_nonzero()) / out.numel()})
        )
    torch.testing.assert_close(snn.event_logits(x[:, None].double()), stored, rtol=0, atol=5e-5)
    rates = {activation_of(name)[0]: count / facts["T"] for name, count in counts.items()}
    found = torch.tensor([rates[name] for name in facts["if_names"]])
    torch.testing.assert_close(found, golden.array("resnet20/snn_rates"), rtol=0, atol=1e-6)


def theirs_of(name):
    return name if "threshold" in name or "act_fun" in name else theirs(name)


def test_parameters_and_initial_values_are_the_published_ones():
    facts = published("qcfs").facts
    resnet = timm.create_model("qcfs_resnet20", num_classes=10, step=1, in_chans=3, img_size=32)
    assert sum(p.numel() for p in resnet.parameters()) == facts["layers_resnet20"]["parameters"] == 272_493
    with torch.device("meta"):
        vgg = timm.create_model("qcfs_vgg16", num_classes=10, step=1, in_chans=3, img_size=32)
    assert sum(p.numel() for p in vgg.parameters()) == facts["layers_vgg16"]["parameters"] == 33_646_681
    for net in (resnet, build_vgg16(step=1)):
        assert {node.threshold.item() for node in net.nodes} == {facts["init"]["new"]["thresh"]}


def build_vgg16(**kwargs):
    torch.manual_seed(0)
    settings = {"num_classes": 10, "in_chans": 3, "img_size": 32, "width": 1 / 16, "dropout": 0.25, **kwargs}
    return timm.create_model("qcfs_vgg16", **settings)


KINDS = {"Conv2d": "SpikeConv2d", "BatchNorm2d": "SharedBatchNorm2d", "IF": "MultiStepQCFSNode"}
KINDS |= {"AvgPool2d": "SpikePool2d", "Dropout": "Dropout", "Linear": "Linear"}


def test_vgg16_has_the_layers_of_the_published_code_in_their_order():
    net, ran = build_vgg16(step=1), []
    for part in [*net.feature.modules(), *net.hidden.modules(), *net.dvs_fc.modules()]:
        if not list(part.children()) or type(part).__name__ == "MultiStepQCFSNode":
            part.register_forward_hook(lambda part, _, out: ran.append((type(part).__name__, [*out.shape[1:]])))
    net.eval().event_logits(torch.zeros(1, 1, 3, 32, 32))
    rows = [row for row in published("qcfs").facts["layers_vgg16"]["rows"] if row[1] != "Flatten"]
    assert [name for name, _ in ran] == [KINDS[row[1]] for row in rows]
    for (_, shape), row in zip(ran[:-1], rows[:-1], strict=True):
        assert shape == [row[2][0] // 16, *row[2][1:]]
    convs = [part for part in net.modules() if isinstance(part, torch.nn.Conv2d)]
    assert all(conv.bias is not None and conv.kernel_size == (3, 3) and conv.padding == (1, 1) for conv in convs)
    linear = [part for part in net.modules() if isinstance(part, torch.nn.Linear)]
    assert [float(part.bias.abs().sum()) for part in linear] == [0, 0, 0]
    deviation = torch.cat([conv.weight.flatten() * (9 * conv.out_channels / 2) ** 0.5 for conv in convs]).std()
    assert float(deviation) == pytest.approx(1, abs=0.02)
    with pytest.raises(RecipeError, match=r"dropout must be from 0 to below 1, not 1\.0"):
        build_vgg16(dropout=1.0)


def test_vgg16_converts_and_both_ways_through_it_agree():
    net = build_vgg16(step=1, threshold=0.25, dropout=0.0)
    x = 4 * torch.rand(2, 1, 3, 32, 32)
    for _ in range(20):
        net.train().event_logits(x)
    snn = convert(net.eval(), inclusive=True)
    snn.set_steps(4)
    parts = snn.event_logits(x)
    snn.feature.register_forward_hook(lambda *_: None)  # the sequence runs as a whole
    torch.testing.assert_close(snn.event_logits(x), parts, rtol=1e-4, atol=1e-5)
    assert parts.std() > 0


def test_the_learning_rate_of_the_recipe_is_the_published_one():
    recipe = load_recipe(ROOT / "experiments/cifar10/qcfs.yaml")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=learning_rate(recipe))
    scheduler = make_scheduler(optimizer, recipe.optim, recipe.train.epochs)
    for epoch, wanted in published("qcfs").facts["lr_by_epoch_300_lr.1"].items():
        scheduler.step(int(epoch))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(wanted, rel=1e-6)
