"""Every recipe of the papers' sets takes a step at the smoke tier, on made files in the true formats."""

import math
from dataclasses import replace

import pytest
import torch

from braincog_tmkt.cli import main
from braincog_tmkt.data.augment import build_augmentations
from braincog_tmkt.data.readers.atis import write_atis
from braincog_tmkt.data.simulate import LAYOUTS, simulate_tree
from braincog_tmkt.engine.devices import make_fabric
from braincog_tmkt.engine.stages import plan_stages
from braincog_tmkt.engine.step import Trainer, epoch_rows, make_batch, seed_of
from braincog_tmkt.engine.task import build_method, load_task
from braincog_tmkt.launch.plan import plan
from braincog_tmkt.recipe import load_recipe
from braincog_tmkt.recipe.files import known_recipes
from braincog_tmkt.results.store import read_records
from tests.data.e2vid import write_weights
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


CHANGES = ["data.root=data", "data.static_root=data", "data.train_per_class=2", "train.batch=2", "data.size=32"]


@pytest.mark.parametrize("name", SETS)
def test_all_recipes_of_a_set_take_a_step_in_every_stage_and_the_first_trains(name, tmp_path):
    SETS[name](tmp_path / "data")
    write_weights(tmp_path / "data" / "E2VID_lightweight.pth.tar")
    recipes = [recipe for recipe in known_recipes() if recipe.startswith(f"{name}/")]
    tasks = {}
    for recipe in (cell.recipe for cell in plan(recipes, [*CHANGES, "train.batch=4"], "smoke", [1])):
        if repr(recipe.data) not in tasks:
            tasks[repr(recipe.data)] = load_task(recipe, make_fabric())
        task = tasks[repr(recipe.data)]
        method = build_method(recipe, len(task.pairs.classes), 1)
        stages = plan_stages(recipe, method, task.facts, len(task.pairs.rows("train")), 1, 1)
        steps = 0
        for stage in stages:
            method.begin_stage(stage.stage.name)
            steps += stage.stage.trains and step(method, stage, task.pairs)
        trained = 2 if len(stages) > 1 and recipe.method["name"] != "conversion" else 1
        assert steps == trained, recipe.name
    assert main(["train", recipes[0], "--tier", "smoke", "--seeds", "1", "--threads", "1", *CHANGES]) == 0
    (record,) = read_records(["runs"])
    assert record["name"] == recipes[0]
    assert record["data"]["train"] // 2 >= 2  # steps of the only epoch
    trained = [entry["train"] for entry in record["history"] if "train" in entry]
    assert len(trained) == (2 if "stages" in record else 1)
    assert all(math.isfinite(value) for values in trained for value in values.values())
    assert not record["audit"]["leaks"]


def step(method, plan, pairs):
    """One step of a stage: every part of its loss is finite, and it moves weights, all of which stay finite."""
    trainable, recipe, parts = method.trainable(), plan.recipe, {}
    before = [weight.detach().clone() for weight in trainable.parameters()]
    rows = epoch_rows(pairs, recipe.train, seed_of(1, 0, 0))[0]
    batch = make_batch(pairs, rows, 1, plan.stage, build_augmentations(recipe.data.augment))
    Trainer(method, recipe, make_fabric()).step(batch, 0.5, parts.update)
    assert all(math.isfinite(part.item()) for part in parts.values()), recipe.name
    moved = [not torch.equal(weight, old) for weight, old in zip(trainable.parameters(), before, strict=True)]
    assert any(moved), recipe.name
    assert all(weight.isfinite().all() for weight in trainable.parameters()), recipe.name
    return 1
