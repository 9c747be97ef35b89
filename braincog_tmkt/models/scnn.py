"""SCNN: the small network of N-Omniglot (Transfer_SCNN of the baseline); one output layer for both streams."""

from __future__ import annotations

from torch import Tensor, nn

from ..errors import RecipeError
from . import MODELS
from .network import SpikingNetwork
from .two_stream import TwoStream


class SCNN(SpikingNetwork):
    """Two 5x5 convolutions without padding, bias or batch norm, and two linear layers; nodes in between.

    F is the spikes of the 300-unit node, D = 300 * width. It has no batch norm, so `norm` is `none`.

    Shapes: frames `[B, T, C, H, W]` of 16x16 or more (28x28 in the paper). For the arguments see `SpikingNetwork`.
    """

    least_size = 16
    default_norm = only_norm = "none"

    def build(self) -> None:
        """Make the layers."""
        first, second, hidden = (self.channels(channels) for channels in (15, 40, 300))
        self.feature = nn.Sequential(
            self.conv(self.in_chans, first, 5),
            self.make_node(),
            *self.make_attention(first),
            self.pool(2),
            self.conv(first, second, 5),
            self.make_node(),
            *self.make_attention(second),
            self.pool(2),
        )
        height, width = (((side - 4) // 2 - 4) // 2 for side in self.frame_size)
        self.fc1 = nn.Linear(second * height * width, hidden)
        self.node1 = self.make_node()
        self.feature_size = hidden

    def build_heads(self) -> None:
        """Make the one output layer, and initialise as the reference describes it (deviation D-12)."""
        self.fc2 = self.make_head()
        for layer in self.feature:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
        for linear in (self.fc1, self.fc2):
            if isinstance(linear, nn.Linear):
                nn.init.uniform_(linear.weight, -0.1, 0.1)

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        stem = self.feature[0]
        if not isinstance(stem, nn.Conv2d):
            raise RecipeError(
                f"the first layer of 'feature' must be the convolution that gets the frames, not a"
                f" {type(stem).__name__}: put other layers behind it"
            )
        return stem

    @property
    def bypassed(self) -> tuple[tuple[nn.Module, type[nn.Module]], ...]:
        """The sequence of layers, whose first convolution runs apart."""
        return ((self.feature, nn.Sequential),)

    def encode_whole(self, frames: Tensor) -> Tensor:
        """Frames `[N, C, H, W]` -> spikes `[N, D]`."""
        return self.node1(self.fc1(self.feature(frames).flatten(1)))

    def encode(self, currents: Tensor) -> Tensor:
        """Currents of the first node `[N, C, H, W]` -> spikes `[N, D]`."""
        x = self.feature[1:](currents)  # nothing here is worth computing again
        return self.node1(self.fc1(x.flatten(1)))

    def classifier(self, stream: str) -> nn.Module:
        """The one output layer."""
        return self.fc2


@MODELS.register("tmkt_scnn", label="SCNN", title="SCNN, two streams (TMKT Table 1, N-Omniglot)")
class TwoStreamSCNN(TwoStream, SCNN):
    """SCNN for two streams; aligned: the membrane after reset of the 300-unit node."""

    default_norm = "none"
    aligned = "membrane:node1"

    def __init__(self, img_size: int | tuple[int, int] = 28, **kwargs: object) -> None:
        super().__init__(img_size=img_size, **kwargs)  # type: ignore[arg-type]
