"""Frames made of events: `FRAMES` names the ways in which papers and libraries make them.

A way says which events a frame counts, what becomes of the counts, and how they are resized; the resize belongs to the
way, since results published with it depend on it. All give `[T, 2, H, W]`, float32, channel 0 OFF, channel 1 ON.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..errors import DataError, RecipeError
from ..jit import compiled
from ..registry import Registry
from .readers.check import survey
from .static import APPEARANCES
from .types import FrameSpec, Reconstruction

if TYPE_CHECKING:
    from torch import Tensor

FRAMES = Registry("kind of frames")
"""Kind of frames -> generator function of (view, T, (H, W)) that yields T frames `[2, 1, H, W]`, float32, one or more
at a time. One that also takes `antialias` averages over all pixels if it is true; one that takes `reconstruction` needs
it."""


def _interpolate(pixels: Tensor, size: tuple[int, int], **how: Any) -> Tensor:
    """Torch's resize of `[N, C, h, w]`; importing torch takes seconds, which those who only ask for names need not."""
    from torch.nn.functional import interpolate

    return interpolate(pixels, size, **how)


RESIZES: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "time": partial(_interpolate, mode="bilinear", align_corners=True),
    "number": partial(_interpolate, mode="nearest"),
    "frequency": partial(_interpolate, mode="bilinear", align_corners=False),
    "event": partial(_interpolate, mode="bilinear", align_corners=False),
}
"""Kind of frames -> its published resize, where that looks at single pixels, as functions of (pixels, size)."""

READER_VERSION = 3
"""Raise it when a reader, a kind of frames or `static.static_channel` gives other numbers: old caches are void then."""

TOGETHER = 2**16
"""Counts that are resized at once, if one frame has fewer."""

MAX_PIXELS = 2**24
"""Pixels of the largest counted area: a corrupt coordinate must not ask for all memory."""


def to_frames(
    events: np.ndarray,
    spec: FrameSpec,
    sensor: tuple[int, int] | None = None,
    crop: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
    """Make the frames of one recording, as `spec.kind` says (see `FRAMES`).

    Args:
        events: `[N]` of `EVENT_DTYPE`, N > 0, sorted by time.
        spec: kind of frames, T, height and width of a frame, and whether the resize averages.
        sensor: width and height of the counted area; None shifts the events to start at 0 and counts on the recording's
            own extent (as tonic's `NCALTECH101` does).
        crop: left, top, width and height of the part of the counted area that a frame shows; None shows all of it.

    Returns:
        Frames `[T, 2, H, W]`, float32; channel 0 is OFF, channel 1 ON.

    Raises:
        DataError: if an event lies outside `sensor`, or the events spread over more than 2^24 pixels.
        RecipeError: as `check_spec` does.

    Example:
        >>> from braincog_tmkt.data.types import EVENT_DTYPE
        >>> events = np.array([(0, 0, 0, True), (5, 1, 1, False), (9, 1, 0, True)], dtype=EVENT_DTYPE)
        >>> to_frames(events, FrameSpec(steps=2, size=2), sensor=(2, 2))[0, 1].tolist()
        [[1.0, 0.0], [0.0, 0.0]]
    """
    import torch

    check_spec(spec)
    extra: dict[str, Any] = {"antialias": True} if spec.antialias else {}
    extra |= {"reconstruction": spec.reconstruction} if spec.reconstruction else {}
    frames = FRAMES[spec.kind](View(events, sensor, crop), spec.steps, spec.shape, **extra)
    return torch.cat(list(frames)).view(spec.steps, 2, *spec.shape).numpy()


def check_spec(spec: FrameSpec) -> None:
    """Refuse a specification that no frames can follow.

    Raises:
        RecipeError: if the kind or the appearance is unknown, the kind's resize has no antialiasing to switch on, or
            `reconstruction` is missing or in vain.
    """
    FRAMES.require(spec.kind)
    APPEARANCES.require(spec.appearance)
    if spec.antialias and not _takes(spec.kind, "antialias"):
        able = ", ".join(sorted(name for name in FRAMES if _takes(name, "antialias")))
        raise RecipeError(
            f"frames of the kind '{spec.kind}' are always resized in one way: leave out antialias, which is for {able}"
        )
    check_reconstructs(spec.kind, spec.reconstruction is not None)


def check_reconstructs(kind: str, given: bool) -> None:
    """Refuse a kind of frames that needs `data.reconstruction` without it, and one that has no use for it with it."""
    FRAMES.require(kind)
    if _takes(kind, "reconstruction") and not given:
        raise RecipeError(
            f"frames of the kind '{kind}' need a network's weights: set 'data.reconstruction={{weights: FILE}}'"
        )
    if given and not _takes(kind, "reconstruction"):
        raise RecipeError(f"data.reconstruction is for data.frames=e2vid, not for '{kind}': set it to null")


def _takes(kind: str, keyword: str) -> bool:
    return keyword in inspect.signature(FRAMES[kind]).parameters


class View:
    """The events of one recording on the counted area, of which frames show a part; arguments as in `to_frames`."""

    def __init__(
        self, events: np.ndarray, sensor: tuple[int, int] | None, crop: tuple[int, int, int, int] | None
    ) -> None:
        left, right, top, bottom = extent(events)
        if sensor is not None:
            if min(left, top) < 0 or right >= sensor[0] or bottom >= sensor[1]:
                raise DataError(
                    f"events lie beyond the {sensor[0]}x{sensor[1]} sensor: give the sensor they were recorded with"
                )
            left, right, top, bottom = 0, sensor[0] - 1, 0, sensor[1] - 1
        width, height = right - left + 1, bottom - top + 1
        if width * height > MAX_PIXELS:
            raise DataError(f"events lie on {width}x{height} pixels, more than any sensor has: the file is corrupt")
        self.events, self.t = events, events["t"]
        self.left, self.top, self.area = left, top, (height, width)
        self.crop = crop or (0, 0, width, height)
        self._counts = np.empty((1, 2, height, width), dtype=np.float32)

    def count(self, first: int, last: int) -> np.ndarray:
        """Count events first..last - 1 by polarity and pixel: `[2, height, width]`, float32, until the next call."""
        _count(self.events[first:last], self.left, self.top, self._counts[0])
        return self._counts[0]

    def resized(self, edges: Sequence[int], resize: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        """The frames of the slices that begin and end at these events, `[2 n, 1, H, W]`, n of them at a time.

        Slices of small sensors are resized together, because a call costs more than their pixels.
        """
        together = max(1, min(len(edges) - 1, TOGETHER // self._counts[0].size))
        self._counts = np.empty((together, *self._counts.shape[1:]), dtype=np.float32)
        pairs = [*pairwise(edges)]
        for start in range(0, len(pairs), together):
            some = pairs[start : start + together]
            for counts, (first, last) in zip(self._counts, some, strict=False):
                _count(self.events[first:last], self.left, self.top, counts)
            yield resize(self.shown(self._counts[: len(some)].reshape(-1, *self._counts.shape[2:])))

    def shown(self, area: np.ndarray) -> Tensor:
        """The part `[C, 1, h, w]` that a frame shows of `[C, height, width]` values.

        A polarity counts as an image of its own: torch resizes those to the same bits, but in half the time.
        """
        import torch

        left, top, width, height = self.crop
        return torch.from_numpy(area[:, None, top : top + height, left : left + width])


def extent(events: np.ndarray) -> tuple[int, int, int, int]:
    """The least and greatest x, the least and greatest y."""
    left, right, top, bottom = map(int, survey(events)[:4])
    return left, right, top, bottom


@compiled
def _count(events, left, top, counts):  # type: ignore[no-untyped-def]
    """Set `counts[p, y, x]` to the number of events at this polarity and pixel."""
    counts[:] = 0
    for event in events:
        counts[int(event.p), event.y - top, event.x - left] += np.float32(1)


@FRAMES.register("time")
def equal_times(view: View, steps: int, size: tuple[int, int], antialias: bool = False) -> Iterator[Tensor]:
    """Counts in slices of equal duration: tonic's `ToFrame(n_time_bins=T)` and torch's resize, bit for bit.

    A slice lasts (last time - first time) // T microseconds. The slices start at the first event, so the remainder of
    that division and the very last instant belong to none and are dropped, as tonic does; a recording shorter than T
    microseconds gives empty frames. The resize is bilinear with aligned corners, without antialiasing; with it, corners
    are not aligned.
    """
    resize = _average if antialias else RESIZES["time"]
    return view.resized(_edges_in_time(view, steps), lambda shown: resize(shown, size))


def _edges_in_time(view: View, steps: int) -> list[int]:
    window = int(view.t[-1] - view.t[0]) // steps  # as stock tonic; in the baseline's fork, t[-1] // T (deviation D-11)
    edges: list[int] = np.searchsorted(view.t, view.t[0] + window * np.arange(steps + 1)).tolist()
    return edges


@FRAMES.register("number")
def equal_numbers(view: View, steps: int, size: tuple[int, int], antialias: bool = False) -> Iterator[Tensor]:
    """Counts in slices of equally many events: SpikingJelly's `split_by="number"`, as HSD, NDA and SLTT read it.

    A slice has N // T events, the last one the remainder as well. The resize takes the nearest pixel, or
    averages over the area of a pixel of the frame.
    """
    resize = partial(_interpolate, mode="area") if antialias else RESIZES["number"]
    return view.resized(_edges_in_number(view, steps), lambda shown: resize(shown, size))


def _edges_in_number(view: View, steps: int) -> list[int]:
    return [len(view.t) // steps * step for step in range(steps)] + [len(view.t)]


WINDOWS: dict[str, Callable[[View, int], list[int]]] = {"time": _edges_in_time, "number": _edges_in_number}
"""Windows of E2VID -> function of (view, T): the events that T slices begin with, and the one behind the last."""


@FRAMES.register("presence")
def presences(view: View, steps: int, size: tuple[int, int], antialias: bool = True) -> Iterator[Tensor]:
    """Where there were events at all, in [0, 1]: the CIFAR10-DVS frames of TET's published code.

    A slice has N // T events; the remainder is dropped. The two maps are resized as one PIL image of grey (OFF) and
    opacity (ON), bilinear, antialiased and in steps of 1/255. PIL weighs grey by opacity: an OFF event without an ON
    event at its pixel vanishes. So it is in the published code, and so it is here (deviation D-16). Such a resize
    averages in any case.
    """
    import torch

    edges = [len(view.t) // steps * step for step in range(steps + 1)]
    for first, last in pairwise(edges):
        off, on = (view.shown(view.count(first, last))[:, 0] > 0).byte().mul(255).numpy()
        image = Image.merge("LA", (Image.fromarray(off), Image.fromarray(on)))
        resized = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR)) / np.float32(255)
        yield torch.from_numpy(resized).permute(2, 0, 1)[:, None]


@FRAMES.register("frequency")
def frequencies(view: View, steps: int, size: tuple[int, int], antialias: bool = False) -> Iterator[Tensor]:
    """Events per time, each polarity of each frame relative to its busiest pixel: BrainCog's N-Omniglot frames.

    A slice lasts (last time - first time) // T microseconds; the last one takes the remainder, unless it would be empty
    without. Counts are divided by the microseconds, then by the largest quotient on the sensor, or by 1e-5 if that is
    less, all in half precision: in slices of 0.5 s, a busiest pixel with fewer than 5 events stays below 1. The shown
    part is resized as torchvision resizes tensors: bilinear, corners not aligned. Antialiasing became its default in
    0.17, after the published results, so here it is off unless asked for (deviation D-17).
    """
    window, remainder = divmod(int(view.t[-1] - view.t[0]), steps)
    for step, (first, last) in enumerate(pairwise(_edges_with_remainder(view, steps))):
        counts = view.count(first, last)
        microseconds = window if step < steps - 1 else window + remainder
        for polarity in counts:
            _look_up(polarity, _shares(int(polarity.max()), microseconds, exact=step == 0))
        shown = view.shown(counts)
        yield _average(shown, size) if antialias else RESIZES["frequency"](shown, size)


@FRAMES.register("event")
def occurrences(view: View, steps: int, size: tuple[int, int], antialias: bool = False) -> Iterator[Tensor]:
    """Where there were events at all, 0 or 1: BrainCog's N-Omniglot frames with its default, `data_type="event"`.

    The slices and the resize are those of `frequencies`: a last slice without events but for the remainder stays
    empty, and the values are 0 or 1 before the resize, which puts shares in between (deviation D-17). BrainCog itself
    stops at recordings of T microseconds or less, and with numpy 1.24 to 1.26, which have no `np.bool`.
    """
    for first, last in pairwise(_edges_with_remainder(view, steps)):
        counts = view.count(first, last)
        shown = view.shown(np.minimum(counts, 1, out=counts))
        yield _average(shown, size) if antialias else RESIZES["event"](shown, size)


@FRAMES.register("e2vid")
def reconstructions(
    view: View, steps: int, size: tuple[int, int], antialias: bool = False, *, reconstruction: Reconstruction
) -> Iterator[Tensor]:
    """Grey images that E2VID reconstructs from the events, in [0, 1], for both channels (re-derived, deviation D-40).

    A window is a slice as of `equal_times` or `equal_numbers`, see `types.Reconstruction`. The network sees the whole
    counted area and remembers the windows before, also those without events. The shown part of its image is resized
    bilinearly, corners not aligned. Without an event in any window all frames are 0.
    """
    import torch

    from .reconstruct.reconstructor import Reconstructor

    edges = WINDOWS[reconstruction.windows](view, steps)
    resize = _average if antialias else partial(_interpolate, mode="bilinear", align_corners=False)
    image_of = Reconstructor(reconstruction, view.area, (view.top, view.left))
    for first, last in pairwise(edges):
        image = image_of(view.events[first:last]) if edges[0] < edges[-1] else torch.zeros(view.area)
        shown = view.shown(image.numpy()[None]) / 255
        yield resize(shown, size).expand(2, -1, -1, -1)


def _edges_with_remainder(view: View, steps: int) -> list[int]:
    """Where BrainCog's slices of equal duration begin and end; the last takes the remainder, unless it is empty."""
    t = view.t - view.t[0]
    edges: list[int] = np.searchsorted(t, int(t[-1]) // steps * np.arange(steps + 1)).tolist()
    if edges[-1] > edges[-2]:
        edges[-1] = len(t)
    return edges


def _average(shown: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize so that every pixel counts: bilinear, antialiased."""
    return _interpolate(shown, size, mode="bilinear", align_corners=False, antialias=True)


def _shares(most: int, microseconds: int, exact: bool) -> np.ndarray:
    """What stands for 0, 1, .., `most` events, float32; BrainCog divides before it rounds in the first frame only."""
    number = np.arange(most + 1).clip(max=np.finfo(np.float16).max).astype(np.float64 if exact else np.float16)
    rate = (number.astype(np.float64) / max(microseconds, 1)).astype(np.float16)
    return (rate / max(rate[-1], np.float16(1e-5))).astype(np.float32)


@compiled
def _look_up(counts, table):  # type: ignore[no-untyped-def]
    """Replace every count by its entry in a table."""
    for y in range(counts.shape[0]):
        for x in range(counts.shape[1]):
            counts[y, x] = table[int(counts[y, x])]
