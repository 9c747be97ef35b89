"""Finished runs, evaluated again: as they were recorded, or with other numbers of time steps."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..data.sets import DATASETS
from ..engine.costs import MAC, count_costs
from ..engine.devices import make_fabric
from ..engine.evaluate import MOST_FRAMES, evaluate, within_memory
from ..errors import RecipeError
from ..files import write_whole
from ..progress import counting
from ..results.stages import steps_of
from .reload import LoadedRun, load_run

STEPS = "steps.csv"
MOST_STEPS = 10_000
COLUMNS = ("steps", "accuracy", "loss", "firing_rate", "synaptic_operations", "energy")
ON_CPU = 256
"""Frames at once on a CPU, where layers are faster on what fits into its cache."""


def re_evaluate(place: Path, overrides: Iterable[str] = ()) -> bool:
    """Evaluate the kept checkpoints of a finished run on its test recordings again, and compare with its record.

    Returns:
        Whether every accuracy is the recorded one.

    Raises:
        TmktError: what `load_run`, which takes the same arguments, raises; or if a checkpoint is missing.
    """
    run = load_run(place, overrides)
    rows = run.task.pairs.rows("test")
    batch = within_memory(run.method, run.recipe.train.at_once)
    same = True
    for name, entry in run.kept:
        run.load_weights(name)
        with counting(-(-len(rows) // batch), name, "batch") as count:
            found = evaluate(run.method, run.task.pairs, rows, batch, run.fabric, count)
        off = round(abs(found.accuracy - entry["accuracy"]) * found.count)
        same = same and off == 0
        verdict = "as recorded" if off == 0 else f"the record has {entry['accuracy']:.2%}, {off} recordings off"
        print(f"{name}: {found.accuracy:.2%} of {found.count} test recordings, {verdict}")
    return same


def parse_steps(text: str) -> list[int]:
    """Numbers of time steps, as on the command line.

    Raises:
        RecipeError: if it is no such text.

    Example:
        >>> parse_steps("1..4"), parse_steps("5"), parse_steps("1,2,4..6")
        ([1, 2, 3, 4], [5], [1, 2, 4, 5, 6])
    """
    steps: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]{1,9})(?:\.\.([0-9]{1,9}))?", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last <= MOST_STEPS:
            raise RecipeError(
                f"'{text}' does not name numbers of time steps: write 1..10, or 5, or 1,2,4, which go up to"
                f" {MOST_STEPS}"
            )
        steps += range(first, last + 1)
    return list(dict.fromkeys(steps))


def evaluate_steps(
    place: Path, steps: Sequence[int], overrides: Iterable[str] = (), precision: str | None = None
) -> Path:
    """Run the network of a finished run with other numbers of time steps, on the test recordings.

    Prints a table and writes it as `steps.csv` into the run folder (`steps-bf16-mixed.csv` if the training was more
    precise): `steps`, `accuracy`, `loss`, `firing_rate` (mean
    over the nodes of the spikes of a neuron in a time step), and of one recording `synaptic_operations` (an estimate)
    and `energy` (in pJ, of arithmetic alone; see `engine.costs.StepCosts`).

    Where the first t of T steps are what a run with t steps gives (`Method.causal`), all come out of one pass with the
    largest T.

    Args:
        place: run folder, or the record in it.
        steps: numbers T of time steps.
        overrides: settings that do not change the result, such as `data.root=/elsewhere`.
        precision: `32-true` or `bf16-mixed`; None is that of the training.

    Returns:
        The file.

    Raises:
        RecipeError: for more steps than a recording has frames, unless it stands still.
        TmktError: what `load_run`, which takes the same arguments, raises.
    """
    run = load_run(place, overrides)
    if precision:
        run = replace(run, fabric=make_fabric(precision, 1))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *measure_steps(run, steps)])
    usual = precision in (None, "32-true", run.recipe.train.precision)
    file = run.folder / (STEPS if usual else f"steps-{precision}.csv")  # tables and figures take the better numbers
    write_whole(file, text.getvalue().encode())
    return file


def measure_steps(run: LoadedRun, steps: Sequence[int]) -> list[tuple[float, ...]]:
    """The rows of `COLUMNS` that `evaluate_steps` prints and writes; printed, too.

    Raises:
        RecipeError: for more steps than a recording has frames, unless it stands still, or than a network with
            statistics of its own for each step was trained with.
    """
    frames, trained = run.task.pairs.steps, steps_of(run.recipe.as_dict())
    if run.recipe.model.get("norm") == "step_own" and max(steps) > trained:
        raise RecipeError(
            f"{run} has batch norm statistics for the {trained} time steps that it was trained with, so nothing to"
            f" normalise step {trained + 1} with: give --steps up to {trained}"
        )
    still = getattr(DATASETS[run.recipe.data.name], "still", False)
    if still and frames > 1:
        run.task.pairs.steps = max(frames, *steps)  # the one frame may be shown as often as one likes
    elif max(steps) > frames > 1:  # a single frame is shown at all steps
        raise RecipeError(
            f"{run} has recordings of {frames} frames, too few for {max(steps)} time steps: give --steps up to {frames}"
        )
    run.method.set_steps(max(steps))
    beside = ""
    if run.method.causal:
        every, macs = _measure(run, max(steps), max(steps))
        found = iter([every[count - 1] for count in steps])
        beside = f"an ANN of these layers: {macs:.4g} multiply-accumulates a frame, {MAC * macs:.4g} pJ"
    else:
        found = (_measure(run, count)[0][-1] for count in steps)
    print("  ".join(f"{column:>19}" for column in COLUMNS))
    rows = []
    for row in found:
        rows.append(row)
        shown = (f"{row[0]}", *(f"{value:.4f}" for value in row[1:4]), *(f"{value:.4g}" for value in row[4:]))
        print("  ".join(f"{value:>19}" for value in shown), flush=True)
    if beside:
        print(beside)
    return rows


def _measure(run: LoadedRun, steps: int, parts: int = 1) -> tuple[list[tuple[float, ...]], float]:
    """What a pass with so many steps gives.

    Returns:
        A row for the first 1, 2, .. steps each (`parts` T), or one for all (1); and the multiply-accumulates of the
        first step, or of all.
    """
    run.method.set_steps(steps)
    pairs, usual = run.task.pairs, run.recipe.train.at_once
    most = ON_CPU if run.fabric.device.type == "cpu" else MOST_FRAMES
    batch = usual if steps <= pairs.steps else within_memory(run.method, usual, most)
    rows = pairs.rows("test")
    with (
        counting(-(-len(rows) // batch), f"{run}, T {steps}", "batch") as count,
        count_costs(run.method, parts) as costs,
    ):
        found = evaluate(run.method, pairs, rows, batch, run.fabric, count, costs)
    operations, energy, macs = map(costs.of_first_steps, (costs.operations, costs.energy, costs.macs))
    scores = found.accuracy_by_step[-parts:], found.loss_by_step[-parts:]
    numbers = range(steps - parts + 1, steps + 1)
    return list(zip(numbers, *scores, costs.firing_rates(), operations, energy, strict=True)), macs[0]
