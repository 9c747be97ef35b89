"""What the leak is worth, from the records: accuracy by protocol, and paired differences over the same seeds.

Run it as `python experiments/studies/leakage/figure.py [RECORDS] [PICTURE] [CSV]`; prints its rows.
"""

import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from tabulate import tabulate

from braincog_tmkt.results.frame import accuracies, grouped, mean_std, paired
from braincog_tmkt.results.identity import identity_of
from braincog_tmkt.results.store import read_records

HERE = Path(__file__).parent
SETS = {
    "nmnist": "N-MNIST, real: half of the recordings train",
    "ncaltech101": "N-Caltech101, simulated, 20 classes: 80 % train",
}
METHODS = ("baseline", "knowledge_transfer", "tmkt")
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


def accuracies_in(folder: str) -> dict[tuple[str, str, str], dict[int, float]]:
    """(set, method, protocol) -> seed -> accuracy of the last epoch in percent."""

    def cell(record: dict) -> tuple[str, str, str]:
        return record["data"]["set"], record["recipe"]["method"]["name"], record["data"]["protocol"]

    found = {key: accuracies(records, "last") for key, records in grouped(read_records([folder]), cell).items()}
    for name in SETS:  # the baseline draws no image, so its control is itself
        found[name, "baseline", "unsorted_control"] = found.get((name, "baseline", "published_unsorted"), {})
    return found


def rows_of(found: dict) -> list[dict[str, object]]:
    """One row a set, method and protocol."""
    rows = []
    for key in ((name, method, protocol) for name in SETS for method in METHODS for protocol in PROTOCOLS):
        if seeds := found.get(key):
            mean, std = mean_std(seeds.values())
            row = dict(zip(("set", "method", "protocol"), key, strict=True))
            rows.append({**row, "seeds": len(seeds), "mean": round(mean, 2), "std": round(std or 0.0, 2)})
    return rows


def effects_of(found: dict) -> list[dict[str, object]]:
    """One row a set, method and question."""
    rows = []
    for name in SETS:
        for method in ("knowledge_transfer", "tmkt"):
            for words, (leaky, sound) in QUESTIONS.items():
                difference = paired(found.get((name, method, leaky), {}), found.get((name, method, sound), {}))
                if difference:
                    low, high = difference.t_low, difference.t_high
                    reach = "one seed" if low is None or high is None else f"{low:+.2f} .. {high:+.2f}"
                    row = {"set": name, "method": method, "what": words, "points": f"{difference.mean:+.2f}"}
                    rows.append({**row, "95 %": reach})
    return rows


def draw(axes, found: dict, name: str) -> None:
    """Bars of the means, a dot for every seed."""
    for place, (protocol, (words, colour)) in enumerate(PROTOCOLS.items()):
        for group, method in enumerate(METHODS):
            values = list(found.get((name, method, protocol), {}).values())
            if not values or (method == "baseline" and protocol == "unsorted_control"):
                continue
            x = group + (place - 1.5) * 0.2
            axes.bar(x, mean_std(values)[0], width=0.19, color=colour, label=words if group == 1 else None)
            axes.scatter([x] * len(values), values, s=10, color="black", zorder=3, linewidths=0)
    shown = [value for key, seeds in found.items() if key[0] == name for value in seeds.values()]
    axes.set_ylim(max(0, min(shown) - 6), max(shown) + 3)
    axes.set_xticks(range(len(METHODS)), ["baseline", *(identity_of(method).label for method in METHODS[1:])])
    axes.set_title(SETS[name])
    axes.grid(alpha=0.3, axis="y")


def main(
    records: str = str(HERE / "records.jsonl"),
    picture: str = "docs/figures/leakage.png",
    table: str = str(HERE / "accuracies.csv"),
) -> None:
    """Draw the picture, write the rows, print both tables."""
    found = accuracies_in(records)
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
