"""What the methods of Table 1 cost: a training step of each over one of the plain baseline on the same network.

    python benchmarks/table1.py [--steps 15] [--batch 16] [key=value ..]

Embedded digits, VGGSNN at a quarter of its width, T 10, 32x32, one thread. The steps of all methods take turns; printed
are the medians of the CPU time, augmentation included, and their ratio to the reference with the same streams and norm.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from braincog_tmkt.data.augment import build_augmentations
from braincog_tmkt.engine.devices import make_fabric
from braincog_tmkt.engine.stages import plan_stages
from braincog_tmkt.engine.step import Trainer, epoch_rows, make_batch, seed_of
from braincog_tmkt.engine.task import build_method, load_task
from braincog_tmkt.launch.plan import plan

VGGSNN = ["model.name=tmkt_vggsnn", "model.act_fun=QGateGrad", "model.width=0.25", "data.size=32", "data.steps=10"]
SHARED = [*VGGSNN, "model.norm=shared"]
ROWS = {
    "TET": ("baseline", VGGSNN, None),
    "TET, norm shared": ("baseline", SHARED, None),
    "TKS": ("tks", SHARED, "TET, norm shared"),
    "ETC": ("etc", VGGSNN, "TET"),
    "NDA": ("nda", SHARED, "TET, norm shared"),
    "EventMix": ("eventmix", VGGSNN, "TET"),
    "TET's own neuron": ("tet_code", ["model.name=tmkt_vggsnn", *SHARED[2:]], "TET, norm shared"),
    "TCJA": ("baseline", [*SHARED, "model.attention=tcja"], "TET, norm shared"),
    "Knowledge-Transfer": ("knowledge_transfer", VGGSNN, None),
    "TMKT": ("tmkt", VGGSNN, "Knowledge-Transfer"),
    "CKD": ("ckd", VGGSNN, "Knowledge-Transfer"),
    "R2ETL": ("r2etl", ["model.name=r2etl_vggsnn", *VGGSNN[1:]], "Knowledge-Transfer"),
}
"""Label -> recipe of `digits`, overrides, and the label of its reference."""


def stepper(recipe_name: str, overrides: list[str]) -> Callable[[], float]:
    """A function that takes one training step of the last stage and returns its CPU seconds."""
    (cell,) = plan([f"digits/{recipe_name}"], overrides, None, [1])
    recipe = cell.recipe
    task = load_task(recipe, make_fabric())
    method = build_method(recipe, len(task.pairs.classes), 1)
    stages = plan_stages(recipe, method, task.facts, len(task.pairs.rows("train")), 1, 1)
    for stage in stages:
        method.begin_stage(stage.stage.name)
    trainer = Trainer(method, stages[-1].recipe, make_fabric())
    rows = epoch_rows(task.pairs, recipe.train, seed_of(1, 0, 0))
    augmentations = build_augmentations(recipe.data.augment)
    number = 0

    def step() -> float:
        nonlocal number
        number += 1
        start = time.process_time()
        batch = make_batch(task.pairs, rows[number % len(rows)], number, stages[-1].stage, augmentations)
        trainer.step(batch, 0.3, lambda parts: None)
        return time.process_time() - start

    return step


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    more = [f"train.batch={arguments.batch}", *arguments.overrides]
    steppers = {label: stepper(name, [*own, *more]) for label, (name, own, _) in ROWS.items()}
    seen: dict[str, list[float]] = {label: [] for label in ROWS}
    for turn in range(arguments.steps + 2):
        for label, step in steppers.items():
            seconds = step()
            if turn >= 2:  # the first steps compile and fill caches
                seen[label].append(seconds)
    medians = {label: statistics.median(times) for label, times in seen.items()}
    print(f"{'method':20} {'ms a step':>10}  ratio")
    for label, (_, _, reference) in ROWS.items():
        ratio = f"{medians[label] / medians[reference]:.2f} x {reference}" if reference else ""
        print(f"{label:20} {1000 * medians[label]:10.0f}  {ratio}")


if __name__ == "__main__":
    main()
