"""ResNet-19 (Zheng et al., AAAI 2021): as BrainCog, TET's code and STBP-tdBN have it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from . import MODELS
from .contract import check_whole
from .factory import TET_LIF, Keywords, Preset
from .multi_step import normalised
from .network import SpikingNetwork
from .parts import ann_by_default

HALF = 0.5**0.5
"""alpha of tdBN where two branches are added."""


class Block(nn.Module):
    """Conv-norm-node, conv-norm, the sum with a normalised shortcut, and a node.

    Args:
        make: the network whose parts are used.
        channels: of the input.
        out: channels of the output.
        stride: of the first convolution.
        shortcut: whether the input is normalised, and convolved if its shape differs; otherwise it is added as it is.
        alpha: of tdBN in the second norm.
        pooled: whether a shortcut with a stride averages over windows first, instead of leaving pixels out.
    """

    def __init__(
        self,
        make: SpikingNetwork,
        channels: int,
        out: int,
        stride: int,
        shortcut: bool,
        alpha: float = HALF,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if pooled and stride != 1:
            layers = [make.pool(stride, ceil_mode=True, count_include_pad=False), make.conv(channels, out, 1)]
        elif stride != 1 or channels != out:
            layers = [make.conv(channels, out, 1, stride=stride)]
        downsample = nn.Sequential(*layers, make.make_norm(out, HALF)) if shortcut else None
        self.conv1 = make.conv(channels, out, 3, stride=stride, padding=1)
        self.bn1 = make.make_norm(out)
        self.conv2 = make.conv(out, out, 3, padding=1)
        self.bn2 = make.make_norm(out, alpha)
        self.downsample = downsample
        self.node1, self.node2 = make.make_node(), make.make_node()

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` -> `[N, C', H', W']`."""
        out = self.bn2(self.conv2(normalised(self.node1, self.bn1, self.conv1(x))))
        result: Tensor = self.node2(out + (x if self.downsample is None else self.downsample(x)))
        return result


class ResNet19(SpikingNetwork):
    """BrainCog's ResNet-19, 12.7 million parameters with 10 classes; `norm` is `tdbn` by default.

    Where the node's output is as large as its threshold (`QCFSNode`, `SoftResetIFNode`), the threshold counts as 1 in
    tdBN's initial weight. Colours come in [0, 1] (deviation D-34).

    Shapes: frames `[B, T, C, H, W]` of any size; D = 256 * width.

    Args:
        args: see `SpikingNetwork`.
        stem_channels: of the first convolution, times `width`; 64 in TET's code.
        kwargs: see `SpikingNetwork`.
    """

    any_size = True
    default_norm = "tdbn"
    stem_alpha: ClassVar[float] = HALF
    """alpha of tdBN after the first convolution."""

    plain_identity: ClassVar[bool] = False
    """Whether a shortcut without a convolution has no norm, even in the first block of a stage."""

    stages: ClassVar[tuple[tuple[int, int], ...]] = ((128, 3), (256, 3), (512, 2))
    """Channels and blocks."""

    def __init__(self, *args: Any, stem_channels: int = 128, **kwargs: Any) -> None:
        check_whole(type(self).__name__, stem_channels=stem_channels)
        self.stem_channels = stem_channels
        super().__init__(*args, **kwargs)

    def build(self) -> None:
        """Make the layers."""
        channels = self.channels(self.stem_channels)
        self.conv1 = self.conv(self.in_chans, channels, 3, padding=1)
        self.bn1 = self.make_norm(channels, self.stem_alpha)
        for stage, (planes, blocks) in enumerate(self.stages, 1):
            layers, out = [], self.channels(planes)
            for number in range(blocks):
                stride = 2 if stage > 1 and number == 0 else 1
                changes = stride != 1 or channels != out
                shortcut = changes if self.plain_identity else number == 0
                layers.append(Block(self, channels, out, stride, shortcut))
                channels = out
            gates = self.make_attention(channels) if stage > 1 else []
            setattr(self, f"layer{stage}", nn.Sequential(*layers, *gates))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.feature_size = self.channels(256)
        self.fc1 = nn.Linear(channels, self.feature_size)

    def build_heads(self) -> None:
        """Make the last layer, and the nodes around the hidden one."""
        self.fc2 = self.make_head()
        self.node1, self.node2 = self.make_node(), self.make_node()

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        return self.conv1

    def encode(self, currents: Tensor) -> Tensor:
        """Currents of the first node `[N, C, H, W]` -> output of the 256-unit node `[N, D]`."""
        x = normalised(self.node1, self.bn1, currents)
        for stage in (self.layer1, self.layer2, self.layer3):
            x = self.run_stage(stage, x)
        result: Tensor = self.node2(self.fc1(torch.flatten(self.avgpool(x), 1)))
        return result

    def classifier(self, stream: str) -> nn.Module:
        """The last layer."""
        return self.fc2


@MODELS.register("hsd_resnet19", label="ResNet-19", title="ResNet-19, one stream (HSD Table 1, CIFAR-10)")
def hsd_resnet19(**kwargs: Any) -> ResNet19:
    """ResNet-19 (for colours `in_chans=3`), one stream; as `hsd_vggsnn`."""
    return ResNet19(**ann_by_default(kwargs))


@MODELS.register(
    "tet_resnet19",
    label="ResNet-19",
    title="ResNet-19 of TET's code, one stream",
    paper="Deng et al., ICLR 2022",
    year=2022,
)
class TETResNet19(Preset, ResNet19):
    """ResNet-19 as TET's code has it: 64 channels at first, batch norms whose weights begin at 1, TET's neuron."""

    default_norm = "shared"
    preset: ClassVar[Keywords] = {"stem_channels": 64}
    neuron: ClassVar[Keywords] = TET_LIF


@MODELS.register(
    "tdbn_resnet19",
    label="ResNet-19",
    title="ResNet-19 of STBP-tdBN, one stream (HSD Table 1, CIFAR-10)",
    paper="Zheng et al., AAAI 2021",
    year=2021,
    arxiv="2011.05280",
)
class TdBNResNet19(Preset, ResNet19):
    """ResNet-19 with tdBN's factor fixed: alpha is 1, and 1/sqrt(2) where two branches of a block are normalised.

    Shortcuts that need no convolution are added as they are. The paper's table has 128 channels at first (12,697,994
    parameters with colours and 10 classes), re-implementations 64 (12,630,858). There is no official code; the layers
    are those of thiswinex/STBP-simple.

    Args:
        args: see `SpikingNetwork`.
        spike_output: whether the last layer has a node, as in STBP-simple: the mean logits are rates then. The paper
            takes the mean of the last layer's real-valued outputs.
        kwargs: see `ResNet19`.
    """

    default_norm = "tdbn_fixed"
    stem_alpha = 1.0
    plain_identity = True
    neuron: ClassVar[Keywords] = {
        "node_type": "UnitLIFNode",
        "threshold": 0.5,
        "decay": 0.25,
        "act_fun": "BackEIGateGrad",
    }

    def __init__(self, *args: Any, spike_output: bool = False, **kwargs: Any) -> None:
        self.spike_output = spike_output
        super().__init__(*args, **kwargs)

    def build_heads(self) -> None:
        """Make the last layer, and the nodes around the hidden one and perhaps behind it."""
        super().build_heads()
        if self.spike_output:
            self.node3 = self.make_node()

    def classifier(self, stream: str) -> nn.Module:
        """The last layer, with its node if it has one."""
        return nn.Sequential(self.fc2, self.node3) if self.spike_output else self.fc2
