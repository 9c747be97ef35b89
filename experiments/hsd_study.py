"""Print the study of HSD from its records, as Markdown: accuracy by T, and what is better than what, with certainty.

Run it as `python experiments/hsd_study.py RECORDS..`; one table for each data set among them.
"""

import sys
from collections import defaultdict
from statistics import fmean, stdev

from braincog_tmkt.results.statistics import Paired, paired
from braincog_tmkt.results.store import read_records

ROWS = ("TET", "ANN", "converted", "KD", "SKD")
PAIRS = (("KD", "converted"), ("SKD", "converted"), ("SKD", "KD"), ("SKD", "TET"), ("SKD", "ANN"))

Cells = dict[tuple[str, int], dict[int, float]]
"""(row, T) -> seed -> accuracy in percent."""


def cells_of(records: list[dict]) -> Cells:
    """The accuracies behind the table, last epoch."""
    cells: Cells = defaultdict(dict)
    for record in records:
        method, seed = record["recipe"]["method"], record["seed"]
        steps = method["steps"]
        percent = 100 * record["last"]["accuracy"]
        if method["name"] == "baseline":
            cells["TET", steps][seed] = percent
            continue
        row = "KD" if method.get("distillation") == "kd" else "SKD"
        cells[row, steps][seed] = percent
        stages = record["stages"]
        cells["converted", steps][seed] = 100 * stages["convert"]["last"]["accuracy"]
        cells["ANN", steps][seed] = 100 * stages["ann"]["last"]["accuracy"]
    return cells


def in_words(difference: Paired | None) -> str:
    """A paired difference with Student's interval; in bold where that leaves 0 out."""
    if difference is None:
        return ""
    if difference.t_low is None:
        return f"{difference.mean:+.1f}"
    text = f"{difference.mean:+.1f} [{difference.t_low:+.1f}, {difference.t_high:+.1f}]"
    return text if difference.verdict == "open" else f"**{text}**"


def table(records: list[dict]) -> str:
    """The rows of one data set."""
    cells, test = cells_of(records), records[0]["data"]["test"]
    steps = sorted({step for _, step in cells})
    lines = [f"| accuracy, % of {test} | " + " | ".join(f"T = {step}" for step in steps) + " |"]
    lines.append("|---" * (len(steps) + 1) + "|")
    for row in ROWS:
        values = [list(cells[row, step].values()) for step in steps]
        lines.append(f"| {row} | " + " | ".join(f"{fmean(v):.1f} ± {stdev(v):.1f}" for v in values) + " |")
    for one, other in PAIRS:
        differences = [in_words(paired(cells[one, step], cells[other, step])) for step in steps]
        lines.append(f"| {one} - {other} | " + " | ".join(differences) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    by_set = defaultdict(list)
    for record in read_records(sys.argv[1:]):
        by_set[record["data"]["set"]].append(record)
    for name, records in by_set.items():
        print(f"{name} ({records[0]['data']['kind']}), {len({r['seed'] for r in records})} seeds\n\n{table(records)}\n")
