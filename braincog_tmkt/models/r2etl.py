"""R2ETL's VGGSNN (Zhan et al., IEEE TIP 2024): an input layer for images, one for events, and all others shared."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import RecipeError
from . import MODELS, contract
from .factory import TET_LIF, Keywords, Preset
from .hooks import divisible
from .images import in_channels
from .multi_step import MultiStep, normalised
from .network import SpikingNetwork
from .spikes import levels_of, mark, shown_rows
from .two_stream import TransferOutput
from .vggsnn import ConvLayer

SHARED = ((128, True), (256, False), (256, True), (512, False), (512, True), (512, False), (512, True))
"""Channels of the shared 3x3 convolutions, and whether each halves the side of its maps."""


@MODELS.register(
    "r2etl_vggsnn", label="VGGSNN", title="VGGSNN with an input layer for images and one for events (R2ETL)"
)
class R2ETLVGGSNN(Preset, SpikingNetwork):
    """Two input layers, seven shared convolutions, a bottleneck of 256 nodes and one real-valued classifier.

    10.4 million parameters with 101 classes. As the published network it has TET's LIF, biases and initialisation; a
    recipe states the neuron: `{node_type: UnitLIFNode, threshold: 1.0, decay: 0.5}`. In training the shared norms see
    the images, then the events, each with statistics of its own, and their running statistics move once for each.
    `event_logits` takes the events' way alone.

    Shapes: frames `[B, T, C, H, W]`, H and W of 16 or more. For other arguments see `SpikingNetwork`.

    Args:
        static_chans: channels of the images' input layer. Images of one channel are shown in all of them.
        average_pooling: whether average poolings halve the maps ("VGGSNN"); otherwise strides of 2 do ("woAP").
        across_units: put another node in front of the bottleneck's, which goes from unit to unit as if they were time
            steps. The published woAP class has it, since it hands a node to a container that hides the time axis; it
            makes the bottleneck's spikes rare (rate 0.20 becomes 0.04).
        **kwargs: see `SpikingNetwork`.

    Example:
        >>> import timm, braincog_tmkt
        >>> net = timm.create_model("r2etl_vggsnn", num_classes=5, step=2, img_size=16, width=0.125)
        >>> static, events = net.transfer_streams(torch.rand(3, 3, 16, 16), torch.rand(3, 2, 2, 16, 16))
        >>> static.logits.shape, events.first.shape, events.last.shape
        (torch.Size([2, 3, 5]), torch.Size([2, 3, 8, 16, 16]), torch.Size([2, 3, 32]))
    """

    least_size = 16
    preset: ClassVar[Keywords] = {"conv_bias": True, "weight_init": "kaiming"}
    neuron: ClassVar[Keywords] = TET_LIF

    def __init__(
        self,
        static_chans: int = 3,
        average_pooling: bool = True,
        across_units: bool = False,
        **kwargs: Any,
    ) -> None:
        contract.check_whole(type(self).__name__, static_chans=static_chans)
        self._settings = static_chans, average_pooling, across_units  # `build` runs in the base's constructor
        super().__init__(**kwargs)

    def build(self) -> None:
        """Make the layers."""
        static_chans, average_pooling, across_units = self._settings
        channels = self.channels(64)
        self.rgb_input = ConvLayer(self, static_chans, channels)
        self.dvs_input = ConvLayer(self, self.in_chans, channels)
        layers: list[nn.Module] = []
        for number, halves in SHARED:
            out = self.channels(number)
            layers.append(ConvLayer(self, channels, out, stride=2 if halves and not average_pooling else 1))
            layers += [self.pool(2)] if halves and average_pooling else []
            channels = out
        self.features = nn.Sequential(*layers)
        height, width = (side // 16 if average_pooling else -(-side // 16) for side in self.frame_size)
        self.feature_size = self.channels(256)
        self.bottleneck = nn.Linear(channels * height * width, self.feature_size)
        self.unit_node = self.make_node() if across_units else None
        self.bottleneck_node = self.make_node()

    def build_heads(self) -> None:
        """Make the one classifier."""
        self.dvs_fc = self.make_head()

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution of events."""
        return self.dvs_input.conv

    @property
    def bypassed(self) -> tuple[tuple[nn.Module, type[nn.Module]], ...]:
        """The input layer of events, whose convolution runs apart."""
        return ((self.dvs_input, ConvLayer),)

    def encode_whole(self, frames: Tensor) -> Tensor:
        """Frames of events `[N, C, H, W]` -> spikes of the bottleneck `[N, D]`."""
        return self.encode_shared(self.dvs_input(frames))

    def encode(self, currents: Tensor) -> Tensor:
        """Currents of the first node of events `[N, C, H, W]` -> spikes of the bottleneck `[N, D]`."""
        return self.encode_shared(normalised(self.dvs_input.node, self.dvs_input.bn, currents))

    def encode_shared(self, spikes: Tensor) -> Tensor:
        """Spikes of an input layer `[N, C, H, W]` -> spikes of the bottleneck `[N, D]`."""
        for layer in self.features:
            spikes = layer(spikes) if isinstance(layer, nn.AvgPool2d) else self.run_layer(layer, spikes)
        currents = self.bottleneck(spikes.flatten(1))
        return self.bottleneck_node(currents if self.unit_node is None else _across_units(self.unit_node, currents))

    def transfer_streams(
        self, static: Tensor, events: Tensor, first: str = "spikes", last: str = "potential"
    ) -> tuple[TransferOutput, TransferOutput]:
        """Images and events through their own input layers and all shared ones, the images first.

        Args:
            static: images `[B, C, H, W]`, shown at all steps.
            events: `[B, T, C, H, W]`.
            first: what is wanted of the input layers' nodes, `spikes` or `potential` (before the reset).
            last: likewise, of the bottleneck's node.
        """
        static, frames = in_channels(static, self.rgb_input.conv.in_channels), self.encoded(events).flatten(0, 1)
        contract.check_frames(self, frames, len(frames) // len(static))
        if static.shape[-2:] != frames.shape[-2:]:
            raise RecipeError(
                f"images {[*static.shape]} and events {[*events.shape]} have different sizes: give both the same"
                " height and width"
            )
        taps = f"{first}:rgb_input.node", f"{first}:dvs_input.node", f"{last}:bottleneck_node"
        run = self._transfer_multi_step if self.execution == "multi_step" else self._transfer_step
        with self.taps(*taps) as seen:
            features = self.tapped_pass(self.step, lambda: run(static, frames))
        logits = [self.classified("events", part) for part in features]
        self._release()
        of_images, of_events, both = (seen[tap] for tap in taps)
        one, other = map(TransferOutput, logits, (of_images, of_events), both.unflatten(1, (2, -1)).unbind(1))
        return one, other

    def _transfer_multi_step(self, static: Tensor, frames: Tensor) -> list[Tensor]:
        """Features `[T, B, D]` of images `[B, C, H, W]` and of events `[T*B, C, H, W]`."""
        contract.lay_out(self, all_steps=True, steps=self.step, streams=2)
        for layer in (self.rgb_input, self.dvs_input):
            for norm in contract.lay_out(layer, all_steps=True, steps=self.step, streams=1):
                norm.has_events = layer is self.dvs_input
        self.reset()
        shown = torch.arange(len(static), device=static.device).repeat(self.step)
        spikes = [_spikes(self.rgb_input, static, shown), _spikes(self.dvs_input, frames)]
        both = torch.stack([part.unflatten(0, (self.step, -1)) for part in spikes], 1).flatten(0, 2)
        if all(levels_of(part) == 1 for part in spikes):
            both = mark(both, 1)
        return [*self.encode_shared(both).unflatten(0, (self.step, 2, -1)).unbind(1)]

    def _transfer_step(self, static: Tensor, frames: Tensor) -> list[Tensor]:
        timed = contract.lay_out(self, all_steps=False, steps=1, streams=1)
        features = []
        for layer, shown in (
            (self.rgb_input, static.expand(self.step, *static.shape)),
            (self.dvs_input, frames.unflatten(0, (self.step, -1))),
        ):
            self.reset()
            parts = []
            for step, frame in enumerate(shown):
                contract.begin_step(timed, step, layer is self.dvs_input)
                parts.append(self.encode_shared(layer(frame)))
            features.append(torch.stack(parts))
        return features


def _spikes(layer: ConvLayer, frames: Tensor, rows: Tensor | None = None) -> Tensor:
    """Spikes of an input layer for frames, or for the rows of them that are shown, which are convolved once."""
    frames = frames.contiguous(memory_format=torch.channels_last)
    if not divisible(layer, ConvLayer):
        spikes: Tensor = layer(frames if rows is None else frames.index_select(0, rows))
        return spikes
    currents = layer.conv(frames)
    return normalised(layer.node, layer.bn, currents if rows is None else shown_rows(currents, rows))


def _across_units(node: Any, currents: Tensor) -> Tensor:
    """Spikes `[N, D]` of a node that takes the D units of every row `[N, D]` for time steps."""
    node.n_reset()
    units, sees_all_steps = currents.t(), isinstance(node, MultiStep)
    if not sees_all_steps:
        return torch.stack([node(unit) for unit in units], 1)
    steps, node.steps = node.steps, len(units)
    spikes: Tensor = node(units.reshape(-1, 1))
    node.steps = steps
    return spikes.view(units.shape).t()
