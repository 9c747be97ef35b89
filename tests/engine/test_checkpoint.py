import pickle

import pytest
import torch

from braincog_tmkt.engine import checkpoint
from braincog_tmkt.errors import TrainingError
from braincog_tmkt.files import write_whole


def state(value):
    return {"method": {"weight": torch.tensor([value])}, "progress": {"sums": {"loss": 0.1}}}


def load_newest(folder):
    said = []
    return checkpoint.load_newest(folder, said.append), said


def test_the_one_before_is_kept(tmp_path):
    for value in (1.0, 2.0, 3.0):
        checkpoint.save(tmp_path / "last.pt", state(value))
    assert checkpoint.load(tmp_path / "last.pt") == state(3.0)
    assert checkpoint.load(tmp_path / "previous.pt") == state(2.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]
    checkpoint.save(tmp_path / "best.pt", state(4.0))
    checkpoint.save(tmp_path / "best.pt", state(5.0))
    assert checkpoint.load(tmp_path / "previous.pt") == state(2.0)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_gives_way_to_the_one_before(tmp_path, share):
    checkpoint.save(tmp_path / "last.pt", state(1.0))
    checkpoint.save(tmp_path / "last.pt", state(2.0))
    content = (tmp_path / "last.pt").read_bytes()
    (tmp_path / "last.pt").write_bytes(content[: int(len(content) * share)])
    found, said = load_newest(tmp_path)
    assert found == state(1.0)
    assert len(said) == 1
    assert str(tmp_path / "last.pt") in said[0]


def test_nothing_there_is_no_error_but_asking_for_a_file_is(tmp_path):
    assert load_newest(tmp_path / "nowhere") == (None, [])
    with pytest.raises(TrainingError, match=r"no checkpoint .*best\.pt"):
        checkpoint.load(tmp_path / "best.pt")


class Evil:
    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_no_code_is_run_from_a_file(tmp_path, capsys, write):
    write({"method": Evil()}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match=r"last\.pt is damaged"):
        checkpoint.load(tmp_path / "last.pt")
    assert "unpickled" not in capsys.readouterr().out


def test_a_file_of_something_else(tmp_path):
    torch.save([1, 2], tmp_path / "last.pt")
    with pytest.raises(TrainingError, match="not a checkpoint of this project"):
        checkpoint.load(tmp_path / "last.pt")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TrainingError, match=r"file cannot be written \(No space left on device\)"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
