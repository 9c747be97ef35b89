"""ResNet-20 without norms, the network of hybrid training (Rathi et al. 2020): as an ANN, and as the SNN made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import RecipeError
from . import MODELS, contract
from .all_steps import SampleDropout
from .factory import Keywords, Preset
from .network import SpikingNetwork
from .nodes.stdb import STDBNode


def signed_poisson(x: Tensor, rate: float, uniforms: Tensor | None = None) -> Tensor:
    """Poisson spikes with signs: `sign(x)` with the probability `rate |x|`, 0 otherwise.

    Args:
        x: numbers in [-1, 1], of any shape; larger ones count as 1 / rate.
        rate: probability of a spike of 1; 0.9 in the published code of the ResNets, 1 in that of the VGGs.
        uniforms: in [0, 1), of the shape of x; drawn from torch's generator if None.

    Example:
        >>> signed_poisson(torch.tensor([-1.0, 0.5, 0.5]), 0.9, torch.tensor([0.9, 0.4, 0.5]))
        tensor([-1., 1., 0.])
    """
    drawn = torch.rand_like(x) if uniforms is None else uniforms
    return x.sign() * (drawn <= x.abs() * rate)


class Block(nn.Module):
    """Conv-node-dropout-conv, the sum with the input or its 1x1 convolution, and a node.

    Where nodes fire a step later, the sum has the input of this step, and what the branch makes of the step before.

    Args:
        make: the network whose parts are used.
        channels: of the input.
        out: channels of the output.
        stride: of the first convolution.
    """

    def __init__(self, make: NormFreeResNet, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            make.conv(channels, out, 3, stride=stride, padding=1),
            make.make_node(),
            make.make_dropout(),
            make.conv(out, out, 3, padding=1),
        )
        changes = stride != 1 or channels != out
        self.identity = nn.Sequential(*([make.conv(channels, out, 1, stride=stride)] if changes else []))
        self.node = make.make_node()

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` -> `[N, C', H', W']`."""
        result: Tensor = self.node(self.residual(x) + self.identity(x))
        return result


class NormFreeResNet(SpikingNetwork):
    """A stem of three convolutions and a pooling, four stages of two blocks, and a linear layer; no norm, no bias.

    11,253,440 parameters with colours of 32x32 and 10 classes, as published. The sum of the logits over all steps is
    the potential of an output layer that only integrates.

    Shapes: frames `[B, T, C, H, W]` of 2x2 or more; D = 512 * width * H/16 * W/16, sides rounded up.

    Args:
        args: see `SpikingNetwork`.
        dropout: share of the spikes of a layer that is off in training: after the first two convolutions, and in each
            block. Masks are drawn for each sample and forward pass, and are the same at all steps.
        input_mean: what is subtracted from frames, one number or one for each channel.
        input_deviation: what they are divided by then, likewise.
        rate: of Poisson spikes that stand for the frames, see `signed_poisson`; None: the numbers themselves. They come
            from torch's generator.
        kwargs: see `SpikingNetwork`.

    Raises:
        RecipeError: for a dropout outside [0, 1), a deviation or a rate that is not above 0, or another number of means
            or deviations.
    """

    default_norm = only_norm = "none"
    least_size = 2

    input_mean: Tensor
    input_deviation: Tensor

    stage_channels: ClassVar[tuple[int, ...]] = (64, 128, 256, 512)

    delay: ClassVar[int] = 11
    """Layers of nodes on the shortest way through: with nodes that fire a step later, so many steps have no output."""

    def __init__(
        self,
        *args: Any,
        dropout: float = 0.2,
        input_mean: Sequence[float] = (0.0,),
        input_deviation: Sequence[float] = (1.0,),
        rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.set_dropout(dropout)
        self.set_input(input_mean, input_deviation, rate)

    def build(self) -> None:
        """Make the layers."""
        channels, layers = self.in_chans, []
        for place in range(3):
            layers += [self.conv(channels, self.channels(64), 3, padding=1), self.make_node()]
            layers.append(self.make_dropout() if place < 2 else self.pool(2))
            channels = self.channels(64)
        self.pre_process = nn.Sequential(*layers)
        sides = [side // 2 for side in self.frame_size]
        for stage, planes in enumerate(self.stage_channels, 1):
            out, stride = self.channels(planes), 1 if stage == 1 else 2
            blocks = Block(self, channels, out, stride), Block(self, out, out, 1)
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            channels, sides = out, [-(-side // stride) for side in sides]
        self.feature_size = channels * sides[0] * sides[1]

    def head(self) -> nn.Module:
        """A linear classifier without a bias, whose weights begin small."""
        made = nn.Linear(self.feature_size, self.num_classes, bias=False)
        nn.init.normal_(made.weight, std=0.01)
        return made

    def make_dropout(self) -> nn.Module:
        """The dropout of a layer, whose share `set_dropout` sets."""
        return SampleDropout(0.0)

    def set_dropout(self, share: float) -> None:
        """Train with another share of the spikes off from now on; raises a RecipeError as the constructor does."""
        if not 0 <= share < 1:
            raise RecipeError(f"{type(self).__name__}: dropout must be from 0 to below 1, not {share}")
        for layer in self.modules():
            if isinstance(layer, SampleDropout):
                layer.p = share

    def set_input(self, mean: Sequence[float], deviation: Sequence[float], rate: float | None) -> None:
        """Scale frames otherwise from now on, and turn them into Poisson spikes or not; as in the constructor."""
        for key, values in (("input_mean", mean), ("input_deviation", deviation)):
            numbers = not isinstance(values, str) and all(isinstance(value, int | float) for value in values)
            if not numbers or len(values) not in (1, self.in_chans):
                raise RecipeError(
                    f"{type(self).__name__}: {key} must be a list of one number, or of one for each of the"
                    f" {self.in_chans} channels, not {values!r}"
                )
            held = torch.tensor(values, dtype=torch.float32, device=self.stem.weight.device).view(-1, 1, 1)
            self.register_buffer(key, held, persistent=False)
        if not min(deviation) > 0:
            raise RecipeError(f"{type(self).__name__}: input_deviation must be above 0, not {deviation!r}")
        if rate is not None and not 0 < rate <= 1:
            raise RecipeError(f"{type(self).__name__}: rate must be above 0 and at most 1, not {rate}")
        self.rate = rate

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        stem = self.pre_process[0]
        assert isinstance(stem, nn.Conv2d)
        return stem

    @property
    def bypassed(self) -> tuple[tuple[nn.Module, type[nn.Module]], ...]:
        """The first layers, of which the first convolution runs apart."""
        return ((self.pre_process, nn.Sequential),)

    def event_logits(self, events: Tensor) -> Tensor:
        """Per-step logits `[T, B, K]`, see `SpikingNetwork.event_logits`; Poisson spikes are drawn for each step."""
        events = self._scaled(events)
        single = events.dim() == 5 and events.shape[1] == 1
        return super().event_logits(events[:, 0] if single and self.rate is not None else events)

    def encoded(self, inputs: Tensor) -> Tensor:
        """Frames `[T, B, C, H, W]` of scaled inputs, as spikes if there is a `rate`."""
        return self._spikes(super().encoded(inputs))

    def encode(self, currents: Tensor) -> Tensor:
        """Currents of the first node `[N, C, H, W]` -> spikes `[N, D]`."""
        return self._stages(self.run_layer(self.pre_process[1:], currents))

    def encode_whole(self, frames: Tensor) -> Tensor:
        """Frames `[N, C, H, W]` -> spikes `[N, D]`."""
        return self._stages(self.run_layer(self.pre_process, frames))

    def _stages(self, x: Tensor) -> Tensor:
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = self.run_stage(stage, x)
        return x.flatten(1)

    @torch.no_grad()
    def balance(self, events: Tensor, steps: int, scaling: float = 1.0) -> list[float]:
        """Set the thresholds of the first three nodes by the largest currents that they get, one after the other.

        The nodes in front of the one that is watched fire with the thresholds that were found for them, and without
        dropout. All other thresholds stay.

        Args:
            events: frames `[B, F, C, H, W]`; each is shown for `steps / F` steps, as Poisson spikes if there is a
                `rate`.
            steps: how long each layer is watched.
            scaling: of the three thresholds, after all are found.

        Returns:
            The three thresholds.

        Raises:
            RecipeError: if a layer gets no current above 0.
        """
        frames = self._scaled(events)
        layers: list[tuple[Any, Any]] = list(zip(self.pre_process[::3], self.pre_process[1::3], strict=True))
        contract.lay_out(self, self.execution == "multi_step", steps=1, streams=1)
        for place, (layer, node) in enumerate(layers):
            self.reset()
            found = 0.0
            for step in range(steps):
                x = self._spikes(frames[:, step * frames.shape[1] // steps])
                for earlier, fire in layers[:place]:
                    x = fire(earlier(x))
                found = max(found, layer(x).max().item())
            if not found > 0:
                raise RecipeError(
                    f"the currents of convolution {place + 1} do not exceed 0 in {steps} steps, so its node gets no"
                    " threshold: watch more steps, or train the ANN with a lower learning rate"
                )
            node.threshold.fill_(found)
        self._release()
        for _, node in layers:
            node.threshold.mul_(scaling)
        return [node.threshold.item() for _, node in layers]

    def _scaled(self, events: Tensor) -> Tensor:
        scaled: Tensor = (events - self.input_mean) / self.input_deviation
        return scaled

    def _spikes(self, frames: Tensor) -> Tensor:
        return frames if self.rate is None else signed_poisson(frames, self.rate)


@MODELS.register(
    "hybrid_resnet20",
    label="ResNet-20",
    title="ResNet-20 without norms of hybrid training's code, one stream (HSD Table 1, CIFAR-10)",
    paper="Rathi et al., ICLR 2020",
    year=2020,
    arxiv="2005.01807",
)
class HybridResNet20(Preset, NormFreeResNet):
    """NormFreeResNet with the initialisation of hybrid training's code; an ANN unless `node_type` says otherwise.

    A recipe states the nodes: `{node_type: ReLUNode, threshold: 1.0}` for an ANN that `method: hybrid` converts, and
    the `act_fun` of the SNN.

    Example:
        >>> import timm, braincog_tmkt
        >>> net = timm.create_model("hybrid_resnet20", in_chans=3, img_size=32)
        >>> sum(weight.numel() for weight in net.parameters() if weight.requires_grad)
        11253440
    """

    preset: ClassVar[Keywords] = {"weight_init": "kaiming"}
    neuron: ClassVar[Keywords] = {"node_type": "ReLUNode", "threshold": 1.0, "act_fun": "LinearSpike"}

    def notes(self) -> list[str]:
        """A sentence if it has neither the nodes of the ANN nor those of the SNN."""
        return [] if issubclass(self._node, STDBNode) else super().notes()
