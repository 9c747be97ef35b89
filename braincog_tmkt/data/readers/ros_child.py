"""Run by `ros.py` in a process of its own, because damaged bags can make rosbags unpack without end.

Writes a line of JSON, with the type of the messages of events and their sizes in bytes, and then the messages.
"""

import json
import sys
from typing import Any

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


def main(path: str, settings: dict[str, Any]) -> None:
    """Write the messages of the topic with events."""
    with (Reader1 if settings["ros1"] else Reader2)(path) as reader:
        chosen = choose(reader.connections, settings["types"], settings["topic"])
        messages = []
        for _, _, message in reader.messages(chosen):
            settings["bytes"] -= len(message)
            if settings["bytes"] < 0:
                raise ValueError("it unpacks to more than events can")
            messages.append(message)
    head = {"type": chosen[0].msgtype, "sizes": [len(message) for message in messages]}
    out = sys.stdout.buffer
    out.write(json.dumps(head).encode() + b"\n")
    out.writelines(messages)
    out.flush()
