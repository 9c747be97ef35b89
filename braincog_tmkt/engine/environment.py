"""What a record says about the machine and the software."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PACKAGES = ("torch", "torchvision", "timm", "braincog", "tonic", "numpy", "lightning-fabric")


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that make the numbers, and the commit of this project.

    This project's is that of the code that runs; the metadata of an editable install may be older.
    """
    found: dict[str, str | None] = {"python": platform.python_version(), "braincog_tmkt": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return {**found, "commit": commit()}


def commit() -> str | None:
    """The git commit of the working copy this package lies in, `-dirty` if files were changed; None outside of one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def machine(fabric: Fabric) -> dict[str, Any]:
    """Device, number of processes and threads."""
    import torch

    device = fabric.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": device.type,
        "device_name": name,
        "world_size": fabric.world_size,
        "threads": torch.get_num_threads(),
    }


def now() -> str:
    """The time, UTC, to the second, as in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
