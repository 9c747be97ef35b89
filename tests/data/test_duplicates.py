import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.data.audit import audit, require_clean
from braincog_tmkt.data.duplicates import find_duplicates
from braincog_tmkt.data.sets import Digits, NCaltech101
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.data.types import Index, Item
from braincog_tmkt.errors import DataError

from .trees import caltech_tree

EVENTS, IMAGES = "NCALTECH101/Caltech101", "caltech101/101_ObjectCategories"


@pytest.fixture
def tree(tmp_path):
    caltech_tree(tmp_path, ("Leopards", "accordion"), count=10)
    return tmp_path


def found(tree):
    dataset = NCaltech101(tree)
    index = dataset.index()
    return index, find_duplicates(dataset, index, progress=False)


def test_copies_are_found_across_classes(tree):
    shutil.copy(tree / EVENTS / "Leopards/image_0002.bin", tree / EVENTS / "accordion/image_0010.bin")
    shutil.copy(tree / EVENTS / "Leopards/image_0002.bin", tree / EVENTS / "accordion/image_0001.bin")
    shutil.copy(tree / IMAGES / "Leopards/image_0003.jpg", tree / IMAGES / "Leopards/image_0004.jpg")
    assert found(tree)[1] == (
        (("Leopards/image_0002", "accordion/image_0001", "accordion/image_0010"),),
        (("Leopards/image_0003", "Leopards/image_0004"),),
    )


def test_files_of_equal_size_are_no_copies(tree):
    path = tree / EVENTS / "Leopards/image_0002.bin"
    data = bytearray(path.read_bytes())
    data[2] ^= 128  # one polarity
    (tree / EVENTS / "Leopards/image_0003.bin").write_bytes(data)
    assert found(tree)[1] == ((), ())


@pytest.mark.parametrize(
    ("folder", "suffix", "what"), [(EVENTS, "bin", "recordings"), (IMAGES, "jpg", "images")], ids=["event", "image"]
)
def test_content_seen_in_training_is_a_leak_of_a_clean_protocol(tree, capsys, folder, suffix, what):
    assert main(["data", "audit", "ncaltech101", "--root", str(tree)]) == 0
    shutil.copy(
        tree / folder / f"Leopards/image_0001.{suffix}", tree / folder / f"Leopards/image_0010.{suffix}"
    )  # 10 is test
    assert main(["data", "audit", "ncaltech101", "--root", str(tree)]) == 1
    printed = capsys.readouterr().out
    assert "1 validation or test recordings have the content of something trained on: IT LEAKS" in printed
    assert f"1 groups of {what} have the same content, the first: Leopards/image_0001, Leopards/image_0010" in printed


def test_copies_within_one_part_are_no_leak(tree):
    for number in (2, 3):  # both train
        shutil.copy(tree / EVENTS / "Leopards/image_0001.bin", tree / EVENTS / f"Leopards/image_000{number}.bin")
    index, duplicates = found(tree)
    split = make_split(index, Protocol("clean"))
    verdict = audit(index, split, duplicates)
    assert verdict.same_content == 0
    require_clean(verdict, split)
    assert audit(index, split).same_content is None


def test_items_that_share_a_file_are_compared_one_by_one():
    streams = {"a/1": 1, "a/2": 2, "a/3": 1}
    path = __file__  # any file: it is theirs together
    items = tuple(Item(key, "a", path) for key in streams)
    dataset = SimpleNamespace(
        still=False,
        events=lambda item: np.full(4, streams[item.key]),
        image=lambda item, size: np.full((size, size), streams[item.key]),
    )
    duplicates = find_duplicates(dataset, Index(("a",), items, items), progress=False)
    assert duplicates == ((("a/1", "a/3"),), (("a/1", "a/3"),))


def test_the_embedded_digits_hold_no_copy_across_parts():
    dataset = Digits("unused")
    index = dataset.index()
    few = Index(index.classes, index.recordings[:10], index.statics)
    assert audit(index, make_split(index, Protocol("clean")), find_duplicates(dataset, few, False)).same_content == 0


def test_a_file_that_is_gone_is_named(tree):
    dataset = NCaltech101(tree)
    index = dataset.index()
    (tree / EVENTS / "Leopards/image_0002.bin").unlink()
    with pytest.raises(DataError, match=r"image_0002\.bin cannot be read"):
        find_duplicates(dataset, index, progress=False)
