"""Outputs of the baseline's reference code (tests/golden): logits, membranes, statistics, losses, gradients."""

import numpy as np
import pytest
import torch

from braincog_tmkt.losses import cka
from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.parts import node_class, surrogate_class
from tests.golden import vectors
from tests.models.golden import run

EXECUTIONS = ("step", "multi_step")
NETWORKS = ("vgg_small", "resnet18_small", "scnn_small", "scnn")


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", NETWORKS)
def test_forward_loss_and_every_gradient(name, mode, execution):
    golden = vectors.load(name)
    differences = list(vectors.differences(golden, mode, run(golden, mode, execution)))
    assert len(differences) >= 18
    assert [(what, error) for what, error in differences if not error <= 1] == []


@pytest.mark.parametrize("name", NETWORKS[:3])
def test_loss_under_all_flag_combinations(name):
    golden = vectors.load(name)
    by_flags = golden.facts["modes"]["train"]["loss_by_flags"]
    assert len(by_flags) == 8
    for flags, expected in by_flags.items():
        domain, tet, regularise = (part[-1] == "1" for part in flags.split("_"))
        weights = {"alignment_weight": 0.5 * domain, "tet": tet, "regularise": regularise}
        got = run(golden, "train", **weights)["terms"]["loss"]
        assert got == pytest.approx(expected, rel=2e-6), flags


def test_cka_per_step_and_nodes_statistics():
    golden = vectors.load("vgg_small")
    assert run(golden, "train")["cka"] == pytest.approx(golden.arrays["train/cka"], abs=2e-6)


def test_gradients_without_tet_and_step_weights():
    golden = vectors.load("scnn_small")
    grads = run(golden, "train_omni")["grads"]
    stored = golden.facts["modes"]["train_omni"]
    assert not [name for name in stored["no_grad"] if name in grads]
    sums = golden.arrays["train_omni/grad_norm_sum_projection"]
    for name, (norm, total, _) in zip(stored["grad_names"], sums, strict=True):
        assert np.linalg.norm(grads[name].astype(np.float64)) == pytest.approx(norm, rel=1e-4)
        assert grads[name].sum(dtype=np.float64) == pytest.approx(total, rel=1e-3, abs=1e-4 * norm)


@pytest.mark.parametrize("size", [4, 8])
def test_cka_and_its_gradients(size):
    arrays = vectors.read("nodes")
    x, y = (torch.from_numpy(arrays[f"cka/{size}/{side}"])[None].requires_grad_() for side in "xy")
    value = cka(x, y)
    value.sum().backward()
    assert value.item() == pytest.approx(float(arrays[f"cka/{size}/value"]), rel=1e-5)
    assert x.grad[0].numpy() == pytest.approx(arrays[f"cka/{size}/grad_x"], rel=1e-4, abs=1e-7)
    assert y.grad[0].numpy() == pytest.approx(arrays[f"cka/{size}/grad_y"], rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("surrogate", ["QGateGrad", "BackEIGateGrad"])
@pytest.mark.parametrize("kind", ["LIFNode", "IFNode", "PLIFNode"])
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_nodes_with_exact_ties_at_the_threshold(kind, surrogate, execution):
    arrays = vectors.read("nodes")
    x = torch.from_numpy(arrays["node/x"]).requires_grad_()
    multi_step = execution == "multi_step"
    make = multi_step_node(node_class(kind)) if multi_step else node_class(kind)
    keywords = {"step": len(x), "layer_by_layer": multi_step, "requires_mem": True, "threshold": 0.5}
    node = make(act_fun=surrogate_class(surrogate), **keywords)
    spike = node(x.flatten(0, 1)).view_as(x) if multi_step else torch.stack([node(step) for step in x])
    membrane = torch.stack(node.mem_collect)
    assert np.array_equal(spike.detach().numpy(), arrays[f"node/{kind}/{surrogate}/spike"])
    assert membrane.detach().numpy() == pytest.approx(arrays[f"node/{kind}/{surrogate}/mem"], abs=1e-6)
    a, b = (torch.from_numpy(vectors.direction(side, x.shape)).float() for side in "ab")
    (spike * a + membrane * b).sum().backward()
    assert x.grad.numpy() == pytest.approx(arrays[f"node/{kind}/{surrogate}/grad"], abs=1e-5)
