"""What `execution.py` measured, as tables (terminal, Markdown, CSV) and as a figure."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from math import nan
from pathlib import Path
from typing import NamedTuple

import matplotlib
import torch
from execution_nets import BF16, CONTENDERS, LIMIT, MULTI, OPTIONAL, RIVAL, STEP, spikingjelly_backend
from matplotlib.axes import Axes
from tabulate import tabulate

from braincog_tmkt.engine.environment import commit, now

matplotlib.use("Agg")
from matplotlib import pyplot

RESULTS = Path(__file__).parent / "results"
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")
PACKAGES = ("torch", "braincog", "spikingjelly", "numpy", "numba", "triton")
COLOURS = {MULTI: "#1f77b4", MULTI + BF16: "#17becf", RIVAL: "#d62728", RIVAL + BF16: "#ff9896", STEP: "#7f7f7f"}
COLOURS |= dict.fromkeys(OPTIONAL, "#9467bd")


@dataclass
class Row:
    """One competitor in one measurement; NaN where there is nothing to say.

    Args:
        phase: `training`, `inference`, or the axis of a growth curve: `steps`, `batch`, `size`.
        net: the case's net.
        batch: B.
        steps: T.
        size: height and width of the frames.
        contender: see `execution_nets.CONTENDERS`.
        median_s: seconds, median over the repeats.
        fastest_s: seconds, the fastest repeat.
        samples_per_s: batch / median.
        times_step: how many times the reference's speed this is (medians of this run).
        times_limit: how many times the time of the bare convolutions of the same precision this takes.
        peak_mib: memory of a training step at its peak.
    """

    phase: str
    net: str
    batch: int
    steps: int
    size: int
    contender: str
    median_s: float = nan
    fastest_s: float = nan
    samples_per_s: float = nan
    times_step: float = nan
    times_limit: float = nan
    peak_mib: float = nan


class Target(NamedTuple):
    """A target: `quantity` of `above` over that of `below`, at least or at most `bound`."""

    device: str
    net: str
    phase: str
    quantity: str
    above: str
    below: str
    at_least: bool
    bound: float


TARGETS = (
    Target("cpu", "VGGSNN", "training", "median_s", STEP, MULTI, True, 2.0),
    Target("cpu", "ResNet-18", "training", "median_s", STEP, MULTI, True, 2.0),
    Target("cpu", "SCNN", "training", "median_s", STEP, MULTI, True, 3.0),
    Target("cpu", "VGGSNN", "training", "median_s", STEP, MULTI + BF16, True, 5.0),
    Target("cpu", "VGGSNN", "training", "median_s", MULTI, LIMIT, False, 1.35),
    *(
        Target("cpu", net, phase, "median_s", RIVAL, MULTI, True, 1.0)
        for phase in ("training", "inference")
        for net in ("VGGSNN", "ResNet-18", "SCNN")
    ),
    Target("cuda", "VGGSNN", "training", "median_s", STEP, MULTI + BF16, True, 8.0),
    Target("cuda", "VGGSNN", "training", "median_s", STEP, MULTI, True, 4.0),
    *(Target("cuda", "VGGSNN", "training", "peak_mib", ours, STEP, False, 1 / 3) for ours in (MULTI, MULTI + BF16)),
    Target("cuda", "VGGSNN", "training", "median_s", LIMIT + BF16, MULTI + BF16, True, 0.5),
)


def machine(device: torch.device) -> list[tuple[str, str]]:
    """Processor, memory, GPU, versions, load: what the numbers depend on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    facts = dict(
        line.split("\t: ", 1) for line in info.split("\n\n")[0].replace("\t\t", "\t").splitlines() if "\t: " in line
    )
    flags = [flag for flag in FLAGS if flag in facts.get("flags", "").split()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    rows = [
        ("date, commit", f"{now()}, {commit()}"),
        (
            "processor",
            f"{facts.get('model name', platform.processor())}, model {facts.get('model', '?')}, {os.cpu_count()} cores",
        ),
        ("its vector units", ", ".join(flags)),
        ("threads", f"{torch.get_num_threads()}"),
        ("memory", f"{memory:.0f} GiB"),
        ("load before (1, 5, 15 min)", " ".join(f"{load:.1f}" for load in os.getloadavg())),
        ("system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"),
        ("packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)),
        ("SpikingJelly's backend", spikingjelly_backend(device)),
    ]
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        rows.append(("GPU", f"{card.name}, {card.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}; TF32 off"))
    return rows


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def compare(rows: list[Row]) -> list[Row]:
    """Fill in the ratios of competitors that were timed side by side."""
    times = {row.contender: row.median_s for row in rows}
    for row in rows:
        row.samples_per_s = row.batch / row.median_s
        row.times_step = times.get(STEP, nan) / row.median_s
        precision = BF16 if row.contender.endswith(BF16) else ""
        row.times_limit = row.median_s / times.get(LIMIT + precision, nan)
    return rows


def speed_table(rows: Iterable[Row], phase: str) -> list[dict[str, object]]:
    return [
        {
            "net": f"{row.net}, B {row.batch}, T {row.steps}",
            "execution": row.contender,
            "median s": f"{row.median_s:.4g}",
            "fastest s": f"{row.fastest_s:.4g}",
            "samples/s": f"{row.samples_per_s:.4g}",
            "x step": f"{row.times_step:.2f}",
            "time / convolutions": f"{row.times_limit:.2f}",
            **(
                {"peak MiB": f"{row.peak_mib:.0f}" if row.peak_mib == row.peak_mib else ""}
                if phase == "training"
                else {}
            ),
        }
        for row in rows
        if row.phase == phase
    ]


def growth_table(rows: list[Row]) -> list[dict[str, object]]:
    by_point: dict[tuple[object, ...], dict[str, Row]] = {}
    for row in rows:
        if row.phase in ("steps", "batch", "size"):
            by_point.setdefault((row.phase, row.steps, row.batch, row.size), {})[row.contender] = row
    return [
        {
            "along": phase,
            "T": steps,
            "B": batch,
            "size": size,
            "step ms": f"{1000 * point[STEP].median_s:.1f}",
            "multi_step ms": f"{1000 * point[MULTI].median_s:.1f}",
            "ratio": f"{point[MULTI].times_step:.2f}",
        }
        for (phase, steps, batch, size), point in by_point.items()
    ]


def target_table(rows: list[Row], device: torch.device) -> list[dict[str, object]]:
    """The targets beside this run's ratios; the smallest batch that was measured counts on the CPU."""
    table = []
    for target in (target for target in TARGETS if target.device == device.type):
        pair = [
            next((row for row in rows if (row.phase, row.net, row.contender) == (target.phase, target.net, name)), None)
            for name in (target.above, target.below)
        ]
        if None in pair:
            continue
        ratio = getattr(pair[0], target.quantity) / getattr(pair[1], target.quantity)
        met = ratio >= target.bound if target.at_least else ratio <= target.bound
        what = "time" if target.quantity == "median_s" else "peak memory"
        table.append(
            {
                "net": target.net,
                "phase": target.phase,
                "ratio": f"{what}: {target.above} / {target.below}",
                "target": f"{'at least' if target.at_least else 'at most'} {target.bound:.2f}",
                "measured": f"{ratio:.2f}",
                "met": "yes" if met else "no",
            }
        )
    return table


def report(
    about: list[tuple[str, str]], rows: list[Row], notes: list[str], device: torch.device, targets: bool, folder: Path
) -> str:
    """Write `execution.md`, `.csv` and `.png` to the folder; the targets hold for the full nets. Returns the text."""
    growth = growth_table(rows)
    parts = [
        "# Execution: training step and inference",
        *notes,
        tabulate(about, ("machine", ""), tablefmt="github"),
        *_section("Targets", target_table(rows, device) if targets else []),
        *_section("Training step: forward of TMKT with its loss, and backward", speed_table(rows, "training")),
        *_section("Inference: the event stream, evaluation, no graph", speed_table(rows, "inference")),
        *_section("Growth: training step of VGGSNN at 1/8 width, fp32", growth),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "execution.md").write_text("\n\n".join([*parts, "![ratios and growth](execution.png)"]) + "\n")
    with (folder / "execution.csv").open("w", newline="") as file:
        for fact in about:
            csv.writer(file, lineterminator="\n").writerow(["# " + fact[0], fact[1]])
        table = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        table.writeheader()
        table.writerows({key: "" if value != value else value for key, value in asdict(row).items()} for row in rows)
    draw(rows, device, folder / "execution.png")
    return "\n\n".join(parts)


def _section(title: str, table: list[dict[str, object]]) -> list[str]:
    return [f"## {title}", tabulate(table, headers="keys", tablefmt="github", disable_numparse=True)] if table else []


def draw(rows: list[Row], device: torch.device, path: Path) -> None:
    """Bars of the ratios with the limit marked, memory, growth."""
    figure, axes = pyplot.subplots(2, 3, figsize=(15, 8), layout="constrained")
    for panel, phase in zip(axes[0], ("training", "inference"), strict=False):
        if not _bars(panel, [row for row in rows if row.phase == phase], "times_step"):
            continue
        panel.axhline(1, color="black", linewidth=0.8)
        panel.set(title=f"{phase}: speed over step mode", ylabel="times the speed of step mode")
    if _bars(axes[0, 2], [row for row in rows if row.phase == "training" and LIMIT not in row.contender], "peak_mib"):
        axes[0, 2].set(title="training step: memory at the peak", ylabel="MiB", yscale="log")
    for panel, phase in zip(axes[1], ("steps", "batch", "size"), strict=True):
        _curves(panel, [row for row in rows if row.phase == phase], phase)
    figure.suptitle(f"{torch.cuda.get_device_name(device) if device.type == 'cuda' else 'CPU'}, medians of one run")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _bars(panel: Axes, rows: list[Row], quantity: str) -> bool:
    """A group of bars a case; a dash over the bars of a precision is the bare convolutions' value. Whether any is."""
    if all(getattr(row, quantity) != getattr(row, quantity) for row in rows):  # all NaN, or none there
        panel.set_axis_off()
        return False
    cases = list(dict.fromkeys((row.net, row.batch) for row in rows))
    values = {(row.net, row.batch, row.contender): getattr(row, quantity) for row in rows}
    drawn = [name for name in CONTENDERS + OPTIONAL if any(key[2] == name for key in values) and LIMIT not in name]
    drawn = [name for name in drawn if name != STEP or quantity == "peak_mib"]
    width = 0.8 / len(drawn)
    for place, name in enumerate(drawn):
        left = [index + (place - len(drawn) / 2 + 0.5) * width for index in range(len(cases))]
        heights = [values.get((*case, name), nan) for case in cases]
        bars = panel.bar(left, heights, width, color=COLOURS[name], label=name)
        decimals = "%.1f" if quantity == "times_step" else "%.0f"
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}  # so that no dash crosses a number
        panel.bar_label(bars, fmt=decimals, fontsize=7, zorder=5, bbox=paper)
        limit = LIMIT + (BF16 if name.endswith(BF16) else "")
        marks = [values.get((*case, limit), nan) for case in cases]
        if any(mark == mark for mark in marks):
            ends = ([x - width / 2 for x in left], [x + width / 2 for x in left])
            label = "bare convolutions, same precision" if place == len(drawn) - 1 else None
            panel.hlines(marks, *ends, color="black", linewidth=2, label=label)
    panel.set_xticks(range(len(cases)), [f"{net}\nbatch {batch}" for net, batch in cases])
    panel.set_xlim(-0.5, len(cases) - 0.5)
    panel.legend(fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return True


def _curves(panel: Axes, rows: list[Row], phase: str) -> None:
    if not rows:
        panel.set_axis_off()
        return
    for name in (STEP, MULTI):
        points = [(getattr(row, phase), 1000 * row.median_s) for row in rows if row.contender == name]
        panel.plot(*zip(*points, strict=True), "o-", color=COLOURS[name], label=name)
    for row in rows:
        if row.contender == MULTI:
            place = (getattr(row, phase), 1000 * row.median_s)
            panel.annotate(
                f"{row.times_step:.1f}x", place, (0, -14), textcoords="offset points", ha="center", fontsize=8
            )
    marks = sorted({getattr(row, phase) for row in rows})
    axis = {"steps": "T", "batch": "B", "size": "height and width of the frames"}[phase]
    panel.set(title=f"growth with {axis}", xlabel=axis, ylabel="ms a training step", xscale="log", yscale="log")
    panel.set_xticks(marks, [str(mark) for mark in marks])
    panel.minorticks_off()
    panel.margins(y=0.15)
    panel.legend(fontsize=8)
