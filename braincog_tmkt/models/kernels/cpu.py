"""The kernels for the CPU, compiled by numba: a block of neurons stays in the cache for all its steps.

Currents come as `[T, S, N]`, N = R * C; bfloat16 as its 16 bits, which are the upper half of a float32.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from torch import Tensor

from ...jit import compiled
from . import Neuron

BLOCK = 2048
"""Neurons that walk through the steps together, about: the potentials of all their steps fit a second-level cache."""

WORTH_THREADS = 1 << 22
"""Neurons times steps from which a second thread pays: torch's own keep their cores busy for a while after work."""

_Numbers = namedtuple("_Numbers", "decay threshold alpha v_init amplitude surrogate leak divide learn soft")
"""A `Neuron` as plain numbers (float32, integer, truth values); whether its decay is learnt and its reset is soft."""


@intrinsic
def _as_float(context, bits):  # type: ignore[no-untyped-def]
    """The float32 that has these 32 bits."""
    return types.float32(types.uint32), lambda _, builder, __, args: builder.bitcast(args[0], ir.FloatType())


@intrinsic
def _as_bits(context, number):  # type: ignore[no-untyped-def]
    """The 32 bits of a float32."""
    return types.uint32(types.float32), lambda _, builder, __, args: builder.bitcast(args[0], ir.IntType(32))


def _widen(number: Any) -> Any:
    """A stored number as float32."""


@overload(_widen, inline="always")
def _widen_of(number):  # type: ignore[no-untyped-def]
    if number == types.uint16:
        return lambda number: _as_float(np.uint32(number) << np.uint32(16))
    return lambda number: number


def _narrow(number: Any, like: Any) -> Any:
    """A float32 as an array of this type keeps it; bfloat16 rounds to the nearest, ties to even."""


@overload(_narrow, inline="always")
def _narrow_to(number, like):  # type: ignore[no-untyped-def]
    if like.dtype != types.uint16:
        return lambda number, like: number

    def rounded(number, like):  # type: ignore[no-untyped-def]
        bits = _as_bits(number)
        return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))

    return rounded


@compiled
def _load(x, scale, shift, y):  # type: ignore[no-untyped-def]
    """`y = x * scale + shift`, channel by channel; `y = x` without a norm."""
    channels = scale.shape[0]
    if channels == 0:
        for i in range(y.shape[0]):
            y[i] = _widen(x[i])
        return
    for first in range(0, y.shape[0], channels):
        x_row, y_row = x[first : first + channels], y[first : first + channels]
        for c in range(channels):
            y_row[c] = _widen(x_row[c]) * scale[c] + shift[c]


@compiled
def _integrate(y, m, leak, divide, decay):  # type: ignore[no-untyped-def]
    """The potential before the reset, in place of the current."""
    if divide:
        for i in range(y.shape[0]):
            y[i] = m[i] + (y[i] - m[i]) / decay
    elif leak:
        for i in range(y.shape[0]):
            y[i] = m[i] + (y[i] - m[i]) * decay
    else:
        for i in range(y.shape[0]):
            y[i] = m[i] + y[i] * decay


@compiled
def _reset(v, threshold, soft, m):  # type: ignore[no-untyped-def]
    """The membrane after the reset."""
    if soft:
        for i in range(v.shape[0]):
            m[i] = v[i] - np.float32(1) if v[i] - threshold > np.float32(0) else v[i]
    else:
        for i in range(v.shape[0]):
            m[i] = np.float32(0) if v[i] - threshold > np.float32(0) else v[i]


@compiled
def _spike(v, threshold, soft, amplitude, spike, m):  # type: ignore[no-untyped-def]
    """Spikes strictly above the threshold, and the membrane after the reset."""
    high, zero = _narrow(amplitude, spike), _narrow(np.float32(0), spike)
    if soft:
        for i in range(v.shape[0]):
            fired = v[i] - threshold > np.float32(0)
            spike[i] = high if fired else zero
            m[i] = v[i] - np.float32(1) if fired else v[i]
    else:
        for i in range(v.shape[0]):
            fired = v[i] - threshold > np.float32(0)
            spike[i] = high if fired else zero
            m[i] = np.float32(0) if fired else v[i]


@compiled
def _forward(low, high, block, x, scale, shift, n, spike, membrane):  # type: ignore[no-untyped-def]
    """Walk the neurons low..high of every stream through all steps."""
    for s in range(x.shape[1]):
        for first in range(low, high, block):
            last = min(first + block, high)
            y, m = np.empty(last - first, np.float32), np.full(last - first, n.v_init, np.float32)
            for t in range(x.shape[0]):
                _load(x[t, s, first:last], scale[t, s], shift[t, s], y)
                _integrate(y, m, n.leak, n.divide, n.decay)
                _spike(y, n.threshold, n.soft, n.amplitude, spike[t, s, first:last], m)
                if membrane.shape[2] > 0:
                    membrane[t, s, first:last] = m


@compiled
def _through_spike(v, threshold, stop, surrogate, alpha, grad, carried):  # type: ignore[no-untyped-def]
    """The spikes' gradient, with the surrogate's derivative at `v - threshold`; none passes a reset above `stop`."""
    zero, one = np.float32(0), np.float32(1)
    if surrogate == 0:
        for i in range(v.shape[0]):
            above = v[i] - threshold
            height = alpha - alpha * alpha * abs(above)
            passed = zero if above > stop else carried[i]
            carried[i] = passed + _widen(grad[i]) * (height if height > zero else zero)
    elif surrogate == 3:
        for i in range(v.shape[0]):
            above = v[i] - threshold
            turn = np.float32(math.pi / 2) * alpha * above
            passed = zero if above > stop else carried[i]
            carried[i] = passed + _widen(grad[i]) * (alpha / np.float32(2) / (one + turn * turn))
    else:
        width = np.float32(0.5) if surrogate == 1 else one / alpha
        for i in range(v.shape[0]):
            above = v[i] - threshold
            passed = zero if above > stop else carried[i]
            carried[i] = passed + (_widen(grad[i]) if abs(above) < width else zero)


@compiled
def _backward(low, high, block, x, scale, shift, mean, rstd, n, grad_spike, grad_membrane, grad, sums, numbers):  # type: ignore[no-untyped-def]
    """Walk forward again, then back; `sums` `[2, T, S, C]` and `numbers` `[2]` are added to."""
    threshold, surrogate, alpha, steps = n.threshold, n.surrogate, n.alpha, x.shape[0]
    for s in range(x.shape[1]):
        for first in range(low, high, block):
            last = min(first + block, high)
            v, m = np.empty((steps, last - first), np.float32), np.full(last - first, n.v_init, np.float32)
            for t in range(steps):
                _load(x[t, s, first:last], scale[t, s], shift[t, s], v[t])
                _integrate(v[t], m, n.leak, n.divide, n.decay)
                _reset(v[t], threshold, n.soft, m)
            carried, of_spikes = np.zeros(last - first, np.float32), np.empty(last - first, np.float32)
            for t in range(steps - 1, -1, -1):
                if grad_membrane.shape[2] > 0:
                    carried += grad_membrane[t, s, first:last]
                spikes_grad = grad_spike[t, s, first:last]
                if n.soft:
                    _at_soft_reset(spikes_grad, n.amplitude, carried, of_spikes)
                    _through_spike(v[t], threshold, np.float32(np.inf), surrogate, alpha, of_spikes, carried)
                    if surrogate == 3:
                        numbers[1] += _alpha_gradient(of_spikes, v[t], threshold, alpha)
                elif grad_spike.shape[2] == 0:
                    _stop_at_reset(v[t], threshold, carried)
                else:
                    _through_spike(v[t], threshold, np.float32(0), surrogate, alpha, spikes_grad, carried)
                    if surrogate == 3:
                        numbers[1] += _alpha_gradient(spikes_grad, v[t], threshold, alpha)
                if n.learn:
                    _reset(v[max(t - 1, 0)], threshold, n.soft, m)
                    if t == 0:
                        m[:] = n.v_init
                    numbers[0] += _decay_gradient(carried, v[t], m, n.decay)
                _share(carried, n.leak, n.divide, n.decay, grad[t, s, first:last])
                if mean.shape[2] > 0:
                    parts = sums[0, t, s], sums[1, t, s]
                    _add_sums(grad[t, s, first:last], x[t, s, first:last], mean[t, s], rstd[t, s], parts)


@compiled
def _at_soft_reset(grad, amplitude, carried, of_spikes):  # type: ignore[no-untyped-def]
    """What reaches the spikes: from the next layer, and from the membrane, of which they were subtracted."""
    if grad.shape[0] == 0:
        for i in range(carried.shape[0]):
            of_spikes[i] = -carried[i]
    else:
        for i in range(carried.shape[0]):
            of_spikes[i] = _widen(grad[i]) * amplitude - carried[i]


@compiled
def _stop_at_reset(v, threshold, carried):  # type: ignore[no-untyped-def]
    """No gradient passes a reset."""
    for i in range(v.shape[0]):
        carried[i] = np.float32(0) if v[i] - threshold > np.float32(0) else carried[i]


@compiled
def _share(carried, leak, divide, decay, grad):  # type: ignore[no-untyped-def]
    """Split the gradient of the potential between the current and the membrane before."""
    for i in range(carried.shape[0]):
        part = carried[i] / decay if divide else carried[i] * decay
        grad[i] = _narrow(part, grad)
        carried[i] = carried[i] - part if leak else carried[i]


@compiled
def _alpha_gradient(grad_spike, v, threshold, alpha):  # type: ignore[no-untyped-def]
    """Sum of `g * u/2 / (1 + (pi/2 * alpha * u)^2)`, BrainCog's gradient of alpha."""
    total = 0.0
    for i in range(v.shape[0]):
        u = v[i] - threshold
        turn = np.float32(math.pi / 2) * alpha * u
        total += _widen(grad_spike[i]) * (u / np.float32(2)) / (np.float32(1) + turn * turn)
    return total


@compiled
def _decay_gradient(grad_v, v, m, decay):  # type: ignore[no-untyped-def]
    """Sum of `g_v * drive`; the drive is what moved the potential, over the decay."""
    total = 0.0
    for i in range(v.shape[0]):
        total += grad_v[i] * ((v[i] - m[i]) / decay)
    return total


@compiled
def _add_sums(grad, x, mean, rstd, sums):  # type: ignore[no-untyped-def]
    """Add the block's sums over the rows, of the gradient and of its product with the normalised current."""
    channels = mean.shape[0]
    plain, product = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    for first in range(0, x.shape[0], channels):
        x_row, grad_row = x[first : first + channels], grad[first : first + channels]
        for c in range(channels):
            g = _widen(grad_row[c])
            plain[c] += g
            product[c] += g * ((_widen(x_row[c]) - mean[c]) * rstd[c])
    for c in range(channels):
        sums[0][c] += plain[c]
        sums[1][c] += product[c]


@compiled
def _normalise_backward(low, high, block, grad, x, scale, mean, rstd, mean_grad, mean_product):  # type: ignore[no-untyped-def]
    """`grad = scale * (grad - mean_grad - normalised x * mean_product)`, in place."""
    for t in range(x.shape[0]):
        for s in range(x.shape[1]):
            numbers = scale[t, s], mean[t, s], rstd[t, s], mean_grad[t, s], mean_product[t, s]
            _normalise_rows(grad[t, s, low:high], x[t, s, low:high], numbers)


@compiled
def _normalise_rows(grad, x, numbers):  # type: ignore[no-untyped-def]
    scale, mean, rstd, mean_grad, mean_product = numbers
    channels = scale.shape[0]
    for first in range(0, x.shape[0], channels):
        x_row, grad_row = x[first : first + channels], grad[first : first + channels]
        for c in range(channels):
            normal = (_widen(x_row[c]) - mean[c]) * rstd[c]
            rest = _widen(grad_row[c]) - mean_grad[c] - normal * mean_product[c]
            grad_row[c] = _narrow(scale[c] * rest, grad_row)


@compiled
def _moments(low, high, block, x, sums):  # type: ignore[no-untyped-def]
    """Add the sums and the sums of squares over the rows to `sums` `[2, T, S, C]`, in float64: nothing cancels."""
    channels = sums.shape[3]
    for t in range(x.shape[0]):
        for s in range(x.shape[1]):
            plain, squares = sums[0, t, s], sums[1, t, s]
            for first in range(low, high, channels):
                row = x[t, s, first : first + channels]
                for c in range(channels):
                    number = np.float64(_widen(row[c]))
                    plain[c] += number
                    squares[c] += number * number


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """See `Kernels.moments`."""
    steps, streams, rows, channels = x.shape
    sums = np.zeros((torch.get_num_threads(), 2, steps, streams, channels))
    _run(_moments, x, channels, [(_flat(x), part) for part in sums])
    mean, square = torch.from_numpy(sums.sum(0)) / rows
    return mean, (square - mean.square()).clamp_(min=0)


def forward(x: Tensor, scale: Tensor | None, shift: Tensor | None, neuron: Neuron, keep: bool) -> tuple[Tensor, Tensor]:
    """See `Kernels.forward`."""
    spike = torch.empty_like(x)
    membrane = torch.empty_like(x, dtype=torch.float32) if keep else torch.empty(0)
    none = torch.empty(*x.shape[:2], 0)
    norm = _plain(none if scale is None else scale), _plain(none if shift is None else shift)
    arrays = _flat(x), *norm, _numbers(neuron), _flat(spike), _flat(membrane if keep else none[..., None])
    _run(_forward, x, _unit(x, scale), [arrays] * torch.get_num_threads())
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
    threads = torch.get_num_threads()
    none = torch.empty(*x.shape[:2], 0)
    norm = [_plain(none if part is None else part) for part in (scale, shift, mean, rstd)]
    sums, numbers = np.zeros((threads, 2, *norm[0].shape)), np.zeros((threads, 2))
    grad = torch.empty_like(x)
    given = _flat(x), *norm, _numbers(neuron)
    grad_spike = x[..., :0] if grad_spike is None else grad_spike
    grads = _flat(grad_spike), _flat(none[..., None] if grad_membrane is None else grad_membrane), _flat(grad)
    _run(_backward, x, _unit(x, scale), [(*given, *grads, sums[i], numbers[i]) for i in range(threads)])
    return grad, torch.from_numpy(sums.sum(0)), torch.from_numpy(numbers.sum(0))


def normalise_backward(
    grad: Tensor, x: Tensor, scale: Tensor, mean: Tensor, rstd: Tensor, mean_grad: Tensor, mean_product: Tensor
) -> Tensor:
    """See `Kernels.normalise_backward`."""
    arrays = _flat(grad), _flat(x), *map(_plain, (scale, mean, rstd, mean_grad, mean_product))
    _run(_normalise_backward, x, x.shape[3], [arrays] * torch.get_num_threads())
    return grad


def _flat(x: Tensor) -> np.ndarray:
    """The memory of `[T, S, R, C]` as `[T, S, N]`."""
    bits = x.detach().view(torch.uint16) if x.dtype == torch.bfloat16 else x.detach()
    return bits.numpy().reshape(*x.shape[:2], x.shape[2] * x.shape[3])


def _plain(x: Tensor) -> np.ndarray:
    return x.detach().contiguous().numpy()


def _numbers(neuron: Neuron) -> _Numbers:
    """The neuron as plain numbers; to divide by a power of two is to multiply, and faster."""
    decay, divide = neuron.decay.item(), neuron.divide
    if divide and math.frexp(decay)[0] == 0.5:
        decay, divide = 1 / decay, False
    amplitude = 1.0 if neuron.amplitude is None else neuron.amplitude.item()
    floats = map(np.float32, (decay, neuron.threshold.item(), neuron.alpha.item(), neuron.v_init, amplitude))
    learn = neuron.leak and not neuron.divide  # PLIF alone learns its decay
    return _Numbers._make([*floats, neuron.surrogate, neuron.leak, divide, learn, neuron.amplitude is not None])


def _unit(x: Tensor, scale: Tensor | None) -> int:
    """Neurons that may not be parted: the channels of a pixel, if they have a norm."""
    return 1 if scale is None else x.shape[3]


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
