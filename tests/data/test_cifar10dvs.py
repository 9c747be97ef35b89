"""CIFAR10-DVS on trees in the true format, with and without the images of CIFAR-10."""

from pathlib import Path

import numpy as np
import pytest
import tonic
from PIL import Image

from braincog_tmkt.data.audit import audit, require_clean
from braincog_tmkt.data.cache import prepare
from braincog_tmkt.data.frames import FRAMES
from braincog_tmkt.data.readers.aedat import write_cifar10dvs
from braincog_tmkt.data.readers.aedat4 import write_aedat4
from braincog_tmkt.data.sets.cifar10 import CLASSES
from braincog_tmkt.data.sets.cifar10dvs import CIFAR10DVS, LAYOUTS
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.data.types import FrameSpec
from braincog_tmkt.errors import DataError
from braincog_tmkt.recipe import load_recipe

from .trees import keys, picture, recording

NAMES = ("airplane", "cat", "truck")
RECIPES = Path(__file__).parents[2] / "experiments/cifar10dvs"


def empty_tree(root: Path, names: tuple[str, ...] = NAMES, count: int = 12, suffix: str = ".aedat") -> None:
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (root / name / f"cifar10_{name}_{number}{suffix}").touch()


def images(root: Path, names: tuple[str, ...] = NAMES, count: int = 3) -> None:
    for name in names:
        (root / "train" / name).mkdir(parents=True)
        for number in range(count):
            picture(number, 32, 32, 3).save(root / "train" / name / f"{number:04d}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    empty_tree(tmp_path / "CIFAR10DVS")
    return tmp_path


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", [".aedat", ".aedat4"])
def test_every_layout_is_found(tmp_path: Path, layout: str, suffix: str) -> None:
    empty_tree(tmp_path / layout, suffix=suffix)
    index = CIFAR10DVS(tmp_path).index()
    assert index.classes == NAMES
    assert keys(index.recordings) == [f"{name}/{number:03d}" for name in NAMES for number in range(12)]
    assert all(item.path.name == f"cifar10_{item.class_name}_{int(item.key[-3:])}{suffix}" for item in index.recordings)
    assert index.statics == ()
    assert not index.twins_known
    assert not index.official_test


def test_files_named_by_their_number_alone_will_do(root: Path) -> None:
    before = keys(CIFAR10DVS(root).index().recordings)
    for path in (root / "CIFAR10DVS").rglob("*.aedat"):
        path.rename(path.with_name(path.name.rpartition("_")[2]))
    assert keys(CIFAR10DVS(root).index().recordings) == before


def test_published_divisions_go_by_number(tmp_path: Path) -> None:
    """TET trains on numbers 0..699 of each class and tests on 700..999; BrainCog cuts at .9."""
    empty_tree(tmp_path / "CIFAR10DVS", CLASSES, count=1000)
    index = CIFAR10DVS(tmp_path).index()
    assert index.classes == CLASSES
    for portion in (0.7, 0.9):
        split = make_split(index, Protocol("published", train_portion=portion))
        assert set(split.train) == {f"{name}/{number:03d}" for name in CLASSES for number in range(int(1000 * portion))}
        assert len(split.train) + len(split.test) == 10_000
        assert split.val == ()
        assert not split.leaky
    clean = make_split(index, Protocol("clean"))
    verdict = audit(index, clean)
    assert (verdict.train, verdict.val, verdict.test, verdict.pool) == (8100, 900, 1000, 0)
    assert clean.test == make_split(index, Protocol("published")).test
    require_clean(verdict, clean)


def test_missing_recordings_move_no_other(root: Path) -> None:
    (root / "CIFAR10DVS/cat/cifar10_cat_5.aedat").unlink()
    index = CIFAR10DVS(root).index()
    assert "cat/005" not in keys(index.recordings)
    assert len(index.recordings) == 35
    assert next(item for item in index.recordings if item.key == "cat/006").path.name == "cifar10_cat_6.aedat"


@pytest.mark.parametrize(
    ("source", "target", "fault"),
    [
        ("cat", "cats", "cats is not a class"),
        ("cat", "dog", r"cifar10_cat_\d+\.aedat is not named cifar10_dog_0 to _999"),
        ("cat/cifar10_cat_3.aedat", "truck/cifar10_cat_3.aedat", r"truck/cifar10_cat_3\.aedat is not named"),
        ("cat/cifar10_cat_3.aedat", "cat/cifar10_cat_1000.aedat", r"cifar10_cat_1000\.aedat is not named"),
        ("cat/cifar10_cat_3.aedat", "cat/cifar10_cat_3.aedat4", None),
        (
            "cat/cifar10_cat_3.aedat",
            "cat/cifar10_cat_4.aedat4",
            r"cat_4\.aedat and .*cat_4\.aedat4 have one name or number",
        ),
        ("cat/cifar10_cat_3.aedat", "cat/04.aedat", r"04\.aedat and .*cifar10_cat_4\.aedat have one name or number"),
    ],
)
def test_renamed_files_and_folders_are_named(root: Path, source: str, target: str, fault: str | None) -> None:
    before = keys(CIFAR10DVS(root).index().recordings)
    (root / "CIFAR10DVS" / source).rename(root / "CIFAR10DVS" / target)
    if fault is None:
        assert keys(CIFAR10DVS(root).index().recordings) == before
    else:
        with pytest.raises(DataError, match=fault):
            CIFAR10DVS(root).index()


def test_missing_and_empty_folders_are_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"recordings of CIFAR10-DVS in .*empty"):
        CIFAR10DVS(root / "empty").index()
    (root / "without/cifar-10-batches-py").mkdir(parents=True)
    with pytest.raises(DataError, match=r"recordings of CIFAR10-DVS in .*without"):
        CIFAR10DVS(root / "without").index()
    (root / "CIFAR10DVS/ship").mkdir()
    with pytest.raises(DataError, match=r"ship holds no \.aedat or \.aedat4 files"):
        CIFAR10DVS(root).index()


def test_images_are_optional_unless_their_folder_is_given(root: Path) -> None:
    assert CIFAR10DVS(root).index().statics == ()
    with pytest.raises(DataError, match="CIFAR-10"):
        CIFAR10DVS(root, root / "images").index()
    images(root / "images", (*NAMES, "frog"))
    index = CIFAR10DVS(root, root / "images").index()
    assert keys(index.statics) == [f"{name}/train-{number:05d}" for name in NAMES for number in range(3)]
    assert CIFAR10DVS(root).fingerprint(index) != CIFAR10DVS(root).fingerprint(CIFAR10DVS(root).index())
    made = CIFAR10DVS(root).image(index.statics[4], 32)
    np.testing.assert_array_equal(made, np.asarray(Image.open(index.statics[4].path)).max(axis=2))


def test_damaged_images_are_not_passed_over(root: Path) -> None:
    (root / "cifar-10-batches-py").mkdir()
    (root / "cifar-10-batches-py/data_batch_1").write_bytes(b"no pickle")
    with pytest.raises(DataError, match="data_batch_1"):
        CIFAR10DVS(root).index()


def test_both_formats_hold_the_same_recording(root: Path) -> None:
    made = recording(8, 128, 128)
    folder = root / "CIFAR10DVS/cat"
    (folder / "cifar10_cat_1.aedat").rename(folder / "cifar10_cat_1.aedat4")
    write_cifar10dvs(folder / "cifar10_cat_0.aedat", made)
    write_aedat4(folder / "cifar10_cat_1.aedat4", made, CIFAR10DVS.sensor)
    dataset = CIFAR10DVS(root)
    for item in dataset.index().recordings[12:14]:
        np.testing.assert_array_equal(dataset.events(item), made)


def test_frames_of_equal_time_are_tonics_on_the_whole_sensor(root: Path) -> None:
    item = CIFAR10DVS(root).index().recordings[0]
    write_cifar10dvs(item.path, recording(3, 128, 128, count=5000))
    events = CIFAR10DVS(root).events(item)
    truth = tonic.transforms.ToFrame(tonic.datasets.CIFAR10DVS.sensor_size, n_time_bins=10)(events)
    np.testing.assert_array_equal(CIFAR10DVS(root).frames(item, FrameSpec(steps=10, size=128)), truth)


@pytest.mark.parametrize("name", ["time", "number", "presence"])
def test_the_three_kinds_of_frames_have_a_recipe_each(root: Path, name: str) -> None:
    recipe = load_recipe(RECIPES / f"baseline_{name}.yaml")
    assert (recipe.data.frames, recipe.data.steps, recipe.data.size) == (name, 10, 48)
    assert recipe.data.frames in FRAMES
    assert recipe.method == {"name": "baseline", "mse_weight": 1e-3}
    item = CIFAR10DVS(root).index().recordings[0]
    write_cifar10dvs(item.path, recording(3, 128, 128, count=5000))
    made = CIFAR10DVS(root).frames(item, FrameSpec(recipe.data.steps, recipe.data.size, recipe.data.frames))
    assert (made.shape, made.dtype) == ((10, 2, 48, 48), np.float32)
    assert made.any(axis=(1, 2, 3)).all()


def test_a_set_without_images_is_prepared(tmp_path: Path) -> None:
    empty_tree(tmp_path / "CIFAR10DVS", count=2)
    for seed, path in enumerate(sorted((tmp_path / "CIFAR10DVS").rglob("*.aedat"))):
        write_cifar10dvs(path, recording(seed, 128, 128))
    dataset = CIFAR10DVS(tmp_path)
    frames = prepare(dataset, dataset.index(), FrameSpec(4, 24), tmp_path / "cache", workers=1, progress=False)
    assert frames.events.shape == (6, 4, 2, 24, 24)
    assert frames.images.shape == (0, 24, 24)


def test_a_download_goes_where_the_index_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's downloader is replaced by what it leaves on the disk."""
    monkeypatch.setattr(
        tonic.datasets, "CIFAR10DVS", lambda save_to: empty_tree(Path(save_to) / "CIFAR10DVS", suffix=".aedat4")
    )
    CIFAR10DVS(tmp_path).download()
    assert len(CIFAR10DVS(tmp_path).index().recordings) == 36
