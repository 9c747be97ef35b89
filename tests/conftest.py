"""What every test may rest on: one thread, fixed seeds, a folder and a home of its own, the same environment."""

import atexit
import gc
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

# Before torch, matplotlib and triton are imported; what tests start inherits it, and so do the workers of pytest-xdist.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
os.environ |= {"COLUMNS": "100", "LINES": "40", "LC_ALL": "C.UTF-8", "MPLBACKEND": "agg"}
for name in [*os.environ]:
    if name.startswith(("SLURM_", "RAY_", "XDG_")) or name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        del os.environ[name]
if "TMKT_TEST_HOME" not in os.environ:
    home = tempfile.mkdtemp(prefix="tmkt-home-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ.setdefault("PYTHONUSERBASE", str(Path.home() / ".local"))
    os.environ["MPLCONFIGDIR"] = f"{home}/matplotlib"  # else every test with a HOME of its own lists all fonts again
    os.environ |= {"HOME": home, "TMKT_TEST_HOME": home, "HYPOTHESIS_STORAGE_DIRECTORY": f"{home}/hypothesis"}
os.umask(0o022)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script; children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
TOOLS = {".git", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache", "__pycache__", "build", "dist"}
"""What others write into the checkout."""

LONGEST = ("test_every_recipe.py", "test_sweep.py", "test_kill.py", "test_processes.py", "test_cli_results.py")
"""Go first, so that two workers end together."""

QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("default", max_examples=40, derandomize=True, **QUIET)
settings.register_profile("thorough", max_examples=1000, print_blob=True, **QUIET)
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "slow" and not config.getoption("--hypothesis-profile"):
        settings.load_profile("thorough")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`-m slow` also runs every property, on more and on new examples."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    if config.option.markexpr == "slow":
        for item in items:
            if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
                item.add_marker("slow")


def pytest_collection_finish(session: pytest.Session) -> None:
    """The server of `tests/children.py` imports what it needs while the first tests run.

    What was imported until here stays; every run collects garbage first, and need not look through that.
    """
    gc.collect()
    gc.freeze()
    if "tests.children" in sys.modules and not session.config.option.collectonly:
        forkserver.ensure_running()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real samples; tests that use it skip where it is not (mark them `data`)."""
    folder = Path(os.environ.get("TMKT_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: {folder} is not there (set TMKT_SHARED)")
    return folder


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Random numbers that nobody seeded do not depend on the tests that ran before."""
    import torch  # not above: the process that hands out the tests does without

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test writes to the current folder goes to a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True, scope="session")
def checkout_stays_as_it_is() -> Iterator[None]:
    """No test leaves a file in the checkout."""
    before = files()
    yield
    left = sorted(files() - before)
    assert not left, f"the tests, or something beside them, left {left[:5]}"


def files() -> set[str]:
    """All files of the checkout that are not a tool's."""
    found = set()
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name not in TOOLS and not name.endswith(".egg-info")]
        found.update(os.path.join(folder, name) for name in names)
    return found
