"""Whose statistics are in the one running set? Finished runs of two streams, evaluated with those of either or both.

Run it as `python experiments/studies/batch_norm/streams.py RUNS.. > streams.csv`. In training, a batch norm moves its
one running set for each stream, that of images or mixtures and that of events; in evaluation it serves events alone.
With the last weights that were kept (`train.keep_every`) by the end of each third of a training, one set is taken from
all training batches of an epoch, mixed as at that time: of the event stream, and of both streams in equal parts. Its
variance is that of a mixture: the mean variance of a batch, and the variance of the means. `distance` says how far the
streams are apart: the root mean square, over all channels, of the difference of their means, in standard deviations
within a batch of events. Networks of `step` and `step_own` are evaluated with the one set.
"""

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from braincog_tmkt.data.augment import build_augmentations
from braincog_tmkt.data.batch import Batch
from braincog_tmkt.engine.evaluate import evaluate, within_memory
from braincog_tmkt.engine.step import epoch_rows, make_batch
from braincog_tmkt.inspect.norms import with_rule
from braincog_tmkt.inspect.reload import LoadedRun, load_run
from braincog_tmkt.models.norms.estimate import set_statistics, watching_statistics
from braincog_tmkt.models.norms.step import StepBatchNorm2d
from braincog_tmkt.results.store import RECORD, read_record

COLUMNS = "run", "norm", "epoch", "statistics", "test", "distance"


def batches(run: LoadedRun) -> Iterator[Batch]:
    """The training batches of one epoch."""
    stage, augmentations = run.method.stages()[-1], build_augmentations(run.recipe.data.augment)
    for number, rows in enumerate(epoch_rows(run.task.pairs, run.recipe.train, seed=0)):
        yield make_batch(run.task.pairs, rows, number, stage, augmentations)


@torch.no_grad()
def seen(run: LoadedRun, progress: float) -> dict[StepBatchNorm2d, tuple[Tensor, Tensor]]:
    """Means and variances `[N * T, S, C]` that every batch norm sees in an epoch, at some share of a training."""
    with watching_statistics(run.method) as found, run.fabric.autocast():
        for batch in batches(run):
            run.method(batch, progress)
    cat = {norm: [torch.cat(part) for part in zip(*moments, strict=True)] for norm, moments in found.items()}
    return {norm: (means, variances) for norm, (means, variances) in cat.items()}


def distance(found: dict[StepBatchNorm2d, tuple[Tensor, Tensor]]) -> float:
    """How far the means of two streams are apart, in standard deviations of the event stream."""
    moments = [(means.mean(0), variances.mean(0)) for means, variances in found.values()]
    return float(torch.cat([(mean[0] - mean[-1]).square() / var[-1] for mean, var in moments]).mean().sqrt())


def rows(folder: Path, name: str) -> Iterable[tuple]:
    """A row for each time and choice of statistics."""
    trained = load_run(folder)
    epochs, norm = trained.recipe.train.epochs, trained.recipe.model.get("norm", "step")
    kept = [int(file.stem[-4:]) for file in (folder / "checkpoints").glob("epoch-*.pt")]
    for epoch in (max(each for each in kept if each <= third * epochs / 3) for third in (1, 2, 3)):
        trained.load_weights(f"epoch-{epoch:04d}.pt")
        run = with_rule(trained, "one")
        yield name, norm, epoch, "as saved", accuracy(run), ""
        found = seen(run, epoch / epochs)
        apart = f"{distance(found):.4f}"
        for words, streams in (("events", slice(-1, None)), ("both", slice(None))):
            for layer, moments in found.items():
                set_statistics(layer, *(part[:, streams] for part in moments))
            yield name, norm, epoch, words, accuracy(run), apart


def accuracy(run: LoadedRun) -> float:
    """On the test recordings."""
    pairs, batch = run.task.pairs, within_memory(run.method, run.recipe.train.at_once)
    return evaluate(run.method, pairs, pairs.rows("test"), batch, run.fabric).accuracy


def main(*places: str) -> None:
    """Go through all finished runs of two streams in some folders and print the rows."""
    torch.set_num_threads(1)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    for place in places:
        for folder in sorted(path.parent for path in Path(place).rglob(RECORD)):
            one_stream = read_record(folder)["recipe"]["method"]["name"] == "baseline"
            if not one_stream and (folder / "checkpoints").is_dir():  # which a run that rules.py derived does not have
                table.writerows(rows(folder, str(folder.relative_to(place))))
                sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
