"""HSD's stages: who is trained, who is left alone, what the student sees, what its loss is."""

import copy

import pytest
import torch
from torch.nn import functional

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.losses import kd, skd
from braincog_tmkt.methods import METHODS

from .toys import make_backbone, make_batch


def make(name="hsd_vggsnn", frames=6, steps=2, nodes="QCFSNode", threshold=2.0, **kwargs):
    backbone = make_backbone(name, frames, width=0.0625, node_type=nodes, threshold=threshold)
    return METHODS.build("hsd", backbone, steps=steps, **kwargs).train()


def batch(frames=6, **kwargs):
    return make_batch(steps=frames, size=16, **kwargs)


def weights(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def equal(one, other):
    return all(torch.equal(value, other[key]) for key, value in one.items())


def train(method, stage, steps=2, frames=6):
    method.begin_stage(stage)
    optimizer = torch.optim.SGD([p for p in method.trainable().parameters() if p.requires_grad], lr=0.05)
    for seed in range(steps):
        optimizer.zero_grad()
        method(batch(frames, seed=seed), 0.0)["loss"].backward()
        optimizer.step()


def test_the_ann_is_trained_by_cross_entropy_and_the_student_is_left_alone():
    method = make()
    student = weights(method.backbone)
    train(method, "ann")
    assert equal(student, method.backbone.state_dict())
    given = batch()
    expected = functional.cross_entropy(method.pretraining.backbone.event_logits(given.events).mean(0), given.label)
    torch.testing.assert_close(method(given, 0.0)["loss"], expected, rtol=1e-4, atol=1e-4)
    assert method.predict(given.events).shape == (6, 6, 3)


def test_the_student_begins_as_the_ann_with_other_nodes():
    method = make()
    train(method, "ann")
    method.begin_stage("convert")
    ann, student = method.pretraining.backbone.state_dict(), method.backbone.state_dict()
    shared = [key for key in student if "act_fun" not in key]
    assert [key for key in shared if "threshold" in key]
    assert all(torch.equal(student[key], ann[key]) for key in shared)
    assert method.predict(batch().events).shape == (2, 6, 3)


def test_the_teacher_does_not_change_while_the_student_learns():
    method = make()
    train(method, "ann")
    method.begin_stage("convert")
    teacher, student = weights(method.pretraining), weights(method.backbone)
    train(method, "distil", steps=3)
    assert equal(teacher, method.pretraining.state_dict())
    assert not equal(student, method.backbone.state_dict())
    assert not any(p.requires_grad for p in method.pretraining.parameters())
    assert not method.pretraining.training
    assert method.backbone.training


@pytest.mark.parametrize("distillation", ["skd", "kd"])
def test_the_loss_is_the_paper_s(distillation):
    method = make(distillation=distillation, temperature=4.0, weight=3.0, kl_reduction="batchmean")
    method.begin_stage("convert")
    method.begin_stage("distil")
    given = batch()
    teacher = copy.deepcopy(method.pretraining.backbone).eval().event_logits(given.events).mean(0)
    logits = copy.deepcopy(method.backbone).event_logits(given.events[:, :2])
    formula = {"skd": skd, "kd": kd}[distillation](logits, teacher, 4.0, "batchmean")
    parts = method(given, 0.0)
    torch.testing.assert_close(parts["distillation"], formula)
    classification = functional.cross_entropy(logits.mean(0), given.label)
    torch.testing.assert_close(parts["loss"], classification + 3 * formula)


@pytest.mark.parametrize(
    ("rule", "steps", "rows"),
    [("first", 2, [0, 1]), ("last", 2, [4, 5]), ("spread", 2, [1, 4]), ("spread", 6, [0, 1, 2, 3, 4, 5])],
)
def test_the_student_sees_the_frames_that_the_recipe_says(rule, steps, rows):
    method = make(steps=steps, student_frames=rule).eval()
    events = batch().events
    expected = method.backbone.event_logits(events[:, rows])
    torch.testing.assert_close(method.predict(events), expected)
    unseen = [row for row in range(6) if row not in rows]
    events[:, unseen] += 5
    torch.testing.assert_close(method.predict(events), expected)


def test_a_still_image_is_shown_at_all_steps():
    method = make(frames=1, steps=4).eval()
    events = batch(frames=1).events
    expected = method.backbone.event_logits(events.repeat(1, 4, 1, 1, 1))
    torch.testing.assert_close(method.predict(events), expected, rtol=1e-4, atol=1e-5)


def test_the_first_stage_may_be_transfer_from_images():
    tmkt = {"name": "tmkt", "mix_ratio": 0.5}
    backbone = make_backbone("tmkt_vggsnn", 6, width=0.0625, node_type="QCFSNode", threshold=2.0)
    method = METHODS.build("hsd", backbone, steps=2, pretraining=tmkt)
    assert method.needs_static
    method.begin_stage("ann")
    assert {"mixed", "rda", "modality", "ratio"} <= method(batch(), 0.0).keys()
    train(method, "ann")
    method.begin_stage("convert")
    train(method, "distil")
    assert not make().needs_static


def test_the_teacher_may_be_a_spiking_network_of_more_steps():
    backbone = make_backbone("hsd_vggsnn", 6, width=0.0625, node_type="LIFNode")
    method = METHODS.build("hsd", backbone, steps=2, node="LIFNode", pretraining={"name": "baseline"}).eval()
    method.begin_stage("convert")
    events = batch().events
    torch.testing.assert_close(method.predict(events), method.pretraining.predict(events)[:2], rtol=1e-4, atol=1e-5)


def test_a_conversion_without_theory_is_remarked_on():
    backbone = make_backbone("hsd_vggsnn", 6, width=0.0625, node_type="LIFNode")
    assert "nothing says" in METHODS.build("hsd", backbone, steps=2).notes()[1]
    assert len(METHODS.build("hsd", backbone, steps=2, node="LIFNode").notes()) == 1


def test_its_weight_is_said_in_words():
    (sentence,) = make().notes()
    assert "skd with temperature 10 and weight 5" in sentence
    assert "'mean', so that of one recording counts 1.66667" in sentence  # 5 / 3 classes


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"distillation": "sdk"}, "did you mean 'skd'"),
        ({"student_frames": "frist"}, "did you mean 'first'"),
        ({"steps": 7}, "7 steps, but a recording has 6 frames"),
        ({"steps": 0}, "1 time step or more, not 0"),
        ({"temperature": 0.0}, "must be above 0"),
        ({"kl_reduction": "sum"}, "one of mean, batchmean"),
        ({"node": "SoftResetNode"}, "did you mean 'SoftResetIFNode'"),
        ({"pretraining": {"name": "tmtk"}}, "did you mean 'tmkt'"),
        ({"pretraining": {"name": "hsd", "steps": 2}}, "stages of its own"),
        ({"node": "QCFSNode"}, "must spike"),
        ({"weight": -1.0}, "0 or more, not -1"),
    ],
)
def test_bad_settings_end_before_anything_is_trained(settings, words):
    with pytest.raises(RecipeError, match=words):
        make(**settings)
