"""What every time step costs; and that one pass with T steps gives what runs with 1, 2, .., T steps give."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from braincog_tmkt.engine.costs import are_spikes, count_costs
from braincog_tmkt.engine.devices import make_fabric
from braincog_tmkt.engine.evaluate import MOST_FRAMES, within_memory
from braincog_tmkt.inspect.reevaluate import _measure
from braincog_tmkt.methods import METHODS
from braincog_tmkt.models import MODELS, build_backbone
from braincog_tmkt.models.causal import is_causal
from braincog_tmkt.models.convert import convert
from braincog_tmkt.models.nodes.qcfs import QCFSNode
from braincog_tmkt.models.nodes.soft_reset import SoftResetIFNode

STEPS = 5


def network(name="hsd_vggsnn", frames=STEPS, **kwargs):
    torch.manual_seed(3)
    settings = {"width": 0.0625, "node_type": "QCFSNode", "threshold": 0.5, **kwargs}
    net = build_backbone(name, 3, frames, 28 if name == "tmkt_scnn" else 16, **settings)
    with torch.no_grad():
        for _ in range(10):
            net.train().event_logits(3 * torch.rand(8, frames, 2, net.img_size, net.img_size))
    return net.eval()


def run_of(method, frames, at_once=4):
    size = method.backbone.img_size
    events = 3 * torch.rand(6, frames, 2, size, size, generator=torch.Generator().manual_seed(4))
    labels = torch.arange(6) % 3
    pairs = SimpleNamespace(
        events=lambda rows: (events[rows], labels[rows]), rows=lambda part: torch.arange(6), classes="abc", steps=frames
    )
    train = SimpleNamespace(at_once=at_once)
    task, recipe = SimpleNamespace(pairs=pairs), SimpleNamespace(train=train)
    return SimpleNamespace(method=method, task=task, recipe=recipe, fabric=make_fabric())


@pytest.mark.parametrize(
    ("frames", "net"),
    [(STEPS, {}), (1, {}), (STEPS, {"name": "tmkt_scnn"}), (STEPS, {"name": "hsd_resnet19", "norm": "step_own"})],
)
def test_the_first_steps_of_one_pass_are_a_run_with_as_many_steps(frames, net):
    method = METHODS.build("conversion", network(frames=frames, **net), steps=STEPS)
    assert method.causal
    run = run_of(method, frames)
    every, macs = _measure(run, STEPS, STEPS)
    assert [row[0] for row in every] == list(range(1, STEPS + 1))
    for steps in range(1, STEPS + 1):
        (alone,), _ = _measure(run, steps)
        assert every[steps - 1][0] == alone[0]
        assert every[steps - 1][1] == pytest.approx(alone[1], abs=0.2)  # of six recordings
        assert every[steps - 1][2:] == pytest.approx(alone[2:], rel=1e-2)
    assert every[-1][-1] > every[0][-1] > 0  # energies
    assert macs > 0
    assert every[-1][3] > 0.01  # spikes


def test_operations_and_energy_of_each_step_are_the_closed_formulas():
    node = SoftResetIFNode(threshold=0.5)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), node, nn.Flatten(), nn.Linear(2 * 16, 3))
    nn.init.zeros_(net[0].weight)
    nn.init.constant_(net[0].bias, 0.3)  # u = 1.1 of 1 at the first step, 0.7 at the second
    frames = torch.zeros(3, 1, 4, 4)
    frames[:, :, :2] = 9.0
    with torch.no_grad(), count_costs(net, steps=2) as costs:
        costs.begin(3)
        currents = net[0](frames)  # once for both steps
        spikes = torch.cat([node(currents), node(currents)])
        for layer in net[2:]:
            spikes = layer(spikes)
    stem, head = 2 * 16 * 9, 3 * 32
    assert costs.of_first_steps(costs.macs) == [stem + head, stem + 2 * head]
    assert costs.of_first_steps(costs.operations) == [stem / 2 + head, stem / 2 + head]
    assert costs.of_first_steps(costs.energy) == pytest.approx([4.6 * stem + 0.9 * head] * 2)


def test_rates_of_the_first_steps_are_means():
    class Fires(nn.Module):
        def n_reset(self):
            """What nodes are known by."""

        def forward(self, x):
            return x

    net = nn.Sequential(Fires(), Fires())
    with count_costs(net, steps=3) as costs:
        for size in (2, 1):
            costs.begin(size)
            shown = torch.zeros(3, size, 4)
            shown[1] = 1
            shown[2, :, :2] = 7
            net(shown.flatten(0, 1))
    assert costs.firing_rates() == pytest.approx([0, 1 / 2, 1.5 / 3])
    assert not net[0]._forward_hooks


@pytest.mark.parametrize(
    ("factor", "node", "spikes"),
    [
        (0.7, SoftResetIFNode(threshold=0.7), True),
        (0.7 / 4, SoftResetIFNode(threshold=0.7), True),
        (0.7 / 3, SoftResetIFNode(threshold=0.7), False),
        (1.0, SoftResetIFNode(threshold=0.7), False),
        (0.7, None, False),
        (1.0, None, True),
        (0.7, QCFSNode(threshold=0.7, levels=1), False),
    ],
)
def test_spikes_are_as_high_as_their_node_fires_them(factor, node, spikes):
    x, nodes = factor * torch.tensor([0.0, 1.0, 1.0]), [] if node is None else [node]
    assert are_spikes(x, nodes) is spikes
    assert are_spikes(x.bfloat16(), nodes) is spikes


def test_shortcuts_get_spikes_as_high_as_an_earlier_threshold():
    ann = network("qcfs_resnet20", frames=1, width=0.5)
    with torch.no_grad():
        for place, node in enumerate(ann.nodes):
            node.threshold.fill_(0.3 + 0.07 * place)
    snn = convert(ann)
    snn.set_steps(3)
    with count_costs(snn, 3) as costs, torch.no_grad():
        costs.begin(2)
        snn.event_logits(3 * torch.rand(2, 1, 2, 16, 16, generator=torch.Generator().manual_seed(4)))
    head = snn.num_classes * snn.feature_size  # alone has no spikes, behind an average over 4x4 pixels
    operations, energy = (sums[2].item() / costs.recordings for sums in (costs.operations, costs.energy))
    assert operations > 20 * head
    assert 4.6 * head + 0.9 * (operations - head) <= energy <= 4.6 * head + 0.9 * operations


class Mixes(nn.Module):
    """A user's layer, which might look at any step."""

    def forward(self, x):
        return x


def test_networks_that_may_look_ahead_or_draw_are_run_for_every_number_of_steps():
    def converted(**kwargs):
        return METHODS.build("conversion", network(**kwargs), steps=2, node="SoftResetIFNode")

    assert converted().causal
    assert not converted(attention="tcja").causal
    last = METHODS.build("conversion", network(), steps=2, student_frames="last")
    assert not last.causal
    with_own = converted()
    with_own.backbone.dvs_fc = nn.Sequential(Mixes(), with_own.backbone.dvs_fc)
    assert not with_own.causal
    hooked = converted()
    hooked.backbone.stem.register_forward_hook(lambda *_: None)
    assert not hooked.causal
    assert is_causal(network(node_type="LIFNode"))
    assert not is_causal(network(node_type="NoiseLIFNode"))
    assert not is_causal(network("tmkt_vggsnn", execution="step"))
    assert not is_causal(nn.Linear(1, 1))


@pytest.mark.parametrize("name", MODELS)
def test_every_network_that_says_so_gives_the_first_steps_of_one_pass(name):
    torch.manual_seed(0)
    net = build_backbone(name, 3, 4, 32, usual={"width": 0.0625}).eval()
    assert is_causal(net) == (not name.startswith(("tcja", "hybrid")))  # attention; Poisson spikes
    if is_causal(net):
        events = 3 * torch.rand(2, 4, net.in_chans, 32, 32)
        every = net.event_logits(events)
        net.set_steps(2)
        torch.testing.assert_close(net.event_logits(events[:, :2]), every[:2], rtol=1e-4, atol=1e-5)


def test_many_steps_are_evaluated_with_fewer_recordings_at_once():
    method = SimpleNamespace(backbone=SimpleNamespace(step=128))
    assert within_memory(method, 256) * 128 == MOST_FRAMES
    assert within_memory(method, 7) == 7
    method.backbone.step = 10**6
    assert within_memory(method, 256) == 1
