"""V = max(R, G, B): against PIL's own HSV, and torchvision's resize."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import Resize

from braincog_tmkt.data.static import read_static_channel, static_channel
from braincog_tmkt.errors import RecipeError


def colourful(width: int = 60, height: int = 41) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [28, 48, (20, 70)])
def test_value_is_that_of_hsv_after_torchvisions_resize(tmp_path: Path, size: int | tuple[int, int]) -> None:
    image = colourful()
    image.save(tmp_path / "a.png")
    resized = Resize(size if isinstance(size, tuple) else (size, size))(image)
    truth = np.asarray(resized.convert("HSV"))[..., 2]
    value = read_static_channel(tmp_path / "a.png", size)
    assert value.dtype == np.uint8
    colours = read_static_channel(tmp_path / "a.png", size, "rgb")
    np.testing.assert_array_equal(colours, np.asarray(resized).transpose(2, 0, 1))
    np.testing.assert_array_equal(value, truth)


@pytest.mark.data
def test_value_is_that_of_hsv_on_real_images(shared: Path) -> None:
    folders = sorted((shared / "data/caltech101/101_ObjectCategories").iterdir())
    for folder in folders:
        file = min(folder.iterdir())
        truth = Resize((48, 48))(Image.open(file).convert("RGB")).convert("HSV").getchannel("V")
        np.testing.assert_array_equal(read_static_channel(file, 48), np.asarray(truth), err_msg=str(file))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK"])
def test_any_mode_of_image_has_a_value(mode: str) -> None:
    image = colourful().convert(mode)
    np.testing.assert_array_equal(static_channel(image, 30), static_channel(image.convert("RGB"), 30))


def test_value_of_grey_is_grey() -> None:
    grey = colourful(28, 28).convert("L")
    np.testing.assert_array_equal(static_channel(grey, 28), np.asarray(grey))


def test_without_hsv_it_is_the_blue_channel_as_in_the_baselines_code(tmp_path: Path) -> None:
    image = colourful()
    truth = np.asarray(Resize((28, 28))(image))[..., 2]
    np.testing.assert_array_equal(static_channel(image, 28, "blue"), truth)
    with pytest.raises(RecipeError, match="did you mean 'blue'"):
        static_channel(image, 28, "blu")
