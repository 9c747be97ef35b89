"""The scripts of docs/examples run, on made files in the formats that other libraries read."""

import importlib.util
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from braincog_tmkt import plugin
from braincog_tmkt.bridge import brain_cog_module
from braincog_tmkt.data.batch import Batch
from braincog_tmkt.data.readers.aedat4 import write_aedat4
from braincog_tmkt.data.sets.cifar10 import CLASSES
from braincog_tmkt.data.types import EVENT_DTYPE
from braincog_tmkt.errors import DataError
from braincog_tmkt.losses import tet
from braincog_tmkt.methods.mixing import mix
from braincog_tmkt.methods.tmkt import TMKT
from tests.data.test_cifar10 import batches
from tests.data.trees import nmnist_events

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "examples"
CPU = torch.device("cpu")


@cache
def example(name):
    """A script as a module; what it offers to BrainCog is taken back, for the other tests."""
    offered, install = [], plugin.install_into_braincog
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugin, "install_into_braincog", lambda: offered.extend(install()))
        spec.loader.exec_module(module)
    for dotted in offered:
        place, _, attribute = dotted.rpartition(".")
        delattr(sys.modules[place], attribute)
    return module


def banded(label):
    """A recording whose events are in the rows of the sensor that belong to the class."""
    rng, events = np.random.default_rng(label), np.empty(2000, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, 300_000, events.size))
    events["x"], events["y"] = rng.integers(0, 128, events.size), rng.integers(12 * label, 12 * label + 12, events.size)
    events["p"] = rng.integers(0, 2, events.size)
    return events


def losses_of(printed):
    return [float(line.split("loss ")[1].split(",")[0]) for line in printed.splitlines() if "loss" in line]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """CIFAR-10 as torchvision reads it and CIFAR10-DVS as tonic reads it; BrainCog's loaders start no processes."""
    loader = torch.utils.data.DataLoader
    alone = {"num_workers": 0, "pin_memory": False}
    monkeypatch.setattr(torch.utils.data, "DataLoader", lambda *args, **keywords: loader(*args, **keywords | alone))
    for label, name in enumerate(CLASSES):
        folder = tmp_path / "DVS/DVS_Cifar10/CIFAR10DVS" / name
        folder.mkdir(parents=True)
        for number in range(6):
            write_aedat4(folder / f"cifar10_{name}_{number}.aedat4", banded(label), (128, 128))
    batches(tmp_path)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    monkeypatch.setattr("tonic.datasets.CIFAR10DVS._check_exists", lambda self: True)  # wants its zip and 1,000 files
    return tmp_path


def test_tmkt_trains_with_brain_cogs_loader(root, monkeypatch, capsys):
    pytest.importorskip("aedat")
    script = example("tmkt_in_braincog")
    monkeypatch.setattr(script, "STEPS", 2)
    monkeypatch.setattr(script, "SIZE", 16)
    create = script.timm.create_model
    monkeypatch.setattr(script.timm, "create_model", lambda *args, **keywords: create(*args, **keywords, width=0.125))
    script.main(root, epochs=4, batch_size=9)
    losses = losses_of(capsys.readouterr().out)
    assert len(losses) == 4
    assert losses[-1] < losses[0] - 0.1


def test_partners_are_of_the_class_and_show_v_of_hsv(root, monkeypatch):
    script = example("tmkt_in_braincog")
    monkeypatch.setattr(script, "SIZE", 32)
    images = script.CIFAR10(root)
    drawn = script.Partners(images)(label := torch.tensor(images.targets).repeat(2))
    assert drawn.shape == (len(label), 2, 32, 32)
    assert drawn[: len(label) // 2].ne(drawn[len(label) // 2 :]).any()  # drawn anew
    of_class = {each: [] for each in images.targets}
    for image, each in images:
        of_class[each].append(np.asarray(image.convert("HSV"))[..., 2] / np.float32(255))
    for both, each in zip(drawn.numpy(), label.tolist(), strict=True):
        assert any(np.array_equal(both, [value, value]) for value in of_class[each])


def test_a_batch_of_any_loader_gives_tmkts_loss():
    """The classes' terms are BrainCog's TetLoss, the mixed stream shows the image before the switch."""
    script = example("tmkt_in_braincog")
    tmkt = TMKT(script.timm.create_model("tmkt_scnn", num_classes=3, step=4, img_size=28), mix_ratio=0.4).eval()
    static, events, label = torch.rand(5, 2, 28, 28), torch.rand(5, 4, 2, 28, 28), torch.tensor([0, 1, 2, 1, 0])
    torch.manual_seed(3)
    parts = tmkt(Batch.of(static, events, label), 0.0)
    torch.manual_seed(3)
    batch = Batch.of(static, events, label)
    blend = mix(batch, tmkt.law.switch_points(batch, 0.0))
    mixed, seen = tmkt.backbone.streams(*blend)
    theirs = brain_cog_module("base.utils.criterions").TetLoss(nn.CrossEntropyLoss())
    torch.testing.assert_close(parts["mixed"], theirs(mixed.logits, label))
    torch.testing.assert_close(parts["events"], theirs(seen.logits, label))
    total = parts["mixed"] + 0.5 * parts["rda"] + parts["modality"] + parts["ratio"]
    torch.testing.assert_close(parts["loss"], total)


@pytest.mark.parametrize(
    ("static", "events", "label"),
    [
        ((5, 3, 8, 8), (5, 4, 2, 8, 8), (5,)),
        ((5, 2, 8, 8), (5, 2, 8, 8), (5,)),
        ((5, 2, 8, 8), (5, 4, 2, 8, 8), (5, 9)),
    ],
    ids=["colours", "no steps", "mixed labels"],
)
def test_tensors_that_make_no_batch_are_refused(static, events, label):
    with pytest.raises(
        DataError, match=r"static .*, events .* and label .* make no batch: they must be \[B, C, H, W\]"
    ):
        Batch.of(torch.zeros(static), torch.zeros(events), torch.zeros(label))


@pytest.fixture
def resnet(monkeypatch):
    """The script for ResNet-19, and small images of which one colour says the class."""
    script = example("skd_on_braincog_resnet19")
    label = torch.arange(12) % 3
    images = torch.rand(12, 3, 8, 8) / 2
    images[torch.arange(12), label] += 1
    return script, images, label


def test_skd_teaches_brain_cogs_resnet19(resnet, capsys):
    script, images, label = resnet
    loaders = [[(images, label)] * 4] * 2
    teacher = script.build(step=1, node_type=script.QCFSNode, levels=4)
    assert type(teacher).__module__ == "braincog.model_zoo.resnet19_snn"
    script.fit(teacher, loaders, script.ann_loss, CPU, 2, opt="momentum", lr=0.02)
    learnt = losses_of(capsys.readouterr().out)
    assert learnt[1] < learnt[0] - 0.5
    student = script.convert(teacher).eval()
    seen = []
    for network in (teacher, student):
        network.node1.register_forward_hook(lambda node, inputs, output: seen.append(output))
    with torch.no_grad():
        wanted, before = teacher(images).mean(0), student(images)
    assert before.shape == (4, 12, 10)
    rates = seen[1].unflatten(0, (4, 12)).mean(0)  # of the first node: its input is the same at every step
    assert seen[0].max() > 0
    assert (rates - seen[0]).abs().gt(1e-4).float().mean() < 1e-3  # but for currents between two levels
    divergence = nn.KLDivLoss()  # as HSD's code: the mean over samples and classes
    each = [100 * divergence((step / 10).log_softmax(1), (wanted / 10).softmax(1)) for step in before]
    expected = functional.cross_entropy(before.mean(0), label) + 5 * sum(each) / 4
    torch.testing.assert_close(script.distillation_loss(teacher, student, images, label), expected)


def test_images_of_brain_cogs_loader_reach_resnet19(root, monkeypatch, capsys):
    script = example("skd_on_braincog_resnet19")

    def fewer_and_smaller(batch_size, root):
        loaders = script_loader(batch_size, root=root)[:2]
        return [[(functional.avg_pool2d(images, 4), label)] for images, label in map(next, map(iter, loaders))]

    script_loader = script.get_cifar10_data
    monkeypatch.setattr(script, "get_cifar10_data", fewer_and_smaller)
    script.main(root, epochs=1, batch_size=6)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "accuracy" in line] == ["epoch", "converted:", "epoch"]


def test_spikingjellys_loop_trains_our_network(tmp_path, monkeypatch, capsys):
    pytest.importorskip("spikingjelly")
    script = example("spikingjelly_loop")
    for label, name in enumerate(CLASSES):
        folder = tmp_path / "events_np" / name
        folder.mkdir(parents=True)
        for number in range(10):
            np.savez(folder / f"cifar10_{name}_{number}.npz", **{key: banded(label)[key] for key in "txyp"})
    monkeypatch.setattr(script, "STEPS", 2)
    monkeypatch.setattr(script, "SIZE", 16)
    frame, label = next(iter(script.load(tmp_path, 4)[1]))
    assert frame.shape == (4, 2, 2, 16, 16)
    rows = frame.sum((1, 2, 4)) @ torch.linspace(4, 124, 16) / frame.sum((1, 2, 3, 4))
    assert (rows - 12 * label - 6).abs().max() < 4  # upright, and labels in the order of CIFAR-10
    monkeypatch.setattr(script, "TimeFirst", partial(script.TimeFirst, width=0.125))
    net = script.TimeFirst().eval()
    first = net(frame.transpose(0, 1))
    torch.testing.assert_close(first.mean(0), net.network.event_logits(frame).mean(0))
    script.functional.reset_net(net)
    torch.testing.assert_close(net(frame.transpose(0, 1)), first)
    script.main(tmp_path, epochs=3, batch_size=10)
    losses = losses_of(capsys.readouterr().out)
    assert losses[2] < losses[0]


def test_snntorchs_loop_trains_our_network(tmp_path, monkeypatch, capsys):
    pytest.importorskip("snntorch")
    script = example("snntorch_loop")
    nmnist_events(tmp_path)
    monkeypatch.setattr("tonic.datasets.NMNIST._check_exists", lambda self: True)  # wants its zip and 10,000 files
    logits, label = torch.randn(4, 6, 10), torch.arange(6)
    torch.testing.assert_close(script.SF.ce_rate_loss()(logits, label).squeeze(), tet(logits, label))
    script.main(str(tmp_path), epochs=4, batch_size=6)
    losses = losses_of(capsys.readouterr().out)
    assert losses[3] < losses[0]


class Answers(nn.Module):
    """Stands for a network: its answers are given, whatever it sees."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)

    def forward(self, inputs):
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("name", "validate"),
    [
        ("tmkt_in_braincog", "validate"),
        ("skd_on_braincog_resnet19", "validate"),
        ("spikingjelly_loop", "test"),
        ("snntorch_loop", "test"),
    ],
)
def test_accuracies_count_samples(name, validate):
    """Two batches of 3 and 1, three answers right; where there are steps, their mean answers."""
    pytest.importorskip(name.partition("_")[0]) if name.endswith("loop") else None
    script = example(name)
    label = [torch.tensor([0, 1, 2]), torch.tensor([1])]
    steps = [torch.eye(3).repeat(2, 1, 1), torch.tensor([[[1.0, 0, 0]], [[0, 0, 3]]])]
    answers = steps if name != "tmkt_in_braincog" else [each.mean(0) for each in steps]
    loader = [(torch.zeros(len(each), 2, 2, 4, 4), each) for each in label]
    assert getattr(script, validate)(Answers(*answers), loader, CPU) == 75.0
