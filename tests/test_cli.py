"""The command line: what it prints, where, and with which exit status."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.cli.parser import parse
from braincog_tmkt.engine.signals import Stopped
from braincog_tmkt.errors import DataError

STUDY = str(Path(__file__).resolve().parents[1] / "experiments" / "studies" / "ncaltech101_simulated")


def test_list_names_everything(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("digits", "ncaltech101", "nmnist", "tmkt_vggsnn", "tmkt_scnn", "knowledge_transfer", "digits/tmkt"):
        assert f"  {name}" in out
    assert "N-MNIST with MNIST (Orchard et al., Frontiers in Neuroscience, 2015, arXiv:1507.07629)" in out
    assert "(Deng et al., ICLR 2022, arXiv:2202.11946)" in out


def test_a_value_of_an_option_may_look_like_an_override():
    parsed = parse(["data", "check", "folder", "--root", "a=b"])
    assert (parsed.root, parsed.overrides) == (Path("a=b"), [])
    parsed = parse(["train", "a", "./p=q", "--runs", "x=y", "--seeds", "1", "stages.ann2.optim.lr=3", "Model.width=2"])
    assert (parsed.runs, parsed.recipes) == (Path("x=y"), ["a", "./p=q"])
    assert parsed.overrides == ["stages.ann2.optim.lr=3", "Model.width=2"]


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
    [
        *(["trian"], ["train"], ["list", "train.epochs=3"], ["list", "x"], ["data", "chek"], ["data", "check"]),
        *(["train", "a", "--shard", shard] for shard in ("3", "0/0", "1/-1", "²/3")),
        *(["train", "a", *option.split()] for option in ("--devices 0", "--threads -3", "--jobs 1_0", "--jobs 0")),
        *(["train", "a", "--seeds", value] for value in ("-1", "1e3", "0x1", str(2**64))),
        *(["data", "prepare", "digits", *option.split()] for option in ("--steps 0", "--size x", "--workers -1")),
        ["data", "check", "digits", "--root", "~nobody-here/x"],
        *(["train", "a", "--runs", "\0"], ["report", "x" * 300], ["train", "a", "--runs", ""]),
    ],
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
        (["train", "digits/tmkt", "--shard", "2/1"], "shard 2/1 does not exist"),
        (["train", "digits/tmkt", "model.name=tmkt_vgg", "train.epochs=2"], "did you mean 'tmkt_vggsnn'"),
        (["train", "digits/tmkt", "method.mixratio=0.4"], "did you mean 'mix_ratio'"),
        (["train", "digits/tmkt", "data.protocol=cleen"], "did you mean 'clean'"),
        (["train", "digits/tmkt", "data.augment=[krop]"], "did you mean 'crop'"),
        (["train", "digits/tmkt", "data.name=digit"], "did you mean 'digits'"),
        (["train", "digits/tmkt", "train.batch=1000"], "choose a batch of"),
        (["train", "digits/tmkt", "optim.name=adamm"], "optim.name is 'adamm'"),
        (["train", "digits/tmkt", "optim.name=adahessian"], "needs second derivatives"),
        (["train", "digits/tmkt", "model.name=resnet18"], "is a network of braincog, which these methods cannot train"),
        (["train", "digits/tmkt", "model.name=vit_tiny_patch16_224"], "is a network of timm"),
        (["train", "digits/tmkt", "data.appearance=rgb"], "takes images of one channel, but data.appearance is 'rgb'"),
        (["train", "digits/tmkt", "data.size=3"], "SCNN needs frames of 16x16 or larger, not 3x3"),
        (["train", "digits/tmkt", "model.width=1000"], "weights takes 3,085 GiB to train, but this machine has"),
        (["train", "digits/tmkt", "method.name=hsd"], "method 'hsd' needs 'steps'"),
        (["train", "digits/hsd", "method.pretraining={name: tmkt, mix_ratio: x}"], "method 'tmkt': mix_ratio must be"),
        (["train", "digits/hsd", "method.pretraining={name: [1]}"], "the name of a method must be a text, not [1]"),
        (["train", "digits/tmkt", "stages.ann2.optim.lr=1"], "trains no stage 'ann2'"),
        (["train", "digits/tmkt", "data.root=~nobody-here/x"], "'~nobody-here/x' cannot be used as a path"),
        (["train", "x" * 300], "cannot be used as a path"),
        (["train", "digits/tmkt", "imports=[antigravity.gravity]"], "imports 'antigravity.gravity', which fails in"),
        (
            ["train", "digits/tmkt", "--seeds", str(2**64 - 1), "train.seeds=[1]", "--devices", "1000"],
            "1000 processes were",
        ),
        (["eval", "nowhere", "--steps", "1..999999999"], "go up to 10000"),
        (["eval", "nowhere", "--precision", "32-true"], "--precision needs --steps"),
        (["data", "check", "digit"], "did you mean 'digits'"),
        (["eval", "nowhere"], "nowhere does not exist"),
        (
            ["table", "nowhere"],
            "'nowhere' is neither a table (1, 2, 3, 4, hsd-figure1, hsd1, hsd2, kt) nor a file or folder",
        ),
        (["table", "2", "nowhere"], "nowhere does not exist"),
        (["table", "2", "--on", "cifar10dvs"], "no recipe in experiments/cifar10dvs has a row in table 2"),
        (["table", "2", "--against", "fixed"], "table 2 has no row 'fixed' to compare with"),
        (["report", "nowhere"], "nowhere does not exist"),
        (["figure", "confusio", "nowhere"], "did you mean 'confusion'"),
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
    table = {line.partition("  ")[0]: line.split("  ") for line in out.splitlines() if line}
    verdicts = dict(zip(filter(None, table["protocol"]), filter(None, table["verdict"]), strict=True))
    assert {name.strip(): verdict.strip() for name, verdict in verdicts.items()} == {
        "protocol": "verdict",
        "clean": "clean",
        "published": "leaky (declared)",
        "published_unsorted": "leaky (declared)",
    }
    assert "Split 'clean'" in out


def test_an_audit_of_no_split_is_status_1(capsys):
    assert main(["data", "audit", "digits", "data.train_per_class=1000"]) == 1
    assert capsys.readouterr().out.count("not for these files") == 3


def test_a_folder_named_like_a_setting_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lr=0.1").mkdir()
    arguments = parse(["table", "lr=0.1", "optim.lr=0.1"])
    assert (arguments.what, arguments.overrides) == (["lr=0.1"], ["optim.lr=0.1"])


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
    assert next(line for line in out.splitlines() if line.startswith("verdict")).split() == [
        "verdict",
        "clean",
        "LEAKS",
    ]
    assert "IT LEAKS: 100 test (100.0%)" in out


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (DataError("x"), 2, "x"),
        (Stopped("x", 15), 143, "x"),
        (Stopped("x", 2), 130, "x"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 2, "the memory does not suffice (MemoryError): take a smaller train.batch"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"),
            2,
            "the memory does not suffice",
        ),
        (RuntimeError("a mistake of ours"), None, ""),
        (ImportError("cannot import name 'x'", name="braincog_tmkt.data"), None, ""),
    ],
)
def test_exit_statuses_and_words_of_errors_that_a_user_can_mend(error, status, words, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr("braincog_tmkt.data.commands.check", fail)
    if status is None:  # a mistake of the program keeps its traceback
        with pytest.raises(type(error), match=str(error)):
            main(["data", "check", "digits"])
    else:
        assert main(["data", "check", "digits"]) == status
        assert capsys.readouterr().err.startswith(f"error: {words}")


def test_errors_of_other_processes_are_not_printed_twice(monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert main(["data", "check", "digit"]) == 2
    assert capsys.readouterr().err == ""


def test_a_terminal_that_cannot_show_a_character_gets_its_code(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr("braincog_tmkt.data.commands.check", lambda *_: print("85.1 \N{PLUS-MINUS SIGN} 1") or True)
    assert main(["data", "check", "digits"]) == 0
    assert terminal.buffer.getvalue() == b"85.1 \\xb1 1\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_output_that_cannot_be_written_is_an_error(monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["data", "check", "digits"]) == 2
    words = "the output cannot be written: No space left on device: send it to another file or disk"
    assert capsys.readouterr().err == f"error: {words}\n"


def test_closed_streams_are_as_good_as_none():
    command = f"{sys.executable} -m braincog_tmkt.cli data check digits <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 0


@pytest.mark.parametrize("words", ["--help", "list", "data check digits", f"table {STUDY}", f"report {STUDY}"])
def test_commands_that_only_read_start_without_pytorch(words, tmp_path):
    """What takes seconds to import is not imported: `-X importtime` lists every module on standard error."""
    command = [sys.executable, "-X", "importtime", "-m", "braincog_tmkt.cli", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0, done.stderr[-500:]
    assert not imported & {"torch", "timm", "numba", "braincog", "tonic", "sklearn", "matplotlib", "scipy.stats"}
    for verb in ("list", "data", "train", "eval", "table", "report", "figure", "doctor"):
        assert words != "--help" or f"    {verb} " in done.stdout
