"""What is handed on: the source distribution, the wheel made of it, and what git is told to leave out."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from braincog_tmkt import __version__
from braincog_tmkt.cli.parser import parse
from braincog_tmkt.errors import DataError
from braincog_tmkt.inspect.doctor import EXTRAS
from braincog_tmkt.launch.scripts import write_scripts
from braincog_tmkt.recipe import DataConfig

ROOT = Path(__file__).resolve().parents[1]
NOT_SOURCES = [".*", "__pycache__", "*.egg-info", "build", "dist"]
NOT_SOURCES += ["data", "runs", "cache", "docs", "benchmarks", "tests", "studies"]
BUILD = "import sys; from setuptools import build_meta as by; by.build_{}(sys.argv[1])"


def run(*command, cwd, **environment):
    env = {**os.environ, **environment}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def package_files():
    return [path for path in (ROOT / "braincog_tmkt").rglob("*.*") if "__pycache__" not in path.parts]


def shipped_files():
    """What a wheel must bring beside the package: all recipes, the papers' numbers, the scripts, the checkpoints."""
    found = [path for path in (ROOT / "experiments").rglob("*.*") if path.suffix in (".yaml", ".sh", ".sbatch")]
    recipes_and_scripts = [path for path in found if "studies" not in path.parts]
    assert len(recipes_and_scripts) > 150
    return [*recipes_and_scripts, *(ROOT / "checkpoints").glob("[!.]*")]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The checkout without what git or the package do without."""
    top, cache = shutil.ignore_patterns(*NOT_SOURCES), shutil.ignore_patterns("__pycache__", "studies")
    to = tmp_path_factory.mktemp("checkout") / "copy"
    return shutil.copytree(ROOT, to, ignore=lambda at, names: (top if Path(at) == ROOT else cache)(at, names))


@pytest.fixture(scope="module")
def sdist(copy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-c", BUILD.format("sdist"), str(folder), cwd=copy)
    (made,) = folder.glob("*.tar.gz")
    return made


@pytest.fixture(scope="module")
def site(sdist, tmp_path_factory):
    """A folder with the package, installed from the source distribution without a network."""
    folder = tmp_path_factory.mktemp("installed")
    pip = f"{sys.executable} -m pip install --quiet --no-index --no-deps --no-build-isolation --no-compile"
    run(*pip.split(), "--target", str(folder / "site"), str(sdist), cwd=folder)
    return folder / "site"


def tmkt(site, cwd, *argv):
    """The command of an installed package, from an empty folder."""
    return run(sys.executable, "-m", "braincog_tmkt.cli", *argv, cwd=cwd, PYTHONPATH=str(site))


def test_the_sdist_holds_all_that_a_wheel_needs(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {str(path.relative_to(ROOT)) for path in (*package_files(), *shipped_files())}
    assert wanted | {"requirements.txt", "constraints.txt", "README.md", "LICENSE", "pyproject.toml"} <= names
    assert not [name for name in names if name.endswith("records.jsonl")]


def test_an_installed_package_is_the_checkouts(site):
    (found,) = Distribution.discover(path=[str(site)])
    assert found.version == __version__
    listed = (ROOT / "requirements.txt").read_text().splitlines()
    required = {text for text in found.requires if "extra ==" not in text}
    assert required == {line for line in listed if line and not line.startswith("#")}
    assert set(found.metadata.get_all("Provides-Extra")) == set(EXTRAS)
    for path in package_files():
        assert (site / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    for path in shipped_files():
        assert (site / "braincog_tmkt" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()


def test_an_installed_package_lists_recipes_prints_a_table_and_writes_scripts_from_an_empty_folder(site, tmp_path):
    here = tmp_path / "empty"
    here.mkdir()
    assert tmkt(site, here, "--version") == f"tmkt {__version__}\n"
    listed = tmkt(site, here, "list")
    for path in shipped_files():
        if path.suffix == ".yaml" and path.stem not in ("common", "index") and path.parent.name != "paper":
            assert f"\n  {path.parent.name}/{path.stem}\n" in f"{listed}\n", path
    for name in yaml.safe_load((ROOT / "checkpoints/index.yaml").read_text()):
        assert f"\n  {name} " in listed
    records = ROOT / "experiments/studies/tables_nmnist"
    printed = tmkt(site, here, "table", "2", str(records))
    paper = yaml.safe_load((ROOT / "experiments/paper/tmkt.yaml").read_text())["tables"]
    numbers = [f"{row['accuracy']:.2f}" for row in paper["2"]["rows"]]
    assert len(numbers) > 4
    assert [number for number in numbers if number not in printed] == []
    assert "bash out/quickstart.sh" in tmkt(site, here, "scripts", "out")
    for script in (here / "out").iterdir():
        assert script.read_bytes() == (ROOT / "experiments" / script.name).read_bytes()
    assert os.access(here / "out/quickstart.sh", os.X_OK)


def test_an_editable_install_has_no_recipes_of_its_own(copy, tmp_path):
    run(sys.executable, "-c", BUILD.format("editable"), str(tmp_path), cwd=copy)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if "experiments" in name]
    assert not (copy / "braincog_tmkt" / "experiments").exists()


def test_a_build_leaves_out_what_an_earlier_one_had(copy, tmp_path):
    gone = [tmp_path / "braincog_tmkt" / name for name in ("models/gone.py", "experiments/digits/gone.yaml")]
    for path in gone:
        path.parent.mkdir(parents=True)
        path.touch()
    run(sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path), cwd=copy)
    assert not [path for path in gone if path.exists()]
    assert (tmp_path / "braincog_tmkt/experiments/digits/tmkt.yaml").is_file()
    run(sys.executable, "setup.py", "-q", "build_py", "--build-lib", ".", cwd=copy)
    assert (copy / "braincog_tmkt/__init__.py").is_file()


def test_scripts_replace_other_files_only_when_told(tmp_path):
    (first, *_) = written = write_scripts(tmp_path / "out")
    assert written == write_scripts(tmp_path / "out")
    first.write_text("mine")
    written[1].unlink()
    with pytest.raises(DataError, match=rf"has other files of these names: {first.name}: .*--overwrite"):
        write_scripts(tmp_path / "out")
    assert (first.read_text(), written[1].exists()) == ("mine", False)
    write_scripts(tmp_path / "out", overwrite=True)
    assert first.read_bytes() == (ROOT / "experiments" / first.name).read_bytes()
    assert written[1].exists()
    with pytest.raises(DataError, match="cannot be used for the scripts"):
        write_scripts(first)


def test_scripts_outside_of_a_checkout_need_a_tmkt_and_say_so(tmp_path):
    write_scripts(tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("dirname", "bash"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    command, env = ["bash", str(tmp_path / "quickstart.sh")], {"PATH": str(tmp_path / "bin")}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch("error: there is no tmkt on the PATH that runs: .*install the wheel with pip\n", done.stderr)
    assert not (tmp_path / ".venv").exists()


def test_the_scripts_of_hsd_draw_the_newest_hsd_beside_tet_of_its_seed(tmp_path):
    write_scripts(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tmkt").write_text('#!/usr/bin/env bash\necho "$*" >> told.txt\n')
    (tmp_path / "bin/tmkt").chmod(0o755)
    for age, (recipe, seed) in enumerate((("hsd", 1), ("tet_t5", 2), ("hsd", 42), ("tet_t5", 42), ("tet_t5", 1))):
        record = tmp_path / f"runs/hsd_smoke/table/cifar10dvs/{recipe}/0a/seed{seed}/record.json"
        record.parent.mkdir(parents=True)
        record.touch()
        os.utime(record, (age, age))
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "TIER": "smoke"}
    script = ["bash", str(tmp_path / "hsd_cifar10dvs.sh")]
    subprocess.run(script, cwd=tmp_path, env=env, check=True, capture_output=True)
    told = (tmp_path / "told.txt").read_text().splitlines()
    (pair,) = [line.split() for line in told if line.startswith("figure confusion")]
    assert pair[2:4] == [f"runs/hsd_smoke/table/cifar10dvs/{recipe}/0a/seed42" for recipe in ("tet_t5", "hsd")]
    assert told[-1].startswith("figure timesteps")


def test_the_constraints_pin_every_requirement_to_a_version_it_admits():
    def read(name):
        lines = (ROOT / name).read_text().splitlines()
        return {need.name: need.specifier for need in (Requirement(line) for line in lines if line[0] != "#")}

    pins, wanted = read("constraints.txt"), read("requirements.txt")
    assert set(wanted) <= set(pins)
    for name, specifier in wanted.items():
        (pin,) = pins[name]
        assert (pin.operator, specifier.contains(pin.version)) == ("==", True), name


def test_the_version_is_the_same_everywhere():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__


def test_what_the_commands_write_by_default_is_not_for_git():
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("not a git checkout")
    train = parse(["train", "digits/tmkt"])
    prepare = parse(["data", "prepare", "digits"])
    figure, report = parse(["figure", "epochs", "runs"]), parse(["report", "runs"])
    for path in (train.runs, prepare.root, DataConfig().cache, figure.out):
        run("git", "check-ignore", f"{path}/x", cwd=ROOT)
    run("git", "check-ignore", str(report.out), cwd=ROOT)
