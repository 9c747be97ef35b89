"""A user's own results beside real records of the studies, against numbers worked out with numpy and scipy."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from braincog_tmkt.cli import main
from braincog_tmkt.errors import DataError
from braincog_tmkt.results.given import beside, why_not
from braincog_tmkt.results.given_files import COLUMNS, NEEDED, TEMPLATE, read_given
from braincog_tmkt.results.paper import find_table
from braincog_tmkt.results.render import render_table
from braincog_tmkt.results.store import read_records
from braincog_tmkt.results.summary import summarise
from braincog_tmkt.results.tables import make_table
from tests.made_records import STUDIES
from tests.results.test_report import Page
from tests.results.test_tables import record

ROOT = Path(__file__).resolve().parents[2]
RUNS = str(STUDIES / "tables_nmnist")
SPLIT = "565b6a2f272044644ac62a573d28f7672135fa8eea56d83ac47f7a9d37dfc886"
HEAD = "method,dataset,protocol,seed,accuracy,kind,selection,split,steps"
MINE = {42: 90.25, 1024: 89.75, 90210: 89.5}


def file_of(folder, *lines, name="mine.csv", head=HEAD):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def lines(change=None, seeds=MINE, **cells):
    """A line a seed; `change` replaces cells of all of them, an empty one takes a cell out."""
    row = {"method": "My-SNN", "dataset": "nmnist", "protocol": "clean", "kind": "real", "selection": "last"}
    row |= {"split": SPLIT[:8], "steps": "10"} | cells
    return [
        ",".join({**row, "seed": str(s), "accuracy": str(a)}[key] for key in HEAD.split(",")) for s, a in seeds.items()
    ]


def tmkt(capsys, *argv):
    status = main([str(word) for word in argv])
    return status, *capsys.readouterr()


def plain(capsys, *argv):
    status, out, err = tmkt(capsys, *argv, "--format", "json")
    assert status == 0, err
    return json.loads(out)


def accuracies_of(name):
    found = {}
    for line in (STUDIES / "tables_nmnist/records.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["name"] == name:
            found[record["seed"]] = 100 * record["last"]["accuracy"]
    return found


@pytest.fixture(scope="module")
def runs():
    return read_records([RUNS])


def by_hand(name):
    """Mean and Student's interval of the differences over the common seeds."""
    theirs = accuracies_of(name)
    differences = np.array([MINE[seed] - theirs[seed] for seed in MINE])
    interval = ttest_1samp(differences, 0).confidence_interval(0.95)
    return differences.mean(), interval.low, interval.high


def test_a_file_joins_a_papers_table_with_its_mean_deviation_and_paired_difference(tmp_path, capsys):
    path = file_of(tmp_path, *lines())
    content = plain(capsys, "table", "2", RUNS, path, "--dataset", "nmnist")
    *trained, given = content["rows"]
    assert [row["status"] for row in trained] == ["measured"] * 5
    assert {row["given_by"] for row in trained} == {""}
    assert (given["status"], given["given_by"], given["method"], given["seeds"]) == ("given", "mine.csv", "My-SNN", 3)
    values = list(MINE.values())
    assert (given["mean"], given["std"]) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (given["difference"], given["t_low"], given["t_high"]) == pytest.approx(by_hand("nmnist/knowledge_transfer"))
    without = plain(capsys, "table", "2", RUNS, "--dataset", "nmnist")
    assert without["rows"] == trained  # never mixed with trained records
    assert without["orderings"] == content["orderings"]
    _, out, _ = tmkt(capsys, "table", "2", RUNS, path, "--dataset", "nmnist")
    assert "given by mine.csv: nmnist, real data, protocol clean, T 10, split 565b6a2f, epoch last" in " ".join(
        out.split()
    )
    assert out.count("not compared") == 1  # of the legend: "runs with different settings are not compared"


def test_a_file_joins_a_table_of_runs_in_either_order_and_any_format(tmp_path, capsys):
    path = file_of(tmp_path, *lines())
    rows = plain(capsys, "table", path, RUNS, "--reference", "tsm")
    assert [row["given_by"] for row in rows if row["given_by"]] == ["mine.csv"]
    assert (rows[-1]["difference"], rows[-1]["low"], rows[-1]["high"]) == pytest.approx(by_hand("nmnist/tsm"))
    entries = [dict(zip(HEAD.split(","), line.split(","), strict=True)) for line in path.read_text().split()[1:]]
    for entry in entries:
        entry |= {"seed": int(entry["seed"]), "accuracy": float(entry["accuracy"]), "notes": None}
    (tmp_path / "mine.json").write_text("\ufeff" + json.dumps(entries))
    again = plain(capsys, "table", tmp_path / "mine.json", RUNS, "--reference", "tsm")
    assert [{**row, "given_by": ""} for row in again] == [{**row, "given_by": ""} for row in rows]
    _, out, _ = tmkt(capsys, "table", RUNS, path, "--format", "csv")
    table = list(csv.DictReader(io.StringIO(out)))
    assert float(table[-1]["mean"]) == pytest.approx(np.mean(list(MINE.values())))
    assert [row["recipe"] for row in plain(capsys, "table", path)] == ["My-SNN"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"protocol": "published"}, "another protocol (the runs have clean)"),
        ({"kind": "simulated"}, "another kind of data (the runs have real data)"),
        ({"kind": ""}, "there is no column 'kind' to tell whether it agrees (the runs have real data)"),
        ({"split": "0" * 8}, "another split (the runs have 565b6a2f)"),
        ({"split": ""}, "there is no column 'split' to tell whether it agrees (the runs have a part of nmnist, "),
        ({"selection": "best_test"}, "another epoch (the runs' is last)"),
        ({"selection": ""}, "there is no column 'selection' to tell"),
        ({"steps": "4"}, "another number of time steps (the runs have 10)"),
        ({"dataset": "nmnsit"}, "another data set (the runs are on nmnist)"),
        ({"seeds": {7: 90.0}}, "no seed in common (those of knowledge_transfer are "),
    ],
)
def test_what_does_not_agree_is_not_compared_and_the_reason_is_printed(tmp_path, runs, changed, reason):
    given = read_given([file_of(tmp_path, *lines(**changed))])
    row = summarise(runs, against="knowledge_transfer", given=given)[-1]
    assert row.difference is None
    assert row.not_compared.startswith(reason)
    if "dataset" not in changed:
        table = make_table(find_table("2"), runs, on="nmnist", given=given)
        assert (table.given[0].against, table.given[0].reason) == (None, row.not_compared)
        assert f"not compared: {reason}" in " ".join(render_table(table).split())


def test_the_reason_is_that_of_the_runs_on_the_same_data_set(tmp_path):
    (given,) = read_given([file_of(tmp_path, *lines(protocol="published"))])
    references = [[record(f"{name}/tmkt", 42, 90.0)] for name in ("digits", "nmnist")]
    assert beside(given, references, "tmkt", "last").reason == "another protocol (the runs have clean)"


def test_without_a_split_only_whole_data_sets_are_compared_and_several_groups_never(tmp_path, runs):
    (given,) = read_given([file_of(tmp_path, *lines(dataset="ncaltech101", split=""))])
    assert why_not(given, record("ncaltech101/tmkt", 42, 90.0), "last") == ""
    for part in ({"complete": False}, {"tier": "small"}, {"overrides": ["data.train_portion=0.5"]}):
        assert "column 'split'" in why_not(given, record("ncaltech101/tmkt", 42, 90.0, **part), "last")
    other = [json.loads(json.dumps(run)) for run in runs if run["name"] == "nmnist/tsm"]
    for run in other:
        run["recipe"]["optim"]["lr"], run["recipe_hash"] = 0.5, "other"
    given = read_given([file_of(tmp_path, *lines())])
    row = summarise([*runs, *other], against="tsm", given=given)[-1]
    assert (row.difference, row.not_compared) == (
        None,
        "2 groups of tsm runs have its data and protocol: choose one with key=value",
    )


def test_seeds_choose_given_results_and_other_data_sets_are_named(tmp_path, capsys):
    path = file_of(tmp_path, *lines(), *lines(dataset="cifar10dvs"))
    status, out, err = tmkt(
        capsys, "table", "2", RUNS, path, "--dataset", "nmnist", "--seeds", "42", "--format", "json"
    )
    assert json.loads(out)["rows"][-1]["mean"] == MINE[42]
    assert err == "note: left out of mine.csv: 1 result on cifar10dvs, which table 2 does not have\n"
    status, _, err = tmkt(capsys, "table", RUNS, path, "--seeds", "1")
    assert (status, "mine.csv gives My-SNN none of the seeds wanted" in err) == (2, True)
    assert plain(capsys, "table", "1", path)["rows"][0]["status"] == "not run"  # nothing is trained


def test_the_page_shows_them_as_given(tmp_path, capsys, monkeypatch):
    path = file_of(tmp_path, *lines(), *lines(method="<b>Other", protocol="published"))
    status, _, err = tmkt(capsys, "report", RUNS, path, "--dataset", "nmnist", "--out", tmp_path / "page.html")
    assert status == 0, err
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    rows = page.rows("Results given by files")
    assert rows["My-SNN"][1:4] == [
        "mine.csv",
        "nmnist, real data, protocol clean, T 10, split 565b6a2f, epoch last",
        "89.83 ± 0.38 (3)",
    ]
    assert rows["<b>Other"][4] == "not compared: another protocol (the runs have clean)"
    tables = [table for table in page.tables if "arXiv 2509.12959" in table["caption"]]
    for table in tables:
        assert ["nmnist: given by files, not trained here"] in [[cell.strip() for cell in row] for row in table["rows"]]
    assert "<b>Other" not in text
    assert "My-SNN, given by mine.csv" in text  # the chart
    plainly = Page(text).rows("Cost of a run")
    assert not [name for name in plainly if "My-SNN" in name]


WRONG = {
    "no column": (["method,seed,accuracy", "a,1,90"], r"line 1: it lacks the columns dataset, protocol: `tmkt table"),
    "near name": (
        [HEAD.replace("protocol", "protocoll")],
        r"line 1: there is no column 'protocoll': did you mean 'prot",
    ),
    "twice": ([HEAD + ",Seed"], r"line 1: the column 'seed' is there twice"),
    "empty": ([], r"mine\.csv holds no results"),
    "head alone": ([HEAD], r"mine\.csv holds no results"),
    "NaN": (
        [HEAD, "a,nmnist,clean,1,nan,,,,"],
        r"line 2: accuracy must be a number from 0 to 100, of one seed, not 'nan'",
    ),
    "mean": ([HEAD, "a,nmnist,clean,1,81 ± 1,,,,"], r"line 2: accuracy must be a number from 0 to 100, of one seed"),
    "above": ([HEAD, "a,nmnist,clean,1,101,,,,"], r"line 2: accuracy must be"),
    "share": ([HEAD, "a,nmnist,clean,1,0.81,,,,"], r"line 2: accuracy 0\.81 may be a share or a percentage: add a col"),
    "mixed": ([HEAD, "a,nmnist,clean,1,81,,,,", "a,nmnist,clean,2,0.8,,,,"], r"line 3: accuracy 0\.8 may be"),
    "blank": ([HEAD, "a,,clean,1,81,,,,"], r"line 2: dataset is empty"),
    "seed": ([HEAD, "a,nmnist,clean,1.5,81,,,,"], r"line 2: seed must be a whole number, 0 or more, not '1\.5'"),
    "kind": ([HEAD, "a,nmnist,clean,1,81,fake,,,"], r"line 2: kind must be real or simulated or embedded, not 'fake'"),
    "epoch": ([HEAD, "a,nmnist,clean,1,81,,best,,"], r"line 2: selection must be last or best_val or best_test"),
    "split": ([HEAD, "a,nmnist,clean,1,81,,,my,"], r"line 2: split must be the hash of a split"),
    "steps": ([HEAD, "a,nmnist,clean,1,81,,,,0"], r"line 2: steps must be a whole number, 1 or more"),
    "duplicate": (
        [HEAD, "a,nmnist,clean,1,81,,,,", "b,nmnist,clean,1,81,,,,", "", "a,nmnist,clean,1,82,,,,"],
        r"line 5: a with seed 1 is there already, in line 2",
    ),
    "comma": ([HEAD, "a,nmnist,clean,1,81,5,real,last,,"], r"line 2: it has 10 cells where the first line has 9"),
    "unnamed": ([HEAD + ",", "a,nmnist,clean,1,81,,,,,5"], r"line 2: it has a cell below no name"),
    "short": ([HEAD, "a,nmnist,clean,1,81"], r"line 2: it has 5 cells where the first line has 9"),
    "quote": ([HEAD, '"a,nmnist'], r"it is no CSV"),
    "control": ([HEAD, "a\x07b,nmnist,clean,1,81,,,,"], r"line 2: method must be a text of one line"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_file_that_is_wrong_is_one_sentence_with_file_and_line(tmp_path, capsys, kind):
    content, words = WRONG[kind]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(content), encoding="utf-8")
    for command in (
        ["table", path],
        ["table", "2", path, "--dataset", "nmnist"],
        ["report", path, "--out", tmp_path / "x"],
    ):
        status, out, err = tmkt(capsys, *command)
        assert (status, out) == (2, "")
        assert re.match(r"error: \S+mine\.csv", err)
        assert re.search(words, err), err
        assert err.count("\n") == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfem\x00", "is UTF-16: save it as UTF-8"),
        (f"{HEAD}\na\n".encode() + b"\xe9,", "line 3: it is not UTF-8"),
        (b'[{"method": "a", "seed": 1}]', "entry 1: it lacks the columns dataset, protocol, accuracy"),
        (b'[{"seed": 1, "seed": 2}]', "entry 1: the column 'seed' is there twice"),
        (b'[3]', "entry 1: it must be a section"),
        (b'[{"seed": [1]}]', "entry 1: seed must be a text or a number"),
        (b'[{"method": "a", "dataset": "b", "protocol": "c", "seed": 1, "accuracy": NaN}]', "not 'NaN'"),
        (b'[{"method": ', "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "holds no results"),
    ],
)  # fmt: skip
def test_encodings_and_json(tmp_path, content, words):
    path = tmp_path / ("mine.json" if content.startswith(b"[") else "mine.csv")
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_given([path])
    with pytest.raises(DataError, match="does not exist"):
        read_given([tmp_path / "none.csv"])


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}\nMy-SNN,nmnist,clean,1,81.5,real,last,,10\n",
        f"\ufeff{HEAD.replace(',', ';')};;\r\n\r\nMy-SNN;nmnist;clean;1;81,5;Real;last;;10;;\r\n;;;;;;;;;;\r\n",
        f"{HEAD.replace(',', chr(9)).title()}\nMy-SNN\tnmnist\tclean\t1\t81.50 %\treal\tlast\t\t10",
        "Method,Data set,protocol,seed,accuracy,unit,kind,selection,steps\n"
        '"My-SNN",nmnist,clean,1,"0,815",share,real,last,10',
    ],
)
def test_what_spreadsheets_write_is_read_alike(tmp_path, text):
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8", newline="")
    (given,) = read_given([path, path])
    assert given.accuracy == {1: pytest.approx(81.5)}
    assert (given.method, given.kind, given.steps, given.split) == ("My-SNN", "real", 10, "")


def test_the_template_has_every_column_and_is_read(tmp_path, capsys, monkeypatch):
    with pytest.raises(SystemExit) as left:
        main(["table", "--template"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert out == TEMPLATE
    assert tuple(out.splitlines()[0].split(",")) == COLUMNS
    assert set(NEEDED) < set(COLUMNS)
    (tmp_path / "mine.csv").write_text(out)
    (given,) = read_given([tmp_path / "mine.csv"])
    assert len(given.accuracy) == 3


def test_where_only_records_can_stand_a_file_of_results_is_refused(tmp_path, capsys):
    path = file_of(tmp_path / "a", *lines())
    status, out, err = tmkt(capsys, "figure", "timesteps", RUNS, path)
    assert (status, out) == (2, "")
    assert "mine.csv is no record: `tmkt table` and `tmkt report` alone take results of your own" in err
    (tmp_path / "a" / "mine.json").write_text("[]")
    status, _, err = tmkt(capsys, "table", tmp_path / "a")
    assert (status, "mine.json is no record but a list: name a file of your own results itself" in err) == (2, True)
    status, _, err = tmkt(capsys, "report", path, "--out", tmp_path / "page.html")
    assert (status, "there are no records to report on" in err) == (2, True)


def test_a_bad_table_of_ones_own_stops_no_command_but_its_own(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments/paper").mkdir(parents=True)
    (tmp_path / "experiments/paper/mine.yaml").write_text("source: me\ntables: {mine: {title: t, colour: red}}")
    for argv in (["list"], ["table", RUNS], ["table", "2", RUNS, "--dataset", "nmnist"], ["report", RUNS]):
        status, out, err = tmkt(capsys, *argv)
        assert (status, bool(out)) == (0, True), err
        assert "  mine" not in out
        note = "note: left out: experiments/paper/mine.yaml holds no tables: tables.mine.rows is missing"
        assert (argv != ["list"]) or err.startswith(note), err
    status, out, err = tmkt(capsys, "table", "mine", RUNS)
    assert (status, out) == (2, "")
    assert err.startswith("error: experiments/paper/mine.yaml holds no tables: tables.mine.")
    status, _, err = tmkt(capsys, "table", "mein", RUNS)
    assert (status, "'mein' is neither a table" in err, "mine.yaml holds no tables" in err) == (2, True, True)


def test_the_page_on_own_results_shows_what_the_commands_print(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs/how-to/own-results.md").read_text()
    ((command, shown),) = re.findall(r"```bash\ntmkt (table 3 [^\n]*)\n```\n\n```text\n(.*?)\n```", page, re.DOTALL)
    status, out, err = tmkt(capsys, *command.split())
    assert (status, err) == (0, "")
    assert shown in out
    example = (ROOT / "docs/examples/own_results.csv").read_text()
    assert f"```csv\n{example}```" in page
    (entry,) = re.findall(r"```json\n(.*?)\n```", page)
    assert set(json.loads(entry)[0]) <= set(COLUMNS)
    paper, _, of_runs = page.partition("## CSV and JSON")[2].partition("Rows of a table of runs")
    for part, columns in (
        (paper, plain(capsys, *command.split())["rows"][0]),
        (of_runs, plain(capsys, "table", example_file := "docs/examples/own_results.csv")[0]),
    ):
        named = {
            name for line in re.findall(r"^\| (`.*?) \|", part, re.MULTILINE) for name in re.findall(r"`(\w+)`", line)
        }
        assert named == set(columns), example_file
