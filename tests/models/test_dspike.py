"""Dspike against the numbers of its public forms, which tests/golden/methods/dspike.json names; inside a network."""

from functools import cache

import pytest
import timm
import torch
from torch.nn import functional

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.dspike import DspikeResNet18
from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.nodes.lif import UnitLIFNode
from braincog_tmkt.models.resnet19 import HALF
from braincog_tmkt.models.surrogates.dspike import Dspike
from tests.golden.published import gradient_errors, published
from tests.golden.vectors import direction

from .test_published import load
from .test_unit_lif import far

golden = cache(lambda: published("dspike"))
FORMS = {
    "a_unit_interval/closed": lambda b: {"temperature": b},
    "d_spikingjelly": lambda b: {"temperature": b},
    "b_region1/closed": lambda b: {"temperature": 2 * b, "window": 2.0},
    "c_region_b/closed": lambda b: {"temperature": 2 * b * b, "window": 2 * b},
}
"""Public form -> the keywords that make it, for the temperature b there."""


@pytest.mark.parametrize("case", range(6))
@pytest.mark.parametrize("form", FORMS)
def test_spikes_and_gradients_are_those_of_the_public_code(form, case):
    keywords = FORMS[form](golden().facts["b"][case])
    x = golden().array("x").requires_grad_()
    spikes = Dspike(**keywords)(x)
    spikes.sum().backward()
    fired, slope = golden().array(f"surrogate/{form}")[case]
    at_0 = x.detach() == 0
    assert at_0.sum() == 1
    assert torch.equal(spikes[~at_0], fired[~at_0])
    assert spikes[at_0].item() == 0
    assert fired[at_0].item() == (0 if form.startswith("a") else 1)  # with a node's `inclusive`, see below
    torch.testing.assert_close(x.grad, slope, rtol=2e-6, atol=2e-6)
    if case < 4:  # above b = 3 the public codes' 1 - tanh^2 is 0 before the end of a window
        assert torch.equal(x.grad != 0, slope != 0)
        opened = golden().arrays.get(f"surrogate/{form.replace('closed', 'open')}")
        ends = torch.from_numpy(slope.numpy() != opened[case, 1])  # where a clamp of PyTorch 2.14 lets nothing through
        inside = keywords.get("window", 1.0) <= 3  # of what x covers
        assert ends.sum() == (2 if inside and form != "d_spikingjelly" else 0)
        assert x.grad[ends].all()


NODES = {
    "a_vth1": ({"temperature": 3.0}, {"threshold": 0.5, "decay": 0.25}),
    "a_vth.5": ({"temperature": 3.0, "window": 0.5}, {"threshold": 0.25, "decay": 0.25}),
    "b_soft": ({"temperature": 6.0, "window": 2.0}, {"decay": 0.5, "inclusive": True, "soft_reset": True}),
    "b_hard": ({"temperature": 6.0, "window": 2.0}, {"decay": 0.5, "inclusive": True}),
}
"""Public sequence -> keywords of the surrogate and of the node."""


@pytest.mark.parametrize("name", NODES)
def test_sequences_of_the_public_nodes(name):
    surrogate, how = NODES[name]
    how = {"threshold": 0.5, **how}
    x = golden().array("lif/x").requires_grad_()
    spike, grad = (golden().array(f"lif/{name}/{key}") for key in ("spike", "grad"))
    node = multi_step_node(UnitLIFNode)(
        act_fun=Dspike(**surrogate), step=8, layer_by_layer=True, requires_mem=True, **how
    )
    got = node(x.flatten(0, 1)).view(x.shape)
    assert torch.equal(got, spike.float())
    (got * torch.from_numpy(direction("dspike|a", tuple(x.shape)))).sum().backward()
    assert far(x.grad, grad) < 1e-6
    if f"lif/{name}/u" in golden().arrays:
        kept = golden().array(f"lif/{name}/u") * (1 - spike)
        torch.testing.assert_close(torch.cat(node.mem_collect).view(x.shape), kept, rtol=0, atol=2e-6)


def test_resnet18_is_that_of_later_code_of_the_authors():
    """The form with three first convolutions; the other one has the same blocks."""
    vectors = published("dspike_resnet18")
    facts = vectors.facts["resnet18"]
    keywords = {**DspikeResNet18.neuron, "deep_stem": True, "width": 1 / 8, "in_chans": 3}
    net = build_backbone("dspike_resnet18", 10, facts["T"], 20, **keywords)
    weights = vectors.state(facts)
    for name in weights:
        if name.endswith("bias") and name.replace("bias", "running_mean") in weights:
            weights[name] = weights[name] / 2
    names = load(net, weights)
    x = vectors.whole_numbers("dspike|resnet18|x", (3, 3, 20, 20), -16, 16) / 8
    logits = net.event_logits(x[:, None])
    loss = functional.cross_entropy(logits.mean(0), torch.tensor(facts["label"]))
    loss.backward()
    torch.testing.assert_close(logits, vectors.array("resnet18/logits"), rtol=0, atol=2e-6)
    assert loss.item() == pytest.approx(facts["loss"], abs=2e-6)
    ours = {name: parameter.grad for name, parameter in net.named_parameters()}
    grads = {theirs: ours[name] for theirs, name in names.items() if name in ours}
    sums = vectors.arrays["resnet18/grad_norm_sum_projection"]
    errors = dict(gradient_errors(facts["grad_names"], sums, grads))
    assert max(errors.values()) < 1e-4, errors
    assert len(errors) == len(sums)
    for key in vectors.arrays:
        if "/grad/" in key:
            assert far(grads[key.removeprefix("resnet18/grad/")], vectors.array(key)) < 1e-4, key
        if "/state/" in key:
            moved = net.state_dict()[names[key.removeprefix("resnet18/state/")]]
            torch.testing.assert_close(moved, vectors.array(key), rtol=0, atol=1e-6, msg=key)


@pytest.mark.parametrize(("deep", "size"), [(False, 11_173_962), (True, 11_247_946)])
def test_resnet18_has_one_first_convolution_or_three(deep, size):
    net = timm.create_model("dspike_resnet18", num_classes=10, in_chans=3, deep_stem=deep)
    assert sum(one.numel() for one in net.parameters() if one.requires_grad) == size
    assert sum(part.gain == 0.5 * HALF for part in net.norms) == 3 * 2
    assert sum(part.gain == 0.5 for part in net.norms) == 1 + 2 * deep + 8 + 5
    weight = net.layer4[1].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)
    assert net.dvs_fc.weight.std().item() == pytest.approx(1 / 512, rel=0.05)


def test_a_network_takes_it_and_its_temperature_in_both_executions():
    gradients = []
    for execution in ("step", "multi_step"):
        torch.manual_seed(0)
        settings = {"act_fun": "Dspike", "temperature": 5.0, "width": 0.2, "threshold": 0.1, "execution": execution}
        network = build_backbone("tmkt_scnn", 4, 3, 16, **settings)
        assert {float(node.act_fun.temperature) for node in network.nodes} == {5.0}
        network.event_logits(3 * torch.rand(4, 3, 2, 16, 16)).square().sum().backward()
        gradients.append(network.fc1.weight.grad)
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_a_checkpoint_has_its_temperature_or_leaves_it():
    other = Dspike(7.0)
    other.load_state_dict(Dspike(4.0).state_dict())
    assert float(other.temperature) == 4.0
    other.load_state_dict({})  # of a version in which it was no buffer
    assert float(other.temperature) == 4.0


@pytest.mark.parametrize("keywords", [{"temperature": 0.0}, {"window": -1.0}])
def test_numbers_out_of_range_are_refused(keywords):
    with pytest.raises(RecipeError, match=f"{next(iter(keywords))} must be above 0"):
        Dspike(**keywords)
