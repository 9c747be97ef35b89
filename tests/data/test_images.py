"""Images of every kind come out as a viewer shows them, in every data set and in the simulator, or are refused."""

import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import Resize

from braincog_tmkt.data.cache import prepare
from braincog_tmkt.data.images import as_shown, image_suffixes, read_image, refuse_plain
from braincog_tmkt.data.sets.base import DataSet
from braincog_tmkt.data.sets.cepdvs import CEPDVS
from braincog_tmkt.data.sets.cifar10 import CIFAR10
from braincog_tmkt.data.sets.cifar10dvs import CIFAR10DVS
from braincog_tmkt.data.sets.folder import Folder
from braincog_tmkt.data.sets.ncaltech101 import NCaltech101
from braincog_tmkt.data.sets.nmnist import NMNIST
from braincog_tmkt.data.sets.nomniglot import NOmniglot
from braincog_tmkt.data.static import read_static_channel, static_channel
from braincog_tmkt.data.types import FrameSpec, Index, Item
from braincog_tmkt.errors import DataError, RecipeError

GREY = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
WIDE = GREY.astype(np.uint16) * 257


def saved(path: Path, image: Image.Image | np.ndarray, **options: object) -> Path:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(path, **options)
    return path


def grey_of(path: Path) -> np.ndarray:
    return np.asarray(read_image(path, "L"))


def with_alpha(grey: np.ndarray, alpha: np.ndarray) -> Image.Image:
    image = Image.fromarray(grey)
    image.putalpha(Image.fromarray(alpha))
    return image


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_16_bits_are_scaled_by_their_range(tmp_path: Path, suffix: str) -> None:
    np.testing.assert_array_equal(grey_of(saved(tmp_path / f"a{suffix}", WIDE)), GREY)


def test_16_bits_big_endian_and_in_memory() -> None:
    big = Image.frombytes("I;16B", (30, 20), WIDE.astype(">u2").tobytes())
    for image in (big, Image.fromarray(WIDE)):
        np.testing.assert_array_equal(np.asarray(as_shown(image, "L")), GREY)
        np.testing.assert_array_equal(static_channel(image, 12), static_channel(Image.fromarray(GREY), 12))


def test_a_tiff_of_12_bits_has_a_white_of_4095(tmp_path: Path) -> None:
    """Two values take three bytes; Pillow reads such files and cannot write them."""
    values = np.array([[0, 2048], [4095, 16]])
    pixels = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in values.tolist())
    entries = [(256, 2), (257, 2), (258, 12), (259, 1), (262, 1), (273, 200), (277, 1), (278, 2), (279, len(pixels))]
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries
    )
    content = (b"II*\0" + struct.pack("<I", 8) + directory + bytes(4)).ljust(200, b"\0") + pixels
    (tmp_path / "a.tif").write_bytes(content)
    assert grey_of(tmp_path / "a.tif").tolist() == [[0, 128], [255, 1]]


@pytest.mark.parametrize("values", [GREY.astype(np.float32), GREY / np.float32(255)])
def test_floats_of_either_range(tmp_path: Path, values: np.ndarray) -> None:
    np.testing.assert_array_equal(grey_of(saved(tmp_path / "a.tif", values)), GREY)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (GREY.astype(np.float32) - 5, "floats from -5 to 250"),
        (GREY.astype(np.float32) * 2, "floats from 0 to 510"),
        (GREY / np.float32(250), "floats from 0 to 1.02"),
        (np.where(GREY > 3, GREY, np.nan).astype(np.float32), "floats from nan to nan"),
        (GREY.astype(np.int32), "grey of an unknown range"),
        (GREY.astype(np.uint16), "go to 255 of 65535, which is black"),
    ],
)
def test_a_range_without_a_known_white_is_refused_with_the_file(tmp_path: Path, values: np.ndarray, fault: str) -> None:
    path = saved(tmp_path / "odd.tif", values)
    with pytest.raises(DataError, match=f"{path}: .*{fault}"):
        read_image(path)
    with pytest.raises(DataError, match=fault):
        static_channel(Image.fromarray(values), 8)


def test_what_is_transparent_is_white_or_black_where_white_shows_nothing(tmp_path: Path) -> None:
    black, white = np.zeros_like(GREY), np.full_like(GREY, 255)
    np.testing.assert_array_equal(grey_of(saved(tmp_path / "black.png", with_alpha(black, GREY))), 255 - GREY)
    np.testing.assert_array_equal(grey_of(saved(tmp_path / "white.png", with_alpha(white, GREY))), GREY)
    nothing = saved(tmp_path / "nothing.png", with_alpha(GREY, black))
    assert set(grey_of(nothing).ravel()) == {255}


def test_an_opaque_image_with_an_alpha_channel_is_itself(tmp_path: Path) -> None:
    image = Image.fromarray(COLOUR)
    image.putalpha(255)
    np.testing.assert_array_equal(np.asarray(read_image(saved(tmp_path / "a.png", image))), COLOUR)


@pytest.mark.parametrize("kind", ["palette", "grey", "16 bits"])
def test_a_colour_that_stands_for_none(tmp_path: Path, kind: str) -> None:
    kinds = {"palette": (Image.fromarray(GREY).convert("P"), 40), "grey": (GREY, 40), "16 bits": (WIDE, 40 * 257)}
    path = saved(tmp_path / "a.png", kinds[kind][0], transparency=kinds[kind][1])
    np.testing.assert_array_equal(grey_of(path), np.where(GREY == 40, 255, GREY))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_that_a_camera_notes_is_applied_once(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    path = saved(tmp_path / f"a{suffix}", Image.fromarray(GREY), exif=exif)
    turns = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    turns |= {6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
    plain = saved(tmp_path / f"plain{suffix}", Image.fromarray(GREY))
    with Image.open(plain) as image:
        truth = image.transpose(Image.Transpose[turns[orientation]]) if orientation > 1 else image.copy()
    np.testing.assert_array_equal(grey_of(path), np.asarray(truth))


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("RGB", "png"), ("1", "png"), ("P", "png"), ("CMYK", "jpg")]
)
def test_ordinary_images_are_as_pillow_converts_them(tmp_path: Path, mode: str, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(COLOUR).convert(mode))
    for wanted in ("L", "RGB"):
        with Image.open(path) as image:
            truth = np.asarray(image.convert(wanted))
        np.testing.assert_array_equal(np.asarray(read_image(path, wanted)), truth)


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", "jpg"), ("LAB", "tif")])
def test_other_colours_are_those_of_a_viewer(tmp_path: Path, mode: str, suffix: str) -> None:
    smooth = np.repeat(np.linspace(0, 255, 32).astype(np.uint8)[None, :, None], 32, 0).repeat(3, 2)
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(smooth).convert(mode), quality=95)
    assert np.abs(np.asarray(read_image(path)).astype(int) - smooth).max() < 10
    assert np.abs(grey_of(path).astype(int) - smooth[..., 0]).max() < 10


def test_the_first_of_several_images_counts_and_the_suffix_does_not(tmp_path: Path) -> None:
    images = [Image.fromarray(np.roll(GREY, shift)) for shift in range(3)]
    path = saved(tmp_path / "a.gif", images[0], save_all=True, append_images=images[1:])
    path = path.rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(grey_of(path), GREY)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_what_is_no_whole_image_is_named_in_one_sentence(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.png", COLOUR).read_bytes()
    huge = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", huge) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")
    for name, content in {"empty.png": b"", "text.jpg": b"hello", "cut.png": whole[:300], "bomb.png": bomb}.items():
        (tmp_path / name).write_bytes(content)
    for name in ("empty.png", "text.jpg", "cut.png", "bomb.png", "gone.png"):
        with pytest.raises(DataError, match=rf"{name} cannot be read as an image \(") as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_bytes_raise_nothing_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[274], exif[271] = 6, "camera"
    for name in ("a.png", "a.jpg", "a.tif", "a.gif", "a.bmp", "a.webp"):
        whole = saved(tmp_path / name, Image.fromarray(GREY), exif=exif).read_bytes()
        for _ in range(40):
            bytes_ = np.frombuffer(whole, np.uint8).copy()
            where = rng.integers(0, min(len(bytes_), 200), 3)
            bytes_[where] = rng.integers(0, 256, 3)
            (tmp_path / name).write_bytes(bytes_.tobytes())
            with suppress(DataError):
                assert read_image(tmp_path / name).mode == "RGB"


def test_suffixes_are_those_that_can_be_decoded() -> None:
    assert {".png", ".jpg", ".jpeg", ".tif", ".bmp", ".gif", ".webp"} < image_suffixes()
    assert not {".pdf", ".h5", ".mpg", ".txt"} & image_suffixes()


def test_a_picture_of_one_value_is_refused() -> None:
    refuse_plain(GREY, "a")
    refuse_plain(np.zeros((1, 1)), "a")
    with pytest.raises(DataError, match=r"^it shows nothing, all its pixels are 7: "):
        refuse_plain(np.full((2, 2), 7), "it")


def test_a_flat_image_ends_the_preparation(tmp_path: Path) -> None:
    """Red on white has no edges in V = max(R, G, B): the picture that is trained on is flat."""
    red = np.full((20, 20, 3), 255, np.uint8)
    red[5:15, 5:15, 1:] = 0
    path = saved(tmp_path / "red.png", red)
    index = Index(("a",), (), (Item("a/red", "a", path),))
    spec = FrameSpec(steps=1, size=8)
    with pytest.raises(DataError, match=r"red\.png .*8x8 \(value\) shows nothing, all its pixels are 255"):
        prepare(Folder(tmp_path), index, spec, tmp_path / "cache", progress=False)
    blue = FrameSpec(steps=1, size=8, appearance="blue")
    assert prepare(Folder(tmp_path), index, blue, tmp_path / "cache", progress=False).images.std() > 0


@pytest.mark.parametrize("kind", [Folder, NCaltech101, NMNIST, NOmniglot, CEPDVS, CIFAR10, CIFAR10DVS])
def test_every_data_set_reads_16_bits_and_alpha(tmp_path: Path, kind: type[DataSet]) -> None:
    dataset = kind(tmp_path)
    item = Item("cat/train-00001", "cat", tmp_path / "1.png")
    saved(item.path, GREY)
    truth = dataset.image(item, 16)
    assert truth.std() > 10
    for image in (Image.fromarray(WIDE), with_alpha(np.zeros_like(GREY), 255 - GREY)):
        saved(item.path, image)
        np.testing.assert_array_equal(dataset.image(item, 16), truth)
    if kind is CIFAR10:  # whose frames are images, too
        frame = dataset.frames(item, FrameSpec(1, 16))
        saved(item.path, GREY)
        np.testing.assert_array_equal(dataset.frames(item, FrameSpec(1, 16)), frame)


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


def test_without_hsv_it_is_the_blue_channel_as_in_the_baselines_code(tmp_path: Path) -> None:
    image = colourful()
    truth = np.asarray(Resize((28, 28))(image))[..., 2]
    np.testing.assert_array_equal(static_channel(image, 28, "blue"), truth)
    with pytest.raises(RecipeError, match="did you mean 'blue'"):
        static_channel(image, 28, "blu")
