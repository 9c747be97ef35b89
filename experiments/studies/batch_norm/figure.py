"""What batch norm over time is worth, from a study's records, `rules.csv` and `streams.csv`: pictures and tables.

Run it as `python experiments/studies/batch_norm/figure.py [STUDY] [PICTURE]`; prints its tables in Markdown. PICTURE
shows one running set and a set for each step, which a study with `shared` only does not have; if none is given, it is
that of the study's name in docs/figures. Where there is a `streams.csv`, a picture for each norm is written beside it.
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
from braincog_tmkt.results.store import read_records

HERE = Path(__file__).parent
METHODS = {
    "baseline": "TET",
    "knowledge_transfer": "Knowledge-Transfer",
    "tsm": "TSM",
    "mag": "TSM and MAG",
    "mrp": "TSM and MRP",
    "tmkt": "TMKT",
}
TITLES = {
    "batch_norm": "N-MNIST, real, VGGSNN at 1/4 width, T = 10",
    "batch_norm_rerun": "N-MNIST, real, VGGSNN at 1/4 width, T = 10, trained again on another machine",
    "batch_norm_resnet18": "N-MNIST, real, ResNet-18 at 1/4 width, T = 10",
    "batch_norm_resnet18_rerun": "N-MNIST, real, ResNet-18 at 1/4 width, T = 10, trained again on another machine",
    "batch_norm_ncaltech101": "N-Caltech101, 20 classes, simulated, VGGSNN at 1/8 width, T = 4",
    "batch_norm_ncaltech101_resnet18": "N-Caltech101, 20 classes, simulated, ResNet-18 at 1/8 width, T = 4",
    "batch_norm_ncaltech101_resnet18_100": "N-Caltech101, 20 classes, simulated, ResNet-18 at 1/8 width, T = 4",
    "length": "N-Caltech101, 20 classes, simulated, VGGSNN at 1/8 width, T = 4",
}
NORMS = {"step": "one running set (`step`)", "step_own": "a set for each step (`step_own`)", "shared": "`shared`"}
SELECTIONS = {"last": "last epoch", "best_val": "best on validation", "best_test": "best on test"}
RULES = {
    ("step_own", "one, saved"): "`step`, as saved",
    ("step_own", "one, estimated"): "`step`, one set, estimated again",
    ("step_own", "own, saved"): "`step_own`, as saved",
    ("step_own", "own, estimated"): "`step`, a set for each step, estimated again",
    ("shared", "saved"): "`shared`, as saved",
    ("shared", "one, estimated"): "`shared`, estimated again",
}
STREAMS = {"both": "one set of both streams", "events": "one set of the event stream"}
PARTS = "tsm", "mag", "mrp"
"""Recipes of TMKT without one or both of its modality objectives."""
LATE = 0.5
"""Share of the epochs that counts as the end of a training, where accuracies should hardly move."""


def runs_of(study: Path) -> dict[tuple[str, str], list]:
    """(method, norm) -> records."""
    return grouped(
        read_records([study]), lambda record: (record["name"].split("/")[1], setting_of(record, "model.norm") or "step")
    )


def measured(found: dict) -> dict[str, str]:
    """The methods that were trained, and how the page calls them."""
    return {method: label for method, label in METHODS.items() if (method, "step") in found}


def curve(record: dict) -> list[tuple[int, float]]:
    """Epoch from 1, accuracy on the test recordings in percent."""
    return [(entry["epoch"] + 1, 100 * entry["test"]["accuracy"]) for entry in record["history"] if "test" in entry]


def swing(record: dict) -> float:
    """Points between the highest and the lowest accuracy of the last half of the epochs."""
    points = curve(record)
    late = [value for epoch, value in points if epoch > LATE * points[-1][0]]
    return max(late) - min(late)


def by_selection(found: dict) -> list[dict[str, object]]:
    """One row a method and norm: by selection, and how far the end of the training swings."""
    rows = []
    for method, label in METHODS.items():
        for norm, words in NORMS.items():
            if records := found.get((method, norm)):
                row = {"method": label, "norm": words, "seeds": len(records)}
                row |= {
                    title: seeds_in_words(accuracies(records, key))
                    for key, title in SELECTIONS.items()
                    if records[0][key]
                }
                for key in ("best_val", "best_test"):
                    if records[0][key]:
                        gap = paired(accuracies(records, key), accuracies(records, "last"))
                        row[f"{SELECTIONS[key]} minus last"] = gap_in_words(gap)
                rows.append({**row, "swing": f"{fmean(map(swing, records)):.1f}"})
    return rows


def between_methods(found: dict) -> list[dict[str, object]]:
    """One row two methods and a selection: points between them under each norm, and what the norm changes of it."""
    rows = []
    for other, method in combinations([method for method in METHODS if any(key[0] == method for key in found)], 2):
        for key, title in SELECTIONS.items():
            above, row = {}, {"methods": f"{METHODS[method]} minus {METHODS[other]}", "epoch": title}
            for norm, words in NORMS.items():
                ours, theirs = found.get((method, norm)), found.get((other, norm))
                if ours and theirs and ours[0][key]:
                    above[norm] = differences(accuracies(ours, key), accuracies(theirs, key))
                    row[words] = gap_in_words(paired(accuracies(ours, key), accuracies(theirs, key)))
            if {"step", "step_own"} <= above.keys():
                row["the difference"] = gap_in_words(paired(above["step"], above["step_own"]))
            rows.append(row)
    return rows


def costs(found: dict) -> list[dict[str, object]]:
    """One row a method: points that one running set costs, with the same weights."""
    return [
        {"method": label}
        | {
            title: gap_in_words(
                paired(accuracies(found[method, "step_own"], key), accuracies(found[method, "step"], key))
            )
            for key, title in SELECTIONS.items()
        }
        for method, label in measured(found).items()
    ]


def gains(found: dict) -> list[dict[str, object]]:
    """One row a method: points that a set for each step adds to one running set by epoch, mean of the seeds."""
    rows = []
    for method, label in measured(found).items():
        one, own = (
            grouped([point for record in found[method, norm] for point in curve(record)], lambda point: point[0])
            for norm in ("step", "step_own")
        )
        means = {
            epoch: fmean(value for _, value in own[epoch]) - fmean(value for _, value in one[epoch]) for epoch in one
        }
        rows.append({"a set for each step, epoch": label} | {epoch: f"{mean:+.1f}" for epoch, mean in means.items()})
    return rows


def last_epochs(study: Path, norm: str, rule: str) -> dict[str, dict[int, float]]:
    """Method -> seed -> accuracy on the test recordings under a rule, of `rules.csv`."""
    found = {method: {} for method in METHODS}
    with (study / "rules.csv").open() as file:
        for line in csv.DictReader(file):
            _, method, _, seed = line["run"].split("/")
            if (line["norm"], line["rule"]) == (norm, rule):
                found[method][int(seed.removeprefix("seed"))] = 100 * float(line["test"])
    return found


def by_rule(study: Path) -> list[dict[str, str]]:
    """One row a rule: the last epoch on the test recordings, a column a method; and the points above TET."""
    rows, found = [], {words: last_epochs(study, *key) for key, words in RULES.items()}
    shown = [method for method in METHODS if any(seeds[method] for seeds in found.values())]
    for words, seeds in found.items():
        if any(seeds.values()):
            row = {
                METHODS[method]: f"{seeds_in_words(seeds[method])} ({len(seeds[method])})" if seeds[method] else ""
                for method in shown
            }
            above = {
                f"{METHODS[method]} minus TET": gap_in_words(paired(seeds[method], seeds["baseline"]))
                for method in shown
                if seeds[method] and seeds["baseline"] and method != "baseline"
            }
            rows.append({"statistics": words} | row | above)
    return rows


def causes(study: Path) -> list[dict[str, str]]:
    """One row a method: the points from one running set to a set for each step, in two steps."""
    saved, again, own = (
        last_epochs(study, "step_own", rule) for rule in ("one, saved", "one, estimated", "own, estimated")
    )
    rows = []
    for method, label in METHODS.items():
        if again[method]:
            first, second = differences(again[method], saved[method]), differences(own[method], again[method])
            gaps = {
                "estimated again, still one set": paired(again[method], saved[method]),
                "then a set for each step": paired(own[method], again[method]),
                "both": paired(own[method], saved[method]),
                "the second minus the first": paired(second, first),
            }
            each = ", ".join(f"{seed}: {first[seed]:+.1f} then {second[seed]:+.1f}" for seed in sorted(first))
            rows.append({"method": label} | {key: gap_in_words(gap) for key, gap in gaps.items()} | {"by seed": each})
    return rows


def estimated_again(study: Path) -> list[dict[str, str]]:
    """One row a method trained with `shared`: the points that statistics estimated again add."""
    saved, again = (last_epochs(study, "shared", rule) for rule in ("saved", "one, estimated"))
    return [
        {"`shared`": label, "estimated again minus as saved": gap_in_words(paired(again[method], saved[method]))}
        for method, label in METHODS.items()
        if again[method]
    ]


def with_streams(study: Path) -> dict[tuple[str, str, int], dict[str, list[dict]]]:
    """(norm, method, epoch) -> statistics -> lines of `streams.csv`."""
    with (study / "streams.csv").open() as file:
        groups = grouped(
            csv.DictReader(file), lambda line: (line["norm"], line["run"].split("/")[1], int(line["epoch"]))
        )
    order = sorted(groups, key=lambda key: (key[0], [*METHODS].index(key[1]), key[2]))
    return {key: grouped(groups[key], lambda line: line["statistics"]) for key in order}


def by_stream(streams: dict, found: dict) -> list[dict[str, str]]:
    """One row a norm, method, epoch: one running set as saved, of both streams, of events; and a set for each step."""
    rows = []
    for (norm, method, epoch), groups in streams.items():
        tests = {words: seeds_of(lines) for words, lines in groups.items()}
        if norm == "step_own":
            own = {record["seed"]: dict(curve(record))[epoch] for record in found[method, norm]}
            tests["a set for each step"] = own
        row = {"one set, norm": norm, "method": METHODS[method], "epoch": epoch}
        row |= {words: f"{seeds_in_words(values)} ({len(values)})" for words, values in tests.items()}
        pairs = ("events", "both"), ("both", "as saved"), ("events", "as saved"), ("a set for each step", "events")
        row |= {
            f"{one} minus {other}": gap_in_words(paired(tests[one], tests[other]))
            for one, other in pairs
            if one in tests
        }
        if norm == "step_own":
            gains = (differences(tests[one], tests[other]) for one, other in (pairs[0], pairs[3]))
            row["the streams minus the steps"] = gap_in_words(paired(*gains))
        rows.append(row | {"distance": f"{fmean(float(line['distance']) for line in groups['both']):.2f}"})
    return rows


def beyond_tsm(streams: dict) -> list[dict[str, str]]:
    """One row a norm, epoch and method with a modality objective: what a set of events adds, less what TSM gains."""
    added = {
        key: differences(*(seeds_of(groups[words]) for words in ("events", "both"))) for key, groups in streams.items()
    }
    return [
        {
            "norm": norm,
            "method": METHODS[method],
            "epoch": epoch,
            "its gain minus TSM's": gap_in_words(paired(gain, added[norm, "tsm", epoch])),
        }
        for (norm, method, epoch), gain in added.items()
        if method not in ("knowledge_transfer", "tsm") and (norm, "tsm", epoch) in added
    ]


def seeds_of(lines: list[dict]) -> dict[int, float]:
    """Seed -> accuracy in percent, of lines of `streams.csv`."""
    return {int(line["run"].split("/seed")[1]): 100 * float(line["test"]) for line in lines}


def trained_again(found: dict, before: dict) -> list[dict[str, str]]:
    """One row a method, norm and selection: what a second training changes; the gain over TET, mean of both."""
    rows = []
    for key in ("last", "best_val"):
        both = {}  # norm -> method -> seed -> mean of both trainings
        for method, label in measured(found).items():
            for norm in ("step", "step_own"):
                first, second = (accuracies(runs[method, norm], key) for runs in (before, found))
                both.setdefault(norm, {})[method] = {seed: fmean((first[seed], second[seed])) for seed in first}
                changes = differences(second, first)
                row = {"method": label, "epoch": SELECTIONS[key], "norm": NORMS[norm]}
                row["second minus first"] = gap_in_words(paired(second, first))
                row["by seed"] = ", ".join(f"{seed}: {changes[seed]:+.1f}" for seed in sorted(changes))
                if method != "baseline":
                    row["above TET, mean of both"] = gap_in_words(paired(both[norm][method], both[norm]["baseline"]))
                rows.append(row)
            if method != "baseline":
                gains = [differences(means[method], means["baseline"]) for means in both.values()]
                rows[-1]["one running set adds"] = gap_in_words(paired(*gains))
    return rows


def draw(lines: dict[str, dict[str, list]], title: str) -> plt.Figure:
    """Test accuracy by epoch, a panel a method, a line a seed, a colour for each of two ways to evaluate."""
    figure, grid = plt.subplots(1, len(lines), figsize=(12, 3.9), layout="constrained", sharey=True, squeeze=False)
    for axes, (method, ways) in zip(grid[0], lines.items(), strict=True):
        for (words, curves), colour in zip(ways.items(), ("#b2182b", "#1b7fbd"), strict=True):
            for number, points in enumerate(curves):
                label = words.replace("`", "") if number == 0 else None
                axes.plot(*zip(*points, strict=True), color=colour, linewidth=0.9, alpha=0.8, label=label)
        axes.set(title=f"{METHODS[method]} ({len(curves)} seeds)", xlabel="epoch")
        axes.title.set_color(colour_of(method, "tmkt" if method in PARTS else method))
        axes.grid(alpha=0.3)
    grid[0, 0].set_ylabel("test accuracy (%)")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(f"{title}: the same weights, two ways to evaluate batch norm")
    return figure


def lines_of_norms(found: dict) -> dict[str, dict[str, list]]:
    """For `draw`: one running set, a set for each step."""
    return {
        method: {NORMS[norm]: [*map(curve, found[method, norm])] for norm in ("step", "step_own")}
        for method in measured(found)
    }


def lines_of_streams(streams: dict) -> dict[str, dict[str, dict[str, list]]]:
    """For `draw`, by norm: one set of both streams, or of the event stream."""
    found: dict[str, dict[str, dict[str, list]]] = {}
    for (norm, method, _), groups in streams.items():
        ways = found.setdefault(norm, {}).setdefault(method, {words: [] for words in STREAMS.values()})
        for key, words in STREAMS.items():
            ways[words] += groups[key]
    return {
        norm: {method: {words: _curves(lines) for words, lines in ways.items()} for method, ways in methods.items()}
        for norm, methods in found.items()
    }


def _curves(lines: list[dict]) -> list[list[tuple[int, float]]]:
    """Lines of `streams.csv`: those of each run together."""
    return [
        [(int(line["epoch"]), 100 * float(line["test"])) for line in same]
        for same in grouped(lines, lambda line: line["run"]).values()
    ]


def by_seed(found: dict) -> list[dict[str, object]]:
    """One row a method and selection: each seed, one running set / a set for each step."""
    rows = []
    for method, label in measured(found).items():
        for key in ("last", "best_val"):
            one, own = (accuracies(found[method, norm], key) for norm in ("step", "step_own"))
            seeds = {f"seed {seed}": f"{one[seed]:.1f} / {own[seed]:.1f}" for seed in sorted(one)}
            rows.append({"method": label, "epoch": SELECTIONS[key], **seeds})
    return rows


def main(study: str = str(HERE), picture: str | None = None) -> None:
    """Draw the pictures and print the tables."""
    place, found = Path(study), runs_of(Path(study))
    name = place.resolve().name
    title = TITLES.get(name, name)
    tables = by_selection, costs, gains, between_methods, by_seed
    printed = [*filter(None, (table(found) for table in tables)), by_rule(place), causes(place), estimated_again(place)]
    main_picture = Path(picture or f"docs/figures/{name}.png")
    if measured(found):
        draw(lines_of_norms(found), title).savefig(main_picture, dpi=110)
    if (place / "streams.csv").exists():
        streams = with_streams(place)
        for norm, lines in lines_of_streams(streams).items():
            words = "step" if norm == "step_own" else norm  # which is evaluated with one set here
            draw(lines, f"{title}, norm {words}").savefig(
                main_picture.with_stem(f"{main_picture.stem}_streams_{words}"), dpi=110
            )
        printed += [by_stream(streams, found), beyond_tsm(streams)]
    if name.endswith("_rerun"):
        printed.append(trained_again(found, runs_of(HERE.with_name(name.removesuffix("_rerun")))))
    for rows in printed:
        print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True), end="\n\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
