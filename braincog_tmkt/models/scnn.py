"""SCNN: the small network of N-Omniglot (Transfer_SCNN of the baseline); one output layer for both streams."""

from typing import Any

from torch import Tensor, nn

from .two_stream import TwoStream


class SCNN(TwoStream):
    """Two 5x5 convolutions without padding, bias or batch norm, and two linear layers; nodes in between.

    The aligned feature is the membrane after reset of the 300-unit node; F is that node's spikes, D = 300 * width.

    Shapes: frames `[B, T, 2, H, W]`, H = W = `img_size` (28 in the paper). For the arguments see `TwoStream`.
    """

    least_size = 16

    def __init__(self, img_size: int = 28, **kwargs: Any) -> None:
        super().__init__(img_size=img_size, **kwargs)
        first, second, hidden = (max(1, round(channels * self.width)) for channels in (15, 40, 300))
        self.feature = nn.Sequential(
            nn.Conv2d(self.in_chans, first, 5, bias=False),
            self.make_node(),
            nn.AvgPool2d(2),
            nn.Conv2d(first, second, 5, bias=False),
            self.make_node(),
            nn.AvgPool2d(2),
        )
        side = ((img_size - 4) // 2 - 4) // 2
        self.fc1 = nn.Linear(second * side**2, hidden)
        self.node1 = self.make_node()
        self.fc2 = nn.Linear(hidden, self.num_classes)
        self.feature_size = hidden
        self._initialise()
        self.finish(aligned_node=self.node1)

    def _initialise(self) -> None:
        """As the reference describes it (deviation D-12)."""
        for layer in self.feature:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
        for layer in (self.fc1, self.fc2):
            nn.init.uniform_(layer.weight, -0.1, 0.1)

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        stem = self.feature[0]
        assert isinstance(stem, nn.Conv2d)
        return stem

    def encode_rest(self, currents: Tensor) -> Tensor:
        """Currents of the first node `[N, C, H, W]` -> spikes `[N, D]`."""
        node, pool, conv, next_node, next_pool = self.feature[1:]
        x = pool(node(currents))
        x = next_pool(next_node(conv(x)))  # nothing here is worth computing again
        return self.node1(self.fc1(x.flatten(1)))

    def classifier(self, stream: str) -> nn.Module:
        """The one output layer."""
        return self.fc2
