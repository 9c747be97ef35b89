"""Files of cameras' own formats, written by other libraries or by the published description of the format."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HEADER = "% date 2026-01-01 00:00:00\n% evt {evt}\n% format {name};height={height};width={width}\n{more}% end\n"
EVT = {"EVT2": "2.0", "EVT21": "2.1", "EVT3": "3.0"}


def write_expelliarmus(path: Path, events: np.ndarray, encoding: str) -> None:
    """A `.dat`, or a `.raw` of EVT 2.0, written by expelliarmus."""
    from expelliarmus import Wizard

    kinds = {"names": list("txyp"), "formats": ["<i8", "<i2", "<i2", "u1"], "offsets": [0, 8, 10, 12], "itemsize": 16}
    rows = np.zeros(len(events), np.dtype(kinds, align=True))
    for name in "txyp":
        rows[name] = events[name]
    Wizard(encoding).save(path, rows)


def evt_header(name: str, size: tuple[int, int] = (128, 128), more: str = "") -> bytes:
    """The header that Prophesee's software writes."""
    return HEADER.format(evt=EVT[name], name=name, width=size[0], height=size[1], more=more).encode()


def evt2(events: np.ndarray) -> bytes:
    """Words of EVT 2.0, whose times may have 34 bits: expelliarmus writes 32 of them."""
    return evt21(events, "evt2")


def evt21(events: np.ndarray, order: str = "little") -> bytes:
    """Words of EVT 2.1: neighbours of one time, row and polarity share one; or their upper halves: EVT 2.0."""
    words, high = [], None
    for t, x, y, p, pixels in runs(events, 1 if order == "evt2" else 32):
        if high != t >> 6:
            high = t >> 6
            words.append(8 << 60 | (high & 2**28 - 1) << 32)
        words.append(int(p) << 60 | (t & 63) << 54 | x << 43 | y << 32 | sum(1 << pixel for pixel in pixels))
    halves = np.array(words, "<u8").view("<u4").reshape(-1, 2)
    if order == "evt2":
        return halves[:, 1].tobytes()
    return (halves if order == "little" else halves[:, ::-1]).tobytes()


def evt3(events: np.ndarray) -> bytes:
    """Words of EVT 3.0: neighbours of one time, row and polarity are vectors of 12, 12 and 8 pixels."""
    words: list[int] = []
    state: dict[int, int] = {}

    def say(kind: int, value: int) -> None:
        if state.get(kind) != value:
            words.append(kind << 12 | value)
        state[kind] = value

    for t, x, y, p, pixels in runs(events, 32):
        if state.get(8) != (t >> 12 & 4095):
            state.pop(6, None)
        say(8, t >> 12 & 4095)
        say(6, t & 4095)
        say(0, y)
        if len(pixels) == 1:
            words.append(2 << 12 | int(p) << 11 | x)
        else:
            valid = sum(1 << pixel for pixel in pixels)
            words += [
                3 << 12 | int(p) << 11 | x,
                4 << 12 | valid & 4095,
                4 << 12 | valid >> 12 & 4095,
                5 << 12 | valid >> 24,
            ]
    return np.array(words, "<u2").tobytes()


def runs(events: np.ndarray, width: int) -> Iterable[tuple[int, int, int, bool, list[int]]]:
    """Time, first x, y, polarity and offsets of neighbours that follow one another, x ascending."""
    here: list[Any] = []
    for t, x, y, p in events.tolist():
        if here and here[0] == t and here[2:4] == [y, p] and here[1] + here[4][-1] < x < here[1] + width:
            here[4].append(x - here[1])
        else:
            if here:
                yield tuple(here)
            here = [t, x, y, p, [0]]
    if here:
        yield tuple(here)


def event_stream(events: np.ndarray, kind: int = 1, size: tuple[int, int] = (128, 128)) -> bytes:
    """An `.es` of a DVS (1) or an ATIS (2)."""
    out = bytearray(b"Event Stream\2\0\0" + bytes([kind]) + np.array(size, "<u2").tobytes())
    before, most = 0, 127 if kind == 1 else 63
    for t, x, y, p in events.tolist():
        late, gap = divmod(t - before, most)
        out += b"\xff" * late if kind == 1 else b"\xff" * (late // 3) + bytes([0xFC | late % 3] * (late % 3 > 0))
        out += bytes([gap << 1 | p if kind == 1 else gap << 2 | p << 1]) + np.array([x, y], "<u2").tobytes()
        before = t
    return bytes(out)


TYPES = {
    "dvs_msgs/msg/Event": "uint16 x\nuint16 y\nbuiltin_interfaces/Time ts\nbool polarity\n",
    "dvs_msgs/msg/EventArray": "std_msgs/Header header\nuint32 height\nuint32 width\ndvs_msgs/Event[] events\n",
    "event_camera_msgs/msg/EventPacket": (
        "std_msgs/Header header\nuint32 height\nuint32 width\nuint64 seq\nuint64 time_base\nstring encoding\n"
        "bool is_bigendian\nuint8[] events\n"
    ),
}
TYPES |= {
    name.replace("dvs_msgs", "prophesee_event_msgs"): text.replace("dvs_msgs", "prophesee_event_msgs")
    for name, text in TYPES.items()
    if name.startswith("dvs_msgs")
}
ARRAY, PACKET, PROPHESEE_ARRAY = (
    "dvs_msgs/msg/EventArray",
    "event_camera_msgs/msg/EventPacket",
    "prophesee_event_msgs/msg/EventArray",
)


@cache
def store(ros1: bool) -> Any:
    """The types of messages, as rosbags makes them of their definitions."""
    typesys = pytest.importorskip("rosbags.typesys")
    made = typesys.get_typestore(typesys.Stores.ROS1_NOETIC if ros1 else typesys.Stores.ROS2_HUMBLE)
    for name, text in TYPES.items():
        made.register(typesys.get_types_from_msg(text, name))
    return made


def header(types: Any, ros1: bool) -> Any:
    stamp = types["builtin_interfaces/msg/Time"](sec=1, nanosec=2)
    return types["std_msgs/msg/Header"](**{"seq": 3} if ros1 else {}, stamp=stamp, frame_id="camera")


def array_message(events: np.ndarray, ros1: bool, kind: str = ARRAY, size: tuple[int, int] = (128, 128)) -> Any:
    """A message of separate events."""
    types = store(ros1).types
    event, time = types[kind.replace("Array", "")], types["builtin_interfaces/msg/Time"]
    rows = [
        event(x=x, y=y, ts=time(sec=t // 10**6, nanosec=t % 10**6 * 1000 + 999), polarity=p)
        for t, x, y, p in events.tolist()
    ]
    return types[kind](header=header(types, ros1), height=size[1], width=size[0], events=rows)


def packet_message(
    words: bytes, ros1: bool, size: tuple[int, int] = (128, 128), encoding: str = "evt3", bigendian: bool = False
) -> Any:
    """A message of encoded events."""
    types = store(ros1).types
    return types[PACKET](
        header=header(types, ros1),
        height=size[1],
        width=size[0],
        seq=1,
        time_base=0,
        encoding=encoding,
        is_bigendian=bigendian,
        events=np.frombuffer(words, np.uint8),
    )


def write_bag(path: Path, messages: Sequence[tuple[str, str, Any]], compression: str = "") -> None:
    """A bag of (topic, type, message): of ROS 1 where it ends in `.bag`, else the single file of one of ROS 2."""
    rosbag1, rosbag2 = pytest.importorskip("rosbags.rosbag1"), pytest.importorskip("rosbags.rosbag2")
    ros1, folder = path.suffix.lower() == ".bag", path.with_name("folder_of_ros2")
    path.unlink(missing_ok=True)
    if ros1:
        writer: Any = rosbag1.Writer(path)
        if compression:
            writer.set_compression(rosbag1.Writer.CompressionFormat[compression])
    else:
        plugin = rosbag2.StoragePlugin.SQLITE3 if path.suffix.lower() == ".db3" else rosbag2.StoragePlugin.MCAP
        writer = rosbag2.Writer(folder, version=9, storage_plugin=plugin)
        if compression:
            writer.set_compression(rosbag2.CompressionMode[compression], rosbag2.CompressionFormat.ZSTD)
    types = store(ros1)
    serialize: Callable[..., Any] = types.serialize_ros1 if ros1 else types.serialize_cdr
    with writer:
        kinds = {topic: kind for topic, kind, _ in messages}
        topics = {topic: writer.add_connection(topic, kind, typestore=types) for topic, kind in kinds.items()}
        for number, (topic, kind, message) in enumerate(messages):
            writer.write(topics[topic], number, serialize(message, kind))
    if not ros1:
        (folder / f"{folder.name}{path.suffix.lower()}").rename(path)
        shutil.rmtree(folder)


def write_array_bag(path: Path, events: np.ndarray) -> None:
    """A bag of one topic with two messages of separate events."""
    ros1, half = path.suffix.lower() == ".bag", len(events) // 2
    write_bag(path, [("/dvs/events", ARRAY, array_message(part, ros1)) for part in (events[:half], events[half:])])


def write_packet_bag(path: Path, events: np.ndarray) -> None:
    """A bag of one topic with the words of EVT 3.0 in two messages, with none that are said again."""
    ros1, words = path.suffix.lower() == ".bag", evt3(events)
    half = len(words) // 4 * 2
    write_bag(path, [("/camera", PACKET, packet_message(part, ros1)) for part in (words[:half], words[half:])])
