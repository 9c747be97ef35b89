"""Run by `hdf5.py` in a process of its own, because the HDF5 library can crash on damaged files.

Arguments: the file, and limits as JSON. Writes the four columns to standard output, in the format of `np.save`.
"""

import json
import sys
from typing import Any

import h5py
import numpy as np


def bound_memory(unpacked: int) -> None:
    """Let this process allocate little more than the file may unpack to, and leave no core, where the system can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (2**28 + 2 * unpacked, 2**28 + 2 * unpacked))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass


def find_column(group: h5py.Group, names: list[str], limits: dict[str, Any]) -> np.ndarray | None:
    """The data set with the first of the names that is there, if it lies in this file; its size comes off the limit."""
    labels = {label.lower(): label for label in group if isinstance(group.get(label, getlink=True), h5py.HardLink)}
    name = next((name for name in names if name in labels), None)
    if name is None:
        return None
    data = group[labels[name]]
    if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual or data.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds no numbers of its own")
    limits["bytes"] -= data.size * data.dtype.itemsize
    if limits["bytes"] < 0:
        raise ValueError("it unpacks to more than events can")
    return data[...]


def main(path: str, limits: dict[str, Any]) -> None:
    """Write the columns, or fail with the reason in the last line of the standard error."""
    bound_memory(limits["bytes"])
    with h5py.File(path, "r") as file:
        groups = [file]
        if isinstance(file.get("events", getlink=True), h5py.HardLink) and isinstance(file["events"], h5py.Group):
            groups.append(file["events"])
        for group in groups:
            found = [find_column(group, names, limits) for names in limits["names"].values()]
            columns = [column for column in found if column is not None]
            if len(columns) == len(found):
                for column in columns:
                    np.save(sys.stdout.buffer, column)
                return
    raise ValueError("it has no data sets t, x, y and p, at its root or in its group events")


if __name__ == "__main__":
    try:
        main(sys.argv[1], json.loads(sys.argv[2]))
    except Exception as error:
        sys.exit(" ".join(str(error).split()))
