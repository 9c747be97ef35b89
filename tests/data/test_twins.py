"""Every simulated twin can be read: filmed, checked, audited, prepared, trained on; whatever parts there are."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.data.sets import build_dataset
from braincog_tmkt.data.simulate import LAYOUTS, simulate_tree
from braincog_tmkt.errors import DataError
from braincog_tmkt.results.store import read_records

from .trees import QUICK, contents, filmable

BOTH = ("train", "test")
TREES = [
    ("ncaltech101", ()),
    *(("nmnist", parts) for parts in ((), ("train",), ("test",), BOTH)),
    *((name, parts) for name in ("cepdvs", "cifar10dvs") for parts in ((), BOTH)),
    *(("nomniglot", parts) for parts in (("test",), BOTH)),
]
RECIPES = {name: f"{name}/tmkt" for name in QUICK} | {"cifar10dvs": "cifar10dvs/baseline_number"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, params in QUICK.items():
        monkeypatch.setattr(LAYOUTS[name], "params", params, raising=False)


def simulated(name: str, source: Path, out: Path) -> list[str]:
    """Film a tree with the command, and return the arguments of the command that it recommends."""
    assert main(["data", "simulate", name, "--static", str(source), "--out", str(out), "--workers", "1"]) == 0
    return ["--root", str(out)] + ["--static-root", str(source)] * (name in ("ncaltech101", "nmnist", "nomniglot"))


def test_all_layouts_are_tried() -> None:
    assert {name for name, _ in TREES} == set(QUICK) == set(LAYOUTS)


@pytest.mark.parametrize(
    ("name", "parts"), TREES, ids=lambda value: value if isinstance(value, str) else "+".join(value)
)
def test_a_twin_is_checked_audited_and_prepared(tmp_path: Path, capsys, name: str, parts: tuple[str, ...]) -> None:
    where = simulated(name, filmable(tmp_path / "images", name, parts), tmp_path / "twin")
    assert f"tmkt data check {name} {' '.join(where)}\n" in capsys.readouterr().out
    assert main(["data", "check", name, *where]) == 0
    out = capsys.readouterr().out
    assert f"{(40 if name == 'nomniglot' else 12) * max(len(parts), 1)} recordings" in out
    assert "simulated data" in out
    assert main(["data", "audit", name, *where]) == 0
    frames = ["--steps", "2", "--size", "48", "--workers", "1", "--cache", str(tmp_path / "cache")]
    assert main(["data", "prepare", name, *where, *frames]) == 0
    if name == "nmnist":
        assert (tmp_path / "twin/Test").exists() == ("test" in parts)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_twin_is_trained_on(tmp_path: Path, monkeypatch, name: str) -> None:
    source = filmable(tmp_path / "images", name, ("train",) * (name != "ncaltech101"))
    where = simulated(name, source, tmp_path / "twin")
    monkeypatch.chdir(tmp_path)
    settings = [
        "data.root=twin",
        "data.train_portion=0.5",
        "data.val_portion=0",
        "data.steps=2",
        "model.width=0.25",
        "train.batch=2",
        "data.train_per_class=null",
    ]
    static = [f"data.static_root={source}"] * ("--static-root" in where)
    assert main(["train", RECIPES[name], "--tier", "smoke", *settings, *static]) == 0
    (record,) = read_records([tmp_path / "runs"])
    assert record["data"]["kind"] == "simulated"


@pytest.mark.parametrize("name", QUICK)
def test_capitals_16_bits_and_what_systems_leave_change_nothing(tmp_path: Path, name: str) -> None:
    limit = None if name == "nomniglot" else 2
    plain = filmable(tmp_path / "plain", name)
    other = filmable(tmp_path / "other", name, suffix=".PNG", wide=True)
    for path in [*other.rglob("*.PNG")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
        (path.parent / "Thumbs.db").write_bytes(b"x")
    (other / "__MACOSX/cat").mkdir(parents=True)
    shutil.copy(path, other / "__MACOSX/cat/0.png")
    made = [simulate_tree(root, root / "twin", name, limit_per_class=limit, progress=False) for root in (plain, other)]
    assert made == [40, 40] if name == "nomniglot" else [4, 4]
    twins = [contents(root / "twin") for root in (plain, other)]
    assert twins[0].keys() == twins[1].keys()
    assert {key for key in twins[0] if twins[0][key] != twins[1][key]} == {
        key
        for key in twins[0]
        if key.endswith("SIMULATED.json")  # which tells the images' sizes
    }


@pytest.mark.filterwarnings("ignore:This DataLoader")
def test_getters_of_braincog_and_tonic_read_the_twins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BrainCog lists folders and takes every entry that is not hidden for an alphabet."""
    pytest.importorskip("dv")
    from braincog.datasets import datasets as getters
    from braincog.datasets.ncaltech101.ncaltech101 import NCALTECH101

    if not hasattr(np, "bool"):  # numpy 1.24 to 1.26: BrainCog's default asks for it
        monkeypatch.setattr(np, "bool", bool, raising=False)
    simulated("nomniglot", filmable(tmp_path / "omniglot", "nomniglot", BOTH), tmp_path / "DVS/NOmniglot")
    loaders = getters.get_nomni_data(8, root=str(tmp_path), frames_num=3)[:2]
    assert [len(loader.dataset) for loader in loaders] == [60, 20]
    assert all(loader.dataset[7][0].any() for loader in loaders)
    for name, folder in (("ncaltech101", "NCALTECH101"), ("nmnist", "NMNIST")):
        source = filmable(tmp_path / name, name)
        if name == "ncaltech101":
            for other, known in (("cat", "ant"), ("ship", "ketch")):
                (source / other).rename(source / known)
        simulated(name, source, tmp_path / "tonic" / folder)
        twin = build_dataset("tonic", tmp_path / "tonic", set=folder)
        assert (len(twin.index().recordings), twin.kind()) == (12, "simulated")
    theirs = NCALTECH101(str(tmp_path / "tonic"))
    assert sorted({label for _, label in (theirs[number] for number in range(12))}) == [7, 55]


def test_a_twin_of_an_earlier_version_is_gone_on_with_and_its_mark_hidden(tmp_path: Path) -> None:
    source = filmable(tmp_path / "images", "nmnist")
    simulate_tree(source, tmp_path / "twin", "nmnist", progress=False)
    mark = tmp_path / "twin/Train/.SIMULATED.json"
    mark.rename(mark.with_name("SIMULATED.json"))
    assert simulate_tree(source, tmp_path / "twin", "nmnist", progress=False) == 0
    assert [path.name for path in mark.parent.iterdir() if path.is_file()] == [mark.name]


def test_a_twin_inside_the_tree_of_images_is_no_class_of_it(tmp_path: Path) -> None:
    for name in QUICK:
        source = filmable(tmp_path / name, name)
        assert simulate_tree(source, source / "twin", name, progress=False) > 0
        assert simulate_tree(source, source / "twin", name, progress=False) == 0


def test_places_that_cannot_hold_a_twin_are_named(tmp_path: Path, monkeypatch) -> None:
    source = filmable(tmp_path / "images", "nmnist")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place in ("file", "file/below", "link"):
        with pytest.raises(DataError, match=rf"{place} cannot be made or written \("):
            simulate_tree(source, tmp_path / place, "nmnist", progress=False)
    assert (tmp_path / "file").read_text() == "mine"

    def forbidden(path: Path, *args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", forbidden)  # root may write anywhere
    with pytest.raises(DataError, match=r"twin cannot be made or written \(Permission denied\)"):
        simulate_tree(source, tmp_path / "twin", "nmnist", progress=False)


def test_real_recordings_are_seen_whatever_the_case_of_their_suffix(tmp_path: Path) -> None:
    source = filmable(tmp_path / "images", "nmnist", ("train",))
    (tmp_path / "out/Test/5").mkdir(parents=True)
    (tmp_path / "out/Test/5/00001.BIN").write_bytes(b"real")
    with pytest.raises(DataError, match="Test holds recordings that are not simulated"):
        simulate_tree(source, tmp_path / "out", "nmnist", progress=False)
    assert not (tmp_path / "out/Train").exists()


def test_simulated_recordings_are_known_in_one_part_and_behind_links(tmp_path: Path) -> None:
    simulated("nmnist", filmable(tmp_path / "images", "nmnist", BOTH), tmp_path / "twin")
    (mixed := tmp_path / "mixed").mkdir()
    shutil.copytree(tmp_path / "twin/Train", mixed / "Train", ignore=shutil.ignore_patterns("*SIMULATED*"))
    assert build_dataset("nmnist", mixed).kind() == "real"
    (mixed / "Test").symlink_to(tmp_path / "twin/Test")
    assert build_dataset("nmnist", mixed).kind() == "simulated"
    (tmp_path / "mine/events").mkdir(parents=True)
    for digit in (tmp_path / "twin/Train").glob("[0-9]"):
        (tmp_path / "mine/events" / digit.name).symlink_to(digit)
    assert build_dataset("folder", tmp_path / "mine").kind() == "simulated"


@pytest.mark.slow
def test_ctrl_c_ends_with_one_line_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A terminal sends SIGINT to all processes of the command."""
    source, out = filmable(tmp_path / "images", "nmnist"), tmp_path / "twin"
    for copy in range(60):
        shutil.copy(source / "0/0.png", source / f"0/{100 + copy}.png")
    arguments = ["data", "simulate", "nmnist", "--static", str(source), "--out", str(out), "--workers", "2"]
    script = tmp_path / "command.py"
    script.write_text(
        f"import sys\nfrom braincog_tmkt.cli import main\nif __name__ == '__main__': sys.exit(main({arguments!r}))\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while process.poll() is None and not list(out.rglob("*.bin")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    lines = [line for line in errors.replace("\r", "\n").splitlines() if line.strip() and "simulate:" not in line]
    assert (process.returncode, lines) == (130, ["error: interrupted: run the same command again"])
    files = [path.name for path in out.rglob("*") if path.is_file()]
    assert not [name for name in files if name.endswith(".part")]
    for _ in range(1000):  # no process is left, once multiprocessing has swept up
        if not alive(process.pid):
            break
        time.sleep(0.02)
    assert not alive(process.pid)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
