"""Records from files, with what `tmkt eval --steps` left beside them, and the verb that draws them."""

import json

import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.errors import TrainingError
from braincog_tmkt.figures.records import group_seeds
from braincog_tmkt.results.store import read_records
from tests.made_records import hsd, tet

STEPS = "steps,accuracy,loss,firing_rate,synaptic_operations\n1,0.5,1.5,0.02,100\n2,0.75,1.25,0.03,200.5\n"


@pytest.fixture
def folder(tmp_path):
    """A run folder, and a kept record of other settings, each with the measurements of its steps."""
    (tmp_path / "runs/seed1").mkdir(parents=True)
    (tmp_path / "runs/seed1/record.json").write_text(json.dumps(tet(5, 1, [0.5] * 5)))
    (tmp_path / "runs/seed1/steps.csv").write_text(STEPS)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/hsd_seed1.json").write_text(json.dumps(hsd(2, 1, [0.8] * 3, [0.4] * 2, [0.6] * 2)))
    (tmp_path / "kept/hsd_seed1.steps.csv").write_text(STEPS)
    return tmp_path


def test_measurements_beside_records_come_with_them(folder):
    for place in ("runs", "runs/seed1", "runs/seed1/record.json", "kept", "kept/hsd_seed1.json"):
        (record,) = read_records([folder / place])
        assert record["by_steps"][1]["synaptic_operations"] == 200.5
    (folder / "runs/seed1/steps.csv").unlink()
    assert ["by_steps" in record for record in read_records([folder / "runs", folder / "kept"])] == [False, True]
    (folder / "kept/hsd_seed1.steps.csv").write_text("steps,accuracy\n1,high\n")
    with pytest.raises(TrainingError, match=r"hsd_seed1\.steps\.csv cannot be read"):
        read_records([folder / "kept"])
    (folder / "empty").mkdir()
    with pytest.raises(TrainingError, match="empty holds no records"):
        read_records([folder / "empty"])


def test_the_verb_draws_records_without_data_or_checkpoints(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["figure", "timesteps", "runs", "kept", "--out", "shown"]) == 0
    assert capsys.readouterr().out.split() == ["shown/timesteps.png", "shown/timesteps.csv"]
    assert "HSD" in (folder / "shown/timesteps.csv").read_text()
    assert main(["figure", "timesteps", "runs", "kept", "method.name=baseline", "--out", "shown"]) == 0
    assert "HSD" not in (folder / "shown/timesteps.csv").read_text()
    for words, argv in (
        ("no record has data.steps=7: choose one that there is, data.steps=5", ["data.steps=7"]),
        ("takes no 'selekt'", ["selekt=last"]),
    ):
        assert main(["figure", "timesteps", "runs", *argv]) == 2
        assert words in capsys.readouterr().err


def test_seeds_are_one_group_and_other_settings_another():
    records = [tet(10, 1, [0.5] * 10), tet(10, 2, [0.5] * 10), tet(5, 1, [0.5] * 5)]
    records[1]["recipe"]["data"]["root"] = "/elsewhere"
    assert [(one.title, len(one.records)) for one in group_seeds(records)] == [
        ("TET, steps 5", 1),
        ("TET, steps 10", 2),
    ]
    assert [len(one.records) for one in group_seeds(records, ["data.steps"])] == [3]
