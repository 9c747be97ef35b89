"""DVS128 Gesture: 11 gestures of 29 people, several in a file, with the official split by person. No static images."""

import re
from collections import Counter
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..readers.aedat import read_aedat3
from ..readers.check import damage_named, file_size, read_bytes
from ..readers.columns import events_of_columns
from ..readers.reading import MICROSECONDS
from ..types import Index, Item, Size
from .base import DATASETS, Card, DataSet
from .listing import class_files, distinct, fetch, fingerprint_files, in_any_case, number_in, subfolders

_NAMES = """
hand_clapping right_hand_wave left_hand_wave right_arm_clockwise right_arm_counter_clockwise left_arm_clockwise
left_arm_counter_clockwise arm_roll air_drums air_guitar other_gestures
"""
CLASSES = tuple(_NAMES.split())
"""The official names in the order of their numbers, 1 to 11; this order is the label's."""

OFFICIAL_LAYOUTS = ("DvsGesture", "extract/DvsGesture", ".")
CUT_LAYOUTS = ("DVSGesture", ".")
PARTS = ("train", "test")
HEADER = "class,startTime_usec,endTime_usec"
TEXT_BYTES = 2**20
"""A list of trials or gestures has a few kilobytes; a larger one is not read."""


@DATASETS.register("dvsgesture", title="DVS128 Gesture", paper="Amir et al., CVPR", year=2017)
class DVSGesture(DataSet):
    """DVS128 Gesture, from the official trials or from the cut gestures that tonic downloads.

    A trial is one person in one light, about 12 gestures in a row. Its csv file says, row by row, which class is shown
    from `startTime_usec` up to, but not including, `endTime_usec`. A class may come twice in a trial: gesture k of it,
    from 0, has the key `<class>/<trial>-<k>`. The csv files list 1,464 gestures, and SpikingJelly and snnTorch use them
    all. The paper's 1,342 are each class of the 122 trials once; tonic's files hold 1,341 such gestures, with times in
    milliseconds: deviation D-25.
    """

    name = "dvsgesture"
    sensor = (128, 128)
    protocols = ("clean", "published")
    card = Card(
        source="https://research.ibm.com/interactive/dvsgesture/ (DvsGesture.tar.gz, by hand); as tonic cuts it, in"
        " milliseconds: https://figshare.com/ndownloader/files/38022171 and .../38020584 (`tmkt data download`)",
        licence="CC BY 4.0",
        tree="""\
ROOT/
  DvsGesture/                              official trials (or in extract/DvsGesture/, or straight in ROOT)
    trials_to_train.txt  trials_to_test.txt
    user01_fluorescent.aedat  user01_fluorescent_labels.csv ...
  or tonic's cut gestures
  DVSGesture/                              (or straight in ROOT; one of Train and Test will do)
    ibmGestureTrain/user01_fluorescent/0.npy ... 10.npy ...  ibmGestureTest/...""",
        counts={"classes": 11, "recordings": 1464, "images": 0},
    )

    def index(self) -> Index:
        """List all gestures, in the classes that have any; those of the official test trials are set aside."""
        folder, official = self._folder()
        parts = {part: (_trials if official else _cut)(folder, part) for part in PARTS}
        if twice := sorted({item.key for item in parts["train"]} & {item.key for item in parts["test"]}):
            raise DataError(f"{folder} has {twice[0]} for training and for test: the split must not share trials")
        recordings = tuple(sorted(parts["train"] + parts["test"]))
        present = {item.class_name for item in recordings}
        # Alone, the test part is all there is to divide.
        tests = frozenset(item.key for item in parts["test"] if parts["train"])
        return Index(tuple(name for name in CLASSES if name in present), recordings, (), tests)

    def _folder(self) -> tuple[Path, bool]:
        """The folder of the recordings, and whether they are the official trials."""
        for layout in OFFICIAL_LAYOUTS:
            if any(in_any_case(self.root / layout / f"trials_to_{part}.txt").is_file() for part in PARTS):
                return self.root / layout, True
        for layout in CUT_LAYOUTS:
            if any(_cut_folder(self.root / layout, part).is_dir() for part in PARTS):
                return self.root / layout, False
        raise DataError(
            f"cannot find DVS128 Gesture in {self.root}: put there DvsGesture/trials_to_train.txt with the trials, or"
            " DVSGesture/ibmGestureTrain (`tmkt data check dvsgesture` prints the whole tree and where to get it)"
        )

    def events(self, item: Item) -> np.ndarray:
        """Read one gesture: events `[N]` of `EVENT_DTYPE`, with the times of its trial.

        A DataError names a file that cannot be read, or a trial without events while its gesture lasts.
        """
        if item.file.suffix.lower() == ".npy":
            return _read_cut(item.file, self.sensor)
        labels = _labels_of(item.file)
        if item.key not in _gestures(labels):
            raise DataError(f"{labels} has no {item.key} any more: list the data set again")
        start, end = _gestures(labels)[item.key]
        trial = _read_trial(item.file, self.sensor)
        first, last = np.searchsorted(trial["t"], (start, end))
        if first == last:
            raise DataError(
                f"{item.file} has no events from {start} to {end}, where {labels.name} has {item.key}:"
                " they are not of the same trial, or the file is cut off; download or copy both again"
            )
        return trial[first:last].copy()

    def image(self, item: Item, size: Size, appearance: str = "value") -> np.ndarray:
        """Raise a DataError: there are no static images of gestures."""
        raise DataError(f"{self.title} has no static images: use a method that needs none, such as baseline")

    def places(self) -> list[Path]:
        """Where the recordings lie."""
        return [self._folder()[0]]

    def fingerprint(self, index: Index) -> str:
        """Hash keys, names, sizes and modification times of all recordings, and of the csv files that cut them."""
        paths = {item.path for item in index.recordings if item.path and item.path.suffix.lower() == ".aedat"}
        labels = (Item(path.name, "", path) for path in sorted(map(_labels_of, paths)))
        return fingerprint_files((*index.recordings, *labels))

    def download(self) -> None:
        """Fetch the cut gestures with tonic, to `DVSGesture/`; the official trials have to be fetched by hand."""
        import tonic

        fetch(self, *(partial(tonic.datasets.DVSGesture, str(self.root), train=part) for part in (True, False)))


def _trials(folder: Path, part: str) -> list[Item]:
    """The gestures of all trials that the list of this part names."""
    path = in_any_case(folder / f"trials_to_{part}.txt")
    items = []
    seen = set()
    for number, name in _lines(path):
        # A list of names must not lead out of the folder.
        if not re.fullmatch(r"\w+\.aedat", name, re.ASCII | re.IGNORECASE):
            raise DataError(f"{path}, line {number}: '{name}' is not the name of a trial, such as user01_led.aedat")
        trial = in_any_case(folder / name)
        if trial.stem in seen:
            raise DataError(f"{path}, line {number}: {name} is listed twice; remove one of the lines")
        seen.add(trial.stem)
        if not trial.is_file():
            raise DataError(f"{path}, line {number} lists {name}, but {trial} is missing: unpack it again")
        items += [Item(key, key.partition("/")[0], trial) for key in _gestures(_labels_of(trial))]
    return items


def _labels_of(trial: Path) -> Path:
    return in_any_case(trial.with_name(f"{trial.stem}_labels.csv"))


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text that are not empty, with their numbers from 1."""
    if file_size(path) > TEXT_BYTES:
        raise DataError(f"{path} is larger than any list of this data set: download it again")
    try:
        text = read_bytes(path).decode("ascii")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not plain text ({error}): download it again") from error
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


@lru_cache(maxsize=256)
def _gestures(path: Path) -> dict[str, tuple[int, int]]:
    """Key -> start and end in microseconds of the gestures in a csv file, in its order."""
    lines = _lines(path)
    if not lines or lines[0][1] != HEADER:
        raise DataError(f"{path} does not start with the line {HEADER}: download it again")
    trial = path.stem.removesuffix("_labels")
    found: Counter[str] = Counter()
    gestures = {}
    for number, line in lines[1:]:
        if not re.fullmatch(r"\s*\d{1,18}\s*(,\s*\d{1,18}\s*){2}", line, re.ASCII):
            raise DataError(f"{path}, line {number}: '{line[:60]}' is not {HEADER} in whole numbers; download it again")
        label, start, end = map(int, line.split(","))
        if not 1 <= label <= len(CLASSES):
            raise DataError(f"{path}, line {number}: class {label} is not 1 to {len(CLASSES)}; download it again")
        if end <= start:
            raise DataError(f"{path}, line {number}: the gesture ends at {end}, before it starts at {start}")
        # The next row may start before this one ends: in the official user22_led one does, and both are kept.
        name = CLASSES[label - 1]
        gestures[f"{name}/{trial}-{found[name]}"] = (start, end)
        found[name] += 1
    if not gestures:
        raise DataError(f"{path} lists no gestures: download it again")
    return gestures


@lru_cache(maxsize=1)  # 5 million events, 65 MB; its gestures are asked for one after the other
def _read_trial(path: Path, sensor: tuple[int, int]) -> np.ndarray:
    """All events of a trial, read-only, as its gestures share them."""
    events = read_aedat3(path, sensor)
    events.setflags(write=False)
    return events


def _cut_folder(folder: Path, part: str) -> Path:
    return folder / f"ibmGesture{part.capitalize()}"


def _cut(folder: Path, part: str) -> list[Item]:
    """The gestures of this part in tonic's files, `<trial>/<class from 0>.npy`."""
    items = []
    place = _cut_folder(folder, part)
    for trial in subfolders(place).values() if place.is_dir() else ():
        for path in class_files(trial, ".npy"):
            if number_in(path) >= len(CLASSES):
                raise DataError(f"{path} is not named by a class, 0 to {len(CLASSES) - 1}: remove or rename it")
            name = CLASSES[number_in(path)]
            items.append(Item(f"{name}/{trial.name}-0", name, path))
    return list(distinct(items))


def _read_cut(path: Path, sensor: tuple[int, int]) -> np.ndarray:
    """Read one of tonic's files: rows of x, y, polarity and milliseconds, made microseconds as tonic does."""
    file_size(path)
    with damage_named(path, "file of tonic's DVSGesture"):
        # Mapped, so that a header cannot ask for more memory than the file has.
        rows = np.lib.format.open_memmap(path, mode="r")
        if rows.ndim != 2 or rows.shape[1] != 4 or rows.dtype.kind not in "iuf":
            raise ValueError("it does not hold rows of x, y, polarity and time")
    x, y, p, milliseconds = np.asarray(rows, np.float64).T
    columns = {"x": x, "y": y, "p": p, "t": np.floor(milliseconds * 1000)}
    return events_of_columns(columns, path, sensor, MICROSECONDS)
