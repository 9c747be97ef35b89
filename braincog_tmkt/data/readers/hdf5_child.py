"""Run by `hdf5.py` in a process of its own (see `apart.py`), because the HDF5 library can crash on damaged files."""

import importlib
import runpy
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import h5py
import numpy as np

MOST = 10_000
"""The most groups and data sets that are looked at."""
ROOT = "/"
"""What `names.ROOT` is."""
ECF = 0x8ECF
"""The filter of Prophesee's own files."""


class Refusal(Exception):
    """The file is whole, but cannot be used; the message follows its name."""


def places_in(file: h5py.File) -> Iterator[tuple[str, Any, list[str]]]:
    """Path, object and labels of each group and data set, `/` for the file itself: its data sets, or its fields.

    Links into other files lead nowhere, and MATLAB's own groups, whose names start with a #, are left out.
    """
    waiting: list[tuple[str, Any]] = [("", file)]
    seen = {address_of(file)}
    for path, group in waiting:
        links = [label for label in group if isinstance(group.get(label, getlink=True), h5py.HardLink)]
        members = {label: group[label] for label in links if not label.startswith("#")}
        arrays = {label: member for label, member in members.items() if isinstance(member, h5py.Dataset)}
        yield path or ROOT, group, [called(label, data) for label, data in arrays.items()]
        for label, data in arrays.items():
            yield f"{path}/{label}".lstrip("/"), data, list(data.dtype.names or ())
        for label, member in members.items():
            if isinstance(member, h5py.Group) and address_of(member) not in seen:
                seen.add(address_of(member))
                waiting.append((f"{path}/{label}".lstrip("/"), member))
        if len(waiting) + len(arrays) > MOST:
            raise Refusal(f"has more than {MOST} groups or data sets: take the events out into a file of their own")


def called(label: str, data: h5py.Dataset) -> str:
    """The name of a data set, and its shape if it is no column."""
    shape = data.shape or ()
    return f"{label} {list(shape)}" if len(shape) > 1 and min(shape) > 1 else label


def address_of(group: h5py.Group) -> int:
    """Where in the file a group lies; a file may have it under several names, even in itself."""
    return int(h5py.h5o.get_info(group.id).addr)


def find_events(file: h5py.File, names: dict[str, Any], ask: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    """The group, data set with fields, or matrix that has the events, and the labels of its columns, none of a matrix.

    Every group with columns t, x, y and p, every data set with such fields and every matrix `[N, 4]` or `[4, N]` may be
    it: the only one is, or the one whose name says so (`names.one_of`).
    """
    said = {letter: label for letter, label in ask["columns"].items() if isinstance(label, str)}
    found: dict[str, tuple[Any, list[str]]] = {}
    seen: list[str] = []
    for path, thing, labels in places_in(file):
        matrix = isinstance(thing, h5py.Dataset) and names["is_matrix"](path, thing, ask["columns"])
        if matrix or names["has_all"](labels, said):
            found[path] = thing, labels
        seen += labels
    if not found:
        raise Refusal(told(names["missing"], seen, said))
    wanted = (ask["group"] or "").strip("/")
    below = [path for path in found if wanted and f"{path}/".startswith(f"{wanted}/")]
    place, labels = found[told(names["one_of"], below or found, None if below else ask["group"])]
    return place, told(names["choose"], labels, ask["columns"]) if labels else {}


def told(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of `names.py` returns; a Refusal where it is not certain."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise Refusal(str(error)) from error


def read_numbers(data: Any, label: str, ask: dict[str, Any], fields: list[str] | None = None) -> Any:
    """The numbers of a data set, or of some of its fields; their size comes off the limit."""
    kinds = [data.dtype[field].kind for field in fields] if fields else [data.dtype.kind]
    if data.external or data.is_virtual or any(kind not in "biuf" for kind in kinds):
        raise ValueError(f"{label} holds no numbers of its own")
    ask["bytes"] -= data.size * data.dtype.itemsize
    if ask["bytes"] < 0:
        raise ValueError("it unpacks to more than events can")
    need_filters(data)
    return data.fields(fields)[...] if fields else data[...]


def need_filters(data: h5py.Dataset) -> None:
    """Load what unpacks the data set: HDF5 itself has few filters, the package hdf5plugin many more."""
    settings = data.id.get_create_plist()
    filters = [settings.get_filter(number) for number in range(settings.get_nfilters())]
    for code, _, _, name in filters:
        advice = "install it with: pip install 'braincog_tmkt[formats]' (the package hdf5plugin)"
        if code != ECF and not h5py.h5z.filter_avail(code):
            with suppress(ImportError, OSError):
                importlib.import_module("hdf5plugin")
                advice = "which hdf5plugin does not have either; unpack it with: h5repack -f NONE OLD NEW"
        if not h5py.h5z.filter_avail(code):
            called = name.decode(errors="replace").split(";")[0] or "of no name"
            if code == ECF:
                advice = (
                    "it is Prophesee's; install their hdf5_ecf and set HDF5_PLUGIN_PATH to its folder, or export the"
                    " recording as .raw or .csv with Metavision"
                )
            raise Refusal(f"is compressed with the HDF5 filter {called} (number {code}), which is missing: {advice}")


def main(path: str, ask: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """What the file has: a description, and the arrays that it describes."""
    with h5py.File(path, "r") as file:
        place, labels = find_events(file, loaded(ask["names"]), ask)
        if not labels:
            arrays = [read_numbers(place, place.name, ask)]
        elif isinstance(place, h5py.Dataset):
            rows = read_numbers(place, place.name, ask, list(labels.values()))
            arrays = [rows[label] for label in labels.values()]
        else:
            arrays = [read_numbers(place[label], label, ask) for label in labels.values()]
        offset = 0
        if place.name == "/events" and all(
            isinstance(file.get(name, getlink=True), h5py.HardLink) for name in ("ms_to_idx", "t_offset")
        ):  # DSEC
            offset = int(read_numbers(file["t_offset"], "t_offset", ask))
    described = [(array.dtype.str, array.shape) for array in arrays]
    said = {"labels": labels, "arrays": described, "offset": offset}
    return said, [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays]


@cache
def loaded(path: str) -> dict[str, Any]:
    """The functions of `names.py`, without the package around it."""
    return runpy.run_path(path)
