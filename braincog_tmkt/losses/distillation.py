"""Distillation of a teacher's classes into a spiking student: into its mean output (KD), or into every step's (SKD)."""

from __future__ import annotations

from types import MappingProxyType

from torch import Tensor
from torch.nn import functional

from ..errors import RecipeError

REDUCTIONS = ("mean", "batchmean")


def kl_weight(weight: float, classes: int, reduction: str) -> float:
    """What a weight comes to for the divergence of one sample: `mean` divides by the number of classes, too.

    Example:
        >>> kl_weight(5.0, classes=10, reduction="mean")
        0.5
    """
    return weight / classes if reduction == "mean" else weight


def kd(logits: Tensor, teacher: Tensor, temperature: float = 10.0, reduction: str = "mean") -> Tensor:
    """`K^2 KL(softmax(z / K) || softmax(mean_t o_t / K))` (Hinton et al. 2015): vanilla distillation.

    Args:
        logits: the student's o, `[T, B, classes]`.
        teacher: the teacher's z, `[B, classes]`; it gets no gradient.
        temperature: K.
        reduction: `batchmean` is the mean over samples; `mean` divides by the number of classes as well, as HSD's code
            does with `nn.KLDivLoss()` (deviation D-31).

    Returns:
        A scalar.

    Raises:
        RecipeError: for an unknown reduction or a temperature that is not above 0.

    Example:
        >>> import torch
        >>> z = torch.randn(4, 10)
        >>> bool(kd(z.expand(3, 4, 10), z) < 1e-5)
        True
    """
    return _divergence(logits.mean(0), teacher, temperature, reduction)


def skd(logits: Tensor, teacher: Tensor, temperature: float = 10.0, reduction: str = "mean") -> Tensor:
    """`1/T sum_t K^2 KL(softmax(z / K) || softmax(o_t / K))`: the teacher teaches every step (HSD's SKD).

    It is never below `kd`: the divergence is convex in the student's logits. For the arguments see `kd`.
    """
    return _divergence(logits.flatten(0, 1), teacher.repeat(len(logits), 1), temperature, reduction)


def check_distillation(temperature: float, reduction: str) -> None:
    """Refuse settings that `kd` and `skd` cannot use.

    Raises:
        RecipeError: for an unknown reduction or a temperature that is not above 0.
    """
    if reduction not in REDUCTIONS:
        raise RecipeError(f"the reduction of a divergence is one of {', '.join(REDUCTIONS)}, not '{reduction}'")
    if not temperature > 0:
        raise RecipeError(f"the temperature of a distillation must be above 0, not {temperature}")


DISTILLATIONS = MappingProxyType({"skd": skd, "kd": kd})
"""What a recipe may name."""


def _divergence(student: Tensor, teacher: Tensor, temperature: float, reduction: str) -> Tensor:
    """`K^2 KL(teacher || student)` of softened logits `[N, classes]`."""
    check_distillation(temperature, reduction)
    wanted = functional.log_softmax(teacher.detach().float() / temperature, 1)
    given = functional.log_softmax(student.float() / temperature, 1)
    divergence = functional.kl_div(given, wanted, reduction="batchmean", log_target=True)
    return kl_weight(temperature**2, student.shape[1], reduction) * divergence
