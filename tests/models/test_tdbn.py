"""STBP-tdBN against the numbers of public code (thiswinex/STBP-simple @a15de7c): norm, neuron, ResNet-19.

The vectors are in tests/golden/methods.
"""

from functools import cache

import pytest
import timm
import torch
from torch.nn import functional

import braincog_tmkt  # noqa: F401  enters the networks
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.fused_bn_neuron import neuron_of
from braincog_tmkt.models.norms.shared import FixedThresholdBatchNorm2d, ThresholdBatchNorm2d
from braincog_tmkt.models.resnet19 import HALF, TdBNResNet19
from tests.golden.published import gradient_errors, published
from tests.golden.vectors import direction

from .test_published import load
from .test_unit_lif import far, make_node

golden = cache(lambda: published("tdbn"))
GAINS = [(v_th, name, alpha) for v_th in (0.2, 0.5) for name, alpha in (("alpha_1", 1.0), ("alpha_rsqrt2", HALF))]


def steps_first(x):
    """`[B, .., T]` -> `[T*B, ..]`."""
    return x.movedim(-1, 0).flatten(0, 1).contiguous()


def norm_of(kind, gain):
    norm = kind(4, gain=gain)
    state = {"weight": golden().array("bn/weight"), "bias": golden().array("bn/bias")}
    if kind is ThresholdBatchNorm2d:
        state["weight"] = gain * state["weight"]
    norm.load_state_dict(state, strict=False)
    return norm


@pytest.mark.parametrize("kind", [FixedThresholdBatchNorm2d, ThresholdBatchNorm2d])
@pytest.mark.parametrize(("v_th", "name", "alpha"), GAINS)
def test_the_norm_with_its_factor_fixed_or_in_the_weight(v_th, name, alpha, kind):
    vectors, case, gain = golden(), f"bn/vth{v_th}/{name}", alpha * v_th
    norm, x = norm_of(kind, gain), vectors.array("bn/x")
    along = steps_first(torch.from_numpy(direction("tdbn|a", tuple(x.shape))).float())
    x = steps_first(x).requires_grad_()
    y = norm(x)
    (y * along).sum().backward()
    stored = {key: vectors.array(f"{case}/{key}") for key in ("y", "grad_x", "grad_weight", "grad_bias", "y_eval")}
    learnt = dict(norm.named_parameters())
    share = (
        1.0 if kind is FixedThresholdBatchNorm2d else gain
    )  # the gradient of w is that of the whole weight, times it
    torch.testing.assert_close(y, steps_first(stored["y"]), rtol=0, atol=2e-6)
    assert far(x.grad, steps_first(stored["grad_x"])) < 1e-4
    assert far(share * learnt["weight"].grad, stored["grad_weight"]) < 1e-4
    assert far(learnt["bias"].grad, stored["grad_bias"]) < 1e-4
    for call in (1, 2):
        if call == 2:
            norm(x.detach() / 2)
        for kind_of, running in (("mean", norm.running_mean), ("var", norm.running_var)):
            torch.testing.assert_close(running, vectors.array(f"bn/running_{kind_of}_{call}"), rtol=0, atol=1e-6)
    norm.eval()
    torch.testing.assert_close(norm(x), steps_first(stored["y_eval"]), rtol=0, atol=2e-6)


def test_the_fixed_factor_stays_what_it_is_while_the_weight_decays():
    norm = FixedThresholdBatchNorm2d(3, gain=0.5)
    assert norm.weight.tolist() == [0.5] * 3
    assert list(norm.state_dict())[:2] == ["weight", "bias"]
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.mul_(0.5)
    assert norm.weight.tolist() == [0.25] * 3
    norm.reset_parameters()
    assert norm.state_dict()["weight"].tolist() == [1.0] * 3


@pytest.mark.parametrize("training", [True, False])
def test_the_kernels_multiply_by_the_factor_too(training):
    results = []
    for fused in (True, False):
        norm = norm_of(FixedThresholdBatchNorm2d, 0.35).train(training)
        norm.steps = 3
        assert norm.fuses
        x = steps_first(golden().array("bn/x")).requires_grad_()
        node = make_node("BackEIGateGrad", 1.0, 3, walks=False, threshold=0.5, decay=0.25)
        spikes = node(x, norm) if fused else node(norm(x))
        (spikes * torch.linspace(-1, 2, spikes.numel()).view(spikes.shape)).sum().backward()
        results.append((spikes, x.grad, *(parameter.grad for parameter in norm.parameters())))
    assert torch.equal(results[0][0], results[1][0])
    assert all(far(ours, theirs) < 1e-5 for ours, theirs in zip(results[0][1:], results[1][1:], strict=True))


@pytest.mark.parametrize("walks", [False, True])
@pytest.mark.parametrize("v_th", [0.2, 0.5])
def test_the_node(v_th, walks):
    vectors, case = golden(), f"lif/vth{v_th}"
    x, spikes, grad = (vectors.array(key).movedim(-1, 0) for key in ("lif/x", f"{case}/spike", f"{case}/grad"))
    along = torch.from_numpy(direction("tdbn|lif|a", (3, 40, 8))).float().movedim(-1, 0)
    x = x.contiguous().requires_grad_()
    node = make_node("BackEIGateGrad", 1.0, 8, walks, threshold=v_th, decay=0.25)
    got = node(x.flatten(0, 1)).view(x.shape)
    assert torch.equal(got, spikes.float())
    (got * along).sum().backward()
    assert far(x.grad, grad) < 1e-5
    membranes = torch.cat(node.mem_collect).view(x.shape)
    before = vectors.array(f"{case}/u").movedim(-1, 0)
    torch.testing.assert_close(membranes, before * (1 - spikes), rtol=0, atol=2e-6)


class Narrow(TdBNResNet19):
    """The vectors' network: its script divided the last stage's width by 8 twice."""

    stages = ((128, 3), (256, 3), (64, 2))


@pytest.mark.parametrize("v_th", [0.2, 0.5])
def test_resnet19_with_both_decodings(v_th):
    vectors, at = golden(), f"resnet19_small/vth{v_th}"
    facts = vectors.facts["resnet19_small"]
    keywords = {**TdBNResNet19.neuron, "threshold": v_th, "stem_channels": 64, "width": 1 / 8, "in_chans": 3}
    net = Narrow(num_classes=10, step=facts["T"], img_size=16, spike_output=True, **keywords)
    assert all(neuron_of(node) for node in net.nodes)
    weights = vectors.state({**facts, "state_hash": facts[f"state_hash_vth{v_th}"], "seed": 0})
    for name in weights:
        if name.endswith("bias") and not name.startswith("fc"):
            weights[name] = weights[name] * v_th
    names = load(net, weights)
    x = vectors.whole_numbers("tdbn|resnet19|x", (3, 3, 16, 16), -16, 16) / 8
    inputs, means = [], []
    net.fc2.register_forward_hook(lambda layer, given, outputs: inputs.append(outputs.detach()))
    rates = net.event_logits(x[:, None])
    loss = functional.cross_entropy(rates.mean(0), torch.tensor(facts["label"]))
    loss.backward()

    torch.testing.assert_close(inputs[0].view(2, 3, 10), vectors.array(f"{at}/fc2_input"), rtol=0, atol=2e-6)
    torch.testing.assert_close(rates.mean(0), vectors.array(f"{at}/output"), rtol=0, atol=0)
    assert loss.item() == pytest.approx(facts[f"loss_vth{v_th}"], abs=2e-6)
    ours = {name: parameter.grad for name, parameter in net.named_parameters()}
    grads = {theirs: ours[name] for theirs, name in names.items() if name in ours}
    sums = vectors.arrays[f"{at}/grad_norm_sum_projection"]
    errors = dict(gradient_errors(facts["grad_names"], sums, grads))
    assert max(errors.values()) < 1e-4, errors
    assert len(errors) >= 60
    buffers = dict(net.named_buffers())
    for key in vectors.arrays:
        if key.startswith(f"{at}/grad/"):
            assert far(grads[key.removeprefix(f"{at}/grad/")], vectors.array(key)) < 1e-4, key
        if key.startswith(f"{at}/state/"):
            moved = buffers[names[key.removeprefix(f"{at}/state/")]]
            torch.testing.assert_close(moved, vectors.array(key), rtol=0, atol=1e-6, msg=key)

    for node in net.nodes:  # hooks, which part norms from nodes
        node.register_forward_hook(lambda layer, given, outputs: means.append(outputs.detach().mean()))
    assert torch.equal(net.event_logits(x[:, None]), rates)
    in_stored_order = torch.stack([means[0], *means[-2:], *means[1:-2]])  # the stem's node stands for the last two, too
    torch.testing.assert_close(in_stored_order, vectors.array(f"{at}/rates"), rtol=0, atol=1e-6)
    plain = Narrow(num_classes=10, step=facts["T"], img_size=16, **keywords)
    load(plain, weights)
    torch.testing.assert_close(plain(x[:, None]), vectors.array(f"{at}/fc2_input").mean(0), rtol=0, atol=2e-6)


def test_resnet19_is_as_large_as_published_and_shortcuts_without_a_convolution_are_bare():
    sizes = {64: 12_630_858, 128: 12_697_994}
    for stem, size in sizes.items():
        net = timm.create_model("tdbn_resnet19", num_classes=10, in_chans=3, stem_channels=stem)
        assert sum(one.numel() for one in net.parameters() if one.requires_grad) == size
    halves = [name for name, part in net.named_modules() if getattr(part, "gain", 0) == pytest.approx(0.5 * HALF)]
    assert [name for name in halves if "bn2" not in name] == ["layer2.0.downsample.1", "layer3.0.downsample.1"]
    assert len(halves) == 8 + 2
    assert {part.gain for part in net.norms} == {0.5, 0.5 * HALF}


@pytest.mark.parametrize("norm", ["step", "none"])
def test_spiking_outputs_are_the_same_step_by_step(norm):
    outputs = []
    for execution in ("step", "multi_step"):
        torch.manual_seed(0)
        settings = {"width": 1 / 16, "norm": norm, "execution": execution, "spike_output": True, "threshold": 0.1}
        net = build_backbone("tdbn_resnet19", 4, 3, 16, node_type="UnitLIFNode", decay=0.25, **settings)
        outputs.append(net.event_logits(3 * torch.rand(4, 3, 2, 16, 16)))
        with net.taps("spikes:node3"), pytest.raises(RecipeError, match="after the classifier's input"):
            net(torch.rand(4, 3, 2, 16, 16))
    assert torch.equal(*outputs)
    assert outputs[0].unique().tolist() == [0.0, 1.0]
