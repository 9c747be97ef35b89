"""Does TMKT overtake TET in longer trainings, and does a leak decide it? One picture, and the tables of the page.

Run it as `python experiments/studies/overtake/figure.py [PICTURE]`; prints Markdown. Every length is a training with a
learning-rate schedule of its own, and accuracies are those of its last epoch; 200 epochs come from ../length.
"""

import csv
import sys
from itertools import combinations
from pathlib import Path
from statistics import fmean

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from tabulate import tabulate

from braincog_tmkt.recipe.identity import setting_of
from braincog_tmkt.results.frame import accuracies, differences, grouped, paired
from braincog_tmkt.results.grids import gap_in_words, seeds_in_words
from braincog_tmkt.results.identity import colour_of
from braincog_tmkt.results.store import read_records, records_with

HERE = Path(__file__).parent
PLACES = HERE / "clean", HERE / "clean_100", HERE / "leak", HERE.with_name("length")
METHODS = {"baseline": "TET", "knowledge_transfer": "Knowledge-Transfer", "tsm": "TSM", "tmkt": "TMKT"}
RULES = {
    "step": "one running set (`step`)",
    "step_own": "a set for each step (`step_own`)",
    "estimated": "a set for each step, estimated again (`--norms own`)",
}
DRAWN = "step", "step_own"
LEAKY, CONTROL = "published_unsorted", "unsorted_control"

Seeds = dict[int, float]
"""Seed -> accuracy in percent."""

Found = dict[tuple[str, int, str], Seeds]
"""By rule, epochs and method."""


def runs_under(protocol: str) -> Found:
    """The last epochs of all trainings under a protocol."""
    records = records_with(read_records(PLACES), [f"data.protocol={protocol}"])
    groups = grouped(records, lambda record: (setting_of(record, "model.norm"), *training_of(record)))
    found = {key: accuracies(runs, "last") for key, runs in groups.items()}
    trained = {(record["recipe_hash"][:8], record["seed"]): training_of(record) for record in records}
    for place in PLACES:
        with (place / "rules.csv").open() as file:
            for line in csv.DictReader(file):
                folder, seed = line["run"].split("/")[-2:]
                run = folder, int(seed.removeprefix("seed"))
                if line["rule"] == "own, estimated" and run in trained:
                    found.setdefault(("estimated", *trained[run]), {})[run[1]] = 100 * float(line["test"])
    return found


def training_of(record: dict) -> tuple[int, str]:
    """Epochs and method."""
    return setting_of(record, "train.epochs"), record["name"].split("/")[1]


def lengths_of(found: Found) -> list[int]:
    """The epochs of the trainings."""
    return sorted({epochs for _, epochs, _ in found})


def shown(values: Seeds) -> str:
    """Mean and standard deviation, and how many seeds."""
    return f"{seeds_in_words(values)} ({len(values)})" if values else ""


def gap(ours: Seeds, theirs: Seeds) -> str:
    """A difference in points, paired over the seeds, with Student's interval."""
    found = paired(ours, theirs)
    return f"{gap_in_words(found)} ({found.seeds})" if found else ""


def by_length(found: Found, rule: str) -> list[dict[str, str]]:
    """A row a method, and a row two methods with their difference; a column a length."""
    runs = {
        method: {epochs: found.get((rule, epochs, method), {}) for epochs in lengths_of(found)} for method in METHODS
    }
    rows = [
        {"epochs": METHODS[method]} | {epochs: shown(values) for epochs, values in each.items()}
        for method, each in runs.items()
    ]
    for one, other in combinations(METHODS, 2):
        differences = {epochs: gap(values, runs[one][epochs]) for epochs, values in runs[other].items()}
        rows.append({"epochs": f"{METHODS[other]} minus {METHODS[one]}"} | differences)
    return rows


def by_norm(found: Found) -> list[dict[str, str]]:
    """What a set for each step adds to one running set, with the same weights: to a method, and to its gap to TET."""
    runs = {
        method: {epochs: [found.get((rule, epochs, method), {}) for rule in DRAWN] for epochs in lengths_of(found)}
        for method in METHODS
    }
    rows = []
    for method, label in METHODS.items():
        rows.append({"epochs": label} | {epochs: gap(own, one) for epochs, (one, own) in runs[method].items()})
        if method != "baseline":
            gaps = {
                epochs: [differences(ours, theirs) for ours, theirs in zip(each, runs["baseline"][epochs], strict=True)]
                for epochs, each in runs[method].items()
            }
            rows.append(
                {"epochs": f"{label} minus TET"} | {epochs: gap(own, one) for epochs, (one, own) in gaps.items()}
            )
    return rows


def between_lengths(found: Found) -> list[dict[str, str]]:
    """How TMKT's gap to TET changes from one length to a longer one."""
    rows = []
    for rule in DRAWN:
        gaps = {
            epochs: differences(found.get((rule, epochs, "tmkt"), {}), found.get((rule, epochs, "baseline"), {}))
            for epochs in lengths_of(found)
        }
        changes = {f"{one} to {other}": gap(gaps[other], gaps[one]) for one, other in combinations(gaps, 2)}
        rows.append({"TMKT minus TET": RULES[rule]} | changes)
    return rows


def trained_twice(found: Found) -> list[dict[str, str]]:
    """TMKT minus TET after 100 epochs: a first training on another machine, that of `found`, and the mean of both."""
    first = grouped(
        read_records([HERE / "clean_100_first"]),
        lambda record: (setting_of(record, "model.norm"), *training_of(record)),
    )
    rows = []
    for rule in DRAWN:
        trainings = [
            [accuracies(first[rule, 100, method], "last") for method in ("tmkt", "baseline")],
            [found[rule, 100, method] for method in ("tmkt", "baseline")],
        ]
        both = [{seed: fmean((one[seed], other[seed])) for seed in one} for one, other in zip(*trainings, strict=True)]
        gaps = zip(("first", "second", "mean of both"), (*trainings, both), strict=True)
        rows.append({"TMKT minus TET, 100 epochs": RULES[rule]} | {words: gap(*pair) for words, pair in gaps})
    return rows


def early() -> list[dict[str, str]]:
    """A row a method: its means by epoch in the shortest training, one running set / a set for each step."""
    records = records_with(read_records([HERE / "clean"]), ["train.epochs=12"])
    rows = []
    for method, label in METHODS.items():
        means = []
        for rule in DRAWN:
            runs = records_with(records, [f"name=ncaltech101/{method}", f"model.norm={rule}"])
            tested = [
                (entry["epoch"] + 1, entry["test"]) for run in runs for entry in run["history"] if "test" in entry
            ]
            by_epoch = grouped(tested, lambda pair: pair[0])
            means.append({key: fmean(100 * test["accuracy"] for _, test in pairs) for key, pairs in by_epoch.items()})
        one, own = means
        rows.append({"epoch": label} | {str(epoch): f"{one[epoch]:.1f} / {own[epoch]:.1f}" for epoch in one})
    return rows


def leaks(leaky: Found, control: Found) -> list[dict[str, str]]:
    """A row a rule and method: with the leak, without it, and both above TET, which draws no image."""
    rows = []
    for rule, epochs, method in sorted(leaky):
        own, other = leaky[rule, epochs, method], control.get((rule, epochs, method), {})
        events_only = leaky.get((rule, epochs, "baseline"), {})
        row = {"rule": RULES[rule], "epochs": epochs, "method": METHODS[method], LEAKY: shown(own)}
        if method != "baseline":
            row |= {CONTROL: shown(other), "the leak": gap(own, other)}
            row |= {"with it, minus TET": gap(own, events_only), "without it, minus TET": gap(other, events_only)}
        rows.append(row)
    return rows


def orders() -> list[dict[str, object]]:
    """A row a rule and training: statistics estimated again from mixed recordings, minus those from class by class."""
    with (HERE / "clean_100" / "order.csv").open() as file:
        lines = [*csv.DictReader(file)]
    rows = []
    for (rule, epochs, method), same in grouped(
        lines, lambda line: (line["rule"], line["epochs"], line["method"])
    ).items():
        by_class, mixed = (
            {int(line["seed"]): 100 * float(line["test"]) for line in same if line["order"] == order}
            for order in ("by class", "mixed")
        )
        row = {"--norms": rule, "epochs": epochs, "method": METHODS[method], "by class": shown(by_class)}
        rows.append(row | {"mixed": shown(mixed), "mixed minus by class": gap(mixed, by_class)})
    return rows


def draw(found: Found) -> plt.Figure:
    """A panel a rule, a line a method: the mean of the last epochs by length, shaded from the least to the most."""
    figure, grid = plt.subplots(1, len(DRAWN), figsize=(11, 4), layout="constrained", sharey=True)
    lengths = lengths_of(found)
    for axes, rule in zip(grid, DRAWN, strict=True):
        for method, label in METHODS.items():
            runs = {
                epochs: [*found[rule, epochs, method].values()] for epochs in lengths if (rule, epochs, method) in found
            }
            colour = colour_of(method, "tmkt" if method == "tsm" else method)  # TSM is a part of TMKT: dashed
            several = {epochs: values for epochs, values in runs.items() if len(values) > 1}
            style = "o--" if method == "tsm" else "o-"
            axes.plot([*several], [*map(fmean, several.values())], style, color=colour, label=label, markersize=4)
            low, high = [*map(min, several.values())], [*map(max, several.values())]
            axes.fill_between([*several], low, high, color=colour, alpha=0.12)
            single = {epochs: values[0] for epochs, values in runs.items() if len(values) == 1}
            axes.plot([*single], [*single.values()], "o", color=colour, markerfacecolor="none", markersize=6)
        axes.set(title=RULES[rule].replace("`", ""), xlabel="epochs of the training", xscale="log")
        axes.set_xticks(lengths, map(str, lengths))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    grid[0].set_ylabel("test accuracy, last epoch (%)")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    words = "mean and range over the seeds, hollow: one seed"
    figure.suptitle(f"N-Caltech101, 20 classes, simulated, VGGSNN at 1/8 width, T = 4: {words}")
    return figure


def main(picture: str = "docs/figures/overtake_ncaltech101.png") -> None:
    """Draw the picture and print the tables."""
    found = runs_under("clean")
    draw(found).savefig(picture, dpi=110)
    tables = {words: by_length(found, rule) for rule, words in RULES.items()}
    tables["a set for each step minus one running set"] = by_norm(found)
    tables["TMKT's gap from one length to another"] = between_lengths(found)
    tables["100 epochs, trained on two machines"] = trained_twice(found)
    tables["inside the training of 12 epochs: one running set / a set for each step"] = early()
    tables["training recordings mixed or class by class, `tmkt eval --norms`"] = orders()
    tables["a leak"] = leaks(runs_under(LEAKY), runs_under(CONTROL))
    for title, rows in tables.items():
        print(f"{title}\n\n{tabulate(rows, headers='keys', tablefmt='github', disable_numparse=True)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
