"""Where a training step's time goes in multi-step execution: the profile behind docs/explanations/speed.md.

python benchmarks/execution_profile.py      # prints the tables, writes benchmarks/results/profile.md; a minute
"""

from __future__ import annotations

import torch
from execution_nets import MULTI, RESNET, SCNN, VGGSNN, Case, make_contender
from execution_report import RESULTS
from tabulate import tabulate
from torch.profiler import ProfilerActivity, profile

from braincog_tmkt.engine.devices import make_fabric

WARM, STEPS = 2, 3
GROUPS = {
    "convolutions, forward": ("aten::mkldnn_convolution", "aten::cudnn_convolution"),
    "convolutions, backward": ("aten::convolution_backward",),
    "batch norm and nodes, forward": ("_Fire",),
    "batch norm and nodes, backward": ("_FireBackward",),
    "linear layers and Gram matrices": ("aten::mm", "aten::addmm", "aten::bmm"),
    "copies and conversions": ("aten::copy_",),
    "poolings": ("aten::avg_pool2d", "aten::div", "aten::mean"),
}


def shares(case: Case, precision: str, device: torch.device) -> dict[str, str]:
    """Share of each group in the time of some steps; what is in none is `everything else`."""
    contender = make_contender(MULTI + precision, case, device)
    for _ in range(WARM):
        contender.train()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=kinds) as found:
        for _ in range(STEPS):
            contender.train()
    clock = f"self_{'device' if device.type == 'cuda' else 'cpu'}_time_total"
    times = {event.key: getattr(event, clock) for event in found.key_averages()}
    total = sum(times.values())
    parts = {group: sum(times.get(name, 0) for name in names) for group, names in GROUPS.items()}
    parts["everything else"] = total - sum(parts.values())
    return {"ms a step": f"{total / STEPS / 1e3:.0f}"} | {name: f"{part / total:.1%}" for name, part in parts.items()}


def main() -> None:
    device = make_fabric().device
    columns = {}
    for case in (VGGSNN, RESNET, SCNN):
        for precision in ("", " bf16"):
            columns[f"{case.net}, B {case.batch}{precision}"] = shares(case, precision, device)
    groups = list(next(iter(columns.values())))
    rows = [[group, *(column[group] for column in columns.values())] for group in groups]
    table = tabulate(rows, headers=["", *columns], tablefmt="github", disable_numparse=True)
    print(table)
    (RESULTS / "profile.md").write_text(
        f"# Where a training step's time goes\n\n`python benchmarks/execution_profile.py`, {device.type},"
        f" {torch.get_num_threads()} threads, torch {torch.__version__}, multi-step execution\n\n{table}\n"
    )


if __name__ == "__main__":
    main()
