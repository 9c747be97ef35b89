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
        whole = (x if levels == 1 else x * levels).to(torch.uint8)
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
    """`nn.AvgPool2d` that keeps nothing of its input for the backward pass, which needs its shape alone."""

    def forward(self, input: Tensor) -> Tensor:
        """`[N, C, H, W]` -> `[N, C, H', W']`."""
        sides = ([side] if isinstance(side, int) else side for side in (self.kernel_size, self.stride, self.padding))
        return _Pool.apply(input, (*sides, self.ceil_mode, self.count_include_pad))


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, geometry: Any) -> Tensor:
        ctx.shape, ctx.geometry = x.shape, geometry
        return torch.ops.aten.avg_pool2d(x, *geometry)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        # The operator asks for the input and only looks at its shape: this memory is never touched.
        shape = torch.empty(ctx.shape, dtype=grad.dtype, device=grad.device, memory_format=torch.channels_last)
        return torch.ops.aten.avg_pool2d_backward(grad, shape, *ctx.geometry, None), None
