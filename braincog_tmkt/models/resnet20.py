"""ResNet-20 for small images, in the form that QCFS's code converts (Bu et al., ICLR 2022)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from . import MODELS
from .multi_step import normalised
from .network import SpikingNetwork
from .parts import ann_by_default
from .resnet19 import Block


class ResNet20(SpikingNetwork):
    """Three stages of three blocks, 16, 32 and 64 channels; the node comes after the sum.

    272,493 parameters with colours, 10 classes and QCFS nodes (the published count). Shapes: frames `[B, T, C, H, W]`
    of any size; D = 64 * width. For the arguments see `SpikingNetwork`.
    """

    any_size = True

    def build(self) -> None:
        """Make the layers."""
        channels = self.channels(16)
        self.conv1 = self.conv(self.in_chans, channels, 3, padding=1)
        self.bn1, self.node1 = self.make_norm(channels), self.make_node()
        for stage in (1, 2, 3):
            out, blocks = self.channels(8 * 2**stage), []
            for number in range(3):
                stride = 2 if stage > 1 and number == 0 else 1
                blocks.append(Block(self, channels, out, stride, shortcut=stride != 1 or channels != out))
                channels = out
            gates = self.make_attention(channels) if stage > 1 else []
            setattr(self, f"layer{stage}", nn.Sequential(*blocks, *gates))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.feature_size = channels

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        return self.conv1

    def encode(self, currents: Tensor) -> Tensor:
        """Currents of the first node `[N, C, H, W]` -> pooled spikes `[N, D]`."""
        x = normalised(self.node1, self.bn1, currents)
        for stage in (self.layer1, self.layer2, self.layer3):
            x = self.run_stage(stage, x)
        return torch.flatten(self.avgpool(x), 1)


@MODELS.register(
    "qcfs_resnet20",
    label="ResNet-20",
    title="ResNet-20 of QCFS's code, one stream (HSD Table 1, CIFAR-10)",
    paper="Bu et al., ICLR 2022",
    year=2022,
)
def qcfs_resnet20(**kwargs: Any) -> ResNet20:
    """ResNet-20 (for colours `in_chans=3`): an ANN of `QCFSNode` unless `node_type` says otherwise."""
    return ResNet20(**ann_by_default(kwargs))
