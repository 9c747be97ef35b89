"""Bags of ROS 1 (`.bag`) and ROS 2 (`.db3`, `.mcap`), opened by rosbags.

Their messages are decoded here: rosbags makes a Python object of each event. rosbags takes what a damaged bag asks for,
so it runs in a process of its own (see `apart`).
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..types import EVENT_DTYPE
from .apart import Apart
from .check import MAX_EVENTS, check_events, damage_named
from .evt import decode
from .reading import AS_STORED, Reading

LIBRARY = Apart(Path(__file__).with_name("ros_child.py"), "ROS bag", "rosbags")
ARRAYS = ("dvs_msgs/msg/EventArray", "prophesee_event_msgs/msg/EventArray")
PACKETS = ("event_camera_msgs/msg/EventPacket", "event_array_msgs/msg/EventArray")
ROW = np.dtype([("x", "<u2"), ("y", "<u2"), ("sec", "<u4"), ("nsec", "<u4"), ("p", "u1")])
"""An event of ROS 1."""
ENCODING = "evt3"
SECOND = 10**9


def read_bag(path: str | Path, sensor: tuple[int, int] | None, reading: Reading = AS_STORED) -> np.ndarray:
    """Read the messages of the one topic with events, or of the topic that `reading.group` names.

    Messages are `EventArray` of dvs_msgs or prophesee_event_msgs, and `EventPacket` of event_camera_msgs with the
    encoding evt3. Times are whole microseconds, often since 1970; those of packets are the camera's. A file of ROS 2 is
    read without the `metadata.yaml` beside it. Several topics with events, and other encodings, are a DataError.
    Arguments, result and errors are those of `readers.read_events`.
    """
    suffix = Path(path).suffix.lower()
    ros1 = suffix == ".bag"
    settings = {"suffix": suffix, "types": [*ARRAYS, *PACKETS], "topic": reading.group}
    kind, messages = LIBRARY.read(path, **settings)
    with damage_named(path, "ROS bag"):
        events = (_events_of_arrays if kind in ARRAYS else _events_of_packets)(
            [memoryview(message) for message in messages], ros1, path
        )
    check_events(events, path, sensor)
    return events


class _Fields:
    """The fields of a message in a row: packed in ROS 1, aligned to their own sizes in ROS 2 (CDR)."""

    def __init__(self, message: memoryview, ros1: bool) -> None:
        self.message, self.ros1 = message, ros1
        self.at = 0 if ros1 else 4
        if not ros1 and message[:2] != b"\0\1":
            raise ValueError(
                "its messages are compressed or not in little-endian CDR: convert it with ros2 bag convert"
            )
        if ros1:
            self.number("I")
        self.number("I"), self.number("I"), self.block()  # time and name of the frame
        height, width = self.number("I"), self.number("I")
        self.size = (width, height) if width and height else None

    def number(self, kind: str) -> int:
        """The next number."""
        size = struct.calcsize(kind)
        self.at += 0 if self.ros1 else -(self.at - 4) % size
        (value,) = struct.unpack_from(f"<{kind}", self.message, self.at)
        self.at += size
        return int(value)

    def block(self) -> memoryview:
        """The next bytes, behind their number."""
        count = self.number("I")
        self.at += count
        if self.at > len(self.message):
            raise ValueError("a message is cut off")
        return self.message[self.at - count : self.at]

    def end(self, size: int) -> None:
        """Raise a ValueError if not all but the padding of the message was read, `size` bytes more included."""
        if not 0 <= len(self.message) - self.at - size < (1 if self.ros1 else 4):
            raise ValueError("a message has another size than its fields")


def _events_of_arrays(messages: list[memoryview], ros1: bool, path: str | Path) -> np.ndarray:
    """The events in messages of separate events."""
    parts, total = [np.empty(0, dtype=EVENT_DTYPE)], 0
    for message in messages:
        fields = _Fields(message, ros1)
        count = fields.number("I")
        columns = _columns_1(fields, count) if ros1 else _columns_2(fields, count)
        if count and (columns["nsec"].max() >= SECOND or columns["p"].max() > 1):
            raise ValueError("a message has no times or polarities where they should be")
        part = np.empty(count, dtype=EVENT_DTYPE)
        part["t"] = columns["sec"].astype(np.int64) * 10**6 + columns["nsec"] // 1000
        part["x"], part["y"], part["p"] = columns["x"], columns["y"], columns["p"]
        if count:
            check_events(part, path, fields.size)
        parts.append(part)
        total += count
        if total > MAX_EVENTS:
            break  # check_events refuses as many
    return np.concatenate(parts)


def _columns_1(fields: _Fields, count: int) -> dict[str, np.ndarray]:
    """The columns of the events of ROS 1."""
    fields.end(count * ROW.itemsize)
    rows = np.frombuffer(fields.message, dtype=ROW, count=count, offset=fields.at)
    return {name: rows[name] for name in ROW.names or ()}


def _columns_2(fields: _Fields, count: int) -> dict[str, np.ndarray]:
    """The columns of the events of ROS 2: 16 bytes each, x and y of all but the first two bytes early."""
    fields.end(max(16 * count - 3, 0))

    def column(kind: str, offset: int) -> np.ndarray:
        return np.ndarray((count,), kind, fields.message, fields.at + offset, (16,)) if count else np.empty(0, kind)

    columns = {"sec": column("<u4", 4), "nsec": column("<u4", 8), "p": column("u1", 12)}
    columns |= {"x": column("<u2", -2).copy(), "y": column("<u2", 0).copy()}
    if count:
        columns["x"][0], columns["y"][0] = struct.unpack_from("<HH", fields.message, fields.at)
    return columns


def _events_of_packets(messages: list[memoryview], ros1: bool, path: str | Path) -> np.ndarray:
    """The events in messages of words of a camera, which go on from one to the next."""
    sizes, words = zip(*_packets(messages, ros1, path), strict=True)
    if len(set(sizes)) > 1:
        raise ValueError("its messages name different sizes of the camera")
    return decode(b"".join(words), "EVT3", path, sizes[0])


def _packets(
    messages: list[memoryview], ros1: bool, path: str | Path
) -> Iterator[tuple[tuple[int, int] | None, memoryview]]:
    """The size of the camera and the words of each message."""
    for message in messages:
        fields = _Fields(message, ros1)
        fields.number("Q"), fields.number("Q")  # number and time of the message
        encoding = bytes(fields.block()).rstrip(b"\0").decode("ascii", "replace")
        foreign_order = fields.number("B")
        words = fields.block()
        fields.end(0)
        if encoding != ENCODING or foreign_order:
            order = " in big-endian order" if foreign_order else ""
            raise DataError(
                f"{path} has events in the encoding {encoding}{order}, but only {ENCODING} is read: convert it to"
                " messages of dvs_msgs with the ROS package event_camera_tools"
            )
        yield fields.size, words
