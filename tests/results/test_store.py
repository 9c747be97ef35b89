"""Records from disk: which files are found, and what a file must hold."""

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.errors import TrainingError
from braincog_tmkt.results.schema import RECORD, faults
from braincog_tmkt.results.store import read_record, read_records, record_files, write_record
from tests.made_records import STUDIES, hsd, tet


def write(place, record, **changes):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps({**record, **changes}))
    return place


@pytest.fixture
def linked(tmp_path):
    """Two seeds; the folder of seed 2 is a link to another disk, and `links` holds a link to them all."""
    write(tmp_path / "runs/digits/seed1/record.json", tet(3, 1, [0.5, 0.6, 0.7]))
    write(tmp_path / "scratch/seed2/record.json", tet(3, 2, [0.5, 0.6, 0.8]))
    (tmp_path / "scratch/seed2/steps.csv").write_text(
        "steps,accuracy,loss,firing_rate,synaptic_operations\n1,0.5,1,0.1,10\n"
    )
    (tmp_path / "runs/digits/seed2").symlink_to("../../scratch/seed2")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/digits").symlink_to("../runs/digits")
    return tmp_path


def seeds(*places):
    return [record["seed"] for record in read_records(places)]


@contextmanager
def without_rights(folder):
    """A folder that this user cannot look into, whoever it is."""
    was = os.geteuid()
    folder.chmod(0)
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)
        folder.chmod(0o755)


def test_links_to_folders_are_followed_and_nothing_is_read_twice(linked):
    assert seeds(linked / "runs") == seeds(linked / "links") == [1, 2]
    assert seeds(linked) == [1, 2]
    assert seeds(linked / "runs", linked / "scratch", linked / "runs/digits/seed2/record.json") == [1, 2]
    (linked / "runs/digits/again").symlink_to("..")
    (linked / "runs/digits/seed1/one").symlink_to("../seed1")
    assert seeds(linked / "runs") == [1, 2]
    (linked / "kept").mkdir()
    (linked / "kept/seed2.json").symlink_to("../scratch/seed2/record.json")
    assert seeds(linked / "kept", linked / "runs") == [2, 1]
    assert ["by_steps" in record for record in read_records([linked / "runs"])] == [False, True]
    assert "by_steps" in read_records([linked / "kept"])[0]


@pytest.mark.parametrize("place", ["runs", "links"])
def test_the_verbs_see_what_is_behind_links(linked, place, capsys, monkeypatch):
    monkeypatch.chdir(linked)
    assert main(["table", place, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["seeds"] == 2
    assert main(["report", place]) == 0
    assert "2 finished runs" in Path("report.html").read_text()
    assert main(["figure", "timesteps", place]) == 0
    assert "2" in Path("figures/timesteps.csv").read_text().splitlines()[1].split(",")[-1]


def test_files_with_odd_names_are_seen_and_those_of_macos_are_not(tmp_path):
    write(tmp_path / "A/RECORD.JSON", tet(2, 1, [0.5, 0.6]))
    write(tmp_path / ".hidden/record.json", tet(2, 2, [0.5, 0.6]))
    write(tmp_path / "folder.json/kept.Json", tet(2, 3, [0.5, 0.6]))
    (tmp_path / "A/._record.json").write_bytes(b"\0\5\26\7")
    assert sorted(seeds(tmp_path)) == [1, 2, 3]
    assert seeds(f"{tmp_path}/.hidden/record.json/") == [2]


def test_what_cannot_be_looked_into_is_named(tmp_path):
    write(tmp_path / "seed1/record.json", tet(2, 1, [0.5, 0.6]))
    (tmp_path / "seed2").symlink_to("/not/mounted/seed2")
    with pytest.raises(TrainingError, match="seed2 is a link that leads nowhere: correct or remove it"):
        read_records([tmp_path])
    (tmp_path / "seed2").unlink()
    (tmp_path / "me").symlink_to("me")
    with pytest.raises(TrainingError, match="me is a link that leads nowhere"):
        read_records([tmp_path])


def test_a_folder_without_permission_is_one_sentence():
    with tempfile.TemporaryDirectory() as name:  # not below a folder that only its owner may enter
        place = Path(name)
        place.chmod(0o755)
        file = write(place / "seed1/record.json", tet(2, 1, [0.5, 0.6]))
        with without_rights(place / "seed1"):
            with pytest.raises(TrainingError, match=r"seed1 cannot be searched for records \(Permission denied\)"):
                record_files([place])
            with pytest.raises(TrainingError, match=r"record\.json cannot be read \(Permission denied"):
                read_record(file)
        with without_rights(file), pytest.raises(TrainingError, match=r"record\.json cannot be read \(Permission"):
            read_records([place])


TIMES_NINE = {"a": 1}
for _ in range(9):
    TIMES_NINE = {"a": TIMES_NINE}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("last.accuracy", 50.0, "a number from 0 to 1, not 50.0"),
        ("last.accuracy", True, "a number from 0 to 1, not True"),
        ("last.accuracy_by_step", [], "a list that is not empty"),
        ("last.accuracy_by_step", [0.5, "0.6"], "a number from 0 to 1, not '0.6'"),
        ("best_val", {}, ""),
        ("best_test", None, "a section with keys, not None"),
        ("seed", 1.0, "a whole number from 0 to"),
        ("seed", 2**64, "a whole number from 0 to"),
        ("seed", -1, "a whole number from 0 to"),
        ("data", None, "a section with keys"),
        ("data.leaky", 0, "true or false"),
        ("data.set", "a\nb", "a text of one line"),
        ("audit", {}, ""),
        ("recipe", [], "a section with keys, not \\[\\]"),
        ("recipe.method", "tmkt", "a section with keys"),
        ("recipe.data.steps", "10", "a whole number from 1"),
        ("recipe.method.pretraining", TIMES_NINE, "a plain value"),
        ("recipe.model.width", 10**400, "a plain value"),
        ("history", [], "a list that is not empty"),
        ("history", [{"stage": 0, "epoch": 0, "train": {"loss": None}}], "a number from"),
        ("versions", None, "a section with keys"),
        ("firing_rates", {"a": -0.1}, "a number from 0"),
        ("seconds", "12", "a number from 0"),
        ("finished", None, "a text of one line"),
        ("stages", {"ann": {}}, ""),
        ("remarks", "one", "a list, not 'one'"),
        ("format", True, None),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_key(tmp_path, key, value, words):
    record = json.loads(json.dumps(tet(2, 1, [0.5, 0.6])))
    *sections, leaf = key.split(".")
    at = record
    for section in sections:
        at = at[section]
    at[leaf] = value
    file = write(tmp_path / "record.json", record)
    expected = rf"is not a whole record: {key}\S* must be {words}" if words else rf"it lacks {key}\."
    if key == "format":
        expected = "is not a record of this version"
    with pytest.raises(TrainingError, match=expected) as caught:
        read_record(file)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read as a record"),
        (b'{"format": 1, "name', "cannot be read as a record"),
        (b"[" * 100_000, "cannot be read as a record"),
        (b'{"a":' * 100_000, "cannot be read as a record"),
        (b'{"format": 1, "seconds": NaN}', "NaN is not a number"),
        (b'{"format": 1, "seconds": -Infinity}', "-Infinity is not a number"),
        (b'{"format": 1, "seed": 1, "seed": 2}', "the key 'seed' stands in it twice"),
        (b'{"format": ' + b"9" * 5000 + b"}", "cannot be read as a record"),
        ('{"format": 1, "name": "é"}'.encode("latin-1"), "cannot be read as a record"),
        ('{"format": 1}'.encode("utf-16"), "cannot be read as a record"),
        (b"[1]", "is no record but a list"),
        (b"null", "is not a record"),
        (b'{"format": 1}', "is not a whole record, it lacks name, recipe, "),
    ],
)
def test_a_file_that_holds_no_record_is_one_sentence(tmp_path, content, words, capsys):
    (tmp_path / "record.json").write_bytes(content)
    for argv in (["table", "PLACE"], ["report", "PLACE"], ["figure", "timesteps", "PLACE"], ["eval", "PLACE"]):
        assert main([str(tmp_path) if word == "PLACE" else word for word in argv]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1


def test_a_number_beyond_all_floats_is_refused(tmp_path):
    text = json.dumps(tet(2, 1, [0.5, 0.6])).replace('"seconds": ', '"seconds": 1e999, "was": ', 1)
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(TrainingError, match=r"seconds must be a number from 0 to 1e\+100, not inf"):
        read_record(tmp_path)


def test_a_mark_that_editors_put_first_changes_nothing(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps(tet(2, 1, [0.5, 0.6])), encoding="utf-8-sig")
    assert read_record(tmp_path)["seed"] == 1


def test_the_records_of_the_repository_are_whole_and_so_are_made_ones():
    assert len(read_records([STUDIES])) >= 480
    assert [*faults(hsd(2, 1, [0.8] * 3, [0.4] * 2, [0.6] * 2), RECORD)] == []


def test_a_number_that_is_not_finite_is_named_when_a_record_is_written(tmp_path):
    record = tet(2, 1, [0.5, 0.6])
    record["last"]["loss"] = float("nan")
    with pytest.raises(TrainingError, match=r"is not written, .*: last\.loss must be a number"):
        write_record(tmp_path, record)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_kind_is_no_record_and_nobody_is_told_to_remove_it(tmp_path):
    (tmp_path / "mine.txt").write_text("method,dataset,protocol,seed,accuracy\n")
    with pytest.raises(TrainingError, match=r"mine\.txt is no record: .* ends in \.csv"):
        read_record(tmp_path / "mine.txt")
