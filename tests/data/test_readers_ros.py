"""The reader of ROS bags against rosbags' own decoder, on bags that rosbags wrote."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from braincog_tmkt.data.readers import Reading, read_events
from braincog_tmkt.data.readers.ros import _events_of_arrays, _events_of_packets
from braincog_tmkt.errors import DataError
from tests.data.corpus import random_events, recordings
from tests.data.writers import (
    ARRAY,
    PACKET,
    PROPHESEE_ARRAY,
    array_message,
    evt3,
    packet_message,
    store,
    write_array_bag,
    write_bag,
    write_packet_bag,
)

rosbags = pytest.importorskip("rosbags")
EVENTS = random_events(300, seed=5)
SUFFIXES = (".bag", ".db3", ".mcap")


def serialized(message: Any, kind: str, ros1: bool) -> memoryview:
    types = store(ros1)
    return memoryview(bytes((types.serialize_ros1 if ros1 else types.serialize_cdr)(message, kind)))


@pytest.mark.parametrize("ros1", [True, False])
@settings(max_examples=60)
@given(events=recordings(127, 127, 2**31 * 10**6 - 1))
def test_messages_are_read_as_rosbags_writes_them(ros1: bool, events: np.ndarray) -> None:
    cuts = [events[: len(events) // 3], events[:0], events[len(events) // 3 :]]
    messages = [serialized(array_message(part, ros1), ARRAY, ros1) for part in cuts]
    np.testing.assert_array_equal(_events_of_arrays(messages, ros1, "made"), events)
    words = evt3(events[events["t"] < 2**23])
    packets = [serialized(packet_message(part, ros1), PACKET, ros1) for part in (words[:2], words[2:])]
    np.testing.assert_array_equal(_events_of_packets(packets, ros1, "made"), events[events["t"] < 2**23])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bags_of_either_kind_of_message_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"50% of #1 ?{suffix}"
    for write in (write_array_bag, write_packet_bag):
        write(path, EVENTS)
        np.testing.assert_array_equal(read_events(path, (128, 128)), EVENTS)


@pytest.mark.parametrize(("suffix", "how"), [(".bag", "LZ4"), (".bag", "BZ2"), (".mcap", "STORAGE")])
def test_compressed_bags_are_read(tmp_path: Path, suffix: str, how: str) -> None:
    path = tmp_path / f"made{suffix}"
    write_bag(path, [("/a", PROPHESEE_ARRAY, array_message(EVENTS, suffix == ".bag", PROPHESEE_ARRAY))], how)
    np.testing.assert_array_equal(read_events(path), EVENTS)


def test_one_of_several_topics_is_chosen_by_name(tmp_path: Path) -> None:
    path, others = tmp_path / "made.bag", EVENTS[:7]
    write_bag(path, [("/a", ARRAY, array_message(EVENTS, True)), ("/b", ARRAY, array_message(others, True))])
    with pytest.raises(DataError, match=r"made\.bag has several topics with events: /a \(dvs.*\), /b .*data\.group"):
        read_events(path)
    np.testing.assert_array_equal(read_events(path, None, Reading(group="/b")), others)
    with pytest.raises(DataError, match=r"no events in the topic /c, which data\.group names; topics with events: /a"):
        read_events(path, None, Reading(group="/c"))


HEADER = "std_msgs/msg/Header"


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([], "has no topic with messages of dvs_msgs.*; its topics: none"),
        ([("/odometry", HEADER, array_message(EVENTS, True).header)], r"its topics: /odometry \(std_msgs/msg/Header\)"),
        ([("/a", ARRAY, array_message(EVENTS[:0], True))], "holds no events"),
        ([("/a", ARRAY, array_message(EVENTS, True, size=(9, 99)))], "beyond the 9x99 sensor"),
        ([("/a", ARRAY, array_message(EVENTS[part], True)) for part in (slice(9, 12), slice(3))], "goes back in time"),
        ([("/a", PACKET, packet_message(b"", True, encoding="mono"))], "the encoding mono, but only evt3.*convert"),
        ([("/a", PACKET, packet_message(b"", True, bigendian=True))], "evt3 in big-endian order, but only evt3 is"),
        ([("/a", PACKET, packet_message(b"", True, (1, n))) for n in (1, 2)], "different sizes of the camera"),
        ([("/a", PACKET, packet_message(evt3(EVENTS), True, (9, 9)))], "beyond the pixels of its camera"),
    ],
)
def test_bags_that_cannot_be_used_are_refused(tmp_path: Path, messages: list[Any], fault: str) -> None:
    write_bag(tmp_path / "made.bag", messages)
    with pytest.raises(DataError, match=rf"made\.bag.*{fault}"):
        read_events(tmp_path / "made.bag")


def test_messages_that_are_packed_one_by_one_are_refused(tmp_path: Path) -> None:
    write_bag(tmp_path / "made.db3", [("/a", ARRAY, array_message(EVENTS, False))], "MESSAGE")
    with pytest.raises(DataError, match=r"made\.db3.*compressed.*ros2 bag convert"):
        read_events(tmp_path / "made.db3")


@pytest.mark.parametrize("ros1", [True, False])
def test_messages_of_another_size_or_content_than_their_fields_are_refused(ros1: bool) -> None:
    whole = bytes(serialized(array_message(EVENTS[:3], ros1), ARRAY, ros1))
    for wrong in (whole[:-1], whole + b"\0" * 4, whole[:-1] + b"\2", whole[:20], b""):
        with pytest.raises(Exception, match=r"(size|where they should be|requires a buffer|CDR|cut off)"):
            _events_of_arrays([memoryview(wrong)], ros1, "made")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_array_bag(tmp_path / "made.mcap", EVENTS)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        DataError, match=r"made\.mcap needs the package rosbags: pip install 'braincog_tmkt\[formats\]'"
    ):
        read_events(tmp_path / "made.mcap")


def test_a_bag_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    write_bag(tmp_path / "bomb.bag", [("/a", PACKET, packet_message(b"\0" * 10**7, True)) for _ in range(4)], "BZ2")
    assert (tmp_path / "bomb.bag").stat().st_size < 10_000
    with pytest.raises(DataError, match=r"bomb\.bag is a truncated or corrupt ROS bag"):
        read_events(tmp_path / "bomb.bag")


@pytest.mark.data
def test_a_real_bag_has_the_words_that_rosbags_finds(shared: Path, tmp_path: Path) -> None:
    from rosbags.highlevel import AnyReader

    sample = shared / "data/recordings/other/events.bag"
    with AnyReader([sample]) as bag:
        words = b"".join(bag.deserialize(raw, kind.msgtype).events.tobytes() for kind, _, raw in bag.messages())
    (tmp_path / "words.raw").write_bytes(b"% evt 3.0\n% geometry 640x480\n% end\n" + words)
    found = read_events(sample)
    np.testing.assert_array_equal(found, read_events(tmp_path / "words.raw"))
    theirs = pytest.importorskip("evt3").decode_file(str(tmp_path / "words.raw"))
    for name in "txyp":
        np.testing.assert_array_equal(found[name], getattr(theirs, name), err_msg=name)
