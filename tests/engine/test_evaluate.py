from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from braincog_tmkt.data.batch import Batch
from braincog_tmkt.engine.devices import make_fabric
from braincog_tmkt.engine.evaluate import evaluate, measure_activity
from braincog_tmkt.methods import METHODS, Method
from braincog_tmkt.models import build_backbone

from .toys import SIZE, STEPS, Toy, make_task

SEED = 5


class Scripted(Method):
    """Logits that are a fixed random function of the recording."""

    def __init__(self, logits, events):
        super().__init__(nn.Identity())
        self.logits = logits
        self.row_of = {frames.numpy().tobytes(): row for row, frames in enumerate(events)}
        self.modes = []

    def forward(self, batch, progress):
        return {}

    def predict(self, events):
        self.modes.append((self.training, torch.is_grad_enabled()))
        rows = [self.row_of[frames.numpy().tobytes()] for frames in events]
        return self.logits[rows].transpose(0, 1)


@pytest.mark.parametrize("batch", [1, 4, 7, 18, 100])
def test_accuracy_by_step_is_that_of_the_mean_logits_so_far(batch):
    pairs = make_task().pairs
    rows = pairs.rows("test")
    logits = torch.randn(len(pairs), STEPS, 3, generator=torch.Generator().manual_seed(SEED))
    method = Scripted(logits, pairs.events(torch.arange(len(pairs)))[0])
    found = evaluate(method, pairs, rows, batch, make_fabric())
    scores, labels = logits[rows].double().numpy(), pairs.labels[rows].numpy()
    expected = [(scores[:, :steps].mean(1).argmax(1) == labels).mean() for steps in range(1, STEPS + 1)]
    assert len(set(expected)) > 2
    assert found.accuracy_by_step == pytest.approx(expected)
    assert found.accuracy == found.accuracy_by_step[-1]
    mean = scores.mean(1)
    loss = np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(mean, labels, strict=True)])
    assert found.loss == pytest.approx(loss)
    assert found.count == len(rows) == 18
    assert found.guessed == tuple(np.unique(mean.argmax(1)))
    assert set(method.modes) == {(False, False)}
    assert method.training


def test_evaluation_does_not_depend_on_random_states():
    class Noisy(Toy):
        def predict(self, events):
            return super().predict(events) + 3 * torch.randn(STEPS, len(events), 3)

    pairs, fabric = make_task().pairs, make_fabric()
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(evaluate(Noisy(), pairs, pairs.rows("test"), 5, fabric))
    assert results[0] == results[1]


@pytest.mark.parametrize("execution", ["multi_step", "step"])
@pytest.mark.parametrize("node", ["LIFNode", "PLIFNode"])
def test_training_goes_on_after_an_evaluation(execution, node):
    """Nothing that evaluation makes in inference mode stays in the network, where autograd would refuse it."""
    frames, label, rows = torch.rand(4, STEPS, 2, 28, 28), torch.tensor([0, 1, 2, 0]), torch.arange(4)
    pairs = SimpleNamespace(events=lambda rows: (frames[rows], label[rows]), classes="abc")
    backbone = build_backbone("tmkt_scnn", 3, STEPS, 28, width=0.2, node_type=node, execution=execution)
    method = METHODS.build("baseline", backbone).train()
    for look in (evaluate, measure_activity):
        look(method, pairs, rows, 4, make_fabric())
    method(Batch.of(frames[:, 0], frames, label), 0.0)["loss"].backward()
    assert backbone.feature[0].weight.grad.norm() > 0


class Node(nn.Module):
    """Stands for a BrainCog node: spikes of some height where its input is above a level."""

    def __init__(self, level, height=1.0):
        super().__init__()
        self.level, self.height = level, height

    def n_reset(self):
        """What BrainCog's nodes are known by."""

    def forward(self, x):
        return (x > self.level) * self.height


class Spiking(Toy):
    def __init__(self, height):
        super().__init__()
        self.backbone = nn.Sequential(Node(1.0, height), nn.Linear(2 * SIZE * SIZE, 3), Node(1e9))


@pytest.mark.parametrize("height", [1.0, 0.25])
def test_firing_rates_and_operations(height):
    pairs = make_task().pairs
    rows = pairs.rows("test")
    found = measure_activity(Spiking(height), pairs, rows, 5, make_fabric())
    spikes = pairs.events(rows)[0].numpy() > 1.0
    assert found["firing_rates"] == {"backbone.0": pytest.approx(spikes.mean()), "backbone.2": 0.0}
    assert found["synaptic_operations"] == pytest.approx(spikes.sum() * 3 / len(rows), rel=1e-6)
