"""Which setting of TMKT has the highest validation accuracy on N-MNIST, and how it does on test recordings.

Run it as `python experiments/studies/search/choose.py`; prints Markdown. Accuracies are those of the last epoch, with
norm `step_own`. The choice is made on three seeds; equal ones are told apart by the lower validation loss. The last
table has the chosen one on simulated N-Caltech101, with the images of training recordings and with further ones.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from tabulate import tabulate

from braincog_tmkt.recipe.identity import setting_of
from braincog_tmkt.results.frame import accuracies, by_seed, grouped, paired
from braincog_tmkt.results.grids import gap_in_words, seeds_in_words
from braincog_tmkt.results.store import read_records, records_with

HERE = Path(__file__).parent
PLACES = HERE, HERE.with_name("batch_norm"), HERE.with_name("tables_nmnist_vggsnn")
RIVALS = "baseline", "knowledge_transfer"
FIRST = 42, 1024, 90210
WEIGHT_1 = "tsm_cubic_event1"


def merit(records: list) -> tuple[float, float]:
    """Higher is better: validation accuracy, then validation loss, over the first seeds."""
    first = [record for record in records if record["seed"] in FIRST]
    accuracy = fmean(record["last"]["val_accuracy"] for record in first)
    return accuracy, -fmean(record["history"][-1]["val"]["loss"] for record in first)


def validation(records: list) -> dict[int, float]:
    """Seed -> validation accuracy of the last epoch in percent."""
    return {
        seed: 100 * value for seed, value in by_seed(records, lambda record: record["last"]["val_accuracy"]).items()
    }


def above(records: list, reference: list, select: str) -> str:
    """Points on the test recordings above others, paired over the seeds."""
    return gap_in_words(paired(accuracies(records, select), accuracies(reference, select)))


def compare(title: str, groups: dict[str, list], references: Sequence[str], select: str = "last") -> None:
    """Print groups of runs, each beside some of them."""
    rows = [
        {
            "row": name,
            "n": len(runs),
            "validation, last": seeds_in_words(validation(runs)),
            "test": seeds_in_words(accuracies(runs, select)),
        }
        | {f"minus {other}": above(runs, groups[other], select) for other in references if other != name}
        for name, runs in groups.items()
    ]
    print(f"{title}\n\n{tabulate(rows, headers='keys', tablefmt='github', disable_numparse=True)}\n")


def main() -> None:
    """Print the candidates by validation accuracy, the chosen one beside its rivals, and what ran on N-Caltech101."""
    records = records_with(read_records(PLACES), ["model.norm=step_own"])
    found = grouped(records_with(records, ["data.name=nmnist"]), method_of)
    ordered = sorted(found, key=lambda name: merit(found[name]), reverse=True)
    rows = []
    for name in ordered:
        accuracy, loss = merit(found[name])
        rows.append({"recipe": name, "validation": f"{100 * accuracy:.1f}", "loss": f"{-loss:.3f}"})
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True), end="\n\n")
    chosen = next(name for name in ordered if name not in RIVALS)
    rivals = *RIVALS, "tmkt", "tsm", chosen
    beside = {name: found[name] for name in (*rivals, WEIGHT_1)}
    for select in ("last", "best_val", "best_test"):
        compare(f"N-MNIST, {select}", beside, rivals, select)
    new = {name: [record for record in found[name] if record["seed"] not in FIRST] for name in rivals}
    compare("N-MNIST, the seeds that had no part in the choice", new, rivals)
    carried = grouped(records_with(records, ["data.name=ncaltech101"]), with_images)
    compare("N-Caltech101", carried, (*RIVALS, chosen))


def method_of(record: dict) -> str:
    """The recipe's name without its data set."""
    return str(record["name"].split("/")[1])


def with_images(record: dict) -> str:
    """The same, and which images a method draws."""
    further = setting_of(record, "data.static_pool") == "open"
    return method_of(record) + ", further images" * further


if __name__ == "__main__":
    main()
