"""ResNet-18 with its nodes behind the sums, as the code of Dspike's authors has it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from . import MODELS
from .factory import Keywords, Preset
from .multi_step import normalised
from .network import SpikingNetwork
from .resnet19 import HALF, Block


@MODELS.register(
    "dspike_resnet18",
    label="ResNet-18",
    title="ResNet-18 of Dspike, one stream (HSD Tables 1 and 2)",
    paper="Li et al., NeurIPS 2021",
    year=2021,
)
class DspikeResNet18(Preset, SpikingNetwork):
    """Four stages of two blocks; shortcuts average over pixels before their convolution; tdBN with a fixed factor.

    The paper has no public code. Blocks, alphas, neuron and initialisation are those of later code of the same group
    (yfguo91/Re-Loss @0937f36, whose data files bear the first author's paths; deviation D-44): alpha is 1/sqrt(2) for
    the second norm and the shortcut's where there is one, else 1. 11,173,962 parameters with colours and 10 classes.

    That code's own network for CIFAR begins with three convolutions and an average pooling, and it calls it ResNet-20:
    `deep_stem`, 11,247,946 parameters.

    Shapes: frames `[B, T, C, H, W]` of any size; D = 512 * width.

    Args:
        args: see `SpikingNetwork`.
        deep_stem: whether two more convolutions and a pooling follow the first convolution.
        kwargs: see `SpikingNetwork`.
    """

    any_size = True
    default_norm = "tdbn_fixed"
    preset: ClassVar[Keywords] = {"weight_init": "kaiming"}
    neuron: ClassVar[Keywords] = {
        "node_type": "UnitLIFNode",
        "threshold": 0.5,
        "decay": 0.25,
        "act_fun": "Dspike",
        "temperature": 3.0,
    }

    def __init__(self, *args: Any, deep_stem: bool = False, **kwargs: Any) -> None:
        self.deep_stem = deep_stem
        super().__init__(*args, **kwargs)

    def build(self) -> None:
        """Make the layers."""
        channels = self.channels(64)
        self.conv1 = self.conv(self.in_chans, channels, 3, padding=1)
        self.bn1, self.node1 = self.make_norm(channels), self.make_node()
        if self.deep_stem:
            self.conv2 = self.conv(channels, channels, 3, padding=1)
            self.bn2, self.node2 = self.make_norm(channels), self.make_node()
            self.conv3 = self.conv(channels, channels, 3, padding=1)
            self.bn3, self.node3 = self.make_norm(channels), self.make_node()
            self.pool1 = self.pool(2)
        for stage in (1, 2, 3, 4):
            out, blocks = self.channels(32 * 2**stage), []
            for stride in (2 if stage > 1 else 1, 1):
                shortcut = stride != 1 or channels != out
                alpha = HALF if shortcut else 1.0
                blocks.append(Block(self, channels, out, stride, shortcut, alpha, pooled=True))
                channels = out
            gates = self.make_attention(channels) if stage > 2 else []
            setattr(self, f"layer{stage}", nn.Sequential(*blocks, *gates))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.feature_size = channels

    def head(self) -> nn.Module:
        """A fresh linear classifier: normal weights of deviation 1/D, no bias at first."""
        made = nn.Linear(self.feature_size, self.num_classes)
        nn.init.normal_(made.weight, std=1 / self.feature_size)
        nn.init.zeros_(made.bias)
        return made

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        return self.conv1

    def encode(self, currents: Tensor) -> Tensor:
        """Currents of the first node `[N, C, H, W]` -> pooled spikes `[N, D]`."""
        x = normalised(self.node1, self.bn1, currents)
        if self.deep_stem:
            x = normalised(self.node2, self.bn2, self.conv2(x))
            x = self.pool1(normalised(self.node3, self.bn3, self.conv3(x)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = self.run_stage(stage, x)
        return torch.flatten(self.avgpool(x), 1)
