"""Every block of docs/how-to/extend.md runs."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from braincog_tmkt.cli import main
from tests.children import execute, run

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "how-to" / "extend.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
FILES = {found[1]: text for _, text in BLOCKS if (found := re.match(r"# (\w+\.\w+)\n", text))}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def record_of(folder, recipe):
    (file,) = (folder / "runs" / folder.name / recipe).glob("*/*/record.json")
    return json.loads(file.read_text())


def test_parts_of_ones_own_train_from_the_command_line(folder):
    *commands, drawing = [text.split() for language, text in BLOCKS if language == "bash"]
    assert [words[:2] for words in commands] == [["tmkt", "train"]] * 3
    recipes = [words[2] for words in commands]
    done = run(main, ["train", *recipes, "--threads", "1"], cwd=folder)
    assert done.returncode == 0, done.stderr
    mine = record_of(folder, "my_recipe")
    assert mine["recipe"]["method"] == {"name": "mean_membrane", "weight": 0.5}
    assert set(mine["history"][0]["train"]) == {"loss", "classes", "distance"}
    assert record_of(folder, "all_mine")["recipe"]["model"]["fatigue"] == 0.05
    assert list(record_of(folder, "my_stages")["stages"]) == ["teacher", "student"]
    done = run(main, drawing[1:], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "figures" / "accuracies.png").is_file()
    assert len((folder / "figures" / "accuracies.csv").read_text().splitlines()) == 1 + 3


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


def test_a_file_format_of_ones_own_is_trained_on(folder):
    rng = np.random.default_rng(0)
    for number in range(8):
        rows = np.column_stack([*rng.integers(0, (32, 24, 2), (400, 3)).T, np.sort(rng.integers(0, 300_000, 400))])
        path = folder / "mine" / "events" / "ab"[number % 2] / f"{number}.mine"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows.astype("<u4").tofile(path)
    recipe = f"extends: {ROOT}/experiments/folder/baseline.yaml\nimports: [my_format]\ndata: {{root: mine, size: 16}}\n"
    (folder / "mine.yaml").write_text(recipe)
    done = run(main, ["train", "mine.yaml", "--tier", "smoke", "--threads", "1"], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert record_of(folder, "mine")["data"]["train"] == 4


@pytest.mark.parametrize("code", [text for language, text in BLOCKS if language == "python" and text[0] != "#"])
def test_blocks_without_a_file_run_by_themselves(code):
    done = run(execute, code)
    assert done.returncode == 0, done.stderr


def test_files_named_in_the_document_exist():
    named = re.findall(r"`(braincog_tmkt/[\w/]+\.py)`", DOCUMENT.read_text())
    assert named
    assert not [path for path in named if not (ROOT / path).is_file()]
