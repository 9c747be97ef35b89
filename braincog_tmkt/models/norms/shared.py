"""Batch normalisation over all time steps together."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from . import NORMS
from .step import StepBatchNorm2d


@NORMS.register("shared", label="shared")
class SharedBatchNorm2d(StepBatchNorm2d):
    """Statistics over all steps and samples of a stream, as BrainCog's `layer_by_layer`, TET and HSD take them.

    Training and evaluation see the same kind of statistics. It needs all steps at once: `execution: multi_step`. With
    two streams, each has its own statistics in training, and the one running set moves once for each.
    """

    shared: ClassVar[bool] = True


@NORMS.register("tdbn", label="tdBN", paper="Zheng et al., AAAI 2021", year=2021, arxiv="2011.05280")
class ThresholdBatchNorm2d(SharedBatchNorm2d):
    """Threshold-dependent batch norm: `shared` whose initial weight is alpha * V_th, as BrainCog has it.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: of the running statistics; None takes the mean over all of training.
        gain: alpha * V_th. V_th counts as 1 for nodes whose output is as large as their threshold.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, gain: float = 1.0) -> None:
        super().__init__(num_features, eps, momentum)
        nn.init.constant_(self.weight, gain)
