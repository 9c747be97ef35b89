"""VGGSNN: BrainCog's `VGG_SNN` layers with two classifiers (Transfer_VGG_SNN of the baseline)."""

from typing import Any

from torch import Tensor, nn

from ..bridge import BaseConvModule
from .two_stream import TwoStream

PLAN = (64, 128, "P", 256, 256, "P", 512, 512, "P", 512, 512, "P")
"""Channels of the 3x3 convolutions; P is a 2x2 average pooling."""


class MultiStepConvModule(BaseConvModule):
    """BrainCog's conv-BN-node layer for all steps at once: its node does the normalisation, too."""

    def forward(self, x: Tensor) -> Tensor:
        """`[T*S*B, C, H, W]` -> spikes `[T*S*B, C', H, W]`."""
        return self.node(self.conv(x), self.bn)


class VGGSNN(TwoStream):
    """Eight conv-BN-node layers and one linear classifier a stream; aligned: membranes of the last node, after reset.

    Shapes: frames `[B, T, 2, H, W]`, H = W = `img_size` (a multiple of 16); D = 512 * width * (img_size / 16)^2.
    For the other arguments see `TwoStream`.

    Example:
        >>> import torch, timm, braincog_tmkt
        >>> net = timm.create_model("tmkt_vggsnn", num_classes=11, step=2, width=0.125)
        >>> net(torch.zeros(3, 2, 2, 48, 48)).shape
        torch.Size([3, 11])
    """

    least_size = 16

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        module = MultiStepConvModule if self.execution == "multi_step" else BaseConvModule
        layers: list[nn.Module] = []
        channels = self.in_chans
        for entry in PLAN:
            if isinstance(entry, str):
                layers.append(nn.AvgPool2d(2))
                continue
            wider = max(1, round(entry * self.width))
            layers.append(module(channels, wider, node=self.make_node))
            channels = wider
        self.feature = nn.Sequential(*layers)
        self.feature_size = channels * (self.img_size // 16) ** 2
        self.rgb_fc = nn.Sequential(nn.Flatten(), nn.Linear(self.feature_size, self.num_classes))
        self.dvs_fc = nn.Sequential(nn.Flatten(), nn.Linear(self.feature_size, self.num_classes))
        self.finish(aligned_node=self.feature[-2].node)

    def encode(self, x: Tensor) -> Tensor:
        """Frames `[N, 2, H, W]` -> pooled spikes `[N, D]`."""
        return self.feature(x).flatten(1)

    @property
    def first(self) -> BaseConvModule:
        """The first layer."""
        return self.feature[0]

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        stem: nn.Conv2d = self.first.conv
        return stem

    def encode_rest(self, currents: Tensor) -> Tensor:
        """Currents of the first node `[T*S*B, C, H, W]` -> pooled spikes `[T*S*B, D]`."""
        x = self.first.node(currents, self.first.bn)
        for layer in self.feature[1:]:  # a pooling keeps nothing, so there is nothing to compute again
            x = layer(x) if isinstance(layer, nn.AvgPool2d) else self.run_layer(layer, x)
        return x.flatten(1)

    def classifier(self, stream: str) -> nn.Module:
        """The linear layer of stream `mixed` or `events`."""
        return (self.rgb_fc if stream == "mixed" else self.dvs_fc)[1]
