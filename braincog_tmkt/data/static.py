"""Static images: the V channel of HSV, V = max(R, G, B), at the size of a frame."""

from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import DataError


def value_channel(image: Image.Image, size: int) -> np.ndarray:
    """Resize an image to a square (bilinear, antialiased, as torchvision does with PIL images) and take V.

    Args:
        image: any PIL image; a grey one has V = grey.
        size: side in pixels.

    Returns:
        uint8 `[size, size]`, 0..255.

    Example:
        >>> value_channel(Image.new("RGB", (60, 40), (10, 200, 30)), 2).tolist()
        [[200, 200], [200, 200]]
    """
    resized = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized).max(axis=2)


def read_value_channel(path: str | Path, size: int) -> np.ndarray:
    """Read an image file and return `value_channel` of it: uint8 `[size, size]`.

    Raises:
        DataError: naming the file, if it is missing, truncated or no image.
    """
    try:
        with Image.open(path) as image:
            return value_channel(image, size)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image ({error}): download or copy it again") from error
