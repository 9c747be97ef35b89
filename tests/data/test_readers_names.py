"""Columns whose names differ in case alone: one rule for every format, and no column that takes another's place."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from braincog_tmkt.data.readers import read_events
from braincog_tmkt.data.readers.arrays import read_events_npy
from braincog_tmkt.errors import DataError
from tests.data.corpus import random_events, write_h5

EVENTS = random_events(50, seed=4)
COLUMNS = {name: EVENTS[name].astype(np.int64) for name in "txyp"}
ZEROS = np.zeros(50, np.int64)
Columns = dict[str, np.ndarray]


def structured(columns: Columns) -> np.ndarray:
    whole = np.empty(50, [(name, np.int64) for name in columns])
    for name, column in columns.items():
        whole[name] = column
    return whole


def write_csv(path: Path, columns: Columns) -> None:
    np.savetxt(path, np.stack(list(columns.values()), 1), "%d", ",", header=",".join(columns), comments="")


def write_pickled(path: Path, columns: Columns) -> None:
    np.save(path, np.array(columns, dtype=object), allow_pickle=True)


WRITERS: dict[str, Callable[[Path, Columns], Any]] = {
    ".npz": lambda path, columns: np.savez(path, **columns),
    "structure.npz": lambda path, columns: np.savez(path, events=structured(columns)),
    ".npy": lambda path, columns: np.save(path, structured(columns)),
    "pickled.npy": write_pickled,
    ".mat": lambda path, columns: savemat(path, columns),
    "structure.mat": lambda path, columns: savemat(path, {"events": columns}),
    ".h5": write_h5,
    ".csv": write_csv,
}
"""Every format whose columns have names."""


@pytest.fixture(params=WRITERS)
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Columns], np.ndarray]:
    def written_and_read(columns: Columns) -> np.ndarray:
        path = tmp_path / f"made{request.param}"
        WRITERS[request.param](path, columns)
        return read_events_npy(path, None) if request.param == "pickled.npy" else read_events(path, None)

    return written_and_read


def test_the_name_in_lower_case_counts_wherever_the_other_stands(read: Callable[[Columns], np.ndarray]) -> None:
    for columns in (
        {**COLUMNS, "X": ZEROS, "Y": ZEROS},
        {"Y": ZEROS, "X": ZEROS, **COLUMNS},
        {"T": ZEROS, "TS": ZEROS, "P": ZEROS, "Pol": ZEROS, **COLUMNS},
    ):
        np.testing.assert_array_equal(read(columns), EVENTS)


def test_what_is_not_certain_is_listed(read: Callable[[Columns], np.ndarray]) -> None:
    lower = {name: column for name, column in COLUMNS.items() if name != "y"}
    with pytest.raises(DataError, match=r"made.* has columns (x, X|X, x), Y, so it is not certain.*keep one of each"):
        read({**lower, "X": ZEROS, "Y": COLUMNS["y"]})
    without = {name: column for name, column in COLUMNS.items() if name != "t"}
    with pytest.raises(DataError, match=r"made.* has columns (Ts, TS|TS, Ts), so it is not certain"):
        read({**without, "Ts": COLUMNS["t"], "TS": ZEROS})


@pytest.mark.parametrize("write", [savemat, lambda path, columns: np.savez(path, **columns), write_h5])
def test_a_scalar_in_capitals_is_no_column(tmp_path: Path, write: Callable) -> None:
    path = tmp_path / {"savemat": "a.mat", "write_h5": "a.h5"}.get(write.__name__, "a.npz")
    write(path, {**COLUMNS, "T": np.array(0.3)})
    np.testing.assert_array_equal(read_events(path, None), EVENTS)


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    def saved(array: np.ndarray) -> bytes:
        out = io.BytesIO()
        np.save(out, array)
        return out.getvalue()

    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name, column in [*COLUMNS.items(), ("extra", ZEROS)]:
            archive.writestr(f"{name}.npy", saved(column))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.npy", saved(ZEROS))
    with pytest.raises(DataError, match=r"a\.npz.*two arrays x"):
        read_events(tmp_path / "a.npz", None)
    savemat(tmp_path / "a.mat", COLUMNS)
    once, twice = io.BytesIO(), (tmp_path / "a.mat").read_bytes()
    savemat(once, {"x": ZEROS})
    (tmp_path / "a.mat").write_bytes(twice + once.getvalue()[128:])
    with pytest.raises(DataError, match=r"a\.mat.*two variables x"):
        read_events(tmp_path / "a.mat", None)
    rows = np.stack([*COLUMNS.values(), ZEROS], 1)
    np.savetxt(tmp_path / "a.csv", rows, "%d", ",", header="t,x,y,p,x", comments="")
    with pytest.raises(DataError, match=r"a\.csv has columns x, x, so it is not certain"):
        read_events(tmp_path / "a.csv", None)
    np.savetxt(tmp_path / "a.csv", rows[:, [0, 1, 2, 3, 4, 4]], "%d", ",", header="t,x,y,p,more,more", comments="")
    np.testing.assert_array_equal(read_events(tmp_path / "a.csv", None), EVENTS)
