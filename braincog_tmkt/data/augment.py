"""Augmentations of event frames: one geometry a sample, shared by its T steps and both polarities.

Each takes frames `[B, T, 2, H, W]` on any device and the random numbers of the batch, and returns new frames of the
same shape. They run on whole batches and are never cached. A recipe lists them in the order they are applied.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..registry import Registry
from .batch import BatchRNG, to_device

AUGMENTS = Registry("augmentation")

CROP_STREAM, FLIP_STREAM, ROTATE_STREAM, ROLL_STREAM = 2, 3, 4, 5
PADDING = 4
MAX_DEGREES = 15.0
MAX_ROLL = 5


@AUGMENTS.register("crop")
def crop(frames: Tensor, rng: BatchRNG) -> Tensor:
    """Pad each side with 4 zeros and cut the original size out, anywhere.

    Example:
        >>> crop(torch.ones(3, 10, 2, 48, 48), BatchRNG(seed=0, start=0, rows=3, total=3)).shape
        torch.Size([3, 10, 2, 48, 48])
    """
    height, width = frames.shape[-2:]
    offsets = (rng.uniform(2, stream=CROP_STREAM) * (2 * PADDING + 1)).long()
    return _cut_out(frames, to_device(offsets, frames.device), height, width)


def _cut_out(frames: Tensor, offsets: Tensor, height: int, width: int) -> Tensor:
    """Cut `height` x `width` out of the padded frames at `offsets` `[B, 2]` (top, left), as one gather."""
    along = torch.arange(max(height, width), device=frames.device)
    return _picked(F.pad(frames, (PADDING,) * 4), offsets[:, :1] + along[:height], offsets[:, 1:] + along[:width])


def _picked(frames: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels at `rows` `[B, H']` and `columns` `[B, W']` of frames `[B, T, C, H, W]`, as one gather."""
    places = (rows[:, :, None] * frames.shape[-1] + columns[:, None, :]).flatten(1)
    flat = frames.flatten(3).flatten(1, 2)
    pixels = flat.gather(2, places[:, None].expand(-1, flat.shape[1], -1))
    return pixels.view(*frames.shape[:3], rows.shape[1], columns.shape[1])


@AUGMENTS.register("flip")
def flip(frames: Tensor, rng: BatchRNG) -> Tensor:
    """Mirror left and right with probability 1/2."""
    mirrored = to_device(rng.uniform(stream=FLIP_STREAM) < 0.5, frames.device)
    return torch.where(mirrored.view(-1, 1, 1, 1, 1), frames.flip(-1), frames)


@AUGMENTS.register("roll")
def roll(frames: Tensor, rng: BatchRNG) -> Tensor:
    """Shift by up to 5 pixels along each side, round the edges: TET's and HSD's augmentation of CIFAR10-DVS."""
    height, width = frames.shape[-2:]
    drawn = (rng.uniform(2, stream=ROLL_STREAM) * (2 * MAX_ROLL + 1)).long() - MAX_ROLL
    shifts = to_device(drawn, frames.device)
    rows = (torch.arange(height, device=frames.device) - shifts[:, :1]) % height
    columns = (torch.arange(width, device=frames.device) - shifts[:, 1:]) % width
    return _picked(frames, rows, columns)


@AUGMENTS.register("rotate")
def rotate(frames: Tensor, rng: BatchRNG) -> Tensor:
    """Rotate about the centre by up to 15 degrees either way; nearest neighbour, zeros from outside."""
    return _rotated(frames, (2 * rng.uniform(stream=ROTATE_STREAM) - 1) * MAX_DEGREES)


def _rotated(frames: Tensor, degrees: Tensor) -> Tensor:
    """Rotate sample b by `degrees[b]`, counter-clockwise."""
    height, width = frames.shape[-2:]
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    zero = torch.zeros_like(cos)
    # Grid coordinates run from -1 to 1 along each side, so a side ratio other than 1 enters the rotation.
    top = torch.stack((cos, -sin * height / width, zero), dim=1)
    bottom = torch.stack((sin * width / height, cos, zero), dim=1)
    theta = to_device(torch.stack((top, bottom), dim=1).to(frames.dtype), frames.device)
    grid = F.affine_grid(theta, [len(frames), 1, height, width], align_corners=False)
    turned = F.grid_sample(frames.flatten(1, 2), grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return turned.view(frames.shape)
