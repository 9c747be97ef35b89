"""Batch norm and node in one operator, against torch's batch norm and BrainCog's own nodes, one step at a time."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.fused_bn_neuron import neuron_of
from braincog_tmkt.models.kernels import cpu
from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.norms.step import StepBatchNorm2d
from braincog_tmkt.models.parts import node_class, surrogate_class
from braincog_tmkt.models.spikes import SpikeConv2d, SpikePool2d, levels_of, mark

KERNEL_NODES = ("IFNode", "LIFNode", "PLIFNode")
KERNEL_SURROGATES = ("QGateGrad", "BackEIGateGrad", "GateGrad", "AtanGrad")


def make_node(name, surrogate="QGateGrad", steps=3, fast=True, **kwargs):
    node = node_class(name)
    node = multi_step_node(node) if fast else node
    return node(act_fun=surrogate_class(surrogate), step=steps, layer_by_layer=fast, **kwargs)


def make_norm(channels, seed=0, steps=1, streams=1):
    norm = StepBatchNorm2d(channels)
    norm.steps, norm.streams = steps, streams
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        norm.weight.copy_(0.5 + torch.rand(channels, generator=generator))
        norm.bias.copy_(torch.rand(channels, generator=generator))
    return norm


def one_step_at_a_time(currents, node, norm, streams):
    """BrainCog's way: stream after stream, step after step; spikes and membranes `[T, S, B, C, H, W]`."""
    steps = currents.unflatten(0, (node.step, streams, -1))
    spikes, membranes = [], []
    for s in range(streams):
        node.n_reset()
        node.requires_mem = True
        spikes.append(torch.stack([node(norm(step[s])) for step in steps]))
        membranes.append(torch.stack(node.mem_collect))
    return torch.stack(spikes, 1), torch.stack(membranes, 1)


@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(KERNEL_NODES),
    surrogate=st.sampled_from(KERNEL_SURROGATES),
    tau=st.sampled_from([1.5, 2.0, 3.0]),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 2), st.integers(2, 3), st.integers(1, 70), st.integers(1, 6)),
    rest=st.sampled_from([0.0, 0.3]),
    dt=st.sampled_from([1.0, 0.5]),
    loss=st.sampled_from(["both", "spikes", "membranes"]),
    training=st.booleans(),
    cut=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_one_operator_is_batch_norm_and_brain_cogs_node(
    kind, surrogate, tau, shape, rest, dt, loss, training, cut, seed
):
    steps, streams, batch, channels, side = shape
    how = {"tau": tau, "threshold": 0.5, "v_reset": rest, "dt": dt, "mem_detach": cut}
    torch.manual_seed(seed)
    x = (2 * torch.randn(steps * streams * batch, channels, side, side + 1) + 0.5).requires_grad_()
    twin = x.detach().clone().requires_grad_()
    node, slow = (make_node(kind, surrogate, steps, fast, **how) for fast in (True, False))
    node.n_reset()
    norm, plain = make_norm(channels, seed, steps, streams).train(training), make_norm(channels, seed).train(training)
    node.requires_mem = True
    spikes = node(x, norm).unflatten(0, (steps, streams, batch))
    membranes = torch.stack(node.mem_collect).unflatten(1, (streams, batch))
    expected, expected_membranes = one_step_at_a_time(twin, slow, plain, streams)
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(membranes, expected_membranes, rtol=1e-5, atol=1e-5)
    weight = torch.randn_like(spikes)
    for outputs in ((spikes, membranes), (expected, expected_membranes)):
        parts = {"spikes": (outputs[0] * weight).sum(), "membranes": (outputs[1] * weight.flip(0)).sum()}
        parts["both"] = parts["spikes"] + parts["membranes"]
        parts[loss].backward()
    torch.testing.assert_close(x.grad, twin.grad, rtol=1e-3, atol=1e-4)
    for ours, theirs in ((node, slow), (norm, plain)):
        wanted = dict(theirs.named_parameters())
        for name, parameter in ours.named_parameters():
            if parameter.grad is None or wanted[name].grad is None:  # PLIF's alpha may have a gradient of zeros
                assert not any(p.grad is not None and p.grad.any() for p in (parameter, wanted[name])), name
            else:
                torch.testing.assert_close(parameter.grad, wanted[name].grad, rtol=1e-3, atol=1e-3, msg=name)
    torch.testing.assert_close(norm.running_mean, plain.running_mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var, plain.running_var, rtol=1e-5, atol=1e-6)
    assert norm.num_batches_tracked == plain.num_batches_tracked


def test_a_potential_at_the_threshold_does_not_fire():
    for kind, current in (("LIFNode", 1.0), ("IFNode", 0.5), ("PLIFNode", 1.0)):
        node = make_node(kind, steps=1, threshold=0.5, tau=2.0)
        assert node(torch.full((1, 4), current)).sum() == 0
        node.n_reset()
        assert node(torch.full((1, 4), torch.nextafter(torch.tensor(current), torch.tensor(2.0)))).sum() == 4


def test_bfloat16_currents_give_the_numbers_of_their_values():
    torch.manual_seed(0)
    x = torch.randn(3 * 4, 5, 6, 6).bfloat16()
    given, plain = x.clone().requires_grad_(), x.float().requires_grad_()
    weight = torch.randn(x.shape).bfloat16()
    results = []
    for currents in (given, plain):
        node, norm = make_node("LIFNode", steps=3, tau=1.7), make_norm(5, steps=3)
        node.requires_mem = True
        spikes = node(currents, norm)
        assert spikes.dtype == currents.dtype
        assert node.mem.dtype == torch.float32  # membranes stay in full precision
        (spikes * weight.to(spikes.dtype)).sum().backward()
        results.append((spikes.float(), torch.stack(node.mem_collect), norm.weight.grad, currents.grad.float()))
    for ours, theirs in zip(results[0][:2], results[1][:2], strict=True):
        assert torch.equal(ours, theirs)
    torch.testing.assert_close(results[0][2], results[1][2], rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(results[0][3], results[1][3], rtol=1e-2, atol=2e-2)


@pytest.mark.parametrize("kind", KERNEL_NODES)
def test_the_threshold_is_read_as_brain_cogs_node_reads_it(kind):
    x = torch.randn(6, 4)
    fast, slow = (make_node(kind, steps=3, fast=fast, sigmoid_thres=True, threshold=-0.3) for fast in (True, False))
    assert torch.equal(fast(x), torch.cat([slow(step) for step in x.split(2)]))


def test_under_autocast_membranes_and_logits_stay_in_full_precision():
    for node in ("LIFNode", "BiasLIFNode"):
        net = build_backbone("tmkt_vggsnn", 3, 2, 16, width=0.125, node_type=node).train()
        with torch.autocast("cpu", torch.bfloat16):
            for stream in net.streams(torch.rand(2, 2, 16, 16), torch.rand(2, 2, 2, 16, 16), torch.ones(2, 2) > 0):
                assert stream.logits.dtype == stream.aligned.dtype == torch.float32


def test_nan_currents_are_not_hidden():
    x = torch.randn(4, 3, 5, 5)
    x[0, 0, 0, 0] = float("nan")
    node, norm = make_node("LIFNode", steps=2), make_norm(3, steps=2)
    x = x.bfloat16().requires_grad_()
    node(x, norm).sum().backward()
    assert norm.running_mean.isnan()[0]
    assert x.grad.isnan().any()


@pytest.mark.parametrize(
    ("kind", "settings_"),
    [
        ("LIFNode", {"act_fun": "SigmoidGrad"}),
        ("LIFNode", {"requires_thres_grad": True}),
        ("PLIFNode", {"dt": 0.5}),
        ("BiasLIFNode", {}),
    ],
)
def test_what_the_kernels_do_not_know_walks_as_brain_cog_does(kind, settings_):
    surrogate = surrogate_class(settings_.pop("act_fun", "QGateGrad"))
    fast = multi_step_node(node_class(kind))(act_fun=surrogate, step=3, layer_by_layer=True, **settings_)
    slow = node_class(kind)(act_fun=surrogate, step=3, **settings_)
    assert neuron_of(fast) is None
    x = 2 * torch.rand(6, 4, 5, 5)
    norm = make_norm(4, steps=3).eval()
    expected = torch.cat([slow(norm(step)) for step in x.split(2)])
    assert torch.equal(fast(x, norm), expected)


def test_a_hook_on_the_norm_sees_normalised_currents():
    node, norm, seen = make_node("LIFNode", steps=2), make_norm(3, steps=2), []
    x = torch.randn(4, 3, 5, 5)
    together = node(x, norm)
    norm.register_forward_hook(lambda *args: seen.append(args[2]))
    node.n_reset()
    assert torch.equal(node(x, norm), together)
    assert seen[0].shape == x.shape


def kept_bytes(function):
    """What autograd keeps, by type of number, each memory once; and the result."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = (tensor.dtype, tensor.nbytes)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = function()
    total = {}
    for dtype, size in kept.values():
        total[dtype] = total.get(dtype, 0) + size
    return total, result


def test_spikes_are_kept_as_bytes_and_the_numbers_stay():
    torch.manual_seed(0)
    spikes = (torch.rand(6, 8, 12, 12) < 0.3).float().contiguous(memory_format=torch.channels_last)
    for levels, inputs in ((1, spikes), (4, nn.functional.avg_pool2d(spikes, 2)), (None, 0.37 * spikes)):
        plain, ours = (kind(8, 16, 3, stride=2, padding=1) for kind in (nn.Conv2d, SpikeConv2d))
        ours.load_state_dict(plain.state_dict())
        x, y = inputs.clone().requires_grad_(), inputs.clone().requires_grad_()
        given = x if levels is None else mark(x, levels)
        kept, out = kept_bytes(lambda ours=ours, given=given: ours(given))
        assert kept.get(torch.int8, 0) == (0 if levels is None else x.numel())
        assert torch.equal(out, plain(y))
        out.square().sum().backward()
        plain(y).square().sum().backward()
        for got, expected in ((x, y), (ours.weight, plain.weight), (ours.bias, plain.bias)):
            assert torch.equal(got.grad, expected.grad)


def test_what_changes_the_spikes_on_their_way_changes_what_is_kept():
    """A hook, a dropout or another node behind the first one: gradients are those of step mode all the same."""
    for change in (lambda module, inputs, output: 0.37 * output, None):
        gradients = []
        for execution in ("step", "multi_step"):
            torch.manual_seed(0)
            net = build_backbone("tmkt_vggsnn", 3, 2, 16, width=0.125, execution=execution).eval()
            if change is not None:
                net.feature[1].node.register_forward_hook(change)
            else:
                net.feature[1].node = make_node("BurstLIFNode", "RoundGrad", 2, fast=execution == "multi_step")
            net.event_logits(
                3 * torch.rand(2, 2, 2, 16, 16, generator=torch.Generator().manual_seed(1))
            ).sum().backward()
            gradients.append([p.grad for p in net.parameters() if p.grad is not None])
        for ours, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("side", "size"), [(2, (8, 6)), (3, (9, 3)), (2, (7, 8))])
def test_pooling_keeps_nothing(side, size):
    x = torch.rand(2, 3, *size, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    pool = SpikePool2d(side)
    kept, out = kept_bytes(lambda: pool(mark(x, 1)))
    assert levels_of(out) == (None if size[0] % side else side**2)
    assert not kept or size[0] % side  # windows that leave pixels out are torch's own
    out.square().sum().backward()
    nn.functional.avg_pool2d(y, side).square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_a_class_of_ones_own_is_not_taken_for_brain_cogs():
    lif, gate = node_class("LIFNode"), surrogate_class("QGateGrad")
    mine = type("LIFNode", (lif,), {"integral": lambda self, inputs: setattr(self, "mem", inputs)})
    odd = type("QGateGrad", (surrogate_class("SigmoidGrad"),), {})
    for node, surrogate in ((mine, gate), (lif, odd)):
        fast = multi_step_node(node)(act_fun=surrogate, step=2, layer_by_layer=True)
        slow = node(act_fun=surrogate, step=2)
        x, y = (
            torch.linspace(-1, 2, 12).view(4, 3).requires_grad_(),
            torch.linspace(-1, 2, 12).view(4, 3).requires_grad_(),
        )
        spikes, expected = fast(x), torch.cat([slow(step) for step in y.split(2)])
        assert torch.equal(spikes, expected)
        spikes.sum().backward()
        expected.sum().backward()
        torch.testing.assert_close(x.grad, y.grad)


def test_bfloat16_is_rounded_to_the_nearest_and_membranes_to_nothing():
    torch.manual_seed(0)
    x = torch.randn(3 * 40, 50).bfloat16()
    given, plain = x.clone().requires_grad_(), x.float().requires_grad_()
    for currents in (given, plain):
        node = make_node("LIFNode", steps=3, tau=3.0)
        (node(currents) * torch.linspace(-1, 1, 50).bfloat16().to(currents.dtype)).sum().backward()
    assert torch.equal(given.grad, plain.grad.bfloat16())


def test_membranes_are_brain_cogs_to_the_last_bit_for_every_tau():
    x = torch.randn(4 * 100, 20)
    for kind in KERNEL_NODES:
        fast, slow = (make_node(kind, steps=4, fast=fast, tau=3.0, requires_mem=True) for fast in (True, False))
        fast(x)
        for step in x.split(100):
            slow(step)
        assert torch.equal(torch.stack(fast.mem_collect), torch.stack(slow.mem_collect))


def test_threads_share_the_work_and_change_no_number(monkeypatch):
    torch.manual_seed(0)
    x, weight = torch.randn(3 * 2 * 4, 5, 7, 7), torch.randn(3 * 2 * 4, 5, 7, 7)
    monkeypatch.setattr(cpu, "WORTH_THREADS", 1)
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            node, norm = make_node("PLIFNode", "AtanGrad", steps=3), make_norm(5, steps=3, streams=2)
            currents = x.clone().requires_grad_()
            spikes = node(currents, norm)
            (spikes * weight).sum().backward()
            learnt = norm.weight.grad, norm.bias.grad, node.w.grad, node.act_fun.alpha.grad, norm.running_var
            results.append([spikes, currents.grad, *learnt])
    finally:
        torch.set_num_threads(1)
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


def test_one_value_a_channel_is_refused_as_torch_refuses_it():
    for norm in (make_norm(3, steps=2), nn.BatchNorm2d(3)):
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            norm(torch.randn(1 if type(norm) is nn.BatchNorm2d else 2, 3, 1, 1))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        make_node("LIFNode", steps=2)(torch.randn(2, 3, 1, 1), make_norm(3, steps=2))


def test_autocast_gradients_are_those_of_plain_convolutions():
    torch.manual_seed(0)
    spikes = (torch.rand(6, 8, 12, 12) < 0.3).float()
    plain, ours = (kind(8, 16, 3, padding=1) for kind in (nn.Conv2d, SpikeConv2d))
    ours.load_state_dict(plain.state_dict())
    for conv in (plain, ours):
        with torch.autocast("cpu", torch.bfloat16):
            out = conv(mark(spikes.clone(), 1))
        assert out.dtype == torch.bfloat16
        out.float().square().sum().backward()
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad, rtol=1e-2, atol=1e-1)
    assert ours.weight.grad.dtype == torch.float32


def two_losses(net, execution_frames):
    """Two forwards of different layouts in one graph, and a change of mode before the backward pass."""
    mixed, events = execution_frames
    total = sum(part.square().sum() for stream in net.streams(mixed, events) for part in stream)
    total = total + net.event_logits(events).square().sum()
    net.eval()
    total.backward(retain_graph=True)
    total.backward()
    return total


@pytest.mark.parametrize("surrogate", ["QGateGrad", "SigmoidGrad"])
def test_recomputing_knows_how_it_was_the_first_time(surrogate):
    results = []
    for recompute in (False, True):
        torch.manual_seed(0)
        net = build_backbone("tmkt_vggsnn", 3, 2, 16, width=0.125, act_fun=surrogate, recompute=recompute).train()
        net.set_requires_fp(True)
        generator = torch.Generator().manual_seed(1)
        loss = two_losses(net, [3 * torch.rand(2, 2, 2, 16, 16, generator=generator) for _ in range(2)])
        for node in net.nodes:
            assert not torch.is_tensor(node.mem)
            assert not node.mem_collect
            assert len(node.feature_map) == 2
        assert not net.training
        results.append((loss, [p.grad for p in net.parameters() if p.grad is not None], list(net.buffers())))
    assert torch.equal(results[0][0], results[1][0])
    for part in (1, 2):
        for ours, theirs in zip(results[0][part], results[1][part], strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["tmkt_vggsnn", "tmkt_resnet18"])
def test_recomputing_changes_memory_and_no_number(name):
    results = []
    for recompute in (False, True):
        torch.manual_seed(0)
        net = build_backbone(name, 3, 2, 16, width=0.25, recompute=recompute).train()
        generator = torch.Generator().manual_seed(1)
        mixed, events = (3 * torch.rand(2, 2, 2, 16, 16, generator=generator) for _ in range(2))

        def forward(net=net, mixed=mixed, events=events):
            return sum(part.square().sum() for stream in net.streams(mixed, events) for part in stream)

        kept, loss = kept_bytes(forward)
        loss.backward()
        for node in net.nodes:
            assert not torch.is_tensor(node.mem)
            assert not node.mem_collect
        results.append((sum(kept.values()), loss, net))
    assert results[1][0] < 0.7 * results[0][0]
    assert torch.equal(results[0][1], results[1][1])
    for ours, theirs in zip(results[0][2].parameters(), results[1][2].parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        assert ours.grad is None or torch.equal(ours.grad, theirs.grad)
    for (key, ours), theirs in zip(results[0][2].named_buffers(), results[1][2].buffers(), strict=True):
        assert torch.equal(ours, theirs), key


def test_running_statistics_move_as_many_single_steps_do():
    for momentum in (0.1, None):
        torch.manual_seed(0)
        ours, theirs = StepBatchNorm2d(3, momentum=momentum), nn.BatchNorm2d(3, momentum=momentum)
        for _ in range(2):
            x = torch.randn(4, 2, 5, 3, 6, 6) * torch.rand(4, 2, 1, 3, 1, 1)
            ours.steps, ours.streams = 4, 2
            y = ours(x.flatten(0, 2)).view(x.shape)
            for s in range(2):
                for t in range(4):
                    torch.testing.assert_close(y[t, s], theirs(x[t, s]), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-5, atol=1e-6)
