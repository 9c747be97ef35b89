"""Does it matter in which order the training recordings are looked at when statistics are estimated again?

Run it as `python experiments/studies/overtake/order.py RUNS.. > order.csv`. A split lists its recordings class by
class, so batches in its order have one or two classes each; `tmkt eval --norms` mixes the recordings. Both from the
same weights, those of the last epoch: accuracy on the test recordings. Of trainings of 12 and 100 epochs; in
`clean_100/order.csv` those of 12 are 3 seeds that were trained for this, and not the networks of `clean/`.
"""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from braincog_tmkt.engine import checkpoint
from braincog_tmkt.inspect import norms
from braincog_tmkt.inspect.reload import LoadedRun, load_run
from braincog_tmkt.recipe.identity import setting_of
from braincog_tmkt.results.store import RECORD, read_record

MIXED = norms.batches
LENGTHS = 12, 100
COLUMNS = "method", "epochs", "seed", "rule", "order", "test"


def by_class(run: LoadedRun) -> tuple[Tensor, ...]:
    """The batches of `--norms` in the order of the split."""
    return run.task.pairs.rows("train").tensor_split(len(MIXED(run)))


def rows(folder: Path) -> Iterable[tuple]:
    """A row a rule and order."""
    run = load_run(folder)
    about = run.recipe.method["name"], run.recipe.train.epochs, run.record["seed"]
    for order, batches in (("by class", by_class), ("mixed", MIXED)):
        norms.batches = batches
        for rule in norms.RULES:
            run.load_weights(checkpoint.LAST)
            yield (*about, rule, order, norms.evaluate_rule(run, rule).accuracy)


def main(*places: str) -> None:
    """Go through all finished runs of some folders and print the rows."""
    torch.set_num_threads(1)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    for folder in sorted(path.parent for place in places for path in Path(place).rglob(RECORD)):
        trained = (folder / "checkpoints").is_dir()  # and not derived from another run, as by batch_norm/rules.py
        if trained and setting_of(read_record(folder), "train.epochs") in LENGTHS:
            table.writerows(rows(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
