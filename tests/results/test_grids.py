"""Tables as they come out: in LaTeX, on a terminal, and with what there is to know about runs."""

import copy
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.results.grids import grid
from braincog_tmkt.results.latex import escape
from braincog_tmkt.results.paper import find_table
from braincog_tmkt.results.render import render_table
from braincog_tmkt.results.report import write_report
from braincog_tmkt.results.summary import render, summarise
from braincog_tmkt.results.tables import make_table
from tests.made_records import tet


def named(name, seed, share=0.5, **changes):
    record = copy.deepcopy(tet(10, seed, [share] * 10))
    return {**record, "name": name, **changes}


def silent(name, seed):
    record = named(name, seed, 0.1)
    record["last"] = {**record["last"], "one_class": "7"}
    record["firing_rates"] = {"first": 0.2, "last": 0.0}
    return record


def flat(text):
    return " ".join(text.split())


@pytest.mark.parametrize("style", ["text", "md", "tex"])
def test_what_all_rows_share_is_said(style):
    shown = flat(render(summarise([named("nmnist/tmkt", 1), named("nmnist/tsm", 1)]), style))
    words = "nmnist, real data, protocol clean, tmkt_scnn, T 10, small tier"
    assert (escape(words) if style == "tex" else words) in shown
    smoke = named("nmnist/tmkt", 1)
    smoke["recipe"]["train"]["epochs"] = smoke["recipe"]["data"]["steps"] = 2
    smoke["recipe_hash"] = "other"
    assert "T 10" not in flat(render(summarise([smoke]), style))
    both = render(summarise([smoke, named("nmnist/tsm", 1)]), style)
    assert "T 2" in both
    assert "T 10" in both


def test_a_run_under_two_names_is_said_to_be_one():
    same = [named("cifar10/hsd", 1, recipe_hash="a"), named("cifar10/hsd_t1", 1, recipe_hash="a")]
    other = named("cifar10/tet", 1, recipe_hash="b")
    words = "cifar10/hsd and cifar10/hsd_t1 are the same run under several names"
    assert words in render(summarise([*same, other]))
    assert "same run" not in render(summarise([same[0], other]))
    assert words in flat(render_table(make_table(find_table("hsd1"), [*same, other])))


@pytest.mark.parametrize("style", ["text", "md", "tex", "csv", "json"])
def test_a_network_that_tells_nothing_apart_is_marked_in_every_table(style):
    records = [silent("nmnist/tmkt", 1), silent("nmnist/tmkt", 2), named("nmnist/tsm", 1)]
    for shown in (
        render(summarise(records), style),
        render_table(make_table(find_table("2"), records, on="nmnist"), style),
    ):
        words = "seeds 1, 2: the network says '7' to every test recording"
        assert (escape(words) if style == "tex" else words) in flat(shown)
        assert "never fire" in shown
        if style in ("text", "md"):
            assert [line for line in shown.splitlines() if "10.00 ± 0.00 !" in line]
            assert not [line for line in shown.splitlines() if "50.00 !" in line]
    fine = [named("nmnist/tsm", 1)]
    assert "!" not in render(summarise(fine), style)


def test_the_page_says_it_too(tmp_path):
    page = write_report([silent("nmnist/tmkt", 1), named("nmnist/tsm", 1)], tmp_path / "page.html").read_text()
    assert "nmnist/tmkt, seed 1: the network says &#39;7&#39; to every test recording" in page
    assert "nmnist/tsm, seed 1" not in page


def on_terminal(columns, *argv):
    """What a command prints to a terminal of so many columns."""
    main_side, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "braincog_tmkt.cli", *argv]
    with subprocess.Popen(command, stdout=side, stderr=subprocess.PIPE, env=environment) as process:
        os.close(side)
        content = b""
        while True:
            try:
                piece = os.read(main_side, 1 << 16)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            content += piece
    os.close(main_side)
    assert process.returncode == 0
    return content.decode().replace("\r\n", "\n")


def test_a_terminal_gets_a_table_as_wide_as_itself_and_a_pipe_the_whole_one(tmp_path, capsys):
    for seed in (1, 2):
        for name in ("nmnist/knowledge_transfer", "nmnist/baseline"):
            file = tmp_path / f"{name.replace('/', '_')}{seed}.json"
            record = named(name, seed, 0.5 + seed / 100)
            record["recipe"]["method"]["note"] = "w" * 20
            file.write_text(json.dumps(record))
    shown = on_terminal(80, "table", str(tmp_path))
    assert max(map(len, shown.splitlines())) <= 80
    assert "knowledge" in shown
    assert shown.count("51.50 ±") == shown.count("0.71") == 2
    assert main(["table", str(tmp_path)]) == 0
    piped = capsys.readouterr().out
    assert max(map(len, piped.splitlines())) > 80
    assert shown.replace("\n", " ").count("nmnist/") == piped.count("nmnist/")


def test_a_table_that_cannot_be_made_narrow_enough_has_a_line_for_every_cell(monkeypatch):
    monkeypatch.setattr("braincog_tmkt.terminal.width", lambda: 20)
    shown = grid([{"one": "a" * 40, "two": "b", "three": ""}, {"one": "c", "two": "d e", "three": "f"}], "text")
    assert shown.splitlines() == ["one    " + "a" * 40, "two    b", "", "one    c", "two    d e", "three  f"]


def test_a_bar_in_a_name_is_no_column_of_markdown():
    assert grid([{"method": "a|b", "n": "1"}], "md").splitlines()[-1].replace(" ", "") == r"|a\|b|1|"
