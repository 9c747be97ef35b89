"""N-Omniglot (recordings) with Omniglot (images): 1,623 characters of 50 alphabets, each by the same 20 drawers."""

import csv
import io
import re
from dataclasses import replace
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..readers.aedat4 import read_aedat4
from ..readers.arrays import read_events_npy
from ..readers.check import file_size
from ..types import Index, Item
from .base import DATASETS, Card, DataSet
from .listing import class_files, fetch, fingerprint_files, need_folder, subfolders
from .omniglot import DRAWERS, characters_in, drawer_files, image_folders

TEST_DRAWERS = DRAWERS[15:]
"""The baseline tests on the last five samples of every character and trains on the others."""

EVENT_LAYOUTS = (".", "NOmniglot", "N-Omniglot", "nomniglot")
RECORDED = {
    "background": ("dvs_background", "dvs_background_1", "dvs_background_2"),
    "evaluation": ("dvs_evaluation",),
}
"""Official folders of each part; the background comes as two archives, which BrainCog wants merged into one folder."""

CONVERTED = "events_npy"
TABLE_BYTES = 1 << 16
"""As much of a csv file as is read; twenty rows take less than 1,000 bytes."""


@DATASETS.register(
    "nomniglot", title="N-Omniglot with Omniglot", paper="Li et al., Scientific Data", year=2022, arxiv="2112.13230"
)
class NOmniglot(DataSet):
    """N-Omniglot recordings paired with the Omniglot images whose strokes they show, dark on white.

    A class is `<alphabet>/<character>`, and twins share the key `<alphabet>/<character>/<drawer>`, for example
    `Greek/character03/07`: row 7 of the character's csv file and the image `NNNN_07.png`. That row k is drawer k is how
    BrainCog names the rows. A recording has no file of its own: `Item.path` is the character's AEDAT4 file, or
    BrainCog's `NNNN_07.npy`, which is taken where a part has no official folder.

    Labels count the characters of the background first, then those of the evaluation part, each sorted. The baseline
    has the same two blocks, but inside them the order of the file system (deviation D-19); no accuracy depends on it.
    """

    name = "nomniglot"
    sensor = (346, 260)
    crop = (54, 4, 250, 250)
    protocols = ("clean", "published", "published_omniglot_unsorted")
    card = Card(
        source="recordings: https://doi.org/10.6084/m9.figshare.16821427 (Li et al. 2022, Scientific Data 9:746; three"
        " archives, 9.1 GB, to unpack by hand); images: https://github.com/brendenlake/omniglot (python/*.zip, which"
        " `tmkt data download` fetches)",
        licence="N-Omniglot: CC BY 4.0; Omniglot: MIT",
        tree="""\
ROOT/                                        (or ROOT/NOmniglot/)
  dvs_background/                            recordings; or dvs_background_1/ and dvs_background_2/ as they come
    Greek/character03/NNNN.aedat4            20 samples in one file
    Greek/character03/NNNN.csv               header, 20 rows: index, start, end (times of events in microseconds)
  dvs_evaluation/...
  events_npy/{background,evaluation}/        or what BrainCog makes of them
    Greek/character03/NNNN_01.npy ...
  omniglot-py/                               images; or straight in ROOT
    images_background/Greek/character03/NNNN_01.png ...
    images_evaluation/...                    images_background_small1/ and _small2/ will do for their alphabets""",
        counts={"classes": 1623, "recordings": 32460, "images": 32460},
    )

    def _event_folders(self) -> dict[str, list[Path]]:
        """The folders of alphabets, by part: official ones, else BrainCog's; empty if there are no recordings."""
        for layout in EVENT_LAYOUTS:
            root = self.root / layout
            folders = {}
            for part, names in RECORDED.items():
                official = [root / name for name in names if (root / name).is_dir()]
                converted = [path for path in (root / CONVERTED / part,) if path.is_dir()]
                folders[part] = official or converted
            if any(folders.values()):
                return folders
        return {}

    def index(self) -> Index:
        """List the recordings and images of all characters of the alphabets that have recordings.

        Raises:
            DataError: if a folder or file is missing, empty or wrongly named, a csv file is malformed, a character
                occurs twice, or an alphabet has other characters among its recordings than among its images.
        """
        characters = self._characters()
        images = image_folders(self.static_root, characters)
        recordings = [item for name, folder in characters.items() for item in _recordings(name, folder)]
        statics = [item for name, folder in images.items() for item in _items(name, drawer_files(folder, ".png"))]
        tests = frozenset(item.key for item in recordings if item.key.endswith(TEST_DRAWERS))
        return Index(tuple(characters), tuple(sorted(recordings)), tuple(sorted(statics)), tests)

    def _characters(self) -> dict[str, Path]:
        """Class name -> folder of its recordings, in label order."""
        folders = self._event_folders()
        if not folders:
            places = (*RECORDED["background"], *RECORDED["evaluation"], f"{CONVERTED}/background")
            need_folder(self.root, places, "the recordings of N-Omniglot", self.name)
        found: dict[str, Path] = {}
        for tops in folders.values():
            alphabets = [path for top in tops for path in subfolders(top).values()]
            part = [entry for alphabet in alphabets for entry in characters_in(alphabet).items()]
            for name, path in sorted(part):
                if name in found:
                    raise DataError(f"{found[name]} and {path} are the same character: remove one of them")
                found[name] = path
        if not found:
            raise DataError(f"{self.root} has folders for the recordings, but no alphabets in them: unpack them again")
        return found

    def events(self, item: Item) -> np.ndarray:
        """Read one recording: events `[N]` of `EVENT_DTYPE`, times as the camera gave them.

        A sample goes from the first event at its start time up to, but not including, the first event at its end time.
        The AEDAT4 file read last is kept, so that reading in the order of the index decodes each file once. A DataError
        names the csv file and the row that do not fit the AEDAT4 file.
        """
        if item.file.suffix.lower() == ".npy":
            return read_events_npy(item.file, self.sensor)
        recording, table = _pair(item.file.parent)
        drawer = item.key.rpartition("/")[2]
        span = _read_table(table)[drawer]
        events = _decoded(recording, recording.stat().st_mtime_ns if recording.is_file() else 0, self.sensor)
        first, last = np.searchsorted(events["t"], span)
        for what, place, time in (("starts", first, span[0]), ("ends", last, span[1])):
            if place == len(events) or events["t"][place] != time:
                raise DataError(
                    f"{table}, row {int(drawer)}: the sample {what} at {time}, but {recording} has no event at that"
                    " time: the two files do not belong together, download both again"
                )
        return events[first:last].copy()

    def places(self) -> list[Path]:
        """The folders of all parts that are there."""
        return [folder for folders in self._event_folders().values() for folder in folders]

    def fingerprint(self, index: Index) -> str:
        """Hash the files of `index` and the csv files."""
        recorded = {item.path: item for item in index.recordings if item.path and item.path.suffix.lower() == ".aedat4"}
        tables = [replace(item, path=_pair(path.parent)[1]) for path, item in recorded.items()]
        return fingerprint_files([*index.recordings, *tables, *index.statics])

    def download(self) -> None:
        """Fetch the images with torchvision (to `omniglot-py/`); no library has the recordings.

        If there are no recordings yet, a DataError says where to get them.
        """
        from torchvision.datasets import Omniglot

        fetch(self, *(partial(Omniglot, self.static_root, background=part, download=True) for part in (True, False)))
        if not self._event_folders():
            raise DataError(
                f"the images are in {self.static_root / 'omniglot-py'}, but the recordings must be fetched by hand:"
                f" unpack the three archives of https://doi.org/10.6084/m9.figshare.16821427 in {self.root}"
            )


def _recordings(name: str, folder: Path) -> list[Item]:
    """The 20 recordings of a character: the rows of its csv file, or BrainCog's files."""
    if folder.parents[1].name in RECORDED:  # events_npy/<part>/<alphabet>/<character>
        return _items(name, drawer_files(folder, ".npy"))
    recording, table = _pair(folder)
    return _items(name, dict.fromkeys(_read_table(table), recording))


def _items(name: str, paths: dict[str, Path]) -> list[Item]:
    return [Item(f"{name}/{drawer}", name, path) for drawer, path in paths.items()]


def _pair(folder: Path) -> tuple[Path, Path]:
    """The AEDAT4 file and the csv file of a character, each named by four digits; a DataError if not one of each."""
    paths = []
    for suffix in (".aedat4", ".csv"):
        found = [path for path in class_files(folder, suffix) if re.fullmatch(r"[0-9]{4}", path.stem)]
        if len(found) != 1:
            raise DataError(f"{folder} holds {len(found)} files NNNN{suffix}, not one: unpack the archive again")
        paths += found
    return paths[0], paths[1]


def _read_table(path: Path) -> dict[str, tuple[int, int]]:
    """Drawer -> time of the first event of a sample and of the first event after it, as BrainCog reads the file.

    The first line is a header, the first column is not used, and anything behind the 20 rows is ignored. A DataError
    names the row (counted from 1 below the header) that is missing, no pair of times, or shares events with another.
    """
    file_size(path)  # a pipe of that name would block for ever
    try:
        with path.open(encoding="ascii", errors="replace", newline="") as file:
            lines = list(csv.reader(io.StringIO(file.read(TABLE_BYTES), newline="")))
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a csv file ({error}): download or copy it again") from error
    rows = [line for line in lines if any(cell.strip() for cell in line)][1:]
    if len(rows) < len(DRAWERS):
        raise DataError(f"{path} has {len(rows)} rows below its header, but 20 samples: download or copy it again")
    spans = {drawer: _span(path, int(drawer), row) for drawer, row in zip(DRAWERS, rows, strict=False)}
    for one, other in pairwise(sorted(DRAWERS, key=spans.__getitem__)):
        if spans[other][0] < spans[one][1]:
            raise DataError(
                f"{path}: rows {int(one)} and {int(other)} overlap, so two samples would share events: download or copy"
                " it again"
            )
    return spans


def _span(path: Path, number: int, row: list[str]) -> tuple[int, int]:
    """Start and end in row `number`: whole numbers, also with the `.0` of a table that was once floats."""
    times = [re.fullmatch(r"([0-9]{1,18})(\.0*)?", cell.strip()) for cell in row[1:3]]
    start, end = (int(time[1]) if time else -1 for time in (*times, None, None)[:2])
    if min(start, end) < 0:
        raise DataError(f"{path}, row {number} is '{','.join(row)[:80]}', not index,start,end: download it again")
    if end <= start:
        raise DataError(f"{path}, row {number}: the sample starts at {start} and ends at {end}: download it again")
    return start, end


@lru_cache(maxsize=1)
def _decoded(path: Path, modified: int, sensor: tuple[int, int]) -> np.ndarray:
    """All events of an AEDAT4 file, of which the last one is kept, until it is `modified`; callers must not write."""
    return read_aedat4(path, sensor)
