"""Running statistics of batch norms, estimated anew from event frames."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from .step import StepBatchNorm2d
from .step_own import StepOwnBatchNorm2d


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
    norms = [layer for layer in network.modules() if isinstance(layer, StepBatchNorm2d)]
    seen: dict[StepBatchNorm2d, list[tuple[Tensor, Tensor]]] = {norm: [] for norm in norms}
    mode = network.training
    for norm in norms:
        norm.watch = partial(_keep, seen[norm])
    try:
        network.train()
        for events in batches:
            network.event_logits(events)  # type: ignore[operator]
    finally:
        for norm in norms:
            norm.watch = None
        network.train(mode)
    for norm, moments in seen.items():
        if moments:
            steps = 1 if norm.shared else int(network.step)  # type: ignore[arg-type]
            _set(norm, *(torch.cat(part).unflatten(0, (-1, steps)) for part in zip(*moments, strict=True)))


def _keep(moments: list[tuple[Tensor, Tensor]], mean: Tensor, var: Tensor) -> None:
    """Keep what one training forward saw at the steps of the event stream, `[T, C]` each."""
    moments.append((mean[:, -1].double(), var[:, -1].double()))


def _set(norm: StepBatchNorm2d, means: Tensor, variances: Tensor) -> None:
    """Set the buffers for moments `[N, T, C]` of N batches."""
    for running, total in zip(norm.running(), _moments(means.flatten(0, 1), variances.flatten(0, 1)), strict=True):
        running.copy_(total)
    if isinstance(norm, StepOwnBatchNorm2d):
        for own, total in zip((norm.step_mean, norm.step_var), _moments(means, variances), strict=True):
            own[: len(total)] = total


def _moments(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of a mixture of equal parts, along the first axis."""
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)
