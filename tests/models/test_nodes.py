"""What the fast paths must leave to others: states they do not start from, weights that stand still, hooks."""

import pytest
import torch
from torch import nn

from braincog_tmkt.models.spikes import SpikeConv2d, mark

from .test_fused_bn_neuron import KERNEL_NODES, make_node, make_norm


@pytest.mark.parametrize("kind", KERNEL_NODES)
def test_a_node_with_a_membrane_goes_on_from_there(kind):
    fast, slow = (make_node(kind, steps=3, fast=fast) for fast in (True, False))
    fast.mem, slow.mem = torch.full((2, 5), 0.3), torch.full((2, 5), 0.3)
    x = torch.rand(6, 5)
    assert torch.equal(fast(x), torch.cat([slow(step) for step in x.split(2)]))


def test_a_weight_that_stands_still_lets_gradients_through():
    plain, ours = (kind(3, 4, 3).requires_grad_(False) for kind in (nn.Conv2d, SpikeConv2d))
    ours.load_state_dict(plain.state_dict())
    x, y = (torch.ones(1, 3, 5, 5, requires_grad=True) for _ in range(2))
    ours(mark(x, 1)).square().sum().backward()
    plain(y).square().sum().backward()
    assert torch.equal(x.grad, y.grad)
    assert ours.weight.grad is None


def test_a_hook_before_the_norm_may_change_the_currents():
    x = torch.randn(4, 3, 5, 5)
    node, norm = make_node("LIFNode", steps=2), make_norm(3, steps=2).eval()
    expected = node(2 * x, norm)
    norm.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    node.n_reset()
    assert torch.equal(node(x, norm), expected)
