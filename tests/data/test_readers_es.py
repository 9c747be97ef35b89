"""The reader of Event Stream files against event_stream, the library of the format's authors."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from braincog_tmkt.data.readers import read_events
from braincog_tmkt.data.types import EVENT_DTYPE
from tests.data.corpus import random_events, recordings, refuses
from tests.data.writers import event_stream

DVS, ATIS = 1, 2


def by_library(path: Path) -> np.ndarray:
    """What event_stream reads, without measurements of exposure."""
    decoder = pytest.importorskip("event_stream").Decoder(str(path))
    rows = np.concatenate([*decoder])
    events = np.empty(len(rows), dtype=EVENT_DTYPE)
    for name, theirs in {"t": "t", "x": "x", "y": "y", "p": "on" if decoder.type == "dvs" else "polarity"}.items():
        events[name] = rows[theirs]
    return events if decoder.type == "dvs" else events[~rows["exposure"]]


@pytest.mark.data
def test_a_real_recording_equals_event_stream(shared: Path) -> None:
    path = shared / "data/recordings/other/loris.es"
    found = read_events(path)
    assert len(found) == 4407
    np.testing.assert_array_equal(found, by_library(path))


@pytest.mark.parametrize("kind", [DVS, ATIS])
@given(events=recordings(2**15 - 2, 2**15 - 2, 2**20))
def test_what_is_written_by_the_description_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, kind: int, events: np.ndarray
) -> None:
    path = tmp_path_factory.getbasetemp() / "made.es"
    path.write_bytes(event_stream(events, kind, (2**15 - 1, 2**15 - 1)))
    np.testing.assert_array_equal(read_events(path), events)


@given(data=st.data(), exposures=st.lists(st.booleans(), min_size=60, max_size=60), events=recordings(99, 79, 2**20))
def test_what_event_stream_writes_is_read_as_it_reads_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, exposures: list[bool], events: np.ndarray
) -> None:
    library = pytest.importorskip("event_stream")
    path = tmp_path_factory.getbasetemp() / "library.es"
    kind = data.draw(st.sampled_from(["dvs", "atis"]))
    dtype = library.dvs_dtype if kind == "dvs" else library.atis_dtype
    rows = np.zeros(len(events) + 1, dtype)
    for name in "txy":
        rows[name][:-1] = events[name]
    rows["on" if kind == "dvs" else "polarity"][:-1] = events["p"]
    rows["t"][-1] = rows["t"][-2]  # one at least is a change
    if kind == "atis":
        rows["exposure"][:-1] = exposures[: len(events)]
    with library.Encoder(str(path), kind, 100, 80) as encoder:
        encoder.write(rows)
    np.testing.assert_array_equal(read_events(path, (100, 80)), by_library(path))


@pytest.mark.parametrize(("kind", "nothing"), [(DVS, 0xFE), (ATIS, 0xFC)])
def test_bytes_that_mend_errors_of_a_line_say_nothing(tmp_path: Path, kind: int, nothing: int) -> None:
    events, path = random_events(2, last=0), tmp_path / "made.es"
    whole = event_stream(events, kind)
    path.write_bytes(whole[:20] + bytes([nothing]) * 5 + whole[20:25] + bytes([nothing]) * 5 + whole[25:])
    np.testing.assert_array_equal(read_events(path), events)


EVENT = event_stream(np.array([(5, 99, 0, True)], dtype=EVENT_DTYPE), size=(100, 100))
FAR = event_stream(np.array([(5, 100, 0, True)], dtype=EVENT_DTYPE), size=(200, 200))
BAD = {
    "empty": (b"", "does not start with Event Stream"),
    "no_size": (EVENT[:18], "truncated or corrupt Event Stream recording"),
    "cut": (EVENT[:-1], "truncated: it ends inside an event"),
    "beyond_its_size": (EVENT.replace(b"\x64", b"\x63", 1), "x up to 99 and y up to 0, beyond the 99x100 sensor"),
    "beyond_the_sensor": (FAR, "x up to 100 and y up to 0, beyond the 100x100 sensor"),
    "no_events": (EVENT[:20] + b"\xff" * 9, "no events"),
    "color": (EVENT[:15] + b"\4" + EVENT[16:], "has color events, but"),
    "kind": (EVENT[:15] + b"\x09" + EVENT[16:], "has unknown events, but"),
    "version": (EVENT[:12] + b"\1\7" + EVENT[14:], "has version 1.7, but"),
    "bag": (b"#ROSBAG V2.0\n", "a ROS 1 bag: give it the suffix .bag"),
}
test_bad_files_are_named_with_their_fault = refuses(read_events, "made.es", BAD, (100, 100))
