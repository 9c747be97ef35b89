"""What is typed, or written in a recipe file, is what is meant; the rest is refused."""

import os
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from braincog_tmkt.engine.task import open_dataset
from braincog_tmkt.errors import DataError, RecipeError
from braincog_tmkt.files import user_path
from braincog_tmkt.launch.plan import plan
from braincog_tmkt.recipe import load_recipe, recipe_from_dict, recipe_hash
from braincog_tmkt.recipe.files import find_recipe
from braincog_tmkt.recipe.text import MOST_VALUES, read_value, read_yaml, write_yaml

NUMBERS = {
    "3": 3, "-3": -3, "+5": 5, "0": 0, "1e-3": 0.001, "1E3": 1000.0, ".5": 0.5, "-.5": -0.5, "1.": 1.0, "01.5": 1.5,
    " 7 ": 7, "true": True, "False": False, "null": None, "~": None,
}  # fmt: skip
NO_NUMBERS = [
    "010", "1:30", "190:20:30", "1_000", "0x10", "0o10", "0b11", "1.0.0", "2001-01-01", "off", "no", "yes", "On", "inf",
    "nan", "1e", "e3", "٣", "²", "a b ", "C: x", "~/data", "a=b=c", "a\tb", "*x", "&x", "!tag", "|", ">", "- 1", "%x",
    "@x", "`", "my data #2", "#", ": ", "a\n", "",
]  # fmt: skip


def test_numbers_truth_values_and_null_and_all_else_is_the_text_itself():
    for text, value in {**NUMBERS, **dict(zip(NO_NUMBERS, NO_NUMBERS, strict=True))}.items():
        assert (read_value(text), type(read_value(text))) == (value, type(value)), text
    for text in (*NUMBERS, *NO_NUMBERS, "[a, b]", "{a: b}", "'x'", '"x"', "null "):
        assert read_value(text, str) == text  # a key that is a text takes every character
        assert read_value(text, str | None) == (None if text == "null" else text)


def test_brackets_and_quotes():
    for text, value in {
        "[010,1:30]": ["010", "1:30"],
        "[1, 2.5, a b, null, true, yes]": [1, 2.5, "a b", None, True, "yes"],
        "{a: {b: 1e-3}, on: 2}": {"a": {"b": 0.001}, "on": 2},
        "['a #1', \"010\"]": ["a #1", "010"],
        "'010'": "010",
        "[]": [],
    }.items():
        assert read_value(text) == value
    wrong = ["[1", "[1]x", "[1] # why", "[1, # why\n 2]", "[*x]", "[&x 1]", "[!!int 1]", "{a: 1, a: 2}", '"a": 1', "{"]
    for text in (*wrong, "[" * 900):  # not closed, or more than values
        with pytest.raises(ValueError):
            read_value(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", "twice"),
        ("a: &a [*a]", f"more than {MOST_VALUES} values"),
        ("a: &a [1]\n" + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefg")), "values"),
        ("a: " + "[" * 900, "too deeply"),
        ("a: " + "9" * 5000, "digits"),
        ("a: !!python/object:os.system x", "not valid YAML"),
        ("a: !!bool maybe", "not valid YAML"),
        ("[a]: 1", "a key must be a text"),
        ("#" * 1_000_001, "1000001 characters"),
    ],
)
def test_files_that_hold_no_plain_values_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        read_yaml(text)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("data.root=my data #2", "my data #2"),
        ("data.root=1.0", "1.0"),
        ("data.root=~/data", "~/data"),
        ("data.root=a=b=c", "a=b=c"),
        ("data.root= x ", " x "),
        ("data.root=null", "null"),
        ("data.static_root=null", None),
        ("data.static_root=~", "~"),
        ("optim.lr=1", 1.0),
        ("data.augment=[crop]", ["crop"]),
        ("train.seeds=[3, 4]", [3, 4]),
        ("train={batch: 8}", 8),
    ],
)
def test_an_override_is_read_by_the_type_of_its_key(override, value):
    recipe = load_recipe(find_recipe("digits/baseline"), [override])
    section, leaf = override.partition("=")[0].partition(".")[::2]
    found = getattr(getattr(recipe, section), leaf or "batch")
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.seeds=[010,1:30]", "(each item a whole number), not ['010', '1:30']"),
        ("train.epochs=010", "train.epochs must be a whole number, not '010'"),
        ("train.epochs=1_000", "not '1_000'"),
        ("train.epochs=", "train.epochs must be a whole number, not ''"),
        ("train.balanced=yes", "train.balanced must be true or false, not 'yes'"),
        ("optim.lr=nan", "optim.lr must be a number, not 'nan'"),
        ("optim.lr=1e400", "optim.lr must be a number, not inf"),
        ("optim.lr=1" + "0" * 400, "optim.lr must be a number"),
        ("data.root=", "data.root is ''"),
        ("data.root=${oc.env:HOME}", "recipes have no ${...}"),
        ("train.seeds=[18446744073709551616]", "from 0 to 2^64 - 1"),
        ("model.width=1e6", "model.width is 1000000.0, but must be above 0, and 1000 or less"),
        ("train.epochs=1000000000000", "from 1 to 1,000,000"),
        ("extends=other.yaml", "extends is for recipe files"),
        ("tiers.small={train.epochs: 3}", "tiers is for recipe files"),
        ("Model.width=1", "unknown key 'Model', did you mean 'model'"),
        ("stages.ann2.optim.lrr=1", "did you mean 'optim.lr'"),
        ("data=3", "'data' is a section"),
        ("train.epoch=1", "'train.epochs'"),
        ("train.epochs", "section.key=value"),
        ("=1", "section.key=value"),
        ("train.epochs=[1", "it is not valid YAML"),
    ],
)
def test_what_cannot_be_meant_is_refused(override, words):
    with pytest.raises(RecipeError) as error:
        load_recipe(find_recipe("digits/baseline"), [override])
    assert f"override '{override}'" in str(error.value) or "but must be" in str(error.value)
    assert words in str(error.value)


def test_a_file_is_read_by_the_same_rules(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("data: {name: digits, root: 010, cache: on}\nmethod: {name: baseline}\noptim: {lr: 1e-3}\n")
    recipe = load_recipe(file)
    assert (recipe.data.root, recipe.data.cache, recipe.optim.lr) == ("010", "on", 0.001)
    for line, words in (
        ("train: {epochs: 010}", "train.epochs must be a whole number, not '010'"),
        ("train: {balanced: on}", "train.balanced must be true or false, not 'on'"),
        ("tiers: {small: {train: 3, train.epochs: 4}}", "'train' is a section"),
        ("model: {name: '${oc.env:HOME}'}", "recipes have no ${...}"),
    ):
        file.write_text(f"data: {{name: digits}}\nmethod: {{name: baseline}}\n{line}\n")
        with pytest.raises(RecipeError) as error:
            load_recipe(file)
        assert words in str(error.value)
        assert str(file) in str(error.value)


def test_whole_numbers_become_floats_where_those_are_asked_for():
    values = {"name": "r", "data": {"name": "digits"}, "method": {"name": "baseline"}, "optim": {"lr": 1}}
    recipe = recipe_from_dict({**values, "optim": {"lr": 1, "lr_scale_base": 2}, "train": {"threads": 2}})
    found = recipe.optim.lr, recipe.optim.lr_scale_base, recipe.train.threads
    assert [type(value) for value in found] == [float, float, int]
    assert recipe_hash(recipe) == recipe_hash(recipe_from_dict({**values, "optim": {"lr": 1.0, "lr_scale_base": 2.0}}))


@pytest.mark.data
def test_the_folder_that_is_typed_is_the_one_that_is_read(shared, monkeypatch):
    monkeypatch.chdir(shared / "cases" / "path_with_hash")
    for root, classes in (("my data #2", ("a", "b")), ("my data", ("c", "d"))):
        (cell,) = plan(["folder/baseline"], [f"data.root={root}"], "smoke")
        assert open_dataset(cell.recipe.data)[1].classes == classes


def test_paths_are_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert user_path("~/x") == tmp_path / "x"
    assert user_path("a b#c") == tmp_path.__class__("a b#c")
    os.symlink("loop", tmp_path / "loop")
    for text in ("", "~nobody-at-all/x", "\0", "x" * 300, "x/" * 2000, "\ud800", "loop/x"):
        with pytest.raises(DataError, match="cannot be used as a path"):
            user_path(text)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(codec="utf-8"))


@given(st.recursive(PLAIN | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8))
@example(
    {"a": ["010", "1e-3", "1:30", "yes", "null", "~", "", " x ", "# 2", "3", "3.", ".5", "true", "=", "<<", "\x7f"]}
)
def test_what_is_written_is_read_as_the_same(value):
    assert read_yaml(write_yaml(value)) == value
