"""The notebooks of docs/tutorials: what is stored in them, and every cell of them."""

import io
import json
import os
import re
import shlex
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from braincog_tmkt.cli import main
from tests.children import run

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "tutorials"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
SMALL = {"EPOCHS": 2, "SEEDS": "42", "RECORDINGS": 8, "TIMES": [1, 2]}
"""Values of a notebook's cell of parameters with which every cell runs, in little time."""

ABSOLUTE = re.compile(r"(?:^|[\s\"'(=:>])(?:/[\w.-]+/[\w.-]|~/|[A-Z]:\\)", re.MULTILINE)
KILOBYTES = 250


def cells_of(name, kind):
    return [cell for cell in json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"] if cell["cell_type"] == kind]


def text_of(cell):
    return "".join(cell["source"])


def printed(cell):
    """The texts that a cell left, one for each kind of output."""
    found = {}
    for output in cell["outputs"]:
        for kind, lines in {**output.get("data", {}), output.get("name", ""): output.get("text", "")}.items():
            if not kind.startswith("image/"):
                found[kind] = found.get(kind, "") + "".join(lines)
    return found


def test_there_are_six_in_order():
    assert [name[:2] for name in NOTEBOOKS] == ["1-", "2-", "3-", "4-", "5-", "6-"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_begins_with_a_title_and_what_one_learns(name):
    first, *others = map(text_of, cells_of(name, "markdown"))
    assert re.match(r"# [A-Z]", first)
    assert "**You will learn**" in first
    assert not [text for text in others if re.match("# ", text)]
    assert "parameters" in cells_of(name, "code")[0]["metadata"]["tags"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_real_outputs_are_stored(name):
    cells = cells_of(name, "code")
    assert 8 <= len(cells) <= 20
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    silent = [text_of(cell) for cell in cells if re.search(r"^!|^print\(", text_of(cell), re.M) and not cell["outputs"]]
    assert [text for text in silent if not text.startswith("%%capture")] == []
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 1000 * KILOBYTES


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_path_of_a_machine_is_in_it(name):
    texts = [text for cell in cells_of(name, "code") for text in (text_of(cell), *printed(cell).values())]
    assert not [found[0] for text in texts if (found := ABSOLUTE.search(text))]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_it_links_to_is_there(name):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", "\n".join(map(text_of, cells_of(name, "markdown"))))
    assert links
    assert not [link for link in links if not (FOLDER / link).is_file()]


@pytest.fixture(scope="session")
def frames(tmp_path_factory):
    """Frames that several notebooks use are made once."""
    return tmp_path_factory.mktemp("frames")


def run_here(name, given, frames, tmp_path):
    """Run a notebook in a child that has imported what takes long."""
    done = run(run_cells, name, given, str(frames), cwd=FOLDER, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_cell_runs(name, frames, tmp_path):
    run_here(name, SMALL, frames, tmp_path)


@pytest.mark.data
@pytest.mark.parametrize("name", ["1-train-tmkt", "6-compare-honestly"])
def test_it_runs_on_n_mnist(name, shared, frames, tmp_path):
    run_here(name, {**SMALL, "NMNIST": str(shared / "data")}, frames, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_kernel_gives_what_is_stored(name, tmp_path, monkeypatch):
    """Its own settings, Jupyter's kernel, the command `tmkt`: outputs begin as those that are stored."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parents[1]))
    monkeypatch.delenv("MPLBACKEND")
    book = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    where = {"metadata": {"path": str(FOLDER)}}
    nbclient.NotebookClient(book, timeout=600, kernel_name="python3", resources=where, coalesce_streams=True).execute()
    fresh = [cell for cell in book.cells if cell.cell_type == "code"]
    for stored, cell in zip(cells_of(name, "code"), fresh, strict=True):
        found, wanted = printed(cell), printed(stored)
        found.pop("stderr", None)  # what other packages warn of differs
        assert {kind: beginning(text) for kind, text in found.items()} == {
            kind: beginning(text) for kind, text in wanted.items()
        }, text_of(stored)


def beginning(text):
    """The first line, without words that have digits."""
    return re.sub(r"\S*\d\S*", "#", text.strip().partition("\n")[0].strip())


def run_cells(name, given, frames):
    """Run the code cells of a notebook as Jupyter does, as far as the tutorials need it: `!tmkt`, and two magics."""
    space = {"__name__": "__main__"}
    sys.path.insert(0, "")
    make_folder = tempfile.mkdtemp

    def with_frames(*arguments, **keywords):
        folder = make_folder(*arguments, **keywords)
        Path(folder, "cache").symlink_to(frames)
        return folder

    tempfile.mkdtemp = with_frames
    for cell in cells_of(name, "code"):
        refused = "error: " in printed(cell).get("stdout", "")
        run_cell(text_of(cell), space, refused)
        if "parameters" in cell["metadata"].get("tags", ()):
            space |= {key: value for key, value in given.items() if key in space}


def run_cell(text, space, refused):
    first, _, rest = text.partition("\n")
    if magic := re.fullmatch("%%writefile (.+)", first):
        Path(magic[1]).write_text(f"{rest}\n")
    elif first == "%%capture":
        with redirect_stdout(io.StringIO()):
            run_cell(rest, space, refused)
    else:
        space["run_command"] = lambda line: run_command(line, space, refused)
        exec(compile(re.sub("^!(.*)$", r"run_command(r'''\1''')", text, flags=re.M), "<cell>", "exec"), space)


def run_command(line, space, refused):
    """`tmkt ..` in this process; `{NAME}` and `$NAME` stand for variables."""
    program, *words = shlex.split(re.sub(r"\{(\w+)\}|\$(\w+)", lambda found: str(space[found[1] or found[2]]), line))
    assert program == "tmkt"
    status = main(words)
    assert (status == 2) == refused, f"{line}: status {status}"
