"""docs/how-to/your-recordings.md, from its first command to its last."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from braincog_tmkt.cli import main
from braincog_tmkt.data.sets import build_dataset
from tests.children import run

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "how-to" / "your-recordings.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [shlex.split(text) for language, text in BLOCKS if language == "bash"]
TOLD = {"csv": {"time_unit": "ms"}, "aedat": {"turn": ["transpose"]}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the document is followed, with the folder that its script makes."""
    place = tmp_path_factory.mktemp("followed")
    script = ROOT / "docs" / "examples" / "mixed_folder.py"
    assert COMMANDS[0] == ["python", script.relative_to(ROOT).as_posix(), "mine"]
    names: dict = {"__name__": "mixed_folder"}
    exec(compile(script.read_text(), str(script), "exec"), names)
    names["main"](place / "mine")
    (place / "experiments").symlink_to(ROOT / "experiments")
    (place / "mine.yaml").write_text(next(text for language, text in BLOCKS if language == "yaml"))
    return place


def without_numbers(text: str) -> list[str]:
    return [re.sub(r"[\d.,]*\d", "#", " ".join(line.split())) for line in text.splitlines() if "---" not in line]


def test_the_commands_give_what_the_document_says(folder: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    first, second, third, audit = COMMANDS[1:5]
    assert main(first[1:]) == 1  # the text files are refused
    printed = without_numbers(capsys.readouterr().out)
    shown = without_numbers(next(text for language, text in BLOCKS if "a folder of your own pairs" in text))
    assert [line for line in shown if line not in printed] == []
    assert main(second[1:]) == 0
    assert re.search(r"text \(\.csv\) +6 +6 ", capsys.readouterr().out)
    assert main(third[1:]) == 0
    assert main(audit[1:]) == 0
    with Image.open(folder / "sheet.png") as sheet:
        assert np.asarray(sheet).std() > 0


def test_turned_and_read_as_said_all_formats_show_the_digits_recordings(folder: Path) -> None:
    mine, digits = build_dataset("folder", folder / "mine", formats=TOLD), build_dataset("digits", ".")
    originals: dict[str, list] = {}
    for item in digits.index().recordings:
        originals.setdefault(item.class_name, []).append(item)
    items = mine.index().recordings
    assert len(items) == 24
    for item in items:
        number = int(item.file.stem.removeprefix("take"))
        np.testing.assert_array_equal(mine.events(item), digits.events(originals[item.class_name][number]), item.key)


def test_its_recipe_trains(folder: Path) -> None:
    words = COMMANDS[5]
    done = run(main, [*words[1:], "--threads", "1"], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "columns without names are taken as" in done.stdout + done.stderr
