"""VGG-16 for small images, in the form that QCFS's code converts (Bu et al., ICLR 2022)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

from torch import Tensor, nn

from ..errors import RecipeError
from . import MODELS
from .factory import Keywords, Preset
from .parts import ann_by_default
from .vggsnn import VGGSNN

PLAN = "64-64-AP-128-128-AP-256-256-256-AP-512-512-512-A-AP-512-512-512-A-AP"


class VGG16(Preset, VGGSNN):
    """Thirteen convolutions with biases and average pools, two hidden linear layers of 4096 units, and the classifier.

    33,646,681 parameters with 32x32 colours, 10 classes and QCFS nodes (the published count). Shapes: frames
    `[B, T, C, H, W]` of 32x32 or more; D = 4096 * width.

    Args:
        args: see `SpikingNetwork`.
        dropout: behind every node, independent at every step; 0 in the published script.
        kwargs: see `VGGSNN`.

    Raises:
        RecipeError: for a dropout outside [0, 1), and as `VGGSNN`.
    """

    preset: ClassVar[Keywords] = {"plan": PLAN, "conv_bias": True, "weight_init": "kaiming"}

    def __init__(self, *args: Any, dropout: float = 0.0, **kwargs: Any) -> None:
        if not 0 <= dropout < 1:
            raise RecipeError(f"{type(self).__name__}: dropout must be from 0 to below 1, not {dropout}")
        self.dropout = dropout
        super().__init__(*args, **kwargs)

    def build(self) -> None:
        """Make the layers."""
        super().build()
        sizes = [self.feature_size, self.channels(4096), self.channels(4096)]
        hidden: list[nn.Module] = []
        for size, units in pairwise(sizes):
            hidden += [_linear(size, units), self.make_node(), *self._drop()]
        self.hidden, self.feature_size = nn.Sequential(*hidden), sizes[-1]

    def head(self) -> nn.Module:
        """A linear classifier."""
        return _linear(self.feature_size, self.num_classes)

    def encode_whole(self, frames: Tensor) -> Tensor:
        """Frames `[N, C, H, W]` -> spikes `[N, D]` of the last hidden layer."""
        return self.run_stage(self.hidden, super().encode_whole(frames))

    def encode(self, currents: Tensor) -> Tensor:
        """Currents of the first node `[N, C, H, W]` -> spikes `[N, D]` of the last hidden layer."""
        return self.run_stage(self.hidden, super().encode(currents))

    def conv_layers(self, channels: int, out: int, stride: int) -> list[nn.Module]:
        """A convolution with its norm and node, and a dropout if there is one."""
        return [*super().conv_layers(channels, out, stride), *self._drop()]

    def _drop(self) -> list[nn.Module]:
        return [nn.Dropout(self.dropout)] if self.dropout else []


def _linear(size: int, units: int) -> nn.Linear:
    """A linear layer whose bias begins at 0."""
    made = nn.Linear(size, units)
    nn.init.zeros_(made.bias)
    return made


@MODELS.register(
    "qcfs_vgg16", label="VGG-16", title="VGG-16 of QCFS's code, one stream", paper="Bu et al., ICLR 2022", year=2022
)
def qcfs_vgg16(**kwargs: Any) -> VGG16:
    """VGG-16 (for colours `in_chans=3`): an ANN of `QCFSNode` unless `node_type` says otherwise."""
    return VGG16(**ann_by_default(kwargs))
