"""The kernels for the CPU: threads that share the neurons, each running the machine code of `cpu_loops`."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import Neuron
from .cpu_loops import Numbers, add_moments, normalise_back, walk, walk_back

BLOCK = 2048
"""Neurons that walk through the steps together, about: the potentials of all their steps fit a second-level cache."""

WORTH_THREADS = 1 << 22
"""Neurons times steps from which a second thread pays: torch's own keep their cores busy for a while after work."""

LANES = 256
"""Length of the inner loops, about, in numbers: a few channels alone take up to twice the time."""


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """See `Kernels.moments`."""
    sums = _sums_of(x, x)
    _run(add_moments, x, sums.shape[-1], [(_flat(x), part) for part in sums])
    mean, square = _folded(sums, x) / x.shape[2]
    return mean, (square - mean.square()).clamp_(min=0)


def forward(x: Tensor, scale: Tensor | None, shift: Tensor | None, neuron: Neuron, keep: bool) -> tuple[Tensor, Tensor]:
    """See `Kernels.forward`."""
    spike = torch.empty_like(x)
    membrane = torch.empty_like(x, dtype=torch.float32) if keep else torch.empty(0)
    norm = _repeated(scale, x), _repeated(shift, x)
    arrays = _flat(x), *norm, _numbers(neuron), _flat(spike), _flat(membrane if keep else _nothing(x))
    _run(walk, x, _unit(norm[0]), [arrays] * torch.get_num_threads())
    return spike, membrane


def backward(
    x: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    mean: Tensor | None,
    rstd: Tensor | None,
    neuron: Neuron,
    grad_spike: Tensor | None,
    grad_membrane: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """See `Kernels.backward`."""
    norm = [_repeated(part, x) for part in (scale, shift, mean, rstd)]
    sums, numbers = _sums_of(x, scale), np.zeros((torch.get_num_threads(), 2))
    grad = torch.empty_like(x)
    given = _flat(x), *norm, _numbers(neuron)
    grad_spike = x[..., :0] if grad_spike is None else grad_spike
    grads = _flat(grad_spike), _flat(_nothing(x) if grad_membrane is None else grad_membrane), _flat(grad)
    _run(walk_back, x, _unit(norm[0]), [(*given, *grads, *own) for own in zip(sums, numbers, strict=True)])
    return grad, _folded(sums, x), torch.from_numpy(numbers.sum(0))


def normalise_backward(
    grad: Tensor, x: Tensor, scale: Tensor, mean: Tensor, rstd: Tensor, mean_grad: Tensor, mean_product: Tensor
) -> Tensor:
    """See `Kernels.normalise_backward`."""
    numbers = [_repeated(part, x) for part in (scale, mean, rstd, mean_grad, mean_product)]
    _run(normalise_back, x, _unit(numbers[0]), [(_flat(grad), _flat(x), *numbers)] * torch.get_num_threads())
    return grad


def _flat(x: Tensor) -> np.ndarray:
    """The memory of `[T, S, R, C]` as `[T, S, N]`."""
    bits = x.detach().view(torch.uint16) if x.dtype == torch.bfloat16 else x.detach()
    return bits.numpy().reshape(*x.shape[:2], x.shape[2] * x.shape[3])


def _nothing(x: Tensor) -> Tensor:
    """No membranes, for `_flat`."""
    return torch.empty(*x.shape[:2], 0, 0)


def _beside(x: Tensor) -> int:
    """How many rows of `[T, S, R, C]` the loops take as one row, of that many times the channels."""
    return math.gcd(x.shape[2], max(1, LANES // x.shape[3]))


def _repeated(part: Tensor | None, x: Tensor) -> np.ndarray:
    """The numbers of the channels `[T, S, C]`, once for each of the rows that are one; nothing without a norm."""
    if part is None:
        return np.empty((*x.shape[:2], 0), np.float32)
    return np.tile(part.detach().contiguous().numpy(), _beside(x))


def _sums_of(x: Tensor, norm: Tensor | None) -> np.ndarray:
    """Zeros `[threads, 2, T, S, C times the rows that are one]`; without a norm there are no sums."""
    lanes = 0 if norm is None else _beside(x) * x.shape[3]
    return np.zeros((torch.get_num_threads(), 2, *x.shape[:2], lanes))


def _folded(sums: np.ndarray, x: Tensor) -> Tensor:
    """The sums of all threads and of the rows that were one, `[2, T, S, C]`, C = 0 without a norm."""
    return torch.from_numpy(sums.sum(0).reshape(*sums.shape[1:-1], _beside(x), -1).sum(-2))


def _numbers(neuron: Neuron) -> Numbers:
    """The neuron as plain numbers; to divide by a power of two is to multiply, and faster."""
    gain, divide = neuron.gain.item(), neuron.divide
    if divide and math.frexp(gain)[0] == 0.5:
        gain, divide = 1 / gain, False
    keep, amplitude = (1.0 if number is None else number.item() for number in (neuron.keep, neuron.amplitude))
    floats = (gain, keep, neuron.threshold.item(), neuron.alpha.item(), neuron.v_init, amplitude)
    kind = neuron.surrogate, neuron.keep is None, divide, neuron.soft, neuron.attached, neuron.inclusive, neuron.cut
    return Numbers._make([*map(np.float32, floats), *kind, *neuron.learnt])


def _unit(scale: np.ndarray) -> int:
    """Neurons that may not be parted: those of a row, if they have a norm."""
    return max(1, scale.shape[-1])


def _run(kernel: Callable[..., None], x: Tensor, unit: int, arguments: list[Any]) -> None:
    """Run a kernel on the neurons of each stream, in as many threads as there are arguments, if it is worth it.

    Args:
        kernel: called with its first and last neuron, the neurons of a block, and one of the arguments.
        x: `[T, S, R, C]`.
        unit: neurons that may not be parted.
        arguments: one for each thread, so that threads can have sums of their own.
    """
    neurons, block = x.shape[2] * x.shape[3], max(1, BLOCK // unit) * unit
    if len(arguments) == 1 or x.numel() < WORTH_THREADS:
        return kernel(0, neurons, block, *arguments[0])
    bounds = (np.linspace(0, neurons // unit, len(arguments) + 1).astype(int) * unit).tolist()
    with ThreadPoolExecutor(len(arguments)) as pool:
        jobs = zip(bounds[:-1], bounds[1:], arguments, strict=True)
        list(pool.map(lambda job: kernel(job[0], job[1], block, *job[2]), jobs))
    return None
