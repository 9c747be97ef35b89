"""Simulated twins of event data sets: a tree of images becomes a tree of recordings, in the real layout and bytes.

`simulate_tree` makes a tree. A data set has a file here, which says how its images were shown; `camera` makes events of
a picture that moves, `saccade` moves it as N-MNIST's camera did, `strokes` draws it with a pen. A file `SIMULATED.json`
beside the recordings marks them, so that no reader takes them for real ones. How the real recordings were made is known
only in part; docs/simulator.md lists what is assumed (deviation D-18).
"""

from __future__ import annotations

from pathlib import Path

from ...errors import RecipeError
from ...registry import did_you_mean
from .caltech import Caltech
from .camera import SIMULATOR_VERSION, CameraParams
from .cepdvs import CepDvs
from .cifar10dvs import Cifar10Dvs
from .layout import Layout
from .mnist import Mnist
from .omniglot import Omniglot
from .saccade import simulate_events
from .tree import make_tree

__all__ = ["LAYOUTS", "SIMULATOR_VERSION", "CameraParams", "simulate_events", "simulate_tree"]

LAYOUTS: dict[str, Layout] = {
    "ncaltech101": Caltech(),
    "nmnist": Mnist(),
    "nomniglot": Omniglot(),
    "cepdvs": CepDvs(),
    "cifar10dvs": Cifar10Dvs(),
}


def simulate_tree(
    static_dir: str | Path,
    out_dir: str | Path,
    layout: str,
    params: CameraParams | None = None,
    seed: int = 0,
    workers: int = 1,
    limit_per_class: int | None = None,
    progress: bool = True,
) -> int:
    """Simulate a recording of every image of a tree. Run it again to go on after an interruption.

    Each recording is a function of the image, the parameters, the seed and its own name: the number of processes, the
    order and interruptions change no byte.

    Args:
        static_dir: the images: Caltech-101, MNIST as png folders, Omniglot (with strokes if there are any), CIFAR-10 as
            folders, or any tree of class folders.
        out_dir: root of the new tree; it can be given as the root of the data set.
        layout: the data set, a name in `LAYOUTS`.
        params: the camera; the layout's own if None.
        seed: one number for the whole tree.
        workers: processes; 1 starts none.
        limit_per_class: only the first so many images of every class.
        progress: whether to show a bar.

    Returns:
        How many recordings were made now; finished ones are skipped.

    Raises:
        RecipeError: for an unknown layout, or a limit that the layout cannot keep.
        DataError: if there is nothing to simulate, a source cannot be read, `out_dir` has real recordings or those of
            another simulation, or the disk is full. Finished recordings are whole and stay.
    """
    if layout not in LAYOUTS:
        raise RecipeError(f"unknown layout '{layout}' to simulate: {did_you_mean(layout, LAYOUTS)}")
    static, out = Path(static_dir).expanduser(), Path(out_dir).expanduser()
    return make_tree(static, out, layout, LAYOUTS[layout], params, seed, workers, limit_per_class, progress)
