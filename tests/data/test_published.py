"""The rules of the baseline's public code, against figures that were counted with other code (spec/baseline.md)."""

import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braincog_tmkt.data.audit import audit, require_clean
from braincog_tmkt.data.sets.ncaltech101 import COUNTS
from braincog_tmkt.data.splits import Protocol, Split, drawable, make_split
from braincog_tmkt.data.types import Index, Item
from braincog_tmkt.errors import RecipeError


def index_of(keys, **more) -> Index:
    items = tuple(sorted(Item(key, key.rpartition("/")[0]) for key in keys))
    return Index(tuple(sorted({item.class_name for item in items})), items, items, **more)


def caltech() -> Index:
    return index_of(f"{name}/image_{number:04}" for name, n in COUNTS.items() for number in range(1, n + 1))


def omniglot(*sizes: int) -> Index:
    """Alphabets with so many characters, 20 drawers each."""
    names = [f"alpha{a:02}/character{c:02}" for a, size in enumerate(sizes) for c in range(1, size + 1)]
    keys = [f"{name}/{drawer:02}" for name in names for drawer in range(1, 21)]
    return index_of(keys, official_test=frozenset(key for key in keys if int(key[-2:]) > 15))


def test_sorted_listings_of_ncaltech101_leak_one_image_of_each_class():
    index = caltech()
    verdict = audit(index, make_split(index, Protocol("published")))
    assert (verdict.train, verdict.val, verdict.test, verdict.pool) == (7839, 0, 870, 7940)
    assert verdict.test_with_twin_in_pool == verdict.pool_twins_of_test == 101
    clean = audit(index, make_split(index, Protocol("clean")))
    assert (clean.train + clean.val, clean.test, clean.pool) == (7839, 870, clean.train)
    assert not clean.leaks


def test_unsorted_listings_leak_nine_tenths_of_ncaltech101():
    index = caltech()
    split = make_split(index, Protocol("published_unsorted"))
    verdict = audit(index, split)
    assert (verdict.train, verdict.val, verdict.test) == (7839, 0, 870)
    assert 0.87 < verdict.test_with_twin_in_pool / 870 < 0.95  # 91.2 % on average there
    assert split.leaky
    # The images are counted in numerical order, whatever the listing: the same pool as with sorted listings.
    assert split.pool == make_split(index, Protocol("published")).pool
    assert split.test != make_split(index, Protocol("published")).test


def test_unsorted_listings_have_one_order_for_all_folders():
    index = index_of(f"{name}/image_{number:04}" for name in ("ant", "bee") for number in range(50))
    tested = defaultdict(set)
    for key in make_split(index, Protocol("published_unsorted")).test:
        tested[key[:3]].add(key[4:])
    assert tested["ant"] == tested["bee"]


def test_omniglot_unsorted_pairs_characters_with_one_another():
    index = omniglot(*range(17, 47, 3))
    split = make_split(index, Protocol("published_omniglot_unsorted"))
    verdict = audit(index, split)
    assert (verdict.train, verdict.test) == (305 * 15, 305 * 5)
    assert 0.95 < verdict.wrong_class_draws < 0.985  # 2.2 % of characters are right there, 3.1 % at random
    assert 0.6 < verdict.test_with_twin_in_pool / verdict.test < 0.85  # 75 % there
    for name, keys in drawable(index, split).items():
        assert len(keys) == 15
        assert {key.split("/")[0] for key in keys} == {name.split("/")[0]}, "both listings take alphabets alike"


@pytest.mark.parametrize("name", ["published", "published_unsorted", "published_cepdvs", "published_omniglot_unsorted"])
def test_published_rules_refuse_settings_they_do_not_have(name):
    with pytest.raises(RecipeError, match=f"'{name}' has no train_per_class or static_pool"):
        make_split(omniglot(2), Protocol(name, train_per_class=3))


def test_rules_for_one_data_set_refuse_others():
    with pytest.raises(RecipeError, match="N-Omniglot only"):
        make_split(index_of(f"cup/{i}" for i in range(10)), Protocol("published_omniglot_unsorted"))
    with pytest.raises(RecipeError, match="official test set"):
        make_split(omniglot(2), Protocol("published_unsorted"))


def test_unused_recordings_are_in_no_part():
    keys = [f"cup/{number:02}" for number in range(20)]
    index = index_of(keys, official_test=frozenset(keys[10:14]), unused=frozenset(keys[14:]))
    for name in ("clean", "published"):
        split = make_split(index, Protocol(name))
        assert set(split.train) | set(split.val) == set(keys[:10])
        assert set(split.test) == set(keys[10:14])
        assert not set(split.pool) & set(keys[10:])
    counted = make_split(index, Protocol("clean", train_per_class=4))
    assert not {*counted.train, *counted.test, *counted.pool} & set(keys[14:])


def unpaired() -> Index:
    recordings = tuple(Item(f"cup/event-{number:02}", "cup") for number in range(20))
    return Index(("cup",), recordings, tuple(Item(f"cup/{number}", "cup") for number in range(7)), twins_known=False)


def test_published_rules_draw_no_images_of_unknown_origin():
    for name in ("clean", "published"):
        split = make_split(unpaired(), Protocol(name))
        assert (split.pool, split.leaky) == ((), False)
    assert "no static image is drawn" in audit(unpaired(), split).sentence()


def test_the_protocol_that_draws_them_says_that_it_may_leak():
    index = unpaired()
    split = make_split(index, Protocol("unpaired"))
    verdict = audit(index, split)
    assert split.leaky
    assert verdict.pool == 7
    assert (split.train, split.val, split.test) == tuple(
        getattr(make_split(index, Protocol("clean")), part) for part in ("train", "val", "test")
    )
    assert "IT MAY LEAK" in verdict.sentence()
    require_clean(verdict, split)
    with pytest.raises(RecipeError, match="leave static_pool out"):
        make_split(index, Protocol("unpaired", static_pool="open"))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**16), st.sampled_from(["published_unsorted", "published_cepdvs", "published_omniglot_unsorted"])
)
def test_the_order_of_the_index_changes_nothing(seed, name):
    index = omniglot(3, 2) if "omniglot" in name else index_of(f"{c}/{i:03}" for c in "abc" for i in range(30))
    rng = random.Random(seed)
    recordings, statics = list(index.recordings), list(index.statics)
    rng.shuffle(recordings)
    rng.shuffle(statics)
    other = Index(index.classes, tuple(recordings), tuple(statics), index.official_test)
    one, two = make_split(index, Protocol(name)), make_split(other, Protocol(name))
    assert one == two
    assert one.hash == two.hash


def test_who_draws_what_is_in_the_hash():
    one = Split(Protocol("clean"), ("a/1",), (), ("a/2",), ("a/1", "b/1"), True, {"a": ("a/1",), "b": ("b/1",)})
    two = Split(Protocol("clean"), ("a/1",), (), ("a/2",), ("a/1", "b/1"), True, {"a": ("b/1",), "b": ("a/1",)})
    assert len({one.hash, two.hash, Split(*[getattr(one, f) for f in one.__match_args__[:-1]]).hash}) == 3
