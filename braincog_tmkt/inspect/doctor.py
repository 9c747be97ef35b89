"""What `tmkt doctor` tells: versions, devices, what is missing, what BrainCog does to timm, what stops its scripts.

It runs where packages are missing: nothing is imported at the top that pip had to install.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec

from .. import __version__
from ..engine.environment import versions
from ..terminal import painted, wrapped

PROJECT = "braincog_tmkt"
EXTRAS = {
    "figures": "`tmkt figure gradcam`",
    "formats": "ROS bags and compressed HDF5 recordings",
    "ray": "--launcher ray",
    "bench": "comparing with SpikingJelly in benchmarks/",
    "interop": "the examples for SpikingJelly and snnTorch",
    "docs": "the documentation's site",
    "dev": "the tests",
}
"""What `pip install 'braincog_tmkt[EXTRA]'` is for."""

SCRIPTS = "examples/Perception_and_Learning/img_cls"
"""Where BrainCog's repository has its scripts for image classification: bp/main.py, transfer_for_dvs/main.py, .."""

LOAD_ALL = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
"""Variable of PyTorch that lets `torch.load` run what is pickled in a file, as it did before 2.6."""

FITS_PYPI, NEWEST = "ad6cb2b", "3998fd5"
"""Commits of BrainCog: the one whose package is PyPI's braincog 0.2.7.19, file by file; the newest that was tried."""


def examine() -> bool:
    """Print the report; False if something is missing that every run needs."""
    for package, found in versions().items():
        print(f"{package:18} {found or '-'}")
    lacks = required()
    told: list[str] = []
    scripts: list[str] = []
    try:
        print(*devices(), sep="\n")
        told.extend(about_braincog())
        scripts.extend(against_brain_cogs_scripts())
    except (ImportError, OSError) as error:  # OSError: a library that PyTorch loads is not there
        lacks = lacks or [f"an import that works ({error}): install what it names once more"]
    print()
    _say(f"{painted('Missing:', 'red')} {line}" for line in lacks)
    _say(f"{painted('Optional:', 'bold')} {line}" for line in optional())
    if not lacks:
        _say(["Nothing is missing that every run needs.", *told])
        print()
        _say([f"What stops BrainCog's own scripts here ({SCRIPTS} in its repository):"])
        _say(f"- {line}" for line in scripts or ["nothing"])
    return not lacks


def _say(paragraphs: Iterable[str]) -> None:
    for text in paragraphs:
        print(wrapped(text, 2))


def required() -> list[str]:
    """A line for everything that is missing or too old, by the metadata of this package and of what it needs."""
    try:
        missing = _missing(distribution(PROJECT), "")
    except PackageNotFoundError:
        return [f"{PROJECT} (not installed, so nothing says what it requires): in its folder, pip install -e ."]
    return [f"{need} ({why}): pip install '{need}'" for need, why in missing.items()]


def optional() -> Iterator[str]:
    """Yield a line for everything that is not there and that only some commands, or the tests, want."""
    try:
        project = distribution(PROJECT)
    except PackageNotFoundError:
        return
    if project.version != __version__:
        yield (
            f"pip install -e . in the checkout: this is {PROJECT} {__version__}, and pip knows what {project.version}"
            " required"
        )
    named = _missing(project, "", deep=False)
    for extra, purpose in EXTRAS.items():
        missing = {need: why for need, why in _missing(project, extra, deep=False).items() if need not in named}
        named.update(missing)
        if missing:
            yield f"{', '.join(missing)}, for {purpose}: pip install '{PROJECT}[{extra}]'"
    if find_spec("playwright") and not shutil.which("chromium"):
        yield "chromium, for the tests that open the page of `tmkt report`: apt install chromium"
    tested = re.findall(r"Python :: (3\.\d+)", "\n".join(project.metadata.get_all("Classifier", [])))
    here = ".".join(platform.python_version_tuple()[:2])
    if tested and here not in tested:
        yield f"Python {', '.join(tested)}, where the tests ran: this is {here}, where they did not"


def _missing(project: Distribution, extra: str, deep: bool = True) -> dict[str, str]:
    """`name>=version` -> why it is not met; of a package with one of its extras, `deep`: and of all that these need."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return {"packaging": "not installed, and without it no version can be compared"}
    missing: dict[str, tuple[str, str]] = {}  # by name: many packages need one that is not there, the first is told
    to_do, seen = [(project, frozenset({extra}))], set()
    while to_do:
        owner, extras = to_do.pop()
        for need in map(Requirement, owner.requires or ()):
            if need.marker and not any(need.marker.evaluate({"extra": name}) for name in extras):
                continue
            wanted, needed = f"{need.name}{need.specifier}", f"{owner.metadata['Name']} needs it"
            try:
                found = distribution(need.name)
            except PackageNotFoundError:
                missing.setdefault(need.name.lower(), (wanted, f"not installed, {needed}"))
                continue
            if not need.specifier.contains(found.version, prereleases=True):
                missing.setdefault(need.name.lower(), (wanted, f"{found.version} is installed, {needed}"))
            branch = need.name, frozenset({"", *need.extras})
            if deep and branch not in seen:
                seen.add(branch)
                to_do.append((found, branch[1]))
    return dict(missing.values())


def devices() -> Iterator[str]:
    """Yield what PyTorch computes on, and what its kernels on a GPU lack."""
    import torch

    yield f"{'CPU threads':18} {torch.get_num_threads()}"
    count = torch.cuda.device_count()
    yield f"{'GPUs':18} {', '.join(torch.cuda.get_device_name(number) for number in range(count)) or 'none'}"
    if count and not (kernels := importlib.import_module(f"{PROJECT}.models.kernels")).has_triton():
        oldest = ".".join(map(str, kernels.TRITON))
        yield f"There is no Triton {oldest} or newer, so the neurons have no kernels on a GPU: install a newer PyTorch"
    elif count and not any(map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))):
        yield "There is no C compiler, which Triton wants for the kernels on a GPU: apt install gcc, or set CC"


def about_braincog() -> Iterator[str]:
    """Yield what the import of BrainCog changes elsewhere, and what had to be stood in for."""
    taken = replaced_by_braincog()
    yield (
        f"BrainCog replaces {len(taken)} of timm's models when it is imported: {', '.join(taken)}. Its own scripts rely"
        " on that, so they stay replaced. This project imports BrainCog when it builds its first network: to use timm's"
        " own version of these models, take a process that builds none."
    )
    for name, why in sys.modules[f"{PROJECT}.bridge"].STOOD_IN.items():
        yield f"BrainCog runs without {name} ({why}); only its own reader of AEDAT 4 files needs it."


def against_brain_cogs_scripts() -> Iterator[str]:
    """Yield what in this environment stops BrainCog's own scripts, which are not imported, and what to do about it.

    What they import and is not installed, `required` has found: BrainCog's package needs it, too.
    """
    from packaging.version import Version
    from torch.cuda import device_count

    have = {name: found or "0" for name, found in versions().items()}
    if Version(have["timm"]) >= Version("0.7"):
        yield f"all: timm {have['timm']} has no timm.models.convert_splitbn_model: pip install timm==0.6.13"
    for name in sys.modules[f"{PROJECT}.bridge"].STOOD_IN:
        yield f"all: {name} cannot be imported here: begin the script with `import {PROJECT}.bridge`"
    if not device_count():
        yield "all: they move the network to a CUDA device, and there is none (`tmkt train` needs none)"
    if Version(have["torch"]) >= Version("2.6") and os.environ.get(LOAD_ALL) != "1":
        yield (
            f"--resume, --eval_checkpoint: PyTorch {have['torch']} refuses their checkpoints, which keep the command's"
            f" arguments: export {LOAD_ALL}=1 if you trust the file"
        )
    if not find_spec("braincog.model_zoo.fc_snn"):
        yield (
            f"bp/main.py since July 2023: braincog {have['braincog']} has no braincog.model_zoo.fc_snn: take the"
            f" scripts of commit {FITS_PYPI}, or pip install 'git+https://github.com/BrainCog-X/Brain-Cog@{NEWEST}'"
        )


def replaced_by_braincog() -> list[str]:
    """Names that mean another model in timm's registry once BrainCog is imported; imports it."""
    from timm.models import list_models, model_entrypoint

    before = {name: model_entrypoint(name) for name in list_models()}
    importlib.import_module(f"{PROJECT}.bridge")
    return sorted(name for name, entry in before.items() if model_entrypoint(name) is not entry)
