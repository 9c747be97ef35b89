"""The table maker against numbers worked out by hand and against a stored text."""

import csv
import io
import json

import pytest

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.results.summary import render, summarise


def record(name, seed, accuracy, pool="partners", count=10, method=None, leaky=False, **other):
    method = method or name.split("/")[-1]
    result = {"epoch": 1, "accuracy": accuracy}
    recipe = {
        "name": name,
        "data": {"train_per_class": count, "static_pool": pool, "steps": 10, "root": f"/data{seed}"},
        "model": {"name": "tmkt_scnn"},
        "method": {"name": method},
        "optim": {"lr": 0.1},
        "train": {"epochs": 2, "seeds": [seed]},
        "tiers": {},
        "extends": None,
    }
    data = {"set": "set", "protocol": "clean", "leaky": leaky, "kind": "real"}
    return {
        "name": name,
        "seed": seed,
        "recipe": recipe,
        "recipe_hash": f"{name}{pool}{count}",
        "data": data,
        "last": result,
        "best_val": None,
        "best_test": {"epoch": 0, "accuracy": accuracy + 0.1},
        **other,
    }


RECORDS = [
    *(record("set/baseline", seed, accuracy) for seed, accuracy in ((1, 0.80), (2, 0.82), (3, 0.84))),
    *(record("set/tmkt", seed, accuracy) for seed, accuracy in ((1, 0.81), (2, 0.85), (3, 0.86))),
    *(record("set/tmkt", seed, accuracy, pool="open") for seed, accuracy in ((1, 0.70), (2, 0.75))),
    record("set/tmkt", 1, 0.5, count=20),
]

TEXT = """\
All rows: set, real data, protocol clean, tmkt_scnn, T 10, recipe not in experiments/.

recipe        conditions                                 accuracy %      n  difference [95 %]       data         epoch
------------  -----------------------------------------  ------------  ---  ----------------------  -----------  -------
set/tmkt      static_pool=open, train_per_class=10       72.50 ± 3.54    2  -8.50 [-27.56, +10.56]  real, clean  last
set/baseline  static_pool=partners, train_per_class=10   82.00 ± 2.00    3                          real, clean  last
set/tmkt      static_pool=partners, train_per_class=10   84.00 ± 2.65    3  +2.00 [-0.48, +4.48]    real, clean  last
set/tmkt      static_pool=partners, train_per_class=20   50.00           1                          real, clean  last"""


def test_mean_deviation_and_paired_interval_by_hand():
    row = next(row for row in summarise(RECORDS) if row.recipe == "set/tmkt" and row.seeds == 3)
    assert row.mean == pytest.approx(84.0)
    assert row.std == pytest.approx(7.0**0.5)
    # differences 1, 3, 2: mean 2, deviation 1, t(0.975, 2) = 4.3027
    assert (row.difference, row.low, row.high) == pytest.approx(
        (2.0, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-3
    )


def test_the_baseline_is_the_reference_of_both_pools_but_not_of_other_numbers_of_recordings():
    rows = {row.conditions: row for row in summarise(RECORDS) if row.recipe == "set/tmkt"}
    assert rows["static_pool=open, train_per_class=10"].difference == pytest.approx(-8.5)
    assert rows["static_pool=partners, train_per_class=20"].difference is None


def test_code_of_one_side_alone_is_no_condition_but_two_versions_of_what_both_use_are():
    def coded(name, accuracy, **files):
        one = record(name, 1, accuracy, recipe_hash=f"{name}{files}")
        one["recipe"]["code"] = {f"{file}.py": digest for file, digest in files.items()}
        return one

    rows = summarise([coded("set/baseline", 0.8), coded("set/own", 0.9, own="ab")])
    assert [(row.conditions, row.difference) for row in rows] == [("", None), ("", pytest.approx(10.0))]
    old, new = (coded("set/baseline", 0.8, net="ab"), coded("set/baseline", 0.7, net="cd"))
    rows = summarise([old, new, coded("set/own", 0.9, own="ab", net="cd")])
    assert [(row.recipe, row.conditions) for row in rows if row.difference] == [("set/own", "net.py=cd")]
    assert next(row.difference for row in rows if row.difference) == pytest.approx(20.0)


def on(split, count, *records):
    for one in records:
        one["data"] |= {"split": split, "test": count}
        one["recipe_hash"] += split
    return records


def test_only_runs_on_the_same_recordings_are_compared():
    small = on("s", 100, record("set/baseline", 1, 0.6), record("set/tmkt", 1, 0.7))
    large = on("l", 870, record("set/tmkt", 1, 0.4))
    rows = [(row.recipe, row.mean, row.difference) for row in summarise([*small, *large])]
    assert sorted(rows, key=lambda row: row[1]) == [
        ("set/tmkt", 40.0, None),
        ("set/baseline", 60.0, None),
        ("set/tmkt", 70.0, pytest.approx(10.0)),
    ]
    other = on("o", 100, record("set/tmkt", 1, 0.8, pool="open"))  # the same recordings, other images
    assert [row.difference for row in summarise([small[0], *other])] == [pytest.approx(20.0), None]
    other[0]["data"]["test"] = 90
    assert [row.difference for row in summarise([small[0], *other])] == [None, None]


def test_of_two_references_none_is_chosen_and_the_table_says_so():
    plain, other = record("set/baseline", 1, 0.8), record("set/baseline", 1, 0.6)
    other["recipe"]["method"]["mse_weight"], other["recipe_hash"] = 0.05, "other"
    ours = record("set/tmkt", 1, 0.7)
    for records in ([plain, other, ours], [other, plain, ours]):
        rows = summarise(records)
        assert [row.difference for row in rows] == [None, None, None]
        words = "set/baseline: mse_weight="
        assert f"\nset/tmkt: not compared: {words}" in render(rows)
    assert [row.difference for row in summarise([other, ours])] == [None, pytest.approx(10.0)]


def test_rows_that_differ_in_a_key_of_the_method_alone_can_be_told_apart():
    ratios = {0.4: 0.5, 0.6: 0.7}
    records = [record("mine/tmkt", 1, accuracy, recipe_hash=str(ratio)) for ratio, accuracy in ratios.items()]
    for one, ratio in zip(records, ratios, strict=True):
        one["recipe"]["method"]["mix_ratio"] = ratio
    assert {row.conditions: row.mean for row in summarise(records)} == {"mix_ratio=0.4": 50.0, "mix_ratio=0.6": 70.0}
    assert [row.conditions for row in summarise(records[:1])] == [""]
    records = [*on("aaaa", 10, record("mine/tmkt", 1, 0.5)), *on("bbbb", 10, record("mine/tmkt", 1, 0.7))]
    assert {row.conditions: row.mean for row in summarise(records)} == {"split=aaaa": 50.0, "split=bbbb": 70.0}


def test_the_table_is_the_stored_text():
    got = [" ".join(line.split()) for line in render(summarise(RECORDS)).splitlines()]
    assert [line for line in got if not line.startswith("-")] == [
        " ".join(line.split()) for line in TEXT.splitlines() if not line.startswith("-")
    ]


def test_csv_and_json_hold_the_same_numbers():
    rows = summarise(RECORDS)
    values = list(csv.DictReader(io.StringIO(render(rows, "csv"))))
    plain = json.loads(render(rows, "json"))
    assert [float(value["mean"]) for value in values] == pytest.approx([row["mean"] for row in plain], abs=1e-4)
    assert values[0]["conditions"] == plain[0]["conditions"]
    assert values[0]["setting"] == plain[0]["setting"]
    assert plain[0]["setting"].startswith("set, real data, protocol clean, tmkt_scnn, T 10")
    assert "\\toprule" in render(rows, "tex")
    assert render(rows, "md").startswith("All rows: set, real data, protocol clean, tmkt_scnn, T 10")


def test_selection_is_named_and_a_leak_is_shown():
    (row,) = summarise([record("set/tmkt", 1, 0.5, leaky=True)], "best_test")
    assert (row.mean, row.selected, row.protocol) == (pytest.approx(60.0), "best_test", "clean, leaks")


@pytest.mark.parametrize(
    ("arguments", "words"), [({"select": "best"}, "last, best_val"), ({"select": "best_val"}, "has no")]
)
def test_what_is_not_there_is_explained(arguments, words):
    with pytest.raises(RecipeError, match=words):
        summarise(RECORDS, **arguments)
    with pytest.raises(RecipeError, match="format must be"):
        render(summarise(RECORDS), "html")
