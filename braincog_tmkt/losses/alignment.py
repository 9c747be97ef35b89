"""How far two streams are apart: TCKA and its alternatives, as R2ETL's code has them (Zhan et al., IEEE TIP 2024)."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from ..errors import RecipeError
from .cka import cka
from .gather import gather

LEAST = 3
"""Samples that CKA needs: of two, every pair of features has CKA 1, and of one, 0."""


def tcka(x: Tensor, y: Tensor) -> Tensor:
    """Temporal CKA: the mean over t of the linear CKA of step t.

    Args:
        x: features `[T, B, ...]`; with several processes, those of this one.
        y: features `[T, B, ...]` of the same samples in the same order; the trailing sizes may differ.

    Returns:
        A scalar in [0, 1].

    Raises:
        RecipeError: for fewer than three samples, of which CKA says nothing; the published code fails there.

    Example:
        >>> import torch
        >>> x = torch.randn(2, 5, 7)
        >>> round(tcka(x, 3 * x).item(), 3)
        1.0
    """
    whole, other = gather(x), gather(y)
    if whole.shape[1] < LEAST:
        raise RecipeError(
            f"CKA compares samples, and {whole.shape[1]} of them are too few: set train.batch={LEAST} or more"
        )
    return cka(whole, other).mean()


def cka_of_sums(x: Tensor, y: Tensor) -> Tensor:
    """Linear CKA of features summed over time, as of spike counts; arguments as of `tcka`."""
    return tcka(x.sum(0, keepdim=True), y.sum(0, keepdim=True))


def cka_of_sequences(x: Tensor, y: Tensor) -> Tensor:
    """Linear CKA of the features of all steps in a row; arguments as of `tcka`."""
    return tcka(x.transpose(0, 1).flatten(1)[None], y.transpose(0, 1).flatten(1)[None])


def mse_of_means(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared difference of features averaged over time, in fp32; arguments as of `tcka`, of equal shapes."""
    return functional.mse_loss(x.float().mean(0), y.float().mean(0))


def mmd_of_means(x: Tensor, y: Tensor) -> Tensor:
    """Squared distance of the means over time and samples, in fp32; arguments as of `tcka`, of equal shapes."""
    one, other = (gather(part.float().mean(0, keepdim=True)).mean((0, 1)) for part in (x, y))
    return (one - other).square().sum()


class Distance(NamedTuple):
    """A distance of two streams.

    Args:
        of: what R2ETL's code measures it on: `spikes`, or `potential`, that of nodes before their reset.
        between: of `[T, B, ...]` and `[T, B, ...]`, a scalar, 0 for equal ones.
    """

    of: str
    between: Callable[[Tensor, Tensor], Tensor]


DISTANCES = MappingProxyType(
    {
        "tcka": Distance("potential", lambda x, y: 1 - tcka(x, y)),
        "cka": Distance("spikes", lambda x, y: 1 - cka_of_sums(x, y)),
        "flat_cka": Distance("spikes", lambda x, y: 1 - cka_of_sequences(x, y)),
        "tmse": Distance("potential", lambda x, y: functional.mse_loss(x.float(), y.float())),
        "mse": Distance("spikes", mse_of_means),
        "mmd": Distance("spikes", mmd_of_means),
    }
)
"""By the names that a recipe may give."""
