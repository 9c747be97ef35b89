"""Classes that nobody trains on or tests: named at the start, in the record, at the end; one class alone is refused."""

import shutil
from pathlib import Path

import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.results.notes import notes_of
from braincog_tmkt.results.store import read_records

from .test_changed_data import SETTINGS, make_data

SHORT = (*SETTINGS, "train.epochs=1", "train.eval_every=1", "train.seeds=[1]")


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_data(tmp_path / "data")


def add_class(place: Path, name: str, count: int) -> None:
    """Copies of the first recordings and images of class a."""
    for part in ("events", "static"):
        (place / part / name).mkdir()
        for file in sorted((place / part / "a").iterdir())[:count]:
            shutil.copy(file, place / part / name)


@pytest.mark.parametrize(
    ("portion", "what", "kind", "words"),
    [("0.8", "test", "untested", "was tested"), ("0.25", "training", "untrained", "was trained on")],
)
def test_a_class_of_one_recording_is_named_everywhere(place, capsys, portion, what, kind, words):
    add_class(place, "rare", 1)
    assert main(["train", "folder/baseline", *SHORT, f"data.train_portion={portion}"]) == 0
    said = capsys.readouterr().out
    assert f"NO {what} recordings of class 'rare'" in said
    (record,) = read_records([place.parent / "runs"])
    assert record["audit"][f"classes_without_{what}"] == ["rare"]
    assert f"no recording of class 'rare' {words}" in notes_of(record)[kind]
    assert notes_of(record)[kind] in said


def test_the_audit_names_it_and_fails(place, capsys):
    assert main(["data", "audit", "folder", "--root", "data"]) == 0
    add_class(place, "rare", 1)
    capsys.readouterr()
    assert main(["data", "audit", "folder", "--root", "data"]) == 1
    said = capsys.readouterr().out
    assert "NO test recordings of class 'rare'" in said
    assert "PARTIAL" in said


def test_one_class_alone_is_refused_before_frames_are_made(place, capsys):
    for part in ("events", "static"):
        shutil.rmtree(place / part / "b")
    assert main(["train", "folder/baseline", *SHORT]) == 2
    assert "All training recordings are of one class" in capsys.readouterr().err
    add_class(place, "rare", 1)
    assert main(["train", "folder/baseline", *SHORT]) == 2
    assert "All test recordings are of one class" in capsys.readouterr().err
    assert not (place.parent / "cache").exists()
    assert not (place.parent / "runs").exists()
