"""Batch norm over all steps together, in front of a node: torch's own on the flat tensor is the truth."""

import copy
import os

import pytest
import torch
import torch.distributed as dist
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.nodes.soft_reset import SoftResetIFNode
from braincog_tmkt.models.norms.shared import SharedBatchNorm2d
from braincog_tmkt.models.parts import node_class
from braincog_tmkt.models.recompute import recomputed
from tests.children import together

KINDS = {"LIFNode": node_class("LIFNode"), "SoftResetIFNode": SoftResetIFNode}


class Layer(nn.Module):
    """A norm and a node: in one operator, or torch's norm and BrainCog's layer_by_layer walk of the plain node."""

    def __init__(self, kind, channels, steps, fused, momentum=0.1):
        super().__init__()
        self.norm = (SharedBatchNorm2d if fused else nn.BatchNorm2d)(channels, momentum=momentum)
        node = multi_step_node(KINDS[kind]) if fused else KINDS[kind]
        self.node = node(threshold=0.6, step=steps, layer_by_layer=True)
        self.fused = fused
        with torch.no_grad():
            self.norm.weight.copy_(torch.linspace(0.5, 1.5, channels))
            self.norm.bias.copy_(torch.linspace(1, -0.2, channels))

    def forward(self, x):
        return self.node(x, self.norm) if self.fused else self.node(self.norm(x))


def currents(steps, batch, channels, side, seed=0):
    """Steps that differ in mean and spread, so that statistics of single steps are other ones."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, batch, channels, side, side + 1, generator=generator)
    shift, spread = (torch.rand(2, steps, 1, channels, 1, 1, generator=generator) * 3).unbind()
    return (x * (0.2 + spread) + shift).flatten(0, 1)


def trained(layer, x, weight, run=None):
    """Outputs, and all gradients and buffers after two forwards of which the second is derived."""
    for part in (1.3 * x, x):
        layer.node.n_reset()
        x = part.detach().clone().requires_grad_()
        outputs = (run or layer)(x)
    (outputs * weight).sum().backward()
    return outputs, x.grad, layer.norm.weight.grad, layer.norm.bias.grad, layer.norm.state_dict()


def same(ours, theirs, rtol=1e-3, atol=1e-3):
    assert torch.equal(ours[0], theirs[0])
    torch.testing.assert_close(ours[1:4], theirs[1:4], rtol=rtol, atol=atol)
    torch.testing.assert_close(ours[4], theirs[4], rtol=1e-5, atol=1e-6)


@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(sorted(KINDS)),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 70), st.integers(1, 6)),
    momentum=st.sampled_from([0.1, None]),
    training=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_all_steps_are_normalised_together(kind, shape, momentum, training, seed):
    x = currents(*shape, seed)
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    ours, theirs = (Layer(kind, shape[2], shape[0], fused, momentum).train(training) for fused in (True, False))
    same(trained(ours, x, weight), trained(theirs, x, weight))


@pytest.mark.parametrize("kind", KINDS)
def test_computing_again_changes_no_number(kind):
    x = currents(4, 3, 5, 6)
    plain, again = (Layer(kind, 5, 4, fused=True) for _ in range(2))
    theirs = Layer(kind, 5, 4, fused=False)
    expected = trained(plain, x, 1.0)
    torch.testing.assert_close(trained(again, x, 1.0, lambda x: recomputed(again, x)), expected, rtol=0, atol=0)
    same(expected, trained(theirs, x, 1.0))


def test_an_unfused_norm_computes_again_what_it_computed():
    """A node that the kernels do not know, behind the norm of all steps: the second run takes another way."""
    x = currents(4, 3, 5, 6)
    layers = [Layer("SoftResetIFNode", 5, 4, fused=True) for _ in range(2)]
    for layer in layers:
        layer.node.threshold.requires_grad_()
    same(trained(layers[0], x, 1.0, lambda x: recomputed(layers[0], x)), trained(layers[1], x, 1.0))


def test_bfloat16_currents_give_the_numbers_of_their_values():
    x = currents(3, 4, 5, 6).bfloat16()
    layer = Layer("SoftResetIFNode", 5, 3, fused=True)
    twin = copy.deepcopy(layer)
    narrow, wide = x.clone().requires_grad_(), x.float().requires_grad_()
    outputs, expected = layer(narrow), twin(wide)
    assert outputs.dtype == torch.bfloat16
    assert torch.equal(outputs > 0, expected > 0)
    outputs.float().square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(narrow.grad.float(), wide.grad, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(layer.norm.state_dict(), twin.norm.state_dict())


def test_one_value_a_channel_at_each_step_is_enough():
    layer = Layer("LIFNode", 3, 2, fused=True)
    layer(torch.randn(2, 3, 1, 1))
    layer.node.n_reset()
    layer.node.step = 1
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        layer(torch.randn(1, 3, 1, 1))


def halves(rank, folder):
    torch.set_num_threads(1)
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo"}
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    x = currents(3, 4, 5, 6).unflatten(0, (3, 2, 2))[:, rank].flatten(0, 1)
    layer = Layer("SoftResetIFNode", 5, 3, fused=True)
    layer.norm.synchronised = True
    torch.save(trained(layer, x, 1.0), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.ddp
def test_two_processes_normalise_as_one_does(tmp_path):
    assert together(halves, str(tmp_path)) == [0, 0]
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    rows = [torch.stack([part[i].unflatten(0, (3, 2)) for part in parts], 1).flatten(0, 2) for i in range(2)]
    learnt = [parts[0][i] + parts[1][i] for i in (2, 3)]
    expected = trained(Layer("SoftResetIFNode", 5, 3, fused=False), currents(3, 4, 5, 6), 1.0)
    for part in parts:
        same((*rows, *learnt, part[4]), expected)
