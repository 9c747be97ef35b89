"""What the page shows of records apart from the papers' tables: curves, time steps, splits, cost, versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ..recipe import PAPER
from .charts import DotChart, LineChart
from .frame import Curve, Paired, Record, Runs, by_step, grouped, mean_curve, mean_std
from .grids import mean_in_words
from .identity import colour_of
from .setting import tiers_of
from .stages import split_runs, stage_in_words, steps_of

MINUS = "\N{MINUS SIGN}"
MOST_COLUMNS = 61
"""Of the table behind a chart; longer curves are printed at every second, fifth, ... place, and drawn whole."""
LEAST = 2.0
"""Percentage points that the axis of accuracies has at least."""
MOST_BEHIND = 8
"""With more recipes than these a panel shows no other recipes behind its own."""


@dataclass(frozen=True)
class Grid:
    """A plain table: the first cell of a row names it.

    Args:
        caption: what it shows.
        head: names of the columns.
        rows: cells as they are printed.
    """

    caption: str
    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Chart:
    """Some panels and the numbers behind them.

    Args:
        title: heading.
        note: how to read it.
        panels: title and drawing of each.
        data: the numbers.
    """

    title: str
    note: str
    panels: Sequence[tuple[str, DotChart | LineChart]]
    data: Grid


def signed(value: float, digits: int = 2) -> str:
    """A difference as it is printed.

    Example:
        >>> signed(-0.123), signed(-0.001)
        ('−0.12', '+0.00')
    """
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", MINUS)


def signed_interval(mean: float | None, low: float | None, high: float | None) -> str:
    """A difference and its interval, as far as there are any."""
    ends = "" if low is None or high is None else f" [{signed(low)}, {signed(high)}]"
    return "" if mean is None else f"{signed(mean)}{ends}"


def seeds_in_words(values: Iterable[float]) -> str:
    """Mean ± standard deviation (n).

    Example:
        >>> seeds_in_words([1.0, 2.0, 3.0])
        '2.00 ± 1.00 (3)'
    """
    values = list(values)
    return f"{mean_in_words(*mean_std(values))} ({len(values)})"


def paired_in_words(result: Paired) -> str:
    """A paired difference with its bootstrap interval and n."""
    return f"{signed_interval(result.mean, result.low, result.high)} ({result.seeds})"


def data_of(groups: Iterable[Runs]) -> dict[str, list[Runs]]:
    """Groups by data set, kind of data and protocol, in words."""

    def words(group: Runs) -> str:
        data = group.first["data"]
        leaks = " (leaks)" if data["leaky"] else ""
        return f"{data['set']}, {data['kind']} data, protocol {data['protocol']}{leaks}"

    return dict(sorted(grouped(groups, words).items()))


def shortened(groups: Iterable[Runs]) -> list[str]:
    """Labels of groups with fewer epochs, fewer steps or a narrower network than their recipe says."""
    return [group.title for group in groups if _is_short(group.first["recipe"], tiers_of(group.name).get(PAPER))]


def _is_short(recipe: dict[str, Any], full: dict[str, Any] | None) -> bool:
    if full is None:
        return False
    keys = (("train", "epochs"), ("data", "steps"), ("model", "width"))
    numbers = [(recipe.get(part, {}).get(key), full[part][key]) for part, key in keys]
    numbers.append((steps_of(recipe), steps_of(full)))
    stages = recipe.get("stages", {})
    numbers += [(stages.get(key), value) for key, value in full.get("stages", {}).items() if key.endswith(".epochs")]
    return any(ours is not None and ours < value for ours, value in numbers)


def curve_charts(groups: Sequence[Runs]) -> list[Chart]:
    """Loss, and accuracies where they were measured more than once, by epoch; for one data set and protocol."""
    loss = _chart(groups, _history("train", "loss", 1), "training loss", "epoch", behind=False)
    shown = [loss]
    for part, words in (("val", "validation accuracy (%)"), ("test", "test accuracy (%)")):
        curve_of = _history(part, "accuracy", 100)
        if max(len(curve_of(record)) for group in groups for record in group.records) > 1:
            shown.append(_chart(groups, curve_of, words, "epoch"))
    return [chart for chart in shown if chart is not None]


def step_chart(groups: Sequence[Runs], select: str) -> Chart | None:
    """Accuracy if the decision is taken after 1, 2, .. T time steps; for one data set and protocol."""
    return _chart(groups, lambda record: by_step(record, select), "test accuracy (%)", "time step")


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
            title = f"{group.title}, {stage_in_words(stage)}" if stage else group.title
            found.append(Runs(group.name, title, tuple(records)))
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
        rows.append([group.title, stage_in_words(stage), accuracy, *steps, loss, seconds, _origin(records, stage)])
    head = ["recipe", "network", "accuracy, % (n)", *(f"T {step}" for step in range(1, most + 1))]
    caption = "Test accuracy (%) after each stage, and from the first 1, 2, … T steps (means over the seeds)"
    return Grid(caption, [*head, "loss", "seconds", "weights"], rows)


def remark_grid(groups: Iterable[Runs]) -> Grid | None:
    """What the methods had to say about their settings; None if nothing."""
    said = {
        (sentence, group.title): None
        for group in groups
        for record in group.records
        for sentence in record.get("remarks", ())
    }
    rows = [
        [", ".join(title for _, title in pairs), sentence]
        for sentence, pairs in grouped(said, lambda pair: pair[0]).items()
    ]
    return Grid("What the methods say about these settings", ["recipe", "remark"], rows) if rows else None


def audit_grid(groups: Iterable[Runs]) -> Grid:
    """Sizes, hash and verdict of each split."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for group in groups:
        for record in group.records:
            data = record["data"]
            sizes = [f"{data[part]:,}" for part in ("train", "val", "test", "pool")]
            row = [data["set"], data["kind"], data["protocol"], *sizes, data["split"][:12], audit_sentence(record)]
            rows.setdefault((data["set"], data["kind"], data["split"]), row)
    head = ["data set", "kind", "protocol", "train", "val", "test", "static pool", "split (hash)", "audit"]
    return Grid("Splits, and what the audit before each run found", head, sorted(rows.values()))


def audit_sentence(record: Record) -> str:
    """The verdict of a record's audit in one sentence."""
    audit = record["audit"]
    held_out = audit["test"] + audit["val"]
    twins = audit["test_with_twin_in_pool"] + audit["val_with_twin_in_pool"]
    found = []
    if twins:
        found.append(f"{twins:,} of {held_out:,} held-out recordings have their own image in the static pool")
    if audit["in_two_parts"]:
        found.append(f"{audit['in_two_parts']:,} recordings are in two parts of the split")
    if audit.get("same_content"):
        found.append(f"{audit['same_content']:,} held-out recordings have the content of something trained on")
    if audit["leaks"] or record["data"]["leaky"]:
        return f"It leaks: {'; '.join(found) or 'the protocol can draw images of held-out recordings'}."
    if not audit.get("twins_known", True):
        return "It may leak: the data set does not say which image a recording shows."
    return "No leak: no image of a held-out recording can be drawn, and no recording is in two parts."


def cost_grid(groups: Iterable[Runs]) -> Grid:
    """What a run takes, as means over the seeds."""
    head = ["recipe", "runs", "seconds", "peak memory, MiB", "parameters", "synaptic operations", "firing rate, %"]
    rows = []
    for group in groups:
        memory = {key for record in group.records for key in record["peak_memory"]}
        peaks = {key: max(record["peak_memory"].get(key, 0) for record in group.records) for key in sorted(memory)}
        rates = [100 * fmean(record["firing_rates"].values()) for record in group.records if record["firing_rates"]]
        rows.append(
            [
                group.title,
                str(len(group.records)),
                f"{fmean(record['seconds'] for record in group.records):,.1f}",
                ", ".join(f"{peak:,.1f} {key.removesuffix('_mib')}" for key, peak in peaks.items()),
                f"{group.first['parameters']:,}",
                f"{fmean(record['synaptic_operations'] for record in group.records):,.0f}",
                f"{fmean(rates):.2f}" if rates else "",
            ]
        )
    return Grid("Cost of a run, by recipe", head, rows)


def version_grids(records: Sequence[Record]) -> list[Grid]:
    """Machines, and versions of the software, with the number of runs of each."""
    machines = Counter(map(_machine, records))
    names = list(dict.fromkeys(name for record in records for name in record["versions"]))
    rows = []
    for name in names:
        values = Counter(str(record["versions"].get(name) or "not recorded") for record in records)
        rows.append([name, ", ".join(values if len(values) == 1 else (f"{key} ({n})" for key, n in values.items()))])
    return [
        Grid("Machines", ["machine", "runs"], [[key, str(count)] for key, count in machines.items()]),
        Grid("Versions; in brackets the number of runs where they differ", ["package", "version"], rows),
    ]


def _machine(record: Record) -> str:
    processes = _plural(record["world_size"], "process", "processes")
    threads = _plural(record["threads"], "thread", "threads")
    return f"{record['device_name']} ({record['device']}, {processes}, {threads} each)"


def _plural(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _history(part: str, key: str, times: float) -> Callable[[Record], Curve]:
    """Epoch (from 1) -> a number of the record's history, where it has one."""

    def curve_of(record: Record) -> Curve:
        entries = enumerate(record["history"], 1)
        return {epoch: times * entry[part][key] for epoch, entry in entries if key in entry.get(part, {})}

    return curve_of


def _chart(
    groups: Sequence[Runs], curve_of: Callable[[Record], Curve], y: str, x: str, behind: bool = True
) -> Chart | None:
    """A panel a recipe, and all their numbers; None if there are none."""
    curves = {group.title: [curve_of(record) for record in group.records] for group in groups}
    means = {title: mean_curve(seeds) for title, seeds in curves.items()}
    drawn = [group for group in groups if means[group.title]]
    if not drawn:
        return None
    behind = behind and 1 < len(drawn) <= MOST_BEHIND
    limits = _limits([curve for seeds in curves.values() for curve in seeds]) if y.endswith("(%)") else None
    panels = []
    for group in drawn:
        mean, colour = means[group.title], colour_of(group.name, group.first["recipe"]["method"]["name"])
        others = [means[other.title] for other in drawn if behind and other is not group]
        chart = LineChart(colour, curves[group.title], mean, others, (x, y), limits, _sentence(group, mean, y, x))
        panels.append((group.title, chart))
    note = "Thick: mean over the seeds; thin: single seeds"
    note += "; grey: the other panels. All panels have the same scales." if behind else "."
    if limits is None:
        note += " Every panel has its own scale: methods add different terms to their loss."
    return Chart(f"{y.removesuffix(' (%)').capitalize()} by {x}", note, panels, _numbers(drawn, curves, means, y, x))


def _limits(curves: Sequence[Curve]) -> tuple[float, float]:
    values = [value for curve in curves for value in curve.values()]
    margin = max(0.05 * (max(values) - min(values)), (LEAST - (max(values) - min(values))) / 2)
    return min(values) - margin, max(values) + margin


def _sentence(group: Runs, mean: Curve, y: str, x: str) -> str:
    first, last = min(mean), max(mean)
    start = (
        f"{group.title}, mean of {len(group.records)} seeds: {y} " if len(group.records) > 1 else f"{group.title}: {y} "
    )
    if first == last:
        return f"{start}is {mean[last]:.2f} at {x} {last}."
    return f"{start}goes from {mean[first]:.2f} at {x} {first} to {mean[last]:.2f} at {x} {last}."


def _numbers(
    groups: Sequence[Runs], curves: Mapping[str, Sequence[Curve]], means: Mapping[str, Curve], y: str, x: str
) -> Grid:
    """The numbers behind the panels: a row a seed and one for the mean."""
    places = sorted({place for group in groups for curve in curves[group.title] for place in curve})
    strides = (digit * 10**power for power in range(16) for digit in (1, 2, 5))
    stride = next(step for step in strides if len(places) <= MOST_COLUMNS * step)
    shown = [place for number, place in enumerate(places, 1) if number % stride == 0 or number in (1, len(places))]
    rows = []
    for group in groups:
        named = [
            (f"seed {record['seed']}", curve) for record, curve in zip(group.records, curves[group.title], strict=True)
        ]
        for who, curve in [*named, *([("mean", means[group.title])] if len(named) > 1 else [])]:
            cells = [f"{curve[place]:.2f}" if place in curve else "" for place in shown]
            rows.append([group.title, who, *cells])
    every = f", every {stride}th {x}" if stride > 2 else f", every second {x}" if stride == 2 else ""
    return Grid(f"{y.capitalize()} by {x}{every}", ["recipe", "run", *map(str, shown)], rows)


def _result(records: Sequence[Record], select: str) -> list[str]:
    """Accuracy, loss and seconds."""
    shares = [100 * record[select]["accuracy"] for record in records if record[select]]
    losses = [record[select]["loss"] for record in records if record[select]]
    accuracy = seeds_in_words(shares) if shares else ""
    seconds = fmean(record["seconds"] for record in records)
    return [accuracy, f"{fmean(losses):.3f}" if losses else "", f"{seconds:,.1f}"]


def _by_step(records: Sequence[Record], select: str) -> list[str]:
    curves = [record[select]["accuracy_by_step"] for record in records if record[select]]
    return [f"{100 * fmean(shares):.2f}" for shares in zip(*curves, strict=False)]


def _origin(records: Sequence[Record], stage: str) -> str:
    """Where the weights come from: trained in these runs, or taken over from other ones."""
    count = sum(record["stages"][stage]["shared"] is not None for record in records)
    return "own" if not count else "taken over" if count == len(records) else f"{count} of {len(records)} taken over"
