"""Outputs of the baseline's reference code (../shared/golden): logits, membranes, statistics, losses, gradients."""

import importlib
import sys

import numpy as np
import pytest
import torch

from braincog_tmkt.integration import node_class, surrogate_class
from braincog_tmkt.losses import cka
from braincog_tmkt.models.nodes import multi_step_node
from tests.models import golden

pytestmark = pytest.mark.data
EXECUTIONS = ("step", "multi_step")


@pytest.fixture(scope="module")
def check(shared):
    sys.path.insert(0, str(shared / "golden"))
    yield importlib.import_module("check")
    sys.path.remove(str(shared / "golden"))


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", ["vgg_small", "resnet18_small", "scnn_small", "scnn"])
def test_forward_loss_and_every_gradient(check, name, mode, execution):
    meta, arrays, *inputs = check.load(name)
    rows, absent = check.compare(meta, arrays, mode, golden.run(meta, mode, *inputs, execution=execution), check.TIGHT)
    assert not absent
    assert len(rows) >= 18
    assert [row for row in rows if not row[3]] == []


@pytest.mark.parametrize("name", ["vgg_small", "resnet18_small", "scnn_small"])
def test_loss_under_all_flag_combinations(check, name):
    meta, _, *inputs = check.load(name)
    for flags, expected in meta["modes"]["train"]["loss_by_flags"].items():
        domain, tet, regularise = (part[-1] == "1" for part in flags.split("_"))
        weights = {"alignment_weight": 0.5 * domain, "tet": tet, "regularise": regularise}
        got = golden.run(meta, "train", *inputs, **weights)["terms"]["loss"]
        assert got == pytest.approx(expected, rel=2e-6), flags


def test_cka_per_step_and_nodes_statistics(check):
    meta, arrays, *inputs = check.load("vgg_small")
    assert golden.run(meta, "train", *inputs)["cka"] == pytest.approx(arrays["train/cka"], abs=2e-6)


def test_gradients_without_tet_and_step_weights(check):
    meta, arrays, *inputs = check.load("scnn_small")
    grads = golden.run(meta, "train_omni", *inputs)["grads"]
    stored = meta["modes"]["train_omni"]
    assert not [name for name in stored["no_grad"] if name in grads]
    for name, (norm, total, _) in zip(stored["grad_names"], arrays["train_omni/grad_norm_sum_projection"], strict=True):
        assert np.linalg.norm(grads[name].astype(np.float64)) == pytest.approx(norm, rel=1e-4)
        assert grads[name].sum(dtype=np.float64) == pytest.approx(total, rel=1e-3, abs=1e-4 * norm)


@pytest.mark.parametrize("size", [4, 8])
def test_cka_and_its_gradients(check, size):
    arrays = np.load(check.HERE + "/nodes.npz")
    x, y = (torch.from_numpy(arrays[f"cka/{size}/{side}"])[None].requires_grad_() for side in "xy")
    value = cka(x, y)
    value.sum().backward()
    assert value.item() == pytest.approx(float(arrays[f"cka/{size}/value"]), rel=1e-5)
    assert x.grad[0].numpy() == pytest.approx(arrays[f"cka/{size}/grad_x"], rel=1e-4, abs=1e-7)
    assert y.grad[0].numpy() == pytest.approx(arrays[f"cka/{size}/grad_y"], rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("surrogate", ["QGateGrad", "BackEIGateGrad"])
@pytest.mark.parametrize("kind", ["LIFNode", "IFNode", "PLIFNode"])
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_nodes_with_exact_ties_at_the_threshold(check, kind, surrogate, execution):
    arrays = np.load(check.HERE + "/nodes.npz")
    x = torch.from_numpy(arrays["node/x"]).requires_grad_()
    multi_step = execution == "multi_step"
    make = multi_step_node(node_class(kind)) if multi_step else node_class(kind)
    keywords = {"step": len(x), "layer_by_layer": multi_step, "requires_mem": True, "threshold": 0.5}
    node = make(act_fun=surrogate_class(surrogate), **keywords)
    spike = node(x.flatten(0, 1)).view_as(x) if multi_step else torch.stack([node(step) for step in x])
    membrane = torch.stack(node.mem_collect)
    assert np.array_equal(spike.detach().numpy(), arrays[f"node/{kind}/{surrogate}/spike"])
    assert membrane.detach().numpy() == pytest.approx(arrays[f"node/{kind}/{surrogate}/mem"], abs=1e-6)
    fill = importlib.import_module("fill")
    a, b = (torch.from_numpy(fill.direction(side, tuple(x.shape))) for side in "ab")
    (spike * a + membrane * b).sum().backward()
    assert x.grad.numpy() == pytest.approx(arrays[f"node/{kind}/{surrogate}/grad"], abs=1e-5)
