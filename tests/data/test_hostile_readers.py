"""Every reader under a fuzzer: a damaged file is an error that names it, or a correct read; nothing else.

`TMKT_FUZZ=20000 pytest tests/data/test_hostile_readers.py` tries as many new files of each format.
"""

import os
import random
import resource
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from braincog_tmkt.data.readers import read_events
from braincog_tmkt.data.readers.arrays import read_events_npy
from braincog_tmkt.data.readers.check import check_events
from braincog_tmkt.data.types import EVENT_DTYPE
from braincog_tmkt.errors import DataError
from tests.data.corpus import SEED_EVENTS, seeds

EXAMPLES = int(os.environ.get("TMKT_FUZZ", 120))
FORMATS = (".bin", ".aedat", ".aedat4", ".mat", ".npy", ".npz", ".csv", ".dict")
FORMATS += (".dat", ".raw", ".es", ".bag", ".db3", ".mcap", ".h5")
APART = (".bag", ".db3", ".mcap", ".h5")
"""Formats of which every damaged file takes a process of its own: few are tried, unless `TMKT_FUZZ` is set."""
RECORDS = (".bin", ".aedat", ".aedat4", ".csv", ".dat", ".raw", ".es")
"""Formats of records one after the other: a file may end behind any of them."""
SECONDS, MEGABYTES = 10, 300
SENSORS = ((128, 128), None)
NUMBERS = [0, 1, 2, 7, 8, 127, 128, 255, 2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1]

fuzz = settings(
    derandomize="TMKT_FUZZ" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def examples(suffix: str) -> int:
    return EXAMPLES // 20 if suffix in APART and "TMKT_FUZZ" not in os.environ else EXAMPLES


@cache
def corpus() -> dict[str, list[bytes]]:
    with TemporaryDirectory() as folder:
        return seeds(Path(folder))


@contextmanager
def bounded() -> Iterator[None]:
    """Fail a block that takes much of the processor's time or much memory."""

    def stop(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"longer than {SECONDS} seconds")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024


def damage(content: bytes, seed: int) -> bytes:
    """The content with one to six changes: where and which follows from the seed."""
    rng, data = random.Random(seed), bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        size = len(data)
        start = rng.randrange(min(size, rng.choice((16, 64, 256, size or 1))) or 1)
        length = rng.choice((1, 2, 4, 8, 16, 100))
        block = data[start : start + length]
        change = rng.randrange(9)
        if change == 0 and block:
            data[start] ^= 1 << rng.randrange(8)
        elif change == 1 and block:
            data[start] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif change == 2:
            order, width = rng.choice("<>"), rng.choice("HIQ")
            number = struct.pack(f"{order}{width}", rng.choice(NUMBERS) % 2 ** (8 * struct.calcsize(f"={width}")))
            data[start : start + len(number)] = number
        elif change == 3:
            del data[rng.randrange(size + 1) :]
        elif change == 4:
            del data[start : start + length]
        elif change == 5:
            data[start:start] = block * rng.choice((1, 2, 50))
        elif change == 6:
            data[start:start] = rng.randbytes(length)
        elif change == 7:
            other = rng.randrange(size + 1)
            data[other : other + length] = block
        else:
            digits = [place for place, byte in enumerate(data) if chr(byte).isdigit()]
            if digits:
                data[rng.choice(digits)] = ord(rng.choice("0123456789-.e,x"))
    return bytes(data)


def check_reader(suffix: str, content: bytes, sensor: tuple[int, int] | None, folder: Path) -> bool:
    """Whether the content is read; anything but events or an error that names the file fails.

    A format with a checksum over everything must be read to the events that were written.
    """
    path = folder / f"hostile{suffix}"
    path.write_bytes(content)
    events: np.ndarray | None = None
    message = ""
    with bounded():
        try:
            events = (read_events_npy if suffix == ".dict" else read_events)(path, sensor)
        except DataError as error:
            message = str(error)
    if events is None:
        assert str(path) in message
        assert "\n" not in message
        assert len(message) < 700
        return False
    assert events.dtype == EVENT_DTYPE
    check_events(events, path, sensor)
    if suffix == ".npz":
        np.testing.assert_array_equal(events, SEED_EVENTS)
    return True


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_files_are_errors_or_events(suffix: str, tmp_path: Path) -> None:
    read = []

    @settings(fuzz, max_examples=examples(suffix))
    @given(st.integers(0, 10), st.integers(0, 2**40), st.sampled_from(SENSORS))
    def attack(seed: int, change: int, sensor: tuple[int, int] | None) -> None:
        contents = corpus()[suffix]
        read.append(check_reader(suffix, damage(contents[seed % len(contents)], change), sensor, tmp_path))

    attack()
    assert suffix in APART or not all(read)
    print(f"{suffix}: {sum(read)} of {len(read)} damaged files were read")


@pytest.mark.parametrize("suffix", FORMATS)
def test_any_bytes_are_errors_or_events(suffix: str, tmp_path: Path) -> None:
    start = corpus()[suffix][0][:32]

    @settings(fuzz, max_examples=examples(suffix) // 3)
    @given(st.binary(max_size=300), st.booleans())
    @example(b"", False)
    @example(b"", True)
    def attack(content: bytes, headed: bool) -> None:
        check_reader(suffix, start + content if headed else content, None, tmp_path)

    attack()


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_prefix_is_an_error_or_events(suffix: str, tmp_path: Path) -> None:
    for content in corpus()[suffix]:
        assert check_reader(suffix, content, None, tmp_path)
        steps = 3 if suffix in APART else 40
        for end in sorted({*range(0, len(content), len(content) // steps + 1), len(content) - 1}):
            read = check_reader(suffix, content[:end], None, tmp_path)
            assert not read or suffix in RECORDS
