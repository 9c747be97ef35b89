"""The data sets on trees in their official layouts; real files where the shared folder is there."""

import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tonic
import torchvision
from PIL import Image
from torchvision.datasets import MNIST

from braincog_tmkt.data.sets import CIFAR10DVS, DATASETS, Digits, NCaltech101
from braincog_tmkt.data.sets import NMNIST as NMnist
from braincog_tmkt.data.sets.ncaltech101 import CLASSES, COUNTS, EVENT_LAYOUTS, STATIC_LAYOUTS
from braincog_tmkt.data.types import Index
from braincog_tmkt.errors import DataError
from tests.raising import raising

from .trees import (
    MNIST_LABELS,
    caltech_tree,
    keys,
    mnist_idx,
    mnist_image,
    mnist_png,
    nmnist_events,
    picture,
    recording,
)


@pytest.mark.data
def test_official_class_names_and_counts(shared: Path) -> None:
    names = zipfile.ZipFile(shared / "data/caltech101_144px.zip").namelist()
    truth = Counter(name.split("/")[1] for name in names if name.endswith(".jpg"))
    assert truth == COUNTS
    assert sorted(truth) == list(CLASSES)


def test_class_list() -> None:
    assert len(CLASSES) == 101
    assert CLASSES[:5] == ("BACKGROUND_Google", "Faces_easy", "Leopards", "Motorbikes", "accordion")
    assert "Faces" not in CLASSES
    assert sum(COUNTS.values()) == NCaltech101.card.counts["recordings"] == 8709


@pytest.mark.parametrize("events", EVENT_LAYOUTS)
@pytest.mark.parametrize("statics", STATIC_LAYOUTS)
def test_every_layout_is_found(tmp_path: Path, events: str, statics: str) -> None:
    caltech_tree(tmp_path, count=1, events=events, statics=statics)
    index = NCaltech101(tmp_path).index()
    assert index.classes == ("BACKGROUND_Google", "Leopards", "accordion")
    assert keys(index.recordings) == keys(index.statics) == [f"{name}/image_0001" for name in index.classes]


def test_index_reads_back_what_was_written(tmp_path: Path) -> None:
    caltech_tree(tmp_path)
    dataset = DATASETS.build("ncaltech101", tmp_path)
    index = dataset.index()
    item = index.recordings[-1]
    assert (item.key, item.class_name) == ("accordion/image_0003", "accordion")
    np.testing.assert_array_equal(dataset.events(item), recording(903, 240, 180))
    assert dataset.image(index.statics[-1], 48).shape == (48, 48)
    assert index.label_of["accordion"] == 2


def test_faces_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    caltech_tree(tmp_path)
    before = NCaltech101(tmp_path).index()
    statics, events = tmp_path / STATIC_LAYOUTS[0], tmp_path / EVENT_LAYOUTS[0]
    for extra in (statics / "Faces", statics / "airplanes", events / ".git"):
        extra.mkdir()
        picture(0, 9, 9).save(extra / "image_0001.jpg")
    (events / "ReadMe.txt").write_text("")
    (events / "accordion" / "._image_0001.bin").write_bytes(b"")
    (statics / "accordion" / "Thumbs.db").write_bytes(b"")
    assert NCaltech101(tmp_path).index() == before


def test_a_recording_without_partner_has_no_twin(tmp_path: Path) -> None:
    caltech_tree(tmp_path)
    (tmp_path / STATIC_LAYOUTS[0] / "Leopards/image_0002.jpg").unlink()
    index = NCaltech101(tmp_path).index()
    assert set(keys(index.recordings)) - set(keys(index.statics)) == {"Leopards/image_0002"}


@pytest.mark.parametrize("name", ["Faces", "accordian"])
def test_unknown_class_of_recordings_is_named(tmp_path: Path, name: str) -> None:
    caltech_tree(tmp_path)
    (tmp_path / EVENT_LAYOUTS[0] / name).mkdir()
    with pytest.raises(DataError, match=f"{name} is not a class"):
        NCaltech101(tmp_path).index()


def test_class_without_images_or_recordings_is_named(tmp_path: Path) -> None:
    caltech_tree(tmp_path)
    for path in (tmp_path / STATIC_LAYOUTS[0] / "Leopards").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="Leopards holds no image files"):
        NCaltech101(tmp_path).index()
    (tmp_path / STATIC_LAYOUTS[0] / "Leopards").rmdir()
    with pytest.raises(DataError, match="Leopards is missing"):
        NCaltech101(tmp_path).index()
    caltech_tree(tmp_path / "other")
    for layout in (EVENT_LAYOUTS[0], STATIC_LAYOUTS[0]):
        (tmp_path / "other" / layout / "airplanes").mkdir()
    with pytest.raises(DataError, match=r"airplanes holds no \.bin"):
        NCaltech101(tmp_path / "other").index()


def test_missing_trees_are_named(tmp_path: Path) -> None:
    for dataset in (NCaltech101(tmp_path), NMnist(tmp_path)):
        with pytest.raises(DataError, match=f"recordings.*{tmp_path}"):
            dataset.index()
    caltech_tree(tmp_path / "a")
    nmnist_events(tmp_path / "a")
    with pytest.raises(DataError, match=r"Caltech-101.*empty"):
        NCaltech101(tmp_path / "a", tmp_path / "empty").index()
    with pytest.raises(DataError, match=r"MNIST.*empty.*mnist_png"):
        NMnist(tmp_path / "a", tmp_path / "empty").index()
    (tmp_path / "b" / EVENT_LAYOUTS[0]).mkdir(parents=True)
    with pytest.raises(DataError, match="no class folders"):
        NCaltech101(tmp_path / "b").index()


def expected_keys() -> list[str]:
    return sorted(
        f"{digit}/{part}-{number:05d}" for part, labels in MNIST_LABELS.items() for number, digit in enumerate(labels)
    )


def check_nmnist(dataset: NMnist) -> Index:
    """Every recording has its twin, and the twin is the image it was made with."""
    index = dataset.index()
    assert index.classes == ("0", "1", "4", "5")
    assert keys(index.recordings) == keys(index.statics) == expected_keys()
    for item in index.statics:
        part, number = item.key.split("/")[1].split("-")
        np.testing.assert_array_equal(dataset.image(item, 28), mnist_image(part, int(number)))
    np.testing.assert_array_equal(dataset.events(index.recordings[-1]), recording(4, 34, 34))
    return index


@pytest.mark.parametrize("layout", ["NMNIST", "nmnist", "N-MNIST", "."])
def test_nmnist_with_png_images(tmp_path: Path, layout: str) -> None:
    nmnist_events(tmp_path, layout)
    mnist_png(tmp_path)
    check_nmnist(NMnist(tmp_path))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", ["MNIST/raw", "mnist", "."])
def test_nmnist_with_idx_images(tmp_path: Path, layout: str, packed: bool) -> None:
    nmnist_events(tmp_path)
    mnist_idx(tmp_path / layout, packed)
    dataset = NMnist(tmp_path)
    index = check_nmnist(dataset)
    assert len({item.path for item in index.statics}) == 2
    assert dataset.fingerprint(index) == dataset.fingerprint(index)


def test_idx_images_as_torchvision_reads_them(tmp_path: Path) -> None:
    nmnist_events(tmp_path)
    mnist_idx(tmp_path / "MNIST/raw")
    dataset = NMnist(tmp_path)
    for part in ("train", "test"):
        truth = MNIST(tmp_path, train=part == "train")
        for item in dataset.index().statics:
            if f"/{part}-" in item.key:
                image, label = truth[int(item.key[-5:])]
                assert item.class_name == str(label)
                np.testing.assert_array_equal(dataset.image(item, 28), np.asarray(image))


def test_the_official_test_part_is_held_out_where_there_is_a_training_part(tmp_path: Path) -> None:
    nmnist_events(tmp_path)
    mnist_png(tmp_path)
    assert NMnist(tmp_path).index().official_test == {"0/test-00000", "5/test-00001", "5/test-00002"}
    (tmp_path / "NMNIST/Train").rename(tmp_path / "elsewhere")
    index = NMnist(tmp_path).index()
    assert keys(index.recordings) == ["0/test-00000", "5/test-00001", "5/test-00002"]
    assert index.official_test == frozenset()


def test_nmnist_faults_are_named(tmp_path: Path) -> None:
    nmnist_events(tmp_path)
    mnist_png(tmp_path)
    odd = tmp_path / "NMNIST/Train/5/first.bin"
    odd.write_bytes(b"")
    with pytest.raises(DataError, match=r"first\.bin is not named by a number"):
        NMnist(tmp_path).index()
    odd.unlink()
    (tmp_path / "NMNIST/Train/ten").mkdir()
    with pytest.raises(DataError, match="ten is not a class"):
        NMnist(tmp_path).index()
    (tmp_path / "NMNIST/Train/ten").rmdir()
    (tmp_path / "mnist_png/train/4").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="no images of the digit 4"):
        NMnist(tmp_path).index()


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("train-images-idx3-ubyte", lambda data: data[:-5], "6 entries"),
        ("train-images-idx3-ubyte", lambda data: b"PNG" + data[3:], "not an idx file"),
        ("train-images-idx3-ubyte", lambda data: data[:3], "not an idx file"),
        ("train-labels-idx1-ubyte", lambda data: b"\0\0\x08\1\0\0\0\5" + data[8:-1], "equally many"),
        ("train-labels-idx1-ubyte.gz", lambda data: data[:-12], "cannot be read"),
        ("train-labels-idx1-ubyte.gz", lambda data: b"hello", "cannot be read"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path: Path, name: str, change, fault: str) -> None:
    nmnist_events(tmp_path)
    mnist_idx(tmp_path, packed=name.endswith("gz"))
    path = tmp_path / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=f"{name}.*{fault}"):
        NMnist(tmp_path).index()


@pytest.mark.data
def test_real_nmnist_recordings_show_their_images(shared: Path) -> None:
    """The events of a recording, added up, look like the image its key names, more than like another of its digit."""
    dataset = NMnist(shared / "data")
    index = dataset.index()
    assert len(index.recordings) == 500
    twins = {item.key: item for item in index.statics}
    assert all(item.key in twins for item in index.recordings)
    recordings = index.recordings[::10]
    images = np.stack([dataset.image(twins[item.key], 28).ravel() for item in recordings]).astype(float)
    right = 0
    for row, item in enumerate(recordings):
        events = dataset.events(item)
        counts = np.zeros((34, 34))
        np.add.at(counts, (events["y"], events["x"]), 1)
        same = [other for other, entry in enumerate(recordings) if entry.class_name == item.class_name]
        # The eye moves by some pixels: the best of the shifts tells how like the two are.
        likeness = [
            max(
                np.corrcoef(counts[dy : dy + 28, dx : dx + 28].ravel(), images[other])[0, 1]
                for dy in range(7)
                for dx in range(7)
            )
            for other in same
        ]
        right += same[int(np.argmax(likeness))] == row
    assert right >= 0.6 * len(recordings)  # 72 % as measured, 20 % by chance


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    truth, dataset = load_digits(), Digits(".")
    index = dataset.index()
    assert len(index.statics) == 1797
    assert Counter(item.class_name for item in index.recordings) == dict.fromkeys("0123456789", 60)
    assert set(keys(index.recordings)) < set(keys(index.statics))
    assert len(set(keys(index.statics))) == 1797
    assert keys(index.statics) == sorted(keys(index.statics))
    assert keys(index.recordings) == sorted(keys(index.recordings))
    for item in index.statics[::100]:
        number = int(item.key[2:])
        assert item.class_name == str(truth.target[number])
        small = Image.fromarray(dataset.image(item, 34)[5:29, 5:29]).resize((8, 8), Image.Resampling.BOX)
        assert np.corrcoef(np.asarray(small).ravel(), truth.images[number].ravel())[0, 1] > 0.95
    assert dataset.kind() == "embedded"


def test_recordings_of_digits_are_the_same_each_time() -> None:
    first, second = Digits("."), Digits(".")
    items = first.index().recordings
    events = first.events(items[7])
    np.testing.assert_array_equal(events, second.events(items[7]))
    assert events["x"].max() < 34
    assert events["y"].max() < 34
    assert (np.diff(events["t"]) >= 0).all()
    assert 500 < len(events) < 20_000
    assert first.fingerprint(first.index()) == second.fingerprint(second.index())


def test_downloads_go_where_the_index_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries' downloaders are replaced by what they leave on the disk."""
    monkeypatch.setattr(tonic.datasets, "NCALTECH101", lambda save_to: caltech_tree(Path(save_to), statics="pics"))
    monkeypatch.setattr(
        torchvision.datasets, "Caltech101", lambda root, download: caltech_tree(Path(root), events="unused")
    )
    NCaltech101(tmp_path / "a", tmp_path / "b").download()
    assert len(NCaltech101(tmp_path / "a", tmp_path / "b").index().recordings) == 9
    monkeypatch.setattr(tonic.datasets, "NMNIST", lambda save_to, train: train and nmnist_events(Path(save_to)))
    monkeypatch.setattr(torchvision.datasets, "MNIST", lambda root, download: mnist_idx(Path(root) / "MNIST/raw"))
    NMnist(tmp_path).download()
    check_nmnist(NMnist(tmp_path))


@pytest.mark.parametrize(
    ("kind", "name", "elsewhere"), [(NMnist, "NMNIST", "garrickorchard"), (CIFAR10DVS, "CIFAR10DVS", "figshare")]
)
def test_a_failed_download_says_where_else_to_look(tmp_path, monkeypatch, kind, name, elsewhere) -> None:
    monkeypatch.setattr(tonic.datasets, name, raising(OSError("no route to host")))
    with pytest.raises(DataError, match=f"no route to host.*{elsewhere}"):
        kind(tmp_path).download()


def test_nmnist_counted_from_0_would_get_the_wrong_images(tmp_path: Path) -> None:
    nmnist_events(tmp_path)
    mnist_png(tmp_path)
    (tmp_path / "NMNIST/Train/0/00000.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"00000.bin is numbered from 0, N-MNIST's recordings from 1"):
        NMnist(tmp_path).index()
