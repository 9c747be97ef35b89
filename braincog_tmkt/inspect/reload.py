"""A finished run, taken up again: its record, its data, and its network with the weights of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from ..engine import checkpoint
from ..engine.devices import make_fabric
from ..engine.state import changes_since
from ..engine.task import TaskData, build_method, import_modules, load_task
from ..errors import RecipeError, TrainingError
from ..methods import Method
from ..own_code import COPY, find_code, read_copy
from ..recipe import Recipe, recipe_from_dict, recipe_hash, with_overrides
from ..recipe.identity import changed_keys
from ..recipe.load import named_code
from ..results.store import read_record


@dataclass(frozen=True)
class LoadedRun:
    """A finished run with its data and its trained network.

    Args:
        folder: run folder.
        record: its record.
        recipe: its recipe, with the places of the data as they are here.
        fabric: one process.
        task: the data and their split, the recorded one.
        method: on the device, with the weights of the last epoch, in training mode as `fit` leaves it.
    """

    folder: Path
    record: dict[str, Any]
    recipe: Recipe
    fabric: Fabric
    task: TaskData
    method: Method

    @property
    def kept(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Names of the two checkpoints of every run, and what the record says of each."""
        best = self.record["best_val"] or self.record["best_test"]
        return (checkpoint.LAST, self.record["last"]), (checkpoint.BEST, best)

    def load_weights(self, name: str = checkpoint.LAST) -> None:
        """Take the weights of a checkpoint: `last.pt`, `best.pt`, or one that `train.keep_every` kept.

        The method enters the stage of the checkpoint, so that it predicts with the network that was trained there.

        Raises:
            TrainingError: if it is missing or damaged, or of another network.
        """
        file = self.folder / "checkpoints" / name
        names = [stage.name for stage in self.method.stages()]
        stage = next((stage for stage in names if name.startswith(f"{stage}-epoch-")), names[-1])
        if stage != self.method.stage:
            self.method.begin_stage(stage)
        _take(self.method, checkpoint.load(file), file)

    def __str__(self) -> str:
        return f"{self.recipe.name} seed {self.record['seed']}"


def load_run(place: str | Path, overrides: Iterable[str] = ()) -> LoadedRun:
    """Load a finished run: its record, its data, and its network with the weights of the last epoch.

    Args:
        place: run folder, or the record in it.
        overrides: settings that do not change the result, such as `data.root=/elsewhere`.

    Raises:
        TrainingError: if the record or its last checkpoint is missing, or the split, the content of the data or the
            user's own code is not what the run was trained with.
        RecipeError: for an override that would change the result.
        DataError: if the data are not there.
    """
    place = Path(place)
    record = read_record(place)
    recorded = recipe_from_dict(record["recipe"], str(place))
    recipe = with_same_result(recorded, overrides)
    folder = place if place.is_dir() else place.parent
    here = [Path()]  # for runs of an older version, which kept no code
    code = read_copy(folder / COPY, recipe.code) if recipe.code else find_code(named_code(recipe), here)
    import_modules(recipe, code)
    file = folder / "checkpoints" / checkpoint.LAST
    state = checkpoint.load(file)  # before frames are made for nothing
    fabric = make_fabric(recipe.train.precision, 1)
    task = load_task(recipe, fabric)
    if task.facts["split"] != record["data"]["split"]:
        raise TrainingError(
            f"the data in {recipe.data.root} give another split than the record's: give the folder of the same files"
            " with data.root"
        )
    if changes := changes_since(state, task):
        raise TrainingError(f"{changes} since {folder} was trained: give the folder of the same files with data.root")
    method = build_method(recipe, len(task.pairs.classes), record["seed"])
    fabric.to_device(method)
    _take(method, state, file)
    return LoadedRun(folder, record, recipe, fabric, task, method)


def with_same_result(recorded: Recipe, overrides: Iterable[str]) -> Recipe:
    """Apply overrides that do not change the result, such as `data.root=/elsewhere`, to a recorded recipe.

    Raises:
        RecipeError: for an override that would change the result.
    """
    recipe = with_overrides(recorded, overrides)
    if recipe_hash(recipe) != recipe_hash(recorded):
        changing = " and ".join(changed_keys(recorded.as_dict(), recipe.as_dict()))
        raise RecipeError(
            f"only settings that do not change the result can be given here, such as data.root: leave out {changing}"
        )
    return recipe


def _take(method: Method, state: dict[str, Any], file: Path) -> None:
    """Put the weights of a checkpoint into a network."""
    try:
        method.load_state_dict(state["method"])
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"{file} does not fit the network of the record ({reason}): restore the file, or train the run again"
        ) from error
