"""`tmkt table N`, `report` and `figure` as a user types them, on made N-MNIST files."""

import json
import os
import signal
import stat
import subprocess
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.launch.scripts import write_scripts
from tests.children import Child
from tests.test_every_recipe import nmnist

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["data.root=data", "data.train_per_class=2", "train.batch=4", "data.steps=2"]
TABLE_2 = ["table", "2", "--on", "nmnist", "--tier", "smoke", "--seeds", "1", "2", "--threads", "1", *SMALL]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with made files and the runs of Table 2; exit status, standard output and error of what trained them."""
    folder, out, err = tmp_path_factory.mktemp("place"), StringIO(), StringIO()
    nmnist(folder / "data")
    with chdir(folder), redirect_stdout(out), redirect_stderr(err):
        status = main([*TABLE_2, "--format", "json"])
    return folder, (status, out.getvalue(), err.getvalue())


@pytest.fixture
def place(trained, monkeypatch):
    """The same folder, which the test works in."""
    monkeypatch.chdir(trained[0])
    return trained[0]


def tmkt(capsys, *argv):
    """Exit status, standard output, standard error."""
    status = main(argv)
    return status, *capsys.readouterr()


def test_table_2_trains_what_is_missing_and_prints_the_table_alone_to_standard_output(trained, place, capsys):
    status, out, err = trained[1]
    content = json.loads(out)
    assert status == 0
    assert [row["status"] for row in content["rows"]] == ["measured"] * 5
    assert "epoch 1/1" in err
    records = sorted(Path("runs").rglob("record.json"))
    assert len(records) == 10
    times = [record.stat().st_mtime_ns for record in records]

    status, again, err = tmkt(capsys, *TABLE_2, "--format", "json")
    assert (status, again) == (0, out)
    assert err.count("finished already") == 10
    assert times == [record.stat().st_mtime_ns for record in records]

    accuracy = {}
    for record in map(json.loads, (path.read_text() for path in records)):
        accuracy.setdefault(record["name"], []).append(100 * record["last"]["accuracy"])
    for row in content["rows"]:
        assert row["mean"] == pytest.approx(sum(accuracy[row["recipe"]]) / 2)
        assert row["to_paper"] is None


def test_records_can_be_shown_without_training(place, capsys):
    status, out, _ = tmkt(capsys, "table", "3", "runs", "--on", "nmnist", "data.train_per_class=2")
    assert status == 0
    assert "not run" in next(line for line in out.splitlines() if line.startswith("r_m = 0.3"))
    assert "[a]" in next(line for line in out.splitlines() if line.startswith("r_m = 0.4"))
    assert tmkt(capsys, "table", "runs", "--against", "tsm")[0] == 0
    status, out, _ = tmkt(capsys, "table", "2", "runs", "--on", "nmnist", "--seeds", "2", "--format", "json")
    assert [row["seeds"] for row in json.loads(out)["rows"]] == [1] * 5
    status, out, _ = tmkt(capsys, "table", "runs", "name=nmnist/tsm", "--seeds", "1", "--format", "json")
    assert (status, [(row["recipe"], row["seeds"]) for row in json.loads(out)]) == (0, [("nmnist/tsm", 1)])
    status, _, err = tmkt(capsys, "table", "2", "runs", "--on", "nmnist", "--tier", "small")
    assert (status, "leave out --tier" in err) == (2, True)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (["--seeds", "77"], "no record has seed 77: choose from 1, 2"),
        (["--seeds", "1", "77"], "no record has seed 77"),
        (["--against", "tms"], "no record is of a recipe 'tms' to compare with: did you mean 'tsm'"),
        (
            ["data.static_pool=open"],
            "no record has data.static_pool=open: choose one that there is, data.static_pool=partners",
        ),
        (["train.batch=4", "data.steps=3"], "no record has data.steps=3: choose one that there is, data.steps=2"),
        (
            ["name=nmnist/tmk"],
            "no record has name=nmnist/tmk: choose one that there is, name=nmnist/knowledge_transfer or",
        ),
        (["--dataset", "nmnits"], "no result is on 'nmnits': did you mean 'nmnist'"),
        (["--resume"], "leave out --resume"),
        (["--runs", "elsewhere"], "leave out --runs"),
    ],
)
def test_a_choice_that_matches_nothing_is_an_error(place, capsys, choice, words):
    status, out, err = tmkt(capsys, "table", "runs", *choice)
    assert (status, out) == (2, "")
    assert words in err
    if "=" in choice[-1] or "--dataset" in choice:
        status, _, err = tmkt(capsys, "report", "runs", *choice, "--out", "none.html")
        assert (status, words in err, Path("none.html").exists()) == (2, True, False)
    if "=" in choice[-1]:
        status, _, err = tmkt(capsys, "figure", "timesteps", "runs", *choice)
        assert (status, "." not in choice[-1] or words in err) == (2, True)


def test_a_shard_trains_its_part_and_the_table_shows_all_that_is_finished(place, capsys):
    status, out, err = tmkt(capsys, *TABLE_2, "--shard", "1/4", "--format", "json")
    assert (status, err.count("finished already")) == (0, 3)  # of 10
    assert [row["seeds"] for row in json.loads(out)["rows"]] == [2] * 5


def test_a_record_that_lacks_something_is_named(place, tmp_path, capsys):
    whole = json.loads(next(Path("runs").rglob("record.json")).read_text())
    for key in ("name", "last", "versions"):
        (tmp_path / "record.json").write_text(json.dumps({k: v for k, v in whole.items() if k != key}))
        for command in (["table", "1"], ["report"]):
            status, _, err = tmkt(capsys, *command, str(tmp_path))
            assert (status, f"is not a whole record, it lacks {key}" in err) == (2, True), err


def test_a_reader_who_has_seen_enough_gets_no_traceback(place):
    child = Child(main, ["table", "1", "runs", "--format", "json"], cwd=place)
    child.stdout.close()
    assert (child.wait(240), child.stderr.read()) == (128 + signal.SIGPIPE, "")


def test_a_data_set_that_is_not_there_is_named_and_the_papers_numbers_still_come(place, capsys):
    status, out, err = tmkt(capsys, "table", "1", "--tier", "smoke", "--format", "csv", "data.root=elsewhere")
    assert status == 1
    assert [line.split(":")[0] for line in err.splitlines()] == [
        f"skipped {name}, data not found" for name in ("ncaltech101", "cepdvs", "nomniglot")
    ]
    assert len(out.splitlines()) == 19


def test_the_page_and_a_picture(place, capsys):
    (run,) = Path("runs/nmnist/tmkt").rglob("seed1")
    status, out, _ = tmkt(capsys, "figure", "confusion", str(run), "--out", "shown")
    assert (status, sorted(out.split())) == (0, ["shown/confusion.csv", "shown/confusion.png"])
    status, out, _ = tmkt(capsys, "report", "runs", "--on", "nmnist", "--pictures", "shown", "--out", "page.html")
    assert (status, out.strip()) == (0, "page.html")
    page = Path("page.html").read_text()
    assert "TSM + MAG" in page
    assert "data:image/png;base64," in page
    for argv, words in (
        (["figure", "confusio", str(run)], "did you mean 'confusion'"),
        (["figure", "confusion", str(run), "colour=red"], "figure 'confusion' takes no 'colour'"),
        (["figure", "confusion", str(run), "train.epochs=3"], "only settings that do not change the result"),
    ):
        status, _, err = tmkt(capsys, *argv)
        assert (status, words in err) == (2, True), err


def test_scripts_are_sound_and_executable():
    for script in [*(ROOT / "experiments").glob("*.sh"), *(ROOT / "experiments/studies").glob("*/run.sh")]:
        assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0, script
        sourced = script.name in ("env.sh", "run_set.sh", "run_table.sh")
        assert bool(script.stat().st_mode & stat.S_IXUSR) != sourced, script


def test_the_script_of_a_table_runs_the_command(tmp_path):
    """Written out, with a stub for `tmkt` on the PATH: what it is given."""
    stub = tmp_path / "tmkt"
    stub.write_text("#!/bin/sh\nprintf '%s ' \"$@\"\n")
    stub.chmod(0o755)
    write_scripts(tmp_path / "scripts")
    settings = {"DATA": "/d", "SEEDS": "1 2", "ON": "nmnist", "TIER": "small", "JOBS": "3"}
    environment = {**os.environ, **settings, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", str(tmp_path / "scripts/table3.sh"), "--format", "md"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    given = "table 3 --tier small --jobs 3 --resume --seeds 1 2 --dataset nmnist"
    assert done.stdout.strip() == f"{given} data.root=/d data.static_root=/d --format md"
