"""Losses on per-step tensors `[T, B, ...]`.

Classification losses, which a recipe names as `method.loss`, are found in the files of this folder by their decorators
(`LOSSES`). The formulas and modules that methods share are in `__all__`.
"""

from .alignment import DISTANCES, cka_of_sequences, cka_of_sums, mmd_of_means, mse_of_means, tcka
from .base import LOSSES as LOSSES
from .base import Loss as Loss
from .base import StepLoss as StepLoss
from .base import build_loss as build_loss
from .cka import cka
from .distillation import kd, kl_weight, skd
from .gather import gather
from .modality import MixRatioPerception, ModalityGuidance
from .rda import rda
from .tet import per_step_tet, tet

__all__ = [
    "DISTANCES",
    "MixRatioPerception",
    "ModalityGuidance",
    "cka",
    "cka_of_sequences",
    "cka_of_sums",
    "gather",
    "kd",
    "kl_weight",
    "mmd_of_means",
    "mse_of_means",
    "per_step_tet",
    "rda",
    "skd",
    "tcka",
    "tet",
]
