"""What pictures of networks at work take from finished runs, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..data.static import channels_of
from ..engine.task import frame_spec, open_dataset
from ..errors import RecipeError
from ..inspect.reload import LoadedRun
from ..methods import Method
from ..results import identity
from ..results.grids import MARK
from ..results.notes import notes_of
from ..results.stages import steps_of
from .records import data_in_words


def require_same_test(runs: Sequence[LoadedRun]) -> None:
    """Refuse runs that cannot be put side by side.

    Raises:
        RecipeError: if there is no run, if two do not have the same test recordings, if there are none, or for a run
            whose weights are not finite.
    """
    if not runs:
        raise RecipeError("a figure needs at least one finished run: name a run folder")
    for key, what in (("set", "data set"), ("kind", "kind of data"), ("split", "split")):
        values = list(dict.fromkeys(run.record["data"][key] for run in runs))
        if len(values) > 1:
            raise RecipeError(
                f"the runs do not share one {what} ({', '.join(values)}): give runs on the same recordings"
            )
    for run in runs:
        if not all(bool(weight.isfinite().all()) for weight in run.method.parameters()):
            raise RecipeError(
                f"{run} has weights that are not finite, so its network gives no answer: train it again with a lower"
                " optim.lr"
            )
    if not len(runs[0].task.pairs.rows("test")):
        raise RecipeError(f"{runs[0]} has no test recordings to look at: choose a split with a test part")


def require_range(setting: str, value: int, low: int, high: int) -> None:
    """Refuse a setting that is no whole number from `low` to `high`.

    Raises:
        RecipeError: naming the setting and its range.
    """
    if type(value) is not int or not low <= value <= high:
        raise RecipeError(f"{setting} must be a whole number from {low} to {high} here, not {value!r}")


def names_of(runs: Sequence[LoadedRun]) -> list[str]:
    """A name for every run: the recipe and the seed; where these do not tell runs apart, the network, or the hash."""
    plain = [str(run) for run in runs]
    networks = [f"{name} ({run.recipe.model['name']})" for name, run in zip(plain, runs, strict=True)]
    hashes = [f"{name} ({run.record['recipe_hash'][:8]})" for name, run in zip(plain, runs, strict=True)]
    choices = zip(plain, networks, hashes, strict=True)
    return [
        name if plain.count(name) == 1 else network if networks.count(network) == 1 else hashed
        for name, network, hashed in choices
    ]


def titles_of(runs: Sequence[LoadedRun]) -> list[str]:
    """The same on two lines, without the data set if it is the folder of all recipes, and with T if it differs."""
    folders = {name.partition("/")[0] for name in names_of(runs) if "/" in name}
    shown = [name.partition("/")[2] if len(folders) == 1 and "/" in name else name for name in names_of(runs)]
    steps = [steps_of(run.record["recipe"]) for run in runs]
    marks = [f", T = {own}" if len(set(steps)) > 1 else "" for own in steps]
    return [name.replace(" seed ", "\nseed ") + mark for name, mark in zip(shown, marks, strict=True)]


def colour_of(run: LoadedRun) -> str:
    """The colour of a run's recipe, the same in all figures."""
    return identity.colour_of(run.recipe.name, run.recipe.method["name"])


def setting_in_words(runs: Sequence[LoadedRun]) -> str:
    """Which data a picture shows, of which kind they are, and the network and T if these are the same for all runs."""
    shared = [data_in_words(runs[0].record)]
    steps = {f"T = {steps_of(run.record['recipe'])}" for run in runs}
    for values in ({run.recipe.model["name"] for run in runs}, steps):
        shared += values if len(values) == 1 else []
    return ", ".join(shared)


def warnings_in_words(runs: Sequence[LoadedRun]) -> list[str]:
    """What to know before a picture of some runs is believed: that a network is silent, or tells nothing apart."""
    pairs = zip(names_of(runs), runs, strict=True)
    return [f"{MARK} {name}: {sentence}" for name, run in pairs for sentence in notes_of(run.record).values()]


@contextmanager
def at_test_time(method: Method) -> Iterator[None]:
    """The method in evaluation mode, its random numbers those of an evaluation; afterwards in training mode."""
    torch.manual_seed(0)
    method.eval()
    try:
        yield
    finally:
        method.train()


def frames_shown(method: Method, events: Tensor) -> Tensor:
    """The frames of recordings `[B, F, C, H, W]` that the network sees, one a step: `[B, T, C, H, W]`."""
    return method.select_frames(events).expand(-1, method.backbone.step, -1, -1, -1)


def evenly(count: int, total: int) -> list[int]:
    """At most `count` different numbers below `total`, evenly spaced, the first and the last among them.

    Example:
        >>> evenly(3, 9), evenly(5, 2)
        ([0, 4, 8], [0, 1])
    """
    return sorted({round(place) for place in np.linspace(0, total - 1, min(count, total))})


def require_streams(run: LoadedRun) -> None:
    """Refuse a network that does not show images in the place of events.

    Raises:
        RecipeError: if it has one stream, or a layer of its own for images.
    """
    if not hasattr(run.method.backbone, "streams"):
        model = run.recipe.model["name"]
        raise RecipeError(
            f"{run}: the figure needs a tmkt_* network, '{model}' does not show images in the place of events"
        )


def partners(run: LoadedRun, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The static images that recordings show, as the network gets them.

    Args:
        run: a run.
        rows: rows of recordings in the index `[N]`.

    Returns:
        Images `[P, 2, H, W]` in [0, 1] on the run's device, of colours V = max(R, G, B) unless the network takes
        colours, times the method's `static_scale` if it has one; and bool `[N]`, which recordings they belong to. P is
        0 where the data set has no images, or does not say which image a recording shows.

    Raises:
        DataError: if an image cannot be read.
        RecipeError: for a network that learns from images and cannot show them in the place of events.
    """
    data, backbone = run.recipe.data, run.method.backbone
    if run.method.needs_static:
        require_streams(run)
    dataset, index = open_dataset(data)
    statics = {item.key: item for item in index.statics} if index.twins_known else {}
    found = [statics.get(index.recordings[row].key) for row in rows.tolist()]
    spec = frame_spec(data)
    if channels_of(spec.appearance) not in (1, getattr(backbone, "in_chans", 1)):
        spec = replace(spec, appearance="value")
    images = [dataset.image(item, spec.size, spec.appearance) for item in found if item is not None]
    channels, channel = (2, 1) if channels_of(spec.appearance) == 1 else (-1, channels_of(spec.appearance))
    stacked = torch.from_numpy(np.array(images, np.uint8).reshape(-1, channel, *spec.shape))
    scale = getattr(run.method, "static_scale", 1.0)
    frames = stacked.expand(-1, channels, -1, -1).to(run.fabric.device).float() / 255 * scale
    return frames, torch.tensor([item is not None for item in found])


def keys_of(run: LoadedRun, rows: Tensor) -> list[str]:
    """The keys of recordings, given as rows of the index."""
    recordings = open_dataset(run.recipe.data)[1].recordings
    return [recordings[row].key for row in rows.tolist()]
