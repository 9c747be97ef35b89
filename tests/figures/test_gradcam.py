from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from braincog_tmkt.data.sets.digits import Digits
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.figures.gradcam import Stream, gradcam, heat_maps, last_stage, multi_step_copy
from tests.figures import rows_of

MODELS = ("tmkt_vggsnn", "tmkt_resnet18", "tmkt_scnn")


def plus_plus(activations, gradients, guard=0.0):
    """Grad-CAM++ of one step by its paper's formulas 7 and 19: `[C, h, w]` twice -> `[h, w]`.

    `guard` is what the package adds to the denominator; it matters where gradients are near 0.001.
    """
    total = activations.sum((1, 2), keepdims=True)
    alpha = np.zeros_like(gradients)
    where = gradients > 0
    alpha[where] = (gradients**2 / (2 * gradients**2 + total * gradients**3 + guard + 1e-300))[where]
    weights = (alpha * np.maximum(gradients, 0)).sum((1, 2))
    return np.maximum((weights[:, None, None] * activations).sum(0), 0)


def scaled(heat, side):
    """Enlarged linearly, from 0 to 1."""
    large = cv2.resize(heat, (side, side))
    return (large - large.min()) / (large.max() - large.min())


class Known(nn.Module):
    """A convolution and a linear layer: the logit of class k at a step is the sum of activations times `weight[k]`."""

    streams = 1

    def __init__(self, weight):
        super().__init__()
        self.conv, self.weight = nn.Conv2d(2, 3, 3, padding=1), weight

    def forward(self, frames):
        steps = frames.transpose(0, 1).flatten(0, 1)
        activations = self.conv(steps).relu()
        logits = (activations[:, None] * self.weight).sum((2, 3, 4))
        return logits.unflatten(0, (frames.shape[1], -1)).mean(0)


def test_maps_are_the_papers_formula_on_a_known_network():
    torch.manual_seed(0)
    weight, frames, label = torch.randn(4, 3, 8, 8), torch.rand(2, 5, 2, 8, 8), torch.tensor([1, 3])
    net = Known(weight)
    maps, logits = heat_maps(net, frames, label)
    assert torch.allclose(logits, net(frames))
    for i, number in enumerate(label.tolist()):
        heat = 0
        for step in range(5):
            currents = net.conv(frames[i, step]).detach()
            gradient = weight[number] * (currents > 0)
            heat = heat + plus_plus(currents.double().numpy(), gradient.double().numpy())
        assert np.abs(maps[i] - scaled(heat, 8)).max() < 1e-3


@pytest.mark.parametrize("corner", range(4))
def test_a_class_that_hangs_on_one_quadrant_has_its_map_there(corner):
    torch.manual_seed(0)
    top, left = corner // 2 * 8, corner % 2 * 8
    weight = torch.zeros(2, 3, 16, 16)
    weight[1, :, top : top + 8, left : left + 8] = 1
    frames = torch.zeros(1, 3, 2, 16, 16)
    frames[..., top + 2 : top + 6, left + 2 : left + 6] = 1  # the other quadrants are dark, but for the bias
    net = Known(weight)
    with torch.no_grad():
        net.conv.weight.abs_()
        net.conv.bias.zero_()
    maps, _ = heat_maps(net, frames, torch.tensor([1]))
    assert maps[0, top : top + 8, left : left + 8].sum() > 0.99 * maps.sum() > 0
    nothing, _ = heat_maps(net, frames, torch.tensor([0]))
    assert not nothing.any()


@pytest.mark.parametrize("stream", ["events", "mixed"])
@pytest.mark.parametrize("model", MODELS)
def test_maps_are_those_of_a_run_in_step_execution(loaded, with_model, model, stream):
    run = with_model(loaded[1], name=model, execution="step", width=0.25)
    frames, label = run.task.pairs.events(run.task.pairs.rows("test")[:2])
    maps, logits = heat_maps(Stream(multi_step_copy(run), stream), frames, label)
    wrapped = Stream(run.method.eval(), stream)
    layer, seen = last_stage(wrapped, frames), []
    handle = layer.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    own = wrapped(frames)
    handle.remove()
    assert torch.allclose(logits, own, atol=1e-5)
    steps = seen[: frames.shape[1]]  # BrainCog's modules run once a step, the mixed stream before the events
    score = frames.shape[1] * own[range(2), label].sum()
    gradients = torch.autograd.grad(score, steps)
    pairs = [(a.detach().double().numpy(), g.double().numpy()) for a, g in zip(steps, gradients, strict=True)]
    for i in range(2):
        heat = sum(plus_plus(a[i], g[i], guard=1e-6) for a, g in pairs)
        assert heat.max() > 0
        assert np.abs(maps[i] - scaled(heat, frames.shape[-1])).max() < 1e-3
    run.method.train()


@pytest.mark.parametrize(("model", "module"), zip(MODELS, ("ConvLayer", "BatchNorm2d", "LIFNode"), strict=True))
def test_the_map_is_taken_before_the_last_pooling(loaded, with_model, model, module):
    run = with_model(loaded[0], name=model, width=0.25)
    frames, _ = run.task.pairs.events(run.task.pairs.rows("test")[:1])
    layer = last_stage(Stream(run.method.eval(), "events"), frames)
    assert module in {kind.__name__ for kind in type(layer).__mro__}
    run.method.train()


def test_a_network_without_convolutions_is_refused():
    with pytest.raises(RecipeError, match="needs a network with a convolution"):
        last_stage(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 4))


def test_each_class_has_a_static_and_an_event_panel_for_each_run(loaded, tmp_path):
    before = [{key: value.clone() for key, value in run.method.state_dict().items()} for run in loaded]
    picture, table = gradcam(loaded, tmp_path, classes=3)
    rows = rows_of(table)
    assert len(rows) == 2 * 2 * 3
    assert {row["class"] for row in rows} == {"0", "4", "9"}
    assert all(row["key"].startswith(f"{row['class']}/") for row in rows)
    assert all(0 < float(row["probability_of_class"]) < 1 for row in rows)
    assert {bool(row["mass_on_events"]) for row in rows if row["modality"] == "static"} == {False}
    assert Image.open(picture).width > 500
    for run, state in zip(loaded, before, strict=True):
        assert run.method.training
        assert all(torch.equal(value, state[key]) for key, value in run.method.state_dict().items())


def test_the_numbers_of_the_event_panels_are_those_of_the_network(loaded, tmp_path):
    run = loaded[1]
    rows = [row for row in rows_of(gradcam([run], tmp_path, classes=4)[1]) if row["modality"] == "events"]
    pairs, test = run.task.pairs, run.task.pairs.rows("test")
    first = torch.stack([test[pairs.labels[test] == label][0] for label in (0, 3, 6, 9)])
    with torch.no_grad():
        logits = run.method.eval().predict(pairs.events(first)[0]).mean(0)
    run.method.train()
    assert [row["predicted"] for row in rows] == [str(number) for number in logits.argmax(1).tolist()]
    shown = torch.tensor([float(row["logit_of_class"]) for row in rows])
    assert torch.allclose(shown, logits[range(4), [0, 3, 6, 9]], atol=1e-4)


def test_without_known_images_only_events_are_shown(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(Digits, "index", lambda self, index=Digits.index: replace(index(self), twins_known=False))
    _, table = gradcam(loaded, tmp_path, classes=2)
    assert {row["modality"] for row in rows_of(table)} == {"events"}


@pytest.mark.parametrize("classes", [0, 11, 2.5, "all"])
def test_a_number_of_classes_out_of_range_is_refused(loaded, tmp_path, classes):
    with pytest.raises(RecipeError, match="classes must be a whole number from 1 to 10"):
        gradcam(loaded, tmp_path, classes=classes)
