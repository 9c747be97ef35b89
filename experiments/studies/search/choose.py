"""Which setting of TMKT has the highest validation accuracy on N-MNIST, and how it does on test recordings.

Run it as `python experiments/studies/search/choose.py`; prints Markdown. Accuracies are those of the last epoch, with
norm `step_own`. The choice is made on three seeds; equal ones are told apart by the lower validation loss. The last
table has the chosen one on simulated N-Caltech101, with the images of training recordings and with further ones.
"""

from pathlib import Path
from statistics import fmean

from tabulate import tabulate

from braincog_tmkt.recipe.identity import setting_of
from braincog_tmkt.results.frame import by_seed, grouped, mean_std, paired
from braincog_tmkt.results.grids import interval, mean_in_words
from braincog_tmkt.results.store import read_records, records_with

HERE = Path(__file__).parent
PLACES = HERE, HERE.with_name("batch_norm"), HERE.with_name("tables_nmnist_vggsnn")
RIVALS = "baseline", "knowledge_transfer"
FIRST = 42, 1024, 90210


def percent(records: list, part: str) -> dict[int, float]:
    """Seed -> accuracy of the last epoch in percent."""
    key = "accuracy" if part == "test" else "val_accuracy"
    return {seed: 100 * value for seed, value in by_seed(records, lambda record: record["last"][key]).items()}


def merit(records: list) -> tuple[float, float]:
    """Higher is better: validation accuracy, then validation loss, over the first seeds."""
    first = [record for record in records if record["seed"] in FIRST]
    accuracy = fmean(record["last"]["val_accuracy"] for record in first)
    return accuracy, -fmean(record["history"][-1]["val"]["loss"] for record in first)


def shown(records: list, part: str) -> str:
    """Mean and standard deviation over the seeds."""
    return mean_in_words(*mean_std(percent(records, part).values()), digits=1)


def above(records: list, reference: list) -> str:
    """Points on the test recordings above others, paired over the seeds."""
    gap = paired(percent(records, "test"), percent(reference, "test"))
    return interval(gap.mean, gap.t_low, gap.t_high, 1) if gap else ""


def compare(groups: dict[str, list]) -> None:
    """Print groups of runs, each beside the rivals among them."""
    references = [name for name in groups if name.startswith(RIVALS)]
    rows = [
        {"row": name, "seeds": len(records), "validation": shown(records, "val"), "test": shown(records, "test")}
        | {f"minus {other}": above(records, groups[other]) for other in references if other != name}
        for name, records in groups.items()
    ]
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True), end="\n\n")


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
    compare({name: found[name] for name in (*RIVALS, "tmkt", "tsm", chosen)})
    compare(grouped(records_with(records, ["data.name=ncaltech101"]), with_images))


def method_of(record: dict) -> str:
    """The recipe's name without its data set."""
    return str(record["name"].split("/")[1])


def with_images(record: dict) -> str:
    """The same, and which images a method draws."""
    further = setting_of(record, "data.static_pool") == "open"
    return method_of(record) + ", further images" * further


if __name__ == "__main__":
    main()
