"""Two short finished runs on the embedded digits, shared by the tests of all pictures, and variants of them."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from braincog_tmkt.engine.task import build_method
from braincog_tmkt.inspect.reload import LoadedRun, load_run
from braincog_tmkt.launch.plan import plan, train


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Run folders [baseline, tmkt] of `digits` at the smoke tier, one pair for all workers; not to be written to."""
    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    cells = plan(["digits/baseline", "digits/tmkt"], [f"data.cache={place / 'cache'}", "train.threads=1"], "smoke")
    with FileLock(place / "finished.lock"):
        train(cells, place / "finished")  # leaves alone what is finished
    return [cell.folder(place / "finished") for cell in cells]


@pytest.fixture(scope="session")
def loaded(finished_runs: list[Path]) -> list[LoadedRun]:
    """The same two runs, taken up again: baseline, TMKT; not to be changed."""
    return [load_run(folder) for folder in finished_runs]


@pytest.fixture(scope="session")
def with_model() -> Callable[..., LoadedRun]:
    """Function (run, key=value ..) -> the run with other settings of its model, and the weights of seed 0."""

    def changed(run: LoadedRun, **settings: object) -> LoadedRun:
        recipe = replace(run.recipe, model={**run.recipe.model, **settings})
        method = build_method(recipe, len(run.task.pairs.classes), seed=0)
        with torch.no_grad():
            for norm in method.backbone.norms:  # louder than at the start, so that spikes reach the last layer
                norm.bias.add_(0.5)
        return replace(run, recipe=recipe, method=method)

    return changed


@pytest.fixture(autouse=True)
def in_training_mode(request):
    """The loaded runs are shared by the tests of a file: each finds them as training leaves them."""
    if "loaded" in request.fixturenames:
        for run in request.getfixturevalue("loaded"):
            run.method.train()
