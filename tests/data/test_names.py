"""Names of recordings and images that are the same, nearly the same, or not at all."""

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braincog_tmkt.cli import main
from braincog_tmkt.data.names import composed, names_in_words, names_note, nearest, nearest_name
from braincog_tmkt.data.sets import DATASETS
from braincog_tmkt.data.sets.folder import Folder
from braincog_tmkt.data.types import Index, Item
from braincog_tmkt.errors import DataError

from .trees import picture, recording

ACCENTED = "\u00fcber\u00e9"
APART = unicodedata.normalize("NFD", ACCENTED)


def tree(root: Path, recordings: list[str], images: list[str], classes=("a", "b"), image_classes=None) -> Path:
    """Recordings and images of these stems in each class."""
    for folder, names, stems in (("events", classes, recordings), ("static", image_classes or classes, images)):
        for label, name in enumerate(names):
            (root / folder / name).mkdir(parents=True)
            for number, stem in enumerate(stems):
                place, seed = root / folder / name / stem, 100 * label + number
                if folder == "events":
                    np.save(f"{place}.npy", recording(seed, 32, 32))
                else:
                    picture(seed, 20, 24, 3).save(f"{place}.png")
    return root


def items(*names: str, folder: str = "events") -> tuple[Item, ...]:
    return tuple(Item(composed(name), name.split("/")[0], Path(folder) / f"{name}.x") for name in names)


def test_an_accent_in_two_codes_is_one_name(tmp_path, capsys):
    place = tree(tmp_path / "mixed", [f"{APART}{n}" for n in range(3)], [f"{ACCENTED}{n}" for n in range(3)])
    plain = tree(tmp_path / "plain", *[[f"{ACCENTED}{n}" for n in range(3)]] * 2)
    mixed, same = Folder(place).index(), Folder(plain).index()
    assert mixed.twins_known
    assert [item.key for item in mixed.recordings] == [item.key for item in same.recordings]
    assert [item.key for item in mixed.recordings] == [item.key for item in mixed.statics]
    assert all(item.path.is_file() for item in mixed.recordings)
    assert len(Folder(place).events(mixed.recordings[0]))
    assert names_in_words(mixed) is None
    assert main(["data", "check", "folder", "--root", str(place)]) == 0
    assert "note" not in capsys.readouterr().out


def test_classes_in_two_codes_are_one_class(tmp_path):
    place = tree(tmp_path, ["1", "2"], ["1", "2"], [APART, "z"], [ACCENTED, "z"])
    index = Folder(place).index()
    assert index.classes == ("z", ACCENTED)
    assert index.twins_known


@pytest.mark.parametrize("part", ["events", "static"])
def test_two_names_that_are_one_are_both_named(tmp_path, part):
    place = tree(tmp_path, [ACCENTED], [ACCENTED])
    file = next((place / part / "a").iterdir())
    other = file.with_stem(APART)
    shutil.copy(file, other)
    with pytest.raises(DataError, match="have one name or number: remove or rename one") as error:
        Folder(place).index()
    assert str(file) in str(error.value)
    assert str(other) in str(error.value)
    other.unlink()
    (place / part / "a").rename(place / part / ACCENTED)
    shutil.copytree(place / part / ACCENTED, place / part / APART)
    with pytest.raises(DataError, match="are one name for a class"):
        Folder(place).index()


@pytest.mark.parametrize(
    ("recordings", "images", "pair"),
    [
        (["Cat_1", "Cat_2"], ["cat_1", "cat_2"], ("Cat_1", "cat_1")),
        (["7", "8"], ["007", "008"], ("7", "007")),
        (["10", "100"], ["0010", "00100"], ("10", "0010")),
        (["7_events", "8_events"], ["8", "7"], ("7_events", "7")),
        (["ev-07", "ev-08"], ["frame 8", "frame 7"], ("ev-07", "frame 7")),
        (["scene a ", "scene b "], ["scene b", "scene a"], ("scene a ", "scene a")),
        (["\uff17", "\uff18"], ["8", "7"], ("\uff17", "7")),
        (["sunflower", "bridge"], ["sunflowers", "brigde"], ("bridge", "brigde")),
    ],
)
def test_names_that_nearly_agree_are_shown(tmp_path, monkeypatch, capsys, recordings, images, pair):
    tree(tmp_path / "data", recordings, images)
    monkeypatch.chdir(tmp_path)
    words = (
        f"no recording has an image of its name; the nearest are events/a/{pair[0]}.npy and static/a/{pair[1]}.png:"
        " give a recording and the image it shows one name (or take data.protocol=unpaired, if they never do)"
    )
    for verb in ("check", "audit"):
        assert main(["data", verb, "folder", "--root", "data"]) == 0
        assert f"note: {words}" in capsys.readouterr().out
    assert main(["train", "folder/tmkt", "--tier", "smoke", "data.train_per_class=1"]) == 2
    assert f"under protocol 'clean': {words}" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_some_names_that_differ_are_an_error_that_shows_the_nearest(tmp_path):
    place = tree(tmp_path, ["1", "2", "Last"], ["1", "2", "last"])
    with pytest.raises(DataError, match=r"2 of 6 recordings have no image of their name") as error:
        Folder(place).index()
    assert "the nearest are events/a/Last.npy and static/a/last.png" in str(error.value)


def test_class_folders_that_nearly_agree(tmp_path):
    place = tree(tmp_path, ["1"], ["1"], ["Cat", "dog"], ["cat", "dog"])
    with pytest.raises(DataError, match=r"static/Cat is missing .* is it .*static/cat\? add it"):
        Folder(place).index()


def test_names_far_from_each_other_have_no_pair():
    index = Index(("a",), items("a/x"), items("a/qqqqqqq", folder="static"))
    assert names_in_words(index) == "no recording has an image of its name"
    assert names_in_words(Index(("a",), items("a/x"), ())) is None


def test_only_names_without_partner_are_near(tmp_path):
    """The image 1 has its recording; 10 is what is left for the recording 010."""
    index = Index(("a",), items("a/1", "a/010"), items("a/1", "a/10", folder="static"))
    assert "1 of 2" in names_in_words(index)
    assert "events/a/010.x and static/a/10.x" in names_in_words(index)


def test_a_data_set_whose_images_share_classes_alone_has_no_note():
    index = Index(("a",), items("a/1"), items("a/01", folder="static"))
    assert names_note(DATASETS["cifar10dvs"], index) is None
    assert "unpaired" not in names_note(DATASETS["ncaltech101"], index)
    assert "unpaired" in names_note(DATASETS["folder"], index)


KEYS = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=8)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(KEYS, max_size=6), st.lists(KEYS, max_size=6))
def test_any_names_have_a_nearest_pair_or_none(one, other):
    recordings, images = (tuple(Item(f"a/{name}", "a") for name in dict.fromkeys(names)) for names in (one, other))
    pair = nearest(recordings, images)
    assert pair is None or (pair[0] in recordings and pair[1] in images)
    if set(one) & set(other):
        assert pair is not None
    assert nearest_name("a", other) is None or nearest_name("a", other) in other
    assert isinstance(names_in_words(Index(("a",), recordings, images)), str | None)
