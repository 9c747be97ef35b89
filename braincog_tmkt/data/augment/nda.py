"""NDA (Li et al. 2022): each recording is rolled, rotated or sheared."""

import torch
from torch import Tensor

from ...errors import RecipeError
from ..batch import BatchRNG, to_device
from .base import AUGMENTS, Augmentation
from .crop import pick

OPERATIONS = ("roll", "rotate", "shear")


@AUGMENTS.register("nda", label="NDA", paper="Li et al., ECCV 2022", year=2022, arxiv="2203.06145")
class NDA(Augmentation):
    """One of roll, rotation and horizontal shear for each sample, each as likely, the same at all steps.

    This is the policy of NDA's public code, with its two tables: pixels 3, degrees 15, shear 15 for N-Caltech101, and
    5, 30, 30 for CIFAR10-DVS. Cutout and CutMix are implemented there but never called, and no flip exists in the code,
    so none of them is here. The published code resizes first, to the nearest pixel (`data.frames: number`).

    Args:
        pixels: the largest shift of a roll, either way, along each side.
        degrees: the largest angle of a rotation, either way.
        shear: the largest angle of a shear, either way, in degrees.
    """

    def __init__(self, pixels: int = 3, degrees: float = 15.0, shear: float = 15.0) -> None:
        if not (pixels >= 0 and degrees >= 0 and 0 <= shear < 90):
            raise RecipeError(
                "augmentation 'nda': pixels and degrees must be 0 or more, and shear from 0 to below 90, not"
                f" {pixels}, {degrees} and {shear}"
            )
        self.pixels, self.most = pixels, torch.tensor([0, degrees, shear], dtype=torch.float64)

    def __call__(self, events: Tensor, target: Tensor, rng: BatchRNG) -> tuple[Tensor, Tensor]:
        """One operation for each sample; the frames keep their size."""
        drawn = rng.uniform(3, stream="nda")
        operation = (drawn[:, 0] * len(OPERATIONS)).long()
        shift = (drawn[:, 1:] * (2 * self.pixels + 1)).long() - self.pixels
        angle = (2 * drawn[:, 1] - 1) * self.most[operation]
        return transformed(events, operation, shift, angle), target


def transformed(events: Tensor, operation: Tensor, shift: Tensor, angle: Tensor) -> Tensor:
    """Roll, rotate or shear each sample; nearest neighbour, zeros from outside.

    With X and Y from the centre of the frame, Y down, and the angle t, a pixel of the result is that of the frame at

    - roll: (X - right, Y - down), circular;
    - rotate: (X cos t - Y sin t, X sin t + Y cos t), so that the content turns counter-clockwise for t > 0;
    - shear: (X + Y tan t, Y).

    Places are computed in double precision. A place is exactly between two pixels only for angles such as 30 degrees
    on frames with sides of odd length; random angles do not meet this case.

    Args:
        events: frames `[B, T, C, H, W]`.
        operation: positions in `OPERATIONS` `[B]`, on the CPU as the next two.
        shift: pixels down and right `[B, 2]`, for rolls.
        angle: degrees `[B]`, float64, for the others.
    """
    (height, width), device = events.shape[-2:], events.device
    rolled, turned, sheared = (operation == number for number in range(len(OPERATIONS)))
    angle = torch.deg2rad(angle)
    cos, sin = torch.cos(angle * turned), torch.sin(angle * turned)
    numbers = [cos, sin, torch.tan(angle * sheared) - sin, rolled, *(shift * rolled[:, None]).T]
    moved = to_device(torch.stack(numbers).double(), device)[:, :, None, None]
    cos, sin, skew, rolled, down, right = moved
    y = (torch.arange(height, device=device, dtype=torch.float64) - (height - 1) / 2)[:, None]
    x = torch.arange(width, device=device, dtype=torch.float64) - (width - 1) / 2
    rows = (x * sin + y * cos - down + (height - 1) / 2).round().long()
    columns = (x * cos + y * skew - right + (width - 1) / 2).round().long()
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width) | (rolled > 0)
    return pick(events, rows % height, columns % width).masked_fill_(~inside[:, None, None], 0)
