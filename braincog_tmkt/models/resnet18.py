"""ResNet-18: the layers of BrainCog's pre-activation spiking ResNet (Transfer_ResNet18 of the baseline)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from . import MODELS
from .contract import LARGE_STEM
from .hooks import divisible
from .multi_step import normalised
from .network import SpikingNetwork
from .parts import ann_by_default
from .two_stream import TwoStream


class Block(nn.Module):
    """Twice norm, node and 3x3 convolution, beside the identity or a convolution of one pixel.

    Args:
        make: the network whose parts are used.
        channels: of the input.
        out: channels of the output.
        stride: of the first convolution.
    """

    def __init__(self, make: SpikingNetwork, channels: int, out: int, stride: int) -> None:
        super().__init__()
        downsample = None
        if stride != 1 or channels != out:
            shortcut = make.make_norm(channels), make.make_node(), make.conv(channels, out, 1, stride=stride)
            downsample = nn.Sequential(*shortcut)
        self.bn1, self.node1 = make.make_norm(channels), make.make_node()
        self.conv1 = make.conv(channels, out, 3, stride=stride, padding=1)
        self.node2, self.bn2 = make.make_node(), make.make_norm(out)
        self.conv2 = make.conv(out, out, 3, padding=1)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` -> `[N, C', H', W']`."""
        out = self.conv1(normalised(self.node1, self.bn1, x))
        out = self.conv2(normalised(self.node2, self.bn2, out))
        return out + (x if self.downsample is None else self._shortcut(self.downsample, x))

    def _shortcut(self, layers: nn.Module, x: Tensor) -> Any:
        if not (isinstance(layers, nn.Sequential) and divisible(layers) and len(layers) == 3):
            return layers(x)
        norm, node, conv = layers
        return conv(normalised(node, norm, x))


class ResNet18(SpikingNetwork):
    """BN-node-conv blocks, real-valued sums, global average pooling; no node after the last batch norm.

    11.2 million parameters with 10 classes. Shapes: frames `[B, T, C, H, W]` of any size; D = 512 * width. For the
    arguments see `SpikingNetwork`.
    """

    any_size = True
    other_stem = LARGE_STEM

    def build(self) -> None:
        """Make the layers, and initialise the convolutions as BrainCog does."""
        channels = self.channels(64)
        self.conv1 = self.conv(self.in_chans, channels, 3, padding=1)
        for number, stride in enumerate((1, 2, 2, 2)):
            out = self.channels(64) * 2**number
            blocks = Block(self, channels, out, stride), Block(self, out, out, 1)
            gates = self.make_attention(out) if number >= 2 else []
            setattr(self, f"layer{number + 1}", nn.Sequential(*blocks, *gates))
            channels = out
        self.bn1 = self.make_norm(channels)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.feature_size = channels
        self.make_head()  # BrainCog draws its classifier before it initialises: a seed gives the same weights
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        return self.conv1

    def encode(self, currents: Tensor) -> Tensor:
        """The first block's input `[N, C, H, W]` -> pooled output of the last batch norm `[N, D]`."""
        x = currents
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = self.run_stage(stage, x)
        return torch.flatten(self.avgpool(self.bn1(x)), 1)


@MODELS.register("tmkt_resnet18", label="ResNet-18", title="ResNet-18, two streams (TMKT Table 1, CEP-DVS)")
class TwoStreamResNet18(TwoStream, ResNet18):
    """ResNet-18 with two classifiers; aligned: the pooled vector itself, real-valued, as in the baseline."""


@MODELS.register("hsd_resnet18", label="ResNet-18", title="ResNet-18, one stream")
def hsd_resnet18(**kwargs: Any) -> ResNet18:
    """ResNet-18, one stream; as `hsd_vggsnn`."""
    return ResNet18(**ann_by_default(kwargs))
