"""The networks of TCJA-TET (Zhu et al. 2024): attention over steps and channels, and a hidden linear layer."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from ..errors import RecipeError
from ..registry import did_you_mean
from . import MODELS
from .all_steps import FrozenDropout, SampleDropout
from .factory import TET_LIF, Keywords, Preset
from .vggsnn import TETVGGSNN, VGGSNN

PLAN = "64-MP-128-MP-256-MP-256-A-MP-512-A-MP"
MASKS = ("sample", "frozen")


class CombinedSNN(VGGSNN):
    """Five conv-BN-node layers, each in front of a maximum pooling, then dropout, 1024 units, dropout, the classifier.

    The last two poolings get spikes that `attention` has weighed, TCJA by default, which is built for one T and needs
    `execution: multi_step`. Frames of 180x240 at T 14 make 21.9 million parameters with 101 classes, as published; any
    size from 32x32 will do.

    Two networks are published as TCJA-TET for N-Caltech101, `tcja_cext` and `tcja_vgg`; they differ in neuron, biases
    and dropout. The script of the second draws its masks once, at the first training forward: one for the features of
    all samples and steps, and one for the units at each step. So the same half of both layers' inputs is off in all of
    training, and is back, untrained, in evaluation. That is `dropout_masks: frozen` (deviation D-41). By default
    both draw masks anew for every sample and iteration, the same at all steps, as the script of the first does.

    Shapes: frames `[B, T, C, H, W]`; D = 1024 * width.

    Args:
        args: see `SpikingNetwork`.
        plan: see `VGGSNN`.
        dropout: share of the inputs of both linear layers that is off in training.
        dropout_masks: `sample` or `frozen`, see above.
        linear_bias: whether the linear layers have a bias.
        kwargs: see `SpikingNetwork`.

    Raises:
        RecipeError: for a dropout outside [0, 1), or unknown `dropout_masks`.
    """

    default_attention = "tcja"

    def __init__(
        self,
        *args: Any,
        plan: str = PLAN,
        dropout: float = 0.5,
        dropout_masks: str = "sample",
        linear_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        if dropout_masks not in MASKS:
            raise RecipeError(f"unknown dropout_masks '{dropout_masks}': {did_you_mean(dropout_masks, MASKS)}")
        self.dropout, self.dropout_masks, self.linear_bias = dropout, dropout_masks, linear_bias
        super().__init__(*args, plan=plan, **kwargs)

    def build(self) -> None:
        """Make the layers."""
        super().build()
        self.pooled_size, self.feature_size = self.feature_size, self.channels(1024)
        self.fc1 = nn.Linear(self.pooled_size, self.feature_size, bias=self.linear_bias)
        self.node1 = self.make_node()

    def head(self) -> nn.Module:
        """A linear classifier."""
        return nn.Linear(self.feature_size, self.num_classes, bias=self.linear_bias)

    def build_heads(self) -> None:
        """Make the classifiers, and the dropout after all weights, so that these do not depend on its kind."""
        super().build_heads()
        if self.dropout_masks == "frozen":
            self.dropout1: nn.Module = FrozenDropout(self.dropout, (self.pooled_size,))
            self.dropout2: nn.Module = FrozenDropout(self.dropout, (self.step, 1, self.feature_size))
        else:
            self.dropout1, self.dropout2 = SampleDropout(self.dropout), SampleDropout(self.dropout)

    def encode(self, currents: Tensor) -> Tensor:
        """Currents of the first node `[N, C, H, W]` -> spikes of the hidden units, after dropout `[N, D]`."""
        return self._hidden(super().encode(currents))

    def encode_whole(self, frames: Tensor) -> Tensor:
        """Frames `[N, C, H, W]` -> spikes of the hidden units, after dropout `[N, D]`."""
        return self._hidden(super().encode_whole(frames))

    def _hidden(self, pooled: Tensor) -> Tensor:
        spikes: Tensor = self.dropout2(self.node1(self.fc1(self.dropout1(pooled))))
        return spikes


@MODELS.register(
    "tcja_cext",
    label="CombinedSNN",
    title="TCJA-TET for N-Caltech101, CextNet of its code: SpikingJelly's neuron, no biases",
    paper="Zhu et al., TNNLS 2024",
    year=2024,
    arxiv="2206.10177",
)
class CextNet(Preset, CombinedSNN):
    """CombinedSNN with SpikingJelly's LIF (tau 2, arctan, detached reset) and without biases.

    A recipe states the neuron: `{node_type: UnitLIFNode, threshold: 1.0, decay: 0.5, inclusive: true, detach_reset:
    true, decay_input: true, act_fun: AtanGrad, alpha: 2.0}`.
    """

    preset: ClassVar[Keywords] = {"linear_bias": False}
    neuron: ClassVar[Keywords] = {
        "node_type": "UnitLIFNode",
        "threshold": 1.0,
        "decay": 0.5,
        "inclusive": True,
        "detach_reset": True,
        "decay_input": True,
        "act_fun": "AtanGrad",
        "alpha": 2.0,
    }


@MODELS.register(
    "tcja_vgg",
    label="CombinedSNN",
    title="TCJA-TET for N-Caltech101, VGGSNN_TCJA_NCAL of its code: TET's neuron, biases",
    paper="Zhu et al., TNNLS 2024",
    year=2024,
    arxiv="2206.10177",
)
class TCJAVGG(Preset, CombinedSNN):
    """CombinedSNN with TET's LIF and with biases.

    A recipe states the neuron: `{node_type: UnitLIFNode, threshold: 1.0, decay: 0.5}`.
    """

    preset: ClassVar[Keywords] = {"conv_bias": True, "weight_init": "kaiming"}
    neuron: ClassVar[Keywords] = TET_LIF


@MODELS.register(
    "tcja_vggsnn",
    label="VGGSNN, TCJA",
    title="TCJA-TET for CIFAR10-DVS, VGGSNN_TCJA of its code",
    paper="Zhu et al., TNNLS 2024",
    year=2024,
    arxiv="2206.10177",
)
class TCJAVGGSNN(TETVGGSNN):
    """TET's VGGSNN with TCJA, of kernels of 2, in front of the first pooling."""

    default_attention = "tcja"
    preset: ClassVar[Keywords] = {
        **TETVGGSNN.preset,
        "plan": "64-128-A-AP-256-256-AP-512-512-AP-512-512-AP",
        "kernel_t": 2,
        "kernel_c": 2,
    }
