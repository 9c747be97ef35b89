"""Temporal-channel joint attention (Zhu et al. 2024): each step of each channel gets a factor of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import RecipeError
from ..all_steps import AllSteps
from . import ATTENTIONS


@ATTENTIONS.register("tcja", label="TCJA", paper="Zhu et al., TNNLS 2024", year=2024, arxiv="2206.10177")
class TCJA(AllSteps):
    """`y = x * sigmoid(A_t * A_c)`, with z the spatial mean of x.

    A_t is a convolution of z along the channels, from the T steps to the T steps; A_c one along the steps, from the C
    channels to the C channels. Neither has a bias. Zeros are added, `(k - 1) // 2` in front and the rest behind, so
    that an even kernel looks further ahead than back. The output is no longer binary.

    The weights are for one T; a network with this module cannot run for another.

    Args:
        channels: C.
        steps: T.
        kernel_t: k of A_t, in channels; 4 on N-Caltech101, 2 on CIFAR10-DVS.
        kernel_c: k of A_c, in steps; likewise.

    Raises:
        RecipeError: for a kernel below 1.

    Example:
        >>> attention = TCJA(channels=6, steps=3)
        >>> attention.steps = 3  # a network does this
        >>> attention(torch.ones(3 * 2, 6, 4, 4)).shape
        torch.Size([6, 6, 4, 4])
    """

    def __init__(self, channels: int, steps: int, kernel_t: int = 4, kernel_c: int = 4) -> None:
        super().__init__(steps)
        for key, kernel in (("kernel_t", kernel_t), ("kernel_c", kernel_c)):
            if kernel < 1:
                raise RecipeError(f"attention 'tcja': {key} must be 1 or more, not {kernel}")
        self.conv_t = nn.Conv1d(steps, steps, kernel_t, bias=False)
        self.conv_c = nn.Conv1d(channels, channels, kernel_c, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[T*N, C, H, W]` -> `[T*N, C, H, W]`."""
        return x * self.gate(x)[..., None, None]

    def gate(self, x: Tensor) -> Tensor:
        """The factors `[T*N, C]` of an input `[T*N, C, H, W]`."""
        means = self.by_step(x.mean((2, 3))).transpose(0, 1)  # [N, T, C]
        along_channels = _same(self.conv_t, means)
        along_steps = _same(self.conv_c, means.transpose(1, 2)).transpose(1, 2)
        return torch.sigmoid(along_channels * along_steps).transpose(0, 1).flatten(0, 1)


def _same(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """A convolution whose output is as long as its input `[N, C, L]`."""
    added = conv.kernel_size[0] - 1
    result: Tensor = conv(functional.pad(x, (added // 2, added - added // 2)))
    return result
