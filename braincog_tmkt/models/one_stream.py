"""Networks of one stream, for conversion and direct training: HSD's VGG-SNN, ResNet-18 and ResNet-19."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..bridge import BaseNode, BrainCogResNet19, ResNet19Block, ThresholdDependentBatchNorm2d, node_class
from ..errors import RecipeError
from .norm import StepBatchNorm2d
from .qcfs import QCFSNode
from .resnet import ResNet18
from .soft_reset import SoftResetIFNode
from .two_stream import Blueprint, StreamOutput, TwoStream
from .vggsnn import VGGSNN

SCALED = (QCFSNode, SoftResetIFNode)
"""Nodes whose output is as large as their threshold: currents need not be brought to the threshold's scale."""


class OneStream(TwoStream):
    """A network with one classifier whose batch norm takes its statistics over all steps together.

    That is how TET, tdBN and HSD normalise, and BrainCog's networks in `layer_by_layer`; it needs all steps at once, so
    there is no `step` execution. For the arguments see `TwoStream`.

    Raises:
        RecipeError: for another execution, or if two streams are asked for.
    """

    def __init__(self, execution: str = "multi_step", **kwargs: Any) -> None:
        if execution != "multi_step":
            raise RecipeError(
                f"{type(self).__name__} normalises over all steps together, so its execution is multi_step, not"
                f" '{execution}'; the tmkt_* networks have both"
            )
        super().__init__(**kwargs)

    def finish(self, aligned_node: BaseNode | None) -> None:
        """Called once the layers exist; what only a second stream needs goes."""
        super().finish(aligned_node)
        for name in ("coefficient", "rgb_fc"):
            if hasattr(self, name):
                delattr(self, name)

    def streams(self, mixed: Tensor, events: Tensor, appearance: Tensor | None = None) -> tuple[StreamOutput, ...]:  # type: ignore[override]
        """Refuse: there is one stream."""
        raise RecipeError(
            f"{type(self).__name__} has one stream and cannot transfer from images: take a tmkt_* network for that"
        )

    def _set_layout(self, steps: int, streams: int) -> None:
        """All steps are one batch to the norms."""
        super()._set_layout(1, 1)


class HSDVGGSNN(OneStream, VGGSNN):
    """VGG-SNN of TET and HSD: the layers of BrainCog's `VGG_SNN`, 9.27 million parameters with 10 classes.

    TET's and HSD's convolutions have a bias, BrainCog's have none; in front of a batch norm it changes nothing
    (deviation D-30).
    """


class HSDResNet18(OneStream, ResNet18):
    """BrainCog's pre-activation ResNet-18, 11.2 million parameters with 10 classes."""


class MultiStepResNet19Block(ResNet19Block):
    """BrainCog's conv-tdBN-node block, whose first node does the normalisation, too."""

    def forward(self, x: Tensor) -> Tensor:
        """`[T*B, C, H, W]` -> `[T*B, C', H', W']`."""
        out = self.bn2(self.conv2(self.node1(self.conv1(x), self.bn1)))
        return self.node2(out + (x if self.downsample is None else self.downsample(x)))


class ResNet19(OneStream, BrainCogResNet19):
    """BrainCog's ResNet-19 (Zheng et al., AAAI 2021), 12.7 million parameters with 10 classes.

    Its batch norm is tdBN, which differs from the plain one in the initial weight, alpha * threshold. Where the node's
    output is as large as its threshold (`QCFSNode`, `SoftResetIFNode`) that threshold counts as 1. Colours come in
    [0, 1] (deviation D-34).

    Shapes: frames `[B, T, C, H, W]` of any size; D = 256 * width. For the arguments see `TwoStream`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.feature_size = max(1, round(256 * self.width))
        self.fc1 = nn.Linear(self.inplanes, self.feature_size)
        self.fc2 = nn.Linear(self.feature_size, self.num_classes)
        self.node1, self.node2 = self.make_node(), self.make_node()
        for layer in self.modules():
            if type(layer) is ThresholdDependentBatchNorm2d:
                layer.__class__ = StepBatchNorm2d
            elif type(layer) is ResNet19Block:
                layer.__class__ = MultiStepResNet19Block
        self.finish(aligned_node=self.node2)

    def _construct(self, plan: Blueprint) -> None:
        """Build BrainCog's layers with its own methods; its constructor knows one width only."""
        super()._construct(plan)
        self.node = self.make_node  # BrainCog's name
        scale = 1.0 if issubclass(plan.node, SCALED) else plan.node_kwargs["threshold"]
        self._norm_layer = partial(ThresholdDependentBatchNorm2d, threshold=scale, step=plan.step)
        channels = [max(1, round(planes * plan.width)) for planes in (128, 256, 512)]
        self.inplanes, self.dilation, self.groups, self.base_width = channels[0], 1, 1, 128
        self.conv1 = nn.Conv2d(plan.in_chans, self.inplanes, 3, padding=1, bias=False)
        self.bn1 = self._norm_layer(num_features=self.inplanes, alpha=0.5**0.5)
        self.layer1 = self._make_layer(ResNet19Block, channels[0], 3)
        self.layer2 = self._make_layer(ResNet19Block, channels[1], 3, stride=2)
        self.layer3 = self._make_layer(ResNet19Block, channels[2], 2, stride=2)

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        return self.conv1

    def encode_rest(self, currents: Tensor) -> Tensor:
        """Currents of the first node `[T*B, C, H, W]` -> output of the 256-unit node `[T*B, D]`."""
        x = self.node1(currents, self.bn1)
        for stage in (self.layer1, self.layer2, self.layer3):
            for block in stage:
                x = self.run_layer(block, x)
        return self.node2(self.fc1(torch.flatten(self.avgpool(x), 1)))

    def classifier(self, stream: str) -> nn.Module:
        """The last layer."""
        return self.fc2


def with_default_node(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keywords of an `hsd_*` network: an ANN to convert unless a node is named; thresholds of ANNs begin at 8."""
    node = node_class(kwargs.get("node_type", QCFSNode))
    start = {"threshold": 8.0} if issubclass(node, QCFSNode) else {}
    return {**start, **kwargs, "node_type": node}
