"""NDA's policy against the numbers of its public code (Intelligent-Computing-Lab-Yale/NDA_SNN @d355bcb)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from braincog_tmkt.data.augment import build_augmentations
from braincog_tmkt.data.augment.nda import OPERATIONS, transformed
from braincog_tmkt.data.batch import BatchRNG
from braincog_tmkt.data.frames import RESIZES
from braincog_tmkt.errors import RecipeError
from tests.golden.published import published

GOLDEN = published("nda")
TABLES = {"ncaltech": (3, 15.0, 15.0), "cifar10dvs": (5, 30.0, 30.0)}


def moved(frames, operation, amount):
    """All samples `[B, T, C, H, W]` after one operation: shifts down and right, or degrees."""
    shift = torch.tensor(amount if operation == "roll" else (0, 0)).expand(len(frames), 2)
    angle = torch.tensor(0.0 if operation == "roll" else amount, dtype=torch.float64).expand(len(frames))
    return transformed(frames, torch.full((len(frames),), OPERATIONS.index(operation)), shift, angle)


@pytest.mark.parametrize("key", [key for key in GOLDEN.arrays if key.endswith("/map")])
def test_every_pixel_comes_from_where_it_does_in_the_public_code(key):
    operation, size, degrees, _ = key.split("/")
    height, width = map(int, size.split("x"))
    rows, columns = torch.meshgrid(torch.arange(height) + 1.0, torch.arange(width) + 1.0, indexing="ij")
    got = moved(torch.stack([rows, columns])[None, None], operation, float(degrees))
    assert torch.equal(got[0, 0], GOLDEN.array(key).float())


@pytest.mark.parametrize("key", [key for key in GOLDEN.arrays if key.startswith("roll/")])
def test_rolls_are_those_of_the_public_code(key):
    down, right = map(int, key.removeprefix("roll/").split("_"))
    got = moved(GOLDEN.input("roll/x")[None], "roll", (down, right))
    assert torch.equal(got[0], GOLDEN.array(key).float())


@pytest.mark.parametrize("size", ["180x240", "128x128", "40x50"])
def test_frames_of_number_are_resized_as_in_the_public_code(size):
    height, width = map(int, size.split("x"))
    rows, columns = torch.meshgrid(torch.arange(height) + 1.0, torch.arange(width) + 1.0, indexing="ij")
    got = RESIZES["number"](torch.stack([rows, columns])[None], (48, 48))[0]
    assert torch.equal(got[0, :, 0].long(), GOLDEN.array(f"resize/{size}/rows"))
    assert torch.equal(got[1, 0].long(), GOLDEN.array(f"resize/{size}/columns"))


@pytest.mark.parametrize("table", TABLES)
def test_whole_draws_are_those_of_the_public_loaders(table):
    frames = GOLDEN.input(f"policy/{table}/frames").float()
    if table == "cifar10dvs":  # [2, H, W, T]
        frames = frames.permute(3, 0, 1, 2)
    frames = RESIZES["number"](frames, (48, 48))[None]
    facts = GOLDEN.facts["cases"][f"policy/{table}"]
    assert {draw["op"] for draw in facts["draws"]} == set(OPERATIONS)
    for draw in facts["draws"]:
        got = moved(frames, draw["op"], draw["parameter"])
        assert torch.equal(got[0], GOLDEN.array(f"policy/{table}/seed{draw['seed']}").float()), draw


SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(5, 17), st.integers(5, 17))


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.sampled_from([*TABLES.values(), (2, 10.0, 40.0)]), st.integers(0, 2**31))
def test_each_sample_gets_one_operation_at_all_steps_and_no_new_values(shape, table, seed):
    rows, steps, height, width = shape
    frames = torch.randint(1, 10_000, (rows, 1, 2, height, width), generator=torch.Generator().manual_seed(seed))
    frames = frames.float().expand(-1, steps, -1, -1, -1)
    keywords = dict(zip(("pixels", "degrees", "shear"), table, strict=True))
    rng = BatchRNG(seed, 0, rows, rows)
    got, _ = build_augmentations([{"name": "nda", **keywords}])[0](frames, torch.arange(rows), rng)
    assert torch.equal(got, got[:, :1].expand_as(got))
    which, one, other = rng.uniform(3, stream="nda").T
    for row, sample in enumerate(frames):
        name = OPERATIONS[int(3 * which[row])]
        down, right = (int((2 * table[0] + 1) * each[row]) - table[0] for each in (one, other))
        most = table[OPERATIONS.index(name)]
        amount = (down, right) if name == "roll" else most * (2 * one[row].item() - 1)
        assert torch.equal(got[row], moved(sample[None], name, amount)[0])
        if name == "roll":
            assert torch.equal(got[row], sample.roll((down, right), (-2, -1)))
        kept = set(got[row].unique().tolist())
        assert kept <= {0.0, *sample.unique().tolist()}


def test_a_third_is_rolled_by_every_shift_equally_often():
    spot = torch.zeros(4000, 1, 1, 7, 7)
    spot[..., 3, 3] = 1  # only a roll moves the centre
    (nda,) = build_augmentations(["nda"])
    places = nda(spot, torch.zeros(4000), BatchRNG(0, 0, 4000, 4000))[0].sum(0)[0, 0]
    assert places.sum() == 4000
    assert places.min() > 4000 / 3 / 49 / 3  # up to 3 pixels either way
    assert places[3, 3] == pytest.approx(4000 * (2 / 3 + 1 / 3 / 49), rel=0.05)


@pytest.mark.parametrize("keywords", [{"pixels": -1}, {"degrees": -1.0}, {"shear": 90.0}])
def test_settings_out_of_range_are_refused(keywords):
    with pytest.raises(RecipeError, match="pixels and degrees must be 0 or more, and shear from 0 to below 90"):
        build_augmentations([{"name": "nda", **keywords}])
