"""What the page shows of runs with several stages: how good the network is after each, at each time step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

from .report_parts import Grid, Record, Runs, mean_std
from .stages import split_runs, stage_in_words


def by_stage(groups: Iterable[Runs], trained: bool = False) -> list[Runs]:
    """Every stage of every group as a group of its own; those of one stage as they are.

    Args:
        groups: of finished runs.
        trained: leave out stages that train nothing.
    """
    found = []
    for group in groups:
        for stage, records in split_runs(group.records).items():
            if trained and not any("train" in entry for record in records for entry in record["history"]):
                continue
            label = f"{group.label}, {stage_in_words(stage)}" if stage else group.label
            found.append(Runs(group.name, label, tuple(records)))
    return found


def stage_grid(groups: Iterable[Runs], select: str) -> Grid | None:
    """Accuracy after each stage, altogether and from the first 1, 2, .. steps; None if no run has several stages."""
    found = [
        (group, stage, records) for group in groups for stage, records in split_runs(group.records).items() if stage
    ]
    if not found:
        return None
    curves = [_by_step(records, select) for _, _, records in found]
    most = max(map(len, curves))
    rows = []
    for (group, stage, records), curve in zip(found, curves, strict=True):
        accuracy, loss, seconds = _result(records, select)
        steps = curve + [""] * (most - len(curve))
        rows.append([group.label, stage_in_words(stage), accuracy, *steps, loss, seconds, _origin(records, stage)])
    head = ["recipe", "network", "accuracy, % (n)", *(f"T {step}" for step in range(1, most + 1))]
    caption = "Test accuracy (%) after each stage, and from the first 1, 2, … T steps (means over the seeds)"
    return Grid(caption, [*head, "loss", "seconds", "weights"], rows)


def remark_grid(groups: Iterable[Runs]) -> Grid | None:
    """What the methods had to say about their settings; None if nothing."""
    said: dict[str, list[str]] = {}
    for group in groups:
        for sentence in dict.fromkeys(words for record in group.records for words in record.get("remarks", ())):
            said.setdefault(sentence, []).append(group.label)
    rows = [[", ".join(labels), sentence] for sentence, labels in said.items()]
    return Grid("What the methods say about these settings", ["recipe", "remark"], rows) if rows else None


def _result(records: Sequence[Record], select: str) -> list[str]:
    """Accuracy, loss and seconds."""
    shares = [100 * record[select]["accuracy"] for record in records if record[select]]
    losses = [record[select]["loss"] for record in records if record[select]]
    accuracy = mean_std(shares, stdev(shares) if len(shares) > 1 else None) if shares else ""
    seconds = fmean(record["seconds"] for record in records)
    return [accuracy, f"{fmean(losses):.3f}" if losses else "", f"{seconds:,.1f}"]


def _by_step(records: Sequence[Record], select: str) -> list[str]:
    curves = [record[select]["accuracy_by_step"] for record in records if record[select]]
    return [f"{100 * fmean(shares):.2f}" for shares in zip(*curves, strict=False)]


def _origin(records: Sequence[Record], stage: str) -> str:
    """Where the weights come from: trained in these runs, or taken over from other ones."""
    count = sum(record["stages"][stage]["shared"] is not None for record in records)
    return "own" if not count else "taken over" if count == len(records) else f"{count} of {len(records)} taken over"
