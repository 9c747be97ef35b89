import math
from itertools import permutations
from pathlib import Path

import pytest
import yaml

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.recipe import load_recipe, recipe_from_dict, recipe_hash, with_overrides
from braincog_tmkt.recipe.files import find_recipe, known_recipes
from braincog_tmkt.recipe.identity import IRRELEVANT, differences
from braincog_tmkt.recipe.schema import MODEL_DEFAULTS
from braincog_tmkt.recipe.stages import stage_recipe, warmup_that_fits
from braincog_tmkt.recipe.text import write_yaml
from braincog_tmkt.results.store import read_records, records_with

ROOT = Path(__file__).resolve().parents[1]
BASE = {
    "data": {"name": "digits"},
    "method": {"name": "tmkt", "mix_ratio": 0.4},
    "tiers": {"smoke": {"train.epochs": 6}},
}


@pytest.fixture
def write(tmp_path):
    def write(content, name="sub/base.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


def test_defaults_are_the_papers(write):
    recipe = load_recipe(write(BASE))
    assert (recipe.data.steps, recipe.data.size, recipe.data.protocol) == (10, 48, "clean")
    assert recipe.model == MODEL_DEFAULTS
    assert (recipe.model["node_type"], recipe.model["threshold"], recipe.model["levels"]) == ("LIFNode", 0.5, 4)
    assert (recipe.train.at_once, load_recipe(write(BASE), ["train.eval_batch=7"]).train.at_once) == (240, 7)
    assert (recipe.train.epochs, recipe.train.batch, recipe.train.seeds) == (300, 120, [42, 1024, 90210])
    assert (recipe.optim.name, recipe.optim.lr, recipe.optim.weight_decay) == ("adamw", 5e-3, 0.01)
    assert (recipe.optim.warmup_epochs, recipe.optim.warmup_lr, recipe.optim.min_lr) == (5, 1e-6, 1e-5)


def test_name_is_folder_and_file_unless_given(write):
    assert load_recipe(write(BASE)).name == "sub/base"
    assert load_recipe(write({**BASE, "name": "mine"})).name == "mine"


def test_overrides_lie_over_the_tier_and_the_tier_over_the_file(write):
    path = write({**BASE, "train": {"epochs": 50, "batch": 8}})
    assert load_recipe(path).train.epochs == 50
    assert load_recipe(path, tier="smoke").train.epochs == 6
    recipe = load_recipe(path, ["train.epochs=7", "data.train_per_class=null", "optim.lr=1e-3"], tier="smoke")
    assert (recipe.train.epochs, recipe.train.batch, recipe.optim.lr) == (7, 8, 1e-3)


def test_the_order_of_overrides_does_not_matter(write):
    path = write({**BASE, "stages": {"ann.optim.lr": 0.1}})
    overrides = ["method.name=kd", "method.temperature=7", "stages.ann.optim.weight_decay=0.5"]
    for order in permutations(overrides):
        recipe = load_recipe(path, order)
        assert (recipe.method, recipe.stages) == ({"name": "kd", "temperature": 7}, {"ann.optim.weight_decay": 0.5})


def test_extends_merges_section_by_section_and_tiers_by_name(write):
    write({**BASE, "name": "below", "train": {"epochs": 50, "batch": 8}})
    child = write(
        {"extends": "../sub/base.yaml", "train": {"batch": 16}, "tiers": {"tiny": {"train.batch": 2}}}, "b/c.yaml"
    )
    recipe = load_recipe(child)
    assert (recipe.train.epochs, recipe.train.batch, recipe.name, recipe.extends) == (50, 16, "b/c", None)
    assert set(recipe.tiers) == {"smoke", "tiny"}
    assert recipe.method == {"name": "tmkt", "mix_ratio": 0.4}


def test_extends_takes_the_name_of_a_known_recipe_and_a_file_goes_first(write):
    mine = {"extends": "digits/tmkt", "method": {"mix_ratio": 0.6}}
    recipe = load_recipe(write(mine, "mine/c.yaml"))
    assert (recipe.data.steps, recipe.name, recipe.method) == (6, "mine/c", {"name": "tmkt", "mix_ratio": 0.6})
    write(BASE, "mine/digits/tmkt")
    assert load_recipe(write(mine, "mine/c.yaml")).data.steps == 10
    with pytest.raises(RecipeError, match=r"there is no recipe file .*digits/tmk"):
        load_recipe(write({"extends": "digits/tmk"}, "mine/d.yaml"))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ({"mix_ratio": 0.6}, {"name": "tmkt", "mix_ratio": 0.6}),
        ({"name": "tmkt", "per_step": True}, {"name": "tmkt", "mix_ratio": 0.4, "per_step": True}),
        ({"name": "baseline"}, {"name": "baseline"}),
    ],
)
def test_another_method_starts_without_the_arguments_of_the_old_one(write, method, expected):
    write(BASE)
    assert load_recipe(write({"extends": "base.yaml", "method": method}, "sub/child.yaml")).method == expected
    texts = [f"method.{key}={value}" for key, value in method.items()]
    assert load_recipe(write(BASE), texts).method == expected


def test_extending_in_a_circle_is_an_error(write):
    write({"extends": "b.yaml"}, "a.yaml")
    with pytest.raises(RecipeError, match="extends itself"):
        load_recipe(write({"extends": "a.yaml"}, "b.yaml"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trian": {"epochs": 1}}, ["unknown key 'trian'", "did you mean 'train'"]),
        ({"train": {"epoch": 1}}, ["unknown key 'train.epoch'", "did you mean 'train.epochs'"]),
        ({"train": {"lr": 1}}, ["unknown key 'train.lr'", "did you mean 'optim.lr'"]),
        ({"epochs": 1}, ["unknown key 'epochs'", "did you mean 'train.epochs'"]),
        ({"train": {"epochs": "ten"}}, ["train.epochs must be a whole number, not 'ten'"]),
        ({"train": {"epochs": True}}, ["train.epochs must be a whole number, not True"]),
        ({"train": {"balanced": 1}}, ["train.balanced must be true or false, not 1"]),
        ({"train": {"seeds": [1, "b"]}}, ["train.seeds must be a list"]),
        ({"train": {"threads": "all"}}, ["train.threads must be a whole number or null"]),
        ({"data": {"name": 5}}, ["data.name must be a text"]),
        ({"train": 3}, ["'train' is a section"]),
        ({"train": {"epochs": 0}}, ["train.epochs is 0, but must be from 1"]),
        ({"train": {"batch": 1}}, ["train.batch is 1, but must be 2 or more"]),
        ({"train": {"seeds": [1, 1]}}, ["train.seeds is [1, 1]"]),
        ({"train": {"seeds": [-1]}}, ["train.seeds is [-1]"]),
        ({"train": {"precision": "16"}}, ["train.precision is '16'", "32-true, bf16-mixed"]),
        ({"data": {"name": "digits", "train_portion": 1.0}}, ["data.train_portion is 1.0"]),
        ({"data": {"name": "digits", "train_per_class": 0}}, ["data.train_per_class is 0"]),
        ({"optim": {"lr": 0.0}}, ["optim.lr is 0.0"]),
        ({"optim": {"lr": math.nan}}, ["optim.lr must be a number, not nan"]),
        ({"optim": {"schedule": "cos"}}, ["optim.schedule is 'cos'", "cosine, step, none"]),
        ({"train": {"epochs": 5}}, ["optim.warmup_epochs is 5", "train.epochs (5)"]),
        ({"model": {"tau": 0.5}}, ["model.tau is 0.5"]),
        ({"name": "../up"}, ["name is '../up'"]),
        ({"tiers": {"bad": {"train.epoch": 1}}}, ["tier 'bad'", "did you mean 'train.epochs'"]),
        ({"tiers": {"bad": {"train.epochs": "x"}}}, ["tier 'bad'", "train.epochs must be a whole number"]),
        ({"stages": {"ann.optim": 1}}, ["'stages.ann.optim' must look like stages.ann.optim.lr"]),
        ({"stages": {"ann": {"optim": {"lr": 1}}}}, ["'stages.ann' must look like stages.ann.optim.lr"]),
        ({"stages": {"ann.optm.lr": 0.1}}, ["stages.ann.optm.lr", "no section 'optm', did you mean 'optim'"]),
        ({"stages": {"ann.data.steps": 4}}, ["no section 'data'", "Known: optim, train"]),
        ({"stages": {"ann.optim.lrr": 0.1}}, ["stages.ann.optim.lrr", "did you mean 'optim.lr'"]),
        ({"stages": {"ann.train.lr": 0.1}}, ["no key 'train.lr', did you mean 'optim.lr'"]),
        ({"stages": {"ann.train.seeds": [1]}}, ["no key 'train.seeds'", "train.batch"]),
        ({"stages": {"ann.optim.lr": "fast"}}, ["stages.ann.optim.lr must be a number, not 'fast'"]),
        ({"stages": {"ann.optim.lr": 0}}, ["stage 'ann': optim.lr is 0, but must be above 0"]),
        ({"stages": {"ann.train.epochs": 5}}, ["stage 'ann': optim.warmup_epochs is 5", "train.epochs (5)"]),
        ({"stages": ["ann"]}, ["stages must be a section with keys"]),
        ({"tiers": {"bad": {"stages.ann.optim.lrr": 1}}}, ["tier 'bad': stages.ann.optim.lrr"]),
    ],
)
def test_wrong_keys_types_and_ranges_name_file_key_and_remedy(write, change, words):
    path = write({**BASE, **change})
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    assert [word for word in (str(path), *words) if word not in str(error.value)] == []


def test_no_yaml_is_an_error_that_names_the_file(write):
    for content in ("a: [1", "a: 1\na: 2", "- 1\n- 2", "x: ${y}"):
        with pytest.raises(RecipeError, match=r"^[^\n]*base\.yaml[^\n]*$"):
            load_recipe(write(content))
    for missing in ("data", "method"):
        with pytest.raises(RecipeError, match=f"{missing}.name is missing"):
            load_recipe(write({key: value for key, value in BASE.items() if key != missing}))


def test_missing_file_and_unknown_tier(write, tmp_path):
    with pytest.raises(RecipeError, match=r"no recipe file .*nothing\.yaml"):
        load_recipe(tmp_path / "nothing.yaml")
    with pytest.raises(RecipeError, match="no tier 'smok': did you mean 'smoke'"):
        load_recipe(write(BASE), tier="smok")


def test_a_recipe_without_a_name_has_that_of_its_file_in_letters_that_a_name_may_have(tmp_path):
    file = tmp_path / "my exp/first (try).yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump({key: value for key, value in BASE.items() if key != "name"}))
    assert load_recipe(file).name == "my_exp/first__try_"


def test_a_recipe_survives_its_dictionary(write):
    recipe = load_recipe(write({**BASE, "data": {"name": "digits", "augment": ["crop"]}}), ["train.threads=1"])
    assert recipe_from_dict(recipe.as_dict()) == recipe


OTHER_VALUES = {
    "data.train_per_class": 3, "data.augment": ["crop"], "optim.lr_scale_base": None, "train.balanced": False,
    "train.precision": "bf16-mixed", "optim.schedule": "step", "optim.step_rate": 0.5, "data.static_pool": "open",
    "data.val_portion": 0.2, "data.train_portion": 0.5, "train.threads": 3, "train.eval_batch": 3, "train.seeds": [7],
    "train.keep_every": 2,
    "data.sensor": [720, 1280],
    "data.columns": {"t": "stamp", "p": 3},
    "data.time_unit": "ms",
    "data.group": "TD",
    "data.camera": "dvs128",
    "data.turn": ["transpose"],
    "data.formats": {"csv": {"time_unit": "ms"}},
    "data.set": "ASLDVS",
    "data.reconstruction": {"windows": "number"},
    "optim.cycle_epochs": 5,
    "optim.step_at": [0.5],
    "optim.options": {"amsgrad": True},
}  # fmt: skip


def test_the_hash_covers_every_key_that_matters_and_no_other(write):
    recipe = load_recipe(write(BASE))
    plain = recipe.as_dict()
    keys = [f"{s}.{k}" for s, part in plain.items() if isinstance(part, dict) and s != "tiers" for k in part]
    assert len(keys) > 35
    stepped = load_recipe(write(BASE), ["optim.schedule=step"]).as_dict()  # without which step_at means nothing
    for key in keys:
        section, leaf = key.split(".")
        below = stepped if key == "optim.step_at" else plain
        value = below[section][leaf]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        other = OTHER_VALUES.get(key, value + 1 if number else not value if isinstance(value, bool) else "other")
        changed, before = recipe_from_dict({**below, section: {**below[section], leaf: other}}), recipe_from_dict(below)
        assert (recipe_hash(changed) == recipe_hash(before)) == (key in IRRELEVANT), key
        named = differences(below, changed.as_dict())
        assert [text.split(" ")[0] for text in named] == ([] if key in IRRELEVANT else [key])
    with pytest.raises(RecipeError, match=r"optim\.step_at is for optim\.schedule step, not cosine"):
        load_recipe(write(BASE), ["optim.step_at=[0.5]"])
    with pytest.raises(RecipeError, match=r"optim\.cycle_epochs is for optim\.schedule cosine, not step"):
        load_recipe(write(BASE), ["optim.cycle_epochs=5", "optim.schedule=step"])
    assert recipe_hash(recipe_from_dict({**plain, "name": "other", "tiers": {}})) == recipe_hash(recipe)


def test_a_square_given_as_height_and_width_is_the_same_recipe(write):
    recipe = load_recipe(write(BASE))
    square, wide = (load_recipe(write(BASE), [f"data.size={size}"]) for size in ("[48,48]", "[36,48]"))
    assert recipe_hash(square) == recipe_hash(recipe)
    assert wide.data.size == [36, 48]
    assert recipe_hash(wide) != recipe_hash(recipe)
    for wrong in ("[48]", "[0,48]", "[1,2,3]", "0"):
        with pytest.raises(RecipeError, match=r"data.size is .*height and a width"):
            load_recipe(write(BASE), [f"data.size={wrong}"])


def test_the_hash_does_not_depend_on_where_a_value_was_written(write):
    one = load_recipe(write({**BASE, "train": {"epochs": 9}}))
    write(BASE)
    other = load_recipe(write({"extends": "base.yaml"}, "sub/d.yaml"), ["train.epochs=9"])
    assert recipe_hash(one) == recipe_hash(other)
    assert recipe_hash(with_overrides(one, ["data.root=/elsewhere"])) == recipe_hash(one)


def test_settings_of_stages_merge_key_by_key(write):
    ann = {"ann.optim.lr": 0.1, "ann.optim.name": "sgd", "ann.train.epochs": 64, "distil.train.batch": 8}
    tiers = {"smoke": {"train.epochs": 6, "stages.ann.train.epochs": 7}}
    write({**BASE, "stages": ann, "tiers": tiers})
    path = write({"extends": "base.yaml", "stages": {"ann.optim.lr": 0.2}}, "sub/child.yaml")
    recipe = load_recipe(path, ["stages.ann.optim.schedule=none"], tier="smoke")
    assert recipe.stages == {**ann, "ann.optim.lr": 0.2, "ann.train.epochs": 7, "ann.optim.schedule": "none"}
    first, last, other = (stage_recipe(recipe, stage) for stage in ("ann", "distil", "convert"))
    assert (first.optim.lr, first.optim.name, first.optim.schedule, first.train.epochs) == (0.2, "sgd", "none", 7)
    assert (first.train.batch, first.stages, first.data, first.model) == (120, {}, recipe.data, recipe.model)
    assert (last.optim, last.train.epochs, last.train.batch) == (recipe.optim, 6, 8)
    assert (other.optim, other.train) == (recipe.optim, recipe.train)
    assert recipe_from_dict(recipe.as_dict()) == recipe
    assert load_recipe(path, ["method.name=baseline"]).stages == {}


@pytest.mark.parametrize(
    ("overrides", "tier", "shorter"),
    [
        (["train.epochs=1"], None, ["optim.warmup_epochs=0"]),
        (["train.epochs=4"], None, ["optim.warmup_epochs=3"]),
        (["train.epochs=1"], "smoke", ["optim.warmup_epochs=0"]),
        (["train.epochs=6"], None, []),
        (["train.epochs=3", "optim.warmup_epochs=3"], None, []),  # to be refused: it is what was typed
        (["optim.warmup_epochs=7"], "smoke", []),
        (["stages.ann.train.epochs=2"], None, ["stages.ann.optim.warmup_epochs=1"]),
        (["stages.ann.train.epochs=2", "stages.ann.optim.warmup_epochs=4"], None, []),
    ],
)
def test_a_warm_up_gives_way_to_the_epochs_that_are_asked_for(write, overrides, tier, shorter):
    path = write(BASE)
    assert warmup_that_fits(path, overrides, tier) == shorter
    if shorter:
        load_recipe(path, [*overrides, *shorter], tier)


def test_a_warm_up_of_a_stage_gives_way_too(write):
    path = write(
        {**BASE, "stages": {"ann.optim.warmup_epochs": 9, "distil.train.epochs": 4}, "optim": {"warmup_epochs": 2}}
    )
    assert warmup_that_fits(path, ["train.epochs=2"]) == ["optim.warmup_epochs=1", "stages.ann.optim.warmup_epochs=1"]


def test_the_hash_covers_the_stages_and_not_their_absence(write):
    plain, same = load_recipe(write(BASE)), load_recipe(write({**BASE, "stages": {}}))
    one, other = (load_recipe(write({**BASE, "stages": {"ann.optim.lr": lr}})) for lr in (0.1, 0.2))
    assert recipe_hash(plain) == recipe_hash(same)
    assert len({recipe_hash(recipe) for recipe in (plain, one, other)}) == 3
    assert differences(one.as_dict(), other.as_dict()) == ["stages.ann.optim.lr (0.1, 0.2)"]
    assert differences(plain.as_dict(), other.as_dict()) == ["stages.ann.optim.lr (None, 0.2)"]


def test_records_kept_from_earlier_releases_have_their_hash():
    records = read_records((ROOT / "experiments" / "studies").rglob("records.jsonl"))
    assert len(records) >= 480
    for record in records:
        assert recipe_hash(recipe_from_dict(record["recipe"])) == record["recipe_hash"], record["name"]


def test_recipes_are_found_by_name_and_every_one_of_ours_loads_and_can_be_written(write):
    names = list(known_recipes())
    assert "digits/common" not in names
    assert {"digits/tmkt", "digits/baseline", "ncaltech101/tmkt"} <= set(names)
    for name in names:
        recipe = load_recipe(find_recipe(name))
        assert recipe.name == name
        assert {"smoke", "small"} <= recipe.tiers.keys(), name
        assert all(load_recipe(find_recipe(name), tier=tier).name == name for tier in ("paper", *recipe.tiers))
        assert load_recipe(write(write_yaml(recipe.as_dict()))) == recipe, name  # what a run of a sweep is given
    with pytest.raises(RecipeError, match="did you mean 'digits/tmkt'"):
        find_recipe("digits/tmk")


def test_records_are_chosen_by_settings_of_stages_too(write):
    staged, plain = load_recipe(write({**BASE, "stages": {"ann.train.epochs": 9}})), load_recipe(write(BASE))
    records = [{"recipe": recipe.as_dict()} for recipe in (staged, plain)]
    del records[1]["recipe"]["stages"]  # a record older than the key
    assert records_with(records, ["stages.ann.train.epochs=9", "train.epochs=300"]) == records[:1]
    assert records_with(records, ["stages.ann.train.epochs=8"]) == []


def test_an_unknown_recipe_names_those_of_its_folder_only():
    with pytest.raises(RecipeError, match=r"did you mean 'digits/tmkt'\? In digits: digits/baseline, ") as refused:
        find_recipe("digits/tmtk")
    assert "nmnist/" not in str(refused.value)
    assert "`tmkt list` shows all" in str(refused.value)
