"""Records of TET and HSD made by hand, from a real one of the baseline on N-MNIST."""

import copy
from pathlib import Path

from braincog_tmkt.results.store import read_records

STUDIES = Path(__file__).resolve().parents[1] / "experiments/studies"
REAL = next(
    record
    for record in read_records([STUDIES / "nmnist/records.jsonl"])
    if (record["recipe_hash"][:8], record["seed"]) == ("63bb3cae", 42)
)


def result(accuracies, loss=0.5):
    return {"epoch": 3, "accuracy": accuracies[-1], "loss": loss, "accuracy_by_step": list(accuracies)}


def selections(accuracies, loss=0.5):
    found = result(accuracies, loss)
    return {"last": found, "best_val": None, "best_test": {**found, "accuracy": found["accuracy"] + 0.01}}


def tet(steps, seed, accuracies, **about):
    """TET trained with some steps; `accuracies` after the first 1, 2, .. of them."""
    record = copy.deepcopy(REAL)
    record |= {"name": "nmnist/tet", "seed": seed, **selections(accuracies), "synaptic_operations": 1e6 * steps}
    record["recipe"]["data"]["steps"] = steps
    record["firing_rates"] = {"a": 0.01 * steps, "b": 0.03 * steps}
    record["data"] |= about
    record["recipe_hash"] = str(sorted(record["recipe"]["data"].items()) + sorted(record["recipe"]["method"].items()))
    return record


def hsd(steps, seed, ann, converted, distilled, epochs=(), losses=(), remarks=(), **method):
    """HSD with a student of some steps; accuracies after the first 1, 2, .. steps of each network, and by epoch."""
    record = tet(10, seed, distilled)
    record["name"] = "nmnist/hsd"
    record["recipe"]["method"] = {"name": "hsd", "steps": steps, **method}
    record["recipe"]["model"]["name"] = "hsd_vggsnn"
    record["recipe_hash"] += str(sorted(record["recipe"]["method"].items()))
    record["synaptic_operations"] = 1e6 * steps
    names = {"ann": ann, "convert": converted, "distil": distilled}
    record["stages"] = {
        name: {
            **selections(found),
            "seconds": 2.0,
            "shared": "runs/cache/ann.pt" if name == "ann" and seed > 1 else None,
        }
        for name, found in names.items()
    }
    trained = {"lr": 0.1, "train": {"loss": 1.0}}
    record["history"] = [
        {"stage": 0, "epoch": 0, **trained, "test": {"accuracy": ann[-1], "loss": 0.4}},
        {"stage": 1, "epoch": 0, "test": {"accuracy": converted[-1], "loss": 1.5}},
        *(
            {"stage": 2, "epoch": epoch, **trained, "test": {"accuracy": share, "loss": loss}}
            for epoch, (share, loss) in enumerate(zip(epochs or distilled, losses or distilled, strict=True))
        ),
    ]
    if remarks:
        record["remarks"] = list(remarks)
    return record
