"""Finished runs under other rules for the statistics of their batch norms, from the weights that were kept.

Run it as `python experiments/studies/batch_norm/rules.py RUNS OUT.csv`. Norms `step` and `step_own` train alike, so a
run of `step_own` that kept its weights (`train.keep_every`, as often as `train.eval_every`) also tells what the same
training gives with `step`: each kept epoch is evaluated with the one running set, and the record that `step` would have
written is put beside the others. OUT.csv gets the accuracies of the last epoch under every rule. Runs
that it has already are skipped.
"""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import torch

from braincog_tmkt.engine import checkpoint
from braincog_tmkt.engine.evaluate import Evaluation, evaluate, measure_activity, within_memory
from braincog_tmkt.engine.loop import SELECTED_ON_TEST
from braincog_tmkt.inspect.norms import estimate, with_rule
from braincog_tmkt.inspect.reload import LoadedRun, load_run
from braincog_tmkt.recipe import recipe_hash
from braincog_tmkt.recipe.identity import setting_of
from braincog_tmkt.results.store import RECORD, read_record, run_folder, write_record

COLUMNS = ("run", "norm", "rule", "val", "test")
REMARK = "evaluated from the kept weights of a run with norm step_own, which trains alike"


def accuracies(run: LoadedRun) -> dict[str, Evaluation]:
    """Validation (if there are any) and test recordings, evaluated."""
    pairs, batch = run.task.pairs, within_memory(run.method, run.recipe.train.at_once)
    parts = [part for part in ("val", "test") if len(pairs.rows(part))]
    return {part: evaluate(run.method, pairs, pairs.rows(part), batch, run.fabric) for part in parts}


def record_of_step(run: LoadedRun) -> dict:
    """The record that the training of a run gives with norm `step`."""
    record, epochs = run.record, {}
    for file in sorted((run.folder / "checkpoints").glob("epoch-*.pt")):
        run.load_weights(file.name)
        one = with_rule(run, "one")
        epochs[int(file.stem[-4:]) - 1] = accuracies(one)
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
    model = {key: value for key, value in record["recipe"]["model"].items() if key != "norm"} | {"norm": "step"}
    recipe = replace(run.recipe, model=model)
    return record | {
        "recipe": record["recipe"] | {"model": model},
        "recipe_hash": recipe_hash(recipe),
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
    norm = setting_of(run.record, "model.norm") or "step"
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


def main(runs: str, out: str) -> None:
    """Go through all finished runs of a folder."""
    torch.set_num_threads(1)
    table = Path(out)
    done = {row["run"] for row in csv.DictReader(table.open())} if table.exists() else set()
    with table.open("a", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        if not done:
            lines.writerow(COLUMNS)
        for folder in sorted(path.parent for path in Path(runs).rglob(RECORD)):
            name, record = str(folder.relative_to(runs)), read_record(folder)
            if name in done or REMARK in record.get("remarks", ()):
                continue
            run, norm = load_run(folder), setting_of(record, "model.norm") or "step"
            if norm == "step_own":
                of_step = record_of_step(run)
                place = run_folder(runs, replace(run.recipe, model=of_step["recipe"]["model"]), of_step["seed"])
                if not (place / RECORD).exists():
                    write_record(place, of_step)
            for rule, found in rules_of(run).items():
                lines.writerow(
                    [name, norm, rule, *(found[part].accuracy if part in found else "" for part in ("val", "test"))]
                )
            file.flush()
            print(name, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
