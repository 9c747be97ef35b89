"""How long recordings take to read, format by format, against the library that reads the format elsewhere.

    python benchmarks/readers.py [WORD]    # prints the table, writes benchmarks/results/readers.md; WORD: these alone

Each library reads the file that it is measured on, and both sides' events must be equal. Beside the readers alone are
timed: ours and `to_frames` (T = 10, 48x48) against the library's and tonic's `ToFrame` (T = 10, not resized). Times are
those of the processor, of child processes too; the sides take turns, and the fastest of nine rounds counts.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parents[1]))
from braincog_tmkt.data.frames import to_frames
from braincog_tmkt.data.readers import read_events
from braincog_tmkt.data.readers.aedat4 import write_aedat4
from braincog_tmkt.data.readers.atis import write_atis
from braincog_tmkt.data.types import EVENT_DTYPE, FrameSpec
from tests.data import writers

RESULTS = Path(__file__).parent / "results"
ROUNDS, STEPS = 9, 10
SENSOR = (640, 480)
MILLION = 1_000_000
TONIC_DTYPE = np.dtype([("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])
TYPE = {"arrays": writers.ARRAY, "packets": writers.PACKET}


class Entry(NamedTuple):
    """A format and a library: what is written and read."""

    suffix: str
    write: Callable[[Path, np.ndarray], object]
    theirs: Callable[[Path], Any]
    count: int = MILLION
    same: str = "txyp"
    """Columns that must be equal to ours."""


def expelliarmus(encoding: str) -> Callable[[Path], Any]:
    from expelliarmus import Wizard

    return lambda path: Wizard(encoding).read(path)


def write_words(path: Path, events: np.ndarray, name: str) -> None:
    words = {"EVT2": writers.evt2, "EVT21": writers.evt21, "EVT3": writers.evt3}[name](events)
    path.write_bytes(writers.evt_header(name, SENSOR, "% endianness little\n") + words)


def by_evt3(path: Path) -> Any:
    import evt3

    return evt3.decode_file(str(path))


def by_evlib(path: Path) -> dict[str, np.ndarray]:
    import evlib

    frame = evlib.load_events(str(path)).collect()
    return {
        "t": frame["t"].to_physical().to_numpy(),
        "p": frame["polarity"].to_numpy() > 0,
        **{name: frame[name].to_numpy() for name in "xy"},
    }


def by_event_stream(path: Path) -> np.ndarray:
    import event_stream

    return np.concatenate([*event_stream.Decoder(str(path))])


def write_bag(path: Path, events: np.ndarray, kind: str) -> None:
    """Messages of 10,000 events each, or of as many words."""
    ros1 = path.suffix == ".bag"
    if kind == "arrays":
        made = [
            writers.array_message(events[at : at + 10_000], ros1, size=SENSOR) for at in range(0, len(events), 10_000)
        ]
    else:
        words = writers.evt3(events)
        made = [writers.packet_message(words[at : at + 60_000], ros1, SENSOR) for at in range(0, len(words), 60_000)]
    writers.write_bag(path, [("/events", TYPE[kind], message) for message in made])


def by_rosbags(path: Path) -> dict[str, np.ndarray]:
    """The events of rosbags' own messages, or of evt3 where these are encoded."""
    from rosbags.highlevel import AnyReader

    with AnyReader([path], default_typestore=writers.store(path.suffix == ".bag")) as bag:
        messages = [bag.deserialize(raw, kind.msgtype) for kind, _, raw in bag.messages()]
    if not hasattr(messages[0], "encoding"):
        events = [event for message in messages for event in message.events]
        times = np.array([event.ts.sec * 10**6 + event.ts.nanosec // 1000 for event in events])
        columns = {name: np.array([getattr(event, name) for event in events]) for name in ("x", "y", "polarity")}
        return {"t": times, "x": columns["x"], "y": columns["y"], "p": columns["polarity"]}
    import evt3

    decoded = evt3.decode_bytes(b"".join(message.events.tobytes() for message in messages))
    return {name: getattr(decoded, name) for name in "txyp"}


def write_davis346(path: Path, events: np.ndarray) -> None:
    t, x, y, p = (events[name].astype(np.uint32) for name in "txyp")
    address = (259 - y % 260) << 22 | (345 - x % 346) << 12 | p << 11
    head = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.Davis346red\r\n"
    path.write_bytes(head + np.stack([address, t], axis=1).astype(">u4").tobytes())


def by_tonic(path: Path) -> np.ndarray:
    import tonic.io

    return tonic.io.read_aedat4(str(path)) if path.suffix == ".aedat4" else tonic.io.read_davis_346(path)[2]


def write_hdf5(path: Path, events: np.ndarray, **options: object) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name in "txyp":
            file.create_dataset(f"events/{name}", data=events[name], **options)


def by_h5py(path: Path) -> np.ndarray:
    import h5py

    with h5py.File(path) as file:
        events = np.empty(len(file["events/t"]), dtype=EVENT_DTYPE)
        for name in "txyp":
            events[name] = file[f"events/{name}"][...]
    return events


def write_small_atis(path: Path, events: np.ndarray) -> None:
    """On the 240x180 pixels of N-Caltech101, since the format has a byte for each coordinate."""
    small = events.copy()
    small["x"], small["y"] = events["x"] % 240, events["y"] % 180
    write_atis(path, small)


def by_tonic_atis(path: Path) -> np.ndarray:
    from tonic.io import read_mnist_file

    return read_mnist_file(str(path), dtype=TONIC_DTYPE)


def matrix(events: np.ndarray) -> np.ndarray:
    return np.stack([events[name].astype(np.int64) for name in "txyp"], axis=1)


def named(theirs: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of a matrix t, x, y, p."""
    return dict(zip("txyp", theirs.T, strict=True))


def write_seconds(path: Path, events: np.ndarray) -> None:
    """As the Robotics and Perception Group publishes text."""
    np.savetxt(path, matrix(events) / [1e6, 1, 1, 1], "%.6f %d %d %d")


def by_loadtxt(path: Path) -> dict[str, np.ndarray]:
    columns = named(np.loadtxt(path))
    return {**columns, "t": np.rint(columns["t"] * 1e6).astype(np.int64)}


def write_matlab(path: Path, events: np.ndarray) -> None:
    from scipy.io import savemat

    savemat(path, {"TD": {name: events[name] for name in "txyp"}})


def by_scipy(path: Path) -> dict[str, np.ndarray]:
    from scipy.io import loadmat

    found = loadmat(path)["TD"]
    return {name: found[name][0, 0].ravel() for name in "txyp"}


FORMATS: dict[str, Entry] = {
    "ATIS, tonic": Entry(".bin", write_small_atis, by_tonic_atis),
    "text in seconds, numpy": Entry(".txt", write_seconds, by_loadtxt),
    "text of whole numbers, numpy": Entry(
        ".txt",
        lambda path, events: np.savetxt(path, matrix(events), "%d"),
        lambda path: named(np.loadtxt(path, dtype=np.int64)),
    ),
    "NumPy array, numpy": Entry(
        ".npy", lambda path, events: np.save(path, matrix(events)), lambda path: named(np.load(path))
    ),
    "NumPy archive, numpy": Entry(
        ".npz",
        lambda path, events: np.savez(path, **named(matrix(events))),
        lambda path: dict(np.load(path).items()),
    ),
    "MATLAB, scipy": Entry(".mat", write_matlab, by_scipy),
    "AER-DAT 2.0 of a DAVIS346, tonic": Entry(".aedat", write_davis346, by_tonic),
    "AEDAT4, tonic": Entry(".aedat4", lambda path, events: write_aedat4(path, events, SENSOR), by_tonic),
    "HDF5, h5py": Entry(".h5", write_hdf5, by_h5py),
    "HDF5 packed with gzip, h5py": Entry(".h5", partial(write_hdf5, compression="gzip"), by_h5py),
    "DAT, expelliarmus": Entry(
        ".dat", lambda path, events: writers.write_expelliarmus(path, events, "dat"), expelliarmus("dat")
    ),
    "EVT 2.0, expelliarmus": Entry(
        ".raw", lambda path, events: write_words(path, events, "EVT2"), expelliarmus("evt2")
    ),
    "EVT 2.1, evlib": Entry(".raw", lambda path, events: write_words(path, events, "EVT21"), by_evlib),
    "EVT 3.0, expelliarmus (its times are wrong)": Entry(
        ".raw", lambda path, events: write_words(path, events, "EVT3"), expelliarmus("evt3"), same="xyp"
    ),
    "EVT 3.0, evt3": Entry(".raw", lambda path, events: write_words(path, events, "EVT3"), by_evt3),
    "Event Stream, event_stream": Entry(
        ".es", lambda path, events: path.write_bytes(writers.event_stream(events, size=SENSOR)), by_event_stream
    ),
    "ROS 1 bag of EventPacket, rosbags and evt3": Entry(
        ".bag", lambda path, events: write_bag(path, events, "packets"), by_rosbags
    ),
    **{
        f"{suffix} of EventArray, rosbags": Entry(
            suffix, lambda path, events: write_bag(path, events, "arrays"), by_rosbags, MILLION // 5
        )
        for suffix in (".bag", ".db3", ".mcap")
    },
}
"""What is measured: a format of one's own is one more entry."""


def recording(count: int) -> np.ndarray:
    """Events spread evenly over pixels and two seconds, the worst case for the processor's caches."""
    rng = np.random.default_rng(0)
    events = np.empty(count, dtype=EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, 2_000_000, count))
    events["x"], events["y"] = rng.integers(0, SENSOR[0], count), rng.integers(0, SENSOR[1], count)
    events["p"] = rng.integers(0, 2, count)
    return events


def column(theirs: Any, name: str) -> np.ndarray:
    """A column of what a library returns: an array with fields, a dictionary, or an object."""
    if isinstance(theirs, np.ndarray):
        return theirs["on" if name == "p" and "on" in (theirs.dtype.names or ()) else name]
    return theirs[name] if isinstance(theirs, dict) else getattr(theirs, name)


def as_tonic(theirs: Any) -> np.ndarray:
    """What a library returns as tonic needs it: as it is where it has tonic's fields."""
    if isinstance(theirs, np.ndarray) and {"t", "x", "y", "p"} <= set(theirs.dtype.names or ()):
        return theirs
    events = np.empty(len(column(theirs, "t")), dtype=TONIC_DTYPE)
    for name in "txyp":
        events[name] = column(theirs, name)
    return events


def seconds(work: Callable[[], object]) -> float:
    """Processor time of this thread and of child processes, of those that ended meanwhile and of those that did not."""

    def clock() -> float:
        ended = os.times()
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        living = sum(int(Path(f"/proc/{child}/schedstat").read_text().split()[0]) for child in children)
        return time.thread_time() + ended.children_user + ended.children_system + living / 1e9

    start = clock()
    work()
    return clock() - start


def compare(name: str, entry: Entry, folder: Path) -> list[object]:
    """A row of the table: library and ours in milliseconds and their ratio, for reading and for frames."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tonic.transforms import ToFrame

    path, events = folder / f"made{entry.suffix}", recording(entry.count)
    entry.write(path, events)
    theirs = entry.theirs(path)
    for letter in entry.same:
        np.testing.assert_array_equal(read_events(path, SENSOR)[letter], column(theirs, letter), err_msg=name)
    count_events, spec = ToFrame(sensor_size=(*SENSOR, 2), n_time_bins=STEPS), FrameSpec(STEPS, 48)
    works: list[Callable[[], object]] = [
        lambda: entry.theirs(path),
        lambda: read_events(path, SENSOR),
        lambda: count_events(as_tonic(entry.theirs(path))),
        lambda: to_frames(read_events(path, SENSOR), spec, SENSOR),
    ]
    works[3]()  # loads the machine code
    times = 1000 * np.array([[seconds(work) for work in works] for _ in range(ROUNDS)]).min(axis=0)
    row = [name, entry.count, times[0], times[1], times[0] / times[1], times[2], times[3], times[2] / times[3]]
    print(f"{name}: reading {row[4]:.1f} times faster, reading and frames {row[7]:.1f} times", flush=True)
    return row


def main(word: str = "") -> None:
    torch.set_num_threads(1)
    rows = []
    for name, entry in FORMATS.items():
        if word in name:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    rows.append(compare(name, entry, Path(folder)))
                except ImportError as error:
                    print(f"{name}: left out, {error}")
    packages = ("numpy", "numba", "tonic", "expelliarmus", "evt3", "event_stream", "rosbags")
    about = f"{platform.system()}, Python {platform.python_version()}, {os.cpu_count()} cores, one thread used; "
    head = [
        "format, library",
        "events",
        "library ms",
        "ours ms",
        "ratio",
        "library + ToFrame ms",
        "ours + to_frames ms",
        "ratio",
    ]
    parts = [
        "# Reading recordings, against other libraries",
        (__doc__ or "").split("\n\n")[2].strip(),
        about + ", ".join(f"{name} {version(name)}" for name in packages),
        tabulate(rows, head, tablefmt="github", floatfmt=".2f", intfmt=","),
    ]
    print("\n\n".join(parts))
    if not word:
        (RESULTS / "readers.md").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
