"""Twins of N-Omniglot."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import DataError, RecipeError
from ..images import read_image
from ..readers.aedat4 import write_aedat4
from ..sets.listing import first_folder, subfolders
from ..sets.omniglot import DRAWERS, STATIC_LAYOUTS, characters_in, drawer_files
from .camera import Camera, CameraParams
from .layout import Job, Layout, Writer, write_text
from .strokes import PenTrace, Screen, ink_of_image, read_strokes

WIDTH, HEIGHT = 346, 260
LEFT, TOP, SIDE = 54, 4, 250
"""The part of the sensor that sees the canvas, which is the part that readers cut out."""
PARTS = {"background": ("background", "background_small1", "background_small2"), "evaluation": ("evaluation",)}
"""Part of N-Omniglot -> Omniglot's sets that it shows; the first that has an alphabet counts."""
SETS = tuple(f"{kind}_{name}" for names in PARTS.values() for name in names for kind in ("images", "strokes"))
REST_US = 300_000
"""The screen is still for so long before a drawing, after it, and after it is wiped."""
EPOCH_US = 1_600_000_000_000_000
"""When a recording starts: DV writes microseconds since 1970."""


class Omniglot(Layout):
    """Omniglot's characters, drawn on a screen: 20 drawers one after the other in a file, with a table of their times.

    Strokes are drawn in their own order and pace; characters without strokes from their images.
    """

    folders = ("dvs_background", "dvs_evaluation")
    suffix = ".aedat4"
    wanted = "the folder with images_background or strokes_background (or _evaluation, _small1, _small2) of Omniglot"
    bytes_each = 150_000
    # Screen, pen and noise are assumed (docs/how-to/simulator.md, deviation D-18).
    params = CameraParams(noise_on_hz=0.01, noise_off_hz=0.005, amplitude=0.0, duration_us=8_000_000)

    def jobs(self, static_dir: Path, limit: int | None) -> Iterator[Job]:
        """One job a character; it always has all its drawers, since they share a file."""
        if limit is not None and limit < len(DRAWERS):
            raise RecipeError(
                f"limit_per_class is {limit}, but the {len(DRAWERS)} drawers of a character share a file:"
                " leave it out, and give a folder with fewer alphabets"
            )
        found = first_folder(static_dir, [f"{place}/{name}" for place in STATIC_LAYOUTS for name in SETS])
        if found is None:
            return
        for part, names in PARTS.items():
            for character, files in _characters(found.parent, names):
                stem = Path(f"dvs_{part}", character, files[0].stem[:4])
                yield Job(files, (stem.with_suffix(".aedat4"), stem.with_suffix(".csv")), character)

    def record(self, job: Job, params: CameraParams, seed: int) -> Sequence[Writer]:
        """Draw all samples one after the other, wiping the screen in between."""
        now, spans, parts = EPOCH_US, [], []
        for k, source in enumerate(job.sources):
            events, end = _session(source, params, seed + k)
            events["t"] += now
            parts.append(events)
            spans.append((now + REST_US, now + end))
            now += end + 2 * REST_US
        events = np.concatenate(parts)
        table = _table(events["t"], np.array(spans), job)
        return partial(write_aedat4, events=events, sensor=(WIDTH, HEIGHT)), partial(write_text, text=table)


def _characters(root: Path, sets: tuple[str, ...]) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """`<alphabet>/<character>` and what to draw: the strokes of each drawer, or the images where there are none."""
    alphabets: dict[str, dict[str, Path]] = {}
    for kind in ("strokes", "images"):
        for name in reversed(sets):
            folder = root / f"{kind}_{name}"
            for alphabet, path in subfolders(folder).items() if folder.is_dir() else ():
                alphabets.setdefault(alphabet, {})[kind] = path
    for alphabet in sorted(alphabets):
        folders = {kind: characters_in(path) for kind, path in alphabets[alphabet].items()}
        for character in sorted(set().union(*folders.values())):
            if character in folders.get("strokes", ()):
                files = drawer_files(folders["strokes"][character], ".txt")
            else:
                files = drawer_files(folders["images"][character], ".png")
            yield character, tuple(files[drawer] for drawer in DRAWERS)


def _session(source: Path, params: CameraParams, seed: int) -> tuple[np.ndarray, int]:
    """Film a white screen, a drawing on it and its wiping: the events from 0 on, and when the drawing ends.

    The camera starts anew for each drawing, so that none depends on those before it.
    """
    white = np.full(WIDTH * HEIGHT, np.log1p(np.float32(params.floor)), np.float32)
    camera = Camera(white, WIDTH, params)
    screen = Screen(camera, HEIGHT, params.floor, LEFT, TOP, SIDE)
    end = int(screen.draw(_ink(source, params), REST_US)) + 1
    screen.wipe(end + REST_US)
    return camera.events(end + 2 * REST_US, seed), end


def _ink(source: Path, params: CameraParams) -> PenTrace:
    """The drawing in a file of strokes or an image, hurried if it lasts longer than the camera records."""
    drawn = source.suffix.lower() == ".txt"
    ink = read_strokes(source) if drawn else ink_of_image(np.asarray(read_image(source, "L")))
    if not ink.t.size:
        raise DataError(f"{source} makes no events (there is no ink on it): replace it")
    return PenTrace(ink.x, ink.y, ink.t * min(1.0, params.duration_us / max(ink.t[-1], 1.0)))


def _table(times: np.ndarray, spans: np.ndarray, job: Job) -> str:
    """The csv file: for each sample the times of the first event in it and of the first event after it."""
    places = np.searchsorted(times, spans)
    if (places[:, 0] == places[:, 1]).any() or places[-1, 1] == times.size:
        raise DataError(f"{job.sources[0].parent} makes too few events to tell its samples apart: lower the thresholds")
    rows = [f"{k + 1},{start},{end}" for k, (start, end) in enumerate(times[places])]
    return "\n".join(["index,start,end", *rows]) + "\n"
