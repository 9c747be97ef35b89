"""A long training: accuracy by epoch, and what the event loss counts in it; one picture.

Run it as `python experiments/studies/length/figure.py [PICTURE]`.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from braincog_tmkt.recipe.identity import setting_of
from braincog_tmkt.results.frame import grouped
from braincog_tmkt.results.identity import colour_of
from braincog_tmkt.results.store import read_records

HERE = Path(__file__).parent
METHODS = {"baseline": "TET", "knowledge_transfer": "Knowledge-Transfer", "tsm": "TSM", "tmkt": "TMKT"}
STYLES = {"tsm": "--"}
LAMBDA = {"knowledge_transfer": 1.0, "tsm": 0.5, "tmkt": 0.5}
"""What stands before the event loss besides `1 - sigmoid(theta)`."""


def colour(method: str) -> str:
    """TSM is a part of TMKT and has its colour, dashed."""
    return colour_of(method, "tmkt" if method == "tsm" else method)


def accuracies() -> dict[str, dict[int, list[float]]]:
    """Method -> epoch -> test accuracy in percent of each seed, with a set of statistics for each step."""
    records = [record for record in read_records([HERE]) if setting_of(record, "model.norm") == "step_own"]
    found = {}
    for method, runs in grouped(records, lambda record: record["name"].split("/")[1]).items():
        found[method] = defaultdict(list)
        for record in runs:
            for entry in record["history"]:
                if "test" in entry:
                    found[method][entry["epoch"] + 1].append(100 * entry["test"]["accuracy"])
    return found


def weights() -> dict[str, dict[int, list[float]]]:
    """Method -> epoch -> weight of the event loss, of each seed."""
    found = defaultdict(lambda: defaultdict(list))
    with (HERE / "shares.csv").open() as file:
        for line in csv.DictReader(file):
            method = line["run"].split("/")[1]
            found[method][int(line["epoch"])].append(LAMBDA[method] * float(line["mean"]))
    return found


def panel(axes: plt.Axes, found: dict[str, dict[int, list[float]]], title: str) -> None:
    """A line a method, the mean over the seeds; shaded from the least to the most."""
    for method, label in METHODS.items():
        if epochs := sorted(found.get(method, {})):
            values = [found[method][epoch] for epoch in epochs]
            line = {"color": colour(method), "linestyle": STYLES.get(method, "-")}
            axes.plot(epochs, [*map(fmean, values)], label=label, **line)
            axes.fill_between(epochs, [*map(min, values)], [*map(max, values)], color=colour(method), alpha=0.12)
    axes.set(title=title, xlabel="epoch")
    axes.grid(alpha=0.3)


def main(picture: str = "docs/figures/length_ncaltech101.png") -> None:
    """Draw the picture and print the weights at the end."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    found = weights()
    panel(left, accuracies(), "test accuracy (%), a set of statistics for each step")
    panel(right, found, "weight of the event loss")
    right.set_ylim(bottom=0)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle("N-Caltech101, 20 classes, simulated, VGGSNN at 1/8 width, T = 4: mean and range over the seeds")
    figure.savefig(picture, dpi=110)
    for method, by_epoch in found.items():
        first, last = min(by_epoch), max(by_epoch)
        print(
            f"{METHODS[method]}: {fmean(by_epoch[first]):.3f} (epoch {first}) to {fmean(by_epoch[last]):.3f} ({last})"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
