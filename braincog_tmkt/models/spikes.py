"""Convolution and pooling of spikes, of which the backward pass keeps one byte each, or nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class SpikeConv2d(nn.Conv2d):
    """`nn.Conv2d` for inputs that are multiples of 1 / `levels`, `levels` small: spikes (1), or their 2x2 means (4).

    The numbers are those of `nn.Conv2d`; the input is kept as whole numbers of 8 bits.
    """

    levels: int = 1

    def forward(self, input: Tensor) -> Tensor:
        """`[N, C, H, W]` -> `[N, C', H', W']`."""
        x, weight, bias = input, self.weight, self.bias
        if not (torch.is_grad_enabled() and weight.requires_grad):
            return super().forward(x)
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight = x.to(dtype), weight.to(dtype)
            bias = bias if bias is None else bias.to(dtype)
        geometry = list(self.stride), list(self.padding), list(self.dilation), self.groups
        return _Convolve.apply(x, weight, bias, geometry, self.levels)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Any, levels: int) -> Tensor:
        whole = (x if levels == 1 else x * levels).to(torch.int8)  # torch's conversion to uint8 is not vectorised
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
        if side != self.stride or self.padding != 0 or input.shape[2] % side or input.shape[3] % side:
            return super().forward(input)
        return _Pool.apply(input, side)


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
