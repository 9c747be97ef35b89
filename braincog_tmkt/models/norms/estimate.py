"""Running statistics of batch norms, estimated anew from event frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from .step import StepBatchNorm2d
from .step_own import StepOwnBatchNorm2d

Moments = list[tuple[Tensor, Tensor]]
"""Mean and unbiased variance `[T, S, C]` of each training forward, double; T is 1 where steps have theirs together."""


@torch.no_grad()
def estimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace all running statistics by those of the batches, through the event stream in training mode.

    The mean is the mean over the batches; the variance is the mean variance plus the variance of the means. The one
    running set gets those over all steps, `step_own` also those of each step. Weights do not change.

    Args:
        network: a `SpikingNetwork`; its mode (training or evaluation) is restored.
        batches: event frames `[B, T, C, H, W]` each, on the network's device; batches should be of equal size, with the
            classes mixed, as in training: in training mode each batch is normalised by its own statistics.
    """
    with watching_statistics(network) as seen:
        for events in batches:
            network.event_logits(events)  # type: ignore[operator]
    for norm, moments in seen.items():
        if moments:
            steps = 1 if norm.shared else int(network.step)  # type: ignore[arg-type]
            events_of = (torch.cat([each[:, -1] for each in part]) for part in zip(*moments, strict=True))
            set_statistics(norm, *(part.unflatten(0, (-1, steps)) for part in events_of))


@contextmanager
def watching_statistics(network: nn.Module) -> Iterator[dict[StepBatchNorm2d, Moments]]:
    """Training mode for a while, in which batch norms tell what they see in place of moving their running statistics.

    Args:
        network: its mode (training or evaluation) is restored.

    Yields:
        What every norm saw so far; the event stream is the last one.
    """
    norms = [layer for layer in network.modules() if isinstance(layer, StepBatchNorm2d)]
    seen: dict[StepBatchNorm2d, Moments] = {norm: [] for norm in norms}
    mode = network.training
    for norm in norms:
        norm.watch = partial(_keep, seen[norm])
    try:
        network.train()
        yield seen
    finally:
        for norm in norms:
            norm.watch = None
        network.train(mode)


def _keep(moments: Moments, mean: Tensor, var: Tensor) -> None:
    moments.append((mean.double(), var.double()))


@torch.no_grad()
def set_statistics(norm: StepBatchNorm2d, means: Tensor, variances: Tensor) -> None:
    """Replace the running statistics of a norm by those of a mixture of equal parts.

    Args:
        norm: its one running set gets the moments over all parts and steps, `step_own` also those of each step.
        means: `[N, T, C]` of N parts.
        variances: likewise.
    """
    for running, total in zip(norm.running(), _moments(means.flatten(0, 1), variances.flatten(0, 1)), strict=True):
        running.copy_(total)
    if isinstance(norm, StepOwnBatchNorm2d):
        for own, total in zip((norm.step_mean, norm.step_var), _moments(means, variances), strict=True):
            own[: len(total)] = total


def _moments(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of a mixture of equal parts, along the first axis."""
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)
