"""Which devices a run uses, and what several processes have to agree on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.strategies import DDPStrategy, Strategy
from torch import Tensor

from ..errors import RecipeError, TmktError, TrainingError
from .memory import keep_freed_memory

MOST_PROCESSES = 16
"""On the CPU, where more than there are cores only wait for each other."""


class _Autocast(MixedPrecision):
    """Autocast that leaves the inputs alone: event counts stay exact, and a `Batch` is no plain collection."""

    def convert_input(self, data: Any) -> Any:
        return data


def make_fabric(precision: str = "32-true", devices: int | None = None) -> Fabric:
    """Fabric on the GPUs if there are any, else on the CPU; `fabric.launch()` is left to the caller.

    It also sets up the process: exact fp32 on GPUs (`set_up_cuda`), `memory.keep_freed_memory` on the CPU.

    Args:
        precision: `32-true` or `bf16-mixed`.
        devices: processes on this machine; None takes what torchrun says, or 1.

    Raises:
        RecipeError: if there are fewer GPUs (or far fewer cores) than that, or the job of a cluster has other
            processes.
    """
    count = devices or int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    nodes = int(os.environ.get("GROUP_WORLD_SIZE", 1))
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and count > torch.cuda.device_count():
        raise RecipeError(
            f"{count} devices were asked for, but this machine has {torch.cuda.device_count()} GPUs: give --devices"
            " that many"
        )
    if kind == "cpu" and (devices or 0) > max(os.cpu_count() or 1, MOST_PROCESSES):
        raise RecipeError(
            f"{devices} processes were asked for, but this machine has {os.cpu_count()} CPU cores: give a smaller"
            " --devices"
        )
    (set_up_cuda if kind == "cuda" else keep_freed_memory)()
    strategy: Strategy | str = "auto"
    if count * nodes > 1:
        # Some methods leave a head or the step weights unused. The gradients share the memory they are sent from.
        strategy = DDPStrategy(find_unused_parameters=True, gradient_as_bucket_view=True)
    plugins: Any = [_Autocast("bf16-mixed", kind)] if precision == "bf16-mixed" else []
    try:
        return Fabric(accelerator=kind, devices=count, num_nodes=nodes, strategy=strategy, plugins=plugins)
    except RuntimeError as error:  # Slurm asks for other processes than these
        reason = " ".join(str(error).split())
        raise RecipeError(
            f"this cannot run here as {count * nodes} processes ({reason}): give --devices as many as the job has tasks"
        ) from error


def set_up_cuda() -> None:
    """Have fp32 mean fp32 (no TF32, which torch lets convolutions use), and each convolution take its fastest way."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True


def reduced(fabric: Fabric, value: Tensor, operation: str) -> Tensor:
    """The `mean`, `sum` or `max` of a tensor over all processes, in its place; the tensor itself in one process.

    `fabric.all_reduce` has all processes wait for each other, and so for their devices, first.
    """
    if fabric.world_size == 1:
        return value
    dist.all_reduce(value, dist.ReduceOp.MAX if operation == "max" else dist.ReduceOp.SUM)
    return value.div_(fabric.world_size) if operation == "mean" else value


@contextmanager
def locked(lock: FileLock, fabric: Fabric, timeout: float, busy: Callable[[], object], advice: str) -> Iterator[None]:
    """Keep other processes out of a folder while the block runs; the system frees the lock when this process dies.

    Args:
        lock: in that folder, which is made if missing; the first process takes it.
        fabric: the processes.
        timeout: seconds of one attempt.
        busy: called after each attempt at a lock that another process has; may raise, else the next attempt follows.
        advice: the end of the error's message.

    Raises:
        TrainingError: if the folder cannot be written.
    """
    folder = Path(lock.lock_file).parent

    def acquired() -> bool:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=timeout)
        except Timeout:
            return False
        except OSError as error:
            raise TrainingError(f"{folder} cannot be written ({error.strerror}): {advice}") from error
        return True

    try:
        while not on_first_rank(fabric, acquired):
            busy()
        yield
    finally:
        lock.release()


def on_first_rank(fabric: Fabric, action: Callable[[], Any]) -> Any:
    """Run `action` in the first process; all processes return its result, or raise its error.

    Without this, an error of one process (a full disk) would leave the others waiting for it forever.

    Raises:
        TmktError: if the action does.
    """
    if fabric.world_size == 1:
        return action()
    result, error = None, None
    if fabric.is_global_zero:
        try:
            result = action()
        except TmktError as raised:
            error = raised
    result, message = fabric.broadcast((result, None if error is None else str(error)))
    if error is not None:
        raise error
    if message is not None:
        raise TrainingError(message)
    return result
