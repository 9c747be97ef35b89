"""ANNs of a user's own become SNNs: against BrainCog's Convertor, the theory of QCFS, and the ANN itself."""

import copy
import warnings
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from braincog_tmkt.bridge import brain_cog_module, node_classes
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.methods import METHODS
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.causal import is_causal
from braincog_tmkt.models.convert import convert
from braincog_tmkt.models.fold import fold_norms
from braincog_tmkt.models.module_network import ModuleNetwork, Place
from braincog_tmkt.models.nodes.qcfs import QCFSNode
from braincog_tmkt.models.norms.none import NoNorm
from tests.methods.toys import make_batch


class Block(nn.Module):
    """A residual block as torchvision's: one ReLU, in place, is called twice."""

    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn1, self.bn2, self.relu = nn.BatchNorm2d(out), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.downsample(x)
        return self.relu(out)


class Residual(nn.Module):
    def __init__(self, num_classes=3, in_chans=2):
        super().__init__()
        self.layers = nn.ModuleList([Block(6, 6, 1), Block(6, 8, 2)])
        self.stem = nn.Sequential(nn.Conv2d(in_chans, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.pool, self.dropout = nn.AdaptiveAvgPool2d(1), nn.Dropout(0.2)
        self.hidden = nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, num_classes))

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.hidden(self.dropout(self.pool(x).flatten(1)))


def images(count=16, channels=2, size=12, seed=1):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


def trained(net, rounds=20, **kwargs):
    """In evaluation, with running statistics of the images."""
    with torch.no_grad():
        for _ in range(rounds):
            net.train()(images(**kwargs))
    return net.eval()


def residual():
    torch.manual_seed(0)
    return trained(Residual())


@pytest.mark.parametrize("fold", [False, True])
def test_rates_come_to_the_activations_as_t_grows_and_the_ann_stays_as_it_is(fold):
    ann = residual()
    before, parts = copy.deepcopy(ann.state_dict()), {id(part) for part in ann.modules()}
    x, wanted = images(seed=2), ann(images(seed=2))
    snn = convert(ann, steps=1, batches=[images(), x], percentile=1.0, fold=fold)
    assert len(snn.nodes) == 6
    errors = []
    for steps in (1, 8, 64, 512):
        snn.set_steps(steps)
        errors.append(float((snn(x) - wanted).norm() / wanted.norm()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01
    assert all(torch.equal(value, before[name]) for name, value in ann.state_dict().items())
    assert {id(part) for part in ann.modules()} == parts
    assert parts.isdisjoint(id(part) for part in snn.modules())
    assert any(type(part) is nn.ReLU for part in ann.modules())
    norms = [part for part in snn.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert bool(norms) != fold


def test_thresholds_are_the_largest_activations_of_each_call_or_a_percentile():
    ann, batches = residual(), [images(seed=seed) for seed in (3, 4)]
    seen = {}
    ann.layers[0].relu.register_forward_hook(lambda part, _, y: seen.setdefault("calls", []).append(y.detach().clone()))
    for batch in batches:
        ann(batch)
    ann.layers[0].relu._forward_hooks.clear()
    for share in (1.0, 0.9):
        snn = convert(ann, batches=((batch, None) for batch in batches), percentile=share)
        nodes = snn.module.layers[0].relu.nodes
        for call, node in enumerate(nodes):
            values = [y.flatten().sort().values for y in seen["calls"][call::2]]
            wanted = max(each[int(len(each) * share) - 1] for each in values)
            assert node.threshold.item() == pytest.approx(wanted.item(), rel=1e-6)


def test_it_is_brain_cog_s_convertor_where_both_do_the_same():
    """Its nodes begin at 0 and fire at the threshold; and it takes activations of at most 1."""
    torch.manual_seed(5)
    ann = nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 20), nn.ReLU(), nn.Linear(20, 3),
    )  # fmt: skip
    for part in ann:
        if isinstance(part, nn.BatchNorm2d):
            nn.init.constant_(part.weight, 0.15)
    x = images()
    trained(ann)
    theirs = brain_cog_module("base.conversion.convertor").Convertor([(x, None)], device="cpu", p=0.99)
    with torch.no_grad():
        spiking = theirs(copy.deepcopy(ann))
        spiking.reset()
        wanted = torch.stack([spiking(x) for _ in range(24)])
        snn = convert(ann, steps=24, batches=x, percentile=0.99, fold=True, v_reset=0.0, inclusive=True)
        found = snn.event_logits(x[:, None])
    scales = [part[0].scale.item() for part in spiking.modules() if isinstance(part, nn.Sequential) and len(part) == 4]
    assert [node.threshold.item() for node in snn.nodes] == pytest.approx([1 / scale for scale in scales], rel=1e-4)
    assert (found - wanted).norm() < 0.05 * wanted.norm()  # a rounding may move a spike by a step
    assert (found.mean(0) - wanted.mean(0)).norm() < 0.005 * wanted.mean(0).norm()
    assert found[:, :, 0].std() > 0


class Levels(nn.Module):
    """A plain net of QCFS activations, whose forward reshapes by the batch's length."""

    def __init__(self, activation=None):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 6, 3, bias=False), nn.Conv2d(6, 6, 3, bias=False)
        self.act1 = QCFSNode(threshold=0.7, levels=4)
        self.act2 = activation or QCFSNode(threshold=0.4, levels=4)
        self.fc = nn.Linear(6 * 64, 3)

    def forward(self, x):
        y = self.act2(self.conv2(self.act1(self.conv1(x))))
        return self.fc(y.view(x.size(0), -1))


def test_qcfs_is_exact_for_the_first_layer_at_t_equal_to_l_without_any_data():
    torch.manual_seed(6)
    ann, x, seen = Levels().eval(), images(), {}
    for name in ("act1", "act2"):
        ann.get_submodule(name).register_forward_hook(lambda _, x, y, name=name: seen.update({name: (x[0], y)}))
    ann(x)
    snn = convert(ann, steps=4, inclusive=True)
    with snn.taps("spikes:module.act1.nodes.0") as spikes:
        logits = snn(x)
    assert logits.shape == (16, 3)
    (currents, wanted), fired = seen["act1"], spikes["spikes:module.act1.nodes.0"].mean(0)
    place = currents / 0.7 * 4 + 0.5
    away = (place - place.round()).abs() > 1e-4
    torch.testing.assert_close(fired[away], wanted[away], rtol=1e-5, atol=1e-5)
    assert len(wanted.unique()) == 5
    assert [node.threshold.item() for node in snn.nodes] == pytest.approx([0.7, 0.4])


def test_an_activation_of_two_places_has_a_node_for_each():
    torch.manual_seed(6)
    ann = Levels()
    ann.act2 = ann.act1  # registered twice: two names, two nodes
    x = images()
    assert len(convert(ann).nodes) == 2
    twice = Levels()
    twice.forward = lambda x: twice.fc(twice.act1(twice.conv2(twice.act1(twice.conv1(x)))).flatten(1))
    by_hand = Called()
    with pytest.raises(
        RecipeError, match=r"'act1' has one place when .* called once more: .* give convert\(\) batches"
    ):
        convert(by_hand)(x)
    snn = convert(by_hand, batches=x, steps=64)
    assert len(snn.module.act1.nodes) == 2
    calls = []
    for number, node in enumerate(snn.module.act1.nodes):
        node.register_forward_hook(lambda *_, number=number: calls.append(number))
    ann_levels = copy.deepcopy(by_hand)
    ann_levels.act1.levels = 10**5
    wanted = ann_levels(x)
    assert (snn(x) - wanted).norm() < 0.1 * wanted.norm()
    assert calls == [0, 1]


class Called(Levels):
    """One activation, called twice."""

    def forward(self, x):
        return self.fc(self.act1(self.conv2(self.act1(self.conv1(x)))).flatten(1))


def test_the_network_is_one_of_ours():
    snn = convert(residual(), steps=6, batches=images()).eval()
    x = images(4)
    every = snn.event_logits(x[:, None])
    assert every.shape == (6, 4, 3)
    torch.testing.assert_close(snn(x), every.mean(0))
    events = images(4, 12).view(4, 6, 2, 12, 12)
    frames = snn.event_logits(events)
    assert is_causal(snn)
    snn.set_steps(2)
    torch.testing.assert_close(snn.event_logits(events[:, :2]), frames[:2], rtol=1e-4, atol=1e-5)
    snn.reset()
    assert {node.mem for node in snn.nodes} == {0.5}
    snn.train()
    snn(x).sum().backward()
    assert snn.module.stem[0].weight.grad.abs().sum() > 0
    assert not [name for name, p in snn.named_parameters() if p.requires_grad and "threshold" in name]


class Uses(nn.Module):
    def __init__(self, function=None, part=None):
        super().__init__()
        self.conv, self.part, self.fc = nn.Conv2d(2, 4, 3), part or nn.Identity(), nn.Linear(400, 3)
        self.function = function or (lambda x: x)

    def forward(self, x):
        return self.fc(self.function(self.part(self.conv(x))).flatten(1))


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (partial(Uses, part=nn.MaxPool2d(1)), r"'part' is a MaxPool2d, .* train with average pools \(nn\.AvgPool2d\)"),
        (partial(Uses, part=nn.GELU()), r"'part' is a GELU; nodes can take the places of nn\.ReLU and QCFSNode"),
        (partial(Uses, part=nn.Sequential(nn.ReLU(), nn.Sigmoid())), r"'part\.1' is a Sigmoid"),
        (partial(Uses, part=nn.GroupNorm(2, 4)), "'part' is a GroupNorm"),
        (partial(Uses, part=nn.ReLU6()), "'part' is a ReLU6"),
        (partial(Uses, part=node_classes()["LIFNode"]()), "'part' is a LIFNode"),
        (partial(Uses, part=nn.BatchNorm2d(4, track_running_stats=False)), "'part' has no running statistics"),
        (partial(Uses, functional.relu), r"calls the function relu\(\), .* an nn\.ReLU of its own for each place"),
        (partial(Uses, lambda x: x.relu_()), r"calls the function relu_\(\)"),
        (partial(Uses, lambda x: x.clamp(min=0)), r"calls the function clamp\(\)"),
        (partial(Uses, lambda x: functional.max_pool2d(x, 1)), r"max_pool2d.*\(\), .* use an average pool in forward"),
        (partial(Uses, lambda x: torch.softmax(x, 1)), r"calls the function softmax\(\)"),
        (partial(nn.Conv2d, 2, 3, 3), r"must give logits \[N, K\] for frames \[N, C, H, W\], not \[16, 3, 10, 10\]"),
    ],
)
def test_what_no_spiking_network_has_is_refused(net, words):
    with pytest.raises(RecipeError, match=words):
        convert(net(), batches=images())


def test_functions_are_found_without_data_at_the_first_pass():
    snn = convert(Levels())
    snn.module.conv2.register_forward_hook(lambda _, x, y: functional.relu(y))
    with pytest.raises(RecipeError, match=r"calls the function relu\(\)"):
        snn(images())


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({}, r"a ReLU has no threshold: give batches"),
        ({"batches": []}, "batches is empty"),
        ({"batches": [{"x": 1}]}, r"batches are images \[B, C, H, W\] .* not dict"),
        ({"batches": images(), "percentile": 0.0}, "percentile must be above 0 and at most 1"),
        ({"batches": images(), "inclusiv": True}, "'SoftResetIFNode' takes no 'inclusiv': did you mean 'inclusive'"),
        ({"batches": -10 * torch.ones(2, 2, 12, 12), "percentile": 0.01}, "gave nothing above 0 for these batches"),
    ],
)
def test_settings_that_cannot_be_are_refused(keywords, words):
    with pytest.raises(RecipeError, match=words):
        convert(residual(), **keywords)


def test_batch_norms_of_ours_fold_too():
    def net(**kwargs):
        torch.manual_seed(0)
        made = build_backbone("hsd_vggsnn", 3, 2, 16, width=0.0625, threshold=1.0, levels=10**5, **kwargs)
        for _ in range(5):
            made.train().event_logits(3 * torch.rand(8, 2, 2, 16, 16))
        return made.eval()

    ann, x = net(), 3 * torch.rand(2, 2, 2, 16, 16)
    folded = copy.deepcopy(ann)
    fold_norms(folded, x)
    assert not folded.norms
    assert len([part for part in folded.modules() if isinstance(part, NoNorm)]) == len(ann.norms) == 8
    torch.testing.assert_close(folded.event_logits(x), ann.event_logits(x), rtol=1e-3, atol=1e-4)
    assert not convert(ann, fold=True).norms
    with pytest.raises(RecipeError, match="has statistics of its own for each step"):
        convert(net(norm="step_own"), fold=True)
    with pytest.raises(RecipeError, match="its nodes' own: leave out batches"):
        convert(ann, batches=x)


def test_a_layer_whose_output_goes_elsewhere_too_is_not_folded():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn, self.relu, self.fc = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Linear(400, 3)

        def forward(self, x):
            y = self.conv(x)
            return self.fc((y + self.relu(self.bn(y))).flatten(1))

    torch.manual_seed(0)
    with pytest.raises(RecipeError, match="folding the batch norms changes the outputs"):
        convert(trained(Fork(), seed=9), batches=images(), fold=True)


@pytest.mark.parametrize("name", ["conversion", "hsd"])
def test_a_method_trains_converts_and_balances_an_ann_of_a_user_s_own(name):
    torch.manual_seed(0)
    backbone = build_backbone(f"{__name__}.Residual", 3, 4, 16)
    method = METHODS.build(name, backbone, steps=2, percentile=1.0, node={"name": "SoftResetIFNode", "inclusive": True})
    keys, given = list(method.state_dict()), make_batch(steps=4, size=16)
    stages = method.stages()
    assert [stage.calibration is not None for stage in stages[:2]] == [False, True]
    method.begin_stage("ann")
    optimizer = torch.optim.SGD(method.trainable().parameters(), lr=0.05)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        losses.append(method.train()(given, 0.0)["loss"])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    method.begin_stage("convert")
    method.eval()
    assert {node.threshold.item() for node in method.backbone.nodes} == {1.0}
    method.calibrate(iter([given]))
    assert 1.0 not in {node.threshold.item() for node in method.backbone.nodes}
    assert all(node.inclusive for node in method.backbone.nodes)
    assert list(method.state_dict()) == keys
    wanted = method.pretraining.backbone.module(given.events[:, 0])
    method.set_steps(256)
    found = method.backbone.event_logits(given.events[:, :1]).mean(0)
    assert (found - wanted).norm() < 0.1 * wanted.norm()
    method.set_steps(2)
    assert method.predict(given.events).shape == (2, 6, 3)


def test_a_conversion_needs_no_data_for_qcfs_activations():
    torch.manual_seed(0)
    network = ModuleNetwork(Levels(), step=4, img_size=12, in_chans=2)
    method = METHODS.build("conversion", network, steps=2)
    assert method.stages()[1].calibration is None
    threshold = network.module.act1.threshold
    assert threshold.requires_grad
    assert [part.name for part in method.backbone.modules() if isinstance(part, Place)] == ["act1", "act2"]


def test_batch_norms_that_several_processes_do_not_share_are_warned_of(monkeypatch):
    monkeypatch.setattr("braincog_tmkt.models.module_network.world_size", lambda: 2)
    with pytest.warns(UserWarning, match="batch norms of Sequential take the statistics of each process's own part"):
        ModuleNetwork(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten())).synchronise_norms()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ModuleNetwork(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten())).synchronise_norms()
