"""ResNet-18: BrainCog's pre-activation spiking ResNet with two classifiers (Transfer_ResNet18 of the baseline)."""

from typing import Any

import torch
from torch import Tensor, nn

from ..bridge import BaseNode, BasicBlock, ResNet
from .two_stream import Blueprint, TwoStream


class MultiStepBlock(BasicBlock):
    """BrainCog's BN-node-conv block for all steps at once: its nodes do the normalisation, too."""

    def forward(self, x: Tensor) -> Tensor:
        """`[T*S*B, C, H, W]` -> `[T*S*B, C', H', W']`."""
        out = self.conv1(self.node1(x, self.bn1))
        out = self.conv2(self.node2(out, self.bn2))
        if self.downsample is None:
            return out + x
        norm, node, conv = self.downsample
        return out + conv(node(x, norm))


class ResNet18(TwoStream, ResNet):
    """BN-node-conv blocks, real-valued sums, global average pooling; no node after the last batch norm.

    The aligned feature is the pooled vector itself, real-valued and no membrane, as in the baseline.

    Shapes: frames `[B, T, 2, H, W]` of any size; D = 512 * width. For the arguments see `TwoStream`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        del self.fc
        self.feature_size = self.inplanes
        self.rgb_fc = nn.Linear(self.feature_size, self.num_classes)
        self.dvs_fc = nn.Linear(self.feature_size, self.num_classes)
        self.finish(aligned_node=None)
        if self.execution == "multi_step":
            self._see_all_steps()

    def _construct(self, plan: Blueprint) -> None:
        settings = {key: value for key, value in plan.node_kwargs.items() if key not in ("step", "layer_by_layer")}
        # The data set name only chooses the stem: 3x3, 2 or 3 channels. BrainCog builds none for 'CEPDVS'.
        dataset = "dvsc10" if plan.in_chans == 2 else "cifar10"
        settings |= {"node_type": plan.node, "dataset": dataset, "inplanes": max(1, round(64 * plan.width))}
        settings |= {"num_classes": plan.num_classes, "step": plan.step, "encode_type": plan.encode_type}
        ResNet.__init__(self, BasicBlock, [2, 2, 2, 2], **settings)
        for layer in self.modules():
            if isinstance(layer, BaseNode):
                layer.layer_by_layer = plan.node_kwargs["layer_by_layer"]

    def _see_all_steps(self) -> None:
        """Turn the fresh blocks, which BrainCog's constructor builds of its own class only, into multi-step ones."""
        for block in self._blocks():
            block.__class__ = MultiStepBlock

    def _blocks(self) -> list[nn.Module]:
        return [block for stage in (self.layer1, self.layer2, self.layer3, self.layer4) for block in stage]

    def encode(self, x: Tensor) -> Tensor:
        """Frames `[N, 2, H, W]` -> pooled output of the last batch norm `[N, D]`."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        return torch.flatten(self.avgpool(self.bn1(x)), 1)

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        return self.conv1

    def encode_rest(self, currents: Tensor) -> Tensor:
        """The first block's input `[T*S*B, C, H, W]` -> pooled output of the last batch norm `[T*S*B, D]`."""
        x = currents
        for block in self._blocks():
            x = self.run_layer(block, x)
        return torch.flatten(self.avgpool(self.bn1(x)), 1)

    def classifier(self, stream: str) -> nn.Module:
        """The linear layer of stream `mixed` or `events`."""
        return self.rgb_fc if stream == "mixed" else self.dvs_fc
