"""CKD, re-derived: the weight's curve, who learns from whom, and Knowledge-Transfer without the teacher."""

import copy
import math

import pytest
import torch
from torch.nn import functional

from braincog_tmkt.data.static import value
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.losses import kd, skd
from braincog_tmkt.methods import METHODS
from braincog_tmkt.models import build_backbone
from tests.engine.toys import equal

from .toys import make_backbone, make_batch

TEACHER = {"width": 0.0625}


def make(name="tmkt_vggsnn", stage="student", **settings):
    def build(wanted, steps, in_chans):
        assert (wanted["name"], wanted["node_type"]) == ("hsd_resnet18", "ReLUNode")
        wanted = dict(wanted)
        return build_backbone(wanted.pop("name"), 3, steps, backbone.img_size, in_chans=in_chans, **wanted)

    backbone = make_backbone(name)
    method = METHODS.build("ckd", backbone, **{"build": build, "teacher": TEACHER, **settings}).train()
    method.begin_stage(stage)
    return method


def batch_for(method, colours=False, **kwargs):
    batch = make_batch(size=method.backbone.img_size, **kwargs)
    if colours:
        batch.static = torch.rand(len(batch.label), 3, *batch.static.shape[2:], generator=torch.manual_seed(3))
    return batch


def gradients(module):
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


@pytest.mark.parametrize(("switch", "steepness"), [(0.5, 20.0), (0.3, 5.0), (0.0, 1e6)])
def test_the_weight_falls_along_a_sigmoid(switch, steepness):
    method = make("tmkt_scnn", switch=switch, steepness=steepness)
    for progress in (0.0, 0.2, 0.3, 0.5, 0.71, 1.0):
        expected = torch.sigmoid(torch.tensor((switch - progress) * steepness, dtype=torch.float64)).item()
        assert method.weight(progress) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert method.weight(switch) == 0.5
    assert make("tmkt_scnn").weight(0.0) == pytest.approx(1, abs=1e-4)
    assert make("tmkt_scnn").weight(1.0) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("settings", [{"distillation_weight": 0.0}, {"switch": 0.0, "steepness": 1e6}])
@pytest.mark.parametrize("name", ["tmkt_scnn", "tmkt_vggsnn"])
def test_without_distillation_it_is_knowledge_transfer(name, settings):
    method = make(name, shared_head=False, alignment_weight=0.7, loss={"name": "tet", "weight": 0.1}, **settings)
    batch = batch_for(method)
    plain = METHODS.build("knowledge_transfer", copy.deepcopy(method.backbone), alignment_weight=0.7, mse_weight=0.1)
    for progress in (0.3, 0.8):
        expected, parts = plain(batch, progress), method(batch, progress)
        for key, part in expected.items():
            assert torch.equal(parts[key], part), key


@pytest.mark.parametrize("distillation", ["kd", "skd"])
@pytest.mark.parametrize("colours", [False, True])
def test_the_loss_put_together_by_hand(distillation, colours):
    settings = {"temperature": 3.0, "distillation_weight": 0.8, "kl_reduction": "mean", "shared_head": False}
    method = make(distillation=distillation, **settings)
    batch, progress = batch_for(method, colours), 0.45
    static = batch.static if colours else batch.static[:, :1].repeat(1, 3, 1, 1)
    teacher = copy.deepcopy(method.teacher).eval().event_logits(static[:, None])[0]
    shown = torch.stack([torch.from_numpy(value(image.permute(1, 2, 0).numpy())) for image in static])
    student = copy.deepcopy(method)
    batch_of_values = copy.copy(batch)
    batch_of_values.static = shown[:, None].expand(-1, 2, -1, -1)
    mixed, events = student.streams(batch_of_values, progress)
    expected = student.losses(mixed, events, batch.label, progress)
    formula = {"kd": kd, "skd": skd}[distillation](mixed.logits, teacher, 3.0, "mean")
    parts = method(batch, progress)
    torch.testing.assert_close(parts["distillation"], formula)
    total = expected["loss"] + 0.8 / (1 + math.exp((progress - 0.5) * 20)) * formula
    torch.testing.assert_close(parts["loss"], total)


@pytest.mark.parametrize("shared", [False, True])
def test_the_distillation_reaches_the_mixed_stream_alone(shared):
    method = make(shared_head=shared)
    method(batch_for(method), 0.2)["distillation"].backward()
    assert not [p for p in method.teacher.parameters() if p.grad is not None]
    reached = gradients(method.backbone)
    assert "feature.0.conv.weight" in reached
    heads = {name.split(".")[0] for name in reached if "_fc" in name}
    assert heads == ({"dvs_fc"} if shared else {"rgb_fc"})


def test_the_event_stream_s_own_output_is_not_distilled():
    """With one classifier for both, other event frames leave the distillation as it is, until they replace images."""
    method = make()
    batch = batch_for(method)
    before = method(batch, 0.0)["distillation"]
    batch.events = batch.events.flip(1)
    torch.testing.assert_close(method(batch, 0.0)["distillation"], before)
    assert (method(batch, 1.0)["distillation"] - before).abs() > 1e-4


def test_the_teacher_learns_images_and_then_stands_still():
    method = make(stage="teacher")
    batch = batch_for(method, colours=True)
    batch.events = batch.static[:, None]
    expected = functional.cross_entropy(copy.deepcopy(method.teacher).event_logits(batch.events)[0], batch.label)
    parts = method(batch, 0.0)
    torch.testing.assert_close(parts["loss"], expected)
    parts["loss"].backward()
    assert gradients(method.teacher)
    assert not gradients(method.backbone)
    events = batch_for(method).events
    assert method.eval().predict(events).shape == (4, 6, 3)
    torch.testing.assert_close(
        method.predict(events)[1],
        method.teacher.event_logits(events[:, 1:2].amax(2, keepdim=True).repeat(1, 1, 3, 1, 1))[0],
    )
    method.begin_stage("student")
    before = copy.deepcopy(method.teacher.state_dict())
    method.train()(batch_for(method), 0.0)["loss"].backward()
    assert equal(before, method.teacher.state_dict())
    assert method.backbone.training
    assert not method.teacher.training
    assert not any(p.requires_grad for p in method.teacher.parameters())


def test_it_says_that_it_is_re_derived_and_what_its_weight_comes_to():
    first, second = make(distillation_weight=2.0).notes()
    assert "re-derived" in first
    assert "from 2 to 9.08e-05, by half at 50%" in second
    identity = METHODS.identity("ckd")
    assert "re-derived" in identity.label
    assert "re-derived" in identity.title


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"switch": 1.5}, "from 0 to 1, not 1.5"),
        ({"steepness": 0.0}, "steepness must be above 0"),
        ({"distillation": "kdd"}, "did you mean 'kd'"),
        ({"temperature": 0.0}, "must be above 0"),
        ({"kl_reduction": "sum"}, "one of mean, batchmean"),
        ({"distillation_weight": -1.0}, "0 or more, not -1"),
        ({"switsch": 0.3}, "did you mean 'switch'"),
    ],
)
def test_bad_settings_end_before_anything_is_trained(settings, words):
    with pytest.raises(RecipeError, match=words):
        make("tmkt_scnn", **settings)
