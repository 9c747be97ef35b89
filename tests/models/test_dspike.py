"""Dspike against the numbers of public code (yfguo91/MPBN @149379d), and inside a network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.surrogates.dspike import Dspike

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "dspike.npz")


@pytest.mark.parametrize("case", range(6))
def test_spikes_and_gradients_are_those_of_the_public_code(case):
    x = torch.from_numpy(GOLDEN["x"]).requires_grad_()
    spikes = Dspike(float(GOLDEN["temperatures"][case]))(x)
    spikes.sum().backward()
    fired, slope = torch.from_numpy(GOLDEN["surrogates"][case])
    assert torch.equal(spikes, fired)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, slope, rtol=1e-5, atol=2e-6)
    assert x.grad[x.abs() == 0.5].all()  # the ends of the window belong to it


def test_a_network_takes_it_and_its_temperature_in_both_executions():
    gradients = []
    for execution in ("step", "multi_step"):
        torch.manual_seed(0)
        settings = {"act_fun": "Dspike", "temperature": 5.0, "width": 0.2, "threshold": 0.1, "execution": execution}
        network = build_backbone("tmkt_scnn", 4, 3, 16, **settings)
        assert {node.act_fun.temperature for node in network.nodes} == {5.0}
        network.event_logits(3 * torch.rand(4, 3, 2, 16, 16)).square().sum().backward()
        gradients.append(network.fc1.weight.grad)
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_a_temperature_out_of_range_is_refused():
    with pytest.raises(RecipeError, match="temperature must be above 0"):
        Dspike(0.0)
