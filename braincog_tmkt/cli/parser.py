"""The arguments of the command `tmkt`."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from ..errors import DataError
from ..files import user_path
from ..registry import did_you_mean, nearest
from ..terminal import painted, wrapped
from ..value_types import hints_of
from . import verbs
from .texts import SETTINGS, TEXTS

PROSE = 100
"""Letters of a line of help, at most."""

LARGEST = 2**64 - 1
"""Of whole numbers: torch takes no larger seed."""


class Parser(argparse.ArgumentParser):
    """argparse's parser, whose errors suggest the nearest known command or value."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is not one of the choices, with the nearest one."""
        if action.choices is not None and value not in action.choices:
            what = "command" if isinstance(action, argparse._SubParsersAction) else "value"
            raise argparse.ArgumentError(
                None if what == "command" else action,
                f"unknown {what} {value!r}: {did_you_mean(value, action.choices)}",
            )

    def error(self, message: str) -> NoReturn:
        """Print the usage, what is wrong, and where there is more; end with status 2."""
        self.print_usage(sys.stderr)
        name = painted("error:", "red", sys.stderr)
        self.exit(2, f"{name} {message}\n`{self.prog} --help` shows all options, and examples.\n")


RESULTS = "a PLACE may be a CSV or JSON file with results of your own"


class _Template(argparse.Action):
    """The action of `--template`: print an example file of own results and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any, **options: Any) -> None:
        from ..results.given_files import TEMPLATE

        print(TEMPLATE, end="")
        parser.exit()


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; key=value overrides may stand anywhere after the command, which argparse does not allow.

    What follows an option that takes one value is that value, even if it looks like an override: `--root a=b`. The name
    of a file or folder that exists is a path.
    """
    parser = make_parser()
    valued = {name for action in actions_of(parser) if action.nargs is None for name in action.option_strings}
    overrides: list[str] = []
    others: list[str] = []
    for before, text in zip(["", *argv], argv, strict=False):
        is_override = re.match(r"[\w.][\w.-]*=", text) and before not in valued and not os.path.lexists(text)
        (overrides if is_override else others).append(text)
        if re.fullmatch("--.*=--", text):  # argparse would take it for an empty list
            parser.error(f"{text}: '--' is no value: write what {text[:-3]} should be behind '='")
    arguments, unknown = parser.parse_known_args(others)
    command: argparse.ArgumentParser = arguments.command
    if unknown:
        command.error(_about_unknown(unknown[0], command, hasattr(arguments, "overrides")))
    if overrides and not hasattr(arguments, "overrides"):
        command.error(f"{command.prog} takes no settings: leave out {overrides[0]}")
    arguments.overrides = overrides
    return arguments


def _about_unknown(text: str, command: argparse.ArgumentParser, takes_settings: bool) -> str:
    """What to say about a word that a command does not take: the nearest option, or the setting it may mean."""
    if not text.startswith("-"):
        return f"{command.prog} takes no {text!r} here: leave it out"
    known = [
        name for action in actions_of(command) if action.help != argparse.SUPPRESS for name in action.option_strings
    ]
    key = text.partition("=")[0].lstrip("-").replace("-", "_")
    homes = [name for name in setting_names() if key in (name, name.partition(".")[2])] if takes_settings else []
    if homes:
        return f"unknown option {text!r}: a setting of a recipe has no dashes, write {homes[0]}=VALUE"
    near = nearest(text.partition("=")[0], known)
    return f"unknown option {text!r}" + (f": did you mean {near}?" if near else f" for {command.prog}: leave it out")


def setting_names() -> Iterator[str]:
    """The keys of a recipe, such as `train.epochs`."""
    from ..recipe.schema import MODEL_DEFAULTS, Recipe  # not above: `tmkt doctor` runs where PyYAML is missing

    for section in fields(Recipe):
        inner = hints_of(Recipe)[section.name]
        yield from (f"{section.name}.{key.name}" for key in fields(inner)) if is_dataclass(inner) else ()
    yield from (f"model.{name}" for name in MODEL_DEFAULTS)


def actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All options and arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from actions_of(command)


def make_parser() -> argparse.ArgumentParser:
    """The parser of `tmkt` with all its commands; `verb` is what a command does."""
    parser = Parser("tmkt", **_help_of(""))
    parser.add_argument("--version", action="version", version=f"tmkt {__version__}")
    parser.set_defaults(verb=_print_help, command=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _command(commands, "list").set_defaults(verb=verbs.list_)
    _add_data(_command(commands, "data"))
    _add_train(_command(commands, "train"))
    _add_eval(_command(commands, "eval"))
    _add_export(_command(commands, "export"))
    _add_table(_command(commands, "table"))
    _add_report(_command(commands, "report"))
    _add_figure(_command(commands, "figure"))
    _add_scripts(_command(commands, "scripts"))
    _command(commands, "doctor").set_defaults(verb=verbs.doctor)
    return parser


def _command(commands: Any, name: str, group: str = "") -> argparse.ArgumentParser:
    """Add a command with its help; it prints that help unless it gets another `verb`."""
    path = f"{group} {name}".strip()
    command: argparse.ArgumentParser = commands.add_parser(name, help=TEXTS[path].summary, **_help_of(path))
    command.set_defaults(verb=_print_help, command=command)
    return command


def _help_of(path: str) -> dict[str, Any]:
    """What the help of a command says above and below its options, as wide as the terminal."""
    room = min(shutil.get_terminal_size().columns - 2, PROSE)
    examples = "\n".join(f"  {command}\n      {what}" for command, what in TEXTS[path].examples)
    return {
        "description": wrapped(TEXTS[path].about, 0, room=room),
        "epilog": f"examples:\n{examples}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _print_help(arguments: argparse.Namespace) -> None:
    """The `verb` of a command that only has subcommands."""
    arguments.command.print_help()


def _add_train(train: argparse.ArgumentParser) -> None:
    words = f"YAML file, or name from `tmkt list`; {SETTINGS}"
    train.add_argument("recipes", nargs="+", metavar="RECIPE", help=words)
    train.set_defaults(verb=verbs.train, overrides=[])
    _add_running(train)


def _add_eval(again: argparse.ArgumentParser) -> None:
    words = (
        "folder of a finished run, or its record.json, or a checkpoint (see `tmkt list`); data.root=DIR sets another"
        " folder of the data"
    )
    again.add_argument("run", type=_path, metavar="RUN", help=words)
    words = "evaluate with these numbers of time steps instead: 1..10, or 5, or 1,2,4"
    again.add_argument("--steps", metavar="T", help=words)
    words = (
        "estimate the statistics of batch norms again from the training recordings: one set for all steps, or each step"
        " its own"
    )
    again.add_argument("--norms", choices=("one", "own"), help=words)
    words = "with --steps: compute in this precision instead of that of the training"
    again.add_argument("--precision", choices=("32-true", "bf16-mixed"), help=words)
    again.set_defaults(verb=verbs.eval_, overrides=[])


def _add_export(export: argparse.ArgumentParser) -> None:
    words = "folder of a finished run, or its record.json; data.root=DIR sets another folder of the data"
    export.add_argument("run", type=_path, metavar="RUN", help=words)
    words = "folder to write the checkpoint and its entry in index.yaml to"
    export.add_argument("folder", type=_path, metavar="FOLDER", help=words)
    export.set_defaults(verb=verbs.export, overrides=[])


def _add_table(table: argparse.ArgumentParser) -> None:
    words = (
        "TABLE: a paper's table (1 to 4, kt, hsd1, ..: see `tmkt list`); trains the missing runs unless a PLACE"
        " follows. PLACE: a folder, run folder or record.json whose records are shown, or a CSV or JSON file with"
        " results of your own"
    )
    table.add_argument("what", nargs="+", metavar="TABLE|PLACE", help=words)
    table.add_argument("--template", action=_Template, nargs=0, help="print a CSV template for results of your own")
    _add_choice(table)
    words = "text for the terminal, Markdown, LaTeX (booktabs), or plain numbers (default: text)"
    table.add_argument("--format", default="text", choices=("text", "md", "tex", "csv", "json"), help=words)
    _add_running(table.add_argument_group("options for training the missing runs"))
    table.set_defaults(verb=verbs.table, overrides=[])


def _add_report(report: argparse.ArgumentParser) -> None:
    words = f"folders, run folders or records; {RESULTS}; key=value shows only runs with this setting"
    report.add_argument("places", nargs="+", type=_path, metavar="PLACE", help=words)
    words = "file to write (default: report.html)"
    report.add_argument("--out", type=_path, default=Path("report.html"), metavar="FILE", help=words)
    report.add_argument(
        "--pictures", type=_path, metavar="DIR", help="also show the pictures that `tmkt figure` drew here"
    )
    _add_choice(report)
    report.set_defaults(verb=verbs.report, overrides=[])


def _add_choice(command: argparse.ArgumentParser) -> None:
    choices = ("last", "best_val", "best_test")
    words = "show the accuracy of the last epoch, or of the best one on validation or test recordings (default: last)"
    command.add_argument("--select", default="last", choices=choices, help=words)
    for name, former, value, words in (
        ("--dataset", "--on", "SET", "show the rows on this data set; a table without any takes its recipes for them"),
        ("--reference", "--against", "RECIPE", "show differences to this recipe, over the seeds that both have"),
    ):
        command.add_argument(name, metavar=value, help=words)
        command.add_argument(former, dest=name[2:], metavar=value, help=argparse.SUPPRESS)


def _add_figure(figure: argparse.ArgumentParser) -> None:
    figure.add_argument("name", metavar="NAME", help="name of the figure: see `tmkt list`")
    words = "run folders; timesteps and epochs also take a folder that contains runs. key=value sets an argument"
    figure.add_argument("runs", nargs="+", type=_path, metavar="RUN", help=words)
    words = "folder for the picture and the numbers (default: figures)"
    figure.add_argument("--out", type=_path, default=Path("figures"), metavar="DIR", help=words)
    figure.set_defaults(verb=verbs.figure, overrides=[])


def _add_scripts(scripts: argparse.ArgumentParser) -> None:
    scripts.add_argument("folder", type=_path, metavar="DIR", help="folder to write to; created if missing")
    scripts.add_argument("--overwrite", action="store_true", help="replace files of these names that differ")
    scripts.set_defaults(verb=verbs.scripts)


def _add_running(train: Any) -> None:
    """Add the options of training; `running` keeps their defaults, but for the seeds, which also choose records."""
    train.add_argument("--seeds", nargs="+", type=_whole(0), metavar="N", help="seeds, instead of those of the recipe")
    before = set(train._actions)
    words = "preset of the recipe: smoke (seconds), small (minutes to hours) or paper (the full settings; the default)"
    train.add_argument("--tier", help=words)
    words = "train one run with N processes of this machine, each on a GPU if there are any (default: 1)"
    train.add_argument("--devices", type=_whole(1, 1024), metavar="N", help=words)
    train.add_argument("--threads", type=_whole(1, 1024), metavar="N", help="CPU threads per process (default: all)")
    train.add_argument("--resume", action="store_true", help="resume runs that were stopped or killed")
    train.add_argument(
        "--dry-run", action="store_true", help="train nothing; print what would run, and about how long it takes"
    )
    words = "folder for the run folders (default: runs)"
    train.add_argument("--runs", type=_path, default=Path("runs"), metavar="DIR", help=words)
    words = "train only part I of N of these runs, for job arrays on a cluster"
    train.add_argument("--shard", type=_shard, default=(1, 1), metavar="I/N", help=words)
    words = "train N runs at a time, each on one GPU if there are any (default: 1)"
    train.add_argument("--jobs", type=_whole(1, 1024), default=1, metavar="N", help=words)
    words = "train on this machine, or as tasks of a Ray cluster (default: local)"
    train.add_argument("--launcher", choices=("local", "ray"), default="local", help=words)
    train.set_defaults(running={each.dest: each.default for each in train._actions if each not in before})


def _add_data(data: argparse.ArgumentParser) -> None:
    commands = data.add_subparsers(title="commands", metavar="COMMAND")
    folder: dict[str, Any] = {"type": _path, "metavar": "DIR"}
    for name in ("check", "audit", "download", "prepare", "simulate"):
        command = _command(commands, name, "data")
        command.set_defaults(verb=verbs.data, action=name)
        add = command.add_argument
        words = "data set, see `tmkt list`"
        more = "; data.KEY=VALUE sets any key of a recipe's section data"
        add("set", metavar="SET", help=words + ("" if name == "simulate" else more))
        if name == "simulate":
            add("--static", required=True, help="folder with a folder of images for each class", **folder)
            add("--out", required=True, help="folder for the recordings; created if missing", **folder)
            add("--limit-per-class", type=_whole(1), metavar="N", help="take only the first N images of a class")
        else:
            add("--root", default=Path("data"), help="folder of the data sets (default: data)", **folder)
            add("--static-root", help="folder of the images, if they are elsewhere", **folder)
            command.set_defaults(overrides=[])
        if name == "check":
            words = "for recordings of your own: read N of each format, or all (default: 20)"
            add("--files", type=_files, default=20, metavar="N", help=words)
            words = "draw frames of some recordings beside their images into this PNG, PDF or SVG"
            add("--figure", type=_path, metavar="FILE", help=words)
        if name == "prepare":
            add("--steps", type=_whole(1), metavar="T", help="number of frames per recording (default: 10)")
            words = "height and width of a frame, or one number for both (default: 48)"
            add("--size", nargs="+", type=_whole(1), metavar="N", help=words)
            words = "what a frame holds: time, number, presence, .. (default: time)"
            add("--frames", metavar="KIND", help=words)
            words = "average over pixels when frames are made smaller (default: only for the data set folder)"
            add("--antialias", action=argparse.BooleanOptionalAction, default=None, help=words)
            words = "height and width of the sensor, for your own recordings that do not state it"
            add("--sensor", nargs=2, type=_whole(1), metavar=("H", "W"), help=words)
            add("--cache", help="folder of the frame cache (default: cache)", **folder)
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
            raise argparse.ArgumentTypeError(f"{text!r} is not accepted: give a whole number, {limits}")
        return int(text)

    return read


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch("([0-9]{1,9})/([1-9][0-9]{0,8})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not accepted: give part and number of parts, such as 1/4")
    return int(found[1]), int(found[2])
