"""What every recording must fulfil, whatever its format."""

from pathlib import Path

import numpy as np

from ...errors import DataError


def check_events(events: np.ndarray, path: str | Path, sensor: tuple[int, int]) -> None:
    """Raise a `DataError` that names `path` if the events cannot be those of a recording with this sensor."""
    if not events.size:
        raise DataError(f"{path} holds no events: download or copy the recording again")
    x, y = int(events["x"].max()), int(events["y"].max())
    if x >= sensor[0] or y >= sensor[1]:
        raise DataError(
            f"{path} has events at x up to {x} and y up to {y}, beyond the {sensor[0]}x{sensor[1]} sensor:"
            " it is corrupt or of another data set; download or copy the recording again"
        )
    backwards = np.flatnonzero(np.diff(events["t"]) < 0)
    if backwards.size:
        raise DataError(
            f"{path} goes back in time after event {backwards[0]}: it is corrupt; download or copy the recording again"
        )
