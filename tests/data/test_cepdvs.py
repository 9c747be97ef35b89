"""CEP-DVS on trees in the true format: .mat recordings, images, and the list of labels."""

import random
import re
from pathlib import Path

import numpy as np
import pytest

from braincog_tmkt.data.audit import audit, require_clean
from braincog_tmkt.data.sets.cepdvs import CEPDVS, CLASSES, IMAGES, LABELS, LAYOUTS, RECORDINGS
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.errors import DataError

from .trees import keys

HEADER = "index\timage\trecording\tfine\tcoarse"
PER_CLASS = 10
STORED = [name for name in ("fish", "aquatic_mammals", "trees") for _ in range(PER_CLASS)]
"""The classes of recordings 0, 1, ...: stored by class, but not in the order of the labels."""


def line(number: int, name: str) -> str:
    return f"{number}\tdata/img/{number:05d}.jpg\tdata/MAT/img/{number:05d}.mat\t-\t{name}"


def write_labels(root: Path, names: list[str]) -> Path:
    path = root / LABELS
    path.write_text("\n".join([HEADER, *(line(number, name) for number, name in enumerate(names))]) + "\n")
    return path


def empty_tree(root: Path, names: list[str]) -> None:
    """All files of a set, with nothing in them: enough for what only lists them."""
    for folder, suffix in ((RECORDINGS, "mat"), (IMAGES, "jpg")):
        (root / folder).mkdir(parents=True)
        for number in range(len(names)):
            (root / folder / f"{number:05d}.{suffix}").touch()
    write_labels(root, names)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    empty_tree(tmp_path / "CEP-DVS", STORED)
    return tmp_path


def test_the_classes_are_the_superclasses_of_cifar_100() -> None:
    assert len(CLASSES) == CEPDVS.card.counts["classes"] == 20
    assert list(CLASSES) == sorted(CLASSES)
    assert CLASSES[9] == "large_man-made_outdoor_things"
    assert CLASSES[19] == "vehicles_2"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_found(tmp_path: Path, layout: str) -> None:
    empty_tree(tmp_path / layout, STORED)
    assert len(CEPDVS(tmp_path).index().recordings) == len(STORED)


def test_a_recording_is_paired_with_the_image_of_its_number(root: Path) -> None:
    index = CEPDVS(root).index()
    assert index.classes == ("aquatic_mammals", "fish", "trees")
    assert keys(index.recordings) == keys(index.statics) == sorted(f"{c}/{i:05d}" for i, c in enumerate(STORED))
    for one, other in zip(index.recordings, index.statics, strict=True):
        assert (one.path.name, other.path.name) == (f"{one.key[-5:]}.mat", f"{one.key[-5:]}.jpg")
        assert one.class_name == other.class_name == STORED[int(one.key[-5:])]
    assert index.twins_known


def test_the_published_division_of_each_class(root: Path) -> None:
    index = CEPDVS(root).index()
    assert index.official_test == {f"{c}/{i:05d}" for i, c in enumerate(STORED) if i % PER_CLASS in (5, 6)}
    assert index.unused == {f"{c}/{i:05d}" for i, c in enumerate(STORED) if i % PER_CLASS in (7, 8, 9)}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many files as the official set has."""
    root = tmp_path_factory.mktemp("full")
    empty_tree(root, [name for name in CLASSES for _ in range(500)])
    return root


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_full_set_under_both_protocols(full: Path, shuffled: bool) -> None:
    names = [name for name in CLASSES for _ in range(500)]
    if shuffled:
        random.Random(3).shuffle(names)
    write_labels(full, names)
    index = CEPDVS(full).index()
    assert (len(index.classes), len(index.recordings), len(index.statics)) == (20, 10_000, 10_000)
    clean = make_split(index, Protocol("clean"))
    verdict = audit(index, clean)
    assert (verdict.train, verdict.val, verdict.test) == (4500, 500, 2000)
    assert (verdict.test_with_twin_in_pool, verdict.wrong_class_draws) == (0, 0)
    require_clean(verdict, clean)

    # What the published code computes, once more, with its own arrays of positions.
    labels = np.array([CLASSES.index(name) for name in names])
    blocks = np.arange(10_000).reshape(20, 500)
    train, test = blocks[:, :250].ravel(), blocks[:, 250:350].ravel()
    draws = {label: np.flatnonzero(labels[train] == label) for label in range(20)}
    right = np.mean([np.mean(labels[draws[label]] == label) for label in labels[train]])
    drawn = np.concatenate(list(draws.values()))

    split = make_split(index, Protocol("published_cepdvs"))
    verdict = audit(index, split)
    assert {int(key[-5:]) for key in split.train} == set(train)
    assert {int(key[-5:]) for key in split.test} == set(test)
    assert {name: [int(key[-5:]) for key in drawn] for name, drawn in split.draws.items()} == {
        CLASSES[label]: sorted(places, key=lambda place: f"{names[place]}/{place:05d}")
        for label, places in draws.items()
    }
    assert verdict.wrong_class_draws == pytest.approx(1 - right)
    assert verdict.test_with_twin_in_pool == np.isin(test, drawn).sum() == 1000
    # The figures of spec/baseline.md, section 3.
    assert right == pytest.approx(0.096 if shuffled else 0.05, abs=0.006 if shuffled else 1e-9)
    assert np.isin(drawn, train).mean() == 0.5
    assert np.isin(drawn, test).mean() == 0.2
    assert split.leaky
    assert f"{verdict.wrong_class_draws:.0%} of the draws give an image of another class" in verdict.sentence()
    require_clean(verdict, split)  # it says so itself


def test_stored_by_class_both_protocols_test_on_the_same_recordings(root: Path) -> None:
    index = CEPDVS(root).index()
    clean, published = (make_split(index, Protocol(name)) for name in CEPDVS.protocols)
    assert clean.test == published.test
    assert set(clean.train) | set(clean.val) == set(published.train)


@pytest.mark.parametrize(("folder", "suffix"), [(RECORDINGS, "mat"), (IMAGES, "jpg")])
def test_a_missing_file_and_one_without_a_line_are_named(root: Path, folder: str, suffix: str) -> None:
    files = root / "CEP-DVS" / folder
    (files / f"00030.{suffix}").touch()
    with pytest.raises(DataError, match=rf"00030\.{suffix} has no line in .*pathFile\.csv, which ends with .* 00029"):
        CEPDVS(root).index()
    (files / f"00030.{suffix}").unlink()
    (files / f"00012.{suffix}").unlink()
    with pytest.raises(DataError, match=rf"pathFile\.csv, line 14 is for 00012\.{suffix}, which is not in .*img"):
        CEPDVS(root).index()


def test_two_files_of_one_number_are_named(root: Path) -> None:
    (root / "CEP-DVS" / RECORDINGS / "7.mat").touch()
    with pytest.raises(DataError, match=r"00007\.mat and .*7\.mat have the same number"):
        CEPDVS(root).index()


def test_missing_folders_are_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"recordings of CEP-DVS.*empty"):
        CEPDVS(root / "empty").index()
    with pytest.raises(DataError, match=r"images of CEP-DVS.*empty"):
        CEPDVS(root, root / "empty").index()
    (root / "CEP-DVS" / LABELS).unlink()
    with pytest.raises(DataError, match=r"pathFile\.csv cannot be read"):
        CEPDVS(root).index()


def baseline_class(path: Path, number: int) -> str:
    """The class as the authors' and the baseline's code find it: the fifth field of the line."""
    lines = np.genfromtxt(path.open("rb"), delimiter=",", skip_header=1, dtype="U")
    found = re.search(r"(?:\S*\s){4}(\S+)", lines[number])
    return found[1] if found else ""


LINES = {
    "tabs": line,
    "spaces": lambda number, name: line(number, name).replace("\t", " "),
    "windows paths": lambda number, name: f"{number}\tD:\\img\\{number:05d}.jpg\tD:\\MAT\\x\tcattle\t{name}",
    "one wide gap": lambda number, name: f"{number}    {name}",
    "more behind": lambda number, name: f"{number} a b c {name} d",
}


@pytest.mark.parametrize("form", LINES)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_labels_are_those_that_the_published_code_finds(root: Path, form: str, ending: str) -> None:
    path = root / "CEP-DVS" / LABELS
    lines = [HEADER, *(LINES[form](number, name) for number, name in enumerate(STORED))]
    path.write_bytes((ending.join(lines) + ending).encode())
    for item in CEPDVS(root).index().recordings:
        assert item.class_name == baseline_class(path, int(item.key[-5:])) == STORED[int(item.key[-5:])]


def test_marks_and_foreign_letters_do_not_matter(root: Path) -> None:
    before, path = CEPDVS(root).index(), root / "CEP-DVS" / LABELS
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\t-\t", b"\t\xc4\xe3\xff\t") + b"\n\n")
    assert CEPDVS(root).index() == before


@pytest.mark.parametrize(
    ("number", "text", "fault"),
    [
        (3, "fishes", r"line 5 \(recording 00003\), names none of the 20 classes"),
        (3, "", "line 5 .* names none"),
        (29, line(29, "shark"), "line 31 .* names none"),
        (4, line(4, "fish") + " trees", "line 6 .* names several classes"),
        (4, line(5, "fish"), r"line 6 .* is that of file 00005: lines are missing, doubled or moved"),
        (4, "4 x y.mat ../../img/00009.mat fish", "line 6 .* is that of file 00009"),
        (4, "4 a b c ../../etc/fish", "line 6 .* names none"),
        (4, "4 a b c /fish", "line 6 .* names none"),
    ],
)
def test_a_wrong_line_is_named(root: Path, number: int, text: str, fault: str) -> None:
    path = root / "CEP-DVS" / LABELS
    lines = path.read_text().splitlines()
    lines[number + 1] = text
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=rf"pathFile\.csv, {fault}"):
        CEPDVS(root).index()


@pytest.mark.parametrize("change", [lambda lines: lines[:7] + lines[8:], lambda lines: lines[:7] + lines[6:]])
def test_a_lost_or_doubled_line_is_found(root: Path, change) -> None:
    path = root / "CEP-DVS" / LABELS
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(DataError, match=r"pathFile\.csv, line 8 \(recording 00006\), is that of file"):
        CEPDVS(root).index()


def test_lines_without_file_names_must_be_as_many_as_the_files(root: Path) -> None:
    path = root / "CEP-DVS" / LABELS
    lines = [HEADER, *(LINES["one wide gap"](number, name) for number, name in enumerate(STORED))]
    path.write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match=r"00029\.mat has no line"):
        CEPDVS(root).index()
    path.write_text("\n".join([*lines, lines[-1]]))
    with pytest.raises(DataError, match=r"line 32 is for 00030\.mat"):
        CEPDVS(root).index()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "lists no recordings"),
        (b"header\n\n", "lists no recordings"),
        (b"0 a b c fish\n1 a b c fish\n", "first line must be a header"),
        (b"\0" * 100, "lists no recordings"),
    ],
)
def test_a_list_that_is_none_is_named(root: Path, content: bytes, fault: str) -> None:
    (root / "CEP-DVS" / LABELS).write_bytes(content)
    with pytest.raises(DataError, match=rf"pathFile\.csv .*{fault}"):
        CEPDVS(root).index()


def test_a_list_of_any_size_is_not_read_into_memory(root: Path) -> None:
    with (root / "CEP-DVS" / LABELS).open("r+b") as file:
        file.truncate(2**27)
    with pytest.raises(DataError, match=r"pathFile\.csv is larger than the list of labels can be"):
        CEPDVS(root).index()
