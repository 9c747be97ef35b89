"""VGGSNN: the layers of BrainCog's `VGG_SNN` (Transfer_VGG_SNN of the baseline; VGG-SNN of TET and HSD)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..errors import RecipeError
from . import MODELS
from .multi_step import normalised
from .network import SpikingNetwork
from .parts import ann_by_default
from .two_stream import TwoStream

PLAN = (64, 128, "P", 256, 256, "P", 512, 512, "P", 512, 512, "P")
"""Channels of the 3x3 convolutions; P is a 2x2 average pooling."""


class ConvLayer(nn.Module):
    """A 3x3 convolution, a norm and a node.

    Args:
        make: the network whose parts are used.
        channels: of the input.
        out: channels of the output.
    """

    def __init__(self, make: SpikingNetwork, channels: int, out: int) -> None:
        super().__init__()
        self.conv = make.conv(channels, out, 3, padding=1)
        self.bn = make.make_norm(out)
        self.node = make.make_node()

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` -> spikes `[N, C', H, W]`."""
        return normalised(self.node, self.bn, self.conv(x))


class VGGSNN(SpikingNetwork):
    """Eight conv-BN-node layers and one linear classifier, 9.27 million parameters with 10 classes.

    TET's and HSD's convolutions have a bias, BrainCog's have none; in front of a batch norm it changes nothing
    (deviation D-30).

    Shapes: frames `[B, T, C, H, W]`, H and W multiples of 16; D = 512 * width * H/16 * W/16. For the arguments see
    `SpikingNetwork`.
    """

    least_size = 16

    def build(self) -> None:
        """Make the layers."""
        layers: list[nn.Module] = []
        channels = self.in_chans
        for entry in PLAN:
            if isinstance(entry, str):
                layers.append(self.pool(2))
            else:
                layers.append(ConvLayer(self, channels, self.channels(entry)))
                channels = self.channels(entry)
        self.feature = nn.Sequential(*layers)
        height, width = self.frame_size
        self.feature_size = channels * (height // 16) * (width // 16)

    def head(self) -> nn.Module:
        """A linear classifier; second of two layers, as BrainCog numbers it."""
        return nn.Sequential(nn.Identity(), super().head())

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        stem: nn.Conv2d = self._first.conv
        return stem

    @property
    def bypassed(self) -> tuple[tuple[nn.Module, type[nn.Module]], ...]:
        """The sequence of layers, and the first of them, whose convolution runs apart."""
        return (self.feature, nn.Sequential), (self._first, ConvLayer)

    def encode_whole(self, frames: Tensor) -> Tensor:
        """Frames `[N, C, H, W]` -> pooled spikes `[N, D]`."""
        return self.run_layer(self.feature, frames).flatten(1)

    @property
    def _first(self) -> Any:
        first = self.feature[0]
        if not isinstance(first, ConvLayer):
            raise RecipeError(
                f"the first layer of 'feature' must be a ConvLayer, whose convolution gets the frames, not a"
                f" {type(first).__name__}: change its parts, or put other layers behind it"
            )
        return first

    def encode(self, currents: Tensor) -> Tensor:
        """Currents of the first node `[N, C, H, W]` -> pooled spikes `[N, D]`."""
        x = normalised(self._first.node, self._first.bn, currents)
        for layer in self.feature[1:]:  # a pooling keeps nothing, so there is nothing to compute again
            x = layer(x) if isinstance(layer, nn.AvgPool2d) else self.run_layer(layer, x)
        return x.flatten(1)


@MODELS.register("tmkt_vggsnn", label="VGGSNN", title="VGGSNN, two streams (TMKT Table 1, N-Caltech101)")
class TwoStreamVGGSNN(TwoStream, VGGSNN):
    """VGGSNN with two classifiers; aligned: membranes of the last node, after reset.

    Example:
        >>> import torch, timm, braincog_tmkt
        >>> net = timm.create_model("tmkt_vggsnn", num_classes=11, step=2, width=0.125)
        >>> net(torch.zeros(3, 2, 2, 48, 48)).shape
        torch.Size([3, 11])
    """

    aligned = "membrane:feature.10.node"


@MODELS.register("hsd_vggsnn", label="VGG-SNN", title="VGG-SNN, one stream (HSD Table 2)")
def hsd_vggsnn(**kwargs: Any) -> VGGSNN:
    """VGG-SNN as HSD trains it, one stream: an ANN of `QCFSNode` unless `node_type` says otherwise.

    `models.convert.convert` makes an SNN of the ANN; keywords: see `SpikingNetwork`.
    """
    return VGGSNN(**ann_by_default(kwargs))
