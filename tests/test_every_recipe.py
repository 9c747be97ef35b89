"""Every recipe of the papers' sets trains at the smoke tier, for two steps, on made files in the true formats."""

import math
from dataclasses import replace

import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.data.readers.atis import write_atis
from braincog_tmkt.data.simulate import LAYOUTS, simulate_tree
from braincog_tmkt.recipe import load_recipe
from braincog_tmkt.recipe_files import known_recipes
from braincog_tmkt.results.store import read_records
from tests.data.test_simulate_layouts import QUICK, characters, images
from tests.data.trees import caltech_tree, picture, recording

CLASSES = ("fish", "people")


def twin(root, name, source):
    """A simulated twin and its images below one root."""
    quick = QUICK.get(name) or replace(LAYOUTS[name].params, duration_us=100_000)
    simulate_tree(source, root, name, params=quick, progress=False)


def nmnist(root):
    """Three pairs of each digit."""
    for number in range(30):
        digit = str(number % 10)
        events, statics = root / "NMNIST" / "Train" / digit, root / "mnist_png" / "train" / digit
        events.mkdir(parents=True, exist_ok=True)
        statics.mkdir(parents=True, exist_ok=True)
        write_atis(events / f"{number + 1:05d}.bin", recording(number, 34, 34))
        picture(number, 28, 28).save(statics / f"{number}.png")


def cifar10(root):
    """Six images of each of two classes."""
    images(root / "cifar10" / "train", ("cat", "ship"), count=6)


SETS = {
    "ncaltech101": lambda root: caltech_tree(root, count=6),
    "cepdvs": lambda root: twin(root, "cepdvs", images(root / "images", CLASSES, count=10)),
    "nomniglot": lambda root: twin(root, "nomniglot", characters(root)),
    "cifar10dvs": lambda root: twin(root, "cifar10dvs", images(root / "images", ("cat", "ship"), count=6)),
    "cifar10": cifar10,
    "nmnist": nmnist,
    "digits": lambda root: None,
}
"""Data set -> what makes its files; `folder` and `dvsgesture` train in tests of their own."""


@pytest.mark.parametrize(("tier", "most"), [("smoke", 2), ("small", 5), ("paper", 5)])
def test_the_scripts_of_hsd_ask_for_no_more_steps_than_there_are_frames(tier, most):
    """`run_hsd.sh` trains every T up to `most`."""
    for name, path in known_recipes().items():
        recipe = load_recipe(path, tier=tier) if name.partition("/")[2] in ("hsd", "kd", "hsd_tmkt") else None
        assert recipe is None or name.startswith("digits/") or recipe.data.steps in (1, *range(most, 11)), name


@pytest.mark.parametrize("name", SETS)
def test_all_recipes_of_a_set_take_two_steps(name, tmp_path, monkeypatch):
    SETS[name](tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    recipes = [recipe for recipe in known_recipes() if recipe.startswith(f"{name}/")]
    changes = ["data.root=data", "data.static_root=data", "data.train_per_class=2", "train.batch=2", "data.size=28"]
    assert main(["train", *recipes, "--tier", "smoke", "--seeds", "1", "--threads", "1", *changes]) == 0
    records = read_records([tmp_path / "runs"])
    assert sorted(record["name"] for record in records) == sorted(recipes)
    for record in records:
        assert record["data"]["train"] // 2 >= 2  # steps of the only epoch
        trained = [entry for entry in record["history"] if "train" in entry]
        assert len(trained) == (2 if "stages" in record else 1)
        assert all(math.isfinite(value) for entry in trained for value in entry["train"].values())
        assert not record["audit"]["leaks"]
