"""Trees of simulated recordings of every layout: read by others' code, whole or not there, the same every time."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from braincog_tmkt.data.sets.cepdvs import CEPDVS
from braincog_tmkt.data.sets.cifar10dvs import CIFAR10DVS
from braincog_tmkt.data.sets.nomniglot import NOmniglot
from braincog_tmkt.data.simulate import LAYOUTS, simulate_tree
from braincog_tmkt.data.simulate.camera import CameraParams
from braincog_tmkt.data.simulate.cepdvs import random_path
from braincog_tmkt.data.simulate.cifar10dvs import diamond_path
from braincog_tmkt.errors import DataError, RecipeError

from .trees import QUICK, contents


def texture(size: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8))


def images(root: Path, classes: tuple[str, ...], count: int = 2, suffix: str = ".jpg") -> Path:
    for seed, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(count):
            texture(24, 10 * seed + number).save(root / name / f"{number:04d}{suffix}")
    return root


def characters(root: Path, names: tuple[str, ...] = ("character01", "character02"), part: str = "background") -> Path:
    """A character is a line at a height of its own; drawer k begins it k pixels to the right."""
    for number, name in enumerate(names, start=17):
        folder = root / f"images_{part}" / {"background": "Futurama", "evaluation": "Atlantean"}[part] / name
        folder.mkdir(parents=True)
        for drawer in range(1, 21):
            picture = np.full((105, 105), 255, np.uint8)
            picture[number, 10 + drawer : 50] = 0
            Image.fromarray(picture).save(folder / f"{number:04d}_{drawer:02d}.png")
    return root


def strokes(root: Path, name: str = "character01", number: int = 17) -> Path:
    """The strokes of a character: drawer k draws a line downwards, k pixels from the left."""
    folder = root / "strokes_background" / "Futurama" / name
    folder.mkdir(parents=True)
    for drawer in range(1, 21):
        text = f"START\n{drawer},-20,0\n{drawer},-50,1000\nBREAK\n"
        (folder / f"{number:04d}_{drawer:02d}.txt").write_text(text)
    return root


SOURCES = {
    "ncaltech101": lambda root: images(root, ("cat", "ship")),
    "nmnist": lambda root: images(root, ("0", "7")),
    "nomniglot": characters,
    "cepdvs": lambda root: images(root, ("fish", "people")),
    "cifar10dvs": lambda root: images(root, ("cat", "ship")),
}


def make(source: Path, out: Path, name: str, **options: object) -> int:
    return simulate_tree(source, out, name, **{"params": QUICK[name], "progress": False, **options})


@pytest.mark.parametrize("name", SOURCES)
def test_an_unfinished_tree_is_completed_to_the_same_bytes(tmp_path, name):
    source = SOURCES[name](tmp_path / "source")
    made = make(source, tmp_path / "whole", name)
    whole = contents(tmp_path / "whole")
    for number, gone in enumerate(sorted(path for path in whole if "SIMULATED" not in path)):
        (tmp_path / "whole" / gone).unlink()
        again = make(source, tmp_path / "whole", name)
        assert again == (0 if gone.endswith("pathFile.csv") else {"nomniglot": 20}.get(name, 1)), gone
        assert contents(tmp_path / "whole") == whole
        if number == (1 if name == "nomniglot" else 4):
            break
    assert make(source, tmp_path / "whole", name) == 0
    assert made == {"nomniglot": 40}.get(name, 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nomniglot", "cepdvs"])
def test_any_number_of_processes_writes_the_same_bytes(tmp_path, name):
    source = SOURCES[name](tmp_path / "source")
    make(source, tmp_path / "one", name)
    make(source, tmp_path / "two", name, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("name", ["nomniglot", "cepdvs"])
def test_of_two_files_that_belong_together_one_alone_does_not_count(tmp_path, name, monkeypatch):
    source = SOURCES[name](tmp_path / "source")
    make(source, tmp_path / "whole", name)
    rename, done = Path.replace, []

    def fails_at_the_second(path: Path, target: Path) -> Path:
        if target.suffix in (".csv", ".jpg") and done:
            raise OSError(28, "No space left on device")
        done.extend([target] if target.suffix in (".aedat4", ".mat") else [])
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", fails_at_the_second)
    with pytest.raises(DataError, match="No space left"):
        make(source, tmp_path / "twin", name)
    monkeypatch.undo()
    assert len(done) == 1
    assert not list((tmp_path / "twin").rglob("*.part"))
    assert make(source, tmp_path / "twin", name) == make(source, tmp_path / "other", name)
    assert contents(tmp_path / "twin") == contents(tmp_path / "whole")


@pytest.mark.parametrize("name", SOURCES)
def test_real_recordings_are_never_mixed_in(tmp_path, name):
    source = SOURCES[name](tmp_path / "source")
    make(source, tmp_path / "twin", name)
    for marker in (tmp_path / "twin").rglob("*SIMULATED.json"):
        marker.unlink()
    with pytest.raises(DataError, match="not simulated"):
        make(source, tmp_path / "twin", name)


@pytest.mark.parametrize(
    ("name", "workers"), [*((name, 1) for name in SOURCES), pytest.param("nmnist", 2, marks=pytest.mark.slow)]
)
def test_an_unreadable_source_is_named_and_leaves_nothing_half_written(tmp_path, name, workers):
    source = SOURCES[name](tmp_path / "source")
    bad = sorted(path for path in source.rglob("*") if path.is_file())[-1]
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(DataError, match=bad.name):
        make(source, tmp_path / "twin", name, workers=workers)
    left = [path.suffix for path in (tmp_path / "twin").rglob("*") if path.is_file()]
    assert ".part" not in left
    assert left.count(LAYOUTS[name].suffix) == {"nomniglot": 1}.get(name, 3)


def test_braincogs_own_conversion_cuts_out_the_same_samples(tmp_path):
    """BrainCog reads with `dv` and `pandas` and looks start and end times up among the events."""
    pytest.importorskip("dv")
    utils = pytest.importorskip("braincog.datasets.NOmniglot.utils")
    source = characters(strokes(tmp_path / "source"), ("character01",))
    make(source, tmp_path / "twin", "nomniglot")
    utils.convert_aedat4_dir_to_events_dir(str(tmp_path / "twin"), train=True)
    dataset = NOmniglot(tmp_path / "twin", source)
    for item in dataset.index().recordings:
        theirs = np.load(
            tmp_path / f"twin/events_npy/background/Futurama/character01/0017_{item.key[-2:]}.npy", allow_pickle=True
        ).item()
        ours = dataset.events(item)
        assert len(ours) > 100
        for column in "txyp":
            assert np.array_equal(ours[column], theirs[column]), item


def test_samples_show_their_drawers(tmp_path):
    """Character 1 has strokes: lines downwards. Character 2 has images only: lines to the right, in row 18."""
    source = strokes(characters(tmp_path / "source"))
    quiet = replace(QUICK["nomniglot"], noise_on_hz=0.0, noise_off_hz=0.0)
    make(source, tmp_path / "twin", "nomniglot", params=quiet)
    dataset = NOmniglot(tmp_path / "twin", source)
    index = dataset.index()
    assert [item.key for item in index.recordings] == [item.key for item in index.statics]
    for item in index.recordings:
        drawer, events = int(item.key[-2:]), dataset.events(item)
        assert 100_000 < events["t"][-1] - events["t"][0] < 400_000
        x, y = (events["x"] - 54) * 105 / 250, (events["y"] - 4) * 105 / 250
        if "character01" in item.key:
            assert np.abs(x - drawer - 0.5).max() < 2
            assert (y.min(), y.max()) == (pytest.approx(20, abs=2), pytest.approx(51, abs=2))
            early = events["t"] < events["t"][0] + 50_000
            assert y[early].max() < 35  # drawn from above
        else:
            assert np.abs(y - 18.5).max() < 2
            assert (x.min(), x.max()) == (pytest.approx(10 + drawer, abs=2), pytest.approx(50, abs=2))


def test_a_sample_does_not_depend_on_the_others(tmp_path):
    one, two = strokes(tmp_path / "one"), strokes(tmp_path / "two")
    first = two / "strokes_background/Futurama/character01/0017_01.txt"
    first.write_text("START\n60,-20,0\n90,-80,500\n10,-80,1000\nBREAK\n")
    samples = []
    for root in (one, two):
        make(root, root / "twin", "nomniglot")
        characters(root, ("character01",))
        dataset = NOmniglot(root / "twin", root)
        events = [dataset.events(item) for item in dataset.index().recordings[:2]]
        for part in events:
            assert part["t"][0] > 1_600_000_000_000_000  # since 1970
            part["t"] -= part["t"][0]
            assert part["t"][-1] < 270_000  # the drawing and two pictures of the screen: no rest before or after
        samples.append(events)
    assert not np.array_equal(samples[0][0], samples[1][0])
    assert np.array_equal(samples[0][1], samples[1][1])
    there = [set(zip(events["x"], events["y"], strict=True)) for events in samples[0]]
    quiet = [{place for place in places if place[1] > 200} for places in there]  # far from all lines: noise
    assert len(quiet[0]) > 3
    assert quiet[0] != quiet[1]


def test_strokes_count_more_than_images_and_the_full_sets_more_than_the_small(tmp_path):
    strokes(characters(tmp_path / "small"))
    for kind in ("images", "strokes"):
        (tmp_path / f"small/{kind}_background").rename(tmp_path / f"small/{kind}_background_small2")
    characters(tmp_path / "small")
    used = [job.sources[0] for job in LAYOUTS["nomniglot"].jobs(tmp_path / "small", None)]
    names = [path.relative_to(tmp_path / "small").parts[0] for path in used]
    assert names == ["strokes_background_small2", "images_background"]


@pytest.mark.parametrize("place", ["", "omniglot-py"])
def test_omniglot_is_found_in_its_layouts_and_strokes_alone_will_do(tmp_path, place):
    strokes(tmp_path / "source" / place)
    (tmp_path / "source" / place / "strokes_background").rename(
        tmp_path / "source" / place / "strokes_background_small1"
    )
    assert make(tmp_path / "source", tmp_path / "twin", "nomniglot") == 20
    assert (tmp_path / "twin/dvs_background/Futurama/character01/0017.aedat4").is_file()


def test_drawers_share_a_file_and_must_be_complete(tmp_path):
    source = characters(tmp_path / "source")
    with pytest.raises(RecipeError, match="20 drawers"):
        make(source, tmp_path / "twin", "nomniglot", limit_per_class=5)
    next(source.rglob("*_07.png")).unlink()
    with pytest.raises(DataError, match=r"_07\.png"):
        make(source, tmp_path / "twin", "nomniglot")
    with pytest.raises(DataError, match="images_background"):
        make(tmp_path, tmp_path / "twin", "nomniglot")


def test_a_drawing_without_ink_is_named(tmp_path):
    source = characters(tmp_path / "source")
    path = next(source.rglob("*_03.png"))
    Image.new("L", (105, 105), 255).save(path)
    with pytest.raises(DataError, match=f"{path.name} makes no events"):
        make(source, tmp_path / "twin", "nomniglot")


@pytest.mark.parametrize("threshold_off", [9, 0.2])
def test_a_camera_that_sees_no_end_of_a_sample_is_refused(tmp_path, threshold_off):
    blind = CameraParams(threshold_on=9, threshold_off=threshold_off, noise_on_hz=0, duration_us=200_000)
    with pytest.raises(DataError, match="too few events"):
        make(strokes(tmp_path / "source"), tmp_path / "twin", "nomniglot", params=blind)


def test_the_tree_is_read_as_cepdvs_and_as_the_baseline_reads_it(tmp_path):
    source = images(tmp_path / "source", ("fish", "aquatic_mammals"), count=3)
    texture(24, 99).save(source / "fish/0009.png")
    assert make(source, tmp_path / "twin", "cepdvs") == 7
    dataset = CEPDVS(tmp_path / "twin")
    index = dataset.index()
    assert dataset.kind() == "simulated"
    assert index.classes == ("aquatic_mammals", "fish")
    assert [item.key for item in index.recordings] == [item.key for item in index.statics]
    lines = (tmp_path / "twin/CEP-DVS/pathFile.csv").read_text().splitlines()[1:]
    assert [line.split("\t")[0] for line in lines] == [str(k) for k in range(7)]
    assert b"Created" not in index.recordings[0].path.read_bytes()[:116]  # the time of writing
    for item in index.recordings:
        assert item.path is not None
        label = re.search(r"(?:\S*\s){4}(\S+)", lines[int(item.path.stem)])
        assert label is not None
        assert label[1] == item.class_name
        stored, events = loadmat(item.path), dataset.events(item)
        assert np.array_equal(stored["ts"].squeeze(), events["t"])
        assert set(stored["p"].squeeze()) == {-1, 1}
    copied = tmp_path / "twin/CEP-DVS/data/img/00003.jpg"
    assert copied.read_bytes() == (source / "fish/0000.jpg").read_bytes()
    with Image.open(tmp_path / "twin/CEP-DVS/data/img/00006.jpg") as made:
        difference = np.asarray(made.convert("L"), float) - np.asarray(texture(24, 99).convert("L"), float)
    assert np.abs(difference).mean() < 5


def test_other_folders_become_classes_in_order_and_the_marker_says_so(tmp_path):
    source = images(tmp_path / "source", ("zebra", "fish", "Apple"), count=1)
    make(source, tmp_path / "twin", "cepdvs")
    assert CEPDVS(tmp_path / "twin").index().classes == ("aquatic_mammals", "fish", "flowers")
    marked = json.loads((tmp_path / "twin/CEP-DVS/.SIMULATED.json").read_text())["classes"]
    assert marked == {"Apple": "aquatic_mammals", "fish": "fish", "zebra": "flowers"}
    shown = [(tmp_path / f"twin/CEP-DVS/data/img/0000{k}.jpg").read_bytes() for k in range(3)]
    assert shown == [(source / name / "0000.jpg").read_bytes() for name in ("Apple", "fish", "zebra")]
    (source / "empty").mkdir()
    assert make(source, tmp_path / "twin", "cepdvs") == 0  # a folder without images is no class
    with pytest.raises(DataError, match="10 classes"):
        make(images(tmp_path / "many", tuple("abcdefghijk"), 1), tmp_path / "other", "cifar10dvs")


def test_a_limit_gives_recordings_of_cepdvs_other_numbers(tmp_path):
    source = images(tmp_path / "source", ("fish", "people"), count=3)
    assert make(source, tmp_path / "twin", "cepdvs", limit_per_class=2) == 4
    assert len(CEPDVS(tmp_path / "twin").index().recordings) == 4
    with pytest.raises(DataError, match="other images"):
        make(source, tmp_path / "twin", "cepdvs")


def test_every_recording_of_cepdvs_moves_another_way():
    params = LAYOUTS["cepdvs"].params
    times, right, down = random_path(params, 5)
    assert np.array_equal(right, random_path(params, 5)[1])
    assert not np.array_equal(right[:50], random_path(params, 6)[1][:50])
    assert (times[0], times[-1]) == (0, params.duration_us)
    assert (right[0], down[0]) == (0, 0)
    extents = [np.ptp(random_path(params, seed)[k]) for seed in range(50) for k in (1, 2)]
    assert 0.5 * params.amplitude < np.mean(extents) < 1.1 * params.amplitude


def as_spikingjelly_reads(path: Path) -> np.ndarray:
    """Rows t, x, y, p as SpikingJelly's reader of CIFAR10-DVS makes them of the bytes."""
    content = path.read_bytes()
    while content.startswith(b"#"):
        content = content[content.index(b"\n") + 1 :]
    address, t = np.frombuffer(content, ">u4").reshape(-1, 2).T.astype(np.int64)
    return np.stack([t, 127 - (address >> 8 & 127), 127 - (address >> 1 & 127), 1 - (address & 1)])


def test_the_tree_is_read_as_cifar10dvs_and_upright_as_spikingjelly_reads_it(tmp_path):
    picture = np.zeros((32, 32), np.uint8)
    picture[4:10, 18:28] = 255  # bright, above, right
    folder = tmp_path / "source/train/cat"
    folder.mkdir(parents=True)
    for number in range(11):
        Image.fromarray(picture).save(folder / f"{number:04d}.png")
    quiet = CameraParams(noise_on_hz=0, amplitude=5, duration_us=1_200_000)
    make(tmp_path / "source", tmp_path / "twin", "cifar10dvs", params=quiet, limit_per_class=2)
    dataset = CIFAR10DVS(tmp_path / "twin", tmp_path / "source")
    index = dataset.index()
    assert dataset.kind() == "simulated"
    assert [item.key for item in index.recordings] == ["cat/000", "cat/001"]
    events = dataset.events(index.recordings[1])
    t, x, y, p = as_spikingjelly_reads(tmp_path / "twin/CIFAR10DVS/cat/cifar10_cat_1.aedat")
    for name, values in zip("txyp", (t, x, y, p), strict=True):
        assert np.array_equal(events[name], values)
    assert (x.min(), x.max()) == (pytest.approx(4 * 18 - 4, abs=3), pytest.approx(4 * 28 + 3, abs=3))
    assert (y.min(), y.max()) == (pytest.approx(4 * 4 - 4, abs=3), pytest.approx(4 * 10 + 3, abs=3))
    first = t < 40_000  # the image moves to the right and up: it gets bright there
    assert x[first & (p == 1)].mean() > x[first & (p == 0)].mean() + 10
    assert y[first & (p == 1)].mean() < y[first & (p == 0)].mean() - 5


def test_the_movement_is_a_diamond_passed_six_times_at_an_even_pace():
    params = LAYOUTS["cifar10dvs"].params
    times, right, down = diamond_path(params)
    assert (times[0], times[-1]) == (0, 1_200_000)
    even = np.linspace(0, 1_200_000, 24 * 40 + 1)
    place = np.stack([np.interp(even, times, way) for way in (right, down)]) / params.amplitude
    assert np.abs(np.abs(place).sum(axis=0) - 0.5).max() < 0.04  # |x| + |y| is constant on a diamond
    assert np.abs(place[:, ::160] - place[:, :1]).max() < 0.01
    speed = np.hypot(*np.diff(place)) * params.amplitude / (1200 / 960)
    assert np.median(speed) == pytest.approx(np.sqrt(2) * 200 / 4 / 1000, rel=0.01)  # 200 screen pixels a second twice
    assert np.quantile(np.abs(speed / np.median(speed) - 1), 0.7) < 0.05  # the rest is corners


def test_a_larger_limit_goes_on(tmp_path):
    source = images(tmp_path / "source", ("cat", "ship"), count=3)
    assert make(source, tmp_path / "twin", "cifar10dvs", limit_per_class=1) == 2
    assert make(source, tmp_path / "twin", "cifar10dvs") == 4
    make(source, tmp_path / "whole", "cifar10dvs")
    assert contents(tmp_path / "twin") == contents(tmp_path / "whole")


def test_parts_of_cifar10_are_counted_one_after_the_other_and_a_thousand_is_all(tmp_path):
    images(tmp_path / "source/train", ("cat",), count=2)
    images(tmp_path / "source/test", ("cat", "dog"), count=1)
    layout = LAYOUTS["cifar10dvs"]
    jobs = list(layout.jobs(tmp_path / "source", None))
    assert [job.targets[0].name for job in jobs] == [
        f"cifar10_{name}.aedat" for name in ("cat_0", "cat_1", "cat_2", "dog_0")
    ]
    assert [job.sources[0].parts[-3] for job in jobs] == ["train", "train", "test", "test"]
    for number in range(1200):
        (tmp_path / f"source/train/cat/{number:05d}.png").touch()
    for limit in (None, 5000):
        assert len([job for job in layout.jobs(tmp_path / "source", limit) if job.class_name == "cat"]) == 1000
