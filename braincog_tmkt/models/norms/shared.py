"""Batch normalisation over all time steps together."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from . import NORMS
from .step import StepBatchNorm2d


@NORMS.register("shared", label="shared")
class SharedBatchNorm2d(StepBatchNorm2d):
    """Statistics over all steps and samples of a stream, as BrainCog's `layer_by_layer`, TET and HSD take them.

    It needs all steps at once: `execution: multi_step`. With two streams, each has its own statistics in training, and
    the one running set moves once for each, while evaluation shows events alone (`tmkt eval RUN --norms one` takes it
    from events).
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


@NORMS.register(
    "tdbn_fixed", label="tdBN, fixed factor", paper="Zheng et al., AAAI 2021", year=2021, arxiv="2011.05280"
)
class FixedThresholdBatchNorm2d(SharedBatchNorm2d):
    """Threshold-dependent batch norm as the paper has it: `y = w alpha V_th (x - mean) / std + b`, w from 1.

    The factor alpha * V_th acts in training and in evaluation, and is not learnt; in `tdbn` it can be trained, and
    decay, away. At first both give the same outputs, but not the same gradients of w.

    The attribute `weight` is the product w * alpha * V_th, a new tensor each time, since that is what the layer, and
    the kernels in its place, multiply with; do not write into it. The parameter, in `parameters()` and the state dict,
    is w.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: of the running statistics; None takes the mean over all of training.
        gain: alpha * V_th; see `ThresholdBatchNorm2d`.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, gain: float = 1.0) -> None:
        self.gain = gain
        super().__init__(num_features, eps, momentum)

    @property
    def weight(self) -> Any:  # type: ignore[override]
        """w * alpha * V_th `[C]`."""
        learnt: Tensor | None = vars(self).get("_parameters", {}).get("weight")
        if learnt is None:  # while the layer is made
            raise AttributeError("weight")
        return learnt * self.gain

    def reset_parameters(self) -> None:
        """Start with w = 1, b = 0 and no statistics."""
        super().reset_parameters()
        nn.init.ones_(self._parameters["weight"])  # type: ignore[arg-type]
