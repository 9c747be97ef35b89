"""Runs by the dozen: several recipes and seeds, skipping what is finished, and a look at what is to come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from ..engine.devices import make_fabric, on_first_rank
from ..engine.environment import machine
from ..engine.loop import fit
from ..engine.stages import describe_stages, plan_stages
from ..engine.step import make_optimizer
from ..engine.task import TaskData, build_method, describe_data, frame_spec, import_modules, load_task
from ..errors import DataError, RecipeError, TrainingError
from ..files import write_whole
from ..own_code import COPY, Code, pack
from ..progress import duration
from ..recipe import DataConfig, Recipe, recipe_hash
from ..recipe.files import find_recipe
from ..recipe.identity import changed_keys
from ..recipe.load import load_with_code
from ..recipe.stages import warmup_that_fits
from ..recipe.text import read_yaml, write_yaml
from ..results.notes import notes_of
from ..results.store import RECORD, find_record, run_folder, write_record
from ..terminal import labelled, painted, wrapped
from .estimate import TIMED_STEPS, estimate
from .forecast import need_training_memory

RECIPE = "recipe.yaml"
HOW_TO_STOP = "To stop: Ctrl-C, which saves where the run is. To go on: the same command with --resume."


@dataclass(frozen=True)
class RunSpec:
    """One run to come.

    Args:
        recipe: of the run.
        seed: of the run.
        note: a sentence if it is not quite the recipe that was asked for.
        code: the user's own code that the recipe leads to.
    """

    recipe: Recipe
    seed: int
    note: str = ""
    code: Code = field(default_factory=dict)

    def folder(self, runs: Path) -> Path:
        """Its run folder."""
        return run_folder(runs, self.recipe, self.seed)

    def write_inputs(self, runs: Path) -> None:
        """Write what the run is trained from into its folder: the recipe, and the user's own code.

        Raises:
            TrainingError: if the folder cannot be written.
        """
        write_whole(self.folder(runs) / RECIPE, write_yaml(self.recipe.as_dict()).encode())
        if self.code:
            write_whole(self.folder(runs) / COPY, pack(self.code))

    def __str__(self) -> str:
        return f"{self.recipe.name} ({recipe_hash(self.recipe)[:8]}) seed {self.seed}"


def plan(
    names: Iterable[str], overrides: Iterable[str] = (), tier: str | None = None, seeds: Iterable[int] | None = None
) -> list[RunSpec]:
    """All runs of some recipes (see `recipe.files.find_recipe`), those of one recipe together.

    The overrides, such as `train.epochs=3`, the tier and the seeds are those of all recipes.

    Raises:
        RecipeError: for a bad recipe; all are loaded before anything is trained.
    """
    chosen = [*overrides, *([f"train.seeds={list(seeds)}"] if seeds else [])]
    cells = [cell for name in names for cell in _cells(find_recipe(name), chosen, tier)]
    for cell in {id(cell.recipe): cell for cell in cells}.values():
        import_modules(cell.recipe, cell.code)
    if len({cell.recipe.train.precision for cell in cells}) > 1:
        raise RecipeError("the recipes differ in train.precision: train them with one command for each precision")
    return cells


def _cells(file: Path, overrides: list[str], tier: str | None) -> list[RunSpec]:
    """The runs of one recipe file, whose warm-up gives way to fewer epochs."""
    shorter = warmup_that_fits(file, overrides, tier)
    recipe, code = load_with_code(file, [*overrides, *shorter], tier)
    note = f"{recipe.name}: the warm-up would not end within so few epochs, so it is cut: {' '.join(shorter)}"
    return [RunSpec(recipe, seed, note if shorter else "", code) for seed in recipe.train.seeds]


def share_of(cells: list[RunSpec], shard: tuple[int, int]) -> list[RunSpec]:
    """One shard of a sweep, for array jobs: (i, n) is the i-th (from 1) of n parts.

    Raises:
        RecipeError: if there is no such part.
    """
    number, parts = shard
    if not 1 <= number <= parts:
        raise RecipeError(f"shard {number}/{parts} does not exist: it goes from 1/{parts} to {parts}/{parts}")
    return cells[number - 1 :: parts]


def train(cells: list[RunSpec], runs: Path, devices: int | None = None, resume: bool = False) -> None:
    """Train what is not finished yet, one run after the other, and write the records.

    Raises:
        TrainingError: see `fit.fit`.
        DataError: if the data of a run are missing.
    """
    if not cells:
        return
    fabric = make_fabric(cells[0].recipe.train.precision, devices)
    fabric.launch()
    validate(cells, fabric.world_size)
    took: dict[str, float] = {}
    for cell, task in _with_tasks(cells, runs, fabric):
        folder = cell.folder(runs)
        before = took.get(recipe_hash(cell.recipe))
        same = [] if before is None else [("time", f"about {duration(before)}, as the run before, with another seed")]
        fabric.print(_announcement(cell, cells, runs, same or _about(cell, task, fabric)))
        if not took:
            fabric.print(wrapped(HOW_TO_STOP))
        if cell.code:
            on_first_rank(fabric, partial(cell.write_inputs, runs))
        record = fit(cell.recipe, cell.seed, folder, resume, fabric, task)
        on_first_rank(fabric, partial(write_record, folder, record))
        took[recipe_hash(cell.recipe)] = record["seconds"]
        fabric.print(_report(record, folder))


def with_data(cells: list[RunSpec]) -> tuple[list[RunSpec], dict[str, str]]:
    """The runs whose data are here, and for the other data sets (and kinds of frames) what is missing, in words."""
    missing: dict[str, str] = {}
    needed = {_needs(cell.recipe.data): cell.recipe.data for cell in cells}
    for need, data in sorted(needed.items(), key=lambda each: each[0] != each[1].name):  # data sets first
        if data.name in missing:
            continue
        try:
            describe_data(data)
        except DataError as error:
            missing[need] = str(error)
    here = [cell for cell in cells if missing.keys().isdisjoint({cell.recipe.data.name, _needs(cell.recipe.data)})]
    return here, missing


def _needs(data: DataConfig) -> str:
    """What a run reads, in words: a data set, and for some frames a file of weights."""
    if not data.reconstruction:
        return data.name
    return f"{data.name} as {data.frames} frames of {data.reconstruction.get('weights')}"


def finished(cells: Iterable[RunSpec], runs: Path) -> list[dict[str, Any]]:
    """The records of those runs that are finished."""
    found = [find_record(cell.folder(runs), cell.recipe, cell.seed) for cell in cells]
    return [record for record in found if record is not None]


def dry_run(cells: list[RunSpec], runs: Path) -> None:
    """Print what `train` would do; a few real steps give the time it would take."""
    if not cells:
        return
    fabric = make_fabric(cells[0].recipe.train.precision)
    validate(cells, fabric.world_size)
    total, trained = 0.0, set[Path]()
    for cell, task in _with_tasks(cells, runs, fabric):
        cost = estimate(cell.recipe, cell.seed, task, fabric, trained)
        total += cost.seconds
        memory = ", ".join(f"{name[:-4]} {value:.0f} MiB" for name, value in cost.memory.items())
        costs = [
            ("time", f"about {duration(cost.seconds)} in one process on this machine, judging by {TIMED_STEPS} steps"),
            ("peak memory", memory),
        ]
        print(_announcement(cell, cells, runs, [*_about(cell, task, fabric), *costs]), end="\n\n")
    print(f"about {duration(total)} in all; nothing was trained: leave out --dry-run to train")


def result_in_words(record: dict[str, Any]) -> str:
    """The accuracies of a record in one sentence."""
    words = [f"{record['name']} seed {record['seed']}: test accuracy {record['last']['accuracy']:.2%} at the end"]
    if record["best_val"]:
        words.append(f"{record['best_val']['accuracy']:.2%} where validation was best")
    words.append(f"{record['best_test']['accuracy']:.2%} at best (selected on the test set)")
    return ", ".join(words)


def validate(cells: list[RunSpec], world_size: int) -> None:
    """Find what is wrong with any recipe before frames are made for the first and hours are spent on it.

    Raises:
        RecipeError: for a recipe that cannot be trained.
        DataError: if its data are missing.
    """
    for recipe in {recipe_hash(cell.recipe): cell.recipe for cell in cells}.values():
        facts = describe_data(recipe.data)
        method = build_method(recipe, facts["classes"], seed=0)
        if method.needs_static and not facts["pool"]:
            raise RecipeError(
                f"{recipe.name}: method '{recipe.method['name']}' draws static images, but there are none for"
                f" {recipe.data.name} under protocol '{recipe.data.protocol}': "
                + "; ".join(facts.get("remarks", ["use the baseline, or another protocol"]))
            )
        for stage in plan_stages(recipe, method, facts, facts["train"], 0, world_size):
            method.begin_stage(stage.stage.name)
            if stage.stage.trains:
                make_optimizer(method.trainable(), stage.recipe)


def _with_tasks(cells: list[RunSpec], runs: Path, fabric: Fabric) -> Iterator[tuple[RunSpec, TaskData]]:
    """The unfinished runs with their data, which are loaded once for all that follow each other."""
    loaded: tuple[DataConfig, TaskData] | None = None
    for cell in cells:
        if on_first_rank(fabric, partial(is_finished, cell, runs)):
            continue
        need_training_memory(cell.recipe, fabric)
        if loaded is None or loaded[0] != cell.recipe.data:
            loaded = (cell.recipe.data, load_task(cell.recipe, fabric))
        yield cell, loaded[1]


def is_finished(cell: RunSpec, runs: Path) -> bool:
    """Whether the record is there, and say so; it must be of the same data, which the recipe's hash does not cover.

    Raises:
        TrainingError: if it is of other data.
    """
    folder = cell.folder(runs)
    record = find_record(folder, cell.recipe, cell.seed)
    if record is None:
        print(*_run_of_other_code(cell, runs), sep="", end="")
        return False
    facts = describe_data(cell.recipe.data)
    for key in ("kind", "split"):
        if facts[key] != record["data"][key]:
            raise TrainingError(
                f"{folder} is finished, but with other data ({key} {record['data'][key]}, yours {facts[key]}): choose"
                " another folder with --runs"
            )
    note = f" (warning: the files of the data set have changed since, or are copies: tmkt eval {folder} compares them)"
    if facts["fingerprint"] == record["data"]["fingerprint"]:
        note = ""
    keep = cell.recipe.train.keep_every
    if keep and record["recipe"]["train"].get("keep_every") != keep:
        note += f" (its weights were not kept with train.keep_every={keep}: to train it again, remove the folder)"
    if cell.code and not (folder / COPY).exists():
        write_whole(folder / COPY, pack(cell.code))
    print(f"finished already: {_report(record, folder, note)}")
    return True


def _run_of_other_code(cell: RunSpec, runs: Path) -> list[str]:
    """A line on the newest run of the same recipe and seed whose code was another, if there is one."""
    folder, found = cell.folder(runs), {}
    for file in folder.parents[1].glob(f"*/{folder.name}/{RECIPE}") if cell.code else ():
        with suppress(OSError, ValueError, AttributeError):  # it is no recipe
            keys = changed_keys(read_yaml(file.read_text(encoding="utf-8")), cell.recipe.as_dict())
            if keys and all(key.startswith("code.") for key in keys):
                found[file.stat().st_mtime_ns] = file, ", ".join(key.removeprefix("code.") for key in keys)
    old = run_folder(runs, replace(cell.recipe, code={}), cell.seed)
    if not found and cell.code and (old / RECORD).is_file():
        return [f"{old} does not say with which code it was trained, so this is a new run\n"]
    if not found:
        return []
    file, names = found[max(found)]
    if (file.parent / RECORD).is_file():
        return [f"{names} changed since {file.parent} was trained, so this is a new run\n"]
    again = f"tmkt train {file} --seeds {cell.seed} --resume --runs {runs}"
    return [f"{names} changed since {file.parent} was begun, so this is a new run; to go on with that one: {again}\n"]


def _report(record: dict[str, Any], folder: Path, note: str = "") -> str:
    """The result of a run, notes about it, and the path of its record, as text."""
    sentences = f"{result_in_words(record)}{note}", *(f"note: {words}" for words in notes_of(record).values())
    return "\n".join([*map(wrapped, sentences), f"record: {folder / RECORD}\n"])


def _announcement(cell: RunSpec, cells: list[RunSpec], runs: Path, lines: list[tuple[str, str]]) -> str:
    """What a run will do: its name, its place among all, where the results go, and what there is to know about it."""
    place = f", run {cells.index(cell) + 1} of {len(cells)}" if len(cells) > 1 else ""
    results = f"{cell.folder(runs)} (record.json, checkpoints, log.csv, tensorboard)"
    return f"{painted(f'{cell}{place}', 'bold')}\n{labelled([*lines, ('results in', results)])}"


def _about(cell: RunSpec, task: TaskData, fabric: Fabric) -> list[tuple[str, str]]:
    """Data, network, method, training and device of a run, as pairs of a label and a text."""
    recipe, facts, here = cell.recipe, task.facts, machine(fabric)
    method = build_method(recipe, facts["classes"], cell.seed)
    stages = describe_stages(plan_stages(recipe, method, facts, facts["train"], cell.seed, fabric.world_size))
    parameters = sum(parameter.numel() for parameter in method.parameters() if parameter.requires_grad)
    size = "x".join(map(str, frame_spec(recipe.data).shape))
    count, threads = here["world_size"], recipe.train.threads or here["threads"]
    device = f"CPU, {threads} thread{'s' * (threads != 1)}" if here["device"] == "cpu" else here["device_name"]
    return [
        (
            "data",
            f"{recipe.data.name} ({facts['kind']} data), {facts['classes']} classes, T {recipe.data.steps}, {size}",
        ),
        ("split", task.sentence.removeprefix("Split ")),
        ("network", f"{recipe.model['name']}, {parameters:,} parameters"),
        ("method", str(recipe.method["name"])),
        *(("" if number else "training", line) for number, line in enumerate(stages)),
        ("device", f"{f'{count} x ' * (count > 1)}{device}, precision {recipe.train.precision}"),
        *(("note", remark) for remark in (*facts.get("remarks", ()), *method.notes())),
    ]
