"""Window after window of events to grey images, with a network that remembers the windows before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..types import Reconstruction
from .network import State
from .post import Scale, sharpened
from .voxel import normalised, padded, padding, voxel_grid
from .weights import load_network


class Reconstructor:
    """The images of one recording, in order of time.

    Args:
        how: the weights and how images are made of what their network gives.
        size: height and width of the counted area.
        corner: y and x of its upper left pixel.

    Raises:
        DataError: as `weights.load_network` does.
    """

    def __init__(self, how: Reconstruction, size: tuple[int, int], corner: tuple[int, int] = (0, 0)) -> None:
        self.network, self.amount = load_network(Path(how.weights), how.sha256), how.unsharp
        self.size, self.corner, self.scale = size, corner, Scale(how.auto_hdr)
        self.state: State = None

    @torch.no_grad()
    def __call__(self, events: np.ndarray) -> Tensor:
        """The image of the next window, uint8 `[H, W]`; `events` `[N]` of `EVENT_DTYPE`, none to many.

        As published, sharpening and scaling see the padded image; it is cut to size last.
        """
        grid = normalised(voxel_grid(events, self.network.num_bins, self.size, self.corner))
        voxels = torch.from_numpy(padded(grid, self.network.multiple))[None]
        images, self.state = self.network(voxels, self.state)
        image = self.scale(sharpened(images[0, 0], self.amount))
        (top, _), (left, _) = (padding(side, self.network.multiple) for side in self.size)
        return image[top : top + self.size[0], left : left + self.size[1]]
