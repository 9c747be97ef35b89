"""Nothing that can be typed ends in a traceback: commands, options and recipe keys, each with hostile values.

Commands and options come from the parser, keys from the recipe's dataclasses, so that new ones are tried, too.
"""

import argparse
import inspect
import itertools
import random
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from traceback import extract_tb

import numpy as np
import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.cli.parser import make_parser
from braincog_tmkt.data.sets import DATASETS
from braincog_tmkt.figures import FIGURES
from braincog_tmkt.methods import METHODS
from braincog_tmkt.recipe import Recipe
from braincog_tmkt.value_types import hints_of

TEXTS = [
    "", " ", "-", "--", "0", "-1", "1", "3", "010", "1:30", "1_000", "0x10", "1e-3", "1e400", "nan", ".inf", "-.inf",
    "null", "~", "true", "yes", "off", "1.0.0", "2026-01-01", "[]", "[1", "[1, 1]", "[010,1:30]", "[a, b]", "[[1], {}]",
    "{}", "{a: b}", "{name: [1]}", "{name: tmkt, steps: x}", "'", '"x"', "*x", "&x", "!tag", "|", "a: b", "my data #2",
    "C: x", "${oc.env:HOME}", "~/data", "~nobody/x", "a=b=c", "a\tb", "a\nb", "..", "/dev/null", "/dev/null/x", "../up",
    "x" * 300, "x/" * 2500, "9" * 30, "9" * 5000, "99999999999", "-9223372036854775809", "18446744073709551616", "1e6",
    "1e-9", "\0", "\ud800", "\udcff", "ß", "٣", "²", "a" * 9 + "́", "[" * 900, "1..", "10..1", "1..999999999", "0/0",
    "1/0", "2/1", "1/1", "file", "folder", "binary", "empty", "laughs.yaml", "loop.yaml", "extends.yaml", "deep.yaml",
    "imports.yaml", "digits", "nmnist", "tmkt", "baseline", "hsd", "resnet18", "vit_base_patch16_224", "lookahead_adam",
]  # fmt: skip
"""What somebody might type."""

PROCESSES = re.compile(r"--(workers|jobs)[= ](9{11}|18446744073709551616|1e400)")
"""What asks for more processes than a machine can start."""

SMALL = ["--tier", "smoke", "--threads", "1", "data.size=16"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a file of each hostile kind, a tiny data set, and a finished run of it in `run`."""
    folder = tmp_path_factory.mktemp("a") / "place"
    (folder / "folder").mkdir(parents=True)
    (folder / "file").write_text("x")
    (folder / "binary").write_bytes(bytes(range(256)))
    (folder / "empty").write_text("")
    nines = "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in itertools.pairwise("abcdefghij"))
    (folder / "laughs.yaml").write_text(f"a: &a [1]\n{nines}\n")
    (folder / "loop.yaml").write_text("extends: loop.yaml\n")
    (folder / "extends.yaml").write_text("extends: nowhere.yaml\n")
    (folder / "deep.yaml").write_text("a: " + "[" * 900 + "\n")
    (folder / "leaves.py").write_text("raise SystemExit(3)\n")
    (folder / "imports.yaml").write_text("data: {name: digits}\nmethod: {name: baseline}\nimports: [leaves]\n")
    draw = np.random.default_rng(0)
    for name, number in itertools.product("ab", range(4)):
        rows = np.sort(draw.integers(0, 1000, (50, 1)), 0), draw.integers(0, 20, (50, 2)), draw.integers(0, 2, (50, 1))
        file = folder / "data" / "events" / name / f"{number}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(file, np.hstack(rows), fmt="%d", delimiter=",", header="t,x,y,p", comments="")
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        assert main(["train", "folder/baseline", *SMALL]) == 0
        (run,) = Path("runs").rglob("seed42")
        run.rename("run")
    return folder


def commands(parser=None, path=()):
    """Every command of the parser, with its own parser."""
    parser = parser or make_parser()
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield path, parser
    for name, command in itertools.chain.from_iterable(group.choices.items() for group in groups):
        yield from commands(command, (*path, name))


SOUND = dict.fromkeys(("run", "runs", "what", "places"), "run")
SOUND |= {"recipes": "folder/baseline", "set": "folder", "name": "timesteps", "static": "folder", "out": "out"}
SOUND |= {"folder": "out"}
"""A well-formed value for every argument that a command must have."""


def on_the_command_line():
    """Every command with every hostile value in the place of one of its arguments or options, the others sound.

    Nothing is trained: a command that could runs with `--dry-run`, or on a finished run.
    """
    for path, parser in commands():
        actions = [action for action in parser._actions if action.nargs != 0]
        dry = [*SMALL, "--dry-run"] if any(action.dest == "dry_run" for action in parser._actions) else []
        for action, text in itertools.product(actions, TEXTS):
            if path[-1] == "download" and text in DATASETS:
                continue  # the network
            needed = [other for other in actions if other.required or not other.option_strings]
            others = [other for other in needed if other is not action]
            words = [word for other in others for word in (*other.option_strings[:1], SOUND[other.dest])]
            option = [f"{action.option_strings[0]}={text}"] if action.option_strings else [text]
            trains = not action.option_strings or "recipes" in (other.dest for other in others)
            yield [*path, *words, *(dry if trains else ()), *option]
        yield from ([*path, text] for text in TEXTS if not actions)


def keys():
    """Every key of a recipe, some of a stage and of methods, and some that there are not."""
    for name, hint in hints_of(Recipe).items():
        yield from [f"{name}.{leaf.name}" for leaf in fields(hint)] if is_dataclass(hint) else [name]
    yield from (f"method.{key}" for key in inspect.signature(METHODS["baseline"]).parameters if key != "backbone")
    yield from ("method.name", "stages.train.optim.lr", "stages.train.train.epochs", "stages.ann2.optim.lr", "stages.x")
    yield from ("Model.width", "x", "a.b.c", "1x", "data-root", ".", "x.")


def in_recipes():
    """Every key of a recipe with every hostile value: as an override, and as a choice of records."""
    for key, text in itertools.product(keys(), TEXTS):
        yield ["train", "folder/baseline", *SMALL, "--dry-run", f"{key}={text}"]
        yield ["table", "run", f"{key}={text}"]


def in_methods_and_figures():
    """Every argument of every method and figure with every hostile value."""
    for name, text in itertools.product(METHODS, TEXTS):
        for key in list(inspect.signature(METHODS[name]).parameters)[1:]:
            steps = ["method.steps=1"] if name == "hsd" and key != "steps" else []
            ratio = ["method.mix_ratio=0.5"] if name == "tmkt" and key != "mix_ratio" else []
            given = [f"method.name={name}", *steps, *ratio, f"method.{key}={text}"]
            yield ["train", "folder/baseline", *SMALL, "--dry-run", *given]
    for name, text in itertools.product(FIGURES, TEXTS):
        for key in list(inspect.signature(FIGURES[name]).parameters)[2:]:
            few = ["grid=3"] if name == "landscape" and key != "grid" else []
            yield ["figure", name, "run", "--out", "out", *few, f"{key}={text}"]


def wrong_about(argv, capsys):
    """What is wrong with how a command ends: neither well nor with a sentence; None if nothing is."""
    shown = ascii([text[:40] for text in argv])
    try:
        status = main(argv)
    except SystemExit as stop:  # argparse's
        status = stop.code
    except Exception as error:
        traceback = [f"{frame.name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)[-3:]]
        return f"{shown}: {type(error).__name__}: {str(error)[:150]} {traceback}"
    err = capsys.readouterr().err
    sentence = "error: " in err if status == 2 else "Traceback" not in err
    return None if status in (0, 1, 2) and sentence else f"{shown}: status {status}, {err[-300:]}"


def try_all(cases, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place / "home"))
    cases = [argv for argv in cases if not PROCESSES.search(" ".join(argv).replace(chr(9), " "))]
    wrong = [said for argv in cases if (said := wrong_about(argv, capsys))]
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong)


def test_no_traceback_for_some_of_all(place, monkeypatch, capsys):
    """One hostile value for every argument, option and key, drawn with a seed; all of them: the tests below."""
    draw = random.Random(0)
    cases = [*on_the_command_line(), *in_recipes(), *in_methods_and_figures()]
    by_place = {}
    for argv in cases:
        by_place.setdefault(str([text.partition("=")[0] for text in argv if text not in TEXTS]), []).append(argv)
    try_all([draw.choice(some) for some in by_place.values()], place, monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("cases", [on_the_command_line, in_recipes, in_methods_and_figures])
def test_no_traceback_for_all(cases, place, monkeypatch, capsys):
    try_all(cases(), place, monkeypatch, capsys)
