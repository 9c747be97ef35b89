"""A small batch and a small network for the tests of the methods."""

import torch

from braincog_tmkt.data.batch import Batch, BatchRNG
from braincog_tmkt.models import build_backbone


def make_batch(rows=6, steps=4, size=28, classes=3, seed=0, total=None, start=0):
    generator = torch.Generator().manual_seed(7)
    static = torch.rand(total or rows, 1, size, size, generator=generator).expand(-1, 2, -1, -1)
    events = torch.poisson(torch.full((total or rows, steps, 2, size, size), 0.5), generator=generator)
    mine = slice(start, start + rows)
    label = torch.arange(total or rows) % classes
    return Batch(
        static[mine], events[mine], label[mine], torch.arange(rows), BatchRNG(seed, start, rows, total or rows)
    )


def make_backbone(name="tmkt_scnn", steps=4, classes=3, **kwargs):
    torch.manual_seed(0)
    size = 28 if name == "tmkt_scnn" else 16
    return build_backbone(name, classes, steps, size, **{"width": 0.25, **kwargs})
