"""The search for Dspike's temperature: known answers, what it leaves alone, what it refuses."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from braincog_tmkt.data.batch import Batch
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.methods import dspike
from braincog_tmkt.methods.dspike import DspikeTraining
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.surrogates.dspike import Dspike

TRUE = 4.0


class Smooth(Dspike):
    """Nodes that do not spike: their output is Dspike's function of temperature `TRUE`, whatever the gradient's is."""

    def forward(self, x):
        smooth = torch.tanh(TRUE * x.clamp(-0.5, 0.5)) / (2 * torch.tanh(torch.tensor(TRUE / 2))) + 0.5
        spikes = super().forward(x)
        return smooth.detach() + (spikes - spikes.detach())


def network(act_fun="Dspike", name="tmkt_scnn", size=16, **settings):
    torch.manual_seed(0)
    lif = {"node_type": "UnitLIFNode", "decay": 0.5, "threshold": 0.5, "width": 0.1}
    return build_backbone(name, 4, 3, size, act_fun=act_fun, **{**lif, **settings})


def batch():
    generator = torch.Generator().manual_seed(0)
    events = 3 * torch.rand(4, 3, 2, 16, 16, generator=generator)
    return Batch.of(torch.zeros(4, 2, 16, 16), events, torch.arange(4), seed=1)


@pytest.mark.parametrize(("start", "way"), [(3.0, [3.5, 4.0, 4.0]), (5.0, [4.5, 4.0, 4.0])])
def test_it_finds_the_temperature_at_which_the_gradient_is_the_true_one(start, way):
    """For smooth nodes finite differences are the gradient, so one temperature has a cosine similarity of 1."""
    method = DspikeTraining(
        network(Smooth, temperature=start), searches=3, search_step=0.5, search_epsilon=1e-2, search_weights=20
    )
    seen = [method(batch(), step / 6)["temperature"].item() for step in range(6)]
    assert seen == [temperature for temperature in way for _ in range(2)]  # a search at every other step
    assert {float(surrogate.temperature) for surrogate in method.surrogates} == {TRUE}


def test_finite_differences_are_those_of_networks_with_other_weights():
    method = DspikeTraining(network(Smooth), searches=1, search_epsilon=0.05)
    weight = method.backbone.stem.weight
    places = torch.unravel_index(torch.tensor([0, 17, 40]), weight.shape)
    found = method._finite_differences(batch(), 0.0, places)
    for place, difference in zip(zip(*places, strict=True), found.tolist(), strict=True):
        losses = []
        for moved in (0.05, -0.05):
            other = copy.deepcopy(method.backbone)
            with torch.no_grad():
                other.stem.weight[place] += moved
            losses.append(functional.cross_entropy(other(batch().events).double(), batch().target).item())
        assert difference == pytest.approx((losses[0] - losses[1]) / 0.1, rel=1e-3)
    assert found.any()


def spied(monkeypatch) -> list[int]:
    """The number of weights of each comparison."""
    counts: list[int] = []
    real: Callable[..., torch.Tensor] = dspike.cosine_similarity
    monkeypatch.setattr(dspike, "cosine_similarity", lambda a, b, dim: counts.append(len(a)) or real(a, b, dim=dim))
    return counts


@pytest.mark.parametrize("settings", [{"recompute": True}, {"name": "tcja_cext", "size": 32}])
def test_but_for_the_temperature_nothing_is_other_than_without_a_search(settings, monkeypatch):
    """Weights, running statistics, random numbers (the second network has dropout), and so the loss and gradients."""
    counts, results, temperature = spied(monkeypatch), [], 3.0
    settings = {"name": "dspike_resnet18", "size": 16, "width": 1 / 16, "norm": "shared", "threshold": 0.1, **settings}
    size = settings["size"]
    for searches, how in ((1, {"search_weights": 5, "search_epsilon": 0.05}), (0, {})):
        method = DspikeTraining(network(temperature=temperature, **settings), searches=searches, **how)
        events = 3 * torch.rand(4, 3, 2, size, size, generator=torch.Generator().manual_seed(0))
        torch.manual_seed(1)
        parts = method(Batch.of(torch.zeros(4, 2, size, size), events, torch.arange(4), seed=1), 0.0)
        parts["loss"].backward()
        temperature = float(method.temperature)
        grads = [weight.grad for weight in method.parameters() if weight.grad is not None]
        results.append((parts["loss"], torch.rand(3), grads, dict(method.backbone.state_dict())))
    assert counts == [5, 5, 5]
    assert temperature in (2.8, 3.0, 3.2)
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_where_no_difference_is_seen_the_temperature_stays_and_a_note_says_so():
    """There are fewer steps than searches, so some of these fall together."""
    method = DspikeTraining(network(threshold=1000.0), searches=20, search_weights=2)
    assert not method.notes()
    assert [method(batch(), progress)["temperature"].item() for progress in (0.0, 0.5, 0.54)] == [3.0, 3.0, 3.0]
    assert "in 2 of 2 searches" in method.notes()[-1]
    assert "search_epsilon" in method.notes()[-1]
    again = DspikeTraining(network(threshold=1000.0), searches=20, search_weights=2)
    again.load_state_dict(method.state_dict())
    assert again.notes() == method.notes()


def test_soft_targets_and_a_temperature_that_cannot_become_lower(monkeypatch):
    counts = spied(monkeypatch)
    method = DspikeTraining(network(Smooth, temperature=0.15), searches=1, search_epsilon=0.01, search_weights=20)
    mixed = batch()
    mixed.target = functional.one_hot(mixed.label, 4) * 0.8 + 0.05
    assert method(mixed, 0.0)["temperature"].item() == pytest.approx(0.35)
    assert counts == [20, 20]


@pytest.mark.parametrize(
    ("net", "keywords", "words"),
    [
        ({}, {"searches": -1}, "searches must be 0 or more"),
        ({}, {"search_step": 0.1}, "search_step is for a search: set method.searches"),
        ({}, {"searches": 1, "search_epsilon": 0.0}, "search_epsilon must be above 0"),
        ({"act_fun": "QGateGrad"}, {}, "set model.act_fun to Dspike"),
    ],
)
def test_what_would_do_nothing_is_refused(net, keywords, words):
    with pytest.raises(RecipeError, match=words):
        DspikeTraining(network(**net), **keywords)
