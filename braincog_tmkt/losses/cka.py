"""Linear centred kernel alignment (Kornblith et al. 2019), the biased estimator, one value a time step."""

import torch
from torch import Tensor


def _centred_gram(x: Tensor) -> Tensor:
    """Doubly centred linear Gram matrix `[T, B, B]` of `[T, B, ...]`; centred features centre its rows and columns."""
    features = x.flatten(2).float()
    features = features - features.mean(1, keepdim=True)
    return features @ features.transpose(1, 2)


def cka(x: Tensor, y: Tensor) -> Tensor:
    """Linear CKA of matched features, step by step (TMKT Eq. 11; the baseline's code).

    `<Gx, Gy>_F / (|Gx|_F |Gy|_F + 1e-7)` with centred Gram matrices over the batch, in fp32 whatever the autocast. The
    Gram matrices are positive semi-definite, so the value lies in [0, 1] and the baseline's absolute value is idle
    (deviation D-07).

    Args:
        x: features `[T, B, ...]`.
        y: features `[T, B, ...]` of the same samples in the same order; the trailing sizes may differ.

    Returns:
        One value a step `[T]`.

    Example:
        >>> x = torch.randn(2, 5, 7)
        >>> torch.allclose(cka(x, 3 * x), torch.ones(2))
        True
    """
    with torch.autocast(x.device.type, enabled=False):
        gram_x, gram_y = _centred_gram(x), _centred_gram(y)
        scale = torch.linalg.matrix_norm(gram_x) * torch.linalg.matrix_norm(gram_y)
        return (gram_x * gram_y).sum((1, 2)) / (scale + 1e-7)
