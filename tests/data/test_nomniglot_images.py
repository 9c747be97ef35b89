"""N-Omniglot: images, BrainCog's pipeline, download, recipes."""

import contextlib
import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision import transforms

from braincog_tmkt.data.sets.nomniglot import NOmniglot
from braincog_tmkt.data.sets.omniglot import image_folders
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.data.types import FrameSpec
from braincog_tmkt.errors import DataError
from braincog_tmkt.recipe import load_recipe

from .test_nomniglot import BACKGROUND, DRAWERS, EVALUATION, number_of, recordings, sample, tree, whole  # noqa: F401
from .trees import keys


def test_images_are_those_of_torchvision_white_is_one(whole: Path) -> None:
    dataset = NOmniglot(whole)
    theirs = transforms.Compose([transforms.Resize((28, 28)), transforms.ToTensor()])
    for item in dataset.index().statics[::7]:
        assert item.path is not None
        truth = theirs(Image.open(item.path).convert("L"))[0]  # as torchvision's Omniglot opens them
        mine = torch.from_numpy(dataset.image(item, 28).copy()).float().div(255)
        torch.testing.assert_close(mine, truth, rtol=0, atol=0)
        assert mine[0, 0] == 1
        assert mine.min() < 0.9


@pytest.mark.data
def test_real_omniglot_images_are_all_found(shared: Path) -> None:
    top = shared / "data/omniglot/images_background_small1"
    names = {f"{path.parent.name}/{path.name}": path for path in top.glob("*/*")}
    found = image_folders(shared / "data/omniglot", names)
    assert len(found) == 136
    assert found == names


@dataclass
class Theirs:
    """What BrainCog makes of a tree: where its events lie, and its data sets of frames 250x250 and labels."""

    root: Path
    train: Dataset
    test: Dataset


@pytest.fixture(scope="module")
def braincog(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Theirs:
    from braincog.datasets.NOmniglot.nomniglot_full import NOmniglotfull

    root = tmp_path_factory.mktemp("braincog")
    for name in ("dvs_background", "dvs_evaluation"):
        (root / name).symlink_to(whole / name)
    original = os.listdir
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(os, "listdir", lambda path: sorted(original(path)))  # theirs follows the file system
        settings = {"frames_num": 12, "data_type": "frequency", "use_npz": True}
        train, test = (NOmniglotfull(str(root), train=part, **settings) for part in (True, False))
        return Theirs(root, train, test)


def test_events_are_those_of_braincog(whole: Path, braincog: Theirs) -> None:
    """Its pickled files hold what we cut, and our reader of its tree gives the same items and events."""
    ours, theirs = NOmniglot(whole), NOmniglot(braincog.root, whole)
    for name in ("dvs_background", "dvs_evaluation"):
        assert theirs.index().recordings[0].path.suffix == ".aedat4"  # the official files come first
        (braincog.root / name).unlink()
    index = theirs.index()
    assert keys(index.recordings) == keys(ours.index().recordings)
    assert index.classes == ours.index().classes
    assert index.official_test == ours.index().official_test
    for mine, item in zip(ours.index().recordings, index.recordings, strict=True):
        assert item.path is not None
        assert item.path.suffix == ".npy"
        pickled = np.load(item.path, allow_pickle=True).item()
        events = ours.events(mine)
        for column in ("t", "x", "y", "p"):
            np.testing.assert_array_equal(events[column], pickled[column])
        np.testing.assert_array_equal(theirs.events(item), events)
    index.recordings[4].path.unlink()
    with pytest.raises(DataError, match=r"_05\.npy is missing"):
        theirs.index()


def test_frames_and_split_are_those_of_braincog(whole: Path, braincog: Theirs) -> None:
    """The same frames at the size of the crop, where no resize hides a difference, and the same parts and labels."""
    dataset = NOmniglot(whole)
    index = dataset.index()
    items = {item.key: item for item in index.recordings}
    split = make_split(index, Protocol("published"))
    for part, theirs in ((split.train, braincog.train), (split.test, braincog.test)):
        ordered = sorted((items[key] for key in part), key=lambda item: (index.label_of[item.class_name], item.key))
        assert len(ordered) == len(theirs)
        for row, item in enumerate(ordered):
            frames, label = theirs[row]
            block = index.label_of[item.class_name]
            assert label == (block if item.class_name in BACKGROUND else 964 + block - len(BACKGROUND))
            made = dataset.frames(item, FrameSpec(12, 250, "frequency"))
            np.testing.assert_array_equal(made, frames.numpy(), err_msg=item.key)


@pytest.mark.parametrize("antialias", [False, True])
def test_small_frames_are_those_of_torchvisions_resize(whole: Path, braincog: Theirs, antialias: bool) -> None:
    dataset = NOmniglot(whole)
    items = {item.key: item for item in dataset.index().recordings}
    resize = transforms.Resize((28, 28), antialias=antialias)
    for row, key in ((0, "Latin/character01/01"), (33, "Angelic/character01/04")):
        made = dataset.frames(items[key], FrameSpec(12, 28, "frequency", antialias))
        np.testing.assert_allclose(made, resize(braincog.train[row][0]).numpy(), rtol=0, atol=1e-6)


def test_download_fetches_the_images_and_says_where_the_recordings_are(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision

    def fetch(root: Path, background: bool, download: bool) -> None:
        name = "images_background" if background else "images_evaluation"
        shutil.copytree(whole / "omniglot-py" / name, root / "omniglot-py" / name)

    monkeypatch.setattr(torchvision.datasets, "Omniglot", fetch)
    with pytest.raises(DataError, match=r"recordings must be fetched by hand.*figshare\.16821427"):
        NOmniglot(tmp_path).download()
    recordings(tmp_path)
    shutil.rmtree(tmp_path / "omniglot-py")
    NOmniglot(tmp_path).download()
    assert keys(NOmniglot(tmp_path).index().statics) == keys(NOmniglot(whole).index().statics)


@pytest.mark.parametrize("name", ["baseline", "knowledge_transfer", "tsm", "tmkt"])
def test_recipes_are_the_papers_settings(name: str) -> None:
    recipe = load_recipe(Path(__file__).parents[2] / f"experiments/nomniglot/{name}.yaml")
    assert (recipe.data.name, recipe.data.frames, recipe.data.antialias) == ("nomniglot", "frequency", False)
    assert recipe.method.get("mix_ratio") == (0.95 if recipe.method["name"] == "tmkt" else None)
    assert (recipe.data.steps, recipe.data.size, recipe.train.epochs, recipe.train.batch) == (12, 28, 50, 16)
    assert recipe.optim.lr * recipe.train.batch / recipe.optim.lr_scale_base == pytest.approx(0.01875)
    assert (recipe.optim.schedule, recipe.optim.step_epochs, recipe.optim.step_rate) == ("step", 40, 0.1)
    assert not recipe.train.balanced


# Names


EVENTS, IMAGES = "dvs_background/Latin", "omniglot-py/images_background/Latin"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (EVENTS, "dvs_background/Latn", "no images of Latn"),
        (IMAGES, "omniglot-py/images_background/latin", "no images of Latin"),
        (f"{EVENTS}/character02", f"{EVENTS}/character03", "character02 has images in .*no recordings"),
        (
            f"{IMAGES}/character02",
            f"{IMAGES}/character03",
            "Latin/character02 has recordings in .*dvs_background/Latin/character02, but no images",
        ),
        (f"{EVENTS}/character02", f"{EVENTS}/two", "two is not a folder of a character"),
        (f"{EVENTS}/character02", "gone", "Latin/character02 has images in"),
        (f"{IMAGES}/character02", "gone", "Latin/character02 has recordings in"),
        ("omniglot-py", "gone", r"cannot find the images of Omniglot in .*omniglot-py/images_background"),
        (f"{EVENTS}/character02/0002.csv", "gone", r"character02 holds no \.csv files"),
        (f"{EVENTS}/character02/0002.csv", f"{EVENTS}/character02/2.csv", r"holds 0 files NNNN\.csv"),
        (f"{EVENTS}/character02/0002.aedat4", f"{EVENTS}/character01/0002.aedat4", r"holds 2 files NN"),
        (
            f"{IMAGES}/character02/0002_07.png",
            "gone.png",
            r"Latin/character02 should hold one .png .* 0002_07.png is missing",
        ),
        (f"{IMAGES}/character02/0002_07.png", f"{IMAGES}/character02/0001_07.png", "Latin/character02 should hold"),
        (f"{IMAGES}/character02/0002_07.png", f"{IMAGES}/character02/seven.png", "should"),
    ],
)
def test_renamed_and_missing_files_are_named(tree: Path, old: str, new: str, fault: str) -> None:
    (tree / old).rename(tree / new)
    with pytest.raises(DataError, match=fault):
        NOmniglot(tree).index()


def test_empty_and_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot find the recordings of N-Omniglot.*dvs_background"):
        NOmniglot(tmp_path).index()
    (tmp_path / "dvs_background").mkdir()
    with pytest.raises(DataError, match="no alphabets"):
        NOmniglot(tmp_path).index()
    (tmp_path / "dvs_background/Latin").mkdir()
    with pytest.raises(DataError, match="Latin holds no folders of characters"):
        NOmniglot(tmp_path).index()


def test_a_loop_of_links_is_no_hang(tree: Path) -> None:
    (tree / "dvs_background/Latin/character09").symlink_to(tree / "dvs_background")
    with pytest.raises(DataError, match="Latin/character09 has recordings"):
        NOmniglot(tree).index()
    (tree / "dvs_background/Latin/character09").unlink()
    (tree / "dvs_background/Loop").symlink_to(tree / "dvs_background")
    with pytest.raises(DataError, match="Loop/Latin is not a folder of a character"):
        NOmniglot(tree).index()


def test_one_alphabet_in_both_sets_of_images_is_an_error(tree: Path) -> None:
    shutil.copytree(tree / "omniglot-py/images_background/Latin", tree / "omniglot-py/images_evaluation/Latin")
    with pytest.raises(DataError, match=r"images_background/Latin and .*images_evaluation/Latin are the same"):
        NOmniglot(tree).index()
