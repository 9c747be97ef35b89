"""Frames made of events: `FRAMES` names the ways that papers and libraries count.

Every way gives `[T, 2, size, size]`, float32, channel 0 OFF and channel 1 ON.
"""

import numpy as np
import torch
from torch.nn.functional import interpolate

from ..errors import DataError
from ..registry import Registry
from .types import FrameSpec

FRAMES = Registry("kind of frames")
"""Kind of frames -> function of (times `[N]`, cells `[N]`, T, number of cells) that returns the counts, float32, flat."""

READER_VERSION = 1
"""Raise it when a reader, a way of `FRAMES` or `static.value_channel` gives other numbers: no older cache is used then."""


def to_frames(
    events: np.ndarray,
    spec: FrameSpec,
    sensor: tuple[int, int] | None = None,
    crop: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
    """Count events per time bin, polarity and pixel, then resize: tonic's `ToFrame(n_time_bins=T)`, bit for bit.

    A bin lasts (last time - first time) // T microseconds. The bins start at the first event, so the remainder of that
    division and the very last instant belong to no bin and are dropped, as tonic does; a recording shorter than T
    microseconds gives empty frames. The resize is bilinear with aligned corners, without antialiasing.

    Args:
        events: `[N]` of `EVENT_DTYPE`, N > 0, sorted by time.
        spec: T and the side of a frame.
        sensor: width and height of the counted area; None shifts the events to start at 0 and counts on the recording's
            own extent (as tonic's `NCALTECH101` does).
        crop: left, top, width and height of the part of the counted area that a frame shows; None shows all of it.

    Returns:
        Counts `[T, 2, size, size]`, float32; channel 0 is OFF, channel 1 ON.

    Raises:
        DataError: if an event lies outside `sensor`.

    Example:
        >>> events = np.array([(0, 0, 0, True), (5, 1, 1, False), (9, 1, 0, True)], dtype=EVENT_DTYPE)
        >>> to_frames(events, FrameSpec(steps=2, size=2), sensor=(2, 2))[0, 1].tolist()
        [[1.0, 0.0], [0.0, 0.0]]
    """
    x, y = events["x"].astype(np.int64), events["y"].astype(np.int64)
    if sensor is None:
        x, y = x - x.min(), y - y.min()
    width, height = sensor or (int(x.max()) + 1, int(y.max()) + 1)
    if min(x.min(), y.min()) < 0 or x.max() >= width or y.max() >= height:
        raise DataError(f"events lie beyond the {width}x{height} sensor: give the sensor they were recorded with")
    cell = (events["p"].astype(np.int64) * height + y) * width + x
    counts = FRAMES[spec.kind](events["t"], cell, spec.steps, 2 * height * width)
    frames = torch.from_numpy(counts).view(spec.steps, 2, height, width)
    if crop is not None:
        left, top, crop_width, crop_height = crop
        frames = frames[..., top : top + crop_height, left : left + crop_width]
    return interpolate(frames, size=(spec.size, spec.size), mode="bilinear", align_corners=True).numpy()


@FRAMES.register("time")
def _equal_times(t: np.ndarray, cell: np.ndarray, steps: int, cells: int) -> np.ndarray:
    """Count in bins of equal time, as tonic's `ToFrame(n_time_bins=T)`."""
    window = int(t[-1] - t[0]) // steps  # as stock tonic; the baseline's fork counts from 0 (deviation D-11)
    edges = np.searchsorted(t, t[0] + window * np.arange(steps + 1))
    step = np.repeat(np.arange(steps), np.diff(edges))
    return np.bincount(step * cells + cell[edges[0] : edges[-1]], minlength=steps * cells).astype(np.float32)
