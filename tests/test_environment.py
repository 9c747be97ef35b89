"""What the project asks of a machine: Pythons, packages, BrainCog's imports; what is said where they are missing."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timm

from braincog_tmkt import __version__, bridge
from braincog_tmkt.errors import PackageError
from braincog_tmkt.inspect import doctor

ROOT = Path(__file__).resolve().parents[1]
ENV = (ROOT / "experiments" / "env.sh").read_text()
TESTED = re.findall(r"3\.\d+", re.search(r'^TESTED="(.*)"', ENV, re.MULTILINE)[1])
IN_TIMM_0_6_13 = {
    *(("timm.models", name) for name in ("is_model", "list_models", "model_entrypoint", "register_model")),
    ("timm.optim", "create_optimizer_v2"),
    *(("timm.scheduler", name) for name in ("CosineLRScheduler", "MultiStepLRScheduler", "StepLRScheduler")),
    ("timm.scheduler.scheduler", "Scheduler"),
}
"""What may be imported of timm; before adding a name, look it up in release 0.6.13."""

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name in {names!r}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)
sys.meta_path.insert(0, Block())
"""


def child(names, code, *options):
    """Run code in a process in which some modules do not exist."""
    quiet = ["-W", "ignore::FutureWarning"]  # timm 0.6 uses torch.jit.script, which new PyTorch warns of
    command = [sys.executable, *quiet, *options, "-c", BLOCK.format(names=names) + code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# BrainCog's imports


def test_brain_cog_works_without_imp_and_the_doctor_says_what_was_stood_in_for():
    """Since Python 3.12 there is no `imp`, which dv 1.0.12 imports."""
    code = """
from braincog_tmkt.cli import main
assert main(["doctor"]) == 0
assert not [name for name in sys.modules if name.partition(".")[0] == "dv"]
try:
    import dv
except ModuleNotFoundError as error:
    assert error.name == "imp", error
else:
    raise AssertionError("dv was imported without imp")
import braincog.datasets.NOmniglot.utils as theirs
try:
    theirs.AedatFile("recording.aedat4")
except ImportError as error:
    assert "dv cannot be imported here (ModuleNotFoundError: No module named 'imp')" in str(error), error
else:
    raise AssertionError("the stand-in opened a file")
"""
    done = child(["imp"], code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "braincog           0.2.7.19" in done.stdout
    assert "resnet18, resnet34, resnet50" in done.stdout
    assert "BrainCog runs without dv (ModuleNotFoundError: No module named 'imp')" in done.stdout
    assert "\n- all: dv cannot be imported here: begin the script with `import braincog_tmkt.bridge`" in done.stdout


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """A module that BrainCog is said to want for its readers; write it, then import."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(bridge, "OF_ITS_READERS", {"made_up_reader": "File"})
    monkeypatch.setattr(bridge, "STOOD_IN", {})
    package = tmp_path / "made_up_reader"
    package.mkdir()
    (package / "part.py").write_text("")
    yield package / "__init__.py"
    for name in [name for name in sys.modules if name.startswith("made_up_reader")]:
        del sys.modules[name]


def test_a_reader_that_can_be_imported_is_left_alone(made_up):
    made_up.write_text("from . import part\nFile = 'the real one'\n")
    with bridge.stand_ins():
        inside = importlib.import_module("made_up_reader")
    assert inside.File == "the real one"
    assert sys.modules["made_up_reader"] is inside
    assert "made_up_reader.part" in sys.modules
    assert bridge.STOOD_IN == {}


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("import no_such_module", ModuleNotFoundError, "No module named 'no_such_module'"),
        ("raise AttributeError('no ABC in collections')", AttributeError, "no ABC in collections"),
        ("print 'Python 2'", SyntaxError, "Missing parentheses"),
    ],
)
def test_a_reader_that_fails_is_stood_in_for_and_leaves_nothing(made_up, text, error, words):
    made_up.write_text(f"from . import part\n{text}\n")
    with bridge.stand_ins():
        from made_up_reader import File
    assert bridge.STOOD_IN["made_up_reader"].startswith(f"{error.__name__}: {words}")
    assert not [name for name in sys.modules if name.startswith("made_up_reader")]
    with pytest.raises(PackageError, match=r"wants made_up_reader.File.*cannot be imported here"):
        File("recording")
    with pytest.raises(error, match=words):
        importlib.import_module("made_up_reader")


def test_another_module_of_a_readers_name_is_there_again_afterwards(made_up):
    made_up.write_text("Own = 1\n")
    own = importlib.import_module("made_up_reader")
    with bridge.stand_ins():
        assert importlib.import_module("made_up_reader").File is not None
    assert importlib.import_module("made_up_reader") is own


# packages


def test_missing_packages_are_one_sentence_and_the_doctor_runs():
    code = "from braincog_tmkt.cli import main\nassert main(['doctor']) == 1\nsys.exit(main(['list']))"
    done = child(["torch", "yaml", "omegaconf", "packaging"], code)
    assert done.returncode == 2
    assert "Missing: packaging (not installed" in done.stdout
    assert (
        done.stderr
        == "error: No module named 'yaml': run `tmkt doctor`, which shows what is missing here and how to install it\n"
    )


def test_a_package_that_is_there_and_cannot_be_imported_is_found():
    code = "from braincog_tmkt.cli import main\nassert main(['doctor']) == 1\nfrom braincog_tmkt import tmkt_scnn"
    done = child(["torch"], code)
    assert "Missing: an import that works (No module named 'torch')" in done.stdout
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'torch'"


def test_brain_cog_that_cannot_be_imported_is_one_sentence():
    done = child(["braincog", "timm"], "import braincog_tmkt.bridge")  # without timm it takes half the time
    assert done.stderr.splitlines()[-1] == (
        "braincog_tmkt.errors.PackageError: BrainCog cannot be imported (ModuleNotFoundError: No module named"
        " 'braincog'): run `tmkt doctor`, which shows what is missing here and how to install it"
    )


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Write the metadata of a made-up package, before all others."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, version, *requires):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *requires]
        (folder / "METADATA").write_text("\n".join(lines))

    return write


def test_the_doctor_finds_what_is_missing_or_too_old(installed):
    installed(
        "braincog_tmkt",
        "0.1",
        "Classifier: Programming Language :: Python :: 3.2",
        "Requires-Dist: made_up_there>=2",
        "Requires-Dist: made_up_old>=2",
        "Requires-Dist: made_up_gone==0.2; python_version >= '3'",
        "Requires-Dist: made_up_elsewhere; python_version < '3'",
        "Requires-Dist: made_up_ray>=2.9; extra == 'ray'",
        "Requires-Dist: made_up_test; extra == 'dev'",
        "Requires-Dist: made_up_ray>=2.9; extra == 'dev'",
    )
    below = "Requires-Dist: made_up_below", "Requires-Dist: made_up_gone>0.1", "Requires-Dist: x; extra == 'y'"
    installed("made_up_there", "2.14+cu130", *below)
    installed("made_up_old", "1.9", "Requires-Dist: made_up_old")
    assert sorted(doctor.required()) == [
        "made_up_below (not installed, made_up_there needs it): pip install 'made_up_below'",
        "made_up_gone==0.2 (not installed, braincog_tmkt needs it): pip install 'made_up_gone==0.2'",
        "made_up_old>=2 (1.9 is installed, braincog_tmkt needs it): pip install 'made_up_old>=2'",
    ]
    lines = list(doctor.optional())
    assert "made_up_ray>=2.9, for --launcher ray: pip install 'braincog_tmkt[ray]'" in lines
    assert "made_up_test, for the tests: pip install 'braincog_tmkt[dev]'" in lines
    assert any(line.startswith("Python 3.2, where the tests ran: this is 3.") for line in lines)
    stale = f"pip install -e . in the checkout: this is braincog_tmkt {__version__}, and pip knows what 0.1 required"
    assert stale in lines


def test_a_command_whose_extra_is_missing_says_so_first(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    monkeypatch.delitem(sys.modules, "braincog_tmkt.figures.gradcam", raising=False)
    with pytest.raises(PackageError, match=r"gradcam needs .*: pip install 'braincog_tmkt\[figures\]'$"):
        importlib.import_module("braincog_tmkt.figures.gradcam")


# BrainCog's scripts


@pytest.fixture
def said(installed, monkeypatch):
    """What stops BrainCog's scripts, on a GPU and Python 3.11 if nothing else is asked for."""

    def examine(timm="0.6.13", torch="2.5.1", modules=("fc_snn",), gpus=1, stood_in=(), variable=""):
        installed("timm", timm)
        installed("torch", torch)
        monkeypatch.setattr(doctor, "find_spec", lambda name: name.rpartition(".")[2] in modules or None)
        monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
        monkeypatch.setattr(bridge, "STOOD_IN", dict.fromkeys(stood_in, "why"))
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", variable)
        return list(doctor.against_brain_cogs_scripts())

    return examine


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, None),
        ({"torch": "2.14.1+cu130", "variable": "1"}, None),
        (
            {"torch": "2.14.1+cu130"},
            "--resume, --eval_checkpoint: PyTorch 2.14.1.cu130 refuses .*_NO_WEIGHTS_ONLY_LOAD=1 ",
        ),
        ({"timm": "0.9.16"}, r"all: timm 0.9.16 has no timm\.models\.convert_splitbn_model: pip install timm==0.6.13$"),
        ({"timm": "1.0.31"}, "all: timm 1.0.31 has no .*"),
        ({"gpus": 0}, "all: they move the network to a CUDA device, and there is none"),
        ({"stood_in": ["dv"]}, "all: dv cannot be imported here: begin the script with `import braincog_tmkt.bridge`"),
        ({"modules": []}, "bp/main.py since July 2023: braincog .* commit ad6cb2b, or pip install 'git.*@3998fd5'$"),
    ],
)
def test_the_doctor_says_what_stops_brain_cogs_scripts_and_what_to_do(said, facts, told):
    lines = said(**facts)
    assert len(lines) == (told is not None)
    assert not told or re.match(told, lines[0]), lines


def test_the_doctor_is_right_about_the_timm_that_is_here():
    told = [line for line in doctor.against_brain_cogs_scripts() if "convert_splitbn_model" in line]
    assert bool(told) != hasattr(timm.models, "convert_splitbn_model")


def test_all_that_is_imported_of_timm_is_in_the_oldest_one_that_requirements_admit():
    assert "timm>=0.6.13\n" in (ROOT / "requirements.txt").read_text()
    nodes = (node for path in (ROOT / "braincog_tmkt").rglob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    found = [node for node in nodes if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("timm.")]
    assert found
    assert {(node.module, alias.name) for node in found for alias in node.names} <= IN_TIMM_0_6_13


# Pythons


@pytest.mark.parametrize("version", TESTED)
def test_the_sources_compile_without_a_warning_on_every_python_that_is_found(version, tmp_path):
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    here = sys.executable if version == f"3.{sys.version_info.minor}" else None
    found = [here, shutil.which(f"python{version}"), *map(str, pyenv.glob(f"{version}.*/bin/python"))]
    for python in filter(None, found):
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
            continue  # one of pyenv's shims, for another version
        command = [python, "-W", "error", "-X", f"pycache_prefix={tmp_path}", "-m", "compileall", "-q"]
        done = subprocess.run(
            [*command, "braincog_tmkt", "tests"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        return
    pytest.skip(f"no Python {version} on the PATH or among pyenv's")


def test_the_versions_are_the_same_everywhere():
    setup = (ROOT / "setup.py").read_text()
    minors = sorted(version.partition(".")[2] for version in TESTED)
    assert re.search(r"for minor in \((.*?)\)", setup)[1].split(", ") == minors
    assert f'python_requires=">=3.{minors[0]}"' in setup


def env_sh(function, folder, env):
    """Run a function of `env.sh` from a checkout that has nothing else."""
    (folder / "experiments").mkdir(exist_ok=True)
    shutil.copy(ROOT / "experiments" / "env.sh", folder / "experiments")
    command = ["bash", "-c", f"source experiments/env.sh; {function}"]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def a_python(folder, name, version):
    """A program that answers as Python does when `env.sh` asks for its version."""
    major, minor = version.split(".")
    old = int((int(major), int(minor)) < (3, 11))
    path = folder / name
    path.write_text(f'#!/bin/sh\ncase "$2" in *exit*) exit {old};; esac\necho {version}\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("there", "asked", "found", "words"),
    [
        ({"python3": "3.14", "python3.11": "3.11", "python3.12": "3.12"}, None, "python3.12", ""),
        ({"python3": "3.14", "python3.13": "3.13", "python3.12": "3.12"}, None, "python3.13", ""),
        ({"python3": "3.12"}, None, "python3", ""),
        ({"python3": "3.14"}, None, "", "error: no Python 3.13 3.12 3.11 on the PATH (python3 is 3.14); install one"),
        ({}, None, "", "error: no Python 3.13 3.12 3.11 on the PATH; install one"),
        ({"python3": "3.11", "mine": "3.14"}, "mine", "mine", "note: Python 3.14 was never tested"),
        ({"python3": "3.11", "mine": "3.10"}, "mine", "", "error: PYTHON=mine is Python 3.10, too old"),
        ({"python3": "3.11"}, "nowhere", "", "error: PYTHON=nowhere does not run"),
        ({"python3.13": "3.13", "mine": "3.11"}, "mine", "mine", ""),
    ],
)
def test_the_set_up_takes_a_tested_python(there, asked, found, words, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dirname", "bash"):
        (programs / name).symlink_to(shutil.which(name))
    for name, version in there.items():
        a_python(programs, name, version)
    env = {"PATH": str(programs)} | ({"PYTHON": asked} if asked else {})
    done = env_sh("find_python", tmp_path, env)
    assert done.stdout.strip() == found
    assert (done.returncode == 0) == bool(found)
    assert done.stderr.startswith(words) if words else done.stderr == ""


def test_an_environment_of_another_python_is_not_taken_in_silence(tmp_path):
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    a_python(tmp_path / ".venv" / "bin", "python", "3.11")
    for version, status in (("3.11", 0), ("3.13", 1)):
        env = {**os.environ, "PYTHON": a_python(tmp_path, "mine", version)}
        done = env_sh("make_environment", tmp_path, env)
        assert done.returncode == status, done.stderr
    assert done.stderr.startswith("error: .venv has Python 3.11, PYTHON=")
