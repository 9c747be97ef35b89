"""N-Omniglot: files with wrong names, or missing."""

import os
import shutil
from pathlib import Path

import pytest

from braincog_tmkt.data.sets.nomniglot import NOmniglot
from braincog_tmkt.errors import DataError

from .test_nomniglot import tree, whole  # noqa: F401

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
        (f"{EVENTS}/character02", f"{EVENTS}/two", "two is no folder of a character"),
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
    with pytest.raises(DataError, match="Loop/Latin is no folder of a character"):
        NOmniglot(tree).index()


def test_one_alphabet_in_both_sets_of_images_is_an_error(tree: Path) -> None:
    shutil.copytree(tree / "omniglot-py/images_background/Latin", tree / "omniglot-py/images_evaluation/Latin")
    with pytest.raises(DataError, match=r"images_background/Latin and .*images_evaluation/Latin are the same"):
        NOmniglot(tree).index()


def test_fingerprint_follows_every_file(tree: Path) -> None:
    dataset = NOmniglot(tree)
    index = dataset.index()
    seen = {dataset.fingerprint(index)}
    for path in ("dvs_background/Latin/character02/0002.csv", "dvs_background/Latin/character02/0002.aedat4"):
        os.utime(tree / path, ns=(5, 5))
        seen.add(dataset.fingerprint(index))
    os.utime(tree / "omniglot-py/images_background/Latin/character02/0002_07.png", ns=(5, 5))
    seen.add(dataset.fingerprint(index))
    assert len(seen) == 4
    moved = shutil.copytree(tree, tree.parent / "moved")
    assert NOmniglot(moved).fingerprint(NOmniglot(moved).index()) in seen
