"""The command line: what it prints, where, and with which exit status."""

import subprocess
import sys

import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.cli.parser import parse
from braincog_tmkt.engine.signals import Stopped
from braincog_tmkt.errors import DataError


def test_list_names_everything(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("digits", "ncaltech101", "nmnist", "tmkt_vggsnn", "tmkt_scnn", "knowledge_transfer", "digits/tmkt"):
        assert f"  {name}" in out


def test_doctor_names_versions_and_what_braincog_replaced():
    # In a process of its own: here BrainCog may have been imported long ago.
    code = "import sys; from braincog_tmkt.cli import main; sys.exit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "braincog           0.2.7.19" in done.stdout
    assert "resnet18, resnet34, resnet50" in done.stdout
    assert done.stderr == ""


def test_overrides_stand_anywhere():
    for argv in (
        ["train", "a", "b", "--tier", "small", "train.epochs=3", "--seeds", "1", "2", "data.root=/x=y"],
        ["train", "train.epochs=3", "a", "data.root=/x=y", "b", "--seeds", "1", "2", "--tier", "small"],
        ["train", "--seeds", "1", "2", "train.epochs=3", "--tier", "small", "a", "b", "data.root=/x=y"],
    ):
        parsed = parse(argv)
        assert (parsed.recipes, parsed.seeds, parsed.tier) == (["a", "b"], [1, 2], "small")
        assert parsed.overrides == ["train.epochs=3", "data.root=/x=y"]


@pytest.mark.parametrize(
    "argv",
    [[], ["trian"], ["train"], ["train", "a", "--shard", "3"], ["list", "train.epochs=3"], ["data"], ["data", "check"]],
)
def test_wrong_usage_is_explained(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    assert "usage: tmkt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["train", "digits/tmk"], "did you mean 'digits/tmkt'"),
        (["train", "digits/tmkt", "train.epoch=1"], "did you mean 'train.epochs'"),
        (["train", "digits/tmkt", "--tier", "smal"], "did you mean 'small'"),
        (["train", "digits/tmkt", "--seeds", "1", "1"], "train.seeds is [1, 1]"),
        (["train", "digits/tmkt", "--shard", "2/1"], "shard 2/1 does not exist"),
        (["train", "digits/tmkt", "model.name=tmkt_vgg", "train.epochs=2"], "did you mean 'tmkt_vggsnn'"),
        (["train", "digits/tmkt", "method.mixratio=0.4"], "did you mean 'mix_ratio'"),
        (["train", "digits/tmkt", "data.protocol=cleen"], "did you mean 'clean'"),
        (["train", "digits/tmkt", "data.augment=[krop]"], "did you mean 'crop'"),
        (["train", "digits/tmkt", "data.name=digit"], "did you mean 'digits'"),
        (["train", "digits/tmkt", "train.batch=1000"], "choose a batch of"),
        (["train", "digits/tmkt", "optim.name=adamm"], "optim.name is 'adamm'"),
        (["data", "check", "digit"], "did you mean 'digits'"),
        (["eval", "nowhere"], "there is no nowhere"),
        (["table", "nowhere"], "'nowhere' is no table (1, 2, 3, 4, hsd-figure1, hsd1, hsd2, kt) and no file or folder"),
        (["table", "2", "nowhere"], "there is no nowhere"),
        (["table", "2", "--on", "cifar10dvs"], "no recipe in experiments/cifar10dvs has a row in table 2"),
        (["table", "2", "--against", "fixed"], "table 2 has no row 'fixed' to compare with"),
        (["report", "nowhere"], "there is no nowhere"),
        (["figure", "confusio", "nowhere"], "did you mean 'confusion'"),
        (["figure", "confusion", "nowhere"], "there is no nowhere"),
        (["train", "digits/tmkt", "--jobs", "2", "--devices", "2"], "leave out --devices"),
        (["data", "simulate", "nmnist", "--static", "nowhere", "--out", "out"], "nowhere"),
    ],
)
def test_an_error_is_one_sentence_on_stderr(argv, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("error: ")
    assert words in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())  # nothing was begun


def test_a_folder_without_data_gets_instructions_and_status_1(capsys, tmp_path):
    assert main(["data", "check", "ncaltech101", "--root", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    for words in ("8709 recordings", "Licence:", "Source:", "101 class folders", "tmkt data download", str(tmp_path)):
        assert words in out


def test_the_embedded_data_are_there_and_their_splits_hold(capsys):
    assert main(["data", "check", "digits"]) == 0
    assert "600 recordings, 10 classes, 1797 images, embedded data" in capsys.readouterr().out
    assert main(["data", "audit", "digits"]) == 0
    out = capsys.readouterr().out
    table = {line.split()[0]: line for line in out.splitlines() if line}
    assert table["clean"].endswith("clean")
    assert table["published"].endswith("leaky, and says so")
    assert "Split 'clean'" in out


def test_a_leak_that_no_protocol_admits_is_status_1(capsys, monkeypatch):
    from braincog_tmkt.data.sets import Digits
    from braincog_tmkt.data.splits import PROTOCOLS, Split

    def careless(index, protocol):
        keys = tuple(sorted(item.key for item in index.recordings))
        return Split(protocol, keys[:500], (), keys[500:], keys, leaky=False)

    monkeypatch.setitem(PROTOCOLS, "careless", careless)
    monkeypatch.setattr(Digits, "protocols", ("clean", "careless"))
    assert main(["data", "audit", "digits"]) == 1
    out = capsys.readouterr().out
    assert "LEAKS" in next(line for line in out.splitlines() if line.startswith("careless"))
    assert "IT LEAKS: 100 test (100.0%)" in out


@pytest.mark.parametrize(
    ("error", "status"),
    [(DataError("x"), 2), (Stopped("x", 15), 143), (Stopped("x", 2), 130), (KeyboardInterrupt(), 130)],
)
def test_exit_statuses(error, status, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr("braincog_tmkt.data.commands.check", fail)
    assert main(["data", "check", "digits"]) == status
    assert capsys.readouterr().err.startswith("error: ")


def test_errors_of_other_processes_are_not_printed_twice(monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert main(["data", "check", "digit"]) == 2
    assert capsys.readouterr().err == ""


def test_the_command_is_installed_and_helps():
    done = subprocess.run([sys.executable, "-m", "braincog_tmkt.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for verb in ("list", "data", "train", "eval", "table", "report", "figure", "doctor"):
        assert f"    {verb} " in done.stdout
