"""A run goes on with the data it began with: copies are welcome, other content under the same names is not."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from braincog_tmkt.cli import main
from braincog_tmkt.data.types import EVENT_DTYPE

from .command import finish, run_folder, start

SETTINGS = (
    *("model.name=tmkt_scnn", "model.act_fun=BackEIGateGrad", "model.width=0.25", "data.size=28", "data.steps=3"),
    *("optim.warmup_epochs=0", "train.batch=2", "train.epochs=30", "train.eval_every=30"),
)
NAMES = ("0", "1", "2", "3")


def make_data(root: Path) -> Path:
    """Two classes of four recordings with their images; no two are alike."""
    rng = np.random.default_rng(0)
    for name in "ab":
        for part in ("events", "static"):
            (root / part / name).mkdir(parents=True)
        for number in NAMES:
            events = np.zeros(200, EVENT_DTYPE)
            events["t"] = np.arange(200) * 50
            events["x"], events["y"] = rng.integers(0, 28, (2, 200))
            events["p"] = rng.random(200) < 0.5
            np.save(root / f"events/{name}/{number}.npy", events)
            pixels = rng.integers(0, 256, (28, 28), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"static/{name}/{number}.png")
    return root


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """A folder with `data` and the `runs` of the real command, stopped by a signal."""
    folder = tmp_path_factory.mktemp("stopped")
    place = f"data.root={make_data(folder / 'data')}"
    process = start(folder / "cache", "--runs", str(folder / "runs"), recipe="folder/tmkt", settings=(*SETTINGS, place))
    for line in process.stdout:
        if line.startswith("epoch 3/"):
            process.terminate()
            break
    status, _, err = finish(process)
    assert status == 143, err
    return folder


@pytest.fixture
def here(stopped, tmp_path, monkeypatch) -> Path:
    """A copy of it for each test, all of whose files have times of their own, as after a download."""
    shutil.copytree(stopped / "runs", tmp_path / "runs")
    shutil.copytree(stopped / "data", tmp_path / "data", copy_function=shutil.copyfile)
    for number, file in enumerate(sorted((tmp_path / "data").rglob("*.*"))):
        os.utime(file, (number, number))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def resume() -> int:
    return main(["train", "folder/tmkt", *SETTINGS, "--seeds", "1", "--resume"])


def swap(one: Path, other: Path) -> None:
    """Exchange two files, with their times."""
    spare = one.with_suffix(".spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def test_a_copy_goes_on_and_is_compared_again_afterwards(here, capsys):
    Image.linear_gradient("L").save(here / "data/static/a/another.png")  # no recording shows it: never drawn
    assert resume() == 0
    said = capsys.readouterr()
    assert "going on at epoch" in said.out
    assert "changed" not in said.out + said.err
    folder = run_folder(here / "runs")
    assert json.loads((folder / "record.json").read_text())["last"]["epoch"] == 29
    assert main(["eval", str(folder)]) == 0
    assert capsys.readouterr().out.count("as recorded") == 2
    (here / "data/static/a/another.png").unlink()
    assert resume() == 0
    assert "finished already" in (said := capsys.readouterr().out)
    assert f"are copies: tmkt eval {folder.relative_to(here)} compares them" in said
    swap(here / "data/events/a/1.npy", here / "data/events/b/1.npy")
    assert main(["eval", str(folder)]) == 2
    assert "2 of 8 recordings changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("swaps", "words"),
    [
        (
            [(f"events/a/{name}.npy", f"events/b/{name}.npy") for name in NAMES],
            "8 of 8 recordings changed, the first",
        ),
        ([("events/a/1.npy", "events/a/3.npy")], "2 of 8 recordings changed, the first data/events/a/1.npy since"),
        ([("static/a/0.png", "static/b/0.png")], "2 of 4 images changed, the first data/static/a/0.png since"),
        (
            [("events/a/1.npy", "events/b/1.npy"), ("static/a/0.png", "static/b/0.png")],
            "2 of 8 recordings and 2 of 4 images changed, the first data/events/a/1.npy since",
        ),
    ],
)
def test_other_content_under_the_same_names_is_refused(here, capsys, swaps, words):
    for one, other in swaps:
        swap(here / "data" / one, here / "data" / other)
    before = (run_folder(here / "runs") / "checkpoints/last.pt").read_bytes()
    assert resume() == 2
    assert words in (said := capsys.readouterr().err)
    assert "put the files back, or train in another folder" in said
    assert (run_folder(here / "runs") / "checkpoints/last.pt").read_bytes() == before


def test_another_event_is_seen_but_not_by_a_checkpoint_of_an_older_version_which_goes_on_with_a_note(here, capsys):
    file = here / "data/events/b/2.npy"
    events = np.load(file)
    events["x"][100] = (events["x"][100] + 14) % 28
    np.save(file, events)
    assert resume() == 2
    assert "1 of 8 recordings changed, the first data/events/b/2.npy" in capsys.readouterr().err
    file = run_folder(here / "runs") / "checkpoints/last.pt"
    state = torch.load(file, weights_only=True)
    del state["content"]
    torch.save(state, file)
    assert resume() == 0
    assert "nothing tells whether the data changed" in capsys.readouterr().out
