"""The process in which libraries read: it answers, refuses, dies, hangs and takes memory, and the next file is read."""

import os
import threading
from multiprocessing import get_context
from pathlib import Path

import pytest

from braincog_tmkt.data.readers import apart
from braincog_tmkt.data.readers.apart import read_apart
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
    if settings["how"] == "grow": return [bytes(settings["bytes"] * 4 + 2**29)]
    return [open(path, "rb").read(), str(os.getpid()).encode()]
"""
FAULTS = {
    "refuse": r"a\.bag is in a foreign language: translate it$",
    "raise": r"a\.bag is no whole thing \('chunk 7'\): download",
    "die": r"a\.bag is no whole thing \(json ended with status -9\)",
    "hang": r"a\.bag could not be read in 2 seconds",
    "grow": r"a\.bag is no whole thing \(MemoryError\)",
}


def read(folder: Path, how: str = "read") -> bytes:
    (folder / "script.py").write_text(SCRIPT)
    (folder / "a.bag").write_bytes(b"seven")
    return read_apart(folder / "script.py", folder / "a.bag", "thing", "json", how=how)


@pytest.mark.parametrize("how", FAULTS)
def test_a_fault_is_named_and_the_next_file_is_read(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "START_SECONDS", 2 if how == "hang" else 30)
    with pytest.raises(DataError, match=FAULTS[how]):
        read(tmp_path, how)
    monkeypatch.setattr(apart, "START_SECONDS", 30)
    assert read(tmp_path).startswith(b"seven")


def test_one_process_reads_all_files_of_a_thread_and_another_one_those_of_another(tmp_path: Path) -> None:
    first, other = read(tmp_path), []
    assert first == read(tmp_path)
    thread = threading.Thread(target=lambda: other.append(read(tmp_path)))
    thread.start()
    thread.join()
    assert other[0] != first
    apart._child().process.kill()
    apart._child().process.wait()
    assert read(tmp_path) != first


def test_a_path_is_that_of_this_process_wherever_it_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert read_apart(tmp_path / "script.py", "a.bag", "thing", "json", how="read").startswith(b"seven")


def _read_after_a_fork(folder: Path, answers: object) -> None:
    answers.send(read(folder))  # type: ignore[attr-defined]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_was_forked_starts_its_own(tmp_path: Path) -> None:
    first = read(tmp_path)
    context = get_context("fork")
    here, there = context.Pipe()
    forked = context.Process(target=_read_after_a_fork, args=(tmp_path, there))
    forked.start()
    assert here.poll(60)
    assert here.recv() != first
    forked.join()
    assert read(tmp_path) == first
