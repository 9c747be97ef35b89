from collections import OrderedDict

import pytest

from braincog_tmkt.data.sets import DATASETS
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.registry import Registry, did_you_mean


@pytest.fixture
def shapes():
    registry = Registry("shape")

    @registry.register("square")
    class Square:
        def __init__(self, size, colour="red"):
            self.size, self.colour = size, colour

    return registry


def test_builds_with_positional_and_keyword_arguments(shapes):
    square = shapes.build("square", 3, colour="blue")
    assert (square.size, square.colour) == (3, "blue")


def test_unknown_name_tells_the_nearest_and_all(shapes):
    shapes.register("circle")(dict)
    with pytest.raises(RecipeError, match=r"unknown shape 'sqare': did you mean 'square'\? Known: circle, square\."):
        shapes.build("sqare", 3)


def test_unknown_argument_tells_the_nearest_but_not_the_positional_one(shapes):
    with pytest.raises(RecipeError, match=r"shape 'square' takes no 'color': did you mean 'colour'\? Known: colour\."):
        shapes.build("square", 3, color="blue")


def test_a_name_is_not_taken_twice_but_a_module_may_be_reloaded(shapes):
    shapes.register("square")(shapes["square"])
    with pytest.raises(ValueError, match="shape 'square' is already"):
        shapes.register("square")(dict)


def test_no_guess_where_nothing_is_near():
    assert did_you_mean("xyz", ["alpha", "beta"]) == "Known: alpha, beta."
    assert did_you_mean("xyz", []) == "Known: none."


def test_no_keyword_may_be_one_that_is_given_by_place_or_the_registrys_own(shapes):
    for key in ("size", "name", "self"):
        with pytest.raises(RecipeError, match=f"shape 'square' takes no '{key}'"):
            shapes.build("square", 3, **{key: 1})
    with pytest.raises(RecipeError, match="shape 'square' needs 'size'"):
        shapes.build("square")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("collections.OrderedDct", "data set 'collections.OrderedDct' cannot be imported: AttributeError"),
        ("no.such.Reader", "data set 'no.such.Reader' cannot be imported: ModuleNotFoundError"),
        ("collections.OrderedDict", "data set 'collections.OrderedDict' is not a subclass of .*DataSet"),
    ],
)
def test_a_class_of_ones_own_is_given_by_its_dotted_path(shapes, name, words):
    assert shapes["collections.OrderedDict"] is OrderedDict
    assert DATASETS["braincog_tmkt.data.sets.nmnist.NMNIST"] is DATASETS["nmnist"]
    with pytest.raises(RecipeError, match=words):
        DATASETS.build(name, "data")
