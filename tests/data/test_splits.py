import hashlib
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braincog_tmkt.data.splits import PROTOCOLS, Protocol, make_split
from braincog_tmkt.data.types import Index, Item
from braincog_tmkt.errors import DataError, RecipeError


def make_index(counts, extra=None, missing=(), official=frozenset()) -> Index:
    """Recordings of each class numbered from 0; `extra` images without a recording; `missing` keys without image."""
    recordings = [Item(f"{name}/{i:04}", name) for name, n in sorted(counts.items()) for i in range(n)]
    more = [Item(f"{name}/zz{i:04}", name) for name, n in sorted((extra or {}).items()) for i in range(n)]
    statics = [item for item in recordings if item.key not in missing] + more
    return Index(tuple(sorted(counts)), tuple(recordings), tuple(sorted(statics)), official)


def shuffled(index: Index, seed: int) -> Index:
    """The same index as another file system might list it: other order, other paths."""
    rng = random.Random(seed)
    parts = []
    for items in (index.recordings, index.statics):
        moved = [Item(item.key, item.class_name, Path(f"/disk{seed}/{item.key}")) for item in items]
        rng.shuffle(moved)
        parts.append(tuple(moved))
    classes = list(index.classes)
    rng.shuffle(classes)
    return Index(tuple(classes), *parts, index.official_test)


def per_class(keys) -> dict[str, list[str]]:
    groups = defaultdict(list)
    for key in keys:
        groups[key.rsplit("/", 1)[0]].append(key)
    return groups


NAMES = st.sampled_from(["cup", "Cup", "a b", "BACKGROUND_Google", "0", "10", "2", "alpha/x"])
COUNTS = st.dictionaries(NAMES, st.integers(5, 60), min_size=1, max_size=5)


@st.composite
def cases(draw):
    counts = draw(COUNTS)
    names = sorted(counts)
    keys = [f"{name}/{i:04}" for name in names for i in range(counts[name])]
    index = make_index(
        counts,
        extra=draw(st.dictionaries(st.sampled_from(names), st.integers(0, 9))),
        missing=set(draw(st.lists(st.sampled_from(keys), max_size=4))),
    )
    protocol = Protocol(
        "clean",
        train_portion=draw(st.sampled_from([0.5, 0.9, 0.7, 0.25])),
        val_portion=draw(st.sampled_from([0, 0.1, 0.3, 0.9])),
        train_per_class=draw(st.none() | st.integers(1, min(counts.values()) - 1)),
        static_pool=draw(st.sampled_from(["partners", "open"])),
    )
    return index, protocol


@settings(max_examples=150, deadline=None)
@given(cases())
def test_clean_parts_are_disjoint_complete_and_never_draw_what_is_held_out(case):
    index, protocol = case
    split = make_split(index, protocol)
    everything = [*split.train, *split.val, *split.test]
    assert sorted(everything) == sorted(item.key for item in index.recordings)
    held_out = set(split.val) | set(split.test)
    statics = {item.key for item in index.statics}
    if protocol.static_pool == "partners":
        assert set(split.pool) == {key for key in statics if key in split.train}
    else:
        assert set(split.pool) == {key for key in statics if key not in held_out}
    assert not [key for key in split.pool if key in held_out]
    assert not split.leaky
    for keys in (split.train, split.val, split.test, split.pool):
        assert list(keys) == sorted(set(keys))


@settings(max_examples=150, deadline=None)
@given(cases())
def test_clean_sizes_and_places_of_the_parts_of_each_class(case):
    index, protocol = case
    split = make_split(index, protocol)
    train, val, test = (per_class(keys) for keys in (split.train, split.val, split.test))
    for name, keys in per_class(sorted(item.key for item in index.recordings)).items():
        n_train = protocol.train_per_class or int(np.round(protocol.train_portion * len(keys)))
        assert test[name] == keys[n_train:], "the test set is the tail of the class"
        assert train[name] + val[name] == keys[:n_train], "validation follows training"
        n_val = int(np.round(protocol.val_portion * n_train))
        if protocol.val_portion > 0 and n_train >= 2:
            assert len(val[name]) == min(max(n_val, 1), n_train - 1)
        else:
            assert val[name] == []


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(NAMES, st.integers(1, 30), min_size=1, max_size=5).filter(lambda counts: max(counts.values()) > 1),
    st.floats(0.01, 0.99) | st.sampled_from([0.5, 0.9, 0.2, 0.8]),
    st.sampled_from([0, 0.1, 0.9]),
)
def test_rounding_takes_neither_training_nor_test_from_a_class(counts, portion, val_portion):
    split = make_split(make_index(counts), Protocol("clean", train_portion=portion, val_portion=val_portion))
    train, val, test = (per_class(keys) for keys in (split.train, split.val, split.test))
    for name, n in counts.items():
        keys = [f"{name}/{number:04}" for number in range(n)]
        rounded = int(np.round(portion * n))
        assert train[name] + val[name] + test[name] == keys
        if n > 1:
            assert train[name]
            assert test[name]
        if n == 1 or 0 < rounded < n:  # where rounding does no harm, it decides
            assert test[name] == keys[rounded:]
        else:
            assert len(test[name]) == (n - 1 if rounded == 0 else 1)


@settings(max_examples=80, deadline=None)
@given(cases(), st.integers(0, 2**16), st.sampled_from(["clean", "published"]))
def test_listing_order_and_paths_change_nothing(case, seed, name):
    index, protocol = case
    if name == "published":
        protocol = Protocol(name, train_portion=protocol.train_portion)
    one, other = make_split(index, protocol), make_split(shuffled(index, seed), protocol)
    assert one == other
    assert one.hash == other.hash


@settings(max_examples=100, deadline=None)
@given(COUNTS, st.sampled_from([0.5, 0.9, 0.99]))
def test_published_draws_exactly_one_test_image_of_each_class_that_has_any(counts, portion):
    index = make_index(counts)
    if all(round(portion * n) == n for n in counts.values()):
        return
    split = make_split(index, Protocol("published", train_portion=portion))
    train, test, pool = (per_class(keys) for keys in (split.train, split.test, split.pool))
    assert split.val == ()
    assert split.leaky
    for name, n in counts.items():
        n_train = int(np.round(portion * n))
        assert len(train[name]) == n_train
        leaked = set(pool[name]) & set(test[name])
        assert leaked == ({f"{name}/{n_train:04}"} if n > n_train else set())
        assert set(pool[name]) == set(train[name]) | leaked


@settings(max_examples=60, deadline=None)
@given(COUNTS)
def test_clean_and_published_hold_the_same_recordings_out_for_test(counts):
    index = make_index(counts)
    if all(round(0.9 * n) == n for n in counts.values()):
        return
    assert make_split(index, Protocol("clean")).test == make_split(index, Protocol("published")).test


@pytest.mark.parametrize(("n", "n_train"), [(5, 4), (15, 14), (25, 22), (35, 32), (55, 50), (40, 36), (467, 420)])
def test_halves_are_rounded_to_even(n, n_train):
    for name in ("clean", "published"):
        split = make_split(make_index({"cup": n}), Protocol(name, val_portion=0))
        assert len(split.train) == n_train


def official_index(n_train=12, n_test=4) -> Index:
    keys = [f"{c}/{part}-{i:05}" for c in "35" for part, n in (("train", n_train), ("test", n_test)) for i in range(n)]
    items = tuple(Item(key, key[0]) for key in sorted(keys))
    return Index(("3", "5"), items, items, frozenset(key for key in keys if "/test-" in key))


@pytest.mark.parametrize(("name", "sizes"), [("clean", (2 * 11, 2 * 1)), ("published", (2 * 12, 0))])
def test_the_official_test_set_is_held_out(name, sizes):
    index = official_index()
    split = make_split(index, Protocol(name))
    assert set(split.test) == index.official_test
    assert (len(split.train), len(split.val)) == sizes
    assert set(split.pool) == set(split.train)
    assert not split.leaky


def test_a_fixed_number_per_class_never_takes_official_test_recordings():
    index = official_index()
    split = make_split(index, Protocol("clean", train_per_class=5, static_pool="open"))
    assert [key for key in split.train + split.val if "test-" in key] == []
    assert len(split.train + split.val) == 10
    assert len(split.test) == 2 * (7 + 4)
    assert set(split.pool) == set(split.train)
    assert len(make_split(index, Protocol("clean", train_per_class=12)).test) == 8
    with pytest.raises(RecipeError, match=r"train_per_class is 13, but class '3' has 12 recordings.*and 4 more"):
        make_split(index, Protocol("clean", train_per_class=13))


def test_hash_names_the_split_for_good():
    index = make_index({"cup": 10, "ant": 6})
    split = make_split(index, Protocol("clean"))
    # Records hold this number: whatever changes it makes every older record look like another split.
    text = (
        '{"pool": ["ant/0000", "ant/0001", "ant/0002", "ant/0003", "cup/0000", "cup/0001", "cup/0002", "cup/0003", '
        '"cup/0004", "cup/0005", "cup/0006", "cup/0007"], "protocol": {"name": "clean", "static_pool": "partners", '
        '"train_per_class": null, "train_portion": 0.9, "val_portion": 0.1}, "test": ["ant/0005", "cup/0009"], '
        '"train": ["ant/0000", "ant/0001", "ant/0002", "ant/0003", "cup/0000", "cup/0001", "cup/0002", "cup/0003", '
        '"cup/0004", "cup/0005", "cup/0006", "cup/0007"], "val": ["ant/0004", "cup/0008"]}'
    )
    assert split.hash == hashlib.sha256(text.encode()).hexdigest()
    assert make_split(index, Protocol(val_portion=0)).hash == make_split(index, Protocol(val_portion=0.0)).hash
    assert split.short_hash == split.hash[:12]
    hashes = {
        make_split(index, protocol).hash
        for protocol in (
            Protocol("clean"),
            Protocol("published"),
            Protocol("clean", train_portion=0.8),
            Protocol("clean", val_portion=0.2),
            Protocol("clean", train_per_class=5),
            Protocol("clean", static_pool="open"),
        )
    }
    assert len(hashes) == 6
    renamed = Index(index.classes, (*index.recordings[:-1], Item("cup/9999", "cup")), index.statics)
    assert make_split(renamed, Protocol("clean")).hash != split.hash


def test_published_records_that_it_validates_on_nothing():
    index = make_index({"cup": 10})
    splits = [make_split(index, Protocol("published", val_portion=portion)) for portion in (0, 0.1, 0.4)]
    assert {split.protocol.val_portion for split in splits} == {0.0}
    assert len({split.hash for split in splits}) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train_portion": 0}, r"train_portion is 0, but must be a number above 0 and below 1"),
        ({"train_portion": 1.0}, r"train_portion is 1\.0"),
        ({"train_portion": float("nan")}, r"train_portion is nan"),
        ({"train_portion": "0.9"}, r"train_portion is '0\.9'"),
        ({"val_portion": 1}, r"val_portion is 1, but must be a number from 0 to below 1"),
        ({"val_portion": -0.1}, r"val_portion is -0\.1"),
        ({"train_per_class": 0}, r"train_per_class is 0, but must be null or a whole number from 1 on"),
        ({"train_per_class": 2.5}, r"train_per_class is 2\.5"),
        ({"train_per_class": True}, r"train_per_class is True"),
        ({"static_pool": "all"}, r"static_pool is 'all', but must be partners or open"),
        ({"name": "claen"}, r"unknown protocol 'claen': did you mean 'clean'"),
    ],
)
def test_wrong_values_are_named_with_their_range(values, message):
    with pytest.raises(RecipeError, match=message):
        Protocol(**values)


def test_protocols_that_do_not_suit_the_data():
    index = make_index({"cup": 6, "ant": 3})
    with pytest.raises(RecipeError, match=r"train_per_class is 3, but class 'ant' has 3 recordings"):
        make_split(index, Protocol("clean", train_per_class=3))
    with pytest.raises(DataError, match=r"none of the 1 recordings to test on"):
        make_split(make_index({"ant": 1}), Protocol("clean"))
    with pytest.raises(DataError, match=r"none of the 1 recordings to train on"):
        make_split(make_index({"ant": 1}), Protocol("clean", train_portion=0.3))
    for values in ({"train_per_class": 2}, {"static_pool": "open"}):
        with pytest.raises(RecipeError, match="leave them out"):
            make_split(index, Protocol("published", **values))


@pytest.mark.parametrize("which", ["recordings", "statics"])
def test_a_key_twice_is_refused(which):
    index = make_index({"cup": 6})
    doubled = {"recordings": index.recordings, "statics": index.statics}
    doubled[which] = (*doubled[which], Item("cup/0003", "cup"))
    with pytest.raises(DataError, match="'cup/0003' twice"):
        make_split(Index(index.classes, **doubled), Protocol("clean"))


def test_a_protocol_is_one_registered_function(monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "half", lambda index, protocol: make_split(index, Protocol("clean", 0.5)))
    assert len(make_split(make_index({"cup": 10}), Protocol("half")).test) == 5
