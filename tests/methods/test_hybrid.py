"""Hybrid training's stages: who is trained, which thresholds are found, what the SNN sees, what its loss is."""

import pytest
import torch
from torch.nn import functional

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.methods import METHODS
from braincog_tmkt.models.all_steps import SampleDropout
from braincog_tmkt.models.convert import convert

from .toys import make_backbone, make_batch

STEPS = 16


def make(frames=1, steps=STEPS, nodes="ReLUNode", model=None, **kwargs):
    model = {"width": 0.0625, "node_type": nodes, "act_fun": "STDB", "threshold": 0.02, **(model or {})}
    backbone = make_backbone("hybrid_resnet20", frames, **model)
    usual = {"balance_steps": 8, "balance_images": 10}
    return METHODS.build("hybrid", backbone, steps=steps, **{**usual, **kwargs}).train()


def batch(frames=1, **kwargs):
    return make_batch(steps=frames, size=16, **kwargs)


def weights(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def changed(before, module):
    return {key for key, value in module.state_dict().items() if not torch.equal(value, before[key])}


def balance(method, batches=3):
    """The stage that finds the thresholds; returns the frames it was offered."""
    method.begin_stage("balance")
    offered = [batch(seed=seed) for seed in range(batches)]
    for number, each in enumerate(offered):
        each.events.add_(number)
    torch.manual_seed(5)
    with torch.no_grad():
        method.eval().calibrate(iter(offered))
    method.train()
    return torch.cat([each.events for each in offered])


def train(method, stage, steps=2):
    method.begin_stage(stage)
    optimizer = torch.optim.SGD([p for p in method.trainable().parameters() if p.requires_grad], lr=0.05)
    for seed in range(steps):
        torch.manual_seed(seed)
        optimizer.zero_grad()
        method(batch(seed=seed), 0.0)["loss"].backward()
        optimizer.step()


def test_the_stages_train_the_ann_and_then_the_snn_alone():
    method = make()
    ann, balancing, snn = method.stages()
    assert (ann.name, balancing.name, snn.name) == ("ann", "balance", "snn")
    assert (ann.trains, balancing.trains, snn.trains) == (True, False, True)
    assert not balancing.calibration.training
    assert balancing.calibration.augment
    student = weights(method.backbone)
    train(method, "ann")
    assert changed(student, method.backbone) == set()
    balance(method)
    teacher, student = weights(method.pretraining), weights(method.backbone)
    train(method, "snn")
    assert changed(teacher, method.pretraining) == set()
    moved = changed(student, method.backbone)
    assert moved == {name for name in student if name.endswith("weight") and "rgb" not in name}
    assert not method.pretraining.training


def test_the_thresholds_are_those_of_the_first_images_scaled():
    method = make(leak=0.5, scaling=0.5)
    train(method, "ann")
    frames = balance(method)[:10]
    by_hand = convert(method.pretraining.backbone, "STDBNode").eval()
    by_hand.set_input([0.0], [1.0], 0.9)
    torch.manual_seed(5)
    found = [threshold / 2 for threshold in by_hand.balance(frames, 8)]
    assert [node.threshold.item() for node in method.backbone.nodes] == pytest.approx([*found, *[0.02] * 16])
    assert {node.leak for node in method.backbone.nodes} == {0.5}
    ann, snn = weights(method.pretraining.backbone), method.backbone.state_dict()
    assert all(torch.equal(snn[name], value) for name, value in ann.items() if name.endswith("weight"))


def test_a_run_goes_on_in_the_last_stage_from_its_state():
    method, fresh = make(leak=0.5, dropout=0.25), make(leak=0.5, dropout=0.25)
    train(method, "ann")
    balance(method)
    method.begin_stage("snn")
    fresh.begin_stage("snn")
    fresh.load_state_dict(method.state_dict())
    losses = []
    for each in (method, fresh):
        torch.manual_seed(3)
        losses.append(each(batch(), 0.0)["loss"])
    assert torch.equal(*losses)


def test_the_ann_and_the_snn_have_inputs_and_dropouts_of_their_own():
    model = {"input_mean": [0.5, 0.25], "dropout": 0.125}
    method = make(model=model, input_deviation=[2.0], rate=0.5, leak=0.75, dropout=0.25)
    for stage in ("ann", "balance", "snn"):
        method.begin_stage(stage)
        ann, snn = method.pretraining.backbone, method.backbone
        for network, share in ((ann, 0.125), (snn, 0.25)):
            assert {part.p for part in network.modules() if isinstance(part, SampleDropout)} == {share}
        assert (ann.input_mean.flatten().tolist(), ann.input_deviation.item(), ann.rate) == ([0.5, 0.25], 1.0, None)
        assert (snn.input_mean.item(), snn.input_deviation.item(), snn.rate) == (0.0, 2.0, 0.5)
        assert {node.leak for node in snn.nodes} == {0.75}


def test_the_loss_is_that_of_the_potential_after_all_steps():
    method = make(dropout=0.0)
    train(method, "ann")
    balance(method)
    method.begin_stage("snn")
    given = batch()
    torch.manual_seed(0)
    potential = method.backbone.event_logits(given.events).sum(0)
    assert potential.any()
    torch.manual_seed(0)
    torch.testing.assert_close(method(given, 0.0)["loss"], functional.cross_entropy(potential, given.label))
    torch.manual_seed(0)
    logits = method.eval().predict(given.events)
    assert logits.shape == (STEPS, 6, 3)
    torch.testing.assert_close(logits.mean(0), potential)
    method.set_steps(20)
    assert method.predict(given.events).shape == (20, 6, 3)


def test_the_ann_sees_each_frame_once_and_the_snn_for_an_equal_share_of_the_steps():
    method = make(frames=3, steps=15, rate=1.0)
    events = torch.arange(3.0).view(1, 3, 1, 1, 1).expand(2, 3, 2, 16, 16) / 2
    seen = []
    method.backbone.stem.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    method.eval().predict(events)
    rates = seen[0].view(3, 5, 2, 2, 16, 16).mean((1, 2, 3, 4, 5))
    torch.testing.assert_close(rates, torch.tensor([0.0, 0.5, 1.0]), rtol=0, atol=0.05)
    method.begin_stage("ann")
    assert method.predict(events).shape == (3, 2, 3)


def test_an_ann_of_other_nodes_is_remarked_on():
    assert make().notes() == []
    assert "this one has LIFNode" in make(nodes="LIFNode").notes()[-1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 11}, "steps is 11, but nothing reaches the output in the first 11"),
        ({"scaling": 0.0}, "scaling must be above 0"),
        ({"leak": 0.0}, "leak must be above 0"),
        ({"leak": 1.1}, "at most 1, not 1.1"),
        ({"dropout": 1.0}, "below 1, not 1.0"),
        ({"rate": 2.0}, "at most 1, not 2.0"),
        ({"input_mean": [0.1, 0.2, 0.3]}, "one for each of the 2 channels"),
        ({"balance_steps": 0}, "balance_steps must be 1 or more"),
        ({"balance_images": 0}, "balance_images must be 1 or more"),
        ({"pretraining": {"name": "hsd", "steps": 1}}, "stages of its own"),
    ],
)
def test_bad_settings_end_before_anything_is_trained(settings, words):
    with pytest.raises(RecipeError, match=words):
        make(**settings)


def test_a_network_without_a_balance_is_refused():
    with pytest.raises(RecipeError, match="take model hybrid_resnet20"):
        METHODS.build("hybrid", make_backbone("hsd_vggsnn", 1, width=0.0625), steps=20)
