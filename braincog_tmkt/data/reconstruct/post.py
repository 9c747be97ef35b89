"""From what a network gives to an image of 8 bits: an unsharp mask, then intensities scaled and cut off."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor
from torch.nn import functional

LOWEST, HIGHEST = 0.45, 0.55
"""Of the bounds of `Scale` with `auto_hdr`: the dark one is at most, the bright one at least so much."""
KEPT = 10
"""Images before the present one whose bounds count, too."""


def blur_kernel() -> Tensor:
    """The 5x5 kernel of the unsharp mask, float32, with sum 1.

    The square root of the products of the normal distribution's masses in five bins of [-1.3, 1.3]: flatter than a
    Gaussian.
    """
    masses = np.diff(ndtr(np.linspace(-1.3, 1.3, 6)))
    kernel = np.sqrt(np.outer(masses, masses))
    return torch.from_numpy((kernel / kernel.sum()).astype(np.float32))


def sharpened(image: Tensor, amount: float) -> Tensor:
    """(1 + amount) image - amount blurred, of `[H, W]`; beyond the border the image is 0."""
    blurred = functional.conv2d(image[None, None], blur_kernel()[None, None], padding=2)[0, 0]
    return (1 + amount) * image - amount * blurred


class Scale:
    """Intensities to 0..255, cut off there and to whole numbers.

    Args:
        auto_hdr: whether dark and bright are the image's own extremes (the dark one within [0, 0.45], the bright one
            within [0.55, 1]), each the median over this image and those before, `kept` at most; otherwise 0 and 1.
        kept: see there.
    """

    def __init__(self, auto_hdr: bool = False, kept: int = KEPT) -> None:
        self.auto_hdr = auto_hdr
        self.bounds: deque[tuple[float, float]] = deque(maxlen=kept + 1)

    def __call__(self, image: Tensor) -> Tensor:
        """`[H, W]`, float32, to uint8."""
        low, high = self.dark_and_bright(image) if self.auto_hdr else (0.0, 1.0)
        return (255 * (image - low) / (high - low)).clamp(0, 255).to(torch.uint8)

    def dark_and_bright(self, image: Tensor) -> tuple[float, float]:
        """The intensities that become 0 and 255."""
        dark, bright = min(max(float(image.min()), 0.0), LOWEST), max(min(float(image.max()), 1.0), HIGHEST)
        self.bounds.append((dark, bright))
        low, high = np.median(self.bounds, axis=0)
        return float(low), float(high)
