"""Hybrid training's node, surrogates, input spikes and network, against the published code's numbers."""

from functools import cache

import pytest
import timm
import torch
from torch.nn import functional

import braincog_tmkt  # noqa: F401  enters the networks
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models import all_steps, build_backbone
from braincog_tmkt.models.hybrid_resnet20 import HybridResNet20, signed_poisson
from braincog_tmkt.models.nodes.stdb import STDBNode
from braincog_tmkt.models.surrogates.stdb import STDB, LinearSpike

from ..golden.published import gradient_errors, published
from ..golden.vectors import fractions, whole_numbers

published = cache(published)

STEPS, SHAPE = 32, (2, 3, 32, 32)
WATCHED = {"0": "pre_process.1", "3": "pre_process.4", "9": "layer1.0.residual.1", "10": "layer1.0.node"}
WATCHED["12"] = "layer1.1.node"
"""The published number of a neuron, where potentials are stored -> the name of the node."""

MASKS = ["pre_process.2", "pre_process.5", *(f"layer{n}.{block}.residual.2" for n in (1, 2, 3, 4) for block in (0, 1))]

CASES = {
    "linear_eval": {"act_fun": "LinearSpike"},
    "stdb_eval": {"act_fun": "STDB"},
    "linear_train": {"act_fun": "LinearSpike", "dropout": 0.5},
    "linear_eval_leak.99": {"act_fun": "LinearSpike", "leak": 0.99},
}


class Small(HybridResNet20):
    """The vectors' network, whose last stage is as narrow as its first."""

    stage_channels = (64, 128, 256, 64)


def uniforms(first, steps, shape=SHAPE):
    """The numbers that the published code's Poisson input was given, one set a step."""
    sets = [torch.from_numpy(fractions(f"hybrid|poisson|{first + step}", shape)) for step in range(steps)]
    return torch.stack(sets).float()


def images(key="hybrid|x", shape=SHAPE):
    return torch.from_numpy(whole_numbers(key, shape, -16, 16) / 16).float()


def make(**kwargs):
    """The network with the weights of the vectors, and the names of its parameters: theirs -> ours."""
    usual = {"node_type": "STDBNode", "act_fun": "LinearSpike", "threshold": 1.0, "dropout": 0.0, "rate": 0.9}
    usual |= {"step": STEPS, "width": 1 / 8, "img_size": 32, "in_chans": 3}
    net, golden = Small(**{**usual, **kwargs}), published("hybrid")
    weights = golden.state(golden.facts["net"])
    names = {name: name.replace("classifier.0", "dvs_fc") for name in weights}
    found = net.load_state_dict({names[name]: value for name, value in weights.items()}, strict=False)
    assert not found.unexpected_keys
    assert len(found.missing_keys) == 19  # thresholds
    return net, names


def watch(net):
    """Lists that a forward pass fills, by node: the potentials and times that decide, and the mean of the spikes."""
    seen = {name: {"z": [], "since": [], "rate": []} for name, part in net.named_modules() if part in net.nodes}

    def see_inputs(_, given, name):
        for key, value in zip(("z", "since"), given, strict=False):
            seen[name][key].append(value[0].detach())

    for name, lists in seen.items():
        node = net.get_submodule(name)
        node.act_fun.register_forward_pre_hook(lambda _, given, name=name: see_inputs(_, given, name))
        node.register_forward_hook(lambda _, __, spikes, lists=lists: lists["rate"].append(spikes.detach().mean()))
    return seen


def corner(values, stored):
    """The part of `[C, H, W]` tensors, one a step, of which there are stored numbers."""
    return torch.stack(values)[tuple(slice(0, side) for side in stored.shape)]


@pytest.mark.parametrize(("case", "execution"), [("linear_eval", "step"), *((case, "multi_step") for case in CASES)])
def test_the_published_network(case, execution, monkeypatch):
    golden, at = published("hybrid"), f"net/{case}"
    facts = golden.facts["net"]
    net, names = make(execution=execution, **CASES[case])
    for node, threshold in zip(net.nodes, facts["thresholds_used"].values(), strict=True):
        node.threshold.fill_(threshold)
    masks = iter(MASKS)

    def mask(ones, p):
        drawn = torch.from_numpy(fractions(f"hybrid|mask|{next(masks)}", tuple(ones.shape)))
        return (drawn >= p) / (1 - p)

    monkeypatch.setattr(torch, "rand_like", lambda x: uniforms(0, STEPS))
    monkeypatch.setattr(all_steps.functional, "dropout", mask)
    seen = watch(net)
    logits = net.train("train" in case).event_logits(images()[:, None])
    assert next(masks, None) == (None if "train" in case else MASKS[0])
    assert logits.shape == (STEPS, 2, 10)
    assert not logits[: net.delay].any()
    potential = logits.sum(0)
    torch.testing.assert_close(potential, golden.array(f"{at}/output"), rtol=0, atol=4e-6)
    loss = functional.cross_entropy(potential, torch.tensor(facts["label"]))
    assert loss.item() == pytest.approx(facts[f"loss_{case}"], rel=1e-6)
    rates = torch.stack([torch.stack(lists["rate"]).mean() for lists in seen.values()])
    torch.testing.assert_close(rates, golden.array(f"{at}/rates"), rtol=0, atol=1e-6)
    for number, name in WATCHED.items():
        times = f"net/linear_eval/last_spike_distance/{number}"  # the spikes of both surrogates are the same
        if case == "stdb_eval":  # a surrogate that wants to know the time
            assert torch.equal(corner(seen[name]["since"], golden.arrays[times]), golden.array(times).float())
        elif f"{at}/z/{number}" in golden.arrays:
            z = golden.array(f"{at}/z/{number}")
            torch.testing.assert_close(corner(seen[name]["z"], z), z, rtol=0, atol=2e-6)
    loss.backward()
    grads = {theirs: net.get_parameter(ours).grad for theirs, ours in names.items()}
    errors = dict(gradient_errors(facts["grad_names"], golden.arrays[f"{at}/grad_norm_sum_projection"], grads))
    assert len(errors) == 23
    assert {name: error for name, error in errors.items() if not error <= 1e-4} == {}
    whole = [name for name in grads if f"{at}/grad/{name}" in golden.arrays]
    for name in whole:
        stored = golden.array(f"{at}/grad/{name}")
        assert (grads[name] - stored).norm() <= 1e-4 * stored.norm()
    assert len(whole) == (0 if "leak" in case else 3)


def test_the_published_thresholds(monkeypatch):
    golden, shape, first = published("hybrid"), (8, 3, 32, 32), iter(range(30))
    net, _ = make()
    monkeypatch.setattr(torch, "rand_like", lambda x: uniforms(next(first), 1, shape)[0])
    x = images("hybrid|balance|x", shape)
    found = net.eval().balance(x[:, None], 10, 0.7)
    assert next(first, None) is None
    torch.testing.assert_close(torch.tensor(found), 0.7 * golden.array("balance/thresholds"), rtol=1e-6, atol=0)
    assert [node.threshold.item() for node in net.nodes] == pytest.approx([*found, *[1.0] * 16])


def test_the_published_ann():
    net, _ = make(node_type="ReLUNode", step=1, rate=None)
    logits, stored = net.eval().event_logits(images()[:, None])[0], published("hybrid").array("ann/logits")
    torch.testing.assert_close(logits, stored, rtol=0, atol=2e-6 * stored.abs().max().item())


def test_the_published_surrogates():
    z, spike, slope = published("hybrid").array("surrogate/linear")
    given = z.clone().requires_grad_()
    spikes = LinearSpike()(given)
    spikes.sum().backward()
    assert torch.equal(spikes, spike)
    torch.testing.assert_close(given.grad, slope, rtol=0, atol=1e-7)
    since, code, _, formula = published("hybrid").array("surrogate/stdb").float()
    for underflow, expected in ((True, code), (False, formula)):
        given = torch.zeros_like(since).requires_grad_()
        STDB(underflow=underflow)(given, since).sum().backward()
        certain = (since < 88) | (since > 103)  # in between float32 has few digits, or none
        torch.testing.assert_close(given.grad[certain], expected[certain], rtol=1e-5, atol=1e-9)
        torch.testing.assert_close(given.grad, expected, rtol=5e-3, atol=1e-9)


def test_the_published_input_spikes():
    stored = published("hybrid").array("poisson/first4")
    spikes = signed_poisson(images().expand(4, *SHAPE), 0.9, uniforms(0, 4))
    assert torch.equal(spikes, stored.float())


def test_the_published_number_of_parameters_and_their_first_values():
    torch.manual_seed(0)
    net = timm.create_model("hybrid_resnet20", in_chans=3, img_size=32)
    shapes = {name.replace("dvs_fc", "classifier.0"): [*w.shape] for name, w in net.named_parameters() if w.dim()}
    assert shapes == published("hybrid").facts["full_shapes"]
    for name, deviation in (("dvs_fc", 0.01), ("layer2.0.residual.0", (2 / (9 * 128)) ** 0.5)):
        weight = net.get_submodule(name).weight
        assert weight.std().item() == pytest.approx(deviation, rel=0.03)


def small(step=14, **kwargs):
    torch.manual_seed(0)
    usual = {"node_type": "STDBNode", "act_fun": "STDB", "threshold": 0.25, "width": 1 / 16, "rate": 0.9}
    return build_backbone("hybrid_resnet20", 3, step, 16, **{**usual, "dropout": 0.0, **kwargs})


def gradients(net, seed=1):
    torch.manual_seed(seed)
    logits = net.train().event_logits(torch.ones(2, 1, 2, 16, 16))
    logits.square().sum().backward()
    assert logits.any()
    return [logits.detach(), *(weight.grad for weight in net.parameters() if weight.requires_grad)]


def test_recomputed_layers_draw_the_same_masks_and_keep_time():
    kept, again = (gradients(small(dropout=0.5, recompute=recompute)) for recompute in (False, True))
    torch.testing.assert_close(again, kept)


def test_input_spikes_and_masks_follow_the_seed_alone():
    net = small(dropout=0.5)
    first, same, other = (gradients(net, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_frames_are_scaled_first_and_spikes_take_their_sign():
    net = small(input_mean=[0.5], input_deviation=[0.5, 0.25])
    frames = torch.rand(4, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    spikes = net.encoded((frames - net.input_mean) / net.input_deviation)
    assert spikes.shape == (14, 4, 2, 16, 16)
    seen = []
    net.stem.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net.event_logits(frames[:, None])
    signs = seen[0].view(14, 4, 2, 16, 16).sum(0).sign()
    assert (signs * (frames - 0.5) >= 0).all()
    often = seen[0].view(14, 4, 2, 16, 16).abs().mean((0, 1, 3, 4))
    expected = (0.9 * ((frames - 0.5).abs() / torch.tensor([0.5, 0.25]).view(2, 1, 1))).clamp(max=1).mean((0, 2, 3))
    torch.testing.assert_close(often, expected, rtol=0, atol=0.02)


def test_a_spike_is_decided_by_the_potential_that_the_step_before_left():
    net = small(step=8)
    with net.eval().taps(*(f"{kind}:pre_process.4" for kind in ("potential", "membrane", "spikes"))) as seen:
        net.event_logits(torch.ones(2, 1, 2, 16, 16))
    potential, membrane, spikes = seen.values()
    assert not potential[0].any()
    assert torch.equal(potential[1:], membrane[:-1])
    assert torch.equal(spikes, (potential > 0.25).float())
    assert spikes.any()


def test_a_network_of_other_nodes_says_so():
    assert [small(node_type=node).notes() for node in ("ReLUNode", "STDBNode")] == [[], []]
    assert "runs with LIFNode" in small(node_type="LIFNode", act_fun="QGateGrad").notes()[0]


def test_a_node_counts_the_steps_since_its_last_spike():
    node = STDBNode(act_fun="STDB", leak=0.5)
    since = []
    for current in (4.0, 0.0, 0.0, 0.0, 4.0, 0.0):
        node(torch.tensor([current]))
        since.append(float(node.since))
    assert since == [1000, 1, 2, 3, 4, 1]  # from 4 the potential goes to 1, which is not above the threshold
    node.n_reset()
    assert node.since == 999


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dropout": 1.0}, "from 0 to below 1"),
        ({"rate": 0.0}, "above 0 and at most 1"),
        ({"input_mean": [0.1, 0.2, 0.3]}, "one for each of the 2 channels"),
        ({"input_mean": "05"}, "must be a list"),
        ({"input_deviation": [0.0]}, "above 0"),
        ({"leak": 0.0}, "above 0 and at most 1"),
        ({"leak": 1.5}, "above 0 and at most 1"),
        ({"tau": 3.0}, "takes leak, not tau"),
        ({"mem_detach": True}, "no gradient would reach"),
        ({"norm": "step"}, "no place for norm"),
    ],
)
def test_bad_settings_are_explained(settings, words):
    with pytest.raises(RecipeError, match=words):
        small(**settings)


def test_other_nodes_do_not_know_the_time_that_stdb_wants():
    net = small(node_type="UnitLIFNode")
    with pytest.raises(RecipeError, match="only STDBNode tracks"):
        net.event_logits(torch.ones(1, 1, 2, 16, 16))


def test_a_stem_without_currents_has_no_thresholds():
    net = small()
    net.stem.weight.data.fill_(-1.0)
    with pytest.raises(RecipeError, match="convolution 1 do not exceed 0 in 3 steps"):
        net.balance(torch.ones(1, 1, 2, 16, 16), 3)
