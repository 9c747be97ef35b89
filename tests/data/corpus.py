"""Recordings for the tests of the readers: events, small valid files of every format, AEDAT4 files made by hand."""

import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import dv.fb.EventPacket
import dv.fb.IOHeader
import flatbuffers
import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import strategies as st

from braincog_tmkt.data.readers.aedat import write_aedat3
from braincog_tmkt.data.readers.aedat4 import write_aedat4
from braincog_tmkt.data.readers.arrays import write_events_npy
from braincog_tmkt.data.readers.atis import write_atis
from braincog_tmkt.data.readers.mat import write_mat
from braincog_tmkt.data.types import EVENT_DTYPE
from braincog_tmkt.errors import DataError

from .writers import event_stream, evt3, evt21, evt_header, write_array_bag, write_expelliarmus, write_packet_bag

TONIC_DTYPE = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
EVENT_STREAM = {0: "EVTS"}


def random_events(count: int, width: int = 128, height: int = 128, last: int = 300_000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    events = np.empty(count, dtype=EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, last, count, endpoint=True))
    events["x"], events["y"] = rng.integers(0, width, count), rng.integers(0, height, count)
    events["p"] = rng.integers(0, 2, count)
    return events


SEED_EVENTS = random_events(40, seed=1)
"""What each file of `seeds` holds."""


@st.composite
def recordings(
    draw: st.DrawFn, max_x: int = 127, max_y: int = 127, max_t: int = 2**32 - 1, least: int = 1
) -> np.ndarray:
    """Up to 60 events, with every value that the bounds allow."""
    row = st.tuples(st.integers(0, max_t), st.integers(0, max_x), st.integers(0, max_y), st.booleans())
    return np.array(sorted(draw(st.lists(row, min_size=least, max_size=60))), dtype=EVENT_DTYPE)


def as_tonic(events: np.ndarray) -> np.ndarray:
    out = np.empty(len(events), dtype=TONIC_DTYPE)
    for name in "xytp":
        out[name] = events[name]
    return out


def columns(events: np.ndarray) -> dict[str, np.ndarray]:
    return {name: events[name] for name in ("t", "x", "y", "p")}


def description(streams: dict[int, str]) -> str:
    """The XML of an AEDAT4 header: number of each stream -> its type."""
    nodes = "".join(
        f'<node name="{number}"><attr key="originalOutputName">stream{number}</attr>'
        f'<attr key="typeIdentifier">{kind}</attr>'
        '<node name="info"><attr key="sizeX">346</attr><attr key="sizeY">260</attr></node></node>'
        for number, kind in streams.items()
    )
    return f'<dv version="2.0"><node name="outInfo">{nodes}</node></dv>'


def event_packet(events: np.ndarray) -> bytes:
    """A size-prefixed flatbuffer, made by iniVation's own generated code."""
    builder = flatbuffers.Builder(0)
    dv.fb.EventPacket.EventPacketStartEventsVector(builder, len(events))
    for t, x, y, p in reversed(events.tolist()):
        builder.Prep(8, 16)
        builder.Pad(3)
        builder.PrependBool(p)
        builder.PrependInt16(y)
        builder.PrependInt16(x)
        builder.PrependInt64(t)
    vector = builder.EndVector()
    dv.fb.EventPacket.EventPacketStart(builder)
    dv.fb.EventPacket.EventPacketAddEvents(builder, vector)
    builder.FinishSizePrefixed(dv.fb.EventPacket.EventPacketEnd(builder), b"EVTS")
    return bytes(builder.Output())


def aedat4(
    packets: Iterable[tuple[int, bytes]],
    compression: int = 0,
    pack: Callable[[bytes], bytes] = bytes,
    xml: str = description(EVENT_STREAM),
    table: bytes = b"",
) -> bytes:
    """An AEDAT4 file of (stream, content) packets, made by iniVation's own generated code; `table` is the end of it."""

    def header(position: int) -> bytes:
        builder = flatbuffers.Builder(0)
        text = builder.CreateString(xml)
        dv.fb.IOHeader.IOHeaderStart(builder)
        dv.fb.IOHeader.IOHeaderAddCompression(builder, compression)
        dv.fb.IOHeader.IOHeaderAddDataTablePosition(builder, position)
        dv.fb.IOHeader.IOHeaderAddInfoNode(builder, text)
        builder.Finish(dv.fb.IOHeader.IOHeaderEnd(builder), b"IOHE")
        head = bytes(builder.Output())
        return b"#!AER-DAT4.0\r\n" + len(head).to_bytes(4, "little") + head

    body = b""
    for stream, content in packets:
        packed = pack(content)
        body += stream.to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed
    if not table:
        return header(-1) + body
    return header(len(header(2**40)) + len(body)) + body + table


def write_h5(path: Path, arrays: dict[str, np.ndarray], group: str = "/", **options: object) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.require_group(group).create_dataset(name, data=array, **options)


def write_aedat2(path: Path, events: np.ndarray, chip: str = "DVS128") -> None:
    """AER-DAT 2.0 by jAER's bits, with the line that names the chip; for a DAVIS with a row of a frame in it."""
    t, x, y, p = (events[name].astype(np.uint32) for name in "txyp")
    address = (127 - y) << 8 | (127 - x) << 1 | 1 - p
    if chip != "DVS128":
        address = (259 - y) << 22 | (345 - x) << 12 | p << 11
        address, t = np.append(address, 2**31 | address[-1]), np.append(t, t[-1])
    head = f"#!AER-DAT2.0\r\n# Timestamps tick is 1 us\r\n# AEChip: chips.{chip}\r\n"
    path.write_bytes(head.encode() + np.stack([address, t], axis=1).astype(">u4").tobytes())


def rows(events: np.ndarray) -> np.ndarray:
    """Columns t, x, y, p of whole numbers."""
    return np.stack([events[name].astype(np.int64) for name in "txyp"], axis=1)


WRITERS: dict[str, Callable[[Path, np.ndarray], object]] = {
    ".bin": write_atis,
    ".aedat": write_aedat2,
    ".aedat2": write_aedat2,
    ".aedat4": lambda path, events: write_aedat4(path, events, (128, 128)),
    ".mat": lambda path, events: scipy.io.savemat(path, columns(events)),
    ".npy": np.save,
    ".npz": lambda path, events: np.savez(path, **columns(events)),
    ".h5": lambda path, events: write_h5(path, columns(events), "events"),
    ".hdf5": lambda path, events: write_h5(path, columns(events)),
    ".csv": lambda path, events: np.savetxt(path, rows(events), "%d", ",", header="t,x,y,p", comments=""),
    ".txt": lambda path, events: np.savetxt(path, rows(events), "%d"),
    ".dat": lambda path, events: write_expelliarmus(path, events, "dat"),
    ".raw": lambda path, events: write_expelliarmus(path, events, "evt2"),
    ".es": lambda path, events: path.write_bytes(event_stream(events)),
    ".bag": write_array_bag,
    ".db3": write_array_bag,
    ".mcap": write_array_bag,
}
"""Every format, written by a library where there is one (numpy, scipy, h5py, expelliarmus, rosbags), else by ours."""


def seeds(folder: Path) -> dict[str, list[bytes]]:
    """A few small valid files of each suffix, for the fuzzers; sensor 128x128."""
    events, plain = SEED_EVENTS, rows(SEED_EVENTS)
    packets = [(0, event_packet(events[:20])), (1, b"other"), (0, event_packet(events[20:]))]
    seconds = {**columns(events), "ts": events["t"].astype(float)}
    others: dict[str, list[Callable[[Path], object]]] = {
        ".bin": [],
        ".aedat": [
            lambda path: write_aedat2(path, events, "Davis346red"),
            lambda path: write_aedat3(path, events),
        ],
        ".aedat4": [lambda path: path.write_bytes(aedat4(packets))],
        ".mat": [
            lambda path: write_mat(path, events),
            lambda path: path.write_bytes(saved_mat(seconds)),
            lambda path: path.write_bytes(saved_mat({"data": {"events": columns(events)}})),
            lambda path: path.write_bytes(saved_mat({"EM": columns(events[:9]), "TD": columns(events)})),
            lambda path: path.write_bytes(saved_mat({"events": plain[:, [1, 2, 3, 0]]}, do_compression=True)),
        ],
        ".npy": [lambda path: np.save(path, plain), lambda path: np.save(path, plain[:, [1, 2, 0, 3]].T)],
        ".npz": [
            lambda path: np.savez_compressed(path, events=events),
            lambda path: np.savez(path, xyp=plain[:, 1:], t=plain[:, 0]),
            lambda path: np.savez(path, pos=plain[events["p"]][:, 2::-1], neg=plain[~events["p"]][:, 2::-1]),
        ],
        ".h5": [
            lambda path: write_h5(path, columns(events)),
            lambda path: write_h5(path, {"events": events, "indexes": np.zeros(3)}, "CD"),
            lambda path: write_h5(path, {"events": plain, "image_ts": np.zeros(3)}, "davis/left", compression="gzip"),
        ],
        ".csv": [
            lambda path: np.savetxt(path, plain / [1e6, 1, 1, 1], fmt="%.6f %d %d %d"),
            lambda path: np.savetxt(path, plain, "%d", header="geometry:128,128\n t_us x y p", comments="%"),
            lambda path: path.write_text("".join(f"{x};{y};{p > 0};{t}\n" for t, x, y, p in plain.tolist())),
        ],
        ".dict": [lambda path: write_events_npy(path, events)],
        ".dat": [],
        ".raw": [
            lambda path: path.write_bytes(evt_header("EVT3") + evt3(events)),
            lambda path: path.write_bytes(evt_header("EVT21") + evt21(events)),
            lambda path: path.write_bytes(evt_header("EVT21") + evt21(events, "legacy")),
        ],
        ".es": [lambda path: path.write_bytes(event_stream(events, kind=2))],
        ".bag": [lambda path: write_packet_bag(path, events)],
        ".db3": [],
        ".mcap": [lambda path: write_packet_bag(path, events)],
    }
    made: dict[str, list[bytes]] = {}
    for suffix, writers in others.items():
        path, made[suffix] = folder / f"seed{suffix}", []
        if suffix in WRITERS:
            writers = [lambda path, suffix=suffix: WRITERS[suffix](path, events), *writers]
        for write in writers:
            write(path)
            made[suffix].append(path.read_bytes())
    return made


def refuses(
    read: Callable[[Path, tuple[int, int]], object],
    name: str,
    cases: dict[str, tuple[str | bytes | Callable[[], bytes], str]],
    sensor: tuple[int, int] = (128, 128),
) -> Callable[[Path, str], None]:
    """A test that files of this name and these contents are refused with the name and the fault of each."""

    @pytest.mark.parametrize("case", cases)
    def test(tmp_path: Path, case: str) -> None:
        content, fault = cases[case]
        made = content() if callable(content) else content
        (tmp_path / name).write_bytes(made.encode() if isinstance(made, str) else made)
        with pytest.raises(DataError, match=f"{re.escape(name)}.*({fault})"):
            read(tmp_path / name, sensor)

    return test


def saved_mat(variables: dict[str, object], **options: object) -> bytes:
    out = io.BytesIO()
    scipy.io.savemat(out, variables, **options)
    return out.getvalue()
