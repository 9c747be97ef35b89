"""CIFAR-10: batches as Python 2 pickled them against torchvision, folders, hostile pickles."""

import pickle
import struct
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10 as TorchvisionCIFAR10
from torchvision.transforms import functional

from braincog_tmkt.data.audit import audit
from braincog_tmkt.data.batch import BatchRNG
from braincog_tmkt.data.cache import prepare
from braincog_tmkt.data.pairs import PairSet
from braincog_tmkt.data.sets.cifar10 import BATCHES, CIFAR10, CLASSES, cifar10_images, read_cifar10
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.data.types import FrameSpec, Item
from braincog_tmkt.errors import DataError

from .trees import picture

ROWS = 12
OFFICIAL = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
"""The names as https://www.cs.toronto.edu/~kriz/cifar.html lists them."""


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2's cPickle wrote at protocol 2: byte strings, old module names."""

    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)

    def save_text(self, text: str | bytes) -> None:
        raw = text.encode("latin1") if isinstance(text, str) else text
        short = len(raw) < 256
        self.write(b"U" + bytes([len(raw)]) + raw if short else b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(text)

    def save_global(self, thing: object, name: str | None = None) -> None:
        module = "numpy.core.multiarray" if thing.__name__ == "_reconstruct" else "numpy"
        self.write(f"c{module}\n{thing.__name__}\n".encode())
        self.memoize(thing)

    dispatch[str] = dispatch[bytes] = save_text
    dispatch[type] = dispatch[type(len)] = save_global


def batch_of(name: str) -> tuple[np.ndarray, list[int]]:
    """The pixels and labels that the made batch of this name holds."""
    rng = np.random.default_rng(sum(name.encode()))
    return rng.integers(0, 256, (ROWS, 3072), dtype=np.uint8), rng.integers(0, 10, ROWS).tolist()


def pickled(pixels: np.ndarray, labels: list[int]) -> bytes:
    file = BytesIO()
    names = [f"leptodactylus_s_{row:06d}.png" for row in range(len(labels))]
    Python2Pickler(file, protocol=2).dump(
        {"batch_label": "training batch 1 of 5", "labels": labels, "data": pixels, "filenames": names}
    )
    return file.getvalue()


def batches(root: Path) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in BATCHES:
        (folder / name).write_bytes(pickled(*batch_of(name)))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": OFFICIAL}, protocol=2))
    return folder


def folders(root: Path, classes: tuple[str, ...] = ("cat", "ship"), count: int = 3) -> None:
    for part in ("train", "test"):
        for name in classes:
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                picture(len(part) * 100 + len(name) * 10 + number, 32, 32, 3).save(
                    root / part / name / f"{number:04d}.png"
                )


def test_batches_are_read_as_torchvision_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches(tmp_path)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    dataset = CIFAR10(tmp_path)
    index = dataset.index()
    seen = 0
    for part in ("train", "test"):
        truth = TorchvisionCIFAR10(tmp_path, train=part == "train")
        for item in index.recordings:
            if f"/{part}-" in item.key:
                batch, row = divmod(int(item.key.rpartition("-")[2]), 10_000)
                image, label = truth[batch * ROWS + row]
                assert item.class_name == truth.classes[label]
                np.testing.assert_array_equal(np.asarray(read_cifar10(item)), np.asarray(image))
                np.testing.assert_array_equal(
                    dataset.frames(item, FrameSpec(4, 32))[0], functional.to_tensor(image).numpy()
                )
                seen += 1
    assert seen == len(index.recordings) == 6 * ROWS


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("layout", ["cifar-10-batches-py", "."])
def test_keys_say_batch_and_row(tmp_path: Path, protocol: int, layout: str) -> None:
    (tmp_path / layout).mkdir(exist_ok=True)
    pixels, labels = batch_of("data_batch_3")
    content = pickle.dumps({"data": pixels, "labels": labels}, protocol=protocol)
    (tmp_path / layout / "data_batch_3").write_bytes(content)
    items = cifar10_images(tmp_path)
    assert {item.key for item in items} == {
        f"{CLASSES[label]}/train-{20_000 + row}" for row, label in enumerate(labels)
    }
    assert CIFAR10(tmp_path).index().official_test == frozenset()
    np.testing.assert_array_equal(
        np.asarray(read_cifar10(Item("cat/train-20007", "cat", items[0].path))).transpose(2, 0, 1).ravel(), pixels[7]
    )


def test_the_test_part_is_the_official_one_and_nothing_leaks(tmp_path: Path) -> None:
    folder = batches(tmp_path)
    index = CIFAR10(tmp_path).index()
    assert index.official_test == {item.key for item in index.recordings if "/test-" in item.key}
    assert len(index.official_test) == ROWS
    assert index.recordings == index.statics == tuple(sorted(index.recordings))
    assert index.classes == CLASSES
    for protocol in CIFAR10.protocols:
        verdict = audit(index, make_split(index, Protocol(protocol)))
        assert not verdict.leaks
        assert verdict.test == ROWS
    (folder / "data_batch_2").unlink()
    left = CIFAR10(tmp_path).index()
    gone = {item.key for item in index.recordings} - {item.key for item in left.recordings}
    assert {key.rpartition("-")[2][0] for key in gone} == {"1"}
    assert len(gone) == ROWS


def test_other_sizes_are_made_as_torchvision_does(tmp_path: Path) -> None:
    batches(tmp_path)
    dataset = CIFAR10(tmp_path)
    item = dataset.index().recordings[5]
    for size in (8, 48):
        made = dataset.frames(item, FrameSpec(6, size))
        truth = functional.to_tensor(functional.resize(read_cifar10(item), [size, size], antialias=True))
        assert (made.shape, made.dtype) == ((1, 3, size, size), np.float32)
        np.testing.assert_array_equal(made[0], truth.numpy())
    np.testing.assert_array_equal(dataset.image(item, 32), np.asarray(read_cifar10(item)).max(axis=2))


def test_one_frame_is_cached_and_stands_for_all_steps(tmp_path: Path) -> None:
    folders(tmp_path, count=4)
    dataset = CIFAR10(tmp_path)
    index = dataset.index()
    frames = prepare(dataset, index, FrameSpec(5, 16), tmp_path / "cache", workers=1, progress=False)
    assert frames.events.shape == (16, 1, 3, 16, 16)
    pairs = PairSet(index, make_split(index, Protocol("clean", val_portion=0.0)), frames, steps=5)
    rows = pairs.rows("train")[:2]
    batch = pairs.batch(rows, BatchRNG(0, 0, 2, 2))
    assert batch.events.shape == (2, 5, 3, 16, 16)
    truth = torch.from_numpy(dataset.frames(index.recordings[int(rows[1])], FrameSpec(5, 16)))
    for step in range(5):
        torch.testing.assert_close(batch.events[1, step], truth[0], rtol=0, atol=0)


def test_there_are_no_events(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no events, so cat/train-00001 has none"):
        CIFAR10(tmp_path).events(Item("cat/train-00001", "cat"))


@pytest.mark.parametrize("layout", ["cifar10_jpg", "cifar10", "."])
def test_folders_of_images(tmp_path: Path, layout: str) -> None:
    folders(tmp_path / layout)
    dataset = CIFAR10(tmp_path)
    index = dataset.index()
    assert index.classes == ("cat", "ship")
    names = [
        f"{name}/{part}-{number:05d}" for name in ("cat", "ship") for part in ("test", "train") for number in (0, 1, 2)
    ]
    assert [item.key for item in index.recordings] == names
    assert index.official_test == {key for key in names if "test" in key}
    item = index.recordings[-1]
    assert item.path == tmp_path / layout / "train/ship/0002.png"
    np.testing.assert_array_equal(np.asarray(read_cifar10(item)), np.asarray(picture(542, 32, 32, 3)))


def test_one_part_will_do_and_has_no_official_test(tmp_path: Path) -> None:
    folders(tmp_path)
    for part in ("train", "test"):
        (tmp_path / part).rename(tmp_path / "elsewhere")
        index = CIFAR10(tmp_path).index()
        assert (len(index.recordings), index.official_test) == (6, frozenset())
        (tmp_path / "elsewhere").rename(tmp_path / part)


def test_numbers_in_file_names(tmp_path: Path) -> None:
    (tmp_path / "train/frog").mkdir(parents=True)
    for name in ("12_frog.PNG", "frog_7.jpeg", "0003.Jpg", ".0004.jpg", "readme.txt"):
        picture(1, 32, 32, 3).save(tmp_path / "train/frog" / name, "png")
    keys = [item.key for item in cifar10_images(tmp_path)]
    assert keys == ["frog/train-00003", "frog/train-00007", "frog/train-00012"]
    assert CIFAR10(tmp_path).index().official_test == frozenset()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("train/cat/1.jpg", "have one name or number"),
        ("train/cat/first.png", "first.png does not have one number"),
        ("train/cat/1_2.png", "1_2.png does not have one number"),
        ("train/Cat/0009.png", "Cat is not a class"),
        ("train/dog/readme.md", r"dog holds no image"),
    ],
)
def test_faults_of_folders_are_named(tmp_path: Path, name: str, fault: str) -> None:
    folders(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    picture(0, 32, 32, 3).save(tmp_path / name, "png")
    with pytest.raises(DataError, match=fault):
        CIFAR10(tmp_path).index()


def test_missing_and_damaged_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"cannot find CIFAR-10 in {tmp_path}"):
        CIFAR10(tmp_path).index()
    folders(tmp_path)
    dataset = CIFAR10(tmp_path)
    index = dataset.index()
    path = tmp_path / "train/ship/0002.png"
    for content in (b"", b"hello", path.read_bytes()[:100]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"ship/0002\.png cannot be read as an image"):
            dataset.frames(index.recordings[-1], FrameSpec(4, 32))


@pytest.mark.data
def test_real_images(shared: Path) -> None:
    dataset = CIFAR10(shared / "data")
    index = dataset.index()
    assert (len(index.recordings), len(index.official_test), index.classes) == (800, 200, CLASSES)
    frames = np.stack([dataset.frames(item, FrameSpec(1, 32)) for item in index.recordings[::10]])
    assert frames.shape == (80, 1, 3, 32, 32)
    # CIFAR-10's mean colour is (.491, .482, .447); the samples are lossy copies.
    np.testing.assert_allclose(frames.mean((0, 1, 3, 4)), (0.491, 0.482, 0.447), atol=0.05)


def global_call(module: str, name: str, argument: str) -> bytes:
    """A protocol 0 pickle that calls a function."""
    return f"c{module}\n{name}\n(V{argument}\ntR.".encode()


GOOD = pickled(*batch_of("data_batch_1"))
HOSTILE = {
    "empty": b"",
    "system": global_call("os", "system", "touch PWNED"),
    "eval": global_call("builtins", "eval", "open('PWNED', 'w')"),
    "other numpy": global_call("numpy", "fromfile", "PWNED"),
    "huge bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**40),
    "huge memo": b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b"N.",
    "nothing in it": pickle.dumps({}),
    "lists": pickle.dumps({"data": [[1, 2]], "labels": [0]}),
    "floats": pickle.dumps({"data": np.zeros((2, 3072)), "labels": [0, 1]}, protocol=4),
    "signed": pickle.dumps({"data": np.zeros((2, 3072), np.int8), "labels": [0, 1]}, protocol=4),
    "objects": pickle.dumps({"data": np.array([[None] * 3072]), "labels": [0]}, protocol=4),
    "other images": pickle.dumps({"data": np.zeros((2, 784), np.uint8), "labels": [0, 1]}, protocol=4),
    "too many": pickle.dumps({"data": np.zeros((10_001, 3072), np.uint8), "labels": [0] * 10_001}, protocol=4),
    "few labels": pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, protocol=4),
    "label 10": pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 10]}, protocol=4),
    "label -1": pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, -1]}, protocol=4),
    "nested keys": b"\x80\x02}N" + b"\x85q\x00h\x00\x86" * 60 + b"Ns.",
    "cut": GOOD[: len(GOOD) // 2],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_batches_are_refused(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data_batch_1"
    path.write_bytes(HOSTILE[case])
    with pytest.raises(DataError, match=f"{path} is a truncated or corrupt batch of CIFAR-10"):
        cifar10_images(tmp_path)
    assert not Path("PWNED").exists()


def test_a_file_larger_than_a_batch_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "test_batch"
    with path.open("wb") as file:
        file.write(GOOD)
        file.truncate(2**27)
    with pytest.raises(DataError, match="test_batch is larger than any batch"):
        cifar10_images(tmp_path)
