"""One training step: which recordings, which random numbers, the loss, the optimiser and its learning rate.

All random numbers are functions of seed, stage, epoch and step. Nothing random is carried from step to step, so a run
can resume at any step without a generator's state, and every process of several knows the whole global batch.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler, MultiStepLRScheduler, StepLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import WeightedRandomSampler

from ..data.augment import Augmentation
from ..data.batch import Batch, BatchRNG
from ..data.pairs import PairSet
from ..errors import RecipeError
from ..methods import Method
from ..methods.base import Stage
from ..recipe import OptimConfig, Recipe, TrainConfig

LAG = {"cpu": 0, "cuda": 2}
"""How many sends later values are read, by kind of device; on the CPU there is nothing to wait for."""


class Trainer:
    """A method, its optimiser and its learning rate, ready to train the stage that runs.

    Args:
        method: on its device.
        recipe: the settings of the stage.
        fabric: precision, processes and device.
        state: of the optimiser, to go on with.
    """

    def __init__(self, method: Method, recipe: Recipe, fabric: Fabric, state: dict[str, Any] | None = None) -> None:
        self.fabric, self.method = fabric, method
        self.wrapped = fabric.setup_module(method)
        self.optimizer = make_optimizer(method.trainable(), recipe)
        self._scheduler = make_scheduler(self.optimizer, recipe.optim, recipe.train.epochs)
        if state is not None:
            self.optimizer.load_state_dict(state)
        self._optimizer: Any = fabric.setup_optimizers(self.optimizer)

    def begin_epoch(self, epoch: int) -> None:
        """Set the learning rate of an epoch; it depends on the number alone, so checkpoints need nothing of it."""
        self._scheduler.step(epoch)

    def step(self, batch: Batch, progress: float, see: Callable[[dict[str, Tensor]], object]) -> None:
        """One step of the optimiser, whose gradient is that of the batch, or the sum of those of its portions.

        Args:
            batch: this process's share.
            progress: share of the stage's training that is over.
            see: gets the parts of the loss before the weights change; may raise.
        """
        self._optimizer.zero_grad()
        if self.method.portions is None:
            parts = self.wrapped(batch, progress)
            self.fabric.backward(parts["loss"])
        else:
            parts = self._in_portions(batch, progress, self.method.portions)
        see(parts)
        self._optimizer.step()

    def _in_portions(self, batch: Batch, progress: float, portions: int) -> dict[str, Tensor]:
        """The sums of the parts of the loss; processes exchange gradients once, with the last portion."""
        sums: dict[str, Tensor] = {}
        for portion in range(portions):
            with self.fabric.no_backward_sync(self.wrapped, enabled=portion + 1 < portions):
                parts = self.wrapped(batch, progress, portion)
                self.fabric.backward(parts["loss"])
            sums = {name: part.detach() + sums.get(name, 0.0) for name, part in parts.items()}
        return sums


def make_batch(
    pairs: PairSet,
    rows: Tensor,
    seed: int,
    stage: Stage,
    augmentations: Sequence[Augmentation],
    rank: int = 0,
    world_size: int = 1,
) -> Batch:
    """This process's share of a global batch; layers that draw by themselves (dropout) start from its seed, too.

    Args:
        pairs: the data.
        rows: of the global batch, see `epoch_rows`; process `rank` of `world_size` gets its share of them.
        seed: of the step, see `seed_of`.
        stage: whether it takes static images alone.
        augmentations: of the event frames.
    """
    torch.manual_seed(seed + rank)
    share = len(rows) // world_size
    return pairs.batch(rows, BatchRNG(seed, rank * share, share, len(rows)), augmentations, stage.static_only)


def seed_of(seed: int, stage: int, epoch: int, step: int | None = None) -> int:
    """A seed for one step, or for what belongs to the epoch as a whole; 63 bits.

    Example:
        >>> seed_of(42, 0, 3, 5) != seed_of(42, 0, 5, 3)
        True
    """
    words = np.random.SeedSequence((seed, stage, epoch, 0 if step is None else step + 1)).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def steps_per_epoch(count: int, train: TrainConfig, world_size: int = 1) -> int:
    """Whole batches in `count` training recordings; what remains is dropped.

    Raises:
        RecipeError: if there is not one, or the batch cannot be shared evenly by the processes.
    """
    if count < train.batch:
        raise RecipeError(
            f"train.batch is {train.batch}, but the split has {count} training recordings: choose a batch of"
            f" {count} or less"
        )
    if train.batch % world_size:
        raise RecipeError(
            f"train.batch is {train.batch}, which {world_size} processes cannot share evenly: choose a multiple of"
            f" {world_size}"
        )
    return count // train.batch


def epoch_rows(pairs: PairSet, train: TrainConfig, seed: int) -> Tensor:
    """Rows of all global batches of an epoch, int64 `[steps, batch]`; `seed` is that of the epoch.

    `train.balanced` draws the classes equally often, with replacement, as many recordings as there are.
    """
    rows = pairs.rows("train")
    generator = torch.Generator().manual_seed(seed)
    if train.balanced:
        weights = pairs.class_weights(rows).tolist()
        places = torch.tensor(list(WeightedRandomSampler(weights, len(rows), replacement=True, generator=generator)))
    else:
        places = torch.randperm(len(rows), generator=generator)
    steps = steps_per_epoch(len(rows), train)
    return rows[places[: steps * train.batch]].view(steps, train.batch)


def learning_rate(recipe: Recipe) -> float:
    """The rate after the warm-up: lr * batch / lr_scale_base.

    Example:
        >>> from braincog_tmkt.recipe import OptimConfig, Recipe
        >>> round(learning_rate(Recipe(name="r", optim=OptimConfig(lr=5e-3))), 8)  # at the default batch of 120
        0.00058594
    """
    base = recipe.optim.lr_scale_base
    return recipe.optim.lr if base is None else recipe.optim.lr * recipe.train.batch / base


def learning_rate_in_words(recipe: Recipe) -> str:
    """The rate and where it comes from, for the terminal."""
    optim, rate = recipe.optim, learning_rate(recipe)
    if optim.lr_scale_base is None:
        return f"learning rate {rate:.4g}"
    return f"learning rate {rate:.4g} (= {optim.lr:g} * batch {recipe.train.batch} / {optim.lr_scale_base:g})"


def make_optimizer(method: nn.Module, recipe: Recipe) -> Optimizer:
    """timm's optimiser of that name.

    Parameters with one axis (step weights too) get no weight decay, timm's rule, unless `optim.decay_all` is set.

    Raises:
        RecipeError: if timm does not know the name or cannot make this optimiser here, or if it needs more than
            gradients.
    """
    optim = recipe.optim
    try:
        optimizer = create_optimizer_v2(
            method,
            opt=optim.name,
            lr=learning_rate(recipe),
            weight_decay=optim.weight_decay,
            filter_bias_and_bn=not optim.decay_all,
            **optim.options,
        )
    except (ValueError, TypeError, AssertionError, AttributeError, ImportError, RuntimeError) as error:
        why = str(error) or "there is no such optimizer"  # timm 0.6 asserts that without a word
        raise RecipeError(
            f"optim.name is '{optim.name}', but timm says: {why}; choose another, such as adamw or sgd, or correct"
            " optim.options"
        ) from error
    if getattr(optimizer, "is_second_order", False):
        raise RecipeError(f"optim.name is '{optim.name}', which needs second derivatives of the loss: take another one")
    return optimizer


def make_scheduler(optimizer: Optimizer, optim: OptimConfig, epochs: int) -> Scheduler:
    """A schedule by epoch: `scheduler.step(epoch)` sets the rate of that epoch (from 0), whatever came before."""
    warmup: Any = {"warmup_t": optim.warmup_epochs, "warmup_lr_init": optim.warmup_lr}
    if optim.schedule == "cosine" and optim.cycle_epochs is not None:
        return _ThereAndBack(optimizer, t_initial=optim.cycle_epochs, lr_min=optim.min_lr, **warmup)
    if optim.schedule == "cosine" and epochs > 1:  # timm warns that one epoch has no cosine
        return CosineLRScheduler(optimizer, t_initial=epochs, lr_min=optim.min_lr, **warmup)
    rate = optim.step_rate if optim.schedule == "step" else 1.0
    if optim.step_at is None:
        scheduler: Any = StepLRScheduler(optimizer, decay_t=optim.step_epochs, decay_rate=rate, **warmup)
    else:
        decays = [round(share * epochs) + 1 for share in optim.step_at]  # timm's begin an epoch early
        scheduler = MultiStepLRScheduler(optimizer, decay_t=decays, decay_rate=rate, **warmup)
    scheduler.warmup_prefix = False  # epochs count from 0; timm 0.6 knows nothing else, and no such keyword
    return scheduler


class _ThereAndBack(CosineLRScheduler):
    """A cosine that comes back, as PyTorch's `CosineAnnealingLR` does after its `T_max`."""

    def _get_lr(self, t: int) -> list[float]:
        if t < self.warmup_t:
            rates: list[float] = super()._get_lr(t)
            return rates
        share = (1 + math.cos(math.pi * t / self.t_initial)) / 2
        return [self.lr_min + (rate - self.lr_min) * share for rate in self.base_values]


class DeferredValues:
    """Brings small tensors from the device to the host and has them read there, in the order they were sent.

    A GPU copies them in the background, and they are read two sends later, when they have long arrived: the host waits
    only if it is further ahead than that. The delay counts sends, not time, so that processes that send together also
    read, and fail, together.

    Args:
        device: where the values come from.
        read: called with the tag and the values of each send; what it raises reaches the caller of `send` or `flush`.

    Example:
        >>> late = DeferredValues(torch.device("cpu"), lambda tag, values: print(tag, values))
        >>> late.send("losses", torch.tensor([0.5, 0.25]))
        losses [0.5, 0.25]
    """

    def __init__(self, device: torch.device, read: Callable[[Any, list[float]], None]) -> None:
        self._read, self._lag = read, LAG[device.type]
        self._waiting: deque[tuple[Any, Tensor, torch.cuda.Event | None]] = deque()

    def send(self, tag: Any, values: Tensor) -> None:
        """Start copying `values` `[n]`, and read what was sent long enough ago."""
        host = values.to("cpu", non_blocking=values.is_cuda)  # into pinned memory, which torch takes for such copies
        arrival = torch.cuda.current_stream(values.device).record_event() if values.is_cuda else None
        self._waiting.append((tag, host, arrival))
        self.flush(self._lag)

    def flush(self, left: int = 0) -> None:
        """Read all that was sent but for the last `left`; waits for it."""
        while len(self._waiting) > left:
            tag, values, arrival = self._waiting.popleft()
            if arrival is not None:
                arrival.synchronize()
            self._read(tag, values.tolist())
