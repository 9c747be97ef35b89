"""PLIF: its neuron, its network, its vote, loss and schedule, against the published code's numbers."""

from functools import cache

import pytest
import torch

from braincog_tmkt.engine.step import make_scheduler
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.losses.mse_rate import RateMSE
from braincog_tmkt.models import all_steps, build_backbone
from braincog_tmkt.models.fused_bn_neuron import neuron_of
from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.nodes.lif import UnitLIFNode
from braincog_tmkt.models.parts import surrogate_class
from braincog_tmkt.models.plif import SNN4
from braincog_tmkt.recipe import load_recipe
from braincog_tmkt.recipe.files import find_recipe

from ..golden.published import gradient_errors, published
from ..golden.vectors import direction, fractions

GOLDEN = cache(lambda: published("plif"))
FORM = {key: value for key, value in SNN4.neuron.items() if key not in ("node_type", "act_fun", "alpha")}
NEURONS = {
    "plif_tau2": {},
    "plif_w_-0.75": {"decay": 1 - torch.tensor(-0.75).double().sigmoid().item()},
    "plif_tau2_reset_not_detached": {"detach_reset": False},
    "lif_tau2": {"learn_decay": False},
}


def drawn(name, shape):
    return torch.from_numpy(fractions(name, shape)).float()


def test_the_surrogate():
    x, spike, slope = GOLDEN().array("surrogate/atan")
    x.requires_grad_()
    node = UnitLIFNode(1.0, act_fun=surrogate_class("AtanGrad")(2.0, False), inclusive=True)
    got = node(x + 1)  # a power of two apart: the sum and the difference are exact
    got.sum().backward()
    assert torch.equal(got, spike)
    torch.testing.assert_close(x.grad, slope, rtol=1e-6, atol=0)


@pytest.mark.parametrize("walks", [False, True])
@pytest.mark.parametrize("case", NEURONS)
def test_the_neuron(case, walks):
    golden, form = GOLDEN(), {**FORM, **NEURONS[case]}
    x = golden.array("neuron/x").requires_grad_()
    act_fun = surrogate_class("AtanGrad")(2.0, False)
    node = multi_step_node(UnitLIFNode)(act_fun=act_fun, step=len(x), layer_by_layer=True, requires_mem=True, **form)
    node.walks = walks
    assert (neuron_of(node) is None) == walks
    spikes = node(x.flatten(0, 1)).view(x.shape)
    membranes = torch.stack(node.mem_collect).view(x.shape)
    assert torch.equal(spikes, golden.array(f"neuron/{case}/spike").float())
    torch.testing.assert_close(membranes, golden.array(f"neuron/{case}/v"), rtol=0, atol=2e-6)
    a, b = (torch.from_numpy(direction(f"plif|{each}", x.shape)).float() for each in "ab")
    ((spikes * a).sum() + (membranes * b).sum()).backward()
    torch.testing.assert_close(x.grad, golden.array(f"neuron/{case}/grad_x"), rtol=1e-5, atol=1e-6)
    if form["learn_decay"]:
        torch.testing.assert_close(node.w.grad, golden.array(f"neuron/{case}/grad_w"), rtol=1e-5, atol=0)


def network(**changes):
    """The published network at 8 channels with the vectors' weights, and our names by the reference's."""
    facts = GOLDEN().facts["net"]
    net = build_backbone("plif_snn4", 10, facts["T"], 128, width=1 / 16, **changes)
    names = {f"conv.{4 * i}": f"feature.{2 * i}.conv" for i in range(4)}
    names |= {f"conv.{4 * i + 1}": f"feature.{2 * i}.bn" for i in range(4)} | {"fc.2": "fc.1", "fc.5": "fc.4"}
    state, weights = net.state_dict(), GOLDEN().state({**facts, "seed": 0})
    names = {name: f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}" for name in weights}
    for name, value in weights.items():
        norm = f"{name.rpartition('.')[0]}.running_mean" in weights
        state[names[name]] = value * 2 if norm and name.endswith("weight") else value
    places = [f"feature.{2 * i}.node.w" for i in range(4)] + ["fc.2.w", "fc.5.w"]
    for number, (place, name) in enumerate(zip(places, [*facts["rate_names"]], strict=True)):
        state[place], names[f"{name}.w"] = torch.tensor((number - 3) / 8), place
    net.load_state_dict(state)
    return net, names


@pytest.mark.parametrize(("case", "walks"), [("no_dropout", False), ("dropout", False), ("dropout", True)])
def test_the_network(case, walks, monkeypatch):
    golden, facts = GOLDEN(), GOLDEN().facts["net"]
    net, names = network(dropout=0.5 * (case == "dropout"))
    for node in net.nodes:
        node.walks = walks
    x = (8 * drawn("plif|net|x", (facts["batch"], facts["T"], 2, 128, 128))).floor().sub(4).clamp(min=0)
    masks = iter([2 * (drawn(f"plif|mask|fc.{place}", (2, size)) >= 0.5) for place, size in ((1, 512), (4, 128))])
    if case == "dropout":
        monkeypatch.setattr(all_steps.functional, "dropout", lambda ones, p: {0.5: next(masks)}[p].view(ones.shape))
    logits = net.train().event_logits(x)
    counter = golden.array(f"net/{case}/counter")
    torch.testing.assert_close(logits.sum(0), counter, rtol=0, atol=2e-6)
    loss = RateMSE()(logits, torch.tensor(facts["label"]), 0.0)["loss"]
    assert loss.item() == pytest.approx(facts[f"loss_{case}"], abs=2e-6)
    loss.backward()
    grads = {name: net.get_parameter(ours).grad for name, ours in names.items() if name in facts["grad_names"]}
    sums = golden.arrays[f"net/{case}/grad_norm_sum_projection"]
    errors = dict(gradient_errors(facts["grad_names"], sums, grads))
    assert errors.keys() == {*facts["grad_names"]}
    assert {name: error for name, error in errors.items() if not error <= 1e-4} == {}
    for stored in golden.arrays:
        if stored.startswith(f"net/{case}/grad/"):
            expected = golden.array(stored)
            got = grads[stored.removeprefix(f"net/{case}/grad/")]
            assert (got - expected).norm() <= 1e-4 * expected.norm(), stored
        elif stored.startswith("net/running/"):
            ours = net.get_buffer(names[stored.removeprefix("net/running/")])
            torch.testing.assert_close(ours, golden.array(stored), rtol=0, atol=1e-6)
    with torch.no_grad():
        again = net.eval().event_logits(x).sum(0)
    torch.testing.assert_close(again, golden.array(f"net/{case}/counter_eval_after"), rtol=0, atol=2e-6)


def test_the_number_of_parameters_is_the_published_codes():
    with torch.device("meta"):
        net = build_backbone("plif_snn4", 10, 20, 128)
    count = sum(weight.numel() for weight in net.parameters() if weight.requires_grad)
    assert count == GOLDEN().facts["parameters_full"] == 17_427_718


def test_the_learning_rates_of_the_recipe():
    recipe = load_recipe(find_recipe("cifar10dvs/plif"))
    optimizer = torch.optim.Adam([torch.zeros(1)], recipe.optim.lr)
    scheduler = make_scheduler(optimizer, recipe.optim, recipe.train.epochs)
    for epoch, rate in GOLDEN().facts["lr_by_epoch"].items():
        scheduler.step(int(epoch))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-6, abs=1e-12), epoch


@pytest.mark.parametrize("changes", [{"decay_input": False}, {"decay": 0.0}])
def test_a_decay_that_cannot_be_learnt_is_refused(changes):
    with pytest.raises(RecipeError, match="learn_decay needs decay_input: true"):
        UnitLIFNode(**{**FORM, **changes})
