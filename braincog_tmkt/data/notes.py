"""Remarks for the user on the files that frames are made of: printed once for all files, and stored with the frames.

Whatever reads a recording or an image calls `remark(..)`; `data.cache` collects it, in every process that makes frames.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Remark:
    """A remark on one recording or image.

    Args:
        what: the start of a sentence, the same for every such file, such as "stray events are left out of".
        advice: its end: what to do.
        here: the numbers of this file.
        share: how bad it is, from 0 to 1: the worst file is named.
    """

    what: str
    advice: str
    here: str
    share: float


_heard: ContextVar[list[Remark] | None] = ContextVar("heard", default=None)


def remark(what: str, here: str, advice: str, share: float) -> None:
    """Remark on the file that is being read; outside `listening`, nothing happens."""
    heard = _heard.get()
    if heard is not None:
        heard.append(Remark(what, advice, here, share))


@contextmanager
def listening() -> Iterator[list[Remark]]:
    """Collect the remarks on the one file that is read inside.

    Example:
        >>> with listening() as heard:
        ...     remark("nothing is wrong with", "7 events", "go on", 0.0)
        >>> in_words([("cat/7.npy", heard[0])], 2, "recordings")
        ['nothing is wrong with 1 of 2 recordings: cat/7.npy (7 events); go on']
    """
    heard: list[Remark] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def write_remarks(path: Path, said: Sequence[tuple[str, int, Remark]]) -> None:
    """Append remarks on rows of arrays to a file: name of the array, row, remark.

    Several processes may do so at once; a line that a kill cuts off spoils no other.
    """
    if said:
        lines = [f"\n{json.dumps([name, row, asdict(words)])}" for name, row, words in said]
        with path.open("ab", buffering=0) as file:
            file.write("".join(lines).encode())
            os.fsync(file.fileno())


def read_remarks(path: Path) -> list[tuple[str, int, Remark]]:
    """What `write_remarks` wrote, sorted by array and row; nothing if there is no file.

    Raises an OSError if the file cannot be read, and a ValueError for other content.
    """
    said = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            name, row, words = json.loads(line)
        except ValueError:  # cut off
            continue
        said.append((str(name), int(row), Remark(**words)))
    return sorted(said, key=lambda entry: entry[:2])


def in_words(remarks: Iterable[tuple[str, Remark]], total: int, items: str) -> list[str]:
    """One sentence for each kind of remark, without a full stop, in the order in which they first came.

    Args:
        remarks: file and remark.
        total: files that were read.
        items: what they are, in the plural.
    """
    groups: dict[tuple[str, str], dict[str, Remark]] = defaultdict(dict)
    for place, said in remarks:
        groups[said.what, said.advice][place] = said
    sentences = []
    for (what, advice), files in groups.items():
        place = max(files, key=lambda name: files[name].share)
        alike = len({said.share for said in files.values()}) == 1
        most = ":" if len(files) == 1 else ", as" if alike else ", most of all"
        sentences.append(f"{what} {len(files)} of {total} {items}{most} {place} ({files[place].here}); {advice}")
    return sentences
