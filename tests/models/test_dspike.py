"""Dspike against the numbers of its public forms, which tests/golden/methods/dspike.json names; inside a network."""

from functools import cache

import pytest
import torch

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.nodes.lif import UnitLIFNode
from braincog_tmkt.models.surrogates.dspike import Dspike
from tests.golden.published import published
from tests.golden.vectors import direction

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
