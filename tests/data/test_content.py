"""Marks of contents: the same for the same frames up to rounding, others for others."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from braincog_tmkt.data import content
from braincog_tmkt.data.content import DIRECTIONS, content_of, marks_of
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.data.types import Index, Item
from tests.raising import raising

ITEMS = tuple(Item(f"{name}/{number}", name) for name in ("cup", "hat") for number in range(10))
INDEX = Index(("cup", "hat"), ITEMS, ITEMS)
SPLIT = make_split(INDEX, Protocol("clean", train_portion=0.5))


@pytest.fixture
def arrays(tmp_path):
    rng = np.random.default_rng(0)
    events = rng.poisson(0.3, (20, 3, 2, 12, 12)).astype(np.float32)
    images = rng.integers(0, 256, (20, 12, 12), dtype=np.uint8)
    np.save(tmp_path / "events.npy", events)
    np.save(tmp_path / "images.npy", images)
    return events, images


def of(folder, events, images):
    """The content of these arrays."""
    for name, rows in (("events", events), ("images", images)):
        np.save(folder / f"{name}.npy", rows)
        (folder / f"{name}.marks.npy").unlink(missing_ok=True)
    return content_of(INDEX, SPLIT, marks_of(folder / "events.npy"), marks_of(folder / "images.npy"))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(row=st.integers(0, 19), place=st.tuples(st.integers(0, 2), *(st.integers(0, 11),) * 2), seed=st.integers(0, 99))
def test_a_count_more_is_a_change_and_rounding_is_none(tmp_path_factory, row, place, seed):
    folder, rng = tmp_path_factory.mktemp("content"), np.random.default_rng(seed)
    events = rng.poisson(0.3, (20, 3, 2, 12, 12)).astype(np.float32)
    images = rng.integers(0, 256, (20, 12, 12), dtype=np.uint8)
    before = of(folder, events, images)
    rounded = events * (1 + rng.uniform(-1e-6, 1e-6, events.shape)).astype(np.float32)
    decoded = images ^ (rng.random(images.shape) < 0.01).astype(np.uint8)  # one grey level, here and there
    assert of(folder, rounded, decoded).changes(before.marks) is None
    events[row, place[0], 1, place[1], place[2]] += 1
    after = of(folder, events, images)
    assert after.changes(before.marks) == f"1 of 20 recordings changed, the first {ITEMS[row].key}"


def test_images_that_nobody_draws_are_passed_over(tmp_path, arrays):
    events, images = arrays
    before = of(tmp_path, events, images)
    rows = {item.key: row for row, item in enumerate(ITEMS)}
    others = images.copy()
    others[rows[SPLIT.test[0]]] = 255 - images[rows[SPLIT.test[0]]]
    assert of(tmp_path, events, others).changes(before.marks) is None
    others[rows[SPLIT.pool[1]]] = images[rows[SPLIT.pool[0]]]
    words = f"1 of {len(SPLIT.pool)} images changed, the first {SPLIT.pool[1]}"
    assert of(tmp_path, events, others).changes(before.marks) == words


@pytest.mark.parametrize("chunk", [1, 10_000, 2**24])
def test_pieces_give_what_the_whole_gives(tmp_path, arrays, monkeypatch, chunk):
    monkeypatch.setattr(content, "CHUNK_BYTES", chunk)
    events, _ = arrays
    marks = marks_of(tmp_path / "events.npy")
    assert marks.shape == (20, DIRECTIONS)
    directions = np.random.RandomState(0).standard_normal((3 * 2 * 12 * 12, DIRECTIONS))
    np.testing.assert_allclose(marks, events.reshape(20, -1).astype(float) @ directions, rtol=1e-9, atol=1e-9)


def test_marks_are_made_once_and_again_where_they_are_damaged(tmp_path, arrays, monkeypatch):
    marks = marks_of(tmp_path / "events.npy")
    kept = tmp_path / "events.marks.npy"
    made = kept.stat().st_mtime_ns
    np.testing.assert_array_equal(marks_of(tmp_path / "events.npy"), marks)
    assert kept.stat().st_mtime_ns == made
    for damage in (b"", b"\x93NUMPY\1\0v\0", kept.read_bytes()[:-8], (tmp_path / "images.npy").read_bytes()):
        kept.write_bytes(damage)
        np.testing.assert_array_equal(marks_of(tmp_path / "events.npy"), marks)
    kept.unlink()
    monkeypatch.setattr(os, "fsync", raising(OSError(28, "No space left on device")))
    np.testing.assert_array_equal(marks_of(tmp_path / "events.npy"), marks)
    assert not kept.exists()


def test_a_set_without_images_and_blank_rows(tmp_path):
    index = Index(INDEX.classes, ITEMS, ())
    split = make_split(index, Protocol("clean"))
    for name, rows in (("events", np.zeros((20, 1, 2, 4, 4), np.float32)), ("images", np.zeros((0, 4, 4), np.uint8))):
        np.save(tmp_path / f"{name}.npy", rows)
    found = content_of(index, split, marks_of(tmp_path / "events.npy"), marks_of(tmp_path / "images.npy"))
    assert found.marks.shape == (20, DIRECTIONS)
    assert found.changes(torch.zeros(20, DIRECTIONS, dtype=torch.float64)) is None
