"""The networks of SLTT's code (Meng et al., ICCV 2023): VGG-11 for event frames, ResNet-18 for images."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from . import MODELS
from .all_steps import dropout
from .factory import Keywords, Preset
from .multi_step import normalised
from .network import SpikingNetwork
from .vggsnn import VGGSNN, ConvLayer

LIF: Keywords = {
    "node_type": "UnitLIFNode",
    "threshold": 1.0,
    "decay": 1 - 1 / 1.1,
    "inclusive": True,
    "soft_reset": True,
    "act_fun": "QGateGrad",
    "mem_detach": True,
}
"""The neuron of SLTT's code, see `nodes.lif`: no gradient from step to step."""

PLAN = "64-AP-128-AP-256-256-AP-512-512-AP-512-512-AP"
SIDE = 7
"""Of the map that the classifier of VGG-11 sees."""


@MODELS.register(
    "sltt_vgg11",
    label="VGG-11",
    title="VGG-11 of SLTT's code, one stream (HSD Table 2)",
    paper="Meng et al., ICCV 2023",
    year=2023,
    arxiv="2302.14311",
)
class SLTTVGG11(Preset, VGGSNN):
    """VGG-11 as SLTT's code has it, 9.48 million parameters with 10 classes; HSD's Table 2 calls it VGG-SNN.

    Convolutions have a bias. The last map is brought to 7x7 pixels, and the classifier has a weight for each: the one
    pixel that frames of 48x48 leave is there 49 times. Without a `node_type` it has SLTT's neuron. A recipe states it:
    `{node_type: UnitLIFNode, threshold: 1.0, decay: 0.09090909090909094, inclusive: true, soft_reset: true,
    act_fun: QGateGrad, mem_detach: true}`.

    Shapes: frames `[B, T, C, H, W]` of 32x32 or more; D = 25,088 * width.

    Args:
        args: see `SpikingNetwork`.
        dropout: share of the spikes of every node that is off in training, see `all_steps.SampleDropout`.
        kwargs: see `VGGSNN` and `SpikingNetwork`.

    Raises:
        RecipeError: for a dropout outside [0, 1).
    """

    default_norm = "step"
    preset: ClassVar[Keywords] = {"plan": PLAN, "conv_bias": True, "weight_init": "kaiming"}
    neuron: ClassVar[Keywords] = LIF

    def __init__(self, *args: Any, dropout: float = 0.0, **kwargs: Any) -> None:
        self.dropout = dropout
        super().__init__(*args, **kwargs)

    def build(self) -> None:
        """Make the layers."""
        super().build()
        channels = [layer for layer in self.feature if isinstance(layer, ConvLayer)][-1].conv.out_channels
        self.feature.append(nn.AdaptiveAvgPool2d(SIDE))
        self.feature_size, self.any_size = channels * SIDE**2, True

    def conv_layers(self, channels: int, out: int, stride: int) -> list[nn.Module]:
        """A convolution with its norm and node, and a dropout if there is one."""
        return [*super().conv_layers(channels, out, stride), *dropout(self.dropout)]

    def head(self) -> nn.Module:
        """The classifier, with small weights and no bias at first."""
        made: Any = super().head()
        nn.init.normal_(made[-1].weight, std=0.01)
        nn.init.zeros_(made[-1].bias)
        return made


class Block(nn.Module):
    """Twice norm, node and 3x3 convolution, beside a shortcut that starts from the first node's spikes.

    Args:
        make: the network whose parts are used.
        channels: of the input.
        out: channels of the output.
        stride: of the first convolution.
        share: of the second node's spikes that is off in training.
    """

    def __init__(self, make: SpikingNetwork, channels: int, out: int, stride: int, share: float) -> None:
        super().__init__()
        self.bn1, self.node1 = make.make_norm(channels), make.make_node()
        self.conv1 = make.conv(channels, out, 3, stride=stride, padding=1)
        self.bn2, self.node2 = make.make_norm(out), make.make_node()
        self.dropout = nn.Sequential(*dropout(share))
        self.conv2 = make.conv(out, out, 3, padding=1)
        same = stride == 1 and channels == out
        self.shortcut: nn.Module = nn.Identity() if same else make.conv(channels, out, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` -> `[N, C', H', W']`."""
        spikes = normalised(self.node1, self.bn1, x)
        out = normalised(self.node2, self.bn2, self.conv1(spikes))
        result: Tensor = self.conv2(self.dropout(out)) + self.shortcut(spikes)
        return result


@MODELS.register(
    "sltt_resnet18",
    label="ResNet-18",
    title="ResNet-18 of SLTT's code, one stream (HSD Table 1)",
    paper="Meng et al., ICCV 2023",
    year=2023,
    arxiv="2302.14311",
)
class SLTTResNet18(Preset, SpikingNetwork):
    """ResNet-18 as SLTT's code has it, 11.18 million parameters with colours and 10 classes.

    Norm and node come first in a block, and the shortcut starts behind them, from the spikes: nothing but spikes and
    their convolutions is added up. Convolutions have a bias, but the first. After the last block there are a norm, a
    node, an average over all pixels, and the classifier. The neuron is that of `sltt_vgg11`, and is stated likewise.

    Shapes: frames `[B, T, C, H, W]` of any size; the published code takes 32x32 alone. D = 512 * width.

    Args:
        args: see `SpikingNetwork`.
        dropout: share of the second node's spikes in every block, and of the classifier's input, that is off in
            training, see `all_steps.SampleDropout`.
        kwargs: see `SpikingNetwork`.

    Raises:
        RecipeError: for a dropout outside [0, 1).
    """

    any_size = True
    default_norm = "step"
    preset: ClassVar[Keywords] = {"conv_bias": True, "weight_init": "kaiming"}
    neuron: ClassVar[Keywords] = LIF
    planes: ClassVar[tuple[int, ...]] = (64, 128, 256, 512)

    def __init__(self, *args: Any, dropout: float = 0.0, **kwargs: Any) -> None:
        self.dropout = dropout
        super().__init__(*args, **kwargs)

    def build(self) -> None:
        """Make the layers."""
        channels = self.channels(self.planes[0])
        self.conv1 = self.conv(self.in_chans, channels, 3, padding=1, bias=False)
        for stage, planes in enumerate(self.planes, 1):
            out = self.channels(planes)
            first = Block(self, channels, out, 1 if stage == 1 else 2, self.dropout)
            setattr(self, f"layer{stage}", nn.Sequential(first, Block(self, out, out, 1, self.dropout)))
            channels = out
        self.bn1, self.node1 = self.make_norm(channels), self.make_node()
        self.avgpool, self.drop = nn.AdaptiveAvgPool2d(1), nn.Sequential(*dropout(self.dropout))
        self.feature_size = channels

    def head(self) -> nn.Module:
        """The classifier, without a bias at first."""
        made = nn.Linear(self.feature_size, self.num_classes)
        nn.init.zeros_(made.bias)
        return made

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        return self.conv1

    def encode(self, currents: Tensor) -> Tensor:
        """The first block's input `[N, C, H, W]` -> pooled spikes of the last node `[N, D]`."""
        x = currents
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = self.run_stage(stage, x)
        pooled: Tensor = self.drop(torch.flatten(self.avgpool(normalised(self.node1, self.bn1, x)), 1))
        return pooled
