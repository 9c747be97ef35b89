"""Files of records: what a line keeps of a run, and what becomes of a damaged line."""

import copy
import json
import re

import pytest

from braincog_tmkt.errors import RecipeError, TrainingError
from braincog_tmkt.results.pack import as_line, main, pack
from braincog_tmkt.results.store import read_records
from tests.made_records import STUDIES, hsd, tet

STAGES = [0.8] * 3, [0.4] * 2, [0.61, 0.65]
CSV = "steps,accuracy,loss,firing_rate,synaptic_operations\n1,0.5,1.5,0.02,100\n"


def run(place, record):
    place.mkdir(parents=True, exist_ok=True)
    (place / "record.json").write_text(json.dumps(record))
    return place


def test_a_file_of_lines_reads_as_the_run_folders_do(tmp_path):
    records = [hsd(2, 2, *STAGES), hsd(2, 1, *STAGES), tet(5, 1, [0.1, 0.2, 0.3, 0.4, 0.5])]
    for number, record in enumerate(records):
        record["recipe"]["data"] |= {"root": "/data/mine", "static_root": None, "cache": "/scratch/cache"}
        run(tmp_path / f"runs/{number}", record)
    (tmp_path / "runs/0/steps.csv").write_text(CSV)
    assert pack([tmp_path / "runs"], tmp_path / "records.jsonl") == 3
    assert "/data/mine" not in (tmp_path / "records.jsonl").read_text()
    found = read_records([tmp_path])[:3]
    read = read_records([tmp_path / "records.jsonl"])
    assert [(one["name"], one["seed"]) for one in read] == [("nmnist/hsd", 1), ("nmnist/hsd", 2), ("nmnist/tet", 1)]
    assert read[1]["by_steps"][0]["synaptic_operations"] == 100
    assert read[1]["stages"]["ann"]["shared"] == "ann.pt"
    for one in found:
        (same,) = [other for other in read if (other["name"], other["seed"]) == (one["name"], one["seed"])]
        for key in ("last", "best_test", "firing_rates", "synaptic_operations", "recipe_hash", "data"):
            assert same[key] == one[key]
        kept = [{key: entry[key] for key in entry if key not in ("lr", "seconds")} for entry in one["history"]]
        assert [
            {**entry, "train": pytest.approx(entry["train"], abs=5e-5)} if "train" in entry else entry for entry in kept
        ] == same["history"]


def test_a_run_that_is_there_already_is_replaced_and_others_stay(tmp_path, capsys):
    file = tmp_path / "records.jsonl"
    pack([run(tmp_path / "a", tet(2, 1, [0.5, 0.6])), run(tmp_path / "b", tet(2, 2, [0.5, 0.7]))], file)
    before = file.read_text().splitlines()
    main([str(run(tmp_path / "c", tet(2, 1, [0.5, 0.9]))), "--into", str(file)])
    assert capsys.readouterr().out == f"{file}: 2 runs\n"
    after = file.read_text().splitlines()
    assert (after[1], after[0] == before[0]) == (before[1], False)
    assert [one["last"]["accuracy"] for one in read_records([file])] == [0.9, 0.7]


def test_runs_of_one_recipe_on_other_data_are_other_runs(tmp_path):
    places = [
        run(tmp_path / kind / split, tet(2, 1, [0.5, share], kind=kind, split=split))
        for kind, split, share in (("real", "ab", 0.6), ("simulated", "ab", 0.7), ("real", "cd", 0.8))
    ]
    assert pack(places, tmp_path / "records.jsonl") == 3
    assert {one["last"]["accuracy"] for one in read_records([tmp_path / "records.jsonl"])} == {0.6, 0.7, 0.8}


def test_one_run_with_two_results_is_refused(tmp_path, capsys):
    places = [run(tmp_path / name, tet(2, 1, [0.5, share])) for name, share in (("a", 0.6), ("b", 0.7))]
    file = tmp_path / "records.jsonl"
    with pytest.raises(RecipeError, match="nmnist/tet seed 1 is there twice, with different results"):
        pack(places, file)
    for wrong in (places, [tmp_path / "nowhere"]):
        with pytest.raises(SystemExit, match="2"):
            main([*map(str, wrong), "--into", str(file)])
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert said.count("\n") == 1
    assert not file.exists()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (None, '{"format": 2, "na', "line 2, cannot be read as a record"),
        (None, '{"format": 1}', "line 2, is not a record of this version (format 2)"),
        (
            "history",
            [{"stage": 0, "train": [1.0], "test": [[0, 0.5]]}],
            "history[0].test[0] must be [epoch, accuracy, loss]",
        ),
        ("seed", -1, "line 2, is not a whole record: seed must be"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, key, value, words):
    good = as_line(copy.deepcopy(tet(2, 1, [0.5, 0.6])))
    line = value if key is None else json.dumps(good | {key: value})
    file = tmp_path / "records.jsonl"
    file.write_text(json.dumps(good) + "\n" + line + "\n")
    with pytest.raises(TrainingError, match=re.escape(words)) as caught:
        read_records([tmp_path])
    assert str(file) in str(caught.value)
    file.write_text("\n")
    with pytest.raises(TrainingError, match="holds no records"):
        read_records([tmp_path])


def test_the_studies_name_no_folder_of_a_machine_and_are_sorted():
    files = sorted(STUDIES.rglob("records.jsonl"))
    assert len(files) >= 7
    for file in files:
        text = file.read_text()
        assert not re.search(r'"(/|~|[A-Za-z]:\\\\)|/(root|home|work|tmp|Users|mnt)/', text), file
        keys = [(one["name"], one["recipe_hash"], one["seed"]) for one in map(json.loads, text.splitlines())]
        assert keys == sorted(set(keys)), file
