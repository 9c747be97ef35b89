"""The published networks of TET, NDA, TCJA-TET, ETC and TKS: logits, losses, gradients, statistics.

The vectors are in tests/golden/methods. Convolutions have a bias in most of them, whose gradient is 0 in training.
"""

from functools import cache, partial

import pytest
import timm
import torch
from torch.nn import functional

import braincog_tmkt  # noqa: F401  enters the networks
from braincog_tmkt.losses.tet import per_step_tet
from braincog_tmkt.losses.tks import TKS
from braincog_tmkt.models import all_steps
from braincog_tmkt.models.attention.tcja import TCJA
from braincog_tmkt.models.fused_bn_neuron import neuron_of
from tests.golden import vectors
from tests.golden.published import frames, gradient_errors, published

published = cache(published)


def tet(weight):
    return lambda logits, label: per_step_tet(logits, label, weight, 1.0).mean()


def of_mean(logits, label):
    return functional.cross_entropy(logits.mean(0), label)


def etc(logits, label):
    """ETC's loss with K = 4: every step's answer is drawn to every other's."""
    steps, log = len(logits), (logits / 4).log_softmax(-1)
    pairs = [(i, j) for i in range(steps) for j in range(steps) if i != j]
    apart = sum(functional.kl_div(log[i], log[j].detach().exp(), reduction="batchmean") for i, j in pairs)
    return of_mean(logits, label) + 16 * apart / len(pairs)


def tks(logits, label):
    return TKS(alpha=0.7, temperature=3.0)(logits, label, 150 / 600)["loss"]


PLAIN = {"node_type": "LIFNode", "threshold": 0.5, "width": 1 / 8}
CASES = {
    "tet net/vggsnn": ("tet_vggsnn", {"width": 1 / 8}, tet(1e-3), "tet_vggsnn"),
    "tet net/vggsnn_woap": ("tet_vggsnn_woap", {"width": 1 / 8}, tet(1e-3), "tet_vggsnn_woap"),
    "tet net/resnet19": ("tet_resnet19", {"width": 1 / 8, "in_chans": 3}, tet(0.05), "net/resnet19/x"),
    "nda net": ("nda_vgg11", {"width": 1 / 8}, of_mean, "nda_vgg11"),
    "etc net/step": ("hsd_vggsnn", {**PLAIN, "norm": "step"}, etc, "etc_vgg"),
    "etc net/layer_by_layer": ("hsd_vggsnn", {**PLAIN, "norm": "shared"}, etc, "etc_vgg"),
    "tks net": ("hsd_vggsnn", {**PLAIN, "norm": "shared"}, tks, "tks_vgg"),
    **{
        f"tcja net/{name}_{size}": (f"tcja_{name}", {"width": 1 / 16}, tet(1e-3), None)
        for name in ("vgg", "cext")
        for size in ("small", "full")
    },
}
"""Method and case -> network, its keywords, the loss of logits `[T, B, K]` and labels, and the tag of its input."""

SAME = "etc net/layer_by_layer"
"""Differs from the case before in training only."""

RUNS = [
    *((key, "train", "multi_step") for key in CASES),
    *((key, "eval", "multi_step") for key in CASES if key != SAME),
    *((key, "eval", "step") for key in CASES if key != SAME and "tcja" not in key),
    ("etc net/step", "train", "step"),
    *((key, "train_masks_published", "multi_step") for key in CASES if "tcja" in key),
    ("tcja net/vgg_small", "train_masks_per_sample", "multi_step"),
]
"""Case, mode of the reference, and execution; in evaluation the norms of both executions do the same."""


def inputs(golden, case, tag):
    """Frames `[B, T, 2, H, W]`, or images; those of TCJA by the rule of the note in tcja.json."""
    if tag is not None:
        return golden.input(tag) if "/" in tag else frames(tag, 4, 4, 48)
    u, block = golden.input(f"{case}/u"), golden.input(f"{case}/block")
    block = block.repeat_interleave(12, -1).repeat_interleave(12, -2)[..., : u.shape[-2], : u.shape[-1]]
    return (u - 14 + block).clamp(min=0).float() / 4


def weights_of(golden, facts):
    """The weights of a case, by the reference's names."""
    made = golden.state(facts)
    norms = {name.removesuffix(".running_mean") for name in made if name.endswith(".running_mean")}
    for name in made if "doubled" in facts.get("after_fill", "") else ():
        if name.endswith(("weight", "bias")) and name.rpartition(".")[0] in norms:
            made[name] *= 2
    return made


def load(net, weights):
    """Load weights by the reference's names, and return these -> ours: both are in the order of the layers."""
    neurons = {f"{name}.{key}" for name, part in net.named_modules() if part in net.nodes for key in part.state_dict()}
    ours = [name for name in net.state_dict() if name not in neurons and not name.endswith("mask")]
    by_kind = partial(sorted, key=lambda name: "running" in name or "tracked" in name)
    names = dict(zip(by_kind(weights), by_kind(ours), strict=True))
    net.load_state_dict({**net.state_dict(), **{names[name]: value for name, value in weights.items()}})
    return names


def add_exactly(net):
    """Let torch's batch norm see contiguous currents: of channels-last ones its sums on the CPU are off by 1e-4.

    The kernels' sums are exact, so only nodes without a kernel need it.
    """
    net.reset()
    if net.execution == "multi_step" and neuron_of(net.nodes[0]) is None:
        for norm in net.norms:
            norm.register_forward_pre_hook(lambda _, given: tuple(x.contiguous() for x in given))


def give_masks(net, masks, monkeypatch):
    """Put the reference's dropout masks where the network has or draws its own."""
    for layer, mask in zip((net.dropout1, net.dropout2), masks, strict=True):
        if isinstance(layer, all_steps.FrozenDropout):
            layer.mask.copy_(mask.view(layer.mask.shape))
    drawn = iter(masks)
    monkeypatch.setattr(all_steps.functional, "dropout", lambda ones, p: {0.5: next(drawn)}[p].view(ones.shape))


def outcome(golden, key, mode):
    """The prefix of a case's arrays, its scalars with the name of its loss, and the prefix of its gradients."""
    method, case = key.split()
    cases = golden.facts["cases"]
    if method == "etc":
        return f"{case}/{mode}", cases[f"{case}/{mode}"], "total", f"{case}/{mode}"
    if method == "tks":  # of the evaluation there are logits only
        return f"net/{mode}", cases["net"]["published"], "total", f"net/{mode}/published"
    return f"{case}/{mode}", cases[case][mode], "loss", f"{case}/{mode}"


def without_biases(names, grads):
    """Gradients by the reference's names, but for those of biases in front of a batch norm in training, which are 0."""
    for theirs, name in names.items():
        if name in grads and name.endswith("conv.bias"):
            assert grads[name].abs().max() < 1e-4, name
        elif name in grads:
            yield theirs, grads[name]


@pytest.mark.parametrize(("key", "mode", "execution"), RUNS)
def test_logits_loss_gradients_and_statistics(key, mode, execution, monkeypatch):
    (method, case), (name, keywords, loss, tag) = key.split(), CASES[key]
    golden, at = published(method), "net" if method in ("etc", "tks") else case
    facts, x = golden.facts["cases"][at], inputs(golden, case, tag)
    more = {"execution": execution, "step": facts["T"], "img_size": tuple(x.shape[-2:])}
    if execution == "step":
        more["norm"] = "step"
    if method == "tcja":
        frozen = name == "tcja_vgg" and mode == "train_masks_published"
        more |= {"dropout": 0.5 * ("masks" in mode), "dropout_masks": "frozen" if frozen else "sample"}
    net = timm.create_model(name, num_classes=facts["classes"], **{**keywords, **more})
    weights = weights_of(golden, facts)
    names = load(net, weights)
    add_exactly(net)
    if "masks" in mode:
        ending = "_per_sample" if mode.endswith("per_sample") else ""
        give_masks(net, [golden.input(f"{case}/mask{number}{ending}") for number in (1, 2)], monkeypatch)
    logits = net.train(mode != "eval").event_logits(x)
    label = golden.array("net/label") if method == "tks" else golden.input(f"{at}/label")
    value = loss(logits, label.long())
    value.backward()

    where, scalars, which, of_grads = outcome(golden, key, mode)
    theirs = golden.array(f"{where}/logits")
    theirs = theirs if method in ("etc", "tks") else theirs.transpose(0, 1)
    torch.testing.assert_close(logits, theirs, rtol=0, atol=2e-5 * max(1, theirs.abs().max().item()))
    sums = golden.arrays.get(f"{of_grads}/grad_norm_sum_projection")
    if sums is not None:
        assert value.item() == pytest.approx(scalars[which], rel=1e-5)
        grads = {name: weight.grad for name, weight in net.named_parameters() if weight.grad is not None}
        by_name = {theirs: grads[name] for theirs, name in names.items() if name in grads}
        by_name = by_name if mode == "eval" else dict(without_biases(names, grads))
        errors = dict(gradient_errors(scalars["grad_names"], sums, by_name))
        assert errors.keys() == by_name.keys()
        assert {name: error for name, error in errors.items() if not error <= 2e-4} == {}
    prefix, state = f"{where}/state/", net.state_dict()
    moved = [stored.removeprefix(prefix) for stored in golden.arrays if stored.startswith(prefix)]
    assert bool(moved) == (mode == "train")
    for moment in moved:
        torch.testing.assert_close(state[names[moment]], golden.array(prefix + moment), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("kind", ["spikes", "real"])
@pytest.mark.parametrize("case", ["T4_k2_1", "T5_k4_4", "T6_k3_2", "T14_k4_4"])
def test_attention_of_even_and_odd_kernels(case, kind):
    golden, key = published("tcja"), f"attention/{case}/{kind}"
    facts, x = golden.facts["cases"][key], golden.input(f"{key}/x").requires_grad_()  # [B, T, C, H, W]
    attention = TCJA(facts["C"], facts["T"], facts["kernel_t"], facts["kernel_c"])
    names = {"conv.0.weight": "conv_t.weight", "conv_c.weight": "conv_c.weight"}
    attention.load_state_dict({names[name]: value for name, value in golden.state(facts).items()})
    attention.steps = facts["T"]
    rows = x.transpose(0, 1).flatten(0, 1)
    y, gate = (part.unflatten(0, (facts["T"], -1)).transpose(0, 1) for part in (attention(rows), attention.gate(rows)))
    (y * torch.from_numpy(vectors.direction("tcja|attention|a", y.shape)).float()).sum().backward()
    got = {"gate": gate, "y": y, "grad_x": x.grad}
    got |= {f"grad/{theirs}": attention.get_parameter(ours).grad for theirs, ours in names.items()}
    for name, value in got.items():
        torch.testing.assert_close(value, golden.array(f"{key}/{name}"), rtol=1e-5, atol=1e-6)
