"""DVS128 Gesture: official trials, tonic's cut files, faults and tricks in the lists."""

from pathlib import Path

import numpy as np
import pytest
import tonic
import torch
from torch.nn.functional import interpolate

from braincog_tmkt.cli import main
from braincog_tmkt.data.audit import audit
from braincog_tmkt.data.readers.aedat import write_aedat3
from braincog_tmkt.data.sets import dvsgesture
from braincog_tmkt.data.sets.dvsgesture import CLASSES, DVSGesture
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.data.types import EVENT_DTYPE, FrameSpec
from braincog_tmkt.errors import DataError
from braincog_tmkt.results.store import read_records

HEADER = "class,startTime_usec,endTime_usec"
ROWS = [
    (1, 100_000, 180_000),
    (8, 200_000, 260_000),
    (8, 260_000, 340_000),
    (9, 350_000, 420_000),
    (10, 400_000, 500_000),
]
"""Rows of a trial: class 8 twice, one starting as the other ends; class 9 runs into class 10, as in user22_led."""
TRIALS = {"train": ["user01_led", "user01_fluorescent_led", "user02_lab"], "test": ["user24_led"]}


@pytest.fixture(autouse=True)
def _forget() -> None:
    dvsgesture._gestures.cache_clear()
    dvsgesture._read_trial.cache_clear()


def trial_events(name: str) -> np.ndarray:
    """Events of a trial, some at the very edges of its gestures."""
    rng = np.random.default_rng(list(name.encode()))
    events = np.empty(3000, dtype=EVENT_DTYPE)
    edges = [time + shift for _, *times in ROWS for time in times for shift in (-1, 0, 1)]
    events["t"] = np.sort(np.concatenate([edges, rng.integers(0, 600_000, 3000 - len(edges))]))
    events["x"], events["y"] = rng.integers(0, 128, (2, 3000))
    events["p"] = rng.integers(0, 2, 3000)
    return events


def text_of(rows: list[tuple[int, int, int]]) -> str:
    return "\n".join([HEADER, *(",".join(map(str, row)) for row in rows)]) + "\n"


def official(root: Path, layout: str = "DvsGesture") -> Path:
    folder = root / layout
    folder.mkdir(parents=True, exist_ok=True)
    for part, trials in TRIALS.items():
        (folder / f"trials_to_{part}.txt").write_text("".join(f"{trial}.aedat\n" for trial in trials))
        for trial in trials:
            write_aedat3(folder / f"{trial}.aedat", trial_events(trial))
            (folder / f"{trial}_labels.csv").write_text(text_of(ROWS))
    return folder


def cut(root: Path, layout: str = "DVSGesture", dtype: type = np.float64) -> None:
    """tonic's files: a trial is a folder, a gesture a file of rows x, y, p and milliseconds."""
    for part, trials in TRIALS.items():
        for number, trial in enumerate(trials):
            folder = root / layout / f"ibmGesture{part.capitalize()}" / trial
            folder.mkdir(parents=True)
            for label in range(number, 11):
                events = trial_events(f"{trial}{label}")
                rows = [events["x"], events["y"], events["p"], events["t"] // 1000]
                np.save(folder / f"{label}.npy", np.stack(rows, axis=1).astype(dtype))


def read_all(dataset: DVSGesture) -> None:
    for item in dataset.index().recordings:
        dataset.events(item)


@pytest.mark.parametrize("layout", ["DvsGesture", "extract/DvsGesture", "."])
def test_keys_classes_and_the_official_split(tmp_path: Path, layout: str) -> None:
    official(tmp_path, layout)
    index = DVSGesture(tmp_path).index()
    names = ["hand_clapping-0", "arm_roll-0", "arm_roll-1", "air_drums-0", "air_guitar-0"]
    expected = {
        f"{name.split('-')[0]}/{trial}-{name.split('-')[1]}"
        for trials in TRIALS.values()
        for trial in trials
        for name in names
    }
    assert {item.key for item in index.recordings} == expected
    assert index.recordings == tuple(sorted(index.recordings))
    assert index.classes == ("hand_clapping", "arm_roll", "air_drums", "air_guitar")  # by their official numbers
    assert index.statics == ()
    assert index.official_test == {key for key in expected if "user24_led" in key}
    for protocol in DVSGesture.protocols:
        split = make_split(index, Protocol(protocol))
        assert set(split.test) == index.official_test
        assert not audit(index, split).leaks


def test_a_gesture_is_what_its_row_says(tmp_path: Path) -> None:
    official(tmp_path)
    dataset = DVSGesture(tmp_path)
    items = {item.key: item for item in dataset.index().recordings}
    seen: dict[int, int] = {}
    for label, start, end in ROWS:
        number = seen[label] = seen.get(label, -1) + 1
        for trial in ("user01_fluorescent_led", "user24_led"):
            truth = trial_events(trial)
            truth = truth[(truth["t"] >= start) & (truth["t"] < end)]
            events = dataset.events(items[f"{CLASSES[label - 1]}/{trial}-{number}"])
            np.testing.assert_array_equal(events, truth)
            events["t"] = 0  # the caller's own copy
    assert CLASSES[0] == "hand_clapping"
    assert CLASSES[10] == "other_gestures"


def test_a_trial_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official(tmp_path)
    decoded = []
    real = dvsgesture.read_aedat3
    monkeypatch.setattr(dvsgesture, "read_aedat3", lambda *args: decoded.append(args[0].name) or real(*args))
    dataset = DVSGesture(tmp_path)
    for item in sorted(dataset.index().recordings, key=lambda item: (item.path, item.key)):
        dataset.events(item)
    assert sorted(decoded) == sorted(f"{trial}.aedat" for trials in TRIALS.values() for trial in trials)


def test_blank_lines_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    folder = official(tmp_path)
    before = DVSGesture(tmp_path).index()
    for path in [*folder.glob("*.csv"), *folder.glob("*.txt")]:
        path.write_text(path.read_text().replace("\n", "\r\n") + "\r\n\r\n")
    dvsgesture._gestures.cache_clear()
    assert DVSGesture(tmp_path).index() == before


def test_trials_that_no_list_names_are_not_used(tmp_path: Path) -> None:
    folder = official(tmp_path)
    before = DVSGesture(tmp_path).index()
    (folder / "user99_led.aedat").write_bytes(b"")
    (folder / "gesture_mapping.csv").write_text("action,label\n")
    assert DVSGesture(tmp_path).index() == before


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("trials_to_train.txt", "user01_led.aedat\n\nuser01_led.aedat\n", r"train\.txt, line 3: user01_led.* twice"),
        ("trials_to_train.txt", "../secret.aedat\n", r"train\.txt, line 1: '\.\./secret\.aedat' is not the name"),
        ("trials_to_train.txt", "/etc/passwd\n", r"train\.txt, line 1: '/etc/passwd' is not the name"),
        ("trials_to_train.txt", "user01_led\0.aedat\n", r"train\.txt, line 1: .* is not the name"),
        ("trials_to_train.txt", "user01_led.csv\n", r"train\.txt, line 1: .* is not the name"),
        ("trials_to_train.txt", "user03_led.aedat\n", r"train\.txt, line 1 lists user03_led\.aedat, but .* is missing"),
        ("trials_to_train.txt", "\xff\xfe", r"train\.txt is not plain text"),
        (
            "trials_to_test.txt",
            "user24_led.aedat\nuser02_lab.aedat\n",
            "air_drums/user02_lab-0 for training and for test",
        ),
        ("trials_to_test.txt", " " * 2**20 + "x", r"trials_to_test\.txt is larger than any list"),
        ("user02_lab_labels.csv", " " * 2**20 + "x", r"labels\.csv is larger than any list"),
        ("user02_lab_labels.csv", "", r"user02_lab_labels\.csv does not start with"),
        ("user02_lab_labels.csv", "1,2,3\n", r"user02_lab_labels\.csv does not start with"),
        ("user02_lab_labels.csv", HEADER, "lists no gestures"),
        ("user02_lab_labels.csv", f"{HEADER}\n1,5,9\n\n0,5,9\n", r"labels\.csv, line 4: class 0 is not 1 to 11"),
        ("user02_lab_labels.csv", f"{HEADER}\n12,5,9\n", r"labels\.csv, line 2: class 12 is not 1 to 11"),
        ("user02_lab_labels.csv", f"{HEADER}\n1,9,9\n", r"labels\.csv, line 2: the gesture ends at 9"),
        ("user02_lab_labels.csv", f"{HEADER}\n1,5\n", r"labels\.csv, line 2: '1,5' is not class"),
        ("user02_lab_labels.csv", f"{HEADER}\n1,5,9,2\n", "line 2: '1,5,9,2' is not class"),
        ("user02_lab_labels.csv", f"{HEADER}\n1,-5,9\n", "line 2: '1,-5,9' is not class"),
        ("user02_lab_labels.csv", f"{HEADER}\n1,nan,9\n", "line 2: '1,nan,9' is not class"),
        ("user02_lab_labels.csv", f"{HEADER}\n1,1_0,90\n", "line 2: '1,1_0,90' is not class"),
        ("user02_lab_labels.csv", f"{HEADER}\n1,5,{'9' * 5000}\n", "line 2: '1,5,9999"),
    ],
)
def test_faults_are_named_with_file_and_line(tmp_path: Path, name: str, text: str, fault: str) -> None:
    folder = official(tmp_path)
    (folder / name).write_bytes(text.encode("latin1"))
    with pytest.raises(DataError, match=fault):
        DVSGesture(tmp_path).index()


@pytest.mark.parametrize(
    "name", ["trials_to_test.txt", "trials_to_train.txt", "user02_lab.aedat", "user02_lab_labels.csv"]
)
@pytest.mark.parametrize("put", ["nothing", "a loop of links", "a folder", "a terabyte"])
def test_missing_files_and_what_is_none(tmp_path: Path, name: str, put: str) -> None:
    path = official(tmp_path) / name
    path.unlink()
    if put == "a loop of links":
        path.symlink_to(path)
    elif put == "a folder":
        path.mkdir()
    elif put == "a terabyte":
        with path.open("wb") as file:
            file.truncate(2**40)
    with pytest.raises(DataError, match=name):
        read_all(DVSGesture(tmp_path))


def test_a_file_without_the_events_of_a_gesture_is_named(tmp_path: Path) -> None:
    folder = official(tmp_path)
    dataset = DVSGesture(tmp_path)
    items = dataset.index().recordings
    write_aedat3(folder / "user01_led.aedat", trial_events("user01_led")[:1000])
    with pytest.raises(DataError, match=r"user01_led\.aedat has no events from 350000 to 420000"):
        read_all(dataset)
    (folder / "user24_led_labels.csv").write_text(text_of(ROWS[:1]))
    dvsgesture._gestures.cache_clear()
    with pytest.raises(DataError, match=r"user24_led_labels\.csv has no air_drums/user24_led-0 any more"):
        dataset.events(next(item for item in items if item.key == "air_drums/user24_led-0"))


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_cut_gestures_as_tonic_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    cut(tmp_path, dtype=dtype)
    monkeypatch.setattr(tonic.datasets.DVSGesture, "_check_exists", lambda self: True)
    dataset = DVSGesture(tmp_path)
    index = dataset.index()
    items = {item.path: item for item in index.recordings}
    assert index.classes == CLASSES
    to_frame = tonic.transforms.ToFrame(sensor_size=(128, 128, 2), n_time_bins=10)
    for part in ("train", "test"):
        truth = tonic.datasets.DVSGesture(str(tmp_path), train=part == "train")
        assert len(truth) == (11 + 10 + 9 if part == "train" else 11)
        for number, path in enumerate(truth.data):
            events, label = truth[number]
            item = items[Path(path)]
            assert item.class_name == CLASSES[label]
            assert item.key == f"{CLASSES[label]}/{Path(path).parent.name}-0"
            assert (item.key in index.official_test) == (part == "test")
            mine = dataset.events(item)
            for field in ("t", "x", "y", "p"):
                np.testing.assert_array_equal(mine[field], events[field])
        # BrainCog's loader: tonic's bins of time, then this resize.
        frames = interpolate(torch.tensor(to_frame(events), dtype=torch.float), 48, mode="bilinear", align_corners=True)
        np.testing.assert_allclose(dataset.frames(item, FrameSpec(10, 48)), frames.numpy(), rtol=0, atol=1e-5)


def test_the_official_trials_come_first_and_one_part_will_do(tmp_path: Path) -> None:
    cut(tmp_path)
    (tmp_path / "DVSGesture/ibmGestureTrain").rename(tmp_path / "elsewhere")
    index = DVSGesture(tmp_path).index()
    assert len(index.recordings) == 11
    assert index.official_test == frozenset()
    (tmp_path / "elsewhere").rename(tmp_path / "DVSGesture/ibmGestureTrain")
    official(tmp_path)
    assert len(DVSGesture(tmp_path).index().recordings) == 20


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("11.npy", b"", "11.npy is not named by a class"),
        ("x.npy", b"", "x.npy is not named by a number"),
        ("3.npy", b"", "3.npy is a truncated or corrupt file"),
        ("3.npy", b"hello", "3.npy is a truncated or corrupt file"),
        ("3.npy", b"PK\3\4", "3.npy"),
        (
            "3.npy",
            b"\x93NUMPY\1\0\x76\0{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 4), }".ljust(128),
            "3.npy",
        ),
        ("3.npy", np.zeros((5, 3)), "3.npy is a truncated or corrupt file.*rows of x, y"),
        ("3.npy", np.zeros((0, 4)), "3.npy holds no events"),
        ("3.npy", np.array([[1, 2, 1, 5], [1, 2, 1, 4.0]]), "3.npy goes back in time"),
        ("3.npy", np.array([[128, 2, 1, 5]]), "3.npy has events at x up to 128"),
        ("3.npy", np.array([[1, 2, 1, np.nan]]), "3.npy has values of t"),
        ("3.npy", np.array([[1, 2, 1, 5]], dtype=object), "3.npy is a truncated or corrupt file"),
    ],
)
def test_faults_of_cut_gestures_are_named(tmp_path: Path, name: str, content: bytes | np.ndarray, fault: str) -> None:
    cut(tmp_path)
    path = tmp_path / "DVSGesture/ibmGestureTrain/user01_led" / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(DataError, match=fault):
        read_all(DVSGesture(tmp_path))


def test_nothing_there_and_what_there_never_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"cannot find DVS128 Gesture in {tmp_path}"):
        DVSGesture(tmp_path).index()
    official(tmp_path)
    dataset = DVSGesture(tmp_path)
    with pytest.raises(DataError, match="no static images"):
        dataset.image(dataset.index().recordings[0], 48)
    assert dataset.kind() == "real"
    (tmp_path / "DvsGesture/SIMULATED.json").write_text("{}")
    assert dataset.kind() == "simulated"


def test_tonic_downloads_where_the_index_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(save_to: str, train: bool) -> None:
        if train:
            cut(Path(save_to))

    monkeypatch.setattr(tonic.datasets, "DVSGesture", fetched)
    dataset = DVSGesture(tmp_path)
    dataset.download()
    assert len(dataset.index().recordings) == 41


def test_the_recipe_trains_without_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["data", "check", "dvsgesture", "--root", "."]) == 0
    assert main(["data", "audit", "dvsgesture", "--root", "."]) == 0
    recipes = ["dvsgesture/baseline", "dvsgesture/tet", "dvsgesture/hsd", "dvsgesture/kd"]
    assert main(["train", *recipes, "--tier", "smoke", "data.root=."]) == 0
    records = read_records([tmp_path / "runs"])
    assert {record["name"] for record in records} == set(recipes)
    for record in records:
        assert (record["data"]["train"], record["data"]["test"], record["data"]["pool"]) == (8, 12, 0)
