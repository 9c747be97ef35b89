from collections import defaultdict

import pytest
import torch
from PIL import Image
from torch import nn

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.figures.activity import activity, count_layers, measure_costs
from tests.figures import rows_of

MODELS = ("tmkt_vggsnn", "tmkt_resnet18", "tmkt_scnn")


def test_counts_and_energy_are_the_closed_formulas():
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(3 * 64, 5))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.copy_(torch.tensor([1.0, 0.0, 1.0]))  # two of three channels are spikes, everywhere
        frames = torch.zeros(4, 2, 8, 8)
        frames[:, 0] = 7.5
        with count_layers(net, net[0]) as layers:
            net(frames)
            net(frames)
    first, last = layers
    for layer in layers:
        layer.recordings = 4  # 8 frames are two steps of four recordings
    assert (first.name, last.name) == ("0", "2")
    assert (first.macs, first.operations) == (8 * 3 * 64 * 18, 8 * 3 * 64 * 18 / 2)
    assert (last.macs, last.operations) == (8 * 192 * 5, pytest.approx(8 * 128 * 5))
    assert (first.accumulates, last.accumulates) == (False, True)
    assert first.picojoule == pytest.approx(2 * 3 * 64 * 18 * 4.6)  # frames: all, whether 0 or not
    assert last.picojoule == pytest.approx(2 * 128 * 5 * 0.9)
    assert first.ann_picojoule == pytest.approx(3 * 64 * 18 * 4.6)


@pytest.mark.parametrize(("value", "spikes"), [(0.5, True), (1.0, True), (0.3, False), (-1.0, False), (2.0, False)])
def test_what_is_no_spike_is_multiplied(value, spikes):
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    nn.init.zeros_(net[0].weight)
    nn.init.constant_(net[0].bias, value)
    with torch.no_grad(), count_layers(net, net[0]) as layers:
        net(torch.ones(1, 3))
    assert layers[1].accumulates is spikes


def test_hooks_are_removed():
    net = nn.Linear(2, 2)
    with pytest.raises(KeyboardInterrupt), count_layers(net, net):
        raise KeyboardInterrupt
    assert not net._forward_hooks


def test_the_rows_are_the_records_numbers(loaded, tmp_path):
    picture, table = activity(loaded, tmp_path)
    operations, rates = defaultdict(float), defaultdict(dict)
    for row in rows_of(table):
        assert "45 nm" in row["assumptions"]
        if row["firing_rate"]:
            rates[row["run"]][row["part"]] = float(row["firing_rate"])
        else:
            operations[row["run"]] += float(row["operations"])
    for run in loaded:
        assert operations[str(run)] == pytest.approx(run.record["synaptic_operations"], rel=1e-9)
        assert rates[str(run)] == pytest.approx(run.record["firing_rates"], rel=1e-9)
        assert run.method.training
    assert Image.open(picture).width > 500


@pytest.mark.parametrize("model", MODELS)
def test_both_executions_cost_the_same(loaded, with_model, model):
    step, whole = (
        measure_costs(run, run.task.pairs.rows("test")[:3])
        for run in (with_model(loaded[0], name=model, execution=name, width=0.25) for name in ("step", "multi_step"))
    )
    for one, other in zip(step.layers, whole.layers, strict=True):
        assert (one.name, one.first, one.accumulates) == (other.name, other.first, other.accumulates)
        assert one.macs == other.macs > 0
        assert one.operations == pytest.approx(other.operations, rel=1e-3)
    assert step.rates == pytest.approx(whole.rates, rel=1e-3, abs=1e-4)
    assert whole.layers[0].first
    kinds = [layer.accumulates for layer in whole.layers]
    if model == "tmkt_resnet18":  # its last layer gets the pooled sum, which is no spike
        assert kinds == [False, *[True] * (len(kinds) - 2), False]
    else:
        assert kinds == [False, *[True] * (len(kinds) - 1)]


@pytest.mark.parametrize("recordings", [0, -3, 1.5])
def test_a_number_of_recordings_out_of_range_is_refused(loaded, tmp_path, recordings):
    with pytest.raises(RecipeError, match="recordings must be a whole number from 1"):
        activity(loaded, tmp_path, recordings=recordings)
