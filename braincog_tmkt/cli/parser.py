"""The arguments of the command `tmkt`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files import user_path
from . import verbs

LARGEST = 2**64 - 1
"""Of whole numbers: torch takes no larger seed."""

DESCRIPTION = "TMKT and HSD: spiking networks for event cameras, taught by static images and by ANNs."

RESULTS = "a PLACE may be a CSV or JSON file with results of your own"


class _Template(argparse.Action):
    """Print a file of results to fill in, and leave."""

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any, **options: Any) -> None:
        from ..results.given_files import TEMPLATE

        print(TEMPLATE, end="")
        parser.exit()


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; key=value overrides may stand anywhere after the verb, which argparse alone does not allow.

    What follows an option that takes one value is that value, even if it looks like an override: `--root a=b`.
    """
    parser = make_parser()
    valued = {name for action in actions_of(parser) if action.nargs is None for name in action.option_strings}
    overrides: list[str] = []
    others: list[str] = []
    for before, text in zip(["", *argv], argv, strict=False):
        is_override = re.match(r"[\w.][\w.-]*=", text) and before not in valued
        (overrides if is_override else others).append(text)
        if re.fullmatch("--.*=--", text):  # argparse would take it for an empty list
            parser.error(f"{text}: '--' is no value")
    arguments = parser.parse_args(others)
    if overrides and not hasattr(arguments, "overrides"):
        parser.error(f"this command takes no {overrides[0]}")
    arguments.overrides = overrides
    return arguments


def actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All options and arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from actions_of(command)


def make_parser() -> argparse.ArgumentParser:
    """The parser of `tmkt` with all its commands; `verb` is what a command does."""
    parser = argparse.ArgumentParser("tmkt", description=DESCRIPTION)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    commands.add_parser("list", help="data sets, backbones, methods, figures, tables and recipes").set_defaults(
        verb=verbs.list_
    )
    _add_data(commands.add_parser("data", help="check, prepare, simulate, audit or download a data set"))
    train = commands.add_parser("train", help="train recipes; finished runs are skipped")
    train.add_argument("recipes", nargs="+", metavar="RECIPE", help="YAML file or name; key=value overrides any key")
    train.set_defaults(verb=verbs.train, overrides=[])
    _add_running(train)
    again = commands.add_parser("eval", help="evaluate the checkpoints of a finished run and compare with its record")
    again.add_argument("run", type=_path, metavar="RUN", help="run folder or record.json; key=value may move the data")
    again.add_argument("--steps", metavar="T", help="with other numbers of time steps instead: 1..10, or 5, or 1,2,4")
    words = "with --steps: another one than that of the training"
    again.add_argument("--precision", choices=("32-true", "bf16-mixed"), help=words)
    again.set_defaults(verb=verbs.eval_, overrides=[])
    _add_table(commands.add_parser("table", help="a paper's table with your numbers; or all records in some folders"))
    _add_report(commands.add_parser("report", help="one HTML page of records: tables, curves, splits, cost"))
    _add_figure(commands.add_parser("figure", help="a picture of finished runs, and the numbers behind it"))
    words = "versions, devices, what is missing here, what BrainCog replaced in timm"
    commands.add_parser("doctor", help=words).set_defaults(verb=verbs.doctor)
    return parser


def _add_table(table: argparse.ArgumentParser) -> None:
    words = "1 to 4, kt, hsd1, .. (trains what is missing, or takes the records of PLACEs), or PLACEs alone"
    table.add_argument("what", nargs="+", metavar="TABLE|PLACE", help=f"{words}; {RESULTS}")
    table.add_argument("--template", action=_Template, nargs=0, help="print a file of results to fill in")
    _add_choice(table)
    table.add_argument("--format", default="text", choices=("text", "md", "tex", "csv", "json"))
    _add_running(table)
    table.set_defaults(verb=verbs.table, overrides=[])


def _add_report(report: argparse.ArgumentParser) -> None:
    words = f"folders, run folders or records; {RESULTS}"
    report.add_argument("places", nargs="+", type=_path, metavar="PLACE", help=words)
    report.add_argument("--out", type=_path, default=Path("report.html"), metavar="FILE", help="(report.html)")
    report.add_argument("--pictures", type=_path, metavar="DIR", help="a folder of `tmkt figure`, to be shown, too")
    _add_choice(report)
    report.set_defaults(verb=verbs.report, overrides=[])


def _add_choice(command: argparse.ArgumentParser) -> None:
    choices = ("last", "best_val", "best_test")
    command.add_argument("--select", default="last", choices=choices, help="which epoch's accuracy (last)")
    for name, former, value, words in (
        ("--dataset", "--on", "SET", "a data set whose recipes stand in for the paper's"),
        ("--reference", "--against", "RECIPE", "compare with this one"),
    ):
        command.add_argument(name, metavar=value, help=words)
        command.add_argument(former, dest=name[2:], metavar=value, help=argparse.SUPPRESS)


def _add_figure(figure: argparse.ArgumentParser) -> None:
    figure.add_argument("name", metavar="NAME", help="see `tmkt list`")
    words = "run folders (timesteps, epochs: any PLACE of records); key=value sets what it takes"
    figure.add_argument("runs", nargs="+", type=_path, metavar="RUN", help=words)
    figure.add_argument("--out", type=_path, default=Path("figures"), metavar="DIR", help="(figures)")
    figure.set_defaults(verb=verbs.figure, overrides=[])


def _add_running(train: argparse.ArgumentParser) -> None:
    """Add the options of training; `running` keeps their defaults, but for the seeds, which also choose records."""
    train.add_argument("--seeds", nargs="+", type=_whole(0), metavar="N", help="instead of the recipe's")
    before = set(actions_of(train))
    train.add_argument("--tier", help="smoke, small or paper (the full settings, the default)")
    words = "processes on this machine (default: 1, or torchrun's)"
    train.add_argument("--devices", type=_whole(1, 1024), metavar="N", help=words)
    train.add_argument("--threads", type=_whole(1, 1024), metavar="N", help="CPU threads of a process")
    train.add_argument("--resume", action="store_true", help="go on where a run was stopped or killed")
    train.add_argument("--dry-run", action="store_true", help="print what would run, and about how long")
    train.add_argument("--runs", type=_path, default=Path("runs"), metavar="DIR", help="folder of all runs (runs)")
    train.add_argument("--shard", type=_shard, default=(1, 1), metavar="I/N", help="the I-th of N parts of the sweep")
    train.add_argument("--jobs", type=_whole(1, 1024), default=1, metavar="N", help="runs at a time, one GPU each (1)")
    train.add_argument("--launcher", choices=("local", "ray"), default="local", help="where the runs go (local)")
    train.set_defaults(running={each.dest: each.default for each in actions_of(train) if each not in before})


def _add_data(data: argparse.ArgumentParser) -> None:
    commands = data.add_subparsers(title="commands", required=True, metavar="COMMAND")
    folder: dict[str, Any] = {"type": _path, "metavar": "DIR"}
    for name, words in (
        ("check", "what is there; if something is missing, what should be and where to get it"),
        ("audit", "whether a protocol lets training see held-out images"),
        ("download", "fetch the official files"),
        ("prepare", "make the frames now instead of at the first run"),
        ("simulate", "make a simulated twin from a tree of images"),
    ):
        command = commands.add_parser(name, help=words)
        command.set_defaults(verb=verbs.data, action=name)
        add = command.add_argument
        words = "data set, see `tmkt list`"
        add(
            "set",
            metavar="SET",
            help=words if name == "simulate" else f"{words}; data.KEY=VALUE sets what a recipe may",
        )
        if name == "simulate":
            add("--static", required=True, help="class folders of images", **folder)
            add("--out", required=True, help="where the recordings go", **folder)
            add("--limit-per-class", type=_whole(1), metavar="N", help="only the first N images of a class")
        else:
            add("--root", default=Path("data"), help="folder of the official folders (data)", **folder)
            add("--static-root", help="folder of the images, if it is another one", **folder)
            command.set_defaults(overrides=[])
        if name == "check":
            words = "recordings to read of each format (20; all of them: all)"
            add("--files", type=_files, default=20, metavar="N", help=words)
            words = "draw frames of some recordings beside their images"
            add("--figure", type=_path, metavar="FILE", help=words)
        if name == "prepare":
            add("--steps", type=_whole(1), metavar="T", help="frames of a recording (10)")
            words = "height and width of a frame (48)"
            add("--size", nargs="+", type=_whole(1), metavar="N", help=words)
            add("--frames", metavar="KIND", help="what a frame holds (time)")
            words = "average over pixels when resizing (only for folder)"
            add("--antialias", action=argparse.BooleanOptionalAction, default=None, help=words)
            add("--sensor", nargs=2, type=_whole(1), metavar=("H", "W"), help="for folder: its sensor")
            add("--cache", help="folder of the frame cache (cache)", **folder)
        if name in ("prepare", "simulate"):
            add("--workers", type=_whole(1, 256), metavar="N", help="processes (default: all CPU cores)")


def _path(text: str) -> Path:
    try:
        return user_path(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _files(text: str) -> int | None:
    return None if text == "all" else _whole(1)(text)


def _whole(least: int, most: int = LARGEST) -> Callable[[str], int]:
    """A reader of whole numbers in a range."""

    def read(text: str) -> int:
        if not (re.fullmatch("[0-9]{1,20}", text) and least <= int(text) <= most):
            limits = f"{least} or more (below 2^64)" if most == LARGEST else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, {limits}")
        return int(text)

    return read


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch("([0-9]{1,9})/([1-9][0-9]{0,8})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} must look like 1/4")
    return int(found[1]), int(found[2])
