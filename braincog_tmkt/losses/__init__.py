"""Losses on per-step tensors `[T, B, ...]`: functions for formulas, modules where there is a parameter."""

from .cka import cka
from .distillation import kd, kl_weight, skd
from .gather import gather
from .modality import MixRatioPerception, ModalityGuidance
from .rda import rda
from .tet import per_step_tet, tet

__all__ = [
    "MixRatioPerception",
    "ModalityGuidance",
    "cka",
    "gather",
    "kd",
    "kl_weight",
    "per_step_tet",
    "rda",
    "skd",
    "tet",
]
