"""What the page shows of records apart from the papers' tables: curves, time steps, splits, cost, versions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ..recipe import load_recipe
from ..recipe.files import known_recipes
from ..recipe.identity import relevant
from .charts import line_chart, to_svg
from .stages import steps_of

MINUS = "\N{MINUS SIGN}"
MOST_COLUMNS = 61
"""Of the table behind a chart; longer curves are printed at every second, fifth, ... place, and drawn whole."""
LEAST = 2.0
"""Percentage points that the axis of accuracies has at least."""
MOST_BEHIND = 8
"""With more recipes than these a panel shows no other recipes behind its own."""

Record = Mapping[str, Any]
Curve = dict[int, float]


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
        panels: title and `<svg>` of each.
        data: the numbers.
    """

    title: str
    note: str
    panels: list[tuple[str, str]]
    data: Grid


@dataclass(frozen=True)
class Runs:
    """The finished runs of one recipe with the same settings.

    Args:
        name: of the recipe.
        label: the name, and the settings in which it differs from other runs of that name.
        records: one a seed, sorted.
    """

    name: str
    label: str
    records: tuple[Record, ...]

    @property
    def first(self) -> Record:
        """The record of the smallest seed, for what all seeds share."""
        return self.records[0]


def signed(value: float, digits: int = 2) -> str:
    """A difference as it is printed.

    Example:
        >>> signed(-0.123), signed(-0.001)
        ('−0.12', '+0.00')
    """
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", MINUS)


def mean_std(values: Sequence[float], std: float | None) -> str:
    """Mean ± standard deviation (n)."""
    return f"{fmean(values):.2f}" + ("" if std is None else f" ± {std:.2f}") + f" ({len(values)})"


def distinct(records: Iterable[Record]) -> list[Record]:
    """The records, a run that is there twice once."""
    return list({(*_kind_of_run(record), record["seed"], record["finished"]): record for record in records}.values())


def _kind_of_run(record: Record) -> tuple[str, ...]:
    """What all seeds of a group share: recipe, settings, kind of data, split."""
    return record["name"], record["recipe_hash"], record["data"]["kind"], record["data"]["split"]


def group_runs(records: Iterable[Record]) -> list[Runs]:
    """Group records by recipe, settings and data, sorted by name."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(_kind_of_run(record), []).append(record)
    settings = {key: {**relevant(group[0]["recipe"]), "data.kind": key[2]} for key, group in groups.items()}
    runs = []
    for key, group in groups.items():
        same_name = [settings[other] for other in groups if other[0] == key[0]]
        varying = [
            one for one in sorted(set().union(*same_name)) if len({str(each.get(one)) for each in same_name}) > 1
        ]
        words = [f"{one.partition('.')[2]}={settings[key].get(one)}" for one in varying]
        if sum(settings[other] == settings[key] for other in groups if other[0] == key[0]) > 1:
            words.append(f"split={key[3][:8]}")
        label = f"{key[0]}: {', '.join(words)}" if words else key[0]
        runs.append(Runs(key[0], label, tuple(sorted(group, key=lambda record: record["seed"]))))
    return sorted(runs, key=lambda group: group.label)


def by_data(groups: Iterable[Runs]) -> dict[str, list[Runs]]:
    """Groups by data set, kind of data and protocol, in words."""
    found: dict[str, list[Runs]] = {}
    for group in groups:
        data = group.first["data"]
        leaks = " (leaks)" if data["leaky"] else ""
        words = f"{data['set']}, {data['kind']} data, protocol {data['protocol']}{leaks}"
        found.setdefault(words, []).append(group)
    return dict(sorted(found.items()))


def shortened(groups: Iterable[Runs]) -> list[str]:
    """Labels of groups with fewer epochs, fewer steps or a narrower network than their recipe says."""
    known = known_recipes()
    ours = [group for group in groups if group.name in known]
    return [group.label for group in ours if _is_short(group.first["recipe"], known[group.name])]


def _is_short(recipe: dict[str, Any], file: Path) -> bool:
    full = load_recipe(file).as_dict()
    keys = (("train", "epochs"), ("data", "steps"), ("model", "width"))
    numbers = [(recipe.get(part, {}).get(key), full[part][key]) for part, key in keys]
    numbers.append((steps_of(recipe), steps_of(full)))
    stages = recipe.get("stages", {})
    numbers += [(stages.get(key), value) for key, value in full.get("stages", {}).items() if key.endswith(".epochs")]
    return any(ours is not None and ours < value for ours, value in numbers)


def curve_charts(groups: Sequence[Runs], name: str) -> list[Chart]:
    """Loss, and accuracies where they were measured more than once, by epoch; for one data set and protocol."""
    loss = _chart(groups, f"{name}-loss", _history("train", "loss", 1), "training loss", "epoch", behind=False)
    shown = [loss]
    for part, words in (("val", "validation accuracy (%)"), ("test", "test accuracy (%)")):
        curve_of = _history(part, "accuracy", 100)
        if max(len(curve_of(record)) for group in groups for record in group.records) > 1:
            shown.append(_chart(groups, f"{name}-{part}", curve_of, words, "epoch"))
    return [chart for chart in shown if chart is not None]


def step_chart(groups: Sequence[Runs], name: str, select: str) -> Chart | None:
    """Accuracy if the decision is taken after 1, 2, .. T time steps; for one data set and protocol."""

    def curve_of(record: Record) -> Curve:
        shares = (record[select] or {}).get("accuracy_by_step") or ()
        return {step: 100 * share for step, share in enumerate(shares, 1)}

    return _chart(groups, f"{name}-steps", curve_of, "test accuracy (%)", "time step")


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
                group.label,
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
    machines = _counted(map(_machine, records))
    names = list(dict.fromkeys(name for record in records for name in record["versions"]))
    rows = []
    for name in names:
        values = _counted(str(record["versions"].get(name) or "not recorded") for record in records)
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


def _counted(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts


def _history(part: str, key: str, times: float) -> Callable[[Record], Curve]:
    """Epoch (from 1) -> a number of the record's history, where it has one."""

    def curve_of(record: Record) -> Curve:
        entries = enumerate(record["history"], 1)
        return {epoch: times * entry[part][key] for epoch, entry in entries if key in entry.get(part, {})}

    return curve_of


def _mean(curves: Sequence[Curve]) -> Curve:
    """Mean over the seeds where all have a value."""
    shared = sorted(set.intersection(*map(set, curves)))
    return {place: fmean(curve[place] for curve in curves) for place in shared}


def _chart(
    groups: Sequence[Runs], name: str, curve_of: Callable[[Record], Curve], y: str, x: str, behind: bool = True
) -> Chart | None:
    """A panel a recipe, and all their numbers; None if there are none."""
    curves = {group.label: [curve_of(record) for record in group.records] for group in groups}
    means = {label: _mean(seeds) for label, seeds in curves.items()}
    drawn = [group for group in groups if means[group.label]]
    if not drawn:
        return None
    behind = behind and 1 < len(drawn) <= MOST_BEHIND
    limits = _limits([curve for seeds in curves.values() for curve in seeds]) if y.endswith("(%)") else None
    panels = []
    for number, group in enumerate(drawn, 1):
        mean, seeds = means[group.label], curves[group.label]
        others = [means[other.label] for other in drawn if behind and other is not group]
        figure = line_chart(group.name, seeds, mean, others, (x, y), limits)
        panels.append((group.label, to_svg(figure, f"{name}-{number}", _sentence(group, mean, y, x))))
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
        f"{group.label}, mean of {len(group.records)} seeds: {y} " if len(group.records) > 1 else f"{group.label}: {y} "
    )
    if first == last:
        return f"{start}is {mean[last]:.2f} at {x} {last}."
    return f"{start}goes from {mean[first]:.2f} at {x} {first} to {mean[last]:.2f} at {x} {last}."


def _numbers(
    groups: Sequence[Runs], curves: Mapping[str, Sequence[Curve]], means: Mapping[str, Curve], y: str, x: str
) -> Grid:
    """The numbers behind the panels: a row a seed and one for the mean."""
    places = sorted({place for group in groups for curve in curves[group.label] for place in curve})
    strides = (digit * 10**power for power in range(16) for digit in (1, 2, 5))
    stride = next(step for step in strides if len(places) <= MOST_COLUMNS * step)
    shown = [place for number, place in enumerate(places, 1) if number % stride == 0 or number in (1, len(places))]
    rows = []
    for group in groups:
        named = [
            (f"seed {record['seed']}", curve) for record, curve in zip(group.records, curves[group.label], strict=True)
        ]
        for who, curve in [*named, *([("mean", means[group.label])] if len(named) > 1 else [])]:
            cells = [f"{curve[place]:.2f}" if place in curve else "" for place in shown]
            rows.append([group.label, who, *cells])
    every = f", every {stride}th {x}" if stride > 2 else f", every second {x}" if stride == 2 else ""
    return Grid(f"{y.capitalize()} by {x}{every}", ["recipe", "run", *map(str, shown)], rows)
