"""Run by `ros.py` in a process of its own (see `apart.py`): damaged bags can make rosbags unpack without end."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import Reader as Reader2


class Refusal(Exception):
    """The file is whole, but cannot be used; the message follows its name."""


def choose(connections: Any, types: list[str], topic: str | None) -> Any:
    """The connections of the one topic with events, or of the one that is asked for."""
    topics = {each.topic: each.msgtype for each in connections if each.msgtype in types and each.msgcount}
    seen = ", ".join(f"{name} ({kind})" for name, kind in topics.items()) or "none"
    if topic is not None and topic not in topics:
        raise Refusal(f"has no events in the topic {topic}, which data.group names; topics with events: {seen}")
    if not topics:
        others = ", ".join(sorted({f"{each.topic} ({each.msgtype})" for each in connections})) or "none"
        raise Refusal(f"has no topic with messages of {', '.join(types)}; its topics: {others}")
    if topic is None and len(topics) > 1:
        raise Refusal(f"has several topics with events: {seen}; choose one with data.group")
    return [each for each in connections if each.topic == (topic or next(iter(topics))) and each.msgtype in types]


def opened(path: str, suffix: str) -> Any:
    """The bag; a single file of ROS 2 is opened without the `metadata.yaml` beside it, which may be missing."""
    if suffix == ".bag":
        reader: Any = Reader1(path)
    else:
        reader = Reader2.STORAGE_PLUGINS[suffix](Path(quote(path) if suffix == ".db3" else path))  # .db3: it is a URI
    reader.open()
    return reader


def main(path: str, settings: dict[str, Any]) -> tuple[str, list[bytes]]:
    """The type of the messages of the topic with events, and the messages."""
    reader = opened(path, settings["suffix"])
    try:
        chosen = choose(reader.connections, settings["types"], settings["topic"])
        kind, messages = chosen[0].msgtype, []
        for _, _, message in reader.messages(chosen):
            settings["bytes"] -= len(message)
            if settings["bytes"] < 0:
                raise ValueError("it unpacks to more than events can")
            messages.append(message)
    finally:
        reader.close()
    return kind, messages
