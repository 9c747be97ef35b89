"""What the leak is worth, from the records: accuracy by protocol, and paired differences over the same seeds.

Run it as `python experiments/leakage/figure.py [RECORDS] [PICTURE] [CSV]`; it prints the rows behind the picture.
"""

import csv
import sys
from collections import defaultdict
from math import isnan
from statistics import fmean, stdev

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from scipy.stats import t as student
from tabulate import tabulate

from braincog_tmkt.results.store import read_records

SETS = {
    "nmnist": "N-MNIST, real: half of the recordings train",
    "ncaltech101": "N-Caltech101, simulated, 20 classes: 80 % train",
}
METHODS = {"baseline": "baseline", "knowledge_transfer": "Knowledge-Transfer", "tmkt": "TMKT"}
PROTOCOLS = {
    "clean": ("clean", "#4d4d4d"),
    "published": ("published (sorted, one image too many)", "#fdae61"),
    "unsorted_control": ("unsorted listing, without the leak", "#92c5de"),
    "published_unsorted": ("published, unsorted listing", "#d73027"),
}
QUESTIONS = {
    "one image too many": ("published", "clean"),
    "the unsorted leak": ("published_unsorted", "unsorted_control"),
}
"""Pairs of protocols that differ in the images drawn and in nothing else."""


def accuracies(folder: str) -> dict[tuple[str, str, str], dict[int, float]]:
    """(set, method, protocol) -> seed -> accuracy of the last epoch in percent."""
    found = defaultdict(dict)
    for record in read_records([folder]):
        data = record["data"]
        found[data["set"], record["recipe"]["method"]["name"], data["protocol"]][record["seed"]] = (
            100 * record["last"]["accuracy"]
        )
    for name in SETS:  # the baseline draws no image, so its control is itself
        found[name, "baseline", "unsorted_control"] = found[name, "baseline", "published_unsorted"]
    return found


def spread(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation."""
    return fmean(values), stdev(values) if len(values) > 1 else 0.0


def difference(one: dict[int, float], other: dict[int, float]) -> tuple[float, float, float]:
    """Mean paired difference over the common seeds with its 95 % interval (Student's t)."""
    values = [one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())]
    mean, deviation = spread(values)
    reach = student.ppf(0.975, len(values) - 1) * deviation / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return mean, mean - reach, mean + reach


def rows_of(found: dict) -> list[dict[str, object]]:
    """One row a set, method and protocol."""
    return [
        {
            "set": name,
            "method": method,
            "protocol": protocol,
            "seeds": len(found[name, method, protocol]),
            "mean": round(spread(list(found[name, method, protocol].values()))[0], 2),
            "std": round(spread(list(found[name, method, protocol].values()))[1], 2),
        }
        for name in SETS
        for method in METHODS
        for protocol in PROTOCOLS
        if found[name, method, protocol]
    ]


def effects_of(found: dict) -> list[dict[str, object]]:
    """One row a set, method and question."""
    rows = []
    for name in SETS:
        for method in ("knowledge_transfer", "tmkt"):
            for words, (leaky, sound) in QUESTIONS.items():
                if found[name, method, leaky].keys() & found[name, method, sound].keys():
                    mean, low, high = difference(found[name, method, leaky], found[name, method, sound])
                    rows.append(
                        {
                            "set": name,
                            "method": method,
                            "what": words,
                            "points": f"{mean:+.2f}",
                            "95 %": "one seed" if isnan(low) else f"{low:+.2f} .. {high:+.2f}",
                        }
                    )
    return rows


def draw(axes, found: dict, name: str) -> None:
    """Bars of the means, a dot for every seed."""
    for place, (protocol, (words, colour)) in enumerate(PROTOCOLS.items()):
        for group, method in enumerate(METHODS):
            values = list(found[name, method, protocol].values())
            if not values or (method == "baseline" and protocol == "unsorted_control"):
                continue
            x = group + (place - 1.5) * 0.2
            axes.bar(x, fmean(values), width=0.19, color=colour, label=words if group == 1 else None)
            axes.scatter([x] * len(values), values, s=10, color="black", zorder=3, linewidths=0)
    shown = [value for key, seeds in found.items() if key[0] == name for value in seeds.values()]
    axes.set_ylim(max(0, min(shown) - 6), max(shown) + 3)
    axes.set_xticks(range(len(METHODS)), METHODS.values())
    axes.set_title(SETS[name])
    axes.grid(alpha=0.3, axis="y")


def main(
    records: str = "experiments/results/leakage",
    picture: str = "docs/figures/leakage.png",
    table: str = "experiments/results/leakage.csv",
) -> None:
    """Draw the picture, write the rows, print both tables."""
    found = accuracies(records)
    figure, columns = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    for axes, name in zip(columns, SETS, strict=True):
        draw(axes, found, name)
    columns[0].set_ylabel("test accuracy, % (bar: mean, dots: seeds)")
    figure.legend(*columns[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(picture, dpi=110)
    rows = rows_of(found)
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(tabulate(rows, headers="keys"), tabulate(effects_of(found), headers="keys"), sep="\n\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
