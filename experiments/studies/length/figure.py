"""A long training: accuracy by epoch, and what the event loss counts in it; one picture, and tables of the page.

Run it as `python experiments/studies/length/figure.py [PICTURE]`; prints Markdown.
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations, pairwise
from pathlib import Path
from statistics import fmean

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from tabulate import tabulate

from braincog_tmkt.recipe.identity import setting_of
from braincog_tmkt.results.frame import accuracies, grouped
from braincog_tmkt.results.identity import colour_of
from braincog_tmkt.results.store import read_records

HERE = Path(__file__).parent
METHODS = {"baseline": "TET", "knowledge_transfer": "Knowledge-Transfer", "tsm": "TSM", "tmkt": "TMKT"}
STYLES = {"tsm": "--"}
RULES = {"step": "one running set", "step_own": "a set for each step"}
SELECTIONS = {"last": "last epoch", "best_val": "best on validation", "best_test": "best on test"}
PAPER = "baseline", "knowledge_transfer", "tmkt"
"""From the lowest to the highest accuracy in the TMKT paper's Table 1."""
SHOWN = 10, 30, 50, 100, 150, 200
"""Epochs of the table."""
FAR = 5
"""Points between two rules for the same weights that count as many."""
LAMBDA = {"knowledge_transfer": 1.0, "tsm": 0.5, "tmkt": 0.5}
"""What stands before the event loss besides `1 - sigmoid(theta)`."""

ByEpoch = dict[str, dict[int, list[float]]]
"""Method -> epoch -> what was measured with each seed."""


def colour(method: str) -> str:
    """TSM is a part of TMKT and has its colour, dashed."""
    return colour_of(method, "tmkt" if method == "tsm" else method)


def runs_by_rule() -> dict[str, dict[str, list[dict]]]:
    """Rule -> method -> records."""
    by_rule = grouped(read_records([HERE]), lambda record: setting_of(record, "model.norm"))
    return {rule: grouped(by_rule[rule], lambda record: record["name"].split("/")[1]) for rule in RULES}


def curves(runs: dict[str, list[dict]]) -> ByEpoch:
    """Test accuracy in percent, in the order of the seeds."""
    found = {}
    for method, records in runs.items():
        found[method] = defaultdict(list)
        for record in sorted(records, key=lambda record: record["seed"]):
            for entry in record["history"]:
                if "test" in entry:
                    found[method][entry["epoch"] + 1].append(100 * entry["test"]["accuracy"])
    return found


def weights() -> ByEpoch:
    """Weight of the event loss, mean of the steps."""
    found = defaultdict(lambda: defaultdict(list))
    with (HERE / "shares.csv").open() as file:
        for line in csv.DictReader(file):
            method = line["run"].split("/")[1]
            found[method][int(line["epoch"])].append(LAMBDA[method] * float(line["mean"]))
    return found


def panel(axes: plt.Axes, found: ByEpoch, title: str) -> None:
    """A line a method, the mean over the seeds; shaded from the least to the most."""
    for method, label in METHODS.items():
        if epochs := sorted(found.get(method, {})):
            values = [found[method][epoch] for epoch in epochs]
            line = {"color": colour(method), "linestyle": STYLES.get(method, "-")}
            axes.plot(epochs, [*map(fmean, values)], label=label, **line)
            axes.fill_between(epochs, [*map(min, values)], [*map(max, values)], color=colour(method), alpha=0.12)
    axes.set(title=title, xlabel="epoch")
    axes.grid(alpha=0.3)


def by_epoch(found: dict[str, ByEpoch]) -> list[dict[str, object]]:
    """A row a method: the means over the seeds, under the one rule / the other."""
    return [
        {"mean of the seeds": label}
        | {epoch: " / ".join(f"{fmean(found[rule][method][epoch]):.1f}" for rule in RULES) for epoch in SHOWN}
        for method, label in METHODS.items()
    ]


def leaders(found: dict[str, ByEpoch]) -> list[dict[str, object]]:
    """A row a rule: how often the mean of a method is the highest of the four, and when TMKT's is above TET's."""
    rows = []
    for rule, words in RULES.items():
        means = {
            epoch: {method: round(fmean(found[rule][method][epoch]), 9) for method in METHODS}
            for epoch in found[rule]["baseline"]
        }
        first = [method for values in means.values() for method in METHODS if values[method] == max(values.values())]
        above = [epoch for epoch, values in means.items() if values["tmkt"] > values["baseline"]]
        rows.append(
            {"highest mean": words}
            | {label: first.count(method) for method, label in METHODS.items()}
            | {"TMKT above TET at epochs": ", ".join(map(str, above))}
        )
    return rows


def gains(found: dict[str, ByEpoch]) -> list[dict[str, object]]:
    """A row a method: what a set for each step adds to one running set by epoch, and how often that is much."""
    rows = []
    for method, label in METHODS.items():
        both = [found[rule][method] for rule in RULES]
        single = {
            epoch: [round(own - one, 9) for one, own in zip(*(each[epoch] for each in both), strict=True)]
            for epoch in both[0]
        }
        every = [value for values in single.values() for value in values]
        rows.append(
            {"a set for each step minus one running set": label}
            | {epoch: f"{fmean(single[epoch]):+.1f}" for epoch in (10, 20, 30, 40, *SHOWN[2:])}
            | {"least of a seed": f"{min(every):+.1f}", "most": f"{max(every):+.1f}", "evaluations": len(every)}
            | {
                f"above +{FAR}": sum(value > FAR for value in every),
                f"below -{FAR}": sum(value < -FAR for value in every),
            }
        )
    return rows


def ordered(found: list[dict[int, float]], size: int, of: Callable[[Iterable[float]], float]) -> str:
    """In how many choices of so many seeds accuracies rise from each method to the next."""
    choices = [*combinations(sorted(set.intersection(*map(set, found))), size)]
    seen = [[round(of([values[seed] for seed in choice]), 9) for values in found] for choice in choices]
    return f"{sum(all(one < other for one, other in pairwise(values)) for values in seen)} of {len(choices)}"


def orders(runs: dict[str, dict[str, list[dict]]]) -> list[dict[str, object]]:
    """A row a rule and selection: how often one seed, or three, show the paper's order, or TMKT above TET."""
    rows = []
    for rule, words in RULES.items():
        for key, title in SELECTIONS.items():
            row = {"rule": words, "epoch": title}
            for label, methods in (("paper's order", PAPER), ("TMKT above TET", ("baseline", "tmkt"))):
                found = [accuracies(runs[rule][method], key) for method in methods]
                row |= {f"{label}: seeds": ordered(found, 1, max), f"{label}: means of 3": ordered(found, 3, fmean)}
                row[f"{label}: best of 3"] = ordered(found, 3, max)
            rows.append(row)
    return rows


def main(picture: str = "docs/figures/length_ncaltech101.png") -> None:
    """Draw the picture and print the tables."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    runs, weight = runs_by_rule(), weights()
    found = {rule: curves(records) for rule, records in runs.items()}
    panel(left, found["step_own"], "test accuracy (%), a set of statistics for each step")
    panel(right, weight, "weight of the event loss")
    right.set_ylim(bottom=0)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    seeds = len(found["step_own"]["baseline"][SHOWN[0]])
    figure.suptitle(
        f"N-Caltech101, 20 classes, simulated, VGGSNN at 1/8 width, T = 4: mean and range over {seeds} seeds"
    )
    figure.savefig(picture, dpi=110)
    falls = [
        {"weight of the event loss": METHODS[method]} | {epoch: f"{fmean(values[epoch]):.3f}" for epoch in SHOWN}
        for method, values in weight.items()
    ]
    for rows in (by_epoch(found), leaders(found), gains(found), orders(runs), falls):
        print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True), end="\n\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
