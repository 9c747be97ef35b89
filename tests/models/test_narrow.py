"""Convolutions of few channels."""

import torch

from braincog_tmkt.models.spikes import SpikeConv2d, mark
from tests.children import run


def test_narrow_strided_convolutions_of_one_pixel_stay_in_their_memory():
    """In a process of its own, for there oneDNN ended it (see `SpikeConv2d`)."""
    done = run(narrow)
    assert done.returncode == 0, done.stderr


def narrow():
    for channels in (2, 4, 8, 15):
        layer = SpikeConv2d(channels, 8, 1, stride=2, bias=False)
        for spikes in (False, True):
            x = (torch.rand(24, channels, 16, 16) < 0.5).float().contiguous(memory_format=torch.channels_last)
            x = mark(x, 1) if spikes else x.requires_grad_()
            for _ in range(10):
                layer.weight.grad = None
                y = layer(x)
                y.square().sum().backward()
            exact = torch.einsum("nohw,nchw->oc", 2 * y.double(), x[:, :, ::2, ::2].double())
            torch.testing.assert_close(layer.weight.grad[:, :, 0, 0].double(), exact, rtol=1e-5, atol=1e-3)
