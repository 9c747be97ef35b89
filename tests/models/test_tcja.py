"""Attention in any network, plans of layers, dropout over all steps: what a user may ask for and is told."""

import pytest
import torch
from torch import nn

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.all_steps import SampleDropout
from braincog_tmkt.models.attention.tcja import TCJA
from tests.models.test_parts import STEPS, frames, small

NETWORKS = (
    "tmkt_vggsnn",
    "tmkt_resnet18",
    "tmkt_scnn",
    "hsd_resnet19",
    "tet_vggsnn_woap",
    "nda_vgg11",
    "tcja_cext",
    "tcja_vgg",
)


def side(name):
    return {"tmkt_scnn": 28, "tcja_cext": 32, "tcja_vgg": 32}.get(name, 16)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_network_takes_attention_at_two_places(name):
    net, size = small(name, img_size=side(name), attention="tcja", kernel_t=3, threshold=0.1).train(), side(name)
    gates = [layer for layer in net.modules() if isinstance(layer, TCJA)]
    assert [gate.conv_t.kernel_size + gate.conv_c.kernel_size for gate in gates] == [(3, 4)] * 2
    net.event_logits(frames(size=(size, size))).square().sum().backward()
    assert all(gate.conv_t.weight.grad.abs().sum() > 0 for gate in gates)
    net.set_steps(2)
    with pytest.raises(RecipeError, match="weights for 3 time steps, but the network runs for 2"):
        net.event_logits(frames(size=(size, size))[:, :2])
    with pytest.raises(
        RecipeError, match=r"\(TCJA\) looks at all time steps together, so execution must be multi_step"
    ):
        small(name, img_size=size, attention="tcja", execution="step", norm="none")
    plain = {key for key in small(name, img_size=size, attention="none").state_dict() if "feature" not in key}
    assert plain <= net.state_dict().keys()


def test_recomputed_layers_have_the_same_gradients_with_attention_and_dropout():
    grads = []
    for recompute in (False, True):
        net = small("tcja_vgg", img_size=32, recompute=recompute).train()
        torch.manual_seed(3)
        net.event_logits(frames(size=(32, 32))).square().sum().backward()
        grads.append([weight.grad for weight in net.parameters() if weight.grad is not None])
    torch.testing.assert_close(grads[0], grads[1])


class Doubled(nn.Module):
    """Attention of a user's own, for one step at a time."""

    def __init__(self, channels: int, by: float = 2.0) -> None:
        super().__init__()
        self.by = by

    def forward(self, x):
        return x * self.by


def test_attention_of_ones_own_is_one_class_with_its_keywords():
    path = f"{__name__}.Doubled"
    nets = [small(attention=path, by=1.0, execution=execution).eval() for execution in ("step", "multi_step")]
    plain = small().eval()
    torch.testing.assert_close(nets[0].event_logits(frames()), plain.event_logits(frames()))
    torch.testing.assert_close(nets[1].event_logits(frames()), plain.event_logits(frames()))
    with pytest.raises(RecipeError, match=r"takes no 'bye'.*did you mean 'by'"):
        small(attention=path, bye=1.0)
    with pytest.raises(RecipeError, match="unknown attention 'tjca': did you mean 'tcja'"):
        small(attention="tjca")


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"plan": "64-AQ"}, "'AQ' is not a layer; write channels"),
        ({"plan": "64/0-AP"}, "'64/0' is not a layer"),
        ({"plan": "AP-64"}, "must begin with a convolution"),
        ({"plan": "8-AP-8-AP-8-AP-8-AP-8-AP"}, "needs frames of 32x32 or larger, not 16x16"),
        ({"weight_init": "kaimin"}, "weight_init must be one of pytorch, kaiming, not 'kaimin'"),
        ({"attention": "tcja", "kernel_t": 0}, "attention 'tcja': kernel_t must be 1 or more, not 0"),
    ],
)
def test_what_makes_no_network_is_refused_in_words(keywords, words):
    with pytest.raises(RecipeError, match=words):
        small(**keywords)


@pytest.mark.parametrize(("keyword", "value"), [("dropout", 1.0), ("dropout_masks", "frozn")])
def test_dropout_that_does_not_exist_is_refused_in_words(keyword, value):
    with pytest.raises(RecipeError, match=f"{keyword}.*{value}"):
        small("tcja_cext", img_size=32, **{keyword: value})


@pytest.mark.parametrize("size", [(17, 31), (20, 16), (33, 48)])
@pytest.mark.parametrize("plan", ["8-AP-8/2-MP-8/3", "8/2-8-8/2-MP", "8-MP-8-AP-8-GAP"])
def test_a_plan_knows_the_size_that_its_layers_leave(plan, size):
    net = small(plan=plan, img_size=size, width=1.0)
    assert net.event_logits(frames(size=size)).shape == (STEPS, 4, 5)


@pytest.mark.parametrize(
    ("name", "classes", "steps", "size", "millions"),
    [
        ("tcja_cext", 101, 14, (180, 240), 21.9),
        ("tcja_vgg", 101, 14, (180, 240), 21.9),
        ("nda_vgg11", 10, 10, 48, 9.23),
        ("tet_vggsnn", 10, 10, 48, 9.27),
        ("tmkt_vggsnn", 10, 10, 48, 9.31),
    ],
)
def test_numbers_of_parameters_are_those_published(name, classes, steps, size, millions):
    with torch.device("meta"):
        net = build_backbone(name, classes, steps, size)
    count = sum(weight.numel() for weight in net.parameters() if weight.dim())
    assert round(count / 1e6, 2 if millions < 10 else 1) == millions


def test_norms_of_nda_begin_at_the_threshold_and_tets_at_1():
    assert [small(name).feature[0].bn.weight[0].item() for name in ("nda_vgg11", "tet_vggsnn")] == [0.5, 1.0]


def test_dropout_is_one_mask_a_sample_and_iteration_at_all_steps():
    layer = SampleDropout(0.5)
    layer.steps = STEPS
    torch.manual_seed(0)
    masks = [layer(torch.ones(STEPS * 4, 50)).unflatten(0, (STEPS, 4)) for _ in range(2)]
    assert all(torch.equal(mask[0], mask[step]) for mask in masks for step in range(STEPS))
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0][0, 0], masks[0][0, 1])
    assert set(masks[0].unique().tolist()) == {0.0, 2.0}
    torch.manual_seed(0)
    assert torch.equal(layer(torch.ones(STEPS * 4, 50)).view_as(masks[0]), masks[0])


def test_frozen_masks_stay_and_are_kept_in_the_state():
    frozen, sample = (
        small("tcja_vgg", img_size=32, threshold=0.1, dropout_masks=kind) for kind in ("frozen", "sample")
    )
    shapes = {key: tuple(value.shape) for key, value in frozen.state_dict().items() if key.endswith("mask")}
    assert shapes == {"dropout1.mask": (64,), "dropout2.mask": (STEPS, 1, 128)}
    weights = dict(sample.named_parameters())
    assert all(torch.equal(weight, weights[name]) for name, weight in frozen.named_parameters())
    x = frames(size=(32, 32))
    first, second = (frozen.train().event_logits(x) for _ in range(2))
    torch.testing.assert_close(first, second)
    sample.load_state_dict({key: value for key, value in frozen.state_dict().items() if not key.endswith("mask")})
    expected = sample.eval().event_logits(x)
    torch.testing.assert_close(frozen.eval().event_logits(x), expected)
    assert not torch.equal(first, expected)
    other = small("tcja_vgg", img_size=32, dropout_masks="frozen", dropout=0.25)
    other.load_state_dict(frozen.state_dict())
    assert torch.equal(other.dropout2.mask, frozen.dropout2.mask)
