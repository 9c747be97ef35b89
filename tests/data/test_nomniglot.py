"""N-Omniglot on made trees in its true formats, against BrainCog's own pipeline and torchvision."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from braincog_tmkt.data.audit import audit
from braincog_tmkt.data.readers.aedat4 import write_aedat4
from braincog_tmkt.data.sets import nomniglot as module
from braincog_tmkt.data.sets.nomniglot import NOmniglot
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.data.types import EVENT_DTYPE
from braincog_tmkt.errors import DataError

from .trees import keys

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


@pytest.mark.parametrize(
    ("layout", "background", "static"),
    [
        (".", "dvs_background", "omniglot/python"),
        ("NOmniglot", "dvs_background_1", "omniglot-py"),
        ("nomniglot", "dvs_background_2", "."),
    ],
)
def test_every_layout_is_found(whole: Path, tmp_path: Path, layout: str, background: str, static: str) -> None:
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
