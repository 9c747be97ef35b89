"""Convolution and pooling of spikes, of which the backward pass keeps one byte each, or nothing.

That a tensor holds spikes is noted on the tensor by the node that fired them: whatever stands in between (a hook, a
dropout, another node) makes a tensor without the note, which is treated as any other.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

MOST = 127
"""Levels that 8 bits can tell apart."""


def mark(x: Tensor, levels: int) -> Tensor:
    """Note on a tensor that its numbers are multiples of 1 / `levels` in [0, 1]; operations do not pass the note on."""
    if not x.is_inference():  # of which no backward pass keeps anything, and which has no version
        x.spike_levels = levels, x._version  # type: ignore[attr-defined]
    return x


def levels_of(x: Tensor) -> int | None:
    """What `mark` noted on this very tensor, or None if there is no note or the tensor was changed in place since.

    Example:
        >>> x = mark(torch.zeros(3), 1)
        >>> levels_of(x), levels_of(0.37 * x)
        (1, None)
    """
    levels, version = getattr(x, "spike_levels", (None, None))
    return levels if levels is not None and x._version == version else None


def shown_rows(currents: Tensor, rows: Tensor) -> Tensor:
    """Rows of `[U, C, H, W]`, in channels-last memory as the input."""
    pixels = currents.permute(0, 2, 3, 1)
    return pixels.flatten(1).index_select(0, rows).unflatten(1, pixels.shape[1:]).permute(0, 3, 1, 2)


class SpikeConv2d(nn.Conv2d):
    """`nn.Conv2d` that keeps spikes, and their means from a `SpikePool2d`, as whole numbers of 8 bits."""

    def forward(self, input: Tensor) -> Tensor:
        """`[N, C, H, W]` -> `[N, C', H', W']`."""
        x, weight, bias, levels = self._safe(input), self.weight, self.bias, levels_of(input)
        if _goes_to_slow_bfloat16(x):
            rounded = _cast(torch.float32, *_cast(torch.bfloat16, x, weight, bias))
            with torch.autocast("cpu", enabled=False):
                return self._convolve(*rounded, levels).to(torch.bfloat16)
        return self._convolve(x, weight, bias, levels)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None, levels: int | None) -> Tensor:
        plain = self.padding_mode == "zeros" and not isinstance(self.padding, str)
        if levels is None or not plain or not (torch.is_grad_enabled() and weight.requires_grad):
            return self._conv_forward(x, weight, bias)
        if torch.is_autocast_enabled(x.device.type):
            x, weight, bias = _cast(torch.get_autocast_dtype(x.device.type), x, weight, bias)
        geometry = list(self.stride), list(self.padding), list(self.dilation), self.groups
        return _Convolve.apply(x, weight, bias, geometry, levels)

    def _safe(self, x: Tensor) -> Tensor:
        """The input in a layout that oneDNN's backward pass can take.

        On channels-last inputs of less than 16 channels, that of a strided convolution of one pixel writes past its
        memory (github.com/uxlfoundation/oneDNN/issues/6035, up to PyTorch 2.14 at least).
        """
        hit = x.device.type == "cpu" and set(self.kernel_size) == {1} and set(self.stride) != {1}
        return x.contiguous() if hit and x.shape[1] < 16 else x


def _cast(dtype: torch.dtype, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    return x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)


def _goes_to_slow_bfloat16(x: Tensor) -> bool:
    """Whether autocast, which leaves float64 alone, takes a tensor to loops far slower than oneDNN in float32.

    Convolving rounded numbers in float32 gives the numbers of bfloat16, up to the order of summation: products of two
    are exact in float32, in which they are summed anyway.
    """
    if x.device.type != "cpu" or x.dtype == torch.float64 or not torch.is_autocast_enabled("cpu"):
        return False
    return torch.get_autocast_dtype("cpu") == torch.bfloat16 and not _fast_bfloat16()


@cache
def _fast_bfloat16() -> bool:
    """Whether oneDNN takes bfloat16 on this CPU."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Any, levels: int) -> Tensor:
        whole = x if levels == 1 else (x * levels).round_()
        whole = whole.to(torch.int8)  # torch's conversion to uint8 is not vectorised
        ctx.save_for_backward(whole, weight)
        ctx.geometry, ctx.levels, ctx.has_bias = geometry, levels, bias is not None
        return torch.conv2d(x, weight, bias, *geometry)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        whole, weight = ctx.saved_tensors
        x = whole.to(weight.dtype)
        x = x if ctx.levels == 1 else x.div_(ctx.levels)
        (stride, padding, dilation, groups), (grad,) = ctx.geometry, grads
        bias_sizes = [len(weight)] if ctx.has_bias else None
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.has_bias and ctx.needs_input_grad[2]]
        found = torch.ops.aten.convolution_backward(
            grad, x, weight, bias_sizes, stride, padding, dilation, False, [0, 0], groups, wanted
        )
        return *found, None, None


class SpikePool2d(nn.AvgPool2d):
    """`nn.AvgPool2d` whose windows do not overlap: the backward pass needs nothing of its input."""

    def forward(self, input: Tensor) -> Tensor:
        """`[N, C, H, W]` -> `[N, C, H/k, W/k]`, k the side of a window."""
        side: Any = self.kernel_size
        usual = side == self.stride and self.padding == 0 and self.divisor_override is None
        if not usual or input.shape[2] % side or input.shape[3] % side:
            return super().forward(input)
        means, levels = _Pool.apply(input, side), levels_of(input)
        finer = None if levels is None else levels * side**2
        return means if finer is None or finer > MOST else mark(means, finer)


class SpikeMaxPool2d(nn.MaxPool2d):
    """`nn.MaxPool2d`, of which the maxima of spikes are known to be spikes."""

    def forward(self, input: Tensor) -> Tensor:
        """`[N, C, H, W]` -> `[N, C, H/k, W/k]`, k the side of a window; leftover rows and columns are dropped."""
        maxima: Tensor = super().forward(input)
        levels = levels_of(input)
        return maxima if levels is None else mark(maxima, levels)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, side: int) -> Tensor:
        ctx.side = side
        return torch.nn.functional.avg_pool2d(x, side)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        share = (grads[0] / ctx.side**2).permute(0, 2, 3, 1)  # [N, h, w, C]
        spread = share[:, :, None, :, None].expand(-1, -1, ctx.side, -1, ctx.side, -1)
        return spread.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2), None
