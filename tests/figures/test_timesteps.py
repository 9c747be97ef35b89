"""Figure 1: the lines and their numbers, worked out from made records by hand."""

import numpy as np
import pytest
from PIL import Image

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.figures.timesteps import timesteps
from tests.figures import rows_of
from tests.made_records import hsd, tet

TEN = {seed: [0.30 + 0.05 * step + 0.01 * seed for step in range(10)] for seed in (1, 2, 3)}
FIVE = {1: [0.1, 0.2, 0.3, 0.4, 0.61], 2: [0.1, 0.2, 0.3, 0.4, 0.64]}
TET = [
    *(tet(10, seed, shares) for seed, shares in TEN.items()),
    *(tet(5, seed, shares) for seed, shares in FIVE.items()),
]
ANN, CONVERTED = {1: [0.7, 0.8, 0.9], 2: [0.72, 0.82, 0.92]}, {1: [0.3, 0.4], 2: [0.32, 0.46]}


def drawn(records, folder, **settings):
    """(data, line without n, what is measured) -> {T: (mean, std, n)}."""
    picture, table = timesteps(records, folder, **settings)
    assert np.asarray(Image.open(picture).convert("L")).std() > 5
    found = {}
    for row in rows_of(table):
        line = found.setdefault((row["data"], row["line"], row["measured"]), {})
        line[int(row["T"])] = float(row["mean"]), float(row["std"]), int(row["seeds"])
    return found


def accuracies(records, folder, **settings):
    return {line: points for (_, line, row), points in drawn(records, folder, **settings).items() if row == "accuracy"}


def test_sts_are_the_end_points_and_dts_the_first_steps_of_the_longest(tmp_path):
    lines = accuracies(TET, tmp_path)
    sts = lines.pop("TET: trained and tested with T steps (STS)")
    dts = lines.pop("TET: trained with 10, tested with T (DTS)")
    assert lines == {}
    assert sts[5] == pytest.approx((62.5, np.std([61, 64], ddof=1), 2))
    assert sts[10] == dts[10] == pytest.approx((77, 1, 3))
    assert sts.keys() == {5, 10}
    assert [dts[step][0] for step in range(1, 11)] == pytest.approx(100 * np.mean(list(TEN.values()), 0))


def distilled(kind, steps, seed, share):
    return hsd(steps, seed, ANN[seed], CONVERTED[seed][:steps], [0.5] * (steps - 1) + [share], distillation=kind)


def test_hsd_has_a_line_after_each_stage_and_one_for_each_distillation(tmp_path):
    records = [
        distilled(kind, steps, seed, 0.8 + 0.01 * steps)
        for kind in ("kd", "skd")
        for steps in (1, 2)
        for seed in (1, 2)
    ]
    lines = accuracies(records, tmp_path)
    assert [f"{name}: {words}" for name, words in (line.split(": ") for line in lines)] == [
        "HSD: ANN",
        "HSD: converted",
        "HSD, KD: trained and tested with T steps (STS)",
        "HSD, KD: trained with 2, tested with T (DTS)",
        "HSD, SKD: trained and tested with T steps (STS)",
        "HSD, SKD: trained with 2, tested with T (DTS)",
    ]
    ann, converted, sts, dts, *_ = lines.values()
    assert ann == {step: pytest.approx((mean, np.sqrt(2), 2)) for step, mean in ((1, 71), (2, 81), (3, 91))}
    assert [converted[step][::2] for step in converted] == [(pytest.approx(31), 2), (pytest.approx(43), 2)]
    assert [sts[1][0], sts[2][0], dts[1][0]] == pytest.approx([81, 82, 50])


def test_different_anns_are_different_lines(tmp_path):
    records = [distilled("skd", 2, 1, 0.8), hsd(2, 1, [0.6, 0.65], [0.2, 0.3], [0.5, 0.7], distillation="skd")]
    records[1]["recipe"]["model"]["levels"] = 8
    names = [line for line in accuracies(records, tmp_path) if line.endswith(": ANN")]
    assert len(names) == 2
    assert "levels 8" in names[1]


def test_the_default_of_a_method_is_no_difference(tmp_path):
    records = [tet(5, 1, FIVE[1]), tet(5, 2, FIVE[2])]
    records[1]["recipe"]["method"]["tet"] = True
    (line,) = accuracies(records, tmp_path).values()
    assert line[5][2] == 2


def test_what_eval_measured_beside_the_records_is_drawn_below_and_beyond_t(tmp_path):
    records = [distilled("skd", 2, seed, 0.8) for seed in (1, 2)]
    for record in records:
        measured = {"accuracy": 0.6, "loss": 1.0, "firing_rate": 0.05, "synaptic_operations": 9.0}
        record["by_steps"] = [{"steps": float(step), **measured} for step in (1, 2, 8)]
    found = {(line, row): points for (_, line, row), points in drawn(records, tmp_path).items()}
    name = "HSD: trained with 2, tested with T (DTS)"
    assert found[name, "accuracy"][8] == pytest.approx((60, 0, 2))
    assert found[name, "firing_rate"][8] == pytest.approx((5, 0, 2))
    assert found[name, "synaptic_operations"].keys() == {1, 2, 8}


def test_a_conversion_is_one_line_over_what_eval_measured_and_its_ann_a_level(tmp_path):
    record = hsd(8, 1, [0.7], [0.3] * 8, [0.5])
    del record["stages"]["distil"]
    record["recipe"]["method"] = {"name": "conversion", "steps": 8}
    record["history"] = record["history"][:2]
    measured = {"loss": 1.0, "firing_rate": 0.05, "synaptic_operations": 9.0}
    record["by_steps"] = [
        {"steps": float(2**power), "accuracy": 0.1 * power, "energy": 5e6 * power, **measured} for power in range(8)
    ]
    found = {(line, row): points for (_, line, row), points in drawn([record], tmp_path).items()}
    name = "QCFS: converted, tested with T steps"
    assert {line for line, _ in found} == {"QCFS: ANN", name}
    assert found[name, "accuracy"].keys() == {1, 2, 4, 8, 16, 32, 64, 128}
    assert found[name, "energy"][128][0] == pytest.approx(35e-6)
    assert found["QCFS: ANN", "accuracy"] == {1: (70, 0, 1)}


def test_each_data_set_is_a_column(tmp_path):
    records = [*TET, *(tet(5, seed, [0.2] * 5, set="dvsgesture", kind="simulated", split="77") for seed in (1, 2))]
    assert {data for data, _, _ in drawn(records, tmp_path)} == {
        "nmnist (real data), split 'clean'",
        "dvsgesture (simulated data), split 'clean'",
    }
    one = Image.open(timesteps(TET, tmp_path)[0]).width
    assert Image.open(timesteps(records, tmp_path)[0]).width > one


def test_the_selected_epoch_is_the_one_asked_for(tmp_path):
    sts = accuracies(TET, tmp_path, select="best_test")["TET: trained and tested with T steps (STS)"]
    assert sts[10][0] == pytest.approx(78)


def test_what_cannot_be_drawn_is_one_sentence(tmp_path):
    for wrong, settings, words in (
        ([], {}, "no record is left"),
        (TET, {"select": "best"}, "select must be"),
        ([tet(5, 1, [0.1] * 5), tet(5, 1, [0.2] * 5)], {}, "nmnist/tet seed 1 is there twice"),
    ):
        with pytest.raises(RecipeError, match=words):
            timesteps(wrong, tmp_path, **settings)
    assert list(tmp_path.iterdir()) == []
