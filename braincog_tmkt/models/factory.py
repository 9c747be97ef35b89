"""Makes the parts of a network (convolutions, poolings, nodes, norms, attention) with the network's keywords."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import nn

from ..bridge import BaseModule, BaseNode
from .multi_step import multi_step_node
from .parts import taken
from .spikes import SpikeConv2d, SpikeMaxPool2d, SpikePool2d

Keywords = Mapping[str, Any]


class PartFactory(BaseModule):
    """Base of `network.SpikingNetwork`, which sets what is declared here: what the constructors of layers call."""

    num_classes: int
    head: Callable[[], nn.Module]
    step: int
    width: float
    execution: str
    conv_bias: bool
    weight_init: str
    node_kwargs: dict[str, Any]
    part_kwargs: dict[str, Any]
    attention_places: int
    _node: type[BaseNode]
    _norm: Callable[..., nn.Module]
    _attention: Callable[..., nn.Module | None]

    def channels(self, number: int) -> int:
        """A number of channels times `width`."""
        return max(1, round(number * self.width))

    def conv(self, channels: int, out: int, kernel: int, bias: bool | None = None, **kwargs: Any) -> nn.Conv2d:
        """A convolution, with a bias if `conv_bias` is set; in `multi_step` one that keeps spikes as bytes."""
        kind = SpikeConv2d if self.execution == "multi_step" else nn.Conv2d
        made = kind(channels, out, kernel, bias=self.conv_bias if bias is None else bias, **kwargs)
        if self.weight_init == "kaiming":
            nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
        return made

    def pool(self, side: int, **kwargs: Any) -> nn.AvgPool2d:
        """An average pooling of windows that do not overlap."""
        return (SpikePool2d if self.execution == "multi_step" else nn.AvgPool2d)(side, **kwargs)

    def max_pool(self, side: int) -> nn.MaxPool2d:
        """A maximum pooling of windows that do not overlap; of equal maxima, the first gets the gradient."""
        return (SpikeMaxPool2d if self.execution == "multi_step" else nn.MaxPool2d)(side)

    def make_node(self, kind: type[BaseNode] | None = None, **keywords: Any) -> BaseNode:
        """A node with the network's keywords.

        Args:
            kind: its class for one step at a time; None is the network's.
            keywords: of its own, before those of the network.
        """
        chosen: Any = kind or self._node
        given = taken(chosen, {**self.node_kwargs, "step": self.step, **keywords})
        made: BaseNode = (multi_step_node(chosen) if self.execution == "multi_step" else chosen)(**given)
        return made

    def make_norm(self, channels: int, alpha: float = 1.0) -> nn.Module:
        """A norm with the network's keywords.

        Args:
            channels: C.
            alpha: factor that tdBN has beside the threshold.
        """
        threshold = 1.0 if getattr(self._node, "fires_threshold", False) else self.node_kwargs["threshold"]
        hints = {"gain": alpha * threshold, "steps": self.step, "step": self.step}
        return self._norm(channels, **taken(self._norm, {**self.part_kwargs, **hints}))

    def make_head(self) -> nn.Module:
        """A `head`; without classes nothing, as in timm: the features stay as they are."""
        return self.head() if self.num_classes else nn.Identity()

    def make_attention(self, channels: int) -> list[nn.Module]:
        """The attention for outputs of nodes of some channels, or nothing, to be added to a list of layers."""
        self.attention_places += 1
        made = self._attention(channels, **taken(self._attention, {**self.part_kwargs, "steps": self.step}))
        return [] if made is None else [made]


class Preset(PartFactory):
    """Mixed into a network, gives it other defaults: `class Published(Preset, MyLayers)`.

    Recipes always state a node (`LIFNode` if they say nothing), so there `neuron` does not count: a recipe has the
    published neuron in its `model` section.
    """

    preset: ClassVar[Keywords] = {}
    """Keywords that are used unless others are given."""

    neuron: ClassVar[Keywords] = {}
    """Likewise, unless a `node_type` is given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **self.filled(kwargs))

    def notes(self) -> list[str]:
        """A sentence if the network runs with another node than its published code."""
        published, node = self.neuron.get("node_type"), self._node.__name__
        if published in (None, node):
            return []
        keys = ", ".join(f"{key}: {value}" for key, value in self.neuron.items())
        return [f"{type(self).__name__} runs with {node}; its published code has {{{keys}}} in the model section"]

    @classmethod
    def filled(cls, settings: Keywords) -> dict[str, Any]:
        """Keywords with those of the preset below them."""
        return {**({} if "node_type" in settings else cls.neuron), **cls.preset, **settings}


TET_LIF: Keywords = {"node_type": "UnitLIFNode", "threshold": 1.0, "decay": 0.5, "act_fun": "QGateGrad"}
"""The neuron of TET's code, see `nodes.lif`."""
