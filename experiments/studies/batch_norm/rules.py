"""Finished runs under other rules for the statistics of their batch norms, from the weights that were kept.

Run it as `python experiments/studies/batch_norm/rules.py RUNS [OUT]`. Norms `step` and `step_own` train alike, so a
run of `step_own` that kept its weights (`train.keep_every`, as often as `train.eval_every`) also tells what the same
training gives with `step`: each kept epoch is evaluated with the one running set, and the record that `step` would have
written is put beside the others. With a folder OUT, its `rules.csv` gets the accuracies of the last epoch under every
rule, and its `shares.csv` the factor that the step weights of a method with images give to the event loss, epoch by
epoch. What is there already is skipped.
"""

import csv
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch

from braincog_tmkt.engine import checkpoint
from braincog_tmkt.engine.evaluate import Evaluation, evaluate, measure_activity, within_memory
from braincog_tmkt.engine.loop import SELECTED_ON_TEST
from braincog_tmkt.inspect.norms import estimate, with_rule
from braincog_tmkt.inspect.reload import LoadedRun, load_run
from braincog_tmkt.recipe import recipe_from_dict, recipe_hash
from braincog_tmkt.recipe.identity import setting_of
from braincog_tmkt.results.store import RECORD, read_record, run_folder, write_record

RULES = ("run", "norm", "rule", "val", "test")
SHARES = ("run", "epoch", "mean", "least", "most")
REMARK = "evaluated from the kept weights of a run with norm step_own, which trains alike"


def accuracies(run: LoadedRun) -> dict[str, Evaluation]:
    """Validation (if there are any) and test recordings, evaluated."""
    pairs, batch = run.task.pairs, within_memory(run.method, run.recipe.train.at_once)
    parts = [part for part in ("val", "test") if len(pairs.rows(part))]
    return {part: evaluate(run.method, pairs, pairs.rows(part), batch, run.fabric) for part in parts}


def kept(run: LoadedRun) -> Iterable[int]:
    """The epochs whose weights were kept, from 1; each is loaded when it is asked for."""
    for file in sorted((run.folder / "checkpoints").glob("epoch-*.pt")):
        run.load_weights(file.name)
        yield int(file.stem[-4:])


def record_of_step(run: LoadedRun, model: dict) -> dict:
    """The record that the training of a run gives with norm `step`."""
    record, epochs = run.record, {}
    for epoch in kept(run):
        one = with_rule(run, "one")
        epochs[epoch - 1] = accuracies(one)
    history = [dict(entry) for entry in record["history"]]
    evaluated = {entry["epoch"] for entry in history if "test" in entry}
    if evaluated != set(epochs):
        raise SystemExit(f"{run.folder} was evaluated after other epochs than those it kept")
    results = {}
    for entry in history:
        if found := epochs.get(entry["epoch"]):
            entry |= {part: each.summary() for part, each in found.items()}
            test = found["test"]
            result = {"epoch": entry["epoch"], **test.summary(), "accuracy_by_step": test.accuracy_by_step}
            if "val" in found:
                result["val_accuracy"] = found["val"].accuracy
            results[entry["epoch"]] = result
    rows = one.task.pairs.rows("test")
    activity = measure_activity(one.method, one.task.pairs, rows, one.recipe.train.at_once, one.fabric)
    best = max(results.values(), key=lambda result: result["accuracy"])  # the first of equal ones
    chosen = max(results.values(), key=lambda result: result.get("val_accuracy", 0.0))
    return record | {
        "recipe": record["recipe"] | {"model": model},
        "recipe_hash": recipe_hash(replace(run.recipe, model=model)),
        "history": history,
        "last": results[max(results)],
        "best_val": chosen if "val_accuracy" in chosen else None,
        "best_test": best | {"selected_on": SELECTED_ON_TEST},
        **activity,
        "remarks": [*record.get("remarks", []), REMARK],
    }


def rules_of(run: LoadedRun) -> dict[str, dict[str, Evaluation]]:
    """The last epoch under every rule."""
    run.load_weights(checkpoint.LAST)
    norm = norm_of(run.record)
    found = {"saved": accuracies(run)}
    if norm == "step_own":
        found = {"own, saved": found["saved"], "one, saved": accuracies(with_rule(run, "one"))}
    rules = ("one",) if norm not in ("step", "step_own") else ("one", "own")
    for rule in rules:
        run.load_weights(checkpoint.LAST)
        other = with_rule(run, rule)
        estimate(other)
        found[f"{rule}, estimated"] = accuracies(other)
    return found


def shares_of(run: LoadedRun) -> list[tuple]:
    """Epoch, and `1 - sigmoid(theta)`: mean, least and most of the time steps."""
    shares = [(epoch, (1 - torch.sigmoid(run.method.backbone.step_weights.detach())).tolist()) for epoch in kept(run)]
    return [(epoch, *(f"{of(share):.4f}" for of in (fmean, min, max))) for epoch, share in shares]


def norm_of(record: dict) -> str:
    """The norm that a network was trained with."""
    return setting_of(record, "model.norm") or "step"


def missing(table: Path, columns: tuple[str, ...], run: str) -> bool:
    """Whether a CSV file has no line of a run yet; a new file gets its head."""
    if not table.exists():
        table.write_text(",".join(columns) + "\n")
    with table.open() as file:
        return run not in {row["run"] for row in csv.DictReader(file)}


def append(table: Path, lines: Iterable[tuple]) -> None:
    """Add lines to a CSV file."""
    with table.open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def columns(found: dict[str, Evaluation]) -> tuple[float | str, ...]:
    """Accuracy on validation and test recordings; empty where there are none."""
    return tuple(found[part].accuracy if part in found else "" for part in ("val", "test"))


def derive(folder: Path, record: dict, runs: str) -> None:
    """Put the record of `step` beside that of a run with `step_own`."""
    model = {key: value for key, value in record["recipe"]["model"].items() if key != "norm"} | {"norm": "step"}
    recipe = recipe_from_dict(record["recipe"] | {"model": model}, str(folder))
    place = run_folder(runs, recipe, record["seed"])
    if not (place / RECORD).exists():
        write_record(place, record_of_step(load_run(folder), model))
        print(place, flush=True)


def main(runs: str, out: str | None = None) -> None:
    """Go through all finished runs of a folder."""
    torch.set_num_threads(1)
    for folder in sorted(path.parent for path in Path(runs).rglob(RECORD)):
        record, name = read_record(folder), str(folder.relative_to(runs))
        if REMARK in record.get("remarks", ()):
            continue
        if norm_of(record) == "step_own":
            derive(folder, record, runs)
        if out is None:
            continue
        rules, shares = Path(out, "rules.csv"), Path(out, "shares.csv")
        if record["recipe"]["method"]["name"] != "baseline" and missing(shares, SHARES, name):  # it has no theta
            append(shares, [(name, *line) for line in shares_of(load_run(folder))])
        if missing(rules, RULES, name):
            found = rules_of(load_run(folder))
            append(rules, [(name, norm_of(record), rule, *columns(each)) for rule, each in found.items()])


if __name__ == "__main__":
    main(*sys.argv[1:])
