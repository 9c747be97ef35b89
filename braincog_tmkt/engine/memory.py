"""Memory: how much a run took at most, what the process keeps of it, and how much of the device the frames may have."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import re
import resource
import sys
from pathlib import Path

import torch
from torch import nn

from ..errors import RecipeError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Have the process keep freed memory for its next tensors (glibc only; does nothing elsewhere).

    By default glibc gives every large tensor back to the system when it is freed, and the system hands out and clears
    the next one page by page, which costs more than filling it.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


def reset_peak_memory(device: torch.device) -> None:
    """Let `peak_memory` count from here: what earlier runs of this process freed is given back first."""
    gc.collect()
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)
    with contextlib.suppress(OSError):  # not Linux: the peak stays that of the whole process
        Path("/proc/self/clear_refs").write_text("5")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> dict[str, float]:
    """Peak memory since `reset_peak_memory` of this process, and of its tensors on a GPU, in MiB."""
    peak = {"host_mib": round(_host_peak(), 1)}
    if device.type == "cuda":
        peak["device_mib"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return peak


def frames_budget(device: torch.device) -> int:
    """Bytes that the frames of a data set may take: a third of what is free on a GPU; none on the CPU, where they stay
    in their memory maps.
    """
    if device.type != "cuda":
        return 0
    gc.collect()
    torch.cuda.empty_cache()  # what a run before this one freed is free
    return torch.cuda.mem_get_info(device)[0] // 3


def require_memory(network: nn.Module) -> None:
    """Refuse a network whose weights, with their gradients and an optimiser's two moments, this machine cannot hold.

    Args:
        network: may lie on torch's `meta` device, where its weights take no memory.

    Raises:
        RecipeError: naming the bytes.
    """
    weights = sum(value.numel() for value in network.parameters())
    needed, there = 4 * 4 * weights, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise RecipeError(
            f"a network of {weights:,} weights takes {needed / 2**30:,.0f} GiB to train, but this machine has"
            f" {there / 2**30:,.0f} GiB: take a smaller model.width"
        )


def _host_peak() -> float:
    """Resident memory of this process at its peak, in MiB."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, the others KiB


def _glibc() -> ctypes.CDLL | None:
    """The C library if it is glibc."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "gnu_get_libc_version") else None
