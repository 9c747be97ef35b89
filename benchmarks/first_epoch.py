"""What the first epoch of every recipe costs at its full settings: time, and memory at the peak.

    python benchmarks/first_epoch.py            # all recipes, half an hour on a busy machine; writes results/
    python benchmarks/first_epoch.py --quick    # narrow nets, a smoke test; writes to a temporary folder
    python benchmarks/first_epoch.py --device cuda    # each recipe at its own batch; never run by us, for want of a GPU

No data are needed. Random frames of the recipe's shape go through its augmentation, its method's forward and backward
and its optimiser's step; the same through its prediction, for the evaluation. Numbers of recordings are those
of the official sets (the data sets' cards), divided by the recipe's own protocol. Reading frames from the cache is left
out, and so is making them.

Recipes whose steps cost the same share a line: same data set, T, frame size, split, network, batch, epochs and method.
What is measured is the recipe of the line with the most parameters, so with all heads of TMKT.

On the CPU one thread is timed, by its own clock, which stands still while other programs run; shown is the fastest of
the steps. A recipe with a batch up to 32 is measured at its batch. For larger ones the time of a step and its memory
are measured at batch 4 and 8 and put on a line, a + b * batch, which is extrapolated to the recipe's batch. An epoch is
never run: it is steps an epoch times seconds a step, plus the validation and test recordings if it ends with a look at
them (all epochs: one seed). N-MNIST tests on all recordings that it does not train on.
Memory is what torch allocates in a training step (`memory.py`), with the weights, the optimiser's moments and the
batch; the libraries themselves (about 0.5 GiB) and the frame cache (a memory map) are not in it.
On a GPU everything is measured at the recipe's batch by the wall clock, memory by torch's allocator.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from execution_nets import BF16, MULTI, Case, make_batch, make_method
from execution_report import RESULTS, machine
from memory import GIB, Step, measure, through
from tabulate import tabulate

from braincog_tmkt.data.augment import build_augmentations
from braincog_tmkt.data.sets import DATASETS
from braincog_tmkt.data.sets.ncaltech101 import COUNTS
from braincog_tmkt.data.sets.nomniglot import TEST_DRAWERS
from braincog_tmkt.data.splits import make_split
from braincog_tmkt.data.types import Index, Item
from braincog_tmkt.engine.devices import make_fabric
from braincog_tmkt.engine.memory import peak_memory, reset_peak_memory
from braincog_tmkt.engine.step import make_optimizer, steps_per_epoch
from braincog_tmkt.engine.task import protocol_of
from braincog_tmkt.recipe import Recipe
from braincog_tmkt.recipe.files import known_recipes

PRECISIONS = {"32-true": MULTI, "bf16-mixed": MULTI + BF16}
SMALL, LARGE = 4, 8
MEASURED_UP_TO = 32
STEPS = 2
"""Timed steps at least, after those of the measurement of memory, which also compile."""

ENOUGH_SECONDS = 0.5
"""Short steps are timed until they have taken this long together."""

MNIST = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}
"""Recordings of each digit, as MNIST's label files have them (70,000)."""

SETS = ("ncaltech101", "cepdvs", "nomniglot", "nmnist", "digits", "cifar10dvs", "dvsgesture")
CHECKED, CHECK = "ncaltech101/tmkt", 16
"""Where the line of the time is checked by a third, larger batch."""


@dataclass(frozen=True)
class Group:
    """Recipes that cost the same.

    Args:
        names: theirs.
        case: the one with the most parameters; its batch is the recipe's.
        counts: recordings by part of the split.
        parameters: fewest and most trainable ones.
    """

    names: list[str]
    case: Case
    counts: dict[str, int]
    parameters: tuple[int, int]


@dataclass
class Row:
    """The cost of a group under one precision; hours are for one seed."""

    recipes: str
    network: str
    parameters: str
    precision: str
    train: int
    held_out: int
    batch: int
    steps_per_epoch: int
    seconds_per_step: float
    hours_first_epoch: float
    epochs: int
    hours_in_all: float
    peak_gib: float
    how: str


def official(name: str) -> Index:
    """All recordings of the official set, as many as its card says, with their official parts, and without files."""
    index = _official(name)
    assert len(index.recordings) == DATASETS[name].card.counts["recordings"], name
    return index


def _official(name: str) -> Index:
    if name == "digits":
        return DATASETS[name]("").index()
    if name == "ncaltech101":
        return _index({label: [f"{n:04}" for n in range(count)] for label, count in COUNTS.items()})
    if name == "cepdvs":  # of each class half trains, the next fifth tests, the rest is not used
        stems = [f"{'train' if n < 250 else 'test' if n < 350 else 'unused'}{n:03}" for n in range(500)]
        return _index({f"class{label:02}": stems for label in range(20)})
    if name == "nomniglot":
        stems = [f"{n:02}_{n:02}" for n in range(1, 21)]
        return _index({f"character{label:04}": stems for label in range(1623)}, TEST_DRAWERS)
    if name == "nmnist":
        return _index({str(d): [f"{part}{n}" for part in MNIST for n in range(MNIST[part][d])] for d in range(10)})
    if name == "dvsgesture":  # 98 trials to train on, 24 to test on; each has 12 gestures, two of them of one class
        twice = {label: 2 if label == 0 else 1 for label in range(11)}
        trials = [("train", 98), ("test", 24)]
        stems = {k: [f"{part}{n}" for part, count in trials for n in range(count * twice[k])] for k in twice}
        return _index({f"gesture{label:02}": stems[label] for label in twice})
    assert name == "cifar10dvs", name
    return _index({f"class{label}": [f"{n:03}" for n in range(1000)] for label in range(10)}, twins_known=False)


def _index(stems: dict[str, list[str]], tests: str | tuple[str, ...] = "", **settings: Any) -> Index:
    """Recordings `<class>/<stem>`, each with its image; stems say `test` or `unused`, or end on one of `tests`."""
    items = tuple(Item(f"{label}/{stem}", label) for label in sorted(stems) for stem in sorted(stems[label]))
    test = {item.key for item in items if "/test" in item.key or (tests and item.key.endswith(tests))}
    unused = {item.key for item in items if "/unused" in item.key}
    return Index(tuple(sorted(stems)), items, items, frozenset(test), frozenset(unused), **settings)


def groups(changes: tuple[str, ...], sets: list[str]) -> list[Group]:
    """Recipes of some data sets, by what they cost."""
    together: dict[str, list[tuple[int, str, Case, dict[str, int]]]] = defaultdict(list)
    indices = {name: official(name) for name in sets}
    for name in known_recipes():
        recipe = Case("", name, 0, 0, changes).load()
        if recipe.data.name not in sets:
            continue
        index = indices[recipe.data.name]
        split = make_split(index, protocol_of(recipe.data))
        counts = {part: len(getattr(split, part)) for part in ("train", "val", "test")}
        case = Case(recipe.model["name"], name, len(index.classes), recipe.train.batch, changes)
        method = make_method(case, torch.device("cpu"))
        parameters = sum(weight.numel() for weight in method.parameters() if weight.requires_grad)
        together[_cost(recipe, counts)].append((parameters, name, case, counts))
    found = []
    for members in together.values():
        most = max(members, key=lambda member: member[0])
        sizes = [member[0] for member in members]
        found.append(Group([member[1] for member in members], *most[2:], (min(sizes), max(sizes))))
    return found


def _cost(recipe: Recipe, counts: dict[str, int]) -> str:
    """Equal for recipes of equal cost."""
    data, train = recipe.data, recipe.train
    shape = (data.name, data.steps, data.size, counts, recipe.model, recipe.method["name"])
    return repr((*shape, train.epochs, train.batch, train.at_once, train.eval_every, train.precision))


def timed(case: Case, precision: str, device: torch.device) -> tuple[float, float]:
    """Seconds of a training step, and of the prediction of its recordings: the fastest of some."""
    torch.manual_seed(0)
    recipe, batch = case.load(), make_batch(case, device)
    method = make_method(case, device).train()
    optimizer = make_optimizer(method, recipe)
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=precision == "bf16-mixed")

    def step() -> None:
        events = batch.events
        for augmentation in build_augmentations(recipe.data.augment):
            events, _ = augmentation(events, batch.label, batch.rng)
        optimizer.zero_grad()
        with autocast():
            loss = method(type(batch)(batch.static, events, batch.label, batch.index, batch.rng), 0.0)["loss"]
        loss.backward()
        optimizer.step()

    @torch.inference_mode()
    def predict() -> None:
        method.eval()
        with autocast():
            method.predict(batch.events)

    return fastest(step, device), fastest(predict, device)


def fastest(work: Callable[[], None], device: torch.device) -> float:
    """Seconds of the fastest call: of this process alone on the CPU, by the clock on the wall on a GPU."""
    seconds: list[float] = []
    while len(seconds) < STEPS or sum(seconds) < ENOUGH_SECONDS:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.process_time() if device.type == "cpu" else time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append((time.process_time() if device.type == "cpu" else time.perf_counter()) - start)
    return min(seconds)


def needs(step: Step) -> int:
    """Bytes of a training step with all that stays between two."""
    return step.peak + step.resident


def cost(group: Group, precision: str, device: torch.device) -> tuple[float, float, float, str]:
    """Seconds a step and a recording of an evaluation, GiB at the peak, and where they come from."""
    case, batch = group.case, group.case.batch
    if device.type == "cuda":
        timed(case, precision, device)  # compiles, and looks for the fastest convolutions
        reset_peak_memory(device)
        step, prediction = timed(case, precision, device)
        return step, prediction / batch, peak_memory(device)["device_mib"] / 1024, "measured"
    sizes = (batch,) if batch <= MEASURED_UP_TO else (SMALL, LARGE)
    memory = [needs(measure(case.changed(size), PRECISIONS[precision])) / GIB for size in sizes]
    times = [timed(case.changed(size), precision, device) for size in sizes]
    evaluation = times[-1][1] / sizes[-1]
    if len(sizes) == 1:
        return times[0][0], evaluation, memory[0], "measured"
    step = through(times[0][0], times[1][0], sizes).at(batch)
    return step, evaluation, through(*memory, sizes).at(batch), f"extrapolated from batch {SMALL} and {LARGE}"


def row(group: Group, precision: str, device: torch.device) -> Row:
    """Measure a group."""
    recipe, counts = group.case.load(), group.counts
    step, prediction, memory, how = cost(group, precision, device)
    steps, held_out = steps_per_epoch(counts["train"], recipe.train), counts["val"] + counts["test"]
    epoch, evaluation = steps * step, held_out * prediction
    epochs, every = recipe.train.epochs, recipe.train.eval_every
    first = epoch + (evaluation if every == 1 else 0)
    least, most = group.parameters
    return Row(
        recipes=_short(group.names),
        network=group.case.net.removeprefix("tmkt_"),
        parameters=f"{most:,}" if least == most else f"{least:,} to {most:,}",
        precision=precision,
        train=counts["train"],
        held_out=held_out,
        batch=group.case.batch,
        steps_per_epoch=steps,
        seconds_per_step=step,
        hours_first_epoch=first / 3600,
        epochs=epochs,
        hours_in_all=(epochs * epoch + -(-epochs // every) * evaluation) / 3600,
        peak_gib=memory,
        how=how,
    )


def _short(names: list[str]) -> str:
    """`a/x, a/y` -> `a/: x, y`."""
    folder = names[0].split("/")[0]
    return f"{folder}: {', '.join(name.split('/', 1)[1] for name in names)}"


def check(device: torch.device) -> str:
    """How far the line of the time is off at a larger batch, in one sentence."""
    case = next(group.case for group in groups((), ["ncaltech101"]) if CHECKED in group.names)
    seconds = [timed(case.changed(batch), "32-true", device)[0] for batch in (SMALL, LARGE, CHECK)]
    off = through(*seconds[:2], (SMALL, LARGE)).at(CHECK) / seconds[2] - 1
    return f"Check: the line of the time of {CHECKED} in fp32 is {100 * off:+.1f} % off what batch {CHECK} takes."


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="narrow nets: does it run at all?")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="data sets")
    parser.add_argument("--out", type=Path, help="folder of the results")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device here")
    torch.set_num_threads(1)
    make_fabric()  # sets the process up as the engine does
    rows = []
    for group in groups(("model.width=0.125",) if asked.quick else (), asked.sets):
        for precision in PRECISIONS:
            rows.append(row(group, precision, device))
            print(rows[-1], flush=True)
    folder = asked.out or (Path(tempfile.mkdtemp()) if asked.quick else RESULTS)
    note = check(device) if device.type == "cpu" and CHECKED.split("/")[0] in asked.sets and not asked.quick else ""
    write(folder, rows, note, machine(device))
    print(f"\nwritten to {folder}/first_epoch.md, .json")


def write(folder: Path, rows: list[Row], note: str, about: list[tuple[str, str]]) -> None:
    """Print the table and write it."""
    shown = [_cells(row) for row in rows]
    parts = [
        "# The first epoch of every recipe",
        *(paragraph.strip() for paragraph in (__doc__ or "").split("\n\n")[2:]),
        note,
        tabulate(about, ("machine", ""), tablefmt="github"),
        tabulate(shown, headers="keys", tablefmt="github", disable_numparse=True),
    ]
    text = "\n\n".join(part for part in parts if part)
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "first_epoch.md").write_text(text + "\n")
    content = {"machine": dict(about), "note": note, "rows": [asdict(row) for row in rows]}
    (folder / "first_epoch.json").write_text(json.dumps(content, indent=1) + "\n")


def _cells(row: Row) -> dict[str, str]:
    """A row for people."""
    return {
        "recipes": row.recipes,
        "net": row.network,
        "parameters": row.parameters,
        "precision": row.precision,
        "recordings: training, validation + test": f"{row.train:,}, {row.held_out:,}",
        "steps an epoch": f"{row.steps_per_epoch:,} of {row.batch}",
        "a step": _duration(row.seconds_per_step),
        "first epoch": _duration(3600 * row.hours_first_epoch),
        "all epochs": f"{_duration(3600 * row.hours_in_all)} ({row.epochs})",
        "peak, GiB": f"{row.peak_gib:.1f}" if row.peak_gib >= 1 else f"{row.peak_gib:.2f}",
        "how": row.how,
    }


def _duration(seconds: float) -> str:
    """Two digits or more, and a unit."""
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 600:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36000 else f"{seconds / 3600:,.0f} h"


if __name__ == "__main__":
    main()
