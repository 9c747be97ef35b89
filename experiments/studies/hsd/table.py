"""Print the study of HSD from its records, as Markdown: accuracy by T, and what is better than what, with certainty.

Run it as `python experiments/studies/hsd/table.py [RECORDS..]`; one table for each data set among them.
"""

import sys
from pathlib import Path

from braincog_tmkt.results.frame import Paired, accuracies, grouped, paired
from braincog_tmkt.results.grids import gap_in_words, seeds_in_words
from braincog_tmkt.results.stages import split_by_stage, steps_of
from braincog_tmkt.results.store import read_records

ROWS = ("TET", "ANN", "converted", "KD", "SKD")
PAIRS = (("KD", "converted"), ("SKD", "converted"), ("SKD", "KD"), ("SKD", "TET"), ("SKD", "ANN"))
STAGES = {"ann": "ANN", "convert": "converted"}

Cells = dict[tuple[str, int], dict[int, float]]
"""(row, T) -> seed -> accuracy in percent."""


def row_of(record: dict, stage: str) -> str:
    """Which row of the table a stage of a run stands in."""
    return STAGES.get(stage) or ("KD" if record["recipe"]["method"].get("distillation") == "kd" else "SKD")


def cells_of(records: list[dict]) -> Cells:
    """The accuracies behind the table, last epoch."""
    found: dict[tuple[str, int], list[dict]] = {}
    for record in records:
        for stage, part in split_by_stage(record).items():
            row = row_of(record, stage) if stage else "TET"
            found.setdefault((row, steps_of(record["recipe"])), []).append(part)
    return {cell: accuracies(parts, "last") for cell, parts in found.items()}  # KD and SKD share ANN and conversion


def in_words(difference: Paired | None) -> str:
    """A paired difference with Student's interval; in bold where that excludes 0."""
    text = gap_in_words(difference)
    return text if difference is None or difference.verdict == "open" else f"**{text}**"


def table(records: list[dict]) -> str:
    """The rows of one data set."""
    cells, test = cells_of(records), records[0]["data"]["test"]
    steps = sorted({step for _, step in cells})
    lines = [f"| accuracy, % of {test} | " + " | ".join(f"T = {step}" for step in steps) + " |"]
    lines.append("|---" * (len(steps) + 1) + "|")
    for row in ROWS:
        lines.append(f"| {row} | " + " | ".join(seeds_in_words(cells[row, step]) for step in steps) + " |")
    for one, other in PAIRS:
        differences = [in_words(paired(cells[one, step], cells[other, step])) for step in steps]
        lines.append(f"| {one} - {other} | " + " | ".join(differences) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    kept = Path(__file__).parent
    shown = [record for record in read_records(sys.argv[1:] or [kept]) if "tmkt" not in record["name"]]
    for name, records in grouped(shown, lambda record: record["data"]["set"]).items():
        print(f"{name} ({records[0]['data']['kind']}), {len({r['seed'] for r in records})} seeds\n\n{table(records)}\n")
