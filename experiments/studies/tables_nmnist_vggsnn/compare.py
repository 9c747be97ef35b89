"""Tables 1 to 4 of the TMKT paper with two norms side by side, and which of its orderings hold with each.

Run it as `python experiments/studies/tables_nmnist_vggsnn/compare.py [SELECT]`; prints Markdown. SELECT is `last`
(the default), `best_val` or `best_test`.
"""

import sys
from collections import Counter
from pathlib import Path

from tabulate import tabulate

from braincog_tmkt.results.frame import paired
from braincog_tmkt.results.grids import gap_in_words, seeds_in_words
from braincog_tmkt.results.paper import find_table
from braincog_tmkt.results.store import read_records, records_with
from braincog_tmkt.results.tables import Ordering, Table, make_table

HERE = Path(__file__).parent
PLACES = HERE, HERE.with_name("batch_norm")
NORMS = "step", "step_own"


def change(tables: dict[str, Table], ordering: Ordering) -> str:
    """By how much the first norm makes a difference between two methods larger than the second does, paired."""
    gaps = []
    for table in tables.values():
        ours = {line.paper.method: line.ours.accuracy for line in table.lines if line.ours}
        better, worse = ours[ordering.better], ours[ordering.worse]
        gaps.append({seed: better[seed] - worse[seed] for seed in better.keys() & worse.keys()})
    return gap_in_words(paired(*gaps))


def rows(tables: dict[str, Table]) -> list[dict[str, str]]:
    """One row a measured method."""
    found = []
    for lines in zip(*(table.lines for table in tables.values()), strict=True):
        if all(line.ours for line in lines):
            first = lines[0].paper
            seeds = len(lines[0].ours.accuracy)
            ours = {norm: seeds_in_words(line.ours.accuracy) for norm, line in zip(tables, lines, strict=True)}
            found.append({"method": first.method, "paper": f"{first.accuracy:.2f}", **ours, "n": seeds})
    return found


def orderings(tables: dict[str, Table]) -> list[dict[str, str]]:
    """One row a pair of methods that the paper orders."""
    found = []
    for pair in zip(*(table.orderings for table in tables.values()), strict=True):
        first = pair[0]
        row = {"better in the paper": first.better, "worse": first.worse, "by": f"{first.paper:+.2f}"}
        row |= {norm: f"{gap_in_words(ours.ours)} {ours.verdict}" for norm, ours in zip(tables, pair, strict=True)}
        found.append({**row, "the norm's part": change(tables, first)})
    return found


def main(select: str = "last") -> None:
    """Print the tables."""
    records, counts = list(read_records(PLACES)), {norm: Counter() for norm in NORMS}
    for number in "1234":
        paper = find_table(number)
        tables = {
            norm: make_table(paper, records_with(records, [f"model.norm={norm}"]), select, "nmnist") for norm in NORMS
        }
        print(f"Table {number}: {paper.title}\n")
        for made in (rows(tables), orderings(tables)):
            print(tabulate(made, headers="keys", tablefmt="github", disable_numparse=True), end="\n\n")
        for norm, table in tables.items():
            counts[norm].update(ordering.verdict for ordering in table.orderings)
    for norm, count in counts.items():
        print(f"{norm}: of {count.total()} orderings", ", ".join(f"{n} {word}" for word, n in sorted(count.items())))


if __name__ == "__main__":
    main(*sys.argv[1:])
