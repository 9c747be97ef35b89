"""HSD's tables with made records in them: T of the test, parameters, and which rows can be compared."""

import pytest

from braincog_tmkt.results.paper import find_table
from braincog_tmkt.results.render import render_table
from braincog_tmkt.results.tables import make_table

from .test_tables import SEEDS, record


def runs(name, accuracies, parameters=None, **about):
    """One record a seed; after t of its T steps it is right in t points less than after T."""
    found = [record(name, seed, accuracy, **about) for seed, accuracy in zip(SEEDS, accuracies, strict=False)]
    for one in found:
        method, data = one["recipe"]["method"], one["recipe"]["data"]
        steps = method.get("steps", data["steps"])
        shares = [one["last"]["accuracy"] - 0.01 * (steps - step) for step in range(1, steps + 1)]
        one["last"]["accuracy_by_step"] = shares
        one["parameters"] = parameters
    return found


TET10, TET5 = runs("cifar10dvs/tet", (83.0, 82.0, 84.0)), runs("cifar10dvs/tet_t5", (79.0, 79.2, 79.4))
HSD5 = runs("cifar10dvs/hsd", (81.0, 81.3, 81.4), 9_268_746)


def lines_of(number, records, **settings):
    table = make_table(find_table(number), records, **settings)
    return table, {(line.paper.method, line.paper.steps): line for line in table.lines if line.recipe}


def test_hsd_is_compared_with_tet_at_the_same_t():
    table, lines = lines_of("hsd2", [*TET10, *TET5, *HSD5])
    assert lines["HSD", 5].ours.against.mean == pytest.approx((2.0 + 2.1 + 2.0) / 3)
    assert lines["TET", 10].ours.against is None
    assert [(one.better, one.worse, one.verdict) for one in table.orderings] == [("HSD", "TET", "holds")]
    assert table.orderings[0].paper == pytest.approx(81.1 - 78.8)
    assert (
        lines["HSD", 5].ours.setting
        == "cifar10dvs, real data, protocol clean, hsd_vggsnn, T 5 of 10 frames, paper tier"
    )
    assert lines["HSD", 5].ours.difference == pytest.approx(81.7 / 3 + 54 - 81.1 - 0.0, abs=1e-9)


def test_tested_with_fewer_steps_is_a_row_of_the_same_runs():
    table, lines = lines_of("hsd-figure1", [*TET10, *TET5])
    assert lines["TET, DTS", 5].ours.accuracy == pytest.approx({42: 78.0, 1024: 77.0, 90210: 79.0})
    assert lines["TET, STS", 10].ours.mean == pytest.approx(83.0)
    assert lines["TET, DTS", 5].ours.setting.count("T 10, tested with the first 5") == 1
    assert lines["TET, DTS", 5].ours.against.mean == pytest.approx((-1.0 - 2.2 - 0.4) / 3)
    assert [(one.better, one.worse) for one in table.orderings] == [("TET, STS", "TET, DTS")]
    assert lines["TET, DTS", 5].ours.difference == pytest.approx(78 - 77.6)


def test_runs_of_too_few_steps_are_no_row_for_more():
    _, lines = lines_of("hsd-figure1", runs("cifar10dvs/tet", (30.0,), overrides=["data.steps=4"]))
    assert (lines["TET, STS", 10].status, lines["TET, DTS", 5].status) == ("measured", "too few steps")


def test_rows_of_different_t_are_not_compared_where_a_short_tier_makes_their_runs_alike():
    short = [*runs("cifar10dvs/tet", (30.0, 31.0), overrides=["data.steps=3"])]
    short += runs("cifar10dvs/tet_t5", (20.0, 21.5), overrides=["data.steps=3"])
    table, lines = lines_of("hsd2", short)
    assert lines["TET", 10].ours.conditions == lines["TET", 5].ours.conditions
    assert (table.orderings, lines["TET", 10].ours.against) == ((), None)


def test_a_shortened_hsd_is_not_compared_with_a_full_tet():
    short = runs("cifar10dvs/hsd", (81.0, 82.0), 9_000_000, overrides=["stages.ann.train.epochs=3"])
    table, lines = lines_of("hsd2", [*TET5, *short])
    assert "stages.ann.train.epochs=3" in lines["HSD", 5].ours.setting
    assert (table.orderings, lines["HSD", 5].ours.difference, lines["HSD", 5].ours.parameters) == ((), None, None)


def test_parameters_of_the_paper_and_of_the_real_network_are_both_there():
    shown = render_table(make_table(find_table("hsd2"), HSD5))
    row = next(line.split() for line in shown.splitlines() if line.startswith("HSD"))
    assert row[4:8] == ["5", "9.3", "9.27", "81.10"]
    nda = next(line for line in shown.splitlines() if line.startswith("NDA"))
    assert "132.9" in nda
    assert "174 in the stored text" in shown
    other = runs("cifar10dvs/hsd", (81.0,), 9_990_000)
    assert "9.99" in render_table(make_table(find_table("hsd2"), other))
    assert "9.99" not in render_table(
        make_table(find_table("hsd2"), runs("cifar10dvs/hsd", (81.0,), 9_990_000, tier="smoke"))
    )


def test_static_images_have_one_table_for_two_t():
    records = [*runs("cifar10/tet", (94.0, 94.1)), *runs("cifar10/hsd", (94.6, 94.8)), *runs("cifar10/hsd_t1", (93.0,))]
    table, lines = lines_of("hsd1", records)
    assert [(one.better, one.worse) for one in table.orderings] == [("HSD", "TET")]
    assert lines["HSD", 4].ours.against.mean == pytest.approx(0.65)
    assert lines["HSD", 1].ours.against is None
