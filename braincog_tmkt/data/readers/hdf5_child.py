"""Run by `hdf5.py` in a process of its own, because the HDF5 library can crash on damaged files.

Arguments: the file, and limits as JSON. Writes the four columns to standard output, in the format of `np.save`.
"""

import importlib
import json
import runpy
import sys
from typing import Any

import h5py
import numpy as np

WHOLE = 3


class Refusal(Exception):
    """The file is whole, but cannot be used; the message follows its name."""


def bound_memory(unpacked: int) -> None:
    """Let this process allocate little more than the file may unpack to, and leave no core, where the system can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (2**28 + 2 * unpacked, 2**28 + 2 * unpacked))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass


def choose_columns(group: h5py.Group, limits: dict[str, Any]) -> dict[str, str] | None:
    """The labels of the four columns among the data sets that lie in this file, by the rule for all formats."""
    labels = [label for label in group if isinstance(group.get(label, getlink=True), h5py.HardLink)]
    try:
        chosen: dict[str, str] | None = runpy.run_path(limits["names"])["choose"](labels)
    except ValueError as error:
        raise Refusal(str(error)) from error
    return chosen


def read_column(data: Any, label: str, limits: dict[str, Any]) -> np.ndarray:
    """The numbers of a data set; its size comes off the limit."""
    if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual or data.dtype.kind not in "biuf":
        raise ValueError(f"{label} holds no numbers of its own")
    limits["bytes"] -= data.size * data.dtype.itemsize
    if limits["bytes"] < 0:
        raise ValueError("it unpacks to more than events can")
    need_filters(data)
    return data[...]


def need_filters(data: h5py.Dataset) -> None:
    """Load what unpacks the data set: HDF5 itself has few filters, the package hdf5plugin many more."""
    settings = data.id.get_create_plist()
    filters = [settings.get_filter(number) for number in range(settings.get_nfilters())]
    for code, _, _, name in filters:
        advice = "install it with: pip install hdf5plugin"
        if not h5py.h5z.filter_avail(code):
            try:
                importlib.import_module("hdf5plugin")
                advice = "which hdf5plugin does not have either; unpack it with: h5repack -f NONE OLD NEW"
            except (ImportError, OSError):
                pass
        if not h5py.h5z.filter_avail(code):
            called = name.decode(errors="replace").split(";")[0] or "of no name"
            raise Refusal(f"is compressed with the HDF5 filter {called} (number {code}), which is missing: {advice}")


def main(path: str, limits: dict[str, Any]) -> None:
    """Write the columns, or fail with the reason in the last line of the standard error."""
    bound_memory(limits["bytes"])
    with h5py.File(path, "r") as file:
        groups = [file]
        if isinstance(file.get("events", getlink=True), h5py.HardLink) and isinstance(file["events"], h5py.Group):
            groups.append(file["events"])
        for group in groups:
            if chosen := choose_columns(group, limits):
                for column in [read_column(group[label], label, limits) for label in chosen.values()]:
                    np.save(sys.stdout.buffer, column)
                return
    raise Refusal("has no data sets t, x, y and p, at its root or in its group events: rename them")


if __name__ == "__main__":
    try:
        main(sys.argv[1], json.loads(sys.argv[2]))
    except Exception as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(WHOLE if isinstance(error, Refusal) else 1)
