"""CEP-DVS: recordings, images and recipes."""

import colorsys
from pathlib import Path

import numpy as np
import pytest
import tonic
import torch
from PIL import Image
from torchvision.transforms import Resize
from torchvision.transforms.functional import to_tensor

from braincog_tmkt.data.frames import to_frames
from braincog_tmkt.data.readers.mat import write_mat
from braincog_tmkt.data.sets.cepdvs import CEPDVS
from braincog_tmkt.data.types import FrameSpec, Item
from braincog_tmkt.errors import DataError
from braincog_tmkt.recipe import load_recipe

from .test_cepdvs import full, root  # noqa: F401
from .trees import picture, recording


def test_frames_are_tonics_on_the_recordings_extent(root: Path) -> None:
    """As the baseline: `ToFrame(sensor_size=None)`, which neither shifts nor knows the sensor, then the resize."""
    item = CEPDVS(root).index().recordings[0]
    write_mat(item.path, recording(6, 200, 150, count=3000))
    events = CEPDVS(root).events(item)
    assert events["x"].min() == 4
    assert (events["x"].max(), events["y"].max()) == (196, 144)
    counts = tonic.transforms.ToFrame(sensor_size=None, n_time_bins=6)(events.astype(events.dtype.descr))
    truth = torch.nn.functional.interpolate(
        torch.tensor(counts, dtype=torch.float), size=[48, 48], mode="bilinear", align_corners=True
    )
    made = CEPDVS(root).frames(item, FrameSpec(steps=6, size=48))
    assert (made.shape, made.dtype) == ((6, 2, 48, 48), np.float32)
    np.testing.assert_allclose(made, truth.numpy(), atol=1e-5)
    assert not np.allclose(made, to_frames(events, FrameSpec(steps=6, size=48)))


def test_a_recording_too_short_for_its_frames_is_named(root: Path) -> None:
    item = CEPDVS(root).index().recordings[0]
    write_mat(item.path, np.repeat(recording(1, 40, 40)[:1], 5))
    with pytest.raises(DataError, match=r"mat leaves its 6 frames of"):
        CEPDVS(root).frames(item, FrameSpec(steps=6, size=48))


@pytest.mark.parametrize("shape", [(180, 240, 3), (32, 32, 3), (240, 180), (100, 31, 3)])
@pytest.mark.parametrize("mode", [None, "L"])
def test_images_are_torchvisions_resize_of_v(root: Path, shape: tuple[int, ...], mode: str | None) -> None:
    """V by colorsys, then `ToTensor` and `Resize`, as the baseline orders them: within half a grey level."""
    image = picture(9, *shape).resize((shape[1], shape[0])).convert(mode or "RGB")
    path = root / "picture.png"
    image.save(path)
    pixels = np.asarray(Image.open(path).convert("RGB"))
    flat = [colorsys.rgb_to_hsv(*pixel)[2] for pixel in (pixels.reshape(-1, 3) / 255).tolist()]
    full = torch.tensor(flat, dtype=torch.float).view(1, *pixels.shape[:2])
    truth = 255 * Resize((48, 48), antialias=True)(full)[0].numpy()
    made = CEPDVS(root).image(Item("fish/00000", "fish", path), 48)
    assert (made.shape, made.dtype) == ((48, 48), np.uint8)
    np.testing.assert_allclose(made, truth, atol=0.5001)
    if mode == "L":
        grey = 255 * Resize((48, 48), antialias=True)(to_tensor(image))[0].numpy()
        np.testing.assert_allclose(made, grey, atol=0.5001)


def test_there_is_no_download_but_an_address(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"github\.com/SuppDoc/EventKD"):
        CEPDVS(tmp_path).download()


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("baseline", {"name": "baseline", "mse_weight": 1e-3}),
        ("knowledge_transfer", {"name": "knowledge_transfer"}),
        ("tsm", {"name": "tmkt", "mix_ratio": 0.9, "modality_weight": 0.0, "ratio_weight": 0.0}),
        ("mag", {"name": "tmkt", "mix_ratio": 0.9, "ratio_weight": 0.0}),
        ("mrp", {"name": "tmkt", "mix_ratio": 0.9, "modality_weight": 0.0}),
        ("tmkt", {"name": "tmkt", "mix_ratio": 0.9}),
    ],
)
def test_recipes_have_the_papers_settings(name: str, method: dict[str, object]) -> None:
    recipe = load_recipe(Path(__file__).parents[2] / f"experiments/cepdvs/{name}.yaml")
    data, train, optim = recipe.data, recipe.train, recipe.optim
    assert recipe.method == method
    assert recipe.model["name"] == "tmkt_resnet18"
    assert (data.steps, data.size, data.frames, data.protocol) == (6, 48, "time", "clean")
    assert data.augment == ["crop", "flip", "rotate"]
    assert (train.epochs, train.batch, train.balanced, train.seeds) == (200, 120, False, [42, 1024, 90210])
    assert (optim.name, optim.lr, optim.lr_scale_base, optim.weight_decay) == ("adamw", 5e-3, 1024, 0.01)
    assert (optim.schedule, optim.warmup_epochs, optim.warmup_lr, optim.min_lr) == ("cosine", 5, 1e-6, 1e-5)
