"""The command `tmkt`: verbs, no logic."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import RecipeError, TmktError

if TYPE_CHECKING:
    from .engine.run import Cell

DESCRIPTION = "TMKT and HSD: spiking networks for event cameras, taught by static images and by ANNs."


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 found something wrong, 2 could not, 128 + n by signal n."""
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    try:
        good = arguments.verb(arguments)
        sys.stdout.flush()
    except TmktError as error:
        if os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0":  # all processes raise the same error
            print(f"error: {error}", file=sys.stderr)
        return 128 + error.signum if hasattr(error, "signum") else 2
    except ImportError as error:
        if (error.name or "").startswith("braincog_tmkt"):
            raise
        print(f"error: {error}: `tmkt doctor` says what this environment lacks", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return 0 if good is not False else 1


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; key=value overrides may stand anywhere after the verb, which argparse alone does not allow."""
    parser = _parser()
    overrides = [text for text in argv if re.match(r"[a-z_.]+=", text)]
    arguments = parser.parse_args([text for text in argv if text not in overrides])
    if overrides and not hasattr(arguments, "overrides"):
        parser.error(f"this command takes no {overrides[0]}")
    arguments.overrides = overrides
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tmkt", description=DESCRIPTION)
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    verbs.add_parser("list", help="data sets, backbones, methods, figures, tables and recipes").set_defaults(verb=_list)
    _add_data(verbs.add_parser("data", help="check, prepare, simulate, audit or download a data set"))
    _add_train(verbs.add_parser("train", help="train recipes; finished runs are skipped"))
    again = verbs.add_parser("eval", help="evaluate the checkpoints of a finished run and compare with its record")
    again.add_argument("run", type=Path, metavar="RUN", help="run folder or record.json; key=value may move the data")
    again.add_argument("--steps", metavar="T", help="with other numbers of time steps instead: 1..10, or 5, or 1,2,4")
    again.set_defaults(verb=_eval, overrides=[])
    _add_table(verbs.add_parser("table", help="a paper's table with your numbers; or all records in some folders"))
    _add_report(verbs.add_parser("report", help="one HTML page of records: tables, curves, splits, cost"))
    _add_figure(verbs.add_parser("figure", help="a picture of finished runs, and the numbers behind it"))
    verbs.add_parser(
        "doctor", help="versions, devices, what is missing here, what BrainCog replaced in timm"
    ).set_defaults(verb=_doctor)
    return parser


def _add_train(train: argparse.ArgumentParser) -> None:
    train.add_argument("recipes", nargs="+", metavar="RECIPE", help="YAML file or name; key=value overrides any key")
    _add_running(train)
    train.set_defaults(verb=_train, overrides=[])


def _add_table(table: argparse.ArgumentParser) -> None:
    words = "1 to 4, kt, hsd1, .. (trains what is missing, or takes the records of PLACEs), or PLACEs alone"
    table.add_argument("what", nargs="+", metavar="TABLE|PLACE", help=words)
    table.add_argument("--on", metavar="SET", help="a data set whose recipes stand in for the paper's")
    _add_choice(table)
    table.add_argument("--format", default="text", choices=("text", "md", "tex", "csv", "json"))
    _add_running(table)
    table.set_defaults(verb=_table, overrides=[])


def _add_report(report: argparse.ArgumentParser) -> None:
    report.add_argument("places", nargs="+", type=Path, metavar="PLACE", help="folders, run folders or records")
    report.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="(report.html)")
    report.add_argument("--on", metavar="SET", help="a data set whose recipes stand in for the paper's")
    report.add_argument("--pictures", type=Path, metavar="DIR", help="a folder of `tmkt figure`, to be shown, too")
    _add_choice(report)
    report.set_defaults(verb=_report, overrides=[])


def _add_choice(command: argparse.ArgumentParser) -> None:
    choices = ("last", "best_val", "best_test")
    command.add_argument("--select", default="last", choices=choices, help="which epoch's accuracy (last)")
    command.add_argument("--against", metavar="RECIPE", help="compare with this one")


def _add_figure(figure: argparse.ArgumentParser) -> None:
    figure.add_argument("name", metavar="NAME", help="see `tmkt list`")
    figure.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="run folders (timesteps, epochs: any PLACE of records); key=value sets what it takes",
    )
    figure.add_argument("--out", type=Path, default=Path("figures"), metavar="DIR", help="(figures)")
    figure.set_defaults(verb=_figure, overrides=[])


def _add_running(train: argparse.ArgumentParser) -> None:
    train.add_argument("--seeds", nargs="+", type=int, metavar="N", help="instead of the recipe's")
    train.add_argument("--tier", help="smoke, small or paper (the full settings, the default)")
    train.add_argument("--devices", type=int, metavar="N", help="processes on this machine (default: 1, or torchrun's)")
    train.add_argument("--threads", type=int, metavar="N", help="CPU threads of a process")
    train.add_argument("--resume", action="store_true", help="go on where a run was stopped or killed")
    train.add_argument("--dry-run", action="store_true", help="print what would run, and about how long")
    train.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of all runs (runs)")
    train.add_argument("--shard", type=_shard, default=(1, 1), metavar="I/N", help="the I-th of N parts of the sweep")
    train.add_argument("--jobs", type=_count, default=1, metavar="N", help="runs at a time, one GPU each (1)")
    train.add_argument("--launcher", choices=("local", "ray"), default="local", help="where the runs go (local)")


def _add_data(data: argparse.ArgumentParser) -> None:
    verbs = data.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, verb, words in (
        ("check", _data_check, "what is there; if something is missing, what should be and where to get it"),
        ("audit", _data_audit, "whether a protocol lets training see held-out images"),
        ("download", _data_download, "fetch the official files"),
        ("prepare", _data_prepare, "make the frames now instead of at the first run"),
        ("simulate", _data_simulate, "make a simulated twin from a tree of images"),
    ):
        command = verbs.add_parser(name, help=words)
        command.add_argument("set", metavar="SET", help="data set, see `tmkt list`")
        command.set_defaults(verb=verb)
        if name == "simulate":
            command.add_argument("--static", required=True, metavar="DIR", help="class folders of images")
            command.add_argument("--out", required=True, metavar="DIR", help="where the recordings go")
            command.add_argument("--limit-per-class", type=int, metavar="N", help="only the first N images of a class")
        else:
            command.add_argument("--root", default="data", metavar="DIR", help="folder of the official folders (data)")
            command.add_argument("--static-root", metavar="DIR", help="folder of the images, if it is another one")
        if name == "prepare":
            command.add_argument("--steps", type=int, default=10, metavar="T", help="frames of a recording (10)")
            command.add_argument("--size", type=int, default=48, metavar="N", help="height and width of a frame (48)")
            command.add_argument("--frames", default="time", metavar="KIND", help="what a frame holds (time)")
            words = "average over pixels when resizing (only for folder)"
            command.add_argument("--antialias", action=argparse.BooleanOptionalAction, default=None, help=words)
            command.add_argument("--sensor", nargs=2, type=int, metavar=("H", "W"), help="for folder: its sensor")
            command.add_argument("--cache", default="cache", metavar="DIR", help="folder of the frame cache (cache)")
        if name in ("prepare", "simulate"):
            command.add_argument("--workers", type=int, metavar="N", help="processes (default: all CPU cores)")


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be 1 or more")
    return int(text)


def _shard(text: str) -> tuple[int, int]:
    number, slash, parts = text.partition("/")
    if not (slash and number.isdigit() and parts.isdigit()):
        raise argparse.ArgumentTypeError(f"'{text}' must look like 1/4")
    return int(number), int(parts)


def _list(arguments: argparse.Namespace) -> None:
    from timm.models import list_models

    from .data.sets import DATASETS
    from .figures import FIGURES
    from .methods import METHODS
    from .models import FAMILIES
    from .recipe_files import known_recipes
    from .results.paper import paper_tables

    def first_line(target: object) -> str:
        return (target.__doc__ or "").strip().splitlines()[0]

    print("Data sets:", *(f"  {name:20} {entry.card.title}" for name, entry in DATASETS.items()), sep="\n")  # type: ignore[attr-defined]
    print("Backbones:", *(f"  {name}" for name in list_models(list(FAMILIES))), sep="\n")
    print("Methods:", *(f"  {name:20} {first_line(entry)}" for name, entry in METHODS.items()), sep="\n")
    print("Figures:", *(f"  {name:20} {first_line(entry)}" for name, entry in FIGURES.items()), sep="\n")
    print("Tables:", *(f"  {number:20} {table.title}" for number, table in paper_tables().items()), sep="\n")
    print("Recipes:", *(f"  {name}" for name in known_recipes()), sep="\n")


def _train(arguments: argparse.Namespace) -> None:
    from .engine.run import share_of

    _launch(share_of(_planned(arguments.recipes, arguments), arguments.shard), arguments)


def _planned(recipes: list[str], arguments: argparse.Namespace) -> list[Cell]:
    from .engine.run import plan

    threads = [f"train.threads={arguments.threads}"] if arguments.threads else []
    return plan(recipes, [*arguments.overrides, *threads], arguments.tier, arguments.seeds)


def _launch(cells: list[Cell], arguments: argparse.Namespace) -> None:
    from .engine.ray_sweep import run_ray
    from .engine.run import dry_run, train
    from .engine.sweep import run_jobs

    if arguments.launcher == "ray" and arguments.jobs > 1:
        raise RecipeError("--jobs is for one machine; with --launcher ray the cluster decides how many run at a time")
    several = arguments.jobs > 1 or arguments.launcher == "ray"
    if several and (arguments.devices or "LOCAL_WORLD_SIZE" in os.environ):
        raise RecipeError("--jobs and --launcher ray run one process a run: leave out --devices, and torchrun")
    if arguments.dry_run:
        dry_run(cells, arguments.runs)
    elif arguments.launcher == "ray":
        run_ray(cells, arguments.runs, arguments.resume)
    elif arguments.jobs > 1:
        run_jobs(cells, arguments.runs, arguments.jobs, arguments.resume)
    else:
        train(cells, arguments.runs, arguments.devices, arguments.resume)


def _eval(arguments: argparse.Namespace) -> bool:
    from .engine.again import evaluate_steps, parse_steps, re_evaluate

    if arguments.steps is None:
        return re_evaluate(arguments.run, arguments.overrides)
    print(evaluate_steps(arguments.run, parse_steps(arguments.steps), arguments.overrides))
    return True


def _table(arguments: argparse.Namespace) -> bool:
    from .results.paper import paper_tables

    number, *places = arguments.what
    if number in paper_tables():
        return _paper_table(number, places, arguments)
    if not Path(number).exists():
        raise RecipeError(f"'{number}' is no table ({', '.join(paper_tables())}) and no file or folder")
    from .results.summary import render, summarise

    records = _records_of(arguments.what, arguments)
    print(render(summarise(records, arguments.select, arguments.against or "baseline"), arguments.format))
    return True


def _records_of(places: list[str], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The records in some places, of the wanted seeds and settings; nothing is trained."""
    from .results.store import read_records, records_with

    for option in ("tier", "devices", "threads", "dry_run"):
        if getattr(arguments, option):
            raise RecipeError(f"records are given, so nothing is trained: leave out --{option.replace('_', '-')}")
    records = records_with(read_records(places), arguments.overrides)
    return [record for record in records if not arguments.seeds or record["seed"] in arguments.seeds]


def _paper_table(number: str, places: list[str], arguments: argparse.Namespace) -> bool:
    """Print a paper's table from records, or train what is missing first; False if data are missing for some rows."""
    from .engine.run import finished, share_of, with_data
    from .results.paper import find_table
    from .results.render import render_table
    from .results.tables import make_table, recipes_of

    paper = find_table(number)
    choice = arguments.select, arguments.on, arguments.against
    make_table(paper, [], *choice)  # a wrong choice ends here, not after the training
    missing: dict[str, str] = {}
    if places:
        records = _records_of(places, arguments)
    else:
        every = _planned(recipes_of(paper, arguments.on), arguments)
        ready, missing = with_data(every)
        with redirect_stdout(sys.stderr):  # the table alone goes to standard output
            _launch(share_of(ready, arguments.shard), arguments)
        records = finished(ready, arguments.runs)
    print(render_table(make_table(paper, records, *choice), arguments.format))
    for name, sentence in missing.items():
        print(f"not run for want of {name}: {sentence}", file=sys.stderr)
    return not missing


def _report(arguments: argparse.Namespace) -> None:
    from .results.report import write_report
    from .results.store import read_records, records_with

    records = records_with(read_records(arguments.places), arguments.overrides)
    choice = arguments.select, arguments.on, arguments.against
    print(write_report(records, arguments.out, *choice, pictures=arguments.pictures))


def _figure(arguments: argparse.Namespace) -> None:
    from .figures import FIGURES, OF_RECORDS
    from .recipe import parse_settings

    FIGURES[arguments.name]  # an unknown name ends here, not after the loading
    dotted = [text for text in arguments.overrides if "." in text.partition("=")[0]]
    settings = parse_settings([text for text in arguments.overrides if text not in dotted])
    if arguments.name in OF_RECORDS:
        from .figures.records import read_finished
        from .results.store import records_with

        runs: list[Any] = records_with(read_finished(arguments.runs), dotted)
    else:
        from .engine.load import load_run

        runs = [load_run(run, dotted) for run in arguments.runs]
    print(*FIGURES.build(arguments.name, runs, arguments.out, **settings), sep="\n")


def _doctor(arguments: argparse.Namespace) -> bool:
    from .engine.doctor import examine

    return examine()


def _data_check(arguments: argparse.Namespace) -> bool:
    from .data.commands import check

    return check(arguments.set, arguments.root, arguments.static_root)


def _data_audit(arguments: argparse.Namespace) -> bool:
    from .data.commands import report_audit

    return report_audit(arguments.set, arguments.root, arguments.static_root)


def _data_download(arguments: argparse.Namespace) -> bool:
    from .data.commands import download

    return download(arguments.set, arguments.root, arguments.static_root)


def _data_prepare(arguments: argparse.Namespace) -> bool:
    from .data.commands import prepare
    from .data.types import FrameSpec

    spec = FrameSpec(arguments.steps, arguments.size, arguments.frames)
    where, choices = (arguments.root, arguments.static_root), (arguments.antialias, arguments.sensor)
    return prepare(arguments.set, *where, spec, arguments.cache, arguments.workers, *choices)


def _data_simulate(arguments: argparse.Namespace) -> bool:
    from .data.commands import simulate

    return simulate(arguments.set, arguments.static, arguments.out, arguments.limit_per_class, arguments.workers)


if __name__ == "__main__":
    sys.exit(main())
