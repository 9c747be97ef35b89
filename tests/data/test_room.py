"""Bytes are counted before frames are made, and what the machine does not have is refused."""

import os
from pathlib import Path

import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.data import room
from braincog_tmkt.data.cache import prepare
from braincog_tmkt.data.room import bytes_in_words, cache_bytes, frame_bytes, memory_bytes, need_memory
from braincog_tmkt.data.sets import CIFAR10, Digits
from braincog_tmkt.data.types import FrameSpec
from braincog_tmkt.errors import DataError

DIGITS = Digits("none")


def test_bytes_are_those_of_the_arrays(tmp_path: Path) -> None:
    spec = FrameSpec(5, 8)
    dataset = Digits("none")
    dataset.recordings_per_class = 1
    index = dataset.index()
    frames = prepare(dataset, index, spec, tmp_path, progress=False)
    assert frame_bytes(dataset, spec) == frames.events[0].nbytes
    assert cache_bytes(dataset, index, spec) == frames.events.nbytes + frames.images.nbytes
    assert frame_bytes(CIFAR10("none"), FrameSpec(100, 32)) == 3 * 32 * 32 * 4  # stands still: stored once


@pytest.mark.parametrize(("unit", "count"), [("1 kB", 1000), ("999 MB", 999e6), ("184 TB", 184e12), ("5e+03 PB", 5e18)])
def test_bytes_in_words(unit: str, count: float) -> None:
    assert bytes_in_words(count) == unit


def test_the_memory_is_that_of_the_machine_or_of_its_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < memory_bytes() <= machine
    monkeypatch.setattr(room, "CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(room, "OWN_CGROUPS", tmp_path / "own")
    assert memory_bytes() == machine  # another system than Linux
    (tmp_path / "own").write_text("0::/batch/job\n")
    (tmp_path / "groups/batch/job").mkdir(parents=True)
    (tmp_path / "groups/batch/job/memory.max").write_text("max\n")
    assert memory_bytes() == machine
    (tmp_path / "groups/batch/memory.max").write_text("3000000\n")  # of the group around it
    assert memory_bytes() == 3_000_000
    (tmp_path / "own").write_text("9:cpu:/x\n4:memory:/job\n0::/\n")  # the older kind
    (tmp_path / "groups/memory/job").mkdir(parents=True)
    (tmp_path / "groups/memory/job/memory.limit_in_bytes").write_text("2000000\n")
    assert memory_bytes() == 2_000_000
    (tmp_path / "groups/memory/memory.limit_in_bytes").write_text("1000000\n")  # all that a container sees
    (tmp_path / "own").write_text("4:memory:/outside/of/it\n")
    assert memory_bytes() == 1_000_000


def test_no_more_processes_than_there_is_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    index, spec = DIGITS.index(), FrameSpec(10, 48)
    one = frame_bytes(DIGITS, spec)
    for memory, workers in ((2 * one, 1), (7 * one, 3)):
        monkeypatch.setattr(room, "memory_bytes", lambda memory=memory: memory)
        assert need_memory(DIGITS, index, spec) == workers
    monkeypatch.setattr(room, "memory_bytes", lambda: 2 * one - 1)
    with pytest.raises(
        DataError, match=r"data\.steps=10 and data\.size=48 make frames of 184 kB .*\(1\d\d MB in all\)"
    ):
        need_memory(DIGITS, index, spec)


@pytest.mark.parametrize("setting", ["data.steps=100000000", "data.size=1000000"])
def test_what_cannot_be_is_refused_at_once_and_leaves_nothing(
    setting: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    for more in (["--dry-run"], []):
        assert main(["train", "digits/tmkt", "--tier", "smoke", setting, *more]) == 2
        error = capsys.readouterr().err
        assert setting in error
        assert "B a recording" in error
        assert "of memory: choose fewer" in error
    key, _, value = setting.removeprefix("data.").partition("=")
    assert main(["data", "prepare", "digits", f"--{key}", value]) == 2
    assert setting in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named_with_the_key_that_moves_it(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    """Root may write anywhere, so a file stands where the folder should be."""
    monkeypatch.chdir(tmp_path)
    Path("cache").write_text("")
    for command in (["data", "prepare", "digits"], ["train", "digits/tmkt", "--tier", "smoke"]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert "the folder of the frame cache, cache, cannot be used" in error
        assert "data.cache=FOLDER" in error
        assert "--cache FOLDER" in error
