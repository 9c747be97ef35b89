"""What a terminal gets and a pipe does not: colour, width, bars; and the help, whose examples run."""

import argparse
import fcntl
import glob
import io
import os
import pty
import re
import shlex
import struct
import sys
import termios
import threading
from pathlib import Path

import pytest

import braincog_tmkt.progress as bars
from braincog_tmkt.cli import main
from braincog_tmkt.cli.parser import make_parser, parse, setting_names
from braincog_tmkt.cli.texts import TEXTS
from braincog_tmkt.data.sets import DATASETS
from braincog_tmkt.figures import FIGURES
from braincog_tmkt.models.pretrained import read_index
from braincog_tmkt.progress import counting, make_bar, progress
from braincog_tmkt.recipe import load_recipe, parse_override
from braincog_tmkt.recipe.files import find_recipe
from braincog_tmkt.results.paper import paper_tables
from braincog_tmkt.terminal import in_columns, labelled, painted, table, wrapped
from docs.generate.command_line import page
from tests.children import run
from tests.test_cli_fuzz import commands

SMALL = ["--tier", "smoke", "--threads", "1", "data.size=16", "--seeds", "42"]
PATHS = ["", "data", *(" ".join(path) for path, _ in commands())]
EXAMPLES = [(path, line) for path in PATHS for line, _ in TEXTS[path].examples]
RECIPE_OF_YOURS = "extends: {}\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a finished run of digits/tmkt in runs/, and a recipe of one's own."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "my_recipe.yaml").write_text(RECIPE_OF_YOURS.format(find_recipe("digits/tmkt").resolve()))
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        assert main(["train", "digits/tmkt", *SMALL, "train.epochs=2"]) == 0
    return folder


def test_a_log_file_gets_whole_lines_and_only_if_it_takes_long(monkeypatch, capsys):
    assert list(progress([1, 2, 3], "map", "point")) == [1, 2, 3]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(bars, "SECONDS", 0.0)
    monkeypatch.setattr(bars, "SHARE", 0.0)
    assert list(progress([2, 3], "map", "point", 3, 1)) == [2, 3]
    with counting(None, "files", "file") as count:
        count(5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 4
    assert all(re.match("(map|files): ", line) and "\r" not in line for line in lines)
    assert re.fullmatch(r"map: 3/3 points \(100 %\), .*point/s, 00:00 left", lines[-3])
    assert re.fullmatch(r"files: 5 files, .*file/s", lines[-1])


def test_the_lines_of_a_long_computation_become_fewer(monkeypatch, capsys):
    monkeypatch.setattr(bars, "SECONDS", 0.0)
    with make_bar(1000, "map", "point") as bar:
        bar.start_t -= 7200
        bar.update()
        assert bar.mininterval == pytest.approx(0.02 * 7200, rel=0.01)
        bar.update()
    assert capsys.readouterr().err.count("map: 2/1000") == 0


def test_a_terminal_gets_a_bar_that_moves(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with counting(2, "map", "point") as count:
        count()
        count()
    assert "\rmap:   0%" in sys.stderr.getvalue()


def in_a_terminal(columns, argv):
    """Run a command whose output is a terminal of so many columns, and pass on what it prints."""
    os.environ.pop("COLUMNS", None)
    shown, (main_side, side) = os.dup(1), pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    for number in (1, 2):
        os.dup2(side, number)
    os.close(side)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))

    def copy():
        try:
            while piece := os.read(main_side, 1 << 16):
                os.write(shown, piece)
        except OSError:  # all other ends are closed
            pass

    reader = threading.Thread(target=copy)
    reader.start()
    status = main(argv)
    sys.stdout.flush(), sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    reader.join(30)
    return status


def in_a_pipe(argv):
    """Run a command whose progress comes without waiting for half a minute."""
    bars.SECONDS = bars.SHARE = 0.0
    return main(argv)


TRAIN = ["train", "digits/tmkt", *SMALL, "--runs", "other", "data.cache=other"]


def test_training_into_a_pipe_prints_whole_lines_and_says_what_where_and_what_next(place):
    done = run(in_a_pipe, TRAIN, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stdout + done.stderr
    assert "\033" not in done.stdout + done.stderr
    assert re.search(r"^frames of digits: \d+/2397 items \(\d+ %\), .*item/s, .* left$", done.stderr, re.MULTILINE)
    assert re.search(r"^seed 42: 2/2 steps .*, epoch 1, loss \d", done.stderr, re.MULTILINE)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("digits/tmkt (")
    labels = [line[2:].split("  ")[0] for line in lines if line.startswith("  ")]
    assert labels[:7] == ["data", "split", "network", "method", "training", "device", "results in"]
    for words in ("(embedded data)", "40 training", " parameters", "1 epoch of 2 steps", "32-true", "Ctrl-C"):
        assert words in done.stdout
    (record,) = (place / "other").rglob("record.json")
    assert str(record.relative_to(place)) in done.stdout
    assert lines[-3] == "Next:"
    advice = [line.partition("#")[0].split()[1:] for line in lines[-2:]]
    assert [words[0] for words in advice] == ["table", "eval"]


@pytest.mark.parametrize("columns", [60])
def test_training_in_a_terminal_shows_a_bar_and_lines_that_fit(place, columns):
    argv = ["train", "digits/tmkt", *SMALL, "--runs", f"other{columns}"]
    done = run(in_a_terminal, columns, argv, cwd=place)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\rseed 42: +\d+%", done.stdout)
    plain = re.sub(r"\033\[\d*m|\033\[A", "", done.stdout)
    lines = re.split(r"[\r\n]+", plain)
    assert not [line for line in lines if len(line) > columns and "record: " not in line and "  tmkt " not in line]
    assert any(line.startswith("epoch 1/1  lr 0.002  loss ") for line in lines)


def test_colour_obeys_no_color_and_force_color(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    red, plain, terminal, pipe = "\033[31mx\033[0m", "x", Terminal(), io.StringIO()
    assert (painted("x", "red", terminal), painted("x", "red", pipe)) == (red, plain)
    monkeypatch.setenv("TERM", "dumb")
    assert painted("x", "red", terminal) == plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert painted("x", "red", terminal) == painted("x", "red", pipe) == red
    monkeypatch.setenv("NO_COLOR", "1")
    assert painted("x", "red", terminal) == painted("x", "red", pipe) == plain
    monkeypatch.setenv("NO_COLOR", "")  # as if it was not set
    assert painted("x", "red", pipe) == red


def test_an_error_is_red_on_a_terminal_alone(monkeypatch, capsys):
    assert main(["data", "check", "digit"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown data set 'digit'")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["data", "check", "digit"]) == 2
    assert capsys.readouterr().err.startswith("\033[31merror:\033[0m unknown")


@pytest.mark.parametrize("columns", [None, 30, 60, 80, 120, 200])
def test_tables_and_prose_fit_the_terminal_and_lose_nothing(columns, monkeypatch):
    monkeypatch.setattr("braincog_tmkt.terminal.width", lambda: columns)
    rows = [
        {
            "method": "Knowledge-Transfer [8]",
            "network": "tmkt_vggsnn",
            "accuracy %": "51.50 ± 0.71",
            "note": "real data",
        },
        {
            "method": "TET",
            "network": "tet_vggsnn",
            "accuracy %": "49.00 ± 1.00",
            "note": "simulated data, 6 time steps",
        },
    ]
    sentence = "a path such as runs/digits/tmkt/30030d1b/seed42/record.json is never broken, nor is 2024-01-02."
    shown = table(rows), wrapped(sentence), labelled([("data", sentence), ("", "x"), ("device", "CPU")])
    if columns:
        longest = max(map(len, sentence.split()))
        assert max(map(len, shown[0].splitlines())) <= columns
        assert max(map(len, shown[1].splitlines())) <= max(columns, 4 + longest)
        assert max(map(len, shown[2].splitlines())) <= max(columns, 10 + longest)
    else:
        assert shown[1] == sentence
        assert [len(text.splitlines()) for text in shown] == [4, 1, 3]
    for text in (shown[1], shown[2]):
        assert " ".join(sentence.split()) in " ".join(text.split())
    for cell in (cell for row in rows for cell in row.values()):
        words = cell.split() if columns != 60 else re.split(r"\s|(?<=e-)", cell)
        assert all(word in shown[0] for word in words)


def test_names_are_listed_in_columns_on_a_terminal_alone(monkeypatch, capsys):
    names = [f"set/recipe{number:02}" for number in range(10)]
    monkeypatch.setattr("braincog_tmkt.terminal.width", lambda: None)
    assert in_columns(names).splitlines() == [f"  {name}" for name in names]
    monkeypatch.setattr("braincog_tmkt.terminal.width", lambda: 60)
    lines = in_columns(names).splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["set/recipe00", "set/recipe03", "set/recipe06", "set/recipe09"]
    assert sorted(name for line in lines for name in line.split()) == names


def test_every_command_has_a_help_with_examples_and_explains_its_arguments(capsys):
    for path, parser in commands():
        text = TEXTS[" ".join(path)]
        assert 2 <= len(text.examples) <= 5
        assert all(action.help for action in parser._actions), path
        with pytest.raises(SystemExit) as stop:
            main([*path, "--help"])
        shown = capsys.readouterr().out
        assert stop.value.code == 0
        assert " ".join(text.about.split()) in " ".join(shown.split())
        for line, what in text.examples:
            assert f"  {line}\n      {what}" in shown
    for group in ([], ["data"]):
        assert main(group) == 0
        assert "examples:" in capsys.readouterr().out


@pytest.mark.parametrize(("path", "line"), EXAMPLES)
def test_examples_of_the_help_name_what_there_is(path, line, place, monkeypatch):
    monkeypatch.chdir(place)
    words = shlex.split(line.partition("|")[0].partition(">")[0])
    assert words[0] == "tmkt"
    if words[-1] == "--help":
        with pytest.raises(SystemExit):
            parse(words[1:])
        return
    given = parse([match for word in words[1:] for match in glob.glob(word.replace("nmnist", "digits")) or [word]])
    for override in given.overrides if path != "figure" else ():
        parse_override(override)
    for name in getattr(given, "recipes", ()):
        load_recipe(find_recipe(name), given.overrides, given.tier)
    if getattr(given, "what", [""])[0] not in ("", "runs"):
        assert given.what[0] in paper_tables()
    assert path != "figure" or given.name in FIGURES
    assert path != "eval" or given.run.exists() or given.run.name in read_index()
    assert not hasattr(given, "set") or given.set in DATASETS


QUICK = [
    *("tmkt list", "tmkt table runs", "tmkt data check digits", "tmkt data audit digits"),
    *("tmkt eval runs/digits/tmkt/*/seed42", "tmkt eval runs/digits/tmkt/*/seed42 --steps 1..6"),
    *("tmkt table 1 runs", "tmkt report runs", "tmkt figure confusion runs/digits/tmkt/*/seed42"),
    *("tmkt figure epochs runs", "tmkt eval tmkt_scnn.digits_tmkt"),
]


def test_quick_examples_run(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert set(QUICK) <= {line for _, line in EXAMPLES}
    for line in QUICK:
        words = [match for word in line.split()[1:] for match in (glob.glob(word) or [word])]
        assert main(words) == 0, (line, capsys.readouterr())
    assert Path("report.html").is_file()
    assert Path("figures/confusion.png").is_file()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["trian"], "unknown command 'trian': did you mean 'train'?"),
        (["data", "chek", "digits"], "unknown command 'chek': did you mean 'check'?"),
        (["table", "1", "--format", "jsn"], "unknown value 'jsn': did you mean 'json'?"),
        (["train", "digits/tmkt", "--resmue"], "unknown option '--resmue': did you mean --resume?"),
        (["train", "digits/tmkt", "--epochs", "3"], "write train.epochs=VALUE"),
        (["train", "digits/tmkt", "--lr=0.1"], "write optim.lr=VALUE"),
        (["data", "check", "digits", "--time-unit", "ms"], "write data.time_unit=VALUE"),
        (["table", "1", "--agianst", "x"], "unknown option '--agianst'"),
        (["list", "x"], "tmkt list takes no 'x' here"),
        (["doctor", "data.root=x"], "tmkt doctor takes no settings: leave out data.root=x"),
    ],
)
def test_misspelt_words_name_the_nearest_one(argv, words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    err = capsys.readouterr().err
    assert (stop.value.code, words in err) == (2, True), err
    assert re.search(r"`tmkt.* --help` shows", err.splitlines()[-1])


def test_settings_are_those_of_a_recipe():
    names = list(setting_names())
    assert {"train.epochs", "optim.lr", "data.root", "model.width"} <= set(names)
    assert not [name for name in names if name.count(".") != 1]


def test_the_reference_has_every_command_and_option():
    shown = page()
    for path, parser in commands():
        assert f"tmkt {' '.join(path)}`" in shown
        for action in parser._actions:
            names = action.option_strings if action.help != argparse.SUPPRESS else ()
            assert all(f"`{name}" in shown for name in names if name not in ("-h", "--help"))
    assert all(line in shown for _, line in EXAMPLES)
    assert make_parser().prog == "tmkt"
