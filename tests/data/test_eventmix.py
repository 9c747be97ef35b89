"""EventMix against the numbers of BrainCog's code (@3998fd5), and its draws."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from braincog_tmkt.data.augment import build_augmentations
from braincog_tmkt.data.augment.eventmix import gaussian_mask, kept_share
from braincog_tmkt.data.batch import BatchRNG
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.losses import build_loss
from tests.golden.published import published

GOLDEN = published("eventmix")
FACTS = GOLDEN.facts["cases"]
MASKS, GIVEN, WRAPS = ([name for name in FACTS if name.startswith(f"{kind}/")] for kind in ("mask", "given", "wrap"))
CLASSES = torch.tensor(FACTS["wrap"]["classes_of_the_5_samples"])


def recording(name):
    """Counts of a recording `[1, T, 2, H, W]`."""
    return (GOLDEN.input(name) - 5).clamp(min=0).float()[None]


def blobs(draws):
    """Heights `[n]`, centres and widths `[n, 3]` of a mask."""
    centres, widths = ([blob[key] for blob in draws["blobs"]] for key in ("centre_t_x_y", "u_t_x_y"))
    return np.array(draws["pi"]), np.array(centres), np.array(widths)


def mask_of(name):
    """Our mask `[1, T, H, W]` from the draws of a case, and the published one."""
    facts = FACTS[name]
    steps, _, height, width = facts["size"]
    drawn = [torch.from_numpy(each)[None] for each in (*blobs(facts["draws"]), np.array(facts["ratio"]))]
    bits = np.unpackbits(GOLDEN.arrays[f"{name}/packed"])[: facts["voxels"]]
    size = (steps, height, width)
    return gaussian_mask(*drawn, size), torch.from_numpy(bits).bool().view(1, *size)


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_those_of_the_public_code(name):
    mask, expected = mask_of(name)
    assert expected.sum() == FACTS[name]["true_voxels"]
    assert (mask != expected).sum() <= (name == "mask/d")  # whose threshold meets a tie
    assert mask.any() == (name not in ("mask/tiny_ratio", "mask/ratio_one")), "empty, not full, for a tiny ratio"


@pytest.mark.parametrize("name", GIVEN)
def test_mixtures_and_all_label_rules_are_those_of_the_public_code(name):
    facts = FACTS[name]
    mask, (own, other) = mask_of(facts["mask"])[0], (recording(f"{name}/sample{number}") for number in (1, 2))
    assert torch.equal(torch.where(mask[:, :, None], other, own)[0], GOLDEN.array(f"{name}/mixed").float())
    for rule in ("count", "area", "distance"):
        share = kept_share(own, other, mask, rule)
        assert share.item() == pytest.approx(facts[f"weight_1_{rule}"], rel=1e-5), rule


class PublishedDraws:
    """In the place of the random numbers: those of one published mix for one row of 5; the others are not mixed."""

    total = 5

    def __init__(self, mix, row):
        self.mix, self.row = mix, row
        self.blobs = blobs(mix["mask"]) if mix["mixed"] else (np.zeros(3), np.zeros((3, 3), int), np.zeros((3, 3)))

    def generator(self, stream):
        return self

    def rows(self, value, others=0):
        values = np.full((self.total, *np.shape(value)), others, np.asarray(value).dtype)
        values[self.row] = value
        return values

    def random(self, shape):
        return self.rows(self.mix["gate"], 1.0) if shape == self.total else self.rows(self.blobs[2 * (len(shape) == 3)])

    def beta(self, one, two, count):
        return self.rows(self.mix.get("lam", 0.5))

    def integers(self, below, size):
        return self.rows(self.mix.get("partner", 0)) if below == self.total else self.rows(self.blobs[1])


@pytest.mark.parametrize("name", [name for name in WRAPS if name != "wrap/noise"])
@pytest.mark.parametrize("rule", ["count", "area"])
def test_whole_draws_give_the_recordings_and_targets_of_the_public_code(name, rule):
    facts = FACTS[name]
    events = torch.cat([recording(f"{name}/sample{number}") for number in range(5)])
    target, row = functional.one_hot(CLASSES, 6).float(), facts["index"]
    (mix,) = build_augmentations([{"name": "eventmix", "p": facts["arguments"]["prob"], "label": rule}])
    mixed, soft = events, target
    for drawn in facts["mixes"]:
        mixed, soft = mix(mixed, soft, PublishedDraws(drawn, row))
    others = torch.arange(5) != row
    assert torch.equal(mixed[row], GOLDEN.array(f"{name}/x").float())
    assert soft[row].numpy() == pytest.approx(GOLDEN.arrays[f"{name}/label_{rule}"], rel=1e-5)
    assert torch.equal(mixed[others], events[others])
    assert torch.equal(soft[others], target[others])


def test_the_loss_of_soft_targets_is_that_of_the_public_code():
    logits = GOLDEN.input("loss/logits").requires_grad_()
    cases = ("plain", "two_mixes", "gate_closed")
    target = torch.stack([GOLDEN.array(f"wrap/{case}/label_count") for case in cases])
    loss = build_loss("ce_mean")(logits[None], target, 0.0)["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(GOLDEN.arrays["loss/value"].item(), rel=1e-5)
    assert logits.grad.numpy() == pytest.approx(GOLDEN.arrays["loss/grad"], rel=1e-5, abs=1e-7)


def test_where_the_public_code_has_no_number_the_area_counts():
    mask = mask_of("mask/b")[0]
    full, empty, inside = (
        torch.ones(1, 4, 2, 6, 7),
        torch.zeros(1, 4, 2, 6, 7),
        mask[:, :, None].expand(-1, -1, 2, -1, -1),
    )
    pairs = [(empty, full), (full, empty), (empty, empty), (inside.float(), (~inside).float())]
    assert len([value for value in FACTS["given"].values() if value == "nan"]) == 3
    for own, other in pairs:
        assert kept_share(own, other, mask, "count").item() == pytest.approx(0.75)
    assert kept_share(full, full, mask, "distance").item() == pytest.approx(0.75)


def test_a_batch_is_mixed_with_its_own_recordings_and_the_shares_add_up():
    events = torch.poisson(torch.full((40, 4, 2, 6, 7), 2.0), generator=torch.Generator().manual_seed(0))
    target, before = functional.one_hot(torch.arange(40)).float(), events.clone()
    (mix,) = build_augmentations([{"name": "eventmix", "p": 0.5}])
    mixed, soft = mix(events, target, BatchRNG(3, 0, 40, 40))
    assert torch.equal(events, before)
    assert soft.sum(1).numpy() == pytest.approx(1)
    changed = (mixed != events).flatten(1).any(1)
    assert 10 < changed.sum() < 30  # half of 40, some of them with themselves
    assert torch.equal(soft[~changed], target[~changed])
    for row in changed.nonzero().flatten().tolist():
        partner = int((soft[row] * (1 - target[row])).argmax())
        assert ((mixed[row] == events[row]) | (mixed[row] == events[partner])).all()


def test_no_recording_may_be_mixed_and_settings_out_of_range_are_refused():
    events, target = torch.ones(3, 2, 2, 6, 7), torch.eye(3)
    (mix,) = build_augmentations([{"name": "eventmix", "p": 0.0}])
    assert all(map(torch.equal, mix(events, target, BatchRNG(3, 0, 3, 3)), (events, target)))
    for keywords in ({"p": 1.5}, {"beta": 0.0}, {"blobs": 0}, {"label": "events"}):
        with pytest.raises(RecipeError, match="label count, area or distance, not"):
            build_augmentations([{"name": "eventmix", **keywords}])
