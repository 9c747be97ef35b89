"""The three saccades of N-MNIST and N-Caltech101: how their image moves before the event camera.

The path is that of the N-MNIST recordings, measured by `benchmarks/calibrate_simulator.py` (docs/how-to/simulator.md).
"""

from __future__ import annotations

import numpy as np

from .camera import SIMULATOR_VERSION, CameraParams, Motion, film, path_through

__all__ = ["SIMULATOR_VERSION", "CameraParams", "saccade_path", "simulate_events"]

# How far the image has moved from the middle of the sensor, in units of the triangle's base (the third saccade):
# right and down at equal steps of time from the start of a recording to its end. Between the saccades the mount creeps.
# fmt: off
PATH_X = (
    -0.478, -0.480, -0.485, -0.496, -0.505, -0.511, -0.509, -0.492, -0.437, -0.357, -0.275, -0.223, -0.205,
    -0.195, -0.184, -0.167, -0.142, -0.110, -0.056, 0.030, 0.126, 0.212, 0.267, 0.301, 0.348, 0.395, 0.430,
    0.450, 0.469, 0.495, 0.523, 0.538, 0.539, 0.510, 0.413, 0.280, 0.147, 0.005, -0.137, -0.249, -0.332, -0.396,
    -0.440, -0.457, -0.460,
)
PATH_Y = (
    -0.346, -0.339, -0.315, -0.256, -0.164, -0.028, 0.133, 0.304, 0.459, 0.574, 0.653, 0.686, 0.695, 0.693,
    0.684, 0.673, 0.665, 0.660, 0.639, 0.580, 0.471, 0.331, 0.174, 0.021, -0.119, -0.217, -0.271, -0.292,
    -0.297, -0.298, -0.299, -0.303, -0.307, -0.308, -0.304, -0.301, -0.302, -0.307, -0.317, -0.329, -0.341,
    -0.346, -0.344, -0.341, -0.340,
)
# fmt: on


def saccade_path(params: CameraParams) -> Motion:
    """Where the image is at the ends of the sub-steps: times in microseconds, pixels right and pixels down."""
    return path_through(PATH_X, PATH_Y, params.amplitude, params.duration_us)


def simulate_events(image: np.ndarray, params: CameraParams | None = None, seed: int = 0) -> np.ndarray:
    """Record one image: what the camera sends while the image moves along the three saccades (see `camera.film`).

    `params` None is the calibrated camera.

    Example:
        >>> image = np.zeros((34, 34), np.uint8)
        >>> image[10:20, 10:20] = 255
        >>> events = simulate_events(image, CameraParams(noise_on_hz=0.0), seed=0)
        >>> bool((np.diff(events["t"]) >= 0).all()), set(events["p"].tolist()) == {True, False}
        (True, True)
    """
    params = params or CameraParams()
    return film(image, saccade_path(params), params, seed)
