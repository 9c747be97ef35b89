"""Static images: one channel at the size of a frame; by default V of HSV, V = max(R, G, B)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ..registry import Registry
from .images import as_shown, read_image

APPEARANCES = Registry("appearance")
"""Name -> function from `[..., 3]` (RGB) to the one channel `[...]` that stands for an image."""


@APPEARANCES.register("value")
def value(rgb: np.ndarray) -> np.ndarray:
    """V of HSV, the paper's choice."""
    return rgb.max(axis=-1)


@APPEARANCES.register("blue")
def blue(rgb: np.ndarray) -> np.ndarray:
    """The blue channel: what the baseline's code takes without HSV (deviation D-27)."""
    return rgb[..., 2]


def channel_of(rgb: np.ndarray, appearance: str) -> np.ndarray:
    """One channel of an image `[..., 3]`.

    Raises:
        RecipeError: for an unknown appearance.
    """
    choose: Callable[[np.ndarray], np.ndarray] = APPEARANCES[appearance]
    return choose(rgb)


def static_channel(image: Image.Image, size: int, appearance: str = "value") -> np.ndarray:
    """Resize an image to a square (bilinear, antialiased, as torchvision does with PIL images) and take one channel.

    Args:
        image: any PIL image, taken as `images.as_shown` says; in a grey one all channels are the same.
        size: side in pixels.
        appearance: which channel, see `APPEARANCES`.

    Returns:
        uint8 `[size, size]`, 0..255.

    Raises:
        DataError: as `images.as_shown` does.
        RecipeError: for an unknown appearance.

    Example:
        >>> static_channel(Image.new("RGB", (60, 40), (10, 200, 30)), 2).tolist()
        [[200, 200], [200, 200]]
    """
    resized = as_shown(image).resize((size, size), Image.Resampling.BILINEAR)
    return channel_of(np.asarray(resized), appearance)


def read_static_channel(path: str | Path, size: int, appearance: str = "value") -> np.ndarray:
    """Read an image file and return `static_channel` of it: uint8 `[size, size]`.

    Raises:
        DataError: naming the file, as `images.read_image` does.
        RecipeError: for an unknown appearance.
    """
    return static_channel(read_image(path), size, appearance)
