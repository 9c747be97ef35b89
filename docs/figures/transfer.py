"""Draw when the transfer pays: points above TET by setting, for images of the training recordings and for further ones.

Run it as `python docs/figures/transfer.py`: reads the records of experiments/studies, writes transfer.png beside this
file, and prints the numbers in Markdown.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from tabulate import tabulate

from braincog_tmkt.recipe.identity import setting_of
from braincog_tmkt.results.frame import Paired, accuracies, grouped, paired
from braincog_tmkt.results.grids import gap_in_words
from braincog_tmkt.results.identity import colour_of
from braincog_tmkt.results.store import read_records, records_with

HERE = Path(__file__).resolve().parent
STUDIES = HERE.parents[1] / "experiments/studies"
POOLS = {"partners": "images of the training recordings only", "open": "further images, too"}
FURTHER = "open minus partners"
METHODS = {  # label, the method whose colour it has, mark
    "knowledge_transfer": ("Knowledge-Transfer", "knowledge_transfer", "o"),
    "tsm": ("TSM", "tmkt", "s"),
    "tmkt": ("TMKT, Eq. 17", "tmkt", "^"),
    "tsm_cubic": ("cubic mixing, no MAG, no MRP", "ckd", "D"),
    "tsm_cubic_event1": ("the same, event loss at weight 1", "r2etl", "P"),
}


class Setting(NamedTuple):
    """Runs that differ in their method, their images and their seed only.

    Args:
        title: as the picture has it.
        chosen: settings that they share.
        studies: folders of the records.
    """

    title: str
    chosen: tuple[str, ...]
    studies: tuple[str, ...]


TRAINED_AGAIN = ("batch_norm_rerun", "pool_nmnist")
SETTINGS = (
    *(
        Setting(f"N-MNIST, SCNN, {count} a class", (f"data.train_per_class={count}",), ("nmnist",))
        for count in (5, 10, 20, 30)
    ),
    Setting("N-MNIST, VGGSNN, 10 a class", ("data.name=nmnist", "model.norm=step_own"), ("batch_norm", "search")),
    Setting("N-MNIST, VGGSNN, 10, trained again", ("model.norm=step_own",), TRAINED_AGAIN),
    Setting("N-MNIST, ResNet-18, 10 a class", ("model.norm=step_own",), ("batch_norm_resnet18",)),
    Setting("N-Caltech101*, 36 epochs", ("data.name=ncaltech101",), ("search",)),
    Setting("N-Caltech101*, 200 epochs", ("model.norm=step_own",), ("length",)),
)
PRINTED = {  # beside the picture's: the setting, which epoch
    "N-MNIST, VGGSNN, best on validation": (Setting("", ("model.norm=step_own",), TRAINED_AGAIN), "best_val"),
    "N-MNIST, VGGSNN, one running set": (Setting("", ("model.norm=step",), TRAINED_AGAIN), "last"),
}


def accuracies_of(setting: Setting, select: str) -> dict[tuple[str, str], dict[int, float]]:
    """(Method, images) -> seed -> accuracy."""
    records = records_with(read_records([STUDIES / study for study in setting.studies]), setting.chosen)
    groups = grouped(
        records, lambda record: (record["name"].split("/")[1], setting_of(record, "data.static_pool") or "partners")
    )
    return {key: accuracies(runs, select) for key, runs in groups.items()}


def gains(setting: Setting, select: str = "last") -> dict[tuple[str, str], Paired]:
    """(Method, images) -> points above TET; images `FURTHER`: those that further images add."""
    found = accuracies_of(setting, select)
    events_only = next(values for (method, _), values in found.items() if method == "baseline")
    gaps = {key: paired(values, events_only) for key, values in found.items() if key[0] in METHODS}
    gaps |= {
        (method, FURTHER): paired(found[method, "open"], values)
        for (method, pool), values in found.items()
        if pool == "partners" and method in METHODS and (method, "open") in found
    }
    return {key: gap for key, gap in gaps.items() if gap is not None}


def draw(found: dict[str, dict[tuple[str, str], Paired]]) -> plt.Figure:
    """A panel for each kind of images, a line a setting, a mark a method."""
    figure, grid = plt.subplots(1, 2, figsize=(11, 5.4), layout="constrained", sharex=True, sharey=True)
    for axes, (pool, words) in zip(grid, POOLS.items(), strict=True):
        axes.axvline(0, color="black", linewidth=0.8)
        for place, gaps in enumerate(found.values()):
            for number, (method, (label, colour, mark)) in enumerate(METHODS.items()):
                if gap := gaps.get((method, pool)):
                    y, shade = place + 0.16 * (number - (len(METHODS) - 1) / 2), colour_of(method, colour)
                    axes.plot(gap.mean, y, mark, color=shade, markersize=5, label=label)
                    if gap.t_low is not None:
                        axes.plot([gap.t_low, gap.t_high], [y, y], color=shade, linewidth=1.3)
        axes.set(title=words, xlabel="points above TET")
        axes.grid(alpha=0.3, axis="x")
    grid[0].set_yticks(range(len(found)), list(found))
    grid[0].invert_yaxis()
    marks = {label: mark for axes in grid for mark, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(marks.values(), marks, loc="outside lower center", ncols=5, frameon=False)
    return figure


def main() -> None:
    """Draw the picture and print the table."""
    found = {setting.title: gains(setting) for setting in SETTINGS}
    draw(found).savefig(HERE / "transfer.png", dpi=110)
    found |= {title: gains(setting, select) for title, (setting, select) in PRINTED.items()}
    rows = [
        {"setting": title, "images": pool, "n": "/".join(str(gap.seeds) for gap in ours.values())}
        | {METHODS[method][0]: gap_in_words(gap) for method, gap in ours.items()}
        for title, gaps in found.items()
        for pool in (*POOLS, FURTHER)
        if (ours := {method: gaps[method, pool] for method in METHODS if (method, pool) in gaps})
    ]
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
