"""The loss on a plane through the weights: which points, how the weights get there, how sharp it is around them.

Directions are filter-normalised (Li et al., "Visualizing the loss landscape of neural nets", NeurIPS 2018): normal
draws, each filter of which is rescaled to the norm of the weights' filter. Parameters with one axis (biases, batch
norm, step weights) stay as they are, and so do the running statistics of the batch norm.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import RecipeError, TrainingError
from ..progress import progress

RADII = (0.25, 0.5, 0.75, 1.0)
"""Circles on which the rise of the loss is measured, in units of `reach`."""

ANGLES = 16
"""Points of a circle, evenly spaced."""

COLUMNS = ("alpha", "beta", "loss", "accuracy")
"""Of a file of points; a point is at weights + alpha * first direction + beta * second direction."""

Place = tuple[float, float]
Score = tuple[float, float]


@dataclass(frozen=True)
class Plane:
    """Where the loss is measured: a square grid around the weights, then circles.

    Args:
        grid: points of a side, odd, so that the weights are one of them.
        reach: half the side; at 1 every filter has moved by its own norm.

    Raises:
        RecipeError: for a grid that is even or has less than 3 points, or a reach that is not positive.
    """

    grid: int
    reach: float

    def __post_init__(self) -> None:
        if type(self.grid) is not int or not 3 <= self.grid <= 1001 or self.grid % 2 == 0:
            raise RecipeError(f"grid is {self.grid}: choose an odd number from 3 to 1001; its middle is the weights")
        if not (isinstance(self.reach, int | float) and 0 < self.reach < math.inf):
            raise RecipeError(f"reach is {self.reach}: choose a positive number, such as 1.0")

    @property
    def axis(self) -> list[float]:
        """Coordinates of the grid along one direction, from `-reach` to `reach`; the middle is 0."""
        return [_tidy(self.reach * (2 * index / (self.grid - 1) - 1)) for index in range(self.grid)]

    def circle(self, radius: float) -> list[Place]:
        """Points of the circle of that radius, in units of `reach`."""
        angles = [2 * math.pi * number / ANGLES for number in range(ANGLES)]
        size = radius * self.reach
        return [(_tidy(size * math.cos(angle)), _tidy(size * math.sin(angle))) for angle in angles]

    def places(self) -> list[Place]:
        """All points in the order in which they are computed, none twice: the middle, the circles, the grid."""
        circles = [place for radius in RADII for place in self.circle(radius)]
        return list(dict.fromkeys([(0.0, 0.0), *circles, *((x, y) for x in self.axis for y in self.axis)]))


@dataclass(frozen=True)
class Landscape:
    """What was measured on a plane.

    Args:
        plane: where.
        scores: loss and accuracy at each point; the loss may be NaN or infinite.
    """

    plane: Plane
    scores: dict[Place, Score]

    @property
    def grid(self) -> np.ndarray:
        """Losses on the grid `[grid, grid]`: rows along the second direction, columns along the first."""
        return np.array([[self.scores[x, y][0] for x in self.plane.axis] for y in self.plane.axis])

    def sharpness(self) -> dict[str, float]:
        """Loss and accuracy of the weights, the rise of the loss on circles, and the curvature.

        Returns:
            `loss`, `accuracy`; `mean_rise_R` and `max_rise_R` over `ANGLES` points of the circle of radius R (in units
            of `reach`); `curvature`, the largest second derivative of the loss in the plane, of a quadratic form
            fitted by least squares within the smallest circle; `misfit`, what the fit leaves, root mean square.
        """
        loss, accuracy = self.scores[0.0, 0.0]
        rises: dict[str, float] = {}
        for radius in RADII:
            circle = np.array([self.scores[place][0] for place in self.plane.circle(radius)]) - loss
            rises |= {f"mean_rise_{radius}": float(circle.mean()), f"max_rise_{radius}": float(circle.max())}
        curvature, misfit = self._curvature()
        return {"loss": loss, "accuracy": accuracy, **rises, "curvature": curvature, "misfit": misfit}

    def _curvature(self) -> tuple[float, float]:
        """Top eigenvalue of the fitted Hessian, and the fit's root mean square error; NaN without enough points."""
        limit = RADII[0] * self.plane.reach * (1 + 1e-9)
        near = [(*place, score[0]) for place, score in self.scores.items() if math.hypot(*place) <= limit]
        points = np.array([row for row in near if math.isfinite(row[2])]).reshape(-1, 3)
        x, y, loss = points.T
        terms = np.stack([np.ones_like(x), x, y, x * x / 2, y * y / 2, x * y], axis=1)
        if len(points) < terms.shape[1]:
            return math.nan, math.nan
        found = np.linalg.lstsq(terms, loss)[0]
        hessian = np.array([[found[3], found[5]], [found[5], found[4]]])
        return float(np.linalg.eigvalsh(hessian)[-1]), float(np.sqrt(np.mean((terms @ found - loss) ** 2)))


def directions(method: nn.Module, seed: int) -> list[dict[str, Tensor]]:
    """Two random directions in the space of the weights, filter by filter as long as the weights.

    Args:
        method: its parameters; those with one axis get no direction. A filter is what makes one output channel.
        seed: a parameter's draws depend on it, the parameter's name and shape alone.

    Returns:
        Two dictionaries from a parameter's name to its direction, of the parameter's shape.
    """
    weights = {name: weight.detach() for name, weight in method.named_parameters() if weight.dim() > 1}
    return [{name: _filters(weight, f"{seed} {way} {name}") for name, weight in weights.items()} for way in (0, 1)]


def _filters(weight: Tensor, source: str) -> Tensor:
    """Normal draws `[C, ...]`, each of the C filters as long as the weights' own."""
    digest = hashlib.sha256(source.encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    draws = torch.randn(weight.shape, generator=generator, dtype=torch.float64).flatten(1)
    norms = weight.detach().cpu().double().flatten(1).norm(dim=1, keepdim=True)
    scaled = draws * (norms / draws.norm(dim=1, keepdim=True))
    return scaled.view(weight.shape).to(weight)


@contextmanager
def moving(method: nn.Module, seed: int) -> Iterator[Callable[[float, float], None]]:
    """Yield a function that moves the weights to a point of the plane; the old weights are back afterwards."""
    first, second = directions(method, seed)
    weights = {name: weight for name, weight in method.named_parameters() if name in first}
    kept = {name: weight.detach().clone() for name, weight in weights.items()}

    @torch.no_grad()
    def move(alpha: float, beta: float) -> None:
        for name, weight in weights.items():
            weight.copy_(kept[name] + alpha * first[name] + beta * second[name])

    try:
        yield move
    finally:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(kept[name])


def measure(places: list[Place], score: Callable[[Place], Score], file: Path, name: str = "") -> dict[Place, Score]:
    """Score points one by one, each appended to `file` at once; those that are in it already are not computed again.

    Args:
        places: in this order.
        score: gives loss and accuracy.
        file: made if missing; a last line that a kill left unfinished is dropped.
        name: for the bar with the rate and the remaining time.

    Raises:
        TrainingError: if the file holds other points, or the disk is full.
    """
    scores, size = _read_points(file, places)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:
            stream.truncate(size)
            if not size:
                stream.write(_line(COLUMNS))
            for place in progress(places[len(scores) :], name, "point", len(places), len(scores)):
                scores[place] = score(place)
                stream.write(_line((*place, *scores[place])))
                stream.flush()
                os.fsync(stream.fileno())
    except OSError as error:
        raise TrainingError(f"{file} cannot be written ({error.strerror}): free some space, run this again") from error
    return scores


def _line(values: Iterable[object]) -> bytes:
    """A line of CSV; floats so that reading them gives the same numbers."""
    return f"{','.join(map(str, values))}\n".encode()


def _read_points(file: Path, places: list[Place]) -> tuple[dict[Place, Score], int]:
    """The finished points of a file, if there is one, and how many bytes hold them."""
    content = file.read_bytes() if file.is_file() else b""
    size = content.rfind(b"\n") + 1  # what follows is a line that a kill left unfinished
    lines = content[:size].decode(errors="replace").splitlines()
    try:
        rows = [tuple(map(float, line.split(","))) for line in lines[1:]]
        scores = {(x, y): (loss, accuracy) for x, y, loss, accuracy in rows}
    except ValueError:
        scores = {}
    if lines and (lines[0].split(",") != [*COLUMNS] or [*scores] != places[: len(lines) - 1]):
        raise TrainingError(f"{file} does not hold the points it should: move it away, then run this again")
    return scores, size


def _tidy(value: float) -> float:
    """Without the rounding errors of sines, so that equal points are equal; never -0."""
    return round(value, 12) + 0.0
