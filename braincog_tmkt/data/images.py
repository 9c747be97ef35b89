"""Image files of any kind as pictures of 8 bits: the one place that opens an image."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import DataError

DEPTH, MEANING, NUMBERS = 258, 262, 339
"""TIFF's tags for the bits of a value, for what 0 means (1: black), and for the kind of number (1: unsigned)."""


NOT_DECODED = ("BUFR", "GRIB", "HDF5", "MPEG", "WMF")
"""Formats that Pillow recognises and cannot decode by itself."""


def image_suffixes() -> frozenset[str]:
    """The suffixes of all formats that Pillow can decode, in small letters: `.png`, `.jpg`, `.tif`, ..."""
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, form in known.items() if form in Image.OPEN and form not in NOT_DECODED)


def read_image(path: str | Path, mode: str = "RGB") -> Image.Image:
    """Open an image file as a viewer shows it, see `as_shown`; of a file of several images the first.

    Its content says which format it has, whatever its suffix. `mode` is `RGB` or `L` (grey), 8 bits a channel.

    Raises:
        DataError: naming the file, if it is missing, damaged or no image, or `as_shown` refuses its values.
    """
    try:
        # Not by its name: Pillow maps plain TIFF files into memory, in the wrong shape if they lie on their side.
        with Path(path).open("rb") as file, Image.open(file) as image:
            return as_shown(image, mode)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:  # Pillow raises whatever damaged bytes lead to
        known = not isinstance(error, UnidentifiedImageError)
        reason = " ".join(str(error).split())[:200] or type(error).__name__ if known else "its format is not known"
        raise DataError(
            f"{path} cannot be read as an image ({reason}): copy it again, save it as an 8-bit PNG or remove it"
        ) from error


def as_shown(image: Image.Image, mode: str = "RGB") -> Image.Image:
    """Turn any PIL image into 8 bits a channel, `RGB` or `L` (grey), upright and opaque.

    - Grey of 16 bits (12 in some TIFFs) is scaled by the range of its bits: 65535 becomes 255.
    - Floats up to 1 are multiplied by 255; floats up to 255 (and from 2 on) are taken as they are. Both are rounded.
    - What is transparent is white; or black, where nothing could be told from white (a white drawing).
    - The orientation that a camera notes (EXIF) is applied.
    - All other kinds are converted by Pillow.

    Raises:
        DataError: if the values are of a range that has no known white.
        ValueError: for a kind of image that Pillow does not convert.

    Example:
        >>> wide = Image.fromarray(np.array([[0, 40 * 257, 65535]], np.uint16))
        >>> np.asarray(as_shown(wide, "L")).tolist()
        [[0, 40, 255]]
    """
    image.load()  # Pillow turns TIFF files upright here
    white = _white(image)  # from what the turned copy no longer knows
    image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        image = _narrowed(image, white)
    if image.has_transparency_data:
        image = _opaque(image)
    return image.convert("RGB" if image.mode == "LAB" else image.mode).convert(mode)


def refuse_plain(pixels: np.ndarray, what: str) -> None:
    """Refuse a picture, `what` in words with its file, whose values (any shape) are all the same.

    A single pixel always passes.
    """
    if pixels.size > 1 and pixels.min() == pixels.max():
        raise DataError(f"{what} shows nothing, all its pixels are {pixels.flat[0]}: replace it or remove it")


def _white(image: Image.Image) -> int:
    """The value that is white in a grey image of whole numbers, by the file's bits; 0 where that is not known."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:  # Pillow scales all other formats with more than 8 bits to 16
        return 65535 if image.mode.startswith("I;16") or image.format in ("PNG", "PPM") else 0
    bits = tags.get(DEPTH)
    known = bits in ((12,), (16,)) and tags.get(MEANING) == 1 and tags.get(NUMBERS, (1,)) == (1,)
    return int(2 ** bits[0] - 1) if known else 0


def _narrowed(image: Image.Image, white: int) -> Image.Image:
    """Scale a grey image of whole numbers or floats to 8 bits."""
    values = np.asarray(image)
    least, most = values.min(), values.max()
    if image.mode == "F":
        white = 1 if most <= 1 else 255
        if not (least >= 0 and (most <= 1 or 2 <= most <= 255)):  # NaN, too; 1.02 is rather too much for 1 than black
            raise DataError(
                f"its values are floats from {least:g} to {most:g}, where 0 to 1 or 0 to 255 is known: scale them"
            )
    elif not white:
        raise DataError("its values are grey of an unknown range: save it with 8 bits, or as a 16-bit PNG")
    elif 0 < most <= white // 255:
        raise DataError(f"its values go to {most} of {white}, which is black: scale them, or save it with 8 bits")
    grey = Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))
    if "transparency" in image.info:  # the one value that stands for no colour
        grey.putalpha(Image.fromarray(np.where(values == image.info["transparency"], 0, 255).astype(np.uint8)))
    return grey


def _opaque(image: Image.Image) -> Image.Image:
    """Lay an image with transparent parts on white, or on black if that alone shows something."""
    drawn = image.convert("RGBA")
    on = [Image.alpha_composite(Image.new("RGBA", image.size, ground), drawn) for ground in ("white", "black")]
    shown = (one for one in on if np.ptp(np.asarray(one.convert("RGB")), axis=(0, 1)).any())
    return next(shown, on[0]).convert("RGB")
