"""The paper's tables with made records in them, against numbers worked out by hand and a stored text."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.recipe import load_recipe
from braincog_tmkt.recipe.files import find_recipe
from braincog_tmkt.results.paper import find_table
from braincog_tmkt.results.render import render_table
from braincog_tmkt.results.store import records_with
from braincog_tmkt.results.tables import make_table, nearest_tier, recipes_of

SEEDS = (42, 1024, 90210)


def record(name, seed, accuracy, tier=None, overrides=(), val=None, **about):
    recipe = load_recipe(find_recipe(name), overrides, tier)
    data = {"set": recipe.data.name, "kind": "real", "protocol": recipe.data.protocol, "leaky": False, "split": "abc"}
    data |= {"complete": True, **about}
    result = {"epoch": 9, "accuracy": accuracy / 100}
    return {
        "name": name,
        "seed": seed,
        "recipe": recipe.as_dict(),
        "data": data,
        "last": result,
        "best_val": None if val is None else {"epoch": 5, "accuracy": val / 100},
        "best_test": {"epoch": 7, "accuracy": accuracy / 100 + 0.01},
    }


def runs(name, accuracies, **about):
    return [record(name, seed, accuracy, **about) for seed, accuracy in zip(SEEDS, accuracies, strict=False)]


ABLATION = [
    *runs("nmnist/knowledge_transfer", (89.0, 89.5, 88.5), tier="small"),
    *runs("nmnist/tsm", (90.0, 90.4, 89.7), tier="small"),
    *runs("nmnist/mag", (86.0, 87.0, 86.5), tier="small"),
    *runs("nmnist/tmkt", (89.25,), tier="small"),
    *runs("digits/tmkt", (70.0,)),
]


def test_the_text_is_the_stored_one():
    shown = render_table(make_table(find_table("2"), ABLATION, on="nmnist"))
    assert shown.splitlines() == Path(__file__).with_name("table2.txt").read_text().splitlines()


def test_a_difference_to_the_paper_needs_real_data_the_full_recipe_and_a_stated_protocol():
    def to_paper(*changes, **about):
        table = make_table(find_table("1"), runs("ncaltech101/tmkt", (97.0, 98.0), **about))
        return next(line.ours.difference for line in table.lines if line.recipe == "ncaltech101/tmkt")

    assert to_paper() == pytest.approx(97.5 - 97.93)
    assert to_paper(overrides=["data.protocol=published"], leaky=True) == pytest.approx(97.5 - 97.93)
    assert to_paper(overrides=["data.root=/elsewhere", "train.threads=3"]) == pytest.approx(97.5 - 97.93)
    assert to_paper(kind="simulated") is None
    assert to_paper(complete=False) is None
    assert to_paper(overrides=["train.epochs=299"]) is None
    assert to_paper(tier="small") is None


def test_settings_say_what_a_run_was_and_that_it_leaks():
    about = {"overrides": ["data.protocol=published", "train.epochs=10"], "kind": "simulated", "leaky": True}
    (setting,) = make_table(find_table("1"), runs("ncaltech101/tmkt", (90.0,), **about)).settings
    assert setting == (
        "ncaltech101, simulated data, protocol published (leaks), tmkt_vggsnn, T 10, paper tier, train.epochs=10"
    )


def test_the_tier_is_recognised():
    assert nearest_tier(record("cepdvs/mag", 1, 30, tier="small")) == ("small", [])
    assert nearest_tier(record("cepdvs/mag", 1, 30)) == ("paper", [])
    assert nearest_tier(record("cepdvs/mag", 1, 30, tier="smoke", overrides=["train.batch=3"])) == (
        "smoke",
        ["train.batch"],
    )
    gone = {**record("cepdvs/mag", 1, 30), "name": "cepdvs/gone"}
    assert nearest_tier(gone) == (None, [])


def test_orderings_hold_are_reversed_or_stay_open():
    table = make_table(find_table("2"), ABLATION, on="nmnist")
    verdicts = {(ordering.better, ordering.worse): ordering for ordering in table.orderings}
    plain = "no part: Knowledge-Transfer"
    assert verdicts["TSM", plain].verdict == "holds"  # 1.0, 0.9, 1.2
    assert verdicts["TSM", plain].ours.mean == pytest.approx(3.1 / 3)
    assert verdicts["TSM", plain].paper == 3.79
    assert verdicts["TSM + MAG", "TSM"].verdict == "reversed"  # -4.0, -3.4, -3.2
    assert verdicts["TSM + MAG + MRP", plain].verdict == "open"  # one seed
    assert len(verdicts) == 6


def test_only_the_same_test_recordings_are_compared():
    other = [*runs("nmnist/tmkt", (80.0, 81.0), split="x"), *runs("nmnist/tsm", (82.0, 83.0), split="y")]
    table = make_table(find_table("2"), other, on="nmnist", against="tsm")
    assert table.orderings == ()
    assert all(line.ours.against is None for line in table.lines if line.ours)


def test_runs_of_different_settings_are_not_compared():
    mixed = [*runs("nmnist/tmkt", (80.0, 81.0)), *runs("nmnist/tsm", (82.0, 83.0), overrides=["train.epochs=3"])]
    table = make_table(find_table("2"), mixed, on="nmnist", against="tsm")
    assert (table.orderings, len(table.settings)) == ((), 2)
    assert all(line.ours.against is None for line in table.lines if line.ours)


def test_real_and_simulated_runs_are_never_one_row():
    both = [record("nmnist/tmkt", 1, 80.0), record("nmnist/tmkt", 2, 40.0, kind="simulated")]
    with pytest.raises(RecipeError, match="runs of nmnist/tmkt differ in the kind of their data"):
        make_table(find_table("3"), both, on="nmnist")
    twice = [record("nmnist/tmkt", 1, 80.0), record("nmnist/tmkt", 1, 40.0)]
    with pytest.raises(RecipeError, match="nmnist/tmkt seed 1 is there twice, with different results"):
        make_table(find_table("3"), twice, on="nmnist")
    assert make_table(find_table("3"), [twice[0], twice[0]], on="nmnist").lines[1].ours.mean == 80.0


def test_a_recipe_of_the_current_folder_does_not_pass_for_the_papers(tmp_path, monkeypatch):
    (tmp_path / "experiments/ncaltech101").mkdir(parents=True)
    file = find_recipe("ncaltech101/tmkt")
    text = (file.parent / "common.yaml").read_text().replace("epochs: 300", "epochs: 9")
    (tmp_path / "experiments/ncaltech101/common.yaml").write_text(text)
    (tmp_path / "experiments/ncaltech101/tmkt.yaml").write_text(file.read_text())
    monkeypatch.chdir(tmp_path)
    short = record("ncaltech101/tmkt", 1, 20.0)
    assert short["recipe"]["train"]["epochs"] == 9
    assert nearest_tier(short) == ("paper", ["train.epochs"])


def test_rows_without_runs_say_why():
    assert {line.status for line in make_table(find_table("1"), []).lines} == {"not run"}
    assert {line.status for line in make_table(find_table("hsd2"), []).lines} == {"not run"}
    quoted = replace(find_table("hsd2").rows[0], recipe=None)
    assert {
        line.status for line in make_table(replace(find_table("hsd2"), rows=(quoted,), against=None), []).lines
    } == {"cited"}
    elsewhere = {line.paper.method: line.status for line in make_table(find_table("kt"), [], on="nmnist").lines}
    assert (elsewhere["no HSV"], elsewhere["no step weights"]) == ("no recipe", "not run")


def test_a_network_of_its_own_belongs_to_a_system_and_an_override_does_not():
    """R2ETL has another network than Knowledge-Transfer, Ev2Vid other frames and a row of another data set."""
    found = runs("nmnist/knowledge_transfer", (80.0, 81.0), tier="vggsnn")
    found += runs("nmnist/r2etl", (82.0, 83.0), tier="vggsnn")
    wide = ["model.width=1.0"]
    found += [record("nmnist/ckd", seed, 85.0, "vggsnn", wide) for seed in SEEDS]
    table = make_table(find_table("1"), found, on="nmnist")
    lines = {line.paper.method: line for line in table.lines}
    assert lines["R2ETL with TCKA"].ours.against.mean == pytest.approx(2.0)
    assert lines["CKD"].ours.against is None
    assert lines["Ev2Vid"].recipe == "nmnist/ev2vid"
    assert "plain" not in lines  # its recipe is TET's
    assert [ordering.better for ordering in table.orderings] == ["Knowledge-Transfer"]


def test_selections():
    records = runs("nmnist/tmkt", (80.0, 81.0), val=79.0)
    tables = {select: make_table(find_table("3"), records, select, on="nmnist") for select in ("best_val", "best_test")}
    means = {select: next(line.ours.mean for line in table.lines if line.ours) for select, table in tables.items()}
    assert means == {"best_val": pytest.approx(79.0), "best_test": pytest.approx(81.5)}
    assert "best on the test recordings" in " ".join(render_table(tables["best_test"]).split())


def test_csv_and_json_hold_the_plain_numbers():
    table = make_table(find_table("2"), ABLATION, on="nmnist")
    rows = list(csv.DictReader(io.StringIO(render_table(table, "csv"))))
    content = json.loads(render_table(table, "json"))
    assert len(rows) == len(content["rows"]) == 5
    assert float(rows[1]["mean"]) == content["rows"][1]["mean"] == pytest.approx((90.0 + 90.4 + 89.7) / 3)
    assert rows[3]["status"] == "not run"
    assert content["orderings"][0]["verdict"] in ("holds", "reversed", "open")


def test_recipes_of_a_table_come_once_and_on_another_set_as_far_as_it_has_them():
    assert recipes_of(find_table("4")) == [
        f"ncaltech101/{name}" for name in ("fixed", "dynamic_nonlinear", "dynamic_linear", "tmkt")
    ]
    assert recipes_of(find_table("4"), "cepdvs") == ["cepdvs/tmkt"]
    assert recipes_of(find_table("hsd-figure1")) == ["cifar10dvs/tet", "cifar10dvs/tet_t5"]


def test_a_data_set_of_the_paper_keeps_to_its_own_rows():
    made = [*runs("nomniglot/baseline", (60.0, 61.0)), *runs("nomniglot/tmkt", (62.0,)), *runs("cepdvs/tmkt", (30.0,))]
    table = make_table(find_table("1"), made, on="nomniglot")
    assert [line.paper.method for line in table.lines] == ["plain", "Knowledge-Transfer", "TMKT"]
    assert table.lines[0].ours.difference == pytest.approx(0.5)
    assert "do not compare" not in render_table(table)
    assert recipes_of(find_table("1"), "nomniglot") == [
        f"nomniglot/{name}" for name in ("baseline", "knowledge_transfer", "tmkt")
    ]


def test_mistakes_are_one_sentence():
    mixed = [*runs("nmnist/tmkt", (80.0,)), *runs("nmnist/tmkt", (80.0,), overrides=["data.train_per_class=20"])]
    with pytest.raises(RecipeError, match=r"runs of nmnist/tmkt differ in data\.train_per_class: choose"):
        make_table(find_table("3"), mixed, on="nmnist")
    chosen = records_with(mixed, ["data.train_per_class=20"])
    assert [found["recipe"]["data"]["train_per_class"] for found in chosen] == [20]
    assert records_with(mixed, ["data.appearance=blue"]) == []
    with pytest.raises(RecipeError, match=r"did you mean .data\.train_per_class."):
        records_with(mixed, ["data.train_per_clas=20"])
    for call, words in (
        (lambda: make_table(find_table("2"), [], on="cifar10dvs"), "no recipe in experiments/cifar10dvs"),
        (lambda: make_table(find_table("2"), [], against="fixed"), "no row 'fixed' to compare with"),
        (lambda: make_table(find_table("2"), [], select="best"), "select must be one of"),
        (lambda: make_table(find_table("3"), runs("nmnist/tmkt", (1.0,)), "best_val", "nmnist"), "no 'best_val'"),
        (lambda: render_table(make_table(find_table("2"), []), "html"), "format must be one of"),
    ):
        with pytest.raises(RecipeError, match=words):
            call()
