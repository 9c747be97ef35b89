"""The machine code of the CPU kernels, compiled by numba: a block of neurons stays in the cache for all its steps.

Currents come as `[T, S, N]`, N = R * C; bfloat16 as its 16 bits, which are the upper half of a float32. What is
computed of one number is a function of its own, which the compiler puts into the loops. All of it is in this file:
numba keeps machine code on the disk until the file of its kernel changes, and looks at no other.
"""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from ...jit import compiled

Numbers = namedtuple(
    "Numbers",
    "gain keep threshold alpha v_init amplitude"
    " surrogate leak divide soft attached inclusive cut learn_gain learn_alpha",
)
"""A `Neuron` as plain numbers (float32, integer, truth values); `leak` where it has no `keep` of its own."""


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
def _integrate(y, m, n):  # type: ignore[no-untyped-def]
    """The potential before the reset, in place of the current."""
    if not n.leak:
        for i in range(y.shape[0]):
            y[i] = m[i] * n.keep + y[i] * n.gain
    elif n.divide:
        for i in range(y.shape[0]):
            y[i] = m[i] + (y[i] - m[i]) / n.gain
    else:
        for i in range(y.shape[0]):
            y[i] = m[i] + (y[i] - m[i]) * n.gain


@compiled
def _fires(v, n):  # type: ignore[no-untyped-def]
    """Whether a potential is above the threshold, or at it."""
    above = v - n.threshold
    return above >= np.float32(0) if n.inclusive else above > np.float32(0)


@compiled
def _after_reset(v, n):  # type: ignore[no-untyped-def]
    """The membrane after the reset."""
    low = v - n.threshold if n.soft else np.float32(0)
    return low if _fires(v, n) else v


@compiled
def _reset(v, n, m):  # type: ignore[no-untyped-def]
    for i in range(v.shape[0]):
        m[i] = _after_reset(v[i], n)


@compiled
def _spike(v, n, spike, m):  # type: ignore[no-untyped-def]
    """Spikes, and the membrane after the reset."""
    high, zero = _narrow(n.amplitude, spike), _narrow(np.float32(0), spike)
    for i in range(v.shape[0]):
        spike[i] = high if _fires(v[i], n) else zero
        m[i] = _after_reset(v[i], n)


@compiled
def walk(low, high, block, x, scale, shift, n, spike, membrane):  # type: ignore[no-untyped-def]
    """Walk the neurons low..high of every stream through all steps."""
    for s in range(x.shape[1]):
        for first in range(low, high, block):
            last = min(first + block, high)
            y, m = np.empty(last - first, np.float32), np.full(last - first, n.v_init, np.float32)
            for t in range(x.shape[0]):
                _load(x[t, s, first:last], scale[t, s], shift[t, s], y)
                _integrate(y, m, n)
                _spike(y, n, spike[t, s, first:last], m)
                if membrane.shape[2] > 0:
                    membrane[t, s, first:last] = m


@compiled
def _triangle(above, alpha):  # type: ignore[no-untyped-def]
    height = alpha - alpha * alpha * abs(above)
    return height if height > np.float32(0) else np.float32(0)


@compiled
def _window(above, width):  # type: ignore[no-untyped-def]
    return np.float32(1) if abs(above) < width else np.float32(0)


@compiled
def _bell(above, alpha):  # type: ignore[no-untyped-def]
    """What the arctangent's derivative divides by; with `np.divide`, since `/` looks for a 0, one number at a time."""
    turn = np.float32(math.pi / 2) * alpha * above
    return np.float32(1) + turn * turn


@compiled
def _arctangent(above, alpha):  # type: ignore[no-untyped-def]
    return np.divide(alpha / np.float32(2), _bell(above, alpha))


@compiled
def _hill(above, temperature, height):  # type: ignore[no-untyped-def]
    """`height / cosh(temperature * above)^2` up to 1/2, by an exponential that cannot overflow."""
    if abs(above) > np.float32(0.5):
        return np.float32(0)
    part = np.exp(np.float32(-2) * temperature * abs(above))
    return np.divide(np.float32(4) * height * part, (np.float32(1) + part) * (np.float32(1) + part))


@compiled
def _of_spike(grad, v, carried, n):  # type: ignore[no-untyped-def]
    """The gradient that reaches a spike: from the next layer, and from the reset if it is attached."""
    reached = _widen(grad) * n.amplitude
    return reached - carried * (n.threshold if n.soft else v) if n.attached else reached


@compiled
def _through_spike(slope, v, grad, carried, n):  # type: ignore[no-untyped-def]
    """The gradient of a potential: of the membrane after the reset, and of the spike times the surrogate's slope."""
    passed = np.float32(0) if not n.soft and _fires(v, n) else carried
    return passed + _of_spike(grad, v, carried, n) * slope


@compiled
def _through(v, grad, n, carried):  # type: ignore[no-untyped-def]
    """From the gradient of the membrane after the reset to that of the potential, in place; see `SLOPES`."""
    if n.surrogate == 0:
        for i in range(v.shape[0]):
            carried[i] = _through_spike(_triangle(v[i] - n.threshold, n.alpha), v[i], grad[i], carried[i], n)
    elif n.surrogate == 3:
        for i in range(v.shape[0]):
            carried[i] = _through_spike(_arctangent(v[i] - n.threshold, n.alpha), v[i], grad[i], carried[i], n)
    elif n.surrogate == 4:
        height = np.float32(n.alpha / (2 * math.tanh(n.alpha / 2)))
        for i in range(v.shape[0]):
            carried[i] = _through_spike(_hill(v[i] - n.threshold, n.alpha, height), v[i], grad[i], carried[i], n)
    else:
        width = np.float32(0.5) if n.surrogate == 1 else np.float32(1) / n.alpha
        for i in range(v.shape[0]):
            carried[i] = _through_spike(_window(v[i] - n.threshold, width), v[i], grad[i], carried[i], n)


@compiled
def walk_back(low, high, block, x, scale, shift, mean, rstd, n, grad_spike, grad_membrane, grad, sums, numbers):  # type: ignore[no-untyped-def]
    """Walk forward again, then back; `sums` `[2, T, S, C]` and `numbers` `[2]` are added to."""
    steps, none = x.shape[0], np.zeros(block, grad_spike.dtype)
    for s in range(x.shape[1]):
        for first in range(low, high, block):
            last = min(first + block, high)
            v, m = np.empty((steps, last - first), np.float32), np.full(last - first, n.v_init, np.float32)
            for t in range(steps):
                _load(x[t, s, first:last], scale[t, s], shift[t, s], v[t])
                _integrate(v[t], m, n)
                _reset(v[t], n, m)
            carried = np.zeros(last - first, np.float32)
            for t in range(steps - 1, -1, -1):
                if grad_membrane.shape[2] > 0:
                    carried += grad_membrane[t, s, first:last]
                of_spikes = grad_spike[t, s, first:last] if grad_spike.shape[2] > 0 else none
                if n.learn_alpha:
                    numbers[1] += _alpha_gradient(v[t], of_spikes, n, carried)
                _through(v[t], of_spikes, n, carried)
                if n.learn_gain:
                    _reset(v[max(t - 1, 0)], n, m)
                    if t == 0:
                        m[:] = n.v_init
                    numbers[0] += _gain_gradient(carried, v[t], m, n.gain)
                _share(carried, n, grad[t, s, first:last])
                if mean.shape[2] > 0:
                    parts = sums[0, t, s], sums[1, t, s]
                    _add_sums(grad[t, s, first:last], x[t, s, first:last], mean[t, s], rstd[t, s], parts)


@compiled
def _share(carried, n, grad):  # type: ignore[no-untyped-def]
    """Split the gradient of the potential between the current and the membrane before."""
    for i in range(carried.shape[0]):
        part = carried[i] / n.gain if n.divide else carried[i] * n.gain
        grad[i] = _narrow(part, grad)
        rest = carried[i] - part if n.leak else carried[i] * n.keep
        carried[i] = np.float32(0) if n.cut else rest


@compiled
def _alpha_gradient(v, grad, n, carried):  # type: ignore[no-untyped-def]
    """Sum of `g * u/2 / (1 + (pi/2 * alpha * u)^2)`, BrainCog's gradient of alpha."""
    total = 0.0
    for i in range(v.shape[0]):
        above = v[i] - n.threshold
        total += np.divide(_of_spike(grad[i], v[i], carried[i], n) * (above / np.float32(2)), _bell(above, n.alpha))
    return total


@compiled
def _gain_gradient(grad_v, v, m, gain):  # type: ignore[no-untyped-def]
    """Sum of `g_v * drive`; the drive is what moved the potential, over the gain."""
    total = 0.0
    for i in range(v.shape[0]):
        total += grad_v[i] * ((v[i] - m[i]) / gain)
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
def normalise_back(low, high, block, grad, x, scale, mean, rstd, mean_grad, mean_product):  # type: ignore[no-untyped-def]
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
def add_moments(low, high, block, x, sums):  # type: ignore[no-untyped-def]
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
