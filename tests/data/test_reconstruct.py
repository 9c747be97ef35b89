"""E2VID against the numbers of its published code (tests/golden/methods/e2vid), its files of weights, its frames."""

import hashlib
import json
import os
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from braincog_tmkt.data.frames import to_frames
from braincog_tmkt.data.reconstruct import post
from braincog_tmkt.data.reconstruct.network import E2VIDRecurrent, FireNet
from braincog_tmkt.data.reconstruct.reconstructor import Reconstructor
from braincog_tmkt.data.reconstruct.settings import reconstruction_of
from braincog_tmkt.data.reconstruct.voxel import normalised, padded, padding, voxel_grid
from braincog_tmkt.data.reconstruct.weights import NETWORKS, load_network, require_unseen
from braincog_tmkt.data.sets import NMNIST
from braincog_tmkt.data.types import EVENT_DTYPE, FrameSpec, Reconstruction
from braincog_tmkt.engine.devices import make_fabric
from braincog_tmkt.engine.task import frame_spec, load_task, make_split, protocol_of
from braincog_tmkt.errors import DataError, RecipeError
from braincog_tmkt.files import sha256_of
from braincog_tmkt.launch.plan import plan, with_data
from braincog_tmkt.recipe import load_recipe, recipe_hash
from braincog_tmkt.results.pack import as_line
from tests.golden.published import published
from tests.golden.vectors import whole_numbers
from tests.test_every_recipe import nmnist

from .corpus import random_events
from .e2vid import SMALL, write_weights

GOLDEN = published("e2vid")
CASES = ("convlstm_bn", "convlstm_nonorm", "convgru_concat_transposed", "firenet")
ROOT = Path(__file__).resolve().parents[2]


def events_of(rows: np.ndarray) -> np.ndarray:
    """Events of rows t, x, y, p (0 or 1); the times in seconds."""
    made = np.zeros(len(rows), EVENT_DTYPE)
    for column, name in enumerate("txyp"):
        made[name] = np.round(rows[:, column] * (1e6 if name == "t" else 1))
    return made


def window(number: int) -> np.ndarray:
    """400 events on 22x18 pixels, as `events.windows` of the JSON file says."""
    t, x, y, p = (
        whole_numbers(f"e2vid|w{number}|{name}", (400,), 0, most)
        for name, most in (("t", 1_000_000), ("x", 21), ("y", 17), ("p", 1))
    )
    return events_of(np.stack([np.sort(t) / 1e6 + 5, x, y, p], axis=1))


def network(case: str) -> torch.nn.Module:
    """A published network with the weights of the golden vectors."""
    config = {key: None if value == "none" else value for key, value in GOLDEN.facts[f"net_{case}"]["config"].items()}
    if case == "firenet":
        del config["skip_type"], config["kernel_size"]
    made = NETWORKS["FireNet" if case == "firenet" else "E2VIDRecurrent"](**config)
    made.load_state_dict(GOLDEN.state(GOLDEN.facts[f"net_{case}"]))
    return made.eval()


def close(got: object, name: str, place: object = ..., atol: float = 2e-6) -> None:
    np.testing.assert_allclose(np.asarray(got), GOLDEN.arrays[name][place], rtol=0, atol=atol)


def test_voxel_grids():
    for number in range(3):
        close(voxel_grid(window(number), 5, (18, 22)), f"voxel/window{number}")
    tiny = events_of(GOLDEN.arrays["voxel/tiny_events"])
    close(voxel_grid(tiny, 5, (3, 4)), "voxel/tiny")
    tiny["x"], tiny["y"] = tiny["x"] + 7, tiny["y"] + 9
    close(voxel_grid(tiny, 5, (3, 4), corner=(9, 7)), "voxel/tiny")


def test_events_of_one_time_are_in_the_first_bin_and_no_events_give_zeros():
    same = events_of(np.array([[5, 1, 1, 1], [5, 2, 1, 0]]))
    made = voxel_grid(same, 5, (3, 4))
    assert made[0].sum() == made[1:].any() == 0
    assert GOLDEN.arrays["voxel/equal_times"][1:].any() == np.False_
    np.testing.assert_array_equal(np.abs(made).sum(), np.abs(GOLDEN.arrays["voxel/equal_times"]).sum())
    assert not voxel_grid(same[:0], 5, (3, 4)).any()


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(0, 2), st.booleans()), min_size=1))
def test_no_event_is_lost_between_the_bins_and_each_is_at_its_time(rows):
    events = np.array(sorted(rows), EVENT_DTYPE)
    grid, polarity = voxel_grid(events, 4, (3, 4)).astype(float), np.where(events["p"], 1, -1)
    assert grid.sum() == pytest.approx(polarity.sum(), abs=1e-4)
    spread = int(events["t"][-1] - events["t"][0]) or 1
    places = 3 * (events["t"] - events["t"][0]) / spread
    assert (grid.sum((1, 2)) * np.arange(4)).sum() == pytest.approx((polarity * places).sum(), abs=1e-4)
    for x, y in {(x, y) for _, x, y, _ in rows}:
        here = (events["x"] == x) & (events["y"] == y)
        assert grid[:, y, x].sum() == pytest.approx(polarity[here].sum(), abs=1e-4)


def test_normalisation_leaves_zeros_and_makes_equal_voxels_zero_where_the_published_code_has_nan():
    close(normalised(voxel_grid(window(0), 5, (18, 22))), "normalised/window0")
    close(normalised(np.zeros((5, 3, 4), np.float32)), "normalised/all_zero")
    assert np.isnan(GOLDEN.arrays["normalised/equal_values"]).any()
    for value in (1.0, -0.1):
        equal = np.zeros((5, 3, 4), np.float32)
        equal[0, 1, 1:] = value
        assert not normalised(equal).any()


def test_padding_reflects_and_an_odd_pixel_goes_before():
    grid = normalised(voxel_grid(window(0), 5, (18, 22)))
    close(padded(grid, 8)[0], "padded/window0_bin0")
    for width, height in ((22, 18), (346, 260)):
        sides = GOLDEN.facts[f"crop_{width}x{height}_3_encoders"]
        assert padding(width, 8) == (sides["padding_left"], sides["padding_right"])
        assert padding(height, 8) == (sides["padding_top"], sides["padding_bottom"])
    assert padded(np.arange(25.0).reshape(1, 5, 5), 8)[0, :3, 2].tolist() == [10, 5, 0]
    assert padded(np.ones((1, 1, 2)), 8).shape == (1, 8, 8)


def test_unsharp_mask_and_scales():
    close(post.blur_kernel(), "gaussian_kernel", atol=1e-7)
    close(post.sharpened(GOLDEN.array("unsharp/image"), 0.3), "unsharp/out")
    image = GOLDEN.array("unsharp/out")
    np.testing.assert_array_equal(post.Scale()(image), GOLDEN.arrays["rescale/default"])
    follow = post.Scale(auto_hdr=True, kept=2)
    for number in range(5):
        made = follow(image * (0.4 + 0.15 * number) + 0.05 * number)
        close(made, "rescale/auto_hdr", number, atol=1)
        assert (made.numpy() != GOLDEN.arrays["rescale/auto_hdr"][number]).mean() < 0.02
        assert len(follow.bounds) == GOLDEN.arrays["rescale/auto_hdr_bounds"][number, 2]
        close(np.median(follow.bounds, axis=0), "rescale/auto_hdr_bounds", (number, slice(2)))


@pytest.mark.parametrize("case", CASES)
def test_networks_and_what_they_remember_over_three_windows(case):
    made, state = network(case), None
    assert sum(weights.numel() for weights in made.parameters()) == GOLDEN.facts[f"net_{case}"]["parameters"]
    for number in range(3):
        grid = padded(normalised(voxel_grid(window(number), 5, (18, 22))), made.multiple)
        with torch.no_grad():
            image, state = made(torch.from_numpy(grid)[None], state)
        close(image[0, 0], f"net/{case}/image", number)
        flat = [one for each in state for one in (each if isinstance(each, tuple) else (each,))]
        names = [f"net/{case}/{'first' if number == 0 else 'last'}_state/{place}" for place in range(len(flat))]
        for name, one in zip(names if number != 1 else (), flat, strict=number != 1):
            if name in GOLDEN.arrays:
                close(one[0], name)
    assert all(name in GOLDEN.arrays for name in names)


def test_sizes_and_names_of_the_published_networks():
    full = E2VIDRecurrent(5, num_encoders=3, norm="BN")
    shapes = {name: list(weights.shape) for name, weights in full.named_parameters()}
    assert shapes == GOLDEN.facts["full_3enc_BN"]["shapes"]
    sizes = [sum(weights.numel() for weights in made.parameters()) for made in (full, E2VIDRecurrent(5), FireNet(5))]
    assert sizes == [10_712_098, 43_220_097, 37_777]


def test_the_whole_chain_from_a_file_of_weights(tmp_path):
    case = GOLDEN.facts["net_convlstm_bn"]
    file = write_weights(tmp_path / "w.tar", model=case["config"], state_dict=GOLDEN.state(case))
    image_of = Reconstructor(Reconstruction(str(file), sha256=sha256_of(file)), (18, 22))
    for number in range(3):
        made, theirs = image_of(window(number)).numpy().astype(int), GOLDEN.arrays["pipeline/convlstm_bn"][number]
        assert abs(made - theirs).max() <= 1
        assert (made != theirs).mean() < 0.02  # what lies at a whole number


# files of weights


class Logger:
    """What checkpoints of training scripts hold beside the weights."""

    def __init__(self):
        self.entries = {1: np.float64(0.5)}


class Runs:
    """Runs a command when it is unpickled, unless it is refused."""

    def __reduce__(self):
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_published_layouts_are_read_whatever_else_they_hold(name, legacy, tmp_path):
    more = {"monitor_best": np.float64(0.1), "logger": Logger(), "optimizer": {"state": {}}}
    written = torch.load(write_weights(tmp_path / "plain", name), weights_only=True)["state_dict"]
    for nested in (False, True):
        file = write_weights(tmp_path / "w.tar", name, legacy, nested, **more)
        made = load_network(file, sha256_of(file))
        state = made.state_dict()
        assert state.keys() == written.keys()
        assert all(torch.equal(state[key], written[key]) for key in written)
        assert not made.training


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"arch": "UNet"}, "has the weights of 'UNet': a file of E2VID weights has a dictionary with arch"),
        ({"state_dict": None}, "has no state_dict"),
        ({"model": None}, "has no model"),
        ({"model": {}}, "does not state num_bins"),
        ({"model": {**SMALL, "num_bins": "5"}}, "states num_bins '5', but it must be a whole number"),
        ({"model": {**SMALL, "num_encoders": 10**9}}, "num_encoders 1000000000, but"),
        ({"model": {**SMALL, "norm": "LN"}}, "states norm 'LN', but it must be one of"),
        ({"model": {**SMALL, "base_num_channels": 4}}, "do not fit its settings .*size mismatch"),
        ({"model": {**SMALL, "num_encoders": 2}}, "do not fit its settings .*Missing key"),
        ({"logger": Runs()}, "cannot be read as a file of weights"),
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_other_files_are_refused_in_a_sentence_and_nothing_in_them_runs(changed, words, legacy, tmp_path):
    file = write_weights(tmp_path / "w.tar", legacy=legacy, **changed)
    with pytest.raises(DataError, match=words) as refused:
        load_network(file, sha256_of(file))
    assert str(refused.value).startswith(str(file))
    assert not Path("harm").exists()


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x02]q\x00.", b"PK\x03\x04"])
def test_what_is_no_file_of_torchs_is_refused(content, tmp_path):
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(DataError, match="w cannot be read as a file of weights"):
        load_network(tmp_path / "w", hashlib.sha256(content).hexdigest())


def test_a_file_that_changed_is_not_taken(tmp_path):
    with pytest.raises(DataError, match=r"is not the file of weights that data.reconstruction.sha256 states"):
        load_network(write_weights(tmp_path / "w"), "0" * 64)


# frames


@pytest.fixture
def how(tmp_path) -> Reconstruction:
    found = reconstruction_of({"weights": str(write_weights(tmp_path / "w.pt"))}, tmp_path)
    assert found
    return found


@pytest.mark.parametrize("windows", ["time", "number"])
def test_frames_are_the_images_of_the_windows_with_the_state_carried_over(how, windows):
    events = random_events(700, 20, 14, 9001)
    image_of = Reconstructor(how, (14, 20))
    edges = np.searchsorted(events["t"], events["t"][0] + int(np.ptp(events["t"])) // 3 * np.arange(4))
    edges = edges if windows == "time" else np.array([0, 233, 466, 700])
    images = torch.stack([image_of(events[edges[step] : edges[step + 1]]) for step in range(3)])
    spec = FrameSpec(3, (14, 20), "e2vid", reconstruction=replace(how, windows=windows))
    made = to_frames(events, spec, (20, 14))
    assert made.shape == (3, 2, 14, 20)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made[:, 0], images.numpy() / 255, atol=1e-6)
    np.testing.assert_array_equal(made[:, 0], made[:, 1])
    cut = to_frames(events, replace(spec, size=(5, 7)), (20, 14), (3, 2, 14, 10))[:, :1]
    part = images[:, None, 2:12, 3:17].float() / 255
    bilinear = torch.nn.functional.interpolate(part, (5, 7), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(cut, bilinear, atol=1e-6)
    averaged = to_frames(events, replace(spec, size=(5, 7), antialias=True), (20, 14), (3, 2, 14, 10))
    assert np.abs(averaged[:, :1] - cut).max() > 1e-3
    early = events[edges[1] :]
    assert not np.array_equal(Reconstructor(how, (14, 20))(early[: edges[2] - edges[1]]), images[1])


def test_frames_count_on_the_recordings_own_extent_too(how):
    events = random_events(500, 20, 14, 9001)
    spec = FrameSpec(2, 14, "e2vid", reconstruction=how)
    moved = events.copy()
    moved["x"], moved["y"] = moved["x"] + 100, moved["y"] + 50
    np.testing.assert_array_equal(to_frames(events, spec), to_frames(moved, spec))


def test_a_recording_without_an_event_in_its_windows_is_refused(how, monkeypatch):
    monkeypatch.setattr(NMNIST, "events", lambda self, item: np.array([(5, 1, 1, True), (6, 2, 1, True)], EVENT_DTYPE))
    item = NMNIST("root")
    with pytest.raises(DataError, match=r"leaves its 4 frames .* empty.*or take windows: number in data"):
        item.frames(type("Item", (), {"path": None, "key": "x"}), FrameSpec(4, 8, "e2vid", reconstruction=how))


# recipes


TEXT = {"data": {"name": "nmnist", "frames": "e2vid"}, "method": {"name": "baseline"}}


def recipe(weights: object, *overrides: str):
    Path("recipe.yaml").write_text(json.dumps(TEXT))
    given = json.dumps({"weights": str(weights)} if isinstance(weights, Path) else weights)
    return load_recipe("recipe.yaml", [f"data.reconstruction={given}", *overrides])


def test_the_hash_of_a_recipe_and_the_key_of_a_cache_follow_the_content_of_the_weights_not_their_place(tmp_path):
    one, same = write_weights(tmp_path / "one.pt"), tmp_path / "data" / "far" / "same.pt"
    same.parent.mkdir(parents=True)
    same.write_bytes(one.read_bytes())
    other = write_weights(tmp_path / "other.pt", epoch=1)
    here, there = recipe(one), recipe(same)
    assert recipe_hash(here) == recipe_hash(there) == recipe_hash(recipe({"weights": "far/same.pt"}))
    assert recipe_hash(recipe(other)) != recipe_hash(here)
    assert recipe_hash(recipe({"weights": str(one), "windows": "number"})) != recipe_hash(here)
    specs = [
        FrameSpec(2, 4, "e2vid", reconstruction=reconstruction_of(each.data.reconstruction, "data")).as_dict()
        for each in (here, there, recipe(other))
    ]
    assert specs[0] == specs[1] != specs[2]
    assert str(tmp_path) not in json.dumps(specs)
    assert "reconstruction" not in FrameSpec(2, 4).as_dict()  # caches of before stay valid
    line = as_line({"recipe": here.as_dict(), "history": []})
    assert str(tmp_path) not in json.dumps(line)
    assert line["recipe"]["data"]["reconstruction"] == {"sha256": sha256_of(one)}


def test_a_recipe_that_states_its_weights_takes_no_others(tmp_path):
    one, other = write_weights(tmp_path / "data/w.pt"), write_weights(tmp_path / "other.pt", epoch=1)
    stated = recipe(one).data.reconstruction
    assert stated["sha256"] == sha256_of(one)
    moved = {**stated, "weights": "/elsewhere/w.pt"}  # a run folder of another machine
    assert recipe(moved).data.reconstruction["sha256"] == sha256_of(one)
    with pytest.raises(RecipeError, match=r"asks for weights with another sha256 than .*other.pt has"):
        recipe({**stated, "weights": str(other)})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"weights": "w.pt", "window": "time"}, "'e2vid' takes no 'window': did you mean 'windows'"),
        ({"weights": 3}, "weights must be a text, not 3"),
        ({"windows": "time"}, "needs 'weights'"),
        ({"weights": "w.pt", "windows": "event"}, "windows of .* is 'event', but must be time or number"),
        ({"weights": "w.pt", "unsharp": -1}, "unsharp of data.reconstruction is -1, but must be 0 or more"),
    ],
)
def test_wrong_settings_are_refused(given, words):
    write_weights(Path("w.pt"))
    with pytest.raises(RecipeError, match=words):
        reconstruction_of(given, "data")


def test_frames_and_their_settings_come_together(how):
    for spec, words in (
        (FrameSpec(2, 4, "e2vid"), r"'e2vid' need a network's weights: set 'data.reconstruction=\{weights: FILE\}'"),
        (FrameSpec(2, 4, "time", reconstruction=how), "data.reconstruction is for data.frames=e2vid, not for 'time'"),
    ):
        with pytest.raises(RecipeError, match=words):
            to_frames(random_events(9, 4, 4, 50), spec)


def test_a_missing_file_is_named_with_where_to_get_it_and_other_recipes_go_on():
    with pytest.raises(DataError, match=r"no file E2VID\.pth.*rpg\.ifi\.uzh\.ch.*firenet_1000.*GPL-3\.0") as refused:
        reconstruction_of({"weights": "E2VID.pth"}, "data")
    assert "\n" not in str(refused.value)
    cells = plan(["digits/baseline", "digits/ev2vid"], (), "smoke")
    ready, missing = with_data(cells)
    assert [cell.recipe.name for cell in ready] == ["digits/baseline"]
    assert [*missing] == ["digits as e2vid frames of E2VID_lightweight.pth.tar"]
    (cell,) = plan(["digits/ev2vid"], ["data.frames=time"], "smoke")
    with pytest.raises(RecipeError, match="not for 'time': set it to null"):  # whether the file is there or not
        frame_spec(cell.recipe.data)


# weights trained on a split of one's own


def test_the_training_script_takes_training_pairs_alone_and_its_weights_are_refused_where_they_would_leak(monkeypatch):
    nmnist(Path("data"))
    script = str(ROOT / "experiments/studies/ev2vid/train.py")
    settings = ["data.root=data", "data.train_per_class=2", "data.steps=2", "--base=2", "--encoders=1", "--epochs=1"]
    monkeypatch.setattr(sys, "argv", [script, "nmnist/ev2vid", "trained.pt", *settings])
    read = []
    for name, of in (("events", NMNIST.events), ("image", NMNIST.image)):
        monkeypatch.setattr(NMNIST, name, lambda *given, of=of: (read.append(given[1].key), of(*given))[1])
    runpy.run_path(script, run_name="__main__")
    overrides = ["data.root=data", "data.steps=2", 'data.reconstruction={"weights": "trained.pt"}', "data.size=8"]
    own = load_recipe(ROOT / "experiments/nmnist/ev2vid.yaml", [*overrides, "data.train_per_class=2"])
    split = make_split(NMNIST("data").index(), protocol_of(own.data))
    stored = torch.load("trained.pt", weights_only=True)
    assert stored["split"] == split.hash
    assert sorted(stored["trained_on"]["keys"]) == sorted({*read}) == list(split.train)
    assert load_task(own, make_fabric()).pairs.events(torch.tensor([0]))[0].shape == (1, 2, 2, 8, 8)
    with pytest.raises(DataError, match=r"trained.pt was trained on 10 recordings that this split holds out"):
        load_task(replace(own, data=replace(own.data, train_per_class=1)), make_fabric())
    how = reconstruction_of(own.data.reconstruction, "data")
    require_unseen(how, "ncaltech101", stored["trained_on"]["keys"])
