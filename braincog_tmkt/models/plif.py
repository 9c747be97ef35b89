"""PLIF's network for CIFAR10-DVS (Fang et al. 2021), with learnt time constants; HSD's Table 2 calls it SNN-4."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from ..bridge import brain_cog_module
from ..errors import RecipeError
from . import MODELS
from .all_steps import SampleDropout
from .factory import Keywords, Preset
from .vggsnn import VGGSNN

PLAN = "128-MP-128-MP-128-MP-128-MP"
HIDDEN = 2048
VOTERS = 10
"""Neurons of a class, whose mean is its output."""


@MODELS.register(
    "plif_snn4",
    label="SNN-4",
    title="PLIF's network for CIFAR10-DVS: learnt time constants, ten neurons a class vote",
    paper="Fang et al., ICCV 2021",
    year=2021,
    arxiv="2007.05785",
)
class SNN4(Preset, VGGSNN):
    """Four conv-BN-node-pooling layers, two linear layers with nodes, and the mean of ten of the last nodes a class.

    The outputs are shares of spikes, from 0 to 1, for the loss `mse_rate`. Dropout in front of both linear layers has
    one mask for each sample and iteration, the same at all steps. The batch norm takes its statistics at each step
    (norm `step`). Frames of 128x128 make 17,427,718 parameters with 10 classes, six of them the nodes'.

    A recipe states the neuron: `{node_type: UnitLIFNode, threshold: 1.0, decay: 0.5, inclusive: true, detach_reset:
    true, decay_input: true, learn_decay: true, act_fun: AtanGrad, alpha: 2.0}`. Without `learn_decay` it is the paper's
    LIF.

    Shapes: frames `[B, T, C, H, W]`; D = 10 * K, spikes of the last nodes.

    Args:
        args: see `SpikingNetwork`.
        plan: see `VGGSNN`.
        dropout: share of the inputs of both linear layers that is off in training.
        kwargs: see `SpikingNetwork`.

    Raises:
        RecipeError: for a dropout outside [0, 1).

    Example:
        >>> import timm, torch, braincog_tmkt
        >>> net = timm.create_model("plif_snn4", step=2, img_size=16, width=1 / 16)
        >>> net.event_logits(torch.ones(3, 2, 2, 16, 16)).shape
        torch.Size([2, 3, 10])
    """

    default_norm = "step"
    neuron: ClassVar[Keywords] = {
        "node_type": "UnitLIFNode",
        "threshold": 1.0,
        "decay": 0.5,
        "inclusive": True,
        "detach_reset": True,
        "decay_input": True,
        "learn_decay": True,
        "act_fun": "AtanGrad",
        "alpha": 2.0,
    }

    def __init__(self, *args: Any, plan: str = PLAN, dropout: float = 0.5, **kwargs: Any) -> None:
        self.dropout = dropout
        super().__init__(*args, plan=plan, **kwargs)

    def build(self) -> None:
        """Make the layers."""
        super().build()
        if not self.num_classes:
            raise RecipeError("the voters of this network stand for classes, so num_classes must be 1 or more, not 0")
        hidden, voters = self.channels(HIDDEN), VOTERS * self.num_classes
        self.fc = nn.Sequential(
            *(SampleDropout(self.dropout), nn.Linear(self.feature_size, hidden, bias=False), self.make_node()),
            *(SampleDropout(self.dropout), nn.Linear(hidden, voters, bias=False), self.make_node()),
        )
        self.feature_size = voters

    def head(self) -> nn.Module:
        """BrainCog's vote: the mean of the neurons of each class."""
        vote: nn.Module = brain_cog_module("base.connection.layer").VotingLayer(VOTERS)
        return vote

    def encode(self, currents: Tensor) -> Tensor:
        """Currents of the first node `[N, C, H, W]` -> spikes of the voters `[N, D]`."""
        return self._voters(super().encode(currents))

    def encode_whole(self, frames: Tensor) -> Tensor:
        """Frames `[N, C, H, W]` -> spikes of the voters `[N, D]`."""
        return self._voters(super().encode_whole(frames))

    def _voters(self, pooled: Tensor) -> Tensor:
        spikes: Tensor = self.fc(pooled)
        return spikes
