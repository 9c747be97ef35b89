"""The code in docs/extending.md runs, from the method in 20 lines to its record."""

import json
import re
from pathlib import Path

import pytest

from braincog_tmkt.cli import main
from tests.children import execute, run

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "extending.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def test_a_method_of_ones_own_trains_from_the_command_line(tmp_path):
    (_, method), (_, recipe), (_, command) = BLOCKS[:3]
    (tmp_path / "my_method.py").write_text(method)
    (tmp_path / "my_recipe.yaml").write_text(recipe)
    words = command.split()
    assert words[0] == "tmkt"
    smaller = ["train.batch=60", "data.steps=2", "--threads", "1"]
    done = run(main, [*words[1:], *smaller], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("runs/**/record.json")
    record = json.loads(file.read_text())
    assert record["recipe"]["method"] == {"name": "mean_membrane", "weight": 0.5}
    assert set(record["history"][0]["train"]) == {"loss", "classes", "distance"}


def test_a_table_of_ones_own_is_printed(tmp_path, monkeypatch, capsys):
    table = next(text for language, text in BLOCKS if language == "yaml" and "tables:" in text)
    (tmp_path / "experiments" / "paper").mkdir(parents=True)
    (tmp_path / "experiments" / "paper" / "mine.yaml").write_text(table)
    monkeypatch.chdir(tmp_path)
    smaller = ["data.train_per_class=4", "train.batch=16", "data.steps=2"]
    assert main(["table", "mine", "--tier", "smoke", "--seeds", "1", "2", *smaller]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("TET ", "TMKT "))]
    assert [row[:3] for row in rows[:2]] == [["TET", "SCNN", "6"], ["TMKT", "SCNN", "6"]]
    assert rows[0][3] == "75.00"


def test_the_brain_cog_block_runs():
    code = next(text for language, text in BLOCKS[3:] if language == "python")
    done = run(execute, code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", re.findall(r"`(braincog_tmkt/[\w/]+\.py)`", DOCUMENT.read_text()))
def test_files_named_in_the_document_exist(path):
    assert (DOCUMENT.parents[1] / path).is_file()
