"""Files are found whatever the case of their suffix, and what other systems leave in folders is passed over."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from braincog_tmkt.data.sets.base import DataSet
from braincog_tmkt.data.sets.cepdvs import CEPDVS
from braincog_tmkt.data.sets.cifar10 import CIFAR10
from braincog_tmkt.data.sets.cifar10dvs import CIFAR10DVS
from braincog_tmkt.data.sets.dvsgesture import DVSGesture
from braincog_tmkt.data.sets.listing import entries, files_in, in_any_case, need_folder, subfolders
from braincog_tmkt.data.sets.ncaltech101 import NCaltech101
from braincog_tmkt.data.sets.nmnist import NMNIST
from braincog_tmkt.data.sets.nomniglot import NOmniglot
from braincog_tmkt.data.simulate import simulate_tree
from braincog_tmkt.errors import DataError

from .test_cifar10 import folders
from .test_dvsgesture import cut, official
from .trees import QUICK, caltech_tree, filmable, mnist_idx, mnist_png, nmnist_events

SETS = {
    "ncaltech101": NCaltech101,
    "nmnist": NMNIST,
    "nmnist idx": NMNIST,
    "nomniglot": NOmniglot,
    "cepdvs": CEPDVS,
    "cifar10": CIFAR10,
    "cifar10dvs": CIFAR10DVS,
    "dvsgesture": DVSGesture,
    "dvsgesture cut": DVSGesture,
}


MARKED = {
    "ncaltech101": "NCALTECH101/Caltech101",
    "nmnist": "NMNIST",
    "nomniglot": "dvs_background",
    "cepdvs": "CEP-DVS",
    "cifar10dvs": "CIFAR10DVS",
    "dvsgesture": "DvsGesture",
}
"""Data set -> the folder whose .SIMULATED.json tells that its recordings are simulated."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Small trees of the data sets with their images; each is made once."""

    @cache
    def tree(name: str) -> Path:
        root = tmp_path_factory.mktemp(name)
        if name == "ncaltech101":
            caltech_tree(root)
        elif name.startswith("nmnist"):
            nmnist_events(root)
            mnist_idx(root / "MNIST/raw", packed=True) if "idx" in name else mnist_png(root)
        elif name.startswith("dvsgesture"):
            cut(root) if "cut" in name else official(root)
        elif name == "cifar10":
            folders(root)
        else:
            simulate_tree(filmable(root, name), root, name, QUICK[name], progress=False)
        return root

    return tree


@pytest.fixture
def tree(made: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A tree to change."""
    return lambda name: shutil.copytree(made(name), tmp_path / "tree")


def seen(dataset: DataSet) -> tuple[list[str], list[str]]:
    """The keys of recordings and images; one of each is read."""
    index = dataset.index()
    if not dataset.still:
        assert len(dataset.events(index.recordings[0])) > 0
    if index.statics:
        assert dataset.image(index.statics[0], 16).std() > 0
    assert dataset.fingerprint(index)
    return [item.key for item in index.recordings], [item.key for item in index.statics]


@pytest.mark.parametrize("name", SETS)
def test_suffixes_in_capitals_are_found_and_foreign_files_are_not(tree: Callable, name: str) -> None:
    root = tree(name)
    before = seen(SETS[name](root))
    for path in [path for path in root.rglob("*") if path.is_file() and "SIMULATED" not in path.name]:
        path.rename(path.with_suffix(path.suffix.upper()))
        for foreign in (f"._{path.name}", f"._{path.stem}{path.suffix.upper()}", "Thumbs.db", ".DS_Store"):
            (path.parent / foreign).write_bytes(b"\0\5\x16\7")
    for folder in [path for path in root.rglob("*") if path.is_dir()]:
        (folder / "__MACOSX").mkdir()
        (folder / "@eaDir").mkdir()
    assert seen(SETS[name](root)) == before
    assert len(before[0]) > 1


@pytest.mark.parametrize("name", SETS)
def test_the_order_of_the_file_system_does_not_matter(tree: Callable, name: str, monkeypatch) -> None:
    root = tree(name)
    before = SETS[name](root).index()
    real, moved = Path.iterdir, []

    def shuffled(path: Path) -> Iterator[Path]:
        paths = sorted(real(path))
        random.Random(len(moved)).shuffle(paths)
        moved.append(paths != sorted(paths))
        return iter(paths)

    monkeypatch.setattr(Path, "iterdir", shuffled)
    for path in root.glob("DvsGesture/trials_to_*.txt"):
        path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    assert all(SETS[name](root).index() == before for _ in range(3))
    assert any(moved) or name == "dvsgesture"  # whose lists say what there is
    assert list(before.recordings) == sorted(before.recordings)


@pytest.mark.parametrize("name", SETS)
def test_the_fingerprint_follows_the_files_not_their_place(tree: Callable, name: str) -> None:
    dataset = SETS[name](tree(name))
    index = dataset.index()
    before = dataset.fingerprint(index)
    paths = {item.path.suffix: item.path for item in (*index.recordings, *index.statics)}
    labels = [*paths[".aedat4"].parent.glob("*.csv")] if name == "nomniglot" else []
    labels += dataset.root.glob("DvsGesture/*_labels.csv")
    for path in [*paths.values(), *labels]:
        old = path.stat()
        os.utime(path, ns=(0, old.st_mtime_ns + 1))
        assert dataset.fingerprint(index) != before, path
        os.utime(path, ns=(0, old.st_mtime_ns))
        assert dataset.fingerprint(index) == before
    dataset.root.rename(dataset.root.with_name("moved"))
    moved = SETS[name](dataset.root.with_name("moved"))
    assert moved.fingerprint(moved.index()) == before
    with pytest.raises(DataError, match=r"cannot be (read|listed)|missing"):
        dataset.fingerprint(index)
    path = moved.index().recordings[0].path
    old = path.stat()
    path.write_bytes(b"another size")
    os.utime(path, ns=(0, old.st_mtime_ns))
    assert moved.fingerprint(moved.index()) != before


@pytest.mark.parametrize("name", MARKED)
def test_a_marker_tells_simulated_recordings_from_real_ones(tree: Callable, name: str) -> None:
    root = tree(name)
    for marker in root.rglob("*SIMULATED.json"):
        marker.unlink()
    before = SETS[name](root).index()
    for mark in (".SIMULATED.json", "SIMULATED.json"):  # the second as earlier versions left it
        assert SETS[name](root).kind() == "real"
        (root / MARKED[name] / mark).write_text("{}")
        assert SETS[name](root).kind() == "simulated"
        assert SETS[name](root).index() == before
        (root / MARKED[name] / mark).unlink()


@pytest.mark.parametrize(
    ("name", "file", "twin"),
    [
        ("ncaltech101", "NCALTECH101/Caltech101/Leopards/image_0001.bin", "image_0001.BIN"),
        ("ncaltech101", "caltech101/101_ObjectCategories/Leopards/image_0001.jpg", "image_0001.JPG"),
        ("nmnist", "NMNIST/Train/5/00001.bin", "1.bin"),
        ("nmnist", "mnist_png/train/5/0.png", "0.PNG"),
        ("nomniglot", "images_background/Futurama/character01/0017_07.png", "0017_07.PNG"),
        ("cepdvs", "CEP-DVS/data/MAT/img/00001.mat", "00001.MAT"),
        ("cifar10dvs", "CIFAR10DVS/cat/cifar10_cat_1.aedat", "cifar10_cat_1.AEDAT"),
        ("dvsgesture cut", "DVSGesture/ibmGestureTrain/user01_led/3.npy", "3.NPY"),
    ],
)
def test_two_files_of_one_name_are_named(tree: Callable, name: str, file: str, twin: str) -> None:
    root = tree(name)
    path = root / file
    path.with_name(twin).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match=r"one name or number|the same number|missing or too many") as caught:
        SETS[name](root).index()
    assert path.stem in str(caught.value)


def test_links_are_followed_and_broken_ones_named(tmp_path: Path) -> None:
    caltech_tree(tmp_path / "real")
    (tmp_path / "linked").mkdir()
    for name in ("NCALTECH101", "caltech101"):
        (tmp_path / "linked" / name).symlink_to(tmp_path / "real" / name)
    assert seen(NCaltech101(tmp_path / "linked")) == seen(NCaltech101(tmp_path / "real"))
    classes = tmp_path / "real/NCALTECH101/Caltech101"
    (classes / "Leopards/image_0009.bin").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"image_0009\.bin is not a file \(a broken link"):
        NCaltech101(tmp_path / "real").index()
    (classes / "Leopards/image_0009.bin").unlink()
    (classes / "airplanes").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"airplanes is not a file \(a broken link"):
        NCaltech101(tmp_path / "real").index()


def test_folders_are_listed_by_one_rule(tmp_path: Path) -> None:
    for name in ("b.BIN", "a.bin", "c.Bin", ".a.bin", "._a.bin", "Thumbs.db", "readme"):
        (tmp_path / name).touch()
    for name in ("cat", ".git", "__MACOSX"):
        (tmp_path / name).mkdir()
    assert [path.name for path in entries(tmp_path)] == ["a.bin", "b.BIN", "c.Bin", "cat", "readme"]
    assert [path.name for path in files_in(tmp_path, {".bin"})] == ["a.bin", "b.BIN", "c.Bin"]
    assert list(subfolders(tmp_path)) == ["cat"]
    assert in_any_case(tmp_path / "b.bin") == tmp_path / "b.BIN"
    assert in_any_case(tmp_path / "a.bin") == tmp_path / "a.bin"
    assert in_any_case(tmp_path / "d.bin") == tmp_path / "d.bin"
    with pytest.raises(DataError, match="readme cannot be listed"):
        entries(tmp_path / "readme")
    os.mkfifo(tmp_path / "pipe.bin")  # reading it would wait for ever
    with pytest.raises(DataError, match=r"pipe\.bin is not a file"):
        files_in(tmp_path, {".bin"})


def test_a_missing_folder_is_answered_with_the_whole_command(tmp_path):
    with pytest.raises(DataError, match=r"`tmkt data check nmnist` prints the whole tree"):
        need_folder(tmp_path, ("Train",), "the recordings of N-MNIST", "nmnist")
