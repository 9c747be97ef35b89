"""Tables in LaTeX: what they must not contain, and, where there is a LaTeX, that all of the studies' tables compile."""

import copy
import re
import shutil
import subprocess
import unicodedata

import pytest

from braincog_tmkt.results.given import Given
from braincog_tmkt.results.latex import escape, table
from braincog_tmkt.results.paper import find_table
from braincog_tmkt.results.render import render_table
from braincog_tmkt.results.store import read_records
from braincog_tmkt.results.summary import render, summarise
from braincog_tmkt.results.tables import make_table
from tests.made_records import STUDIES, tet

SPECIAL = "\\{}$&#^_~%"
"""LaTeX's ten special characters."""
NASTY = "[50 % of r_m] & #1 {x} ~ ^ \\ <a> $b$ --on 'x' é Łukasz ā Größe αΩ 方法 ± ≤ | \" `"
GIVEN = [
    Given("my_file 100%.csv", name, "nmnist", "clean", {42: 88.0, 1: 89.0}, "real", network="a_b", said=("c & d",))
    for name in (NASTY, "_", "100 %", "Δ-SNN ±1")
]


def named(name, seed, share=0.5):
    return {**copy.deepcopy(tet(10, seed, [share] * 10)), "name": name}


@pytest.fixture(scope="module")
def documents():
    """Every table of the papers and of runs that the studies' records make, with names that have a meaning in LaTeX."""
    odd = named(NASTY, 1), named("nmnist/tsm", 1)
    shown = {"odd": render(summarise(odd, given=GIVEN), "tex")}
    for number, on, place in (
        *((number, "nmnist", "tables_nmnist") for number in ("1", "2", "3", "4", "kt")),
        ("1", "nmnist", "table1_nmnist/small"),
        ("1", None, "tables_ncaltech101_simulated"),
        ("hsd1", None, "hsd_rows"),
        ("hsd2", None, "hsd_rows"),
    ):
        records = read_records([STUDIES / place])
        shown[f"{number} {place}"] = render_table(make_table(find_table(number), records, on=on, given=GIVEN), "tex")
    for place in sorted({file.parent for file in STUDIES.rglob("records.jsonl")}):
        shown[str(place.relative_to(STUDIES))] = render(summarise(read_records([place]), given=GIVEN[:1]), "tex")
    return shown


def bare(text):
    """A text without what escapes a special character, or stands for one."""
    escapes = r"\\[%&#_{}$]|\\textbackslash\{\}|\\\^\{\}|\\textasciitilde\{\}|\$[^$&%#]+\$"
    return re.sub(escapes, "", text.replace(r"\makebox[\linewidth]{%", r"\makebox[\linewidth]{"))


def test_each_special_character_is_escaped():
    for character in SPECIAL:
        shown = escape(f"a{character}b")
        assert shown != f"a{character}b"
        assert not set(bare(shown)) & set(SPECIAL), (character, shown)
    assert escape("r_m = 50 %") == r"r\_m = 50 \%"


def test_what_pdflatex_does_not_know_becomes_something_it_does():
    every = "".join(map(chr, [*range(0x20, 0x2FF), *range(0x370, 0x400), *range(0x2000, 0x2300), 0x4E2D, 0x1F600]))
    shown = escape(every)
    assert shown.isascii()
    assert escape("é") == r"\'{e}" == escape(unicodedata.normalize("NFD", "é"))
    assert (escape("λ"), escape("Σ"), escape("\N{GREEK CAPITAL LETTER ALPHA}")) == (r"$\lambda$", r"$\Sigma$", "A")
    assert escape("中") == "{[}U+4E2D]"


def test_every_table_is_a_whole_environment_that_says_what_it_needs(documents):
    for name, document in documents.items():
        first, *lines = document.splitlines()
        assert first == r"% needs \usepackage{booktabs}", name
        assert {line for line in lines if line.startswith("%")} <= {first}, name  # once for each table
        text = document.replace(first, "")
        assert not re.search(r"(?<!\\)%", bare(text)), name  # nothing else is a comment
        assert not re.search(r"\\\\\s*\[", text), name  # nor the distance of a row
        assert bare(text).count("{") == bare(text).count("}"), name
        assert not re.search(r"[#$_~^]", bare(text).replace("[htbp]", "").replace(r"\'", "")), name
        begun, ended = re.findall(r"\\begin\{(\w+)\}", text), re.findall(r"\\end\{(\w+)\}", text)
        assert begun[:2] == ["table", "tabular"], name
        assert sorted(begun) == sorted(ended), name
        for command in ("caption", "label", "toprule", "midrule", "bottomrule", "centering"):
            assert text.count(rf"\{command}") >= len(begun) // 2, (name, command)
        for body, sides in zip(
            re.split(r"\\begin\{tabular\}", text)[1:], re.findall(r"tabular\}\{(\w+)\}", text), strict=True
        ):
            rows = [row for row in re.findall(r"^.*\\\\$", body, re.MULTILINE) if r"\multicolumn" not in row]
            assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(sides)}, name


def test_the_legend_is_in_the_caption_and_groups_are_told_apart():
    records = read_records([STUDIES / "tables_nmnist"])
    shown = render_table(make_table(find_table("2"), records, on="nmnist", given=GIVEN[:1]), "tex")
    (caption, *_) = re.findall(r"\\caption\{(.*)\}", shown)
    assert "Parts of TMKT" in caption
    assert r"{[}a] nmnist (a part of it), real data, protocol clean" in caption
    assert r"given by my\_file 100\%.csv" in caption
    assert r"\label{tab:table-2}" in shown
    assert r"89.12 $\pm$ 1.15" in shown  # docs/results/tables.md
    assert r"$+0.12$ {[}$-0.17$, $+0.33$]" in shown
    assert re.search(r"\\midrule\n.*\\emph\{given, nmnist\}", shown)
    assert r"\midrule" not in table([{"a": "1"}, {"a": "2"}], ["x"], "y").split(r"\midrule", 1)[1]


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex")
def test_all_of_them_compile_and_fit_the_page(documents, tmp_path):
    every = "".join(map(chr, [*range(0x20, 0x2FF), *range(0x370, 0x400), *range(0x2000, 0x2300)]))
    body = "\n\n".join([*documents.values(), " ".join(map(escape, every))])
    start = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "all.tex").write_text(f"{start}{body.replace('[htbp]', '[p]')}\n\\end{{document}}\n", encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    pages = re.search(r"Output written on all\.pdf \((\d+) pages", done.stdout)
    assert int(pages[1]) > 10
    too_wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\) in par", done.stdout)]
    assert max(too_wide, default=0) < 30  # a word without a break in a narrow column
    assert "Float too large" not in done.stdout
