"""Events of one window as a voxel grid: polarities shared between time bins, normalised, padded by reflection."""

from __future__ import annotations

import numpy as np


def voxel_grid(events: np.ndarray, bins: int, size: tuple[int, int], corner: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Add the polarity of each event, -1 or 1, to the two bins nearest in time, in linear shares.

    With t' = (B - 1) (t - first) / (last - first), bin floor(t') gets the share 1 - (t' - floor(t')) and the next one
    the rest. The last event falls on the last bin, which gets all of it. If all times are equal, so are all t' = 0.

    Args:
        events: `[N]` of `EVENT_DTYPE`, sorted by time. Without any the grid is 0, where the published code stops.
        bins: B.
        size: height and width of the counted area.
        corner: y and x of its upper left pixel.

    Returns:
        `[B, H, W]`, float32.

    Example:
        >>> from braincog_tmkt.data.types import EVENT_DTYPE
        >>> events = np.array([(0, 0, 0, True), (5, 0, 0, True), (10, 0, 0, False)], dtype=EVENT_DTYPE)
        >>> voxel_grid(events, 2, (1, 1)).ravel().tolist()
        [1.5, -0.5]
    """
    height, width = size
    if not len(events):
        return np.zeros((bins, height, width), np.float32)
    t = events["t"] - events["t"][0]
    place = (bins - 1) * t / max(int(t[-1]), 1)
    low = np.floor(place).astype(np.int64)
    late = place - low
    polarity = np.where(events["p"], 1.0, -1.0)
    pixel = (events["y"].astype(np.int64) - corner[0]) * width + events["x"] - corner[1]
    cell = low * height * width + pixel
    cells = (bins + 1) * height * width  # one bin more: the last event's share in it is 0
    grid = np.bincount(cell, polarity * (1 - late), cells) + np.bincount(cell + height * width, polarity * late, cells)
    return grid[: bins * height * width].reshape(bins, height, width).astype(np.float32)


def normalised(grid: np.ndarray) -> np.ndarray:
    """Scale the voxels that are not 0 to mean 0 and (population) standard deviation 1; zeros stay 0.

    If these are all equal, as for a single event, they become 0. The published code gives NaN then.
    """
    events = grid != 0
    values = grid[events]
    if not len(values) or values.min() == values.max():
        return np.zeros_like(grid)
    return np.where(events, (grid - values.mean()) / values.std(), np.float32(0))


def padding(size: int, multiple: int) -> tuple[int, int]:
    """Pixels to add before and behind, so that a side becomes a multiple; an odd one goes before.

    Example:
        >>> padding(22, 8), padding(25, 8), padding(24, 8)
        ((1, 1), (4, 3), (0, 0))
    """
    missing = -size % multiple
    return missing - missing // 2, missing // 2


def padded(grid: np.ndarray, multiple: int) -> np.ndarray:
    """Reflect `[B, H, W]` at its edges, so that H and W are multiples; one smaller than the rim is reflected again."""
    rims = [padding(side, multiple) for side in grid.shape[1:]]
    return np.pad(grid, [(0, 0), *rims], mode="reflect")
