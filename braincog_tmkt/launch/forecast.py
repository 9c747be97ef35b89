"""Whether a training step fits into the memory: told from a small one, before frames are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from math import prod

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ..data.batch import Batch, BatchRNG
from ..data.room import bytes_in_words, memory_bytes, size_in_words
from ..data.sets import DATASETS
from ..data.static import channels_of
from ..engine.step import Trainer
from ..engine.task import build_method, frame_spec
from ..errors import RecipeError
from ..recipe import Recipe

ROWS, STEPS, SIZE, CLASSES = 2, 2, 48, 2
"""The small step: recordings, time steps, side of a frame (at most), classes."""
MOST = 4000
"""A network keeps less than so many times the bytes of its frames: as long as that fits, nothing is tried."""


def need_training_memory(recipe: Recipe, fabric: Fabric) -> None:
    """Refuse a recipe whose training step needs more memory than the machine, or its GPU, has.

    What the layers keep for the backward pass grows with recordings, time steps and pixels: it is measured in a small
    step and multiplied. Where the frames of a batch are small enough, nothing is measured.

    Raises:
        RecipeError: with the bytes and the settings they come from.
    """
    data, rows = recipe.data, max(1, recipe.train.batch // fabric.world_size)
    here = memory_bytes()
    if fabric.device.type == "cuda":
        here = torch.cuda.get_device_properties(fabric.device).total_memory
    channels: int = DATASETS[data.name].channels  # type: ignore[attr-defined]
    shape = frame_spec(data).shape
    still: bool = DATASETS[data.name].still  # type: ignore[attr-defined]
    shown_again = max(1, recipe.method.get("steps") or 1) if still else 1  # by the method, at all its steps
    frames = rows * data.steps * channels * prod(shape) * 4
    if frames * shown_again * MOST <= here:
        return
    method = build_method(recipe, CLASSES, seed=0)
    shown: int = method.backbone.step  # a method may show fewer frames than there are
    steps = min(shown, STEPS) if shown == data.steps and method.portions is None else shown
    steps, shown = (data.steps, data.steps) if still else (steps, shown)  # all that the method shows is measured
    small = replace(recipe, data=replace(data, steps=steps, size=[min(side, SIZE) for side in shape]))
    factor = rows / ROWS * (shown / steps) * (prod(shape) / prod(frame_spec(small.data).shape))
    needed = frames + int(_kept(small, channels, fabric) * factor)
    if needed > here:
        raise RecipeError(
            f"{recipe.name}: {size_in_words(frame_spec(data))} with train.batch={recipe.train.batch} and"
            f" model.width={recipe.model['width']} need at least {bytes_in_words(needed)} for one training step, but"
            f" there are {bytes_in_words(here)} of memory: make one of them smaller"
            f"{'' if recipe.model['recompute'] else ', or try model.recompute=true'}"
        )


def _kept(recipe: Recipe, channels: int, fabric: Fabric) -> int:
    """Bytes that a step with `ROWS` recordings keeps for the backward pass, in the stage that keeps most."""
    method = build_method(recipe, CLASSES, seed=0)
    fabric.to_device(method)
    shape, steps, device = frame_spec(recipe.data).shape, recipe.data.steps, fabric.device
    events = torch.rand(ROWS, steps, channels, *shape, device=device)
    batch = Batch(
        static=torch.rand(ROWS, max(2, channels_of(recipe.data.appearance)), *shape, device=device),
        events=events,
        label=torch.arange(ROWS, device=device) % CLASSES,
        index=torch.arange(ROWS, device=device),
        rng=BatchRNG(0, 0, ROWS, ROWS),
    )
    most = 0
    for stage in method.stages():
        method.begin_stage(stage.name)
        if stage.trains:
            given = replace(batch, events=batch.static[:, None]) if stage.static_only else batch
            most = max(most, _saved(method, Trainer(method, recipe, fabric), given))
    return most


def _saved(method: torch.nn.Module, trainer: Trainer, batch: Batch) -> int:
    """The most bytes of tensors that a training step keeps saved at a time, but for the weights and the frames."""
    known = *method.parameters(), *method.buffers(), batch.events, batch.static
    live = _Live({tensor.untyped_storage().data_ptr() for tensor in known})
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: _Saved(tensor, live), lambda saved: saved.tensor):
        trainer.step(batch, 0.0, lambda parts: None)
    return live.most


class _Live:
    """Bytes of the storages that are saved now, each once, and the most so far.

    Args:
        known: addresses of storages that do not count.
    """

    def __init__(self, known: Iterable[int]) -> None:
        self.users = Counter(known)
        self.now = self.most = 0

    def count(self, storage: torch.UntypedStorage, change: int) -> None:
        """Count a tensor that begins (1) or ceases (-1) to be saved."""
        users = self.users[storage.data_ptr()] = self.users[storage.data_ptr()] + change
        if users == max(change, 0):
            self.now += change * storage.nbytes()
            self.most = max(self.most, self.now)


class _Saved:
    """A tensor that is saved for the backward pass; it lives as long as the graph keeps it."""

    def __init__(self, tensor: Tensor, live: _Live) -> None:
        self.tensor, self.live = tensor, live
        live.count(tensor.untyped_storage(), 1)

    def __del__(self) -> None:
        self.live.count(self.tensor.untyped_storage(), -1)
