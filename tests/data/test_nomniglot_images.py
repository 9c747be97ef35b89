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

from braincog_tmkt.data.readers.arrays import write_events_npy
from braincog_tmkt.data.sets.nomniglot import NOmniglot
from braincog_tmkt.data.sets.omniglot import image_folders
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.data.types import FrameSpec
from braincog_tmkt.errors import DataError
from braincog_tmkt.recipe import load_recipe

from .test_nomniglot import BACKGROUND, DRAWERS, EVALUATION, keys, number_of, recordings, sample, tree, whole  # noqa: F401

# Images


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


# BrainCog's pipeline


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


def test_our_own_events_npy_is_read_too(tmp_path: Path, whole: Path) -> None:
    for part, names in (("background", BACKGROUND), ("evaluation", EVALUATION)):
        for name in names:
            folder = tmp_path / "events_npy" / part / name
            folder.mkdir(parents=True)
            for drawer in DRAWERS:
                write_events_npy(folder / f"{number_of(name):04d}_{drawer}.npy", sample(name, drawer))
    dataset = NOmniglot(tmp_path, whole)
    index = dataset.index()
    assert index.classes == NOmniglot(whole).index().classes
    assert dataset.fingerprint(index) == NOmniglot(tmp_path, whole).fingerprint(index)
    item = index.recordings[-1]
    np.testing.assert_array_equal(dataset.events(item), sample("Latin/character02", "20"))
    (tmp_path / "events_npy/background/Latin/character01/0001_05.npy").unlink()
    with pytest.raises(DataError, match=r"0001_05\.npy is missing"):
        dataset.index()


# Download and recipes


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


@pytest.mark.parametrize("tier", [None, "smoke", "small"])
@pytest.mark.parametrize("name", ["baseline", "knowledge_transfer", "tsm", "tmkt"])
def test_recipes_are_the_papers_settings(name: str, tier: str | None) -> None:
    recipe = load_recipe(Path(__file__).parents[2] / f"experiments/nomniglot/{name}.yaml", tier=tier)
    assert (recipe.data.name, recipe.data.frames, recipe.data.antialias) == ("nomniglot", "frequency", False)
    assert recipe.data.name == "nomniglot"
    assert recipe.method.get("mix_ratio") == (0.95 if recipe.method["name"] == "tmkt" else None)
    if tier is None:
        assert (recipe.data.steps, recipe.data.size, recipe.train.epochs, recipe.train.batch) == (12, 28, 50, 16)
        rate = recipe.optim.lr * recipe.train.batch / recipe.optim.lr_scale_base
        assert rate == pytest.approx(0.01875)
        assert (recipe.optim.schedule, recipe.optim.step_epochs, recipe.optim.step_rate) == ("step", 40, 0.1)
        assert not recipe.train.balanced
