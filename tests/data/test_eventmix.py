"""EventMix against the numbers of BrainCog's code (@3998fd5), and its draws."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from braincog_tmkt.data.augment import build_augmentations
from braincog_tmkt.data.augment.eventmix import gaussian_mask, kept_share
from braincog_tmkt.data.batch import BatchRNG
from braincog_tmkt.errors import RecipeError

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "eventmix.npz")
CASES = ["mask/a", "mask/b", "mask/c", "mask/e", "mask/tiny_ratio", "mask/ratio_one", "given/a", "given/b", "given/c"]
CASES += [f"wrap/{name}" for name in ("plain", "beta2", "gate_open", "indices", "larger")]


def golden(case, *names):
    return (torch.from_numpy(GOLDEN[f"{case}/{name}"])[None] for name in names)


@pytest.mark.parametrize("case", CASES)
def test_masks_mixtures_and_labels_are_those_of_the_public_code(case):
    *blobs, ratio = golden(case, "heights", "centres", "widths", "ratio")
    size = tuple(int(length) for length in GOLDEN[f"{case}/size"])
    mask = gaussian_mask(*blobs, ratio, size)
    if case.startswith("mask/"):
        assert torch.equal(mask, next(golden(case, "mask")))
        return
    own, other, mixed = golden(case, "own", "other", "mixed")
    assert torch.equal(torch.where(mask[:, :, None], other, own), mixed)
    for rule in ("count", "area"):
        assert kept_share(own, other, mask, rule).item() == pytest.approx(GOLDEN[f"{case}/{rule}"].item(), rel=1e-5)


def test_a_batch_is_mixed_with_its_own_recordings_and_the_shares_add_up():
    events = torch.poisson(torch.full((40, 4, 2, 6, 7), 2.0), generator=torch.Generator().manual_seed(0))
    target = functional.one_hot(torch.arange(40)).float()
    (mix,) = build_augmentations([{"name": "eventmix", "p": 0.5}])
    mixed, soft = mix(events, target, BatchRNG(3, 0, 40, 40))
    assert soft.sum(1).numpy() == pytest.approx(1)
    changed = (mixed != events).flatten(1).any(1)
    assert 10 < changed.sum() < 30  # half of 40, some of them with themselves
    assert torch.equal(soft[~changed], target[~changed])
    for row in changed.nonzero().flatten().tolist():
        partner = int((soft[row] * (1 - target[row])).argmax())
        assert ((mixed[row] == events[row]) | (mixed[row] == events[partner])).all()


def test_recordings_without_events_have_no_nan():
    (mix,) = build_augmentations([{"name": "eventmix", "p": 1.0}])
    soft = mix(torch.zeros(8, 4, 2, 6, 7), functional.one_hot(torch.arange(8)).float(), BatchRNG(3, 0, 8, 8))[1]
    assert soft.sum(1).numpy() == pytest.approx(1)
    with pytest.raises(RecipeError, match="label count or area"):
        build_augmentations([{"name": "eventmix", "label": "distance"}])
