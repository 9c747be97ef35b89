"""From which length on does TMKT overtake TET, and does a leak decide it? One picture, and the tables of the page.

Run it as `python experiments/studies/overtake/figure.py [PICTURE]`; prints Markdown. Every length is a training with a
learning-rate schedule of its own, and accuracies are those of its last epoch; 200 epochs come from ../length.
"""

import sys
from itertools import combinations
from pathlib import Path
from statistics import fmean

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from tabulate import tabulate

from braincog_tmkt.recipe.identity import setting_of
from braincog_tmkt.results.frame import accuracies, grouped, mean_std, paired
from braincog_tmkt.results.grids import interval, mean_in_words
from braincog_tmkt.results.identity import colour_of
from braincog_tmkt.results.store import read_records, records_with

HERE = Path(__file__).parent
METHODS = {"baseline": "TET", "knowledge_transfer": "Knowledge-Transfer", "tsm": "TSM", "tmkt": "TMKT"}
NORMS = {"step": "one running set (`step`)", "step_own": "a set for each step (`step_own`)"}
LEAKY, CONTROL = "published_unsorted", "unsorted_control"

Found = dict[tuple[str, int, str], dict[int, float]]
"""(Norm, epochs, method) -> seed -> accuracy in percent."""


def runs_under(protocol: str) -> Found:
    """The last epochs of all trainings under a protocol."""
    records = records_with(read_records([HERE, HERE.with_name("length")]), [f"data.protocol={protocol}"])
    groups = grouped(
        records,
        lambda record: (
            setting_of(record, "model.norm") or "step",
            setting_of(record, "train.epochs"),
            record["name"].split("/")[1],
        ),
    )
    return {key: accuracies(runs, "last") for key, runs in groups.items()}


def shown(values: dict[int, float]) -> str:
    """Mean and standard deviation, and how many seeds."""
    return f"{mean_in_words(*mean_std(values.values()), digits=1)} ({len(values)})" if values else ""


def gap(ours: dict[int, float] | None, theirs: dict[int, float] | None) -> str:
    """A difference in points, paired over the seeds, with Student's interval."""
    found = paired(ours, theirs) if ours and theirs else None
    return f"{interval(found.mean, found.t_low, found.t_high, 1)} ({found.seeds})" if found else ""


def lengths_of(found: Found) -> list[int]:
    """The epochs of the trainings."""
    return sorted({epochs for _, epochs, _ in found})


def by_length(found: Found, norm: str) -> list[dict[str, str]]:
    """A row a method, and a row two methods with their difference; a column a length."""
    lengths = lengths_of(found)
    rows = []
    for method, label in METHODS.items():
        runs = {epochs: found.get((norm, epochs, method), {}) for epochs in lengths}
        rows.append({"epochs": label} | {epochs: shown(values) for epochs, values in runs.items()})
    for one, other in combinations(METHODS, 2):
        row = {"epochs": f"{METHODS[other]} minus {METHODS[one]}"}
        rows.append(
            row | {epochs: gap(found.get((norm, epochs, other)), found.get((norm, epochs, one))) for epochs in lengths}
        )
    return rows


def by_norm(found: Found) -> list[dict[str, str]]:
    """A row a method, a column a length: what a set for each step adds to one running set, with the same weights."""
    return [
        {"epochs": label}
        | {
            epochs: gap(found.get(("step_own", epochs, method)), found.get(("step", epochs, method)))
            for epochs in lengths_of(found)
        }
        for method, label in METHODS.items()
    ]


def leaks(leaky: Found, control: Found) -> list[dict[str, str]]:
    """A row a norm and method: with the leak, without it, and both above TET, which draws no image."""
    rows = []
    for norm, epochs, method in sorted(leaky):
        key, events_only = (norm, epochs, method), leaky[norm, epochs, "baseline"]
        row = {"norm": norm, "epochs": str(epochs), "method": METHODS[method], LEAKY: shown(leaky[key])}
        if method != "baseline":
            row |= {CONTROL: shown(control[key]), "the leak": gap(leaky[key], control[key])}
            row |= {"with it, minus TET": gap(leaky[key], events_only)}
            row |= {"without it, minus TET": gap(control[key], events_only)}
        rows.append(row)
    return rows


def draw(found: Found) -> plt.Figure:
    """A panel a norm, a line a method: the mean of the last epochs by length, shaded from the least to the most."""
    figure, grid = plt.subplots(1, len(NORMS), figsize=(11, 4), layout="constrained", sharey=True)
    lengths = lengths_of(found)
    for axes, (norm, words) in zip(grid, NORMS.items(), strict=True):
        for method, label in METHODS.items():
            known = [epochs for epochs in lengths if (norm, epochs, method) in found]
            values = [[*found[norm, epochs, method].values()] for epochs in known]
            colour = colour_of(method, "tmkt" if method == "tsm" else method)  # TSM is a part of TMKT: dashed
            style = "o--" if method == "tsm" else "o-"
            axes.plot(known, [*map(fmean, values)], style, color=colour, label=label, markersize=4)
            axes.fill_between(known, [*map(min, values)], [*map(max, values)], color=colour, alpha=0.12)
        axes.set(title=words.replace("`", ""), xlabel="epochs of the training", xscale="log")
        axes.set_xticks(lengths, map(str, lengths))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    grid[0].set_ylabel("test accuracy, last epoch (%)")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle("N-Caltech101, 20 classes, simulated, VGGSNN at 1/8 width, T = 4: mean and range over the seeds")
    return figure


def main(picture: str = "docs/figures/overtake_ncaltech101.png") -> None:
    """Draw the picture and print the tables."""
    found = runs_under("clean")
    draw(found).savefig(picture, dpi=110)
    tables = {words: by_length(found, norm) for norm, words in NORMS.items()}
    tables["a set for each step minus one running set"] = by_norm(found)
    tables["a leak"] = leaks(runs_under(LEAKY), runs_under(CONTROL))
    for title, rows in tables.items():
        print(f"{title}\n\n{tabulate(rows, headers='keys', tablefmt='github', disable_numparse=True)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
