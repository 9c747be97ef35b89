"""VGGSNN: the layers of BrainCog's `VGG_SNN` (Transfer_VGG_SNN of the baseline; VGG-SNN of TET and HSD)."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from ..errors import RecipeError
from . import MODELS
from .factory import TET_LIF, Keywords, Preset
from .multi_step import normalised
from .network import SpikingNetwork
from .parts import ann_by_default
from .two_stream import TwoStream

PLAN = "64-128-AP-256-256-AP-512-512-A-AP-512-512-A-AP"
WITHOUT_POOLS = "64-128/2-256-256/2-512-512/2-A-512-512/2-A"
VGG11 = "64-AP-128-AP-256-256-A-AP-512-512-512-512-A-GAP"

POOLS = ("AP", "MP")


class ConvLayer(nn.Module):
    """A 3x3 convolution, a norm and a node.

    Args:
        make: the network whose parts are used.
        channels: of the input.
        out: channels of the output.
        stride: of the convolution.
    """

    def __init__(self, make: SpikingNetwork, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = make.conv(channels, out, 3, stride=stride, padding=1)
        self.bn = make.make_norm(out)
        self.node = make.make_node()

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` -> spikes `[N, C', H', W']`."""
        return normalised(self.node, self.bn, self.conv(x))


class VGGSNN(SpikingNetwork):
    """Conv-BN-node layers and one linear classifier; by default eight, 9.27 million parameters with 10 classes.

    In `tmkt_vggsnn` and `hsd_vggsnn` convolutions have no bias, as BrainCog's; TET's and HSD's own have one, which
    changes nothing in front of a batch norm (deviation D-30). `tet_vggsnn` has it.

    Shapes: frames `[B, T, C, H, W]`, for the default plan of 16x16 or more; D = 512 * width * H/16 * W/16.

    Args:
        args: see `SpikingNetwork`.
        plan: the layers, joined by `-`: channels of a 3x3 convolution with its norm and node (`64`; `64/2` with stride
            2), `AP` and `MP` (2x2 average and maximum pooling), `GAP` (average over all pixels), `A` (the place of an
            `attention`).
        kwargs: see `SpikingNetwork`.

    Raises:
        RecipeError: for a plan with other words, that does not begin with a convolution, or that pools a single pixel.
    """

    def __init__(self, *args: Any, plan: str = PLAN, **kwargs: Any) -> None:
        self.plan = _read(plan)
        self.any_size, self.least_size = ("GAP", 1) in self.plan, _least_size(self.plan)
        super().__init__(*args, **kwargs)

    def build(self) -> None:
        """Make the layers."""
        layers: list[nn.Module] = []
        channels, sides = self.in_chans, self.frame_size
        for entry, stride in self.plan:
            sides = _sides_after(entry, stride, sides)
            if min(sides) < 1:
                raise RecipeError(f"plan: {entry} has nothing left to pool; GAP is the last pooling of a plan")
            if entry in POOLS:
                layers.append((self.pool if entry == "AP" else self.max_pool)(2))
            elif entry == "GAP":
                layers.append(nn.AdaptiveAvgPool2d(1))
            elif entry == "A":
                layers += self.make_attention(channels)
            else:
                layers += self.conv_layers(channels, self.channels(int(entry)), stride)
                channels = self.channels(int(entry))
        self.feature = nn.Sequential(*layers)
        self.feature_size = channels * sides[0] * sides[1]

    def conv_layers(self, channels: int, out: int, stride: int) -> list[nn.Module]:
        """What a number of the plan stands for; the first is a `ConvLayer`."""
        return [ConvLayer(self, channels, out, stride)]

    def head(self) -> nn.Module:
        """A linear classifier; second of two layers, as BrainCog numbers it."""
        return nn.Sequential(nn.Identity(), super().head())

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution."""
        stem: nn.Conv2d = self._first.conv
        return stem

    @property
    def bypassed(self) -> tuple[tuple[nn.Module, type[nn.Module]], ...]:
        """The sequence of layers, and the first of them, whose convolution runs apart."""
        return (self.feature, nn.Sequential), (self._first, ConvLayer)

    def encode_whole(self, frames: Tensor) -> Tensor:
        """Frames `[N, C, H, W]` -> pooled spikes `[N, D]`."""
        return self.run_layer(self.feature, frames).flatten(1)

    @property
    def _first(self) -> Any:
        first = self.feature[0]
        if not isinstance(first, ConvLayer):
            raise RecipeError(
                f"the first layer of 'feature' must be a ConvLayer, whose convolution gets the frames, not a"
                f" {type(first).__name__}: change its parts, or put other layers behind it"
            )
        return first

    def encode(self, currents: Tensor) -> Tensor:
        """Currents of the first node `[N, C, H, W]` -> pooled spikes `[N, D]`."""
        x = normalised(self._first.node, self._first.bn, currents)
        for layer in self.feature[1:]:  # a pooling keeps nothing, so there is nothing to compute again
            x = layer(x) if isinstance(layer, nn.AvgPool2d) else self.run_layer(layer, x)
        return x.flatten(1)


Plan = tuple[tuple[str, int], ...]
"""Words of a plan and strides."""


def _read(plan: str) -> Plan:
    """The words of a plan, with the strides of convolutions."""
    found = []
    for word in plan.split("-"):
        entry, slash, stride = word.partition("/")
        convolves = entry.isdecimal() and int(entry) > 0 and (not slash or (stride.isdecimal() and int(stride) > 0))
        if not convolves and word not in (*POOLS, "GAP", "A"):
            raise RecipeError(
                f"plan '{plan}': '{word}' is not a layer; write channels (64, or 64/2 with stride 2), AP, MP, GAP or A,"
                " joined by -"
            )
        found.append((entry, int(stride or 1)))
    if not found[0][0].isdecimal():
        raise RecipeError(f"plan '{plan}' must begin with a convolution, as 64, not '{found[0][0]}'")
    return tuple(found)


def _least_size(plan: Plan) -> int:
    """The smallest side of frames of which the layers leave a pixel."""
    side = 1
    for entry, stride in reversed(plan):
        side = 1 if entry == "GAP" else side * 2 if entry in POOLS else (side - 1) * stride + 1
    return side


def _sides_after(entry: str, stride: int, sides: tuple[int, int]) -> tuple[int, int]:
    """Height and width of what a layer makes of an input."""
    height, width = sides
    if entry == "GAP":
        return 1, 1
    if entry in POOLS:
        return height // 2, width // 2
    return -(-height // stride), -(-width // stride)


@MODELS.register("tmkt_vggsnn", label="VGGSNN", title="VGGSNN, two streams (TMKT Table 1, N-Caltech101)")
class TwoStreamVGGSNN(TwoStream, VGGSNN):
    """VGGSNN with two classifiers; aligned: membranes of the last node, after reset.

    Example:
        >>> import torch, timm, braincog_tmkt
        >>> net = timm.create_model("tmkt_vggsnn", num_classes=11, step=2, width=0.125)
        >>> net(torch.zeros(3, 2, 2, 48, 48)).shape
        torch.Size([3, 11])
    """

    def build(self) -> None:
        """Make the layers."""
        super().build()
        last = max(place for place, layer in enumerate(self.feature) if isinstance(layer, ConvLayer))
        self.aligned = f"membrane:feature.{last}.node"


@MODELS.register("hsd_vggsnn", label="VGG-SNN", title="VGG-SNN, one stream (HSD Table 2)")
def hsd_vggsnn(**kwargs: Any) -> VGGSNN:
    """VGG-SNN as HSD trains it, one stream: an ANN of `QCFSNode` unless `node_type` says otherwise.

    `models.convert.convert` makes an SNN of the ANN; keywords: see `SpikingNetwork`.
    """
    return VGGSNN(**ann_by_default(kwargs))


@MODELS.register(
    "tet_vggsnn", label="VGGSNN", title="VGGSNN of TET's code, one stream", paper="Deng et al., ICLR 2022", year=2022
)
class TETVGGSNN(Preset, VGGSNN):
    """VGGSNN with the biases, the initialisation and the neuron of TET's code; see `SpikingNetwork` for keywords."""

    preset: ClassVar[Keywords] = {"conv_bias": True, "weight_init": "kaiming"}
    neuron: ClassVar[Keywords] = TET_LIF


@MODELS.register(
    "tet_vggsnn_woap",
    label="VGGSNNwoAP",
    title="VGGSNN with strides for poolings, which TET's script for CIFAR10-DVS builds",
    paper="Deng et al., ICLR 2022",
    year=2022,
)
class TETVGGSNNwoAP(TETVGGSNN):
    """As `tet_vggsnn`, but convolutions of stride 2 take the place of the poolings."""

    preset: ClassVar[Keywords] = {**TETVGGSNN.preset, "plan": WITHOUT_POOLS}


@MODELS.register(
    "nda_vgg11", label="VGG-11", title="VGG-11 of NDA's code, one stream", paper="Li et al., ECCV 2022", year=2022
)
class NDAVGG11(Preset, VGGSNN):
    """VGG-11 as NDA's code has it: frames of any size, global average pooling, 9.23 million parameters with 10 classes.

    Convolutions have a bias, and the batch norm is `tdbn`: over all steps, with an initial weight of V_th. Without a
    `node_type` it has NDA's neuron. A recipe states it: `{node_type: UnitLIFNode, threshold: 0.5, decay: 0.25,
    inclusive: true, act_fun: BackEIGateGrad}`. TMKT's Table 1 calls this network "VGGSNN"; the 132.9 million parameters
    of HSD's Table 2 are those of ImageNet's VGG-11.
    """

    default_norm = "tdbn"
    preset: ClassVar[Keywords] = {"plan": VGG11, "conv_bias": True, "weight_init": "kaiming"}
    neuron: ClassVar[Keywords] = {
        "node_type": "UnitLIFNode",
        "threshold": 0.5,
        "decay": 0.25,
        "inclusive": True,
        "act_fun": "BackEIGateGrad",
    }
