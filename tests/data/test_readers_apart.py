"""The process in which libraries read: it answers, refuses, dies, hangs and takes memory, and the next file is read."""

import os
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from braincog_tmkt.data.readers import apart
from braincog_tmkt.data.readers.apart import Apart
from braincog_tmkt.errors import DataError

SCRIPT = """
import os, signal, time
class Refusal(Exception): pass
def main(path, settings):
    print("what a library prints is no answer", flush=True)
    if settings["how"] == "refuse": raise Refusal("is in a foreign language: translate it")
    if settings["how"] == "raise": raise KeyError("chunk 7")
    if settings["how"] == "die": os.kill(os.getpid(), signal.SIGKILL)
    if settings["how"] == "hang": time.sleep(60)
    if settings["how"] == "grow": return None, [bytes(settings["bytes"] * 4 + 2**29)]
    return None, [open(path, "rb").read(), str(os.getpid()).encode()]
"""
FAULTS = {
    "refuse": r"a\.bag is in a foreign language: translate it$",
    "raise": r"a\.bag is a truncated or corrupt thing \('chunk 7'\); download",
    "die": r"a\.bag is a truncated or corrupt thing \(json ended with status -9\)",
    "hang": r"a\.bag could not be read in 2 seconds",
    "grow": r"a\.bag is a truncated or corrupt thing \(MemoryError\)",
}


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Apart]:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "a.bag").write_bytes(b"seven")
    made = Apart(tmp_path / "script.py", "thing", "json")
    yield made
    made.end()


def read(reader: Apart, path: str | Path, how: str = "read") -> bytes:
    return b"".join(reader.read(path, how=how)[1])


@pytest.mark.parametrize("how", FAULTS)
def test_a_fault_is_named_and_the_next_file_is_read(
    reader: Apart, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "START_SECONDS", 2 if how == "hang" else 30)
    with pytest.raises(DataError, match=FAULTS[how]):
        read(reader, tmp_path / "a.bag", how)
    monkeypatch.setattr(apart, "START_SECONDS", 30)
    assert read(reader, tmp_path / "a.bag").startswith(b"seven")


def test_a_path_is_that_of_this_process_wherever_it_has_gone(
    reader: Apart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(reader, tmp_path / "a.bag")
    monkeypatch.chdir(tmp_path)
    assert read(reader, "a.bag") == first


def _read_after_a_fork(reader: Apart, path: Path, answers: object) -> None:
    answers.send(read(reader, path))  # type: ignore[attr-defined]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_was_forked_starts_its_own(reader: Apart, tmp_path: Path) -> None:
    first = read(reader, tmp_path / "a.bag")
    context = get_context("fork")
    here, there = context.Pipe()
    forked = context.Process(target=_read_after_a_fork, args=(reader, tmp_path / "a.bag", there))
    forked.start()
    assert here.poll(60)
    assert here.recv() != first
    forked.join()
    assert read(reader, tmp_path / "a.bag") == first
