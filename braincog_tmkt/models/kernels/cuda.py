"""The kernels for CUDA, in Triton: a tile of neurons stays in registers for all its steps, and walks back from there.

A program owns a tile of rows times channels of one stream. What it sums over the rows it writes as one part, and the
parts are added in float64, always in the same order. Products and sums are not fused (`EXACT`) and divisions round to
the nearest, so the potentials are those of the nodes on the CPU to the last bit, in both walks.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import Neuron

WARPS = 4

CHANNELS = 64
"""Channels of a tile at most: a warp reads whole cache lines."""

PROGRAMS = 4096
"""Programs that are worth starting: some waves on the largest GPU; beyond, each of them walks over several tiles."""

LONG = 12
"""Steps up to which the registers hold twice as many neurons."""

REGISTERS = 168
"""A thread's in the backward walk: three programs fit a multiprocessor; longer walks need all there are."""

EXACT: Any = {"num_warps": WARPS, "enable_fp_fusion": False}


@triton.jit
def _plane(t):  # type: ignore[no-untyped-def]
    """Which `[R, C]` of `[T, S, R, C]`: step t of the program's stream."""
    return (t * tl.num_programs(2) + tl.program_id(2)).to(tl.int64)


@triton.jit
def _channels(C, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The program's channels, and which of them exist."""
    channel = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    return channel, channel < C


@triton.jit
def _tile(first, R, C, ROWS: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The tile of rows from `first`: its places from there, and which of them exist."""
    row = tl.arange(0, ROWS)
    channel, real = _channels(C, WIDE)
    inside = (first + row < R)[:, None] & real[None, :]
    return row[:, None] * C + channel[None, :], inside


@triton.jit
def _row(pointer, plane, C, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """One number a channel, of `[T, S, C]`, as a row."""
    channel, real = _channels(C, WIDE)
    return tl.load(pointer + plane * C + channel, real, 0.0)[None, :]


@triton.jit
def _divide(a, b, inverse):  # type: ignore[no-untyped-def]
    """`a / b` to the last bit (Markstein: from 1 / b, twice corrected); the machine's own has branches."""
    q = a * inverse
    q = tl.fma(tl.fma(-q, b, a), inverse, q)
    return tl.fma(tl.fma(-q, b, a), inverse, q)


@triton.jit
def _integrate(x, m, scale, shift, plane, C, gain, inverse, keep, DIVIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The potential before the reset."""
    y = x.to(tl.float32)
    if scale is not None:
        y = y * _row(scale, plane, C, x.shape[1]) + _row(shift, plane, C, x.shape[1])
    if keep is None:
        y -= m
    part = _divide(y, gain, inverse) if DIVIDE else y * gain
    return (m if keep is None else m * keep) + part


@triton.jit
def _fires(u, INCLUSIVE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Whether a potential is above the threshold by u, or at it."""
    return u >= 0.0 if INCLUSIVE else u > 0.0


@triton.jit
def _reset(v, threshold, INCLUSIVE: tl.constexpr, SOFT: tl.constexpr):  # type: ignore[no-untyped-def]
    """The membrane after the reset."""
    return tl.where(_fires(v - threshold, INCLUSIVE), v - threshold if SOFT else 0.0, v)


@triton.jit
def _slope(u, alpha, SURROGATE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The surrogate's derivative at u above the threshold."""
    if SURROGATE == 0:
        slope = tl.maximum(alpha - alpha * alpha * tl.abs(u), 0.0)
    elif SURROGATE == 3:
        slope = alpha * 0.5 / _bell(u, alpha)
    elif SURROGATE == 4:
        slope = _hill(tl.abs(u), alpha)
    else:
        width = 0.5 if SURROGATE == 1 else tl.div_rn(1.0, alpha)
        slope = tl.where(tl.abs(u) < width, 1.0, 0.0)
    return slope


@triton.jit
def _bell(u, alpha):  # type: ignore[no-untyped-def]
    """What the arctangent's derivative divides by."""
    turn = 1.5707963267948966 * alpha * u
    return 1.0 + turn * turn


@triton.jit
def _hill(u, b):  # type: ignore[no-untyped-def]
    """`b / (2 tanh(b / 2) cosh(b u)^2)` up to 1/2, by exponentials that cannot overflow; a series where b is small."""
    whole, part = tl.exp(-b), tl.exp(-2.0 * b * u)
    height = tl.where(b < 0.1, 1.0 + b * b / 12.0, 0.5 * b * (1.0 + whole) / (1.0 - whole))
    return tl.where(u <= 0.5, 4.0 * height * part / ((1.0 + part) * (1.0 + part)), 0.0)


@triton.jit(do_not_specialize=["R"])
def _forward(  # type: ignore[no-untyped-def]
    x, scale, shift, gain, keep, threshold, amplitude, v_init, spike, membrane, R, C,
    T: tl.constexpr, DIVIDE: tl.constexpr, INCLUSIVE: tl.constexpr, SOFT: tl.constexpr,
    ROWS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """A tile of one stream through all steps."""
    gain, threshold = tl.load(gain), tl.load(threshold)
    if keep is not None:  # written out: a function that returns None does not compile before Triton 3.7
        keep = tl.load(keep)
    high = 1.0 if amplitude is None else tl.load(amplitude)
    inverse = tl.div_rn(1.0, gain)
    first = tl.program_id(0) * ROWS
    place, inside = _tile(first, R, C, ROWS, WIDE)
    loaded = ()
    for t in tl.static_range(T):  # before anything is stored: all steps are under way at once
        loaded += (tl.load(x + (_plane(t) * R + first) * C + place, inside, 0.0),)  # type: ignore[assignment]
    m = tl.zeros([ROWS, WIDE], tl.float32) + v_init
    for t in tl.static_range(T):
        v = _integrate(loaded[t], m, scale, shift, _plane(t), C, gain, inverse, keep, DIVIDE)
        m = _reset(v, threshold, INCLUSIVE, SOFT)
        fired = tl.where(_fires(v - threshold, INCLUSIVE), high, 0.0)
        tl.store(spike + (_plane(t) * R + first) * C + place, fired, inside)
        if membrane is not None:
            tl.store(membrane + (_plane(t) * R + first) * C + place, m, inside)


@triton.jit(do_not_specialize=["R", "tiles"])
def _backward(  # type: ignore[no-untyped-def]
    x, scale, shift, mean, rstd, gain, keep, threshold, alpha, amplitude, v_init, grad_spike, grad_membrane, grad, sums,
    numbers, R, C, tiles, T: tl.constexpr, DIVIDE: tl.constexpr, INCLUSIVE: tl.constexpr, SOFT: tl.constexpr,
    ATTACHED: tl.constexpr, CUT: tl.constexpr, LEARN_GAIN: tl.constexpr, LEARN_ALPHA: tl.constexpr,
    SURROGATE: tl.constexpr, ROWS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Tiles of one stream, one after the other, through all steps and back; their sums as one part."""
    gain, threshold, alpha = tl.load(gain), tl.load(threshold), tl.load(alpha)
    if keep is not None:
        keep = tl.load(keep)
    if amplitude is not None:
        amplitude = tl.load(amplitude)
    inverse = tl.div_rn(1.0, gain)
    nothing = tl.zeros([ROWS, WIDE], tl.float32)
    of_gain, of_alpha = nothing, nothing
    plain, product = (nothing,) * T, (nothing,) * T
    for tile in tl.range(tiles, disable_licm=True):
        first = (tl.program_id(0) * tiles + tile) * ROWS
        place, inside = _tile(first, R, C, ROWS, WIDE)
        m = nothing + v_init
        loaded, potential = (), ()
        for t in tl.static_range(T):
            loaded += (tl.load(x + (_plane(t) * R + first) * C + place, inside, 0.0),)  # type: ignore[assignment]
            v = _integrate(loaded[t], m, scale, shift, _plane(t), C, gain, inverse, keep, DIVIDE)
            potential += (v,)  # type: ignore[assignment]
            m = _reset(v, threshold, INCLUSIVE, SOFT)
        carried = nothing
        new_plain, new_product = (), ()  # grown by +: Triton's tuples know no star
        for t in tl.static_range(T - 1, -1, -1):
            at = (_plane(t) * R + first) * C
            u = potential[t] - threshold
            if grad_membrane is not None:
                carried += tl.load(grad_membrane + at + place, inside, 0.0)
            g = nothing if grad_spike is None else tl.load(grad_spike + at + place, inside, 0.0).to(tl.float32)
            if amplitude is not None:
                g = g * amplitude
            if ATTACHED:  # the spike also reached the next layer through the membrane
                g -= carried * (threshold if SOFT else potential[t])
            if not SOFT:
                carried = tl.where(_fires(u, INCLUSIVE), 0.0, carried)
            if grad_spike is not None or ATTACHED:
                carried += g * _slope(u, alpha, SURROGATE)
            if LEARN_ALPHA:
                of_alpha += g * (u * 0.5 / _bell(u, alpha))
            if LEARN_GAIN:
                m = _reset(potential[t - 1], threshold, INCLUSIVE, SOFT) if t > 0 else nothing + v_init
                of_gain += carried * (potential[t] - m)
            share = _divide(carried, gain, inverse) if DIVIDE else carried * gain
            tl.store(grad + at + place, share, inside)
            rest = carried - share if keep is None else carried * keep
            carried = nothing if CUT else rest
            if scale is not None:
                centred = loaded[t].to(tl.float32) - _row(mean, _plane(t), C, WIDE)
                new_plain = (plain[t] + share,) + new_plain  # noqa: RUF005
                new_product = (product[t] + share * centred,) + new_product  # noqa: RUF005
        if scale is not None:
            plain, product = new_plain, new_product
    channel, real = _channels(C, WIDE)
    part, parts = tl.program_id(0), tl.num_programs(0)
    if scale is not None:
        for t in tl.static_range(T):
            to = sums + (_plane(t) * parts + part) * C + channel
            factor = tl.load(rstd + _plane(t) * C + channel, real, 0.0)
            tl.store(to, tl.sum(plain[t], 0).to(tl.float64), real)
            to += (T * tl.num_programs(2)).to(tl.int64) * parts * C
            tl.store(to, tl.sum(product[t], 0).to(tl.float64) * factor, real)
    to = numbers + (tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)) * parts + part
    tl.store(to, tl.sum(of_gain).to(tl.float64) / gain)
    tl.store(to + tl.num_programs(2) * tl.num_programs(1) * parts, tl.sum(of_alpha).to(tl.float64))


@triton.jit(do_not_specialize=["R"])
def _normalise_backward(  # type: ignore[no-untyped-def]
    grad, x, scale, mean, rstd, mean_grad, mean_product, R, C, ROWS: tl.constexpr, WIDE: tl.constexpr
):
    """A tile of one step of one stream, in place."""
    plane = tl.program_id(2).to(tl.int64)
    place, inside = _tile(tl.program_id(0) * ROWS, R, C, ROWS, WIDE)
    at = (plane * R + tl.program_id(0) * ROWS) * C
    normal = tl.load(x + at + place, inside, 0.0).to(tl.float32) - _row(mean, plane, C, WIDE)
    normal *= _row(rstd, plane, C, WIDE)
    rest = tl.load(grad + at + place, inside, 0.0).to(tl.float32) - _row(mean_grad, plane, C, WIDE)
    rest -= normal * _row(mean_product, plane, C, WIDE)
    tl.store(grad + at + place, rest * _row(scale, plane, C, WIDE), inside)


@triton.jit(do_not_specialize=["R", "tiles"])
def _moments(x, means, squares, R, C, tiles, ROWS: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Mean and squared deviations of some tiles' rows as one part, tile joined to tile by Chan's formula."""
    plane, part = tl.program_id(2).to(tl.int64), tl.program_id(0)
    mean, square = tl.zeros([WIDE], tl.float64), tl.zeros([WIDE], tl.float64)
    for tile in range(tiles):
        first = (part * tiles + tile) * ROWS
        place, inside = _tile(first, R, C, ROWS, WIDE)
        y = tl.load(x + (plane * R + first) * C + place, inside, 0.0).to(tl.float32)
        here = tl.minimum(tl.maximum(R - first, 0), ROWS)  # a last program may have tiles without rows
        near = tl.sum(y, 0) / tl.maximum(here, 1).to(tl.float32)
        off = tl.where(inside, y - near[None, :], 0.0)
        here = here.to(tl.float64)
        rest = tl.sum(off, 0) / tl.maximum(here, 1.0)  # what rounding left out of the mean
        before = (first - part * tiles * ROWS).to(tl.float64)
        apart, weight = near + rest - mean, here / tl.maximum(before + here, 1.0)
        square += tl.sum(off * off, 0) - here * rest * rest + apart * apart * (before * weight)
        mean += apart * weight
    channel, real = _channels(C, WIDE)
    to = (plane * tl.num_programs(0) + part) * C + channel
    tl.store(means + to, mean, real)
    tl.store(squares + to, square, real)


@triton.jit(do_not_specialize=["R", "parts", "part_rows"])
def _join(means, squares, mean_of_all, var_of_all, R, C, parts, part_rows, PARTS: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Mean and variance over all parts, in float64."""
    plane = tl.program_id(2).to(tl.int64)
    total = tl.zeros([WIDE], tl.float64)
    for first in range(0, parts, PARTS):
        place, inside = _tile(first, parts, C, PARTS, WIDE)
        at = (plane * parts + first) * C
        here = tl.minimum(R - (first + tl.arange(0, PARTS)) * part_rows, part_rows).to(tl.float64)[:, None]
        total += tl.sum(tl.load(means + at + place, inside, 0.0) * here, 0)
    centre = total / R
    total = tl.zeros([WIDE], tl.float64)
    for first in range(0, parts, PARTS):
        place, inside = _tile(first, parts, C, PARTS, WIDE)
        at = (plane * parts + first) * C
        here = tl.minimum(R - (first + tl.arange(0, PARTS)) * part_rows, part_rows).to(tl.float64)[:, None]
        off = tl.load(means + at + place, inside, 0.0) - centre[None, :]
        off = tl.where(inside, off * off * here, 0.0)
        total += tl.sum(off + tl.load(squares + at + place, inside, 0.0), 0)
    channel, real = _channels(C, WIDE)
    tl.store(mean_of_all + plane * C + channel, centre, real)
    tl.store(var_of_all + plane * C + channel, total / R, real)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """See `Kernels.moments`."""
    steps, streams, rows, channels = x.shape
    high, wide, tiles, grid = _tiling(rows, channels, steps * streams, 32)
    means, squares = x.new_empty((2, steps, streams, grid[0], channels), dtype=torch.float64)
    mean, var = x.new_empty((2, steps, streams, channels), dtype=torch.float64)
    with torch.cuda.device_of(x):
        _moments[grid](x, means, squares, rows, channels, tiles, high, wide, **EXACT)
        _join[(1, *grid[1:])](means, squares, mean, var, rows, channels, grid[0], tiles * high, 32, wide, **EXACT)
    return mean, var


def forward(x: Tensor, scale: Tensor | None, shift: Tensor | None, neuron: Neuron, keep: bool) -> tuple[Tensor, Tensor]:
    """See `Kernels.forward`."""
    steps, streams, rows, channels = x.shape
    high, wide, _, grid = _tiling(rows, channels, streams, 4 if steps <= LONG else 2, 1)
    spike = torch.empty_like(x)
    membrane = torch.empty_like(x, dtype=torch.float32) if keep else None
    given = x, *_dense(scale, shift, neuron.gain, neuron.keep, neuron.threshold, neuron.amplitude), neuron.v_init
    kind = neuron.divide, neuron.inclusive, neuron.soft
    with torch.cuda.device_of(x):
        _forward[grid](*given, spike, membrane, rows, channels, steps, *kind, high, wide, **EXACT)
    return spike, x.new_empty(0, dtype=torch.float32) if membrane is None else membrane


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
    steps, streams, rows, channels = x.shape
    light = steps <= LONG and grad_membrane is None
    high, wide, tiles, grid = _tiling(rows, channels, streams, 2 if light else 1)
    shape = (2, steps, streams, grid[0], channels) if mean is not None else (1, 0)
    sums = x.new_empty(shape, dtype=torch.float64)
    numbers = x.new_empty((2, grid[0] * grid[1] * grid[2]), dtype=torch.float64)
    grad = torch.empty_like(x)
    own = neuron.gain, neuron.keep, neuron.threshold, neuron.alpha, neuron.amplitude
    given = x, *_dense(scale, shift, mean, rstd, *own)
    kind = neuron.divide, neuron.inclusive, neuron.soft, neuron.attached, neuron.cut, *neuron.learnt, neuron.surrogate
    with torch.cuda.device_of(x):
        _backward[grid](
            *given, neuron.v_init, grad_spike, grad_membrane, grad, sums, numbers, rows, channels, tiles, steps, *kind,
            high, wide, maxnreg=REGISTERS if steps <= LONG else None, **EXACT,
        )  # fmt: skip
    return grad, sums.sum(-2), numbers.sum(1)


def normalise_backward(
    grad: Tensor, x: Tensor, scale: Tensor, mean: Tensor, rstd: Tensor, mean_grad: Tensor, mean_product: Tensor
) -> Tensor:
    """See `Kernels.normalise_backward`."""
    steps, streams, rows, channels = x.shape
    high, wide, _, grid = _tiling(rows, channels, steps * streams, 16, 1)
    vectors = _dense(scale, mean, rstd, mean_grad, mean_product)
    with torch.cuda.device_of(x):
        _normalise_backward[grid](grad, x, *vectors, rows, channels, high, wide, **EXACT)
    return grad


def _tiling(
    rows: int, channels: int, planes: int, numbers: int, most: int | None = None
) -> tuple[int, int, int, tuple[int, int, int]]:
    """How to cut `[R, C]`: rows and channels of a tile, tiles of a program, and the grid of programs.

    Args:
        rows: R.
        channels: C.
        planes: how many there are of them.
        numbers: how many of a tile a thread holds, at most.
        most: tiles of a program; as many as leave about `PROGRAMS` if None.
    """
    wide = min(CHANNELS, triton.next_power_of_2(channels))
    high = min(32 * WARPS * numbers // wide, triton.next_power_of_2(rows))
    count, blocks = triton.cdiv(rows, high), triton.cdiv(channels, wide)
    tiles = most or triton.cdiv(count * blocks * planes, PROGRAMS)
    return high, wide, tiles, (triton.cdiv(count, tiles), blocks, planes)


def _dense(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if tensor is None else tensor.detach().contiguous() for tensor in tensors]
