"""Draw the N-MNIST study from its records: accuracy by training recordings, and what each part of the method changes.

Run it as `python experiments/studies/nmnist/figure.py [RECORDS] [PICTURE]`; prints its rows as CSV.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from braincog_tmkt.results.identity import colour_of, identity_of
from braincog_tmkt.results.store import read_records
from braincog_tmkt.results.summary import Row, render, summarise

METHODS = {"baseline": "baseline", "knowledge_transfer": "knowledge_transfer", "tsm": "tmkt", "tmkt": "tmkt"}
"""Recipe of a line -> its method."""
PARTS = {
    "tsm": "TSM alone",
    "mag": "TSM + MAG",
    "mrp": "TSM + MRP",
    "tmkt": "all: Eq. 17",
    "tmkt_static2": "all, static frames x 2",
    "tmkt_event1": "all, event loss at weight 1",
    "tsm_event1": "TSM, event loss at weight 1",
    "tsm_event1_no_cka": "the same without alignment",
    "knowledge_transfer": "Knowledge-Transfer",
}
POOLS = {"partners": "static images: partners only", "open": "static images: the open pool"}


def condition(row: Row, key: str) -> str:
    """The value of a condition of a row."""
    return dict(pair.split("=") for pair in row.conditions.split(", "))[key]


def by_recordings(axes, rows: list[Row], pool: str) -> None:
    """Accuracy against training recordings a class, one line a method."""
    for recipe, method in METHODS.items():
        name = PARTS.get(recipe, recipe) if recipe != method or recipe == "baseline" else identity_of(method).label
        chosen = [row for row in rows if row.recipe == f"nmnist/{recipe}"]
        chosen = [row for row in chosen if recipe == "baseline" or condition(row, "static_pool") == pool]
        chosen.sort(key=lambda row: int(condition(row, "train_per_class")))
        counts = [int(condition(row, "train_per_class")) for row in chosen]
        means, stds = [row.mean for row in chosen], [row.std or 0 for row in chosen]
        axes.errorbar(
            counts, means, stds, label=name, color=colour_of(recipe, method), marker="o", capsize=3, linewidth=1.6
        )
    axes.set(title=POOLS[pool], xlabel="training recordings a class", xticks=[5, 10, 20, 30], ylim=(69, 96))
    axes.grid(alpha=0.3)


def by_part(axes, rows: list[Row], pool: str) -> None:
    """Paired difference to the baseline at 10 recordings a class, one bar a variant."""
    found = {
        row.recipe.split("/")[1]: row
        for row in rows
        if condition(row, "train_per_class") == "10" and condition(row, "static_pool") == pool
    }
    chosen = [(words, found[recipe]) for recipe, words in reversed(PARTS.items()) if recipe in found]
    reach = [[row.difference - row.low for _, row in chosen], [row.high - row.difference for _, row in chosen]]
    values = [row.difference for _, row in chosen]
    axes.barh([words for words, _ in chosen], values, xerr=reach, color="#9ecae1", ecolor="#555555", capsize=3)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(title=f"10 a class, {POOLS[pool].split(': ')[1]}", xlabel="points above the baseline (95 %, paired)")
    axes.set_xlim(-12, 12)
    axes.grid(alpha=0.3, axis="x")


def main(
    records: str = str(Path(__file__).with_name("records.jsonl")), picture: str = "docs/figures/nmnist_study.png"
) -> None:
    """Draw the picture and print its rows."""
    rows = summarise(read_records([records]))
    figure, grid = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    for column, pool in enumerate(POOLS):
        by_recordings(grid[0, column], rows, pool)
        by_part(grid[1, column], rows, pool)
    grid[0, 0].set_ylabel("test accuracy, % (mean and deviation, 3 seeds)")
    grid[0, 0].legend(loc="lower right")
    figure.suptitle("MNIST to N-MNIST, real recordings, SCNN, T = 10")
    figure.savefig(picture, dpi=110)
    print(render(rows, "csv"))


if __name__ == "__main__":
    main(*sys.argv[1:])
