"""Static images at the size of a frame: one channel, by default V of HSV, V = max(R, G, B), or the three colours."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ..registry import Registry
from .images import as_shown, read_image
from .types import FrameSpec, Size, height_and_width

APPEARANCES = Registry("appearance")
"""Name -> function from `[H, W, 3]` (RGB) to what stands for an image: one channel `[H, W]`, or `[C, H, W]` if it has
an attribute `channels`, which is C."""


@APPEARANCES.register("value")
def value(rgb: np.ndarray) -> np.ndarray:
    """V of HSV, the paper's choice."""
    return rgb.max(axis=-1)


@APPEARANCES.register("blue")
def blue(rgb: np.ndarray) -> np.ndarray:
    """The blue channel: what the baseline's code takes without HSV (deviation D-27)."""
    return rgb[..., 2]


@APPEARANCES.register("rgb")
def colours(rgb: np.ndarray) -> np.ndarray:
    """Red, green and blue, for networks that see images alone, or have an input layer for them."""
    return rgb.transpose(2, 0, 1)


colours.channels = 3  # type: ignore[attr-defined]


def channels_of(appearance: str) -> int:
    """How many channels stand for an image; a RecipeError for an unknown appearance.

    Example:
        >>> channels_of("value"), channels_of("rgb")
        (1, 3)
    """
    return getattr(APPEARANCES[appearance], "channels", 1)


def static_shape(spec: FrameSpec) -> tuple[int, ...]:
    """The shape of one static image: `(H, W)`, or `(C, H, W)` where several channels stand for it."""
    channels = channels_of(spec.appearance)
    return spec.shape if channels == 1 else (channels, *spec.shape)


def channel_of(rgb: np.ndarray, appearance: str) -> np.ndarray:
    """The channel `[H, W]`, or channels `[C, H, W]`, of an image `[H, W, 3]`; a RecipeError if the name is unknown."""
    choose: Callable[[np.ndarray], np.ndarray] = APPEARANCES[appearance]
    return choose(rgb)


def static_channel(image: Image.Image, size: Size, appearance: str = "value") -> np.ndarray:
    """Resize an image (bilinear, antialiased, as torchvision resizes PIL images) and take the channels of `appearance`.

    Args:
        image: any PIL image, converted as `images.as_shown` does; in a grey one all channels are the same.
        size: height and width in pixels, one number for a square.
        appearance: which channels, see `APPEARANCES`; a RecipeError if unknown.

    Returns:
        uint8 `[H, W]`, 0..255; `[C, H, W]` where the appearance has several channels.

    Example:
        >>> static_channel(Image.new("RGB", (60, 40), (10, 200, 30)), 2).tolist()
        [[200, 200], [200, 200]]
    """
    resized = as_shown(image).resize(height_and_width(size)[::-1], Image.Resampling.BILINEAR)
    return channel_of(np.asarray(resized), appearance)


def read_static_channel(path: str | Path, size: Size, appearance: str = "value") -> np.ndarray:
    """`static_channel` of an image file; a DataError names one that `images.read_image` cannot read."""
    return static_channel(read_image(path), size, appearance)
