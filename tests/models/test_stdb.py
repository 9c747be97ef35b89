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
from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.nodes.stdb import STDBNode
from braincog_tmkt.models.parts import surrogate_class
from braincog_tmkt.models.surrogates.stdb import STDB, LinearSpike

from ..golden.published import gradient_errors, published
from ..golden.vectors import fractions, whole_numbers

published = cache(published)

STEPS, SHAPE = 32, (2, 3, 32, 32)
NODES = {"0": "pre_process.1", "3": "pre_process.4", "9": "layer1.0.residual.1", "10": "layer1.0.node"}
NODES["12"] = "layer1.1.node"
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


def uniforms(first, steps, shape):
    """The numbers that the published code's Poisson input was given, a step each."""
    return torch.stack([torch.from_numpy(fractions(f"hybrid|poisson|{first + step}", shape)) for step in range(steps)])


def images(key="hybrid|x", shape=SHAPE):
    return torch.from_numpy(whole_numbers(key, shape, -16, 16) / 16).float()


def make(execution="multi_step", step=STEPS, **kwargs):
    """The network with the weights of the vectors, and its parameters' names: theirs -> ours."""
    usual = {"node_type": "STDBNode", "threshold": 1.0, "width": 1 / 8, "img_size": 32, "in_chans": 3, "dropout": 0.0}
    net = Small(execution=execution, step=step, **{**usual, **kwargs})
    golden = published("hybrid")
    weights = golden.state(golden.facts["net"])
    names = {name: name.replace("classifier.0", "dvs_fc") for name in weights}
    state = {names[name]: value for name, value in weights.items()}
    missing = net.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all(name.endswith("threshold") or "alpha" in name for name in missing.missing_keys)
    return net, names


@pytest.mark.parametrize("execution", ["multi_step", "step"])
@pytest.mark.parametrize("case", CASES)
def test_the_published_network(case, execution, monkeypatch):
    if execution == "step" and "train" in case:
        pytest.skip("masks that all steps share need all steps at once")
    golden, at = published("hybrid"), f"net/{case}"
    net, names = make(execution, rate=0.9, **CASES[case])
    for node, threshold in zip(net.nodes, (0.70959, 1.04097, 0.88221), strict=False):
        node.threshold.fill_(threshold)
    monkeypatch.setattr(torch, "rand_like", lambda x: uniforms(0, STEPS, SHAPE).float())
    masks = (torch.from_numpy(fractions(f"hybrid|mask|{name}", net_shape(net, name))) for name in MASKS)
    monkeypatch.setattr(all_steps.functional, "dropout", lambda ones, p: (next(masks).float() >= p) / (1 - p))
    taps = [f"{kind}:{name}" for name in NODES.values() for kind in ("potential",)]
    with net.train("train" in case).taps(*taps) as seen:
        logits = net.event_logits(images()[:, None])
    assert logits.shape == (STEPS, 2, 10)
    assert not logits[: net.delay].any()
    potential = logits.sum(0)
    torch.testing.assert_close(potential, golden.array(f"{at}/output"), rtol=1e-6, atol=2e-6)
    loss = functional.cross_entropy(potential, torch.tensor(golden.facts["net"]["label"]))
    assert loss.item() == pytest.approx(golden.facts["net"][f"loss_{case}"], rel=1e-6)
    for number, name in NODES.items():
        if f"{at}/z/{number}" in golden.arrays:
            stored = golden.array(f"{at}/z/{number}")
            z = seen[f"potential:{name}"][:, 0] / net.get_submodule(name).threshold - 1
            part = z[tuple(slice(0, side) for side in stored.shape)]
            torch.testing.assert_close(part, stored, rtol=0, atol=2e-6)
    loss.backward()
    grads = {theirs: net.get_parameter(ours).grad for theirs, ours in names.items()}
    sums = golden.arrays[f"{at}/grad_norm_sum_projection"]
    errors = dict(gradient_errors(golden.facts["net"]["grad_names"], sums, grads))
    print(case, execution, max(errors.values()), (potential - golden.array(f"{at}/output")).abs().max())
    assert len(errors) == 23
    assert max(errors.values()) < 1e-4, errors
    for name, grad in grads.items():
        if f"{at}/grad/{name}" in golden.arrays:
            stored = golden.array(f"{at}/grad/{name}")
            assert ((grad - stored).norm() / stored.norm()).item() < 1e-4


def net_shape(net, name):
    """The shape of the mask of a layer, that of the potential in front of it."""
    stage = name[len("layer") : len("layer") + 1]
    side, out = (32, 8) if name.startswith("pre") else ({"1": 16, "2": 8, "3": 4, "4": 2}[stage], {"1": 8, "2": 16, "3": 32, "4": 8}[stage])
    return 2, out, side, side
