"""A user's own pairs: every format, twins or not, and what people leave in folders."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from braincog_tmkt.cli import main
from braincog_tmkt.data.audit import audit
from braincog_tmkt.data.readers import READERS
from braincog_tmkt.data.sets import build_dataset
from braincog_tmkt.data.sets.folder import Folder
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.data.types import FrameSpec
from braincog_tmkt.errors import DataError, RecipeError
from braincog_tmkt.results.store import read_records

from .corpus import WRITERS
from .trees import keys, picture, recording

IMAGES = (".jpg", ".png", ".bmp", ".gif", ".tif", ".webp", ".ppm", ".JPEG", ".PNG", ".tiff")
CLASSES = ("cat", "dog")


def tree(root: Path) -> Path:
    """A recording of every format and as many images in each class, under the same names."""
    for label, name in enumerate(CLASSES):
        (root / "events" / name).mkdir(parents=True)
        (root / "static" / name).mkdir(parents=True)
        for number, (suffix, write) in enumerate(WRITERS.items()):
            stem, image = f"rec {number:02d}", IMAGES[number % len(IMAGES)]
            write(root / "events" / name / f"{stem}{suffix}", recording(100 * label + number, 128, 128))
            picture(100 * label + number, 20, 24, 3).save(root / "static" / name / f"{stem}{image}")
    return root


def small(root: Path, names: str = "abc", images: str = "abc", classes: tuple[str, ...] = CLASSES) -> Path:
    """Recordings and images with these one-letter names."""
    for name in classes:
        for folder, stems, suffix in (("events", names, ".npy"), ("static", images, ".png")):
            for stem in stems:
                path = root / folder / name / f"{stem}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, recording(1, 64, 64)) if suffix == ".npy" else picture(1, 9, 9).save(path)
    return root


def test_every_format_is_tried() -> None:
    assert list(WRITERS) == list(READERS)


def test_every_format_gives_what_was_written(tmp_path: Path) -> None:
    dataset = Folder(tree(tmp_path))
    index = dataset.index()
    assert index.classes == CLASSES
    assert (
        keys(index.recordings)
        == keys(index.statics)
        == [f"{name}/rec {number:02d}" for name in CLASSES for number in range(len(READERS))]
    )
    assert index.twins_known
    assert dataset.kind() == "real"
    for item in index.recordings:
        label, number = CLASSES.index(item.class_name), int(item.key[-2:])
        np.testing.assert_array_equal(dataset.events(item), recording(100 * label + number, 128, 128), item.path.name)
    for item in index.statics:
        with Image.open(item.path) as image:
            truth = np.asarray(image.convert("RGB").resize((8, 8), Image.Resampling.BILINEAR)).max(axis=2)
        np.testing.assert_array_equal(dataset.image(item, 8), truth)


def test_frames_show_the_own_extent(tmp_path: Path) -> None:
    small(tmp_path)
    events = recording(1, 64, 64)
    moved = events.copy()
    moved["x"] += 1000
    np.save(tmp_path / "events/cat/a.npy", moved)
    dataset = Folder(tmp_path)
    spec = FrameSpec(steps=3, size=16)
    first, second = (dataset.frames(item, spec) for item in dataset.index().recordings[:2])
    np.testing.assert_array_equal(first, second)
    moved["x"][5] = 4096
    np.save(tmp_path / "events/cat/a.npy", moved)
    with pytest.raises(DataError, match=r"cat/a\.npy has events at x up to 4096"):
        dataset.frames(dataset.index().recordings[0], spec)


def test_suffixes_in_capitals_and_hidden_files(tmp_path: Path) -> None:
    small(tmp_path)
    before = Folder(tmp_path).index()
    (tmp_path / "events/cat/a.npy").rename(tmp_path / "events/cat/a.NPY")
    for extra in (".DS_Store", "cat/.DS_Store", "dog/._a.npy"):
        (tmp_path / "events" / extra).write_bytes(b"x")
    (tmp_path / "events/.git").mkdir()
    (tmp_path / "events/README.txt").write_text("mine")
    (tmp_path / "static/Thumbs.db").write_text("")
    dataset = Folder(tmp_path)
    assert keys(dataset.index().recordings) == keys(before.recordings)
    assert len(dataset.events(dataset.index().recordings[0])) == 400
    (tmp_path / "events/SIMULATED.json").write_text("{}")
    assert dataset.kind() == "simulated"
    assert keys(dataset.index().recordings) == keys(before.recordings)


def test_names_in_common_make_twins_and_further_images_are_welcome(tmp_path: Path) -> None:
    index = Folder(small(tmp_path, "abcdef", "abcdefgh")).index()
    assert index.twins_known
    split = make_split(index, Protocol("clean", train_portion=0.5, val_portion=0.0))
    assert split.pool == split.train
    assert not audit(index, split).leaks
    everything = make_split(index, Protocol("clean", train_portion=0.5, val_portion=0.0, static_pool="open"))
    assert set(everything.pool) == set(keys(index.statics)) - set(split.test)


def test_without_names_in_common_no_image_is_known_to_be_safe(tmp_path: Path) -> None:
    index = Folder(small(tmp_path, "abcd", "uvwxyz")).index()
    assert not index.twins_known
    assert not set(keys(index.recordings)) & set(keys(index.statics))
    assert make_split(index, Protocol("clean", train_portion=0.5)).pool == ()
    with pytest.raises(RecipeError, match="unpaired"):
        make_split(index, Protocol("clean", train_portion=0.5, static_pool="open"))
    split = make_split(index, Protocol("unpaired", train_portion=0.5))
    assert split.leaky
    assert set(split.pool) == set(keys(index.statics))


def test_a_mixture_is_an_error_that_names_one(tmp_path: Path) -> None:
    small(tmp_path, "abcd", "abd")
    with pytest.raises(DataError, match=r"2 of 8 recordings have no image of their name, such as .*cat/c\.npy"):
        Folder(tmp_path).index()
    (tmp_path / "events/cat/c.npy").unlink()
    (tmp_path / "events/dog/c.npy").unlink()
    assert Folder(tmp_path).index().twins_known


def test_the_same_name_in_another_class_is_no_twin(tmp_path: Path) -> None:
    small(tmp_path, "ab", "uv", ("cat",))
    small(tmp_path, "uv", "ab", ("dog",))
    assert not Folder(tmp_path).index().twins_known


def test_recordings_alone_and_images_elsewhere(tmp_path: Path) -> None:
    small(tmp_path / "a", images="")
    index = Folder(tmp_path / "a").index()
    assert (len(index.recordings), index.statics) == (6, ())
    with pytest.raises(DataError, match=r"b/static cannot be listed"):
        Folder(tmp_path / "a", tmp_path / "b").index()
    small(tmp_path / "b", names="")
    index = Folder(tmp_path / "a", tmp_path / "b").index()
    assert len(index.statics) == 6
    assert index.twins_known
    (tmp_path / "a/static").symlink_to(tmp_path / "nowhere")  # a broken link is not "no images"
    with pytest.raises(DataError, match=r"a/static cannot be listed"):
        Folder(tmp_path / "a").index()


def make_folder(path: Path) -> None:
    path.mkdir(parents=True)


def make_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def make_loop(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "name", "fault"),
    [
        (make_folder, "events/cat/more", "cat/more is a folder inside a class"),
        (make_folder, "static/dog/a.png.d", r"dog/a\.png\.d is a folder inside a class"),
        (make_folder, "events/bird", "bird is empty"),
        (make_file, "events/bird/a.npy", "static/bird is missing though there is events/bird"),
        (make_file, "static/bird/a.png", "events/bird is missing though there is static/bird"),
        (make_file, "events/cat/a.bin", r"cat/a\.bin and .*cat/a\.npy have one name"),
        (make_file, "static/cat/a.JPG", r"cat/a\.JPG and .*cat/a\.png have one name"),
        (make_file, "events/cat/d.avi", r"cat/d\.avi has none of the suffixes \.aedat"),
        (make_file, "events/cat/d", "cat/d has none of the suffixes"),
        (make_file, "static/cat/d.pdf", r"cat/d\.pdf has none of the suffixes"),  # Pillow writes it only
        (make_file, "static/cat/notes.txt", r"cat/notes\.txt has none of the suffixes"),
        (make_file, "events/cat/a\n.npy", "cannot be printed"),
        (make_file, os.fsdecode(b"events/cat/\xff.npy"), "cannot be printed"),
        (make_loop, "events/cat/d.npy", r"cat/d\.npy is not a file"),
        (make_loop, "events/bird", "bird cannot be listed"),
    ],
)
def test_faults_are_named(tmp_path: Path, make: Callable, name: str, fault: str) -> None:
    make(small(tmp_path) / name)
    with pytest.raises(DataError, match=fault):
        Folder(tmp_path).index()


def test_links_to_folders_end(tmp_path: Path) -> None:
    small(tmp_path / "real")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    assert len(Folder(tmp_path / "linked").index().recordings) == 6
    (tmp_path / "real/events/cat/around").symlink_to(tmp_path / "real/events")
    with pytest.raises(DataError, match="around is a folder inside a class"):
        Folder(tmp_path / "real").index()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\1\0v\0"])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    small(tmp_path)
    (tmp_path / "events/cat/a.npy").write_bytes(content)
    (tmp_path / "static/cat/a.png").write_bytes(content)
    dataset = Folder(tmp_path)
    index = dataset.index()
    with pytest.raises(DataError, match=r"cat/a\.npy"):
        dataset.events(index.recordings[0])
    with pytest.raises(DataError, match=r"cat/a\.png"):
        dataset.image(index.statics[0], 8)


def test_nothing_there_unreadable_or_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="events cannot be listed"):
        Folder(tmp_path).index()
    make_folder(tmp_path / "events")
    with pytest.raises(DataError, match="no class folders"):
        Folder(tmp_path).index()
    dataset = Folder(small(tmp_path))
    index = dataset.index()
    with pytest.raises(DataError, match="nothing to download"):
        dataset.download()
    (tmp_path / "static/cat/b.png").unlink()
    with pytest.raises(DataError, match=r"cat/b\.png cannot be read"):
        dataset.fingerprint(index)

    def forbidden(path: Path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbidden)  # root may read anything
    with pytest.raises(DataError, match=r"events cannot be listed \(Permission denied\)"):
        dataset.index()


def test_a_recording_of_one_pixel_does_not_fill_its_frames(tmp_path: Path) -> None:
    dataset = build_dataset("folder", small(tmp_path))
    (item, *_) = dataset.index().recordings
    events = recording(1, 64, 64)
    events["x"], events["y"] = 5, 7
    np.save(item.file, events)
    with pytest.raises(DataError, match=r"npy has events of one pixel only, which would fill its frames"):
        dataset.frames(item, FrameSpec(3, 16, "number"))
    assert build_dataset("folder", tmp_path, sensor=[64, 64]).frames(item, FrameSpec(3, 64, "number")).any()


def test_a_folder_given_twice_is_one_folder(tmp_path: Path, monkeypatch) -> None:
    shutil.rmtree(small(tmp_path / "mine") / "static")
    monkeypatch.chdir(tmp_path)
    assert build_dataset("folder", "mine", tmp_path / "mine").index().statics == ()


# properties


def test_a_users_tree_is_checked_prepared_audited_and_trained_on(tmp_path: Path, monkeypatch, capsys) -> None:
    tree(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    place = ["folder", "--root", "mine"]
    assert main(["data", "check", *place]) == 0
    count = 2 * len(READERS)
    assert f"{count} recordings, 2 classes, {count} images, real data" in capsys.readouterr().out
    assert main(["data", "prepare", *place, "--steps", "3", "--workers", "1"]) == 0
    assert f"({count}, 3, 2, 48, 48) and ({count}, 48, 48)" in capsys.readouterr().out
    assert main(["data", "audit", *place]) == 0
    assert "none of them shows what a validation or test recording shows" in capsys.readouterr().out
    assert main(["train", "folder/tmkt", "--tier", "smoke", "data.root=mine"]) == 0
    (record,) = read_records([tmp_path / "runs"])
    assert record["data"]["set"] == "folder"
    assert (record["data"]["train"], record["data"]["test"], record["data"]["pool"]) == (4, count - 4, 4)
    assert main(["data", "check", "folder", "--root", "nowhere"]) == 1
    out = capsys.readouterr().out
    assert "nowhere/events cannot be listed" in out
    assert ".aedat4" in out


def test_pairs_without_names_in_common_train_under_unpaired_only(tmp_path: Path, monkeypatch, capsys) -> None:
    small(tmp_path / "mine", "abc", "uvw")
    monkeypatch.chdir(tmp_path)
    command = ["train", "folder/knowledge_transfer", "--tier", "smoke", "data.root=mine"]
    assert main(command) == 2
    assert "draws static images, but there are none for folder under protocol 'clean'" in capsys.readouterr().err
    assert main([*command, "data.protocol=unpaired"]) == 0
    (record,) = read_records([tmp_path / "runs"])
    assert (record["data"]["leaky"], record["data"]["pool"]) == (True, 6)
