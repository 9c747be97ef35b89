"""The event data sets that tonic knows, read by tonic's own classes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, RecipeError
from ...registry import did_you_mean
from ..images import image_suffixes
from ..names import composed, nearest_name
from ..notes import remark
from ..readers.check import damage_named
from ..readers.columns import events_of_columns
from ..readers.reading import MICROSECONDS
from ..types import Index, Item
from .base import DATASETS, Card, DataSet
from .folder import are_twins, list_classes
from .listing import distinct, fetch, fingerprint_files

WITHOUT_LABELS = ("DAVISDATA", "DSEC", "EBSSA", "MVSEC", "NERDD", "TUMVIE", "ThreeET_Eyetracking", "VPR")
"""tonic's data sets whose targets are poses, flow, boxes or tracks, not classes."""

PARTS: Mapping[str, Mapping[str, bool]] = {"train": {"train": True}, "test": {"train": False}}
"""The parts of a data set that its authors divided -> how tonic's class is asked for each."""


@DATASETS.register("tonic", title="any of tonic's data sets that have class labels")
class Tonic(DataSet):
    """A data set that tonic reads, with class labels: `data: {name: tonic, set: ASLDVS, root: ...}`.

    tonic's class lists the recordings with their classes and reads them, so events and frames are those that tonic
    gives. The files are where tonic stores them, in `ROOT/<set>/`; they need not be complete, and the archives they
    came in are not needed. If tonic has a train and a test part, the test part is the official one.

    With `data.static_root` there are images, in a folder for each class, called as tonic calls it. If every recording
    has an image of its name they are twins, as in the data set `folder`; if none has, they share classes only.
    """

    name = "tonic"
    set: str | None = None
    """The name of tonic's class."""
    sensor = (4096, 4096)
    """A bound for damaged files, where recordings have a size of their own."""
    surveyed = True
    protocols = ("clean", "unpaired")
    card = Card(
        source="https://tonic.readthedocs.io (the page of the data set names its authors)",
        licence="as the authors of the data set give it",
        tree="""\
ROOT/
  <set>/ ...                 as tonic stores it: data.set=ASLDVS is in ASLDVS/
and, if images are wanted, in the folder of data.static_root
  <class>/1.png ...          the classes as tonic names them""",
        counts={},
    )

    @property
    def title(self) -> str:
        """The name of the set, as tonic has it."""
        return f"tonic's {self.set}" if self.set else super().title

    def use(self, sensor: Sequence[int] | None = None, **own: Any) -> None:
        """Take `set`, the name of tonic's class; everything else is as that class has it.

        Raises:
            RecipeError: if there is no `set`, or it is none of tonic's with a class label and events of a camera; as
                `DataSet.use` does.
        """
        self.set = own.pop("set", None)
        size = tonic_class(self.set).sensor_size
        self.own_extent = size is None
        if self.own_extent and sensor is not None:
            raise RecipeError(f"recordings of {self.title} have sizes of their own: leave out data.sensor")
        if size is not None:
            self.sensor = (int(size[0]), int(size[1]))
        super().use(sensor, **own)

    def index(self) -> Index:
        """List the recordings as tonic does, and the images of their classes if there is a folder of them.

        Raises:
            DataError: if there are no files of the set, tonic cannot list them, or a class has no images.
        """
        _opened.cache_clear()  # files may have come or gone
        found = self._recordings().values()
        items = tuple(sorted(recording.item for recording in found))
        tests = frozenset(recording.item.key for recording in found if recording.part == "test")
        labels = {recording.item.class_name: recording.label for recording in found}
        classes = tuple(sorted(labels, key=lambda name: labels[name]))
        index = Index(classes, items, (), tests if len(tests) < len(items) else frozenset())
        if self.static_root == self.root:
            return index
        images = list_classes(self.static_root, image_suffixes())
        if missing := [name for name in classes if name not in images]:
            near = nearest_name(missing[0], images)
            raise DataError(
                f"{self.static_root / missing[0]} is missing: the images need a folder for each class of {self.title},"
                f" called as tonic calls it{f'; is it {near}?' if near else ''}"
            )
        index = replace(index, statics=tuple(sorted(item for name in classes for item in images[name])))
        return replace(index, twins_known=are_twins(index))

    def events(self, item: Item) -> np.ndarray:
        """Read one recording with tonic: events `[N]` of `EVENT_DTYPE`, sorted by time if tonic's are not.

        Raises:
            DataError: naming it, if tonic cannot read it, or its events lie beyond the sensor.
        """
        place, recording = item.path or item.key, self._recordings().get(item.key)
        if recording is None:
            raise DataError(f"{place} is not a recording of {self.title} any more: list the data set again")
        with damage_named(place, f"recording of {self.title}"):
            theirs = recording.dataset[recording.number][0]
            columns = {letter: np.ravel(theirs[letter]) for letter in "txyp"}
        late = columns["t"][1:] < columns["t"][:-1]
        if late.any():
            order = np.argsort(columns["t"], kind="stable")
            columns = {letter: column[order] for letter, column in columns.items()}
            remark(
                "events were put in order of time in",
                f"time goes back {int(late.sum())} times in {len(order)} events",
                "if a clock overflowed there, this order is wrong: leave such files out",
                float(late.mean()),
            )
        return events_of_columns(columns, place, self.sensor, MICROSECONDS)  # frames do not depend on it

    def _recordings(self) -> dict[str, _Recording]:
        return _opened(self.set, self.root)

    def places(self) -> list[Path]:
        """The folders of the parts that are there."""
        return list(dict.fromkeys(recording.folder for recording in self._recordings().values()))

    def fingerprint(self, index: Index) -> str:
        """A hash that changes with the source files and with the version of tonic, which reads them."""
        items = index.recordings + index.statics
        whole = [] if all(item.path for item in items) else self.places()
        inside = (path for folder in whole for path in sorted(folder.rglob("*")) if path.is_file())
        files = [Item(path.relative_to(self.root).as_posix(), "", path) for path in inside]
        return fingerprint_files([*(item for item in items if item.path), *files]) + f"-tonic-{version('tonic')}"

    def download(self) -> None:
        """Let tonic fetch the set; a DataError says why it could not."""
        cls = tonic_class(self.set)
        fetch(self, *(partial(_download, cls, self.root, asked) for asked in _parts(cls).values()))


@dataclass(frozen=True)
class _Recording:
    """A recording: the item, tonic's label, the part, its folder, and which one it is of which of tonic's data sets."""

    item: Item
    label: int | str
    part: str
    folder: Path
    dataset: Any
    number: int


def tonic_class(name: str | None) -> Any:
    """tonic's class of that name. This imports tonic, and with it torch.

    Raises:
        RecipeError: listing the usable sets, if there is no name, or if it is none of tonic's, has no class labels, or
            has no pixels.
    """
    from tonic import datasets

    reasons = {each: _why_not(getattr(datasets, each)) for each in sorted(datasets.__all__)}
    usable = [each for each, reason in reasons.items() if not reason]
    if name is None:
        raise RecipeError(f"data set 'tonic' needs data.set, the name of one of tonic's: {', '.join(usable)}")
    if name not in reasons:
        raise RecipeError(
            f"tonic has no data set '{name}': {did_you_mean(name, usable)} For others, lay the files out as"
            " `tmkt data check folder` says."
        )
    if reasons[name]:
        raise RecipeError(f"tonic's {name} {reasons[name]}: take another data.set, one of {', '.join(usable)}")
    return getattr(datasets, name)


def _why_not(cls: Any) -> str:
    """Why a class of tonic's cannot be trained on, or nothing."""
    if cls.__name__ in WITHOUT_LABELS:
        return "has no class labels to learn"
    return "" if {"t", "x", "y", "p"} <= set(cls.dtype.names) else "is no camera's: its events have no y"


def _parts(cls: Any) -> Mapping[str, Mapping[str, bool]]:
    return PARTS if "train" in inspect.signature(cls).parameters else {"": {}}


@lru_cache(maxsize=1)  # each process that makes frames lists the set once
def _opened(name: str | None, root: Path) -> dict[str, _Recording]:
    """Key -> recording of all parts that are there."""
    cls = tonic_class(name)
    # tonic counts the files of the whole set and looks for the archives, and otherwise starts to download.
    here = type(cls.__name__, (cls,), {"_check_exists": lambda self: True})
    found: list[_Recording] = []
    for part, asked in _parts(cls).items():
        try:
            found += _listed(here(str(root), **asked), part)
        except FileNotFoundError:  # a part may be missing
            continue
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise DataError(
                f"{root / cls.__name__} is not laid out as tonic's {name} ({reason}): remove what is not of the set, or"
                " unpack it again"
            ) from error
    if not found:
        raise DataError(
            f"there are no recordings of tonic's {name} in {root / cls.__name__}: put them there as tonic does, or run"
            f" tmkt data download tonic --root {root} data.set={name}"
        )
    distinct(recording.item for recording in found)
    return {recording.item.key: recording for recording in found}


def _listed(dataset: Any, part: str) -> list[_Recording]:
    """The recordings of one part; hidden files are passed over.

    The key is `<class>/<name>`, or `<class>/<part>-<name>`. The name is that of the file, behind that of its folder
    where folders are no classes (DVSGesture). Where tonic gives no files (POKERDVS), it is the number in the class.
    """
    folder = Path(dataset.location_on_system, dataset.folder_name)
    found: list[_Recording] = []
    numbers: dict[str, int] = {}
    for number, (entry, label) in enumerate(zip(dataset.data, dataset.targets, strict=True)):
        name = _class_name(dataset, label)
        path = Path(entry) if isinstance(entry, str | Path) else None
        if path is None:
            numbers[name] = numbers.get(name, 0) + 1
            stem = f"{numbers[name]:05d}"
        elif path.name.startswith("."):
            continue
        else:
            of_class = path.parent.name.endswith((name, str(label)))
            stem = composed(path.stem if of_class else f"{path.parent.name}-{path.stem}")
        key = f"{name}/{part}-{stem}" if part else f"{name}/{stem}"
        found.append(_Recording(Item(key, name, path), label, part, folder, dataset, number))
    return found


def _class_name(dataset: Any, label: int | str) -> str:
    """What tonic calls a class: its name, if it has names, else the label as text."""
    if isinstance(label, str):
        return composed(label)
    classes = getattr(dataset, "classes", None)
    if classes is None:
        return str(label)
    names = (
        {number: name for name, number in classes.items()} if isinstance(classes, dict) else dict(enumerate(classes))
    )
    return str(names[label])


def _download(cls: Any, root: Path, asked: Mapping[str, bool]) -> None:
    try:
        cls(str(root), **asked)
    except SystemExit as error:  # it prints where to get the files, and ends the program
        raise RuntimeError(f"tonic cannot fetch {cls.__name__}: it says above where to get it by hand") from error
