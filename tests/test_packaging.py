"""What is handed on: the source distribution, and what git is told to leave out."""

import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from braincog_tmkt.cli.parser import parse
from braincog_tmkt.recipe import DataConfig

ROOT = Path(__file__).resolve().parents[1]
NOT_SOURCES = [".*", "__pycache__", "*.egg-info", "build", "dist"]
NOT_SOURCES += ["data", "runs", "cache", "docs", "experiments", "tests"]


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    top = shutil.ignore_patterns(*NOT_SOURCES)
    shutil.copytree(
        ROOT, folder / "copy", ignore=lambda at, names: top(at, names) if Path(at) == ROOT else {"__pycache__"}
    )
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, str(folder), cwd=folder / "copy")
    (made,) = folder.glob("*.tar.gz")
    return made


def test_the_sdist_holds_the_whole_package(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    package = ROOT / "braincog_tmkt"
    wanted = {str(path.relative_to(ROOT)) for path in package.rglob("*.*") if "__pycache__" not in path.parts}
    assert wanted | {"requirements.txt", "README.md", "LICENSE", "pyproject.toml"} <= names


def test_the_sdist_can_be_installed_without_a_network(sdist, tmp_path):
    pip = f"{sys.executable} -m pip install --quiet --no-index --no-deps --no-build-isolation --no-compile"
    run(*pip.split(), "--target", str(tmp_path / "site"), str(sdist), cwd=tmp_path)
    (found,) = Distribution.discover(path=[str(tmp_path / "site")])
    listed = (ROOT / "requirements.txt").read_text().splitlines()
    required = {text for text in found.requires if "extra ==" not in text}
    assert required == {line for line in listed if line and not line.startswith("#")}
    for path in (ROOT / "braincog_tmkt").rglob("*.*"):
        if "__pycache__" not in path.parts:
            copy = tmp_path / "site" / path.relative_to(ROOT)
            assert copy.read_bytes() == path.read_bytes()


def test_what_the_commands_write_by_default_is_not_for_git():
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("not a git checkout")
    train = parse(["train", "digits/tmkt"])
    prepare = parse(["data", "prepare", "digits"])
    figure, report = parse(["figure", "epochs", "runs"]), parse(["report", "runs"])
    for path in (train.runs, prepare.root, DataConfig().cache, figure.out):
        run("git", "check-ignore", f"{path}/x", cwd=ROOT)
    run("git", "check-ignore", str(report.out), cwd=ROOT)
