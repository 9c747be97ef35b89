"""What the commands do: each verb takes the parsed arguments; False says that it found something wrong."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError
from ..files import user_path
from ..registry import Identity, Registry, did_you_mean
from ..terminal import in_columns, painted, wrapped

if TYPE_CHECKING:
    from ..launch.plan import RunSpec
    from ..results.given import Given

PARTS = {
    "Data sets": ("data.sets", "DATASETS.register"),
    "Backbones": ("models", "MODELS.register"),
    "Nodes": ("models.nodes", "NODES.register"),
    "Surrogate gradients": ("models.surrogates", "SURROGATES.register"),
    "Norms": ("models.norms", "NORMS.register"),
    "Attention": ("models.attention", "ATTENTIONS.register"),
    "Methods": ("methods", "METHODS.register"),
    "Losses": ("losses", "LOSSES.register"),
    "Augmentations": ("data.augment", "AUGMENTS.register"),
    "Figures": ("figures", "figure_of_runs", "figure_of_records"),
}
"""What a recipe or a command can name: the folder it is in, and the decorators that enter it there."""

NAMES = 20
"""Letters of the column of names, at least."""


def list_(arguments: argparse.Namespace) -> None:
    """Print all names; nothing is imported for it."""
    from ..models.pretrained import read_index
    from ..recipe.files import known_recipes
    from ..results.paper import read_tables

    for heading, (folder, *decorators) in PARTS.items():
        registry = Registry(heading, f"braincog_tmkt.{folder}", decorators)
        _print_names(heading, {name: _source(registry.identity(name)) for name in sorted(registry)})
    tables, refused = read_tables()
    _print_names("Tables", {number: table.title for number, table in tables.items()})
    print(painted("Recipes:", "bold"), in_columns(known_recipes()), sep="\n")
    stated = {name: f"{each.facts['accuracy']:.1%} of {each.facts['count']}" for name, each in read_index().items()}
    _print_names("Checkpoints, with their accuracy on test recordings", stated)
    for why in refused:
        say(f"note: left out: {why}")


def _print_names(heading: str, names: Mapping[str, str]) -> None:
    """Names with what they are beside them, as wide as the terminal; in a pipe, a line each."""
    print(painted(f"{heading}:", "bold"))
    column = max(NAMES, *map(len, names)) if names else NAMES
    for name, words in names.items():
        print(wrapped(f"  {name:{column}} {words}".rstrip(), column + 3))


def _source(entry: Identity) -> str:
    """Title, and where it was published."""
    arxiv = f"arXiv:{entry.arxiv}" if entry.arxiv else ""
    year = "" if str(entry.year) in entry.paper else entry.year
    source = ", ".join(str(part) for part in (entry.paper, year, arxiv) if part)
    return entry.title.rstrip(".") + (f" ({source})" if source else "")


def is_first() -> bool:
    """Whether this is the first of all processes of a run, which prints what all of them have to say."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"


def say(sentence: str) -> None:
    """Print a sentence on standard error, once for all processes of a run."""
    if is_first():
        print(painted(sentence, "dim", sys.stderr), file=sys.stderr)


def train(arguments: argparse.Namespace) -> None:
    """Train recipes."""
    from ..launch.plan import share_of

    cells = share_of(_planned(arguments.recipes, arguments), arguments.shard)
    _launch(cells, arguments)
    if cells and not arguments.dry_run and is_first():
        names = {cell.recipe.name for cell in cells}
        results = arguments.runs / names.pop() if len(names) == 1 else arguments.runs
        print(painted("Next:", "bold"))
        print(f"  tmkt table {quote(str(results))}  # mean and deviation over the seeds")
        run = quote(str(cells[-1].folder(arguments.runs)))
        print(f"  tmkt eval {run}  # evaluate the checkpoints of this run again")
        if _one_running_set(cells[-1].recipe.model):
            print(f"  tmkt eval {run} --norms own  # with statistics of batch norm for each time step")


def _one_running_set(model: Mapping[str, Any]) -> bool:
    """Whether batch norm takes the statistics of each step in training, and one set for all of them in evaluation."""
    from ..models import target_of

    return (model.get("norm") or getattr(target_of(model["name"]), "default_norm", None)) == "step"


def _planned(recipes: list[str], arguments: argparse.Namespace) -> list[RunSpec]:
    from ..launch.plan import plan

    threads = [f"train.threads={arguments.threads}"] if arguments.threads else []
    cells = plan(recipes, [*arguments.overrides, *threads], arguments.tier, arguments.seeds)
    for note in dict.fromkeys(cell.note for cell in cells if cell.note):
        say(note)
    return cells


def _launch(cells: list[RunSpec], arguments: argparse.Namespace) -> None:
    from ..launch.local import run_jobs
    from ..launch.plan import dry_run, train
    from ..launch.ray import run_ray

    if arguments.launcher == "ray" and arguments.jobs > 1:
        raise RecipeError(
            "--jobs is for one machine, and with --launcher ray the cluster decides how many run at a time: leave"
            " out --jobs"
        )
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


def eval_(arguments: argparse.Namespace) -> bool:
    """Evaluate a finished run, or a checkpoint, again."""
    from ..inspect.measured import evaluate_checkpoint, evaluate_checkpoint_norms, evaluate_checkpoint_steps
    from ..inspect.norms import re_evaluate_norms
    from ..inspect.reevaluate import evaluate_steps, parse_steps, re_evaluate
    from ..models.pretrained import find_checkpoint

    steps = None if arguments.steps is None else parse_steps(arguments.steps)
    if steps is None and arguments.precision:
        raise RecipeError(
            "--precision needs --steps, since without it the recorded numbers are repeated: add --steps, or leave out"
            " --precision"
        )
    if steps and arguments.norms:
        raise RecipeError("--norms and --steps are two questions: give one of them")
    checkpoint = find_checkpoint(arguments.run)
    if checkpoint and arguments.norms:
        return evaluate_checkpoint_norms(checkpoint, arguments.norms, arguments.overrides)
    if arguments.norms:
        re_evaluate_norms(arguments.run, arguments.norms, arguments.overrides)
        return True
    if checkpoint and steps:
        return evaluate_checkpoint_steps(checkpoint, steps, arguments.overrides, arguments.precision)
    if checkpoint:
        return evaluate_checkpoint(checkpoint, arguments.overrides)
    if steps is None:
        return re_evaluate(arguments.run, arguments.overrides)
    print(evaluate_steps(arguments.run, steps, arguments.overrides, arguments.precision))
    return True


def export(arguments: argparse.Namespace) -> None:
    """Write a finished run as a checkpoint."""
    from ..inspect.export import export_run

    print(export_run(arguments.run, arguments.folder, arguments.overrides))


def table(arguments: argparse.Namespace) -> bool:
    """Print a paper's table, or a table of the records in some places."""
    from ..results.paper import read_tables

    number, *places = arguments.what
    tables, refused = read_tables()
    if number in tables or number in {name for names in refused.values() for name in names}:
        return _paper_table(number, places, arguments)
    if not user_path(number).exists():
        words = f"'{number}' is neither a table ({', '.join(tables)}) nor a file or folder: give one of these"
        raise RecipeError("; ".join([words, *refused]))
    from ..results.summary import render, require_recipe, summarise

    records, given = _on(arguments.dataset, *_records_of(arguments.what, arguments))
    against = arguments.reference
    require_recipe(records, against)
    print(render(summarise(records, arguments.select, against or "baseline", given), arguments.format))
    return True


def _records_of(places: list[str], arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], list[Given]]:
    """Read the records and given results in some places; refuse options of training, since nothing is trained."""
    for option, default in arguments.running.items():
        if getattr(arguments, option) != default:
            raise RecipeError(f"records are given, so nothing is trained: leave out --{option.replace('_', '-')}")
    return _read(places, arguments.overrides, arguments.seeds)


def _read(
    places: Sequence[str | Path], settings: list[str], seeds: list[int] | None = None
) -> tuple[list[dict[str, Any]], list[Given]]:
    """The records in some places, and the results that files among them give."""
    from ..results.given import of_seeds
    from ..results.given_files import is_given, read_given
    from ..results.store import read_records

    files = [place for place in places if is_given(place)]
    others = [user_path(place) for place in places if place not in files]
    records = _chosen(read_records(others), settings, seeds) if others or settings else []
    return records, of_seeds(read_given(files), seeds)


def _on(
    dataset: str | None, records: list[dict[str, Any]], given: list[Given]
) -> tuple[list[dict[str, Any]], list[Given]]:
    """Those on one data set.

    Raises:
        RecipeError: if none is, with the data sets there are.
    """
    if not dataset:
        return records, given
    ours = [record for record in records if record["data"]["set"] == dataset]
    theirs = [one for one in given if one.dataset == dataset]
    if not ours and not theirs:
        there = sorted({record["data"]["set"] for record in records} | {one.dataset for one in given})
        raise RecipeError(f"no result is on '{dataset}': {did_you_mean(dataset, there)}")
    return ours, theirs


def _chosen(records: list[dict[str, Any]], settings: list[str], seeds: list[int] | None = None) -> list[dict[str, Any]]:
    """The records of some settings and seeds.

    Raises:
        RecipeError: for a setting or a seed that none of them has, with those there are.
    """
    from ..recipe.identity import setting_of
    from ..results.store import records_with

    for setting in settings:
        found, key = records_with(records, [setting]), setting.partition("=")[0]
        if not found:
            values = sorted({str(setting_of(record, key)) for record in records})
            raise RecipeError(
                f"no record has {setting}: choose one that there is,"
                f" {key}={f' or {key}='.join(values[:10]) or '(none)'}"
            )
        records = found
    there = {record["seed"] for record in records}
    if missing := sorted(set(seeds or ()) - there):
        known = ", ".join(map(str, sorted(there)))
        raise RecipeError(f"no record has seed {missing[0]}: choose from {known or 'none'}")
    return [record for record in records if not seeds or record["seed"] in seeds]


def _paper_table(number: str, places: list[str], arguments: argparse.Namespace) -> bool:
    """Print a paper's table from records, or train what is missing first; False if there are no data for any row."""
    from ..results.given import left_out
    from ..results.paper import find_table
    from ..results.render import render_table
    from ..results.tables import make_table, recipes_of

    paper = find_table(number)
    choice = arguments.select, arguments.dataset, arguments.reference
    make_table(paper, [], *choice)  # a wrong choice ends here, not after the training
    ready: list[RunSpec] = []
    missing: dict[str, str] = {}
    given: list[Given] = []
    if places:
        records, given = _records_of(places, arguments)
    else:
        from ..launch.plan import finished, share_of, with_data

        every = _planned(recipes_of(paper, arguments.dataset), arguments)
        ready, missing = with_data(every)
        with redirect_stdout(sys.stderr):  # the table alone goes to standard output
            _launch(share_of(ready, arguments.shard), arguments)
        records = finished(ready, arguments.runs)
    shown = make_table(paper, records, *choice, given)
    print(render_table(shown, arguments.format))
    for sentence in left_out(given, shown.given, f"which table {number} does not have"):
        say(f"note: {sentence}")
    for name, sentence in missing.items():
        say(f"skipped {name}, data not found: {sentence}")
    return not missing or bool(ready)


def report(arguments: argparse.Namespace) -> None:
    """Write the HTML report."""
    from ..results.report import write_report

    records, given = _on(arguments.dataset, *_read(arguments.places, arguments.overrides))
    choice = arguments.select, arguments.dataset, arguments.reference
    print(write_report(records, arguments.out, *choice, pictures=arguments.pictures, given=given))


def figure(arguments: argparse.Namespace) -> None:
    """Draw a picture of finished runs."""
    from ..figures import FIGURES
    from ..recipe import parse_settings

    draw = FIGURES[arguments.name]  # an unknown name ends here, not after the loading
    dotted = [text for text in arguments.overrides if "." in text.partition("=")[0]]
    settings = parse_settings([text for text in arguments.overrides if text not in dotted])
    if getattr(draw, "of_records", False):
        from ..results.store import read_records

        runs: list[Any] = _chosen(read_records(arguments.runs), dotted)
    else:
        from ..inspect.reload import load_run

        runs = [load_run(run, dotted) for run in arguments.runs]
    print(*FIGURES.build(arguments.name, runs, arguments.out, **settings), sep="\n")


def scripts(arguments: argparse.Namespace) -> None:
    """Write the shell scripts to a folder."""
    from ..launch.scripts import what_next, write_scripts

    written = write_scripts(arguments.folder, arguments.overwrite)
    print(f"{len(written)} scripts are in {arguments.folder}; the head of each says what it does and takes. Run next:")
    print(what_next(arguments.folder))


def doctor(arguments: argparse.Namespace) -> bool:
    """Print versions and devices, and what is missing."""
    from ..inspect.doctor import examine

    return examine()


def data(arguments: argparse.Namespace) -> bool:
    """Check, audit, download, prepare or simulate a data set."""
    from ..data import commands

    if arguments.action == "simulate":
        places = arguments.static, arguments.out
        return commands.simulate(arguments.set, *places, arguments.limit_per_class, arguments.workers)
    from ..data.reconstruct.settings import reconstruction_of
    from ..data.sets import DATASETS, build_dataset
    from ..data.splits import Protocol
    from ..data.types import FrameSpec
    from ..recipe.load import data_section

    options = {"name": arguments.set, "root": arguments.root, "static_root": arguments.static_root}
    if arguments.action == "prepare":
        size = arguments.size[0] if arguments.size and len(arguments.size) == 1 else arguments.size
        options |= {"steps": arguments.steps, "size": size, "frames": arguments.frames, "cache": arguments.cache}
        default = getattr(DATASETS[arguments.set], "averages", False)
        averages = default if arguments.antialias is None else arguments.antialias
        options |= {"antialias": averages, "sensor": arguments.sensor}
    given = {
        key: str(value) if isinstance(value, Path) else value for key, value in options.items() if value is not None
    }
    config = data_section(given, arguments.overrides)
    dataset = build_dataset(config.name, config.root, config.static_root, **config.own)
    if arguments.action == "check":
        return commands.check(dataset, arguments.files, arguments.figure)
    if arguments.action == "audit":
        how = config.train_portion, config.val_portion, config.train_per_class, config.static_pool
        return commands.report_audit(dataset, Protocol("clean", *how))
    if arguments.action == "download":
        return commands.download(dataset)
    images = reconstruction_of(config.reconstruction, config.root)
    spec = FrameSpec(config.steps, config.size, config.frames, config.antialias, config.appearance, images)
    return commands.prepare(dataset, spec, config.cache, arguments.workers)
