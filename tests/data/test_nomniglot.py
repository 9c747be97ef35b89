"""N-Omniglot on made trees in its true formats, against BrainCog's own pipeline and torchvision."""

import contextlib
import io
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import Dataset
from torchvision import transforms

from braincog_tmkt.data.audit import audit
from braincog_tmkt.data.readers.aedat4 import write_aedat4
from braincog_tmkt.data.readers.arrays import write_events_npy
from braincog_tmkt.data.sets import nomniglot as module
from braincog_tmkt.data.sets.listing import SIMULATED
from braincog_tmkt.data.sets.nomniglot import NOmniglot
from braincog_tmkt.data.sets.omniglot import image_folders
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.data.types import EVENT_DTYPE, FrameSpec
from braincog_tmkt.errors import DataError
from braincog_tmkt.recipe import load_recipe

SENSOR = (346, 260)
BACKGROUND = ("Latin/character01", "Latin/character02")
EVALUATION = ("Angelic/character01", "Angelic/character02")
START = 1_632_000_000_000_000
DRAWERS = [f"{number:02d}" for number in range(1, 21)]


def tape(seed: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The events of one AEDAT4 file and the index range of its 20 samples.

    Before, between and after the samples there are events of none; times repeat, also where a sample starts and ends,
    so that "the first event of that time" matters.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(150, 300, 41)  # gap, sample, gap, ..., sample, gap
    lengths[::2] //= 10
    lengths[2:39:6] = 0  # some samples touch
    ends = np.cumsum(lengths)
    starts, stops, count = ends[:-1:2], ends[1::2], int(ends[-1])
    steps = rng.integers(0, 4, count) * 16_000  # a sample lasts about 6 seconds, as the real ones
    edges = np.unique([starts, stops])
    steps[edges] += 1  # the first event of its time
    steps[edges + 1] = 0  # and not the only one
    events = np.empty(count, dtype=EVENT_DTYPE)
    events["t"] = START + seed * 10**9 + np.cumsum(steps)
    # Strokes: most events on few pixels, so that frames hold counts above one, and some beyond the crop.
    events["x"] = np.where(rng.random(count) < 0.9, rng.integers(150, 170, count), rng.integers(0, SENSOR[0], count))
    events["y"] = np.where(rng.random(count) < 0.9, rng.integers(100, 112, count), rng.integers(0, SENSOR[1], count))
    events["p"] = rng.random(count) < 0.6
    return events, list(zip(starts.tolist(), stops.tolist(), strict=True))


def table(events: np.ndarray, spans: list[tuple[int, int]]) -> list[str]:
    """The lines of a csv file."""
    rows = [f"{row},{events['t'][first]},{events['t'][last]}" for row, (first, last) in enumerate(spans, 1)]
    return ["index,start,end", *rows]


def number_of(name: str) -> int:
    """NNNN of a character."""
    return 1 + (BACKGROUND + EVALUATION).index(name)


def recordings(root: Path, background: str = "dvs_background", evaluation: str = "dvs_evaluation") -> None:
    for part, names in ((background, BACKGROUND), (evaluation, EVALUATION)):
        for name in names:
            folder = root / part / name
            folder.mkdir(parents=True)
            events, spans = tape(number_of(name))
            write_aedat4(folder / f"{number_of(name):04d}.aedat4", events, SENSOR)
            (folder / f"{number_of(name):04d}.csv").write_text("\n".join(table(events, spans)) + "\n")


def picture(name: str, drawer: str) -> Image.Image:
    """A black and white image as Omniglot's: 105x105, one bit, ink 0 on paper 1."""
    rng = np.random.default_rng([number_of(name), int(drawer)])
    ink = np.ones((105, 105), dtype=bool)
    ink[rng.integers(5, 90) :, rng.integers(5, 90)] = False
    return Image.fromarray(ink)


def images(root: Path, background: str = "images_background", evaluation: str = "images_evaluation") -> None:
    for part, names in ((background, BACKGROUND), (evaluation, EVALUATION)):
        for name in names:
            folder = root / part / name
            folder.mkdir(parents=True)
            for drawer in DRAWERS:
                picture(name, drawer).save(folder / f"{number_of(name):04d}_{drawer}.png")


def sample(name: str, drawer: str) -> np.ndarray:
    events, spans = tape(number_of(name))
    first, last = spans[int(drawer) - 1]
    return events[first:last]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree that no test changes."""
    root = tmp_path_factory.mktemp("nomniglot")
    recordings(root)
    images(root / "omniglot-py")
    return root


@pytest.fixture
def tree(whole: Path, tmp_path: Path) -> Path:
    """A tree to change."""
    return shutil.copytree(whole, tmp_path / "tree")


def keys(items: tuple) -> list[str]:
    return [item.key for item in items]


# Index


def test_index(whole: Path) -> None:
    index = NOmniglot(whole).index()
    assert index.classes == BACKGROUND + EVALUATION  # the background first, though Angelic comes before Latin
    expected = sorted(f"{name}/{drawer}" for name in index.classes for drawer in DRAWERS)
    assert keys(index.recordings) == keys(index.statics) == expected
    assert index.official_test == {key for key in expected if int(key[-2:]) > 15}
    item = index.recordings[26]
    assert (item.key, item.class_name) == ("Angelic/character02/07", "Angelic/character02")
    assert item.path == whole / "dvs_evaluation/Angelic/character02/0004.aedat4"
    assert index.statics[26].path == whole / "omniglot-py/images_evaluation/Angelic/character02/0004_07.png"
    assert NOmniglot(whole).kind() == "real"
    counts = NOmniglot.card.counts
    assert counts["classes"] == 964 + 659
    assert counts["recordings"] == counts["images"] == 20 * counts["classes"]


@pytest.mark.parametrize("layout", [".", "NOmniglot", "nomniglot"])
@pytest.mark.parametrize("background", ["dvs_background", "dvs_background_1", "dvs_background_2"])
@pytest.mark.parametrize("static", ["omniglot-py", ".", "omniglot/python"])
def test_every_layout_is_found(
    whole: Path, tmp_path: Path, layout: str, background: str, static: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / layout).mkdir(exist_ok=True)
    (tmp_path / layout / background).symlink_to(whole / "dvs_background")
    (tmp_path / layout / "dvs_evaluation").symlink_to(whole / "dvs_evaluation")
    (tmp_path / "images" / static).mkdir(parents=True, exist_ok=True)
    for name in ("images_background", "images_evaluation"):
        (tmp_path / "images" / static / name).symlink_to(whole / "omniglot-py" / name)
    index, truth = NOmniglot(tmp_path, tmp_path / "images").index(), NOmniglot(whole).index()
    assert index.classes == truth.classes
    assert keys(index.recordings) == keys(truth.recordings)
    assert keys(index.statics) == keys(truth.statics)
    item = index.recordings[-1]
    np.testing.assert_array_equal(
        NOmniglot(tmp_path, tmp_path / "images").events(item), sample(*item.key.rsplit("/", 1))
    )


def test_the_background_may_come_in_two_folders(tree: Path) -> None:
    truth = NOmniglot(tree).index()
    (tree / "dvs_background").rename(tree / "dvs_background_1")
    shutil.copytree(tree / "dvs_background_1/Latin", tree / "dvs_background_2/Greek")
    shutil.copytree(tree / "omniglot-py/images_background/Latin", tree / "omniglot-py/images_background/Greek")
    index = NOmniglot(tree).index()
    assert index.classes == ("Greek/character01", "Greek/character02", *truth.classes)
    (tree / "dvs_background_2/Latin").symlink_to(tree / "dvs_background_1/Latin")
    with pytest.raises(DataError, match=r"_1/Latin/character01 and .*dvs_background_2/Latin/character01 are the same"):
        NOmniglot(tree).index()


def test_one_part_alone_will_do_with_all_images(tree: Path) -> None:
    shutil.rmtree(tree / "dvs_background")
    index = NOmniglot(tree).index()
    assert index.classes == EVALUATION
    assert len(index.statics) == 40


def test_the_small_sets_of_images_will_do(tree: Path) -> None:
    truth = keys(NOmniglot(tree).index().statics)
    top = tree / "omniglot-py"
    (top / "images_background").rename(top / "images_background_small1")
    (top / "images_background_small2").mkdir()
    shutil.copytree(top / "images_background_small1/Latin", top / "images_background_small2/Latin")
    index = NOmniglot(tree).index()
    assert keys(index.statics) == truth
    assert "small1" in str(index.statics[-1].path)
    shutil.copytree(top / "images_evaluation/Angelic", top / "images_background_small2/Angelic")
    assert NOmniglot(tree).index() == index


def test_hidden_and_foreign_files_are_passed_over(tree: Path) -> None:
    before = NOmniglot(tree).index()
    folder = tree / "dvs_background/Latin/character01"
    for path in (
        folder / "._0001.aedat4",
        folder / "dvSave-2021.aedat4",
        folder / "notes.csv",
        tree / "dvs_background/a.txt",
    ):
        path.write_bytes(b"")
    (tree / "dvs_background/.git").mkdir()
    (tree / "omniglot-py/images_background/Latin/character01/Thumbs.db").write_bytes(b"")
    assert NOmniglot(tree).index() == before


def test_order_of_the_file_system_does_not_matter(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = NOmniglot(whole).index()
    original = Path.iterdir

    def shuffled(path: Path) -> list[Path]:
        entries = list(original(path))
        random.Random(str(path)).shuffle(entries)
        return entries

    monkeypatch.setattr(Path, "iterdir", shuffled)
    assert NOmniglot(whole).index() == truth


def test_protocols_hold_out_five_drawers_and_draw_none_of_their_images(whole: Path) -> None:
    index = NOmniglot(whole).index()
    for name in ("clean", "published"):
        split = make_split(index, Protocol(name))
        assert set(split.test) == index.official_test
        assert set(split.pool) == set(split.train)
        assert not audit(index, split).leaks
    assert not split.val
    leaky = make_split(index, Protocol("published_omniglot_unsorted"))
    assert leaky.leaky
    assert audit(index, leaky).draws_held_out


def test_what_is_simulated_says_so(tree: Path) -> None:
    for place in (tree, tree / "dvs_evaluation"):
        (place / SIMULATED).write_text("{}")
        assert NOmniglot(tree).kind() == "simulated"
        (place / SIMULATED).unlink()
    assert NOmniglot(tree).kind() == "real"


# Recordings


def test_events_are_those_of_the_row(whole: Path) -> None:
    dataset = NOmniglot(whole)
    for item in dataset.index().recordings:
        np.testing.assert_array_equal(dataset.events(item), sample(*item.key.rsplit("/", 1)), err_msg=item.key)


def test_each_file_is_decoded_once_in_the_order_of_the_index(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []

    def count(path: Path, sensor: tuple[int, int]) -> np.ndarray:
        decoded.append(path.stem)
        return tape(int(path.stem))[0]

    monkeypatch.setattr(module, "read_aedat4", count)
    dataset = NOmniglot(tree)
    items = dataset.index().recordings
    for item in items:
        dataset.events(item)["x"] = 0  # what a caller does to its events touches no other's
    assert decoded == ["0003", "0004", "0001", "0002"]
    np.testing.assert_array_equal(dataset.events(items[-1]), sample("Latin/character02", "20"))
    assert len(decoded) == 4
    os.utime(items[-1].path, ns=(1, 1))
    dataset.events(items[-1])
    assert decoded[4:] == ["0002"]


def test_rows_may_be_floats_in_any_order_with_more_behind(tree: Path) -> None:
    dataset = NOmniglot(tree)
    item = dataset.index().recordings[0]
    events, spans = tape(3)
    rows = table(events, [spans[1], spans[0], *spans[2:]])
    rows = ["\ufeff,Start,End", *(f"{row}.0" for row in rows[1:]), "", "21,too,many"]
    (tree / "dvs_evaluation/Angelic/character01/0003.csv").write_text("\r\n".join(rows))
    np.testing.assert_array_equal(dataset.events(item), sample("Angelic/character01", "02"))


def span_of(row: int, start: int = 0, end: int = 0) -> str:
    """Row `row` of character 3, its times moved by so much."""
    events, spans = tape(3)
    first, last = spans[row - 1]
    return f"{row},{events['t'][first] + start},{events['t'][last] + end}"


@pytest.mark.parametrize(
    ("row", "text", "fault"),
    [
        (20, None, r"0003\.csv has 19 rows below its header"),
        (7, "7,1632000000000000", r"0003\.csv, row 7 is '7,1632000000000000', not index,start,end"),
        (7, "7;1;2", r"row 7 is '7;1;2'"),
        (7, "7,abc,1632000000000000", "row 7 is '7,abc"),
        (7, "7,-5,1632000000000000", "row 7 is '7,-5"),
        (7, "7,1e15,1632000000000000", "row 7 is '7,1e15"),
        (7, "7,nan,inf", "row 7 is '7,nan,inf'"),
        (7, "7,٣,٤", "row 7 is"),
        (7, "7,1632000000000.5,1632000000001.5", "row 7 is"),
        (7, "7," + "9" * 5000 + ",1", "row 7 is '7,9999"),
        (7, "../../etc/passwd,/dev/zero,..", r"row 7 is '\.\./"),
        (7, "7,20,10", "row 7: the sample starts at 20 and ends at 10"),
        (7, "7,20,20", "row 7: the sample starts at 20 and ends at 20"),
        (7, span_of(8), "rows 7 and 8 overlap"),
        (7, span_of(7, end=10**7), "rows 7 and 8 overlap"),
        (7, '7,"' + "x" * 60_000, "csv"),
        (7, '7,"' + "x" * 200_000, r"0003\.csv has 7 rows"),
    ],
)
def test_faults_of_a_table_are_named(tree: Path, row: int, text: str | None, fault: str) -> None:
    events, spans = tape(3)
    lines = table(events, spans)
    lines[row : row + 1] = [] if text is None else [text]
    (tree / "dvs_evaluation/Angelic/character01/0003.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=fault):
        NOmniglot(tree).index()


EDITS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 3), st.binary(max_size=12)), max_size=6)


@settings(max_examples=150, deadline=None)
@given(edits=EDITS)
def test_a_table_with_any_bytes_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, edits: list) -> None:
    """Bytes cut out and put in anywhere: 20 pieces that share no event, or our error with the name of the file."""
    data = "\n".join(table(*tape(3))).encode()
    for place, gone, new in edits:
        at = place % len(data)
        data = data[:at] + new + data[at + gone :]
    path = tmp_path_factory.getbasetemp() / "0003.csv"
    path.write_bytes(data)
    fault = ""
    try:
        spans = sorted(module._read_table(path).values())
    except DataError as error:
        fault = str(error)
    if fault:
        assert "0003.csv" in fault
        return
    assert len(spans) == 20
    flat = [time for span in spans for time in span]
    assert flat == sorted(flat)
    assert all(start < end for start, end in spans)


@pytest.mark.parametrize(
    ("row", "text", "fault"),
    [
        (1, span_of(1, start=1), r"0003\.csv, row 1: the sample starts at \d+, but .*0003\.aedat4 has no event at"),
        (4, span_of(4, end=-1), r"0003\.csv, row 4: the sample ends at"),
        (20, span_of(20, end=10**9), r"0003\.csv, row 20: the sample ends at"),
        (20, f"20,{10**17},{10**17 + 5}", r"0003\.csv, row 20: the sample starts at"),
        (1, "1,0,5", r"0003\.csv, row 1: the sample starts at 0, but"),
    ],
)
def test_times_without_an_event_are_named(tree: Path, row: int, text: str, fault: str) -> None:
    events, spans = tape(3)
    lines = table(events, spans)
    lines[row] = text
    (tree / "dvs_evaluation/Angelic/character01/0003.csv").write_text("\n".join(lines))
    dataset = NOmniglot(tree)
    items = {item.key: item for item in dataset.index().recordings}
    with pytest.raises(DataError, match=fault):
        dataset.events(items[f"Angelic/character01/{row:02d}"])


def test_a_damaged_or_missing_file_is_named(tree: Path) -> None:
    dataset = NOmniglot(tree)
    item = dataset.index().recordings[0]
    assert item.path is not None
    content = item.path.read_bytes()
    item.path.write_bytes(content[: len(content) // 2])  # not the table at its end: without it all events are there
    with pytest.raises(DataError, match=r"0003\.aedat4"):
        dataset.events(item)
    item.path.unlink()
    item.path.symlink_to(item.path)
    with pytest.raises(DataError, match=r"0003\.aedat4"):
        dataset.events(item)
    item.path.unlink()
    with pytest.raises(DataError, match=r"character01 holds no \.aedat4 files"):
        dataset.events(item)


def test_a_pipe_instead_of_a_table_does_not_block(tree: Path) -> None:
    path = tree / "dvs_evaluation/Angelic/character01/0003.csv"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"0003\.csv"):
        NOmniglot(tree).index()


# Names


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("dvs_background/Latin", "dvs_background/Latn", "no images of Latn"),
        ("omniglot-py/images_background/Latin", "omniglot-py/images_background/latin", "no images of Latin"),
        (
            "dvs_background/Latin/character02",
            "dvs_background/Latin/character03",
            "character02 has images in .*no recordings",
        ),
        (
            "omniglot-py/images_background/Latin/character02",
            "omniglot-py/images_background/Latin/character03",
            "Latin/character02 has recordings in .*dvs_background/Latin/character02, but no images",
        ),
        ("dvs_background/Latin/character02", "dvs_background/Latin/two", "two is no folder of a character"),
        ("dvs_background/Latin/character02", "gone", "Latin/character02 has images in"),
        ("omniglot-py/images_background/Latin/character02", "gone", "Latin/character02 has recordings in"),
        ("omniglot-py", "gone", r"cannot find the images of Omniglot in .*omniglot-py/images_background"),
        ("dvs_background/Latin/character02/0002.csv", "gone", r"character02 holds no \.csv files"),
        (
            "dvs_background/Latin/character02/0002.csv",
            "dvs_background/Latin/character02/2.csv",
            r"holds 0 files NNNN\.csv",
        ),
        (
            "dvs_background/Latin/character02/0002.aedat4",
            "dvs_background/Latin/character01/0002.aedat4",
            r"holds 2 files NN",
        ),
        (
            "omniglot-py/images_background/Latin/character02/0002_07.png",
            "gone.png",
            r"Latin/character02 should hold one .png .* 0002_07.png is missing",
        ),
        (
            "omniglot-py/images_background/Latin/character02/0002_07.png",
            "omniglot-py/images_background/Latin/character02/0001_07.png",
            "Latin/character02 should hold",
        ),
        (
            "omniglot-py/images_background/Latin/character02/0002_07.png",
            "omniglot-py/images_background/Latin/character02/seven.png",
            "should",
        ),
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
