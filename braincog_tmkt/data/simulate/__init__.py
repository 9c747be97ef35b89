"""Simulated twins of event data sets: a tree of images becomes a tree of recordings, in the real layout and bytes.

`simulate_tree` makes a tree. A data set has a file here, which says how its images were shown; `camera` makes events of
a picture that moves, `saccade` moves it as N-MNIST's camera did, `strokes` draws it with a pen. A file `SIMULATED.json`
in the root of the tree, and a hidden one in the folders of the recordings, mark them, so that no reader takes them for
real ones. How the real recordings were made is known only in part; docs/how-to/simulator.md lists what is assumed
(deviation D-18).
"""

from .camera import SIMULATOR_VERSION, CameraParams
from .saccade import simulate_events
from .tree import LAYOUTS, simulate_tree

__all__ = ["LAYOUTS", "SIMULATOR_VERSION", "CameraParams", "simulate_events", "simulate_tree"]
