"""Every combination of a neuron's fields: the CPU's kernels, and those of CUDA in Triton's interpreter."""

from itertools import product

import pytest
import torch

from braincog_tmkt.models.fused_bn_neuron import neuron_of
from braincog_tmkt.models.kernels import SLOPES
from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.nodes.lif import UnitLIFNode

from .neurons import INTERPRETED, LIF, PLIF, currents, make_surrogate, neuron

if INTERPRETED:
    from braincog_tmkt.models.kernels import cuda as backend
else:
    from braincog_tmkt.models.kernels import cpu as backend


def test_a_dspike_of_another_width_walks():
    """The kernels know the paper's window, of width 1."""
    node = multi_step_node(UnitLIFNode)(act_fun=make_surrogate("Dspike", 3.0), step=2, layer_by_layer=True)
    assert neuron_of(node) is not None
    node.act_fun.window = 2.0
    assert neuron_of(node) is None


def formulas(x, like, surrogate):
    """Outputs and membranes of `[T, ...]`: what `Neuron` says of its fields, one step at a time."""
    act_fun = make_surrogate(surrogate, like.alpha.item())
    m, outputs, membranes = torch.full_like(x[0], like.v_init), [], []
    for current in x:
        m = m.detach() if like.cut else m
        drive = current if like.keep is not None else current - m
        drive = drive / like.gain if like.divide else drive * like.gain
        v = drive + (m if like.keep is None else like.keep * m)
        above = v - like.threshold
        spike = act_fun(above)
        spike = spike - spike.detach() + (above >= 0 if like.inclusive else above > 0).float()
        fired = spike if like.attached else spike.detach()
        m = v - like.threshold * fired if like.soft else v * (1 - fired)
        outputs.append(spike if like.amplitude is None else spike * like.amplitude)
        membranes.append(m)
    return torch.stack(outputs), torch.stack(membranes)


FORMS = ((LIF, 2.0), (PLIF, 0.25), ({"keep": 0.75}, 0.25), ({"keep": 0.3}, 1.0))
FIELDS = [*product([False, True], repeat=4)]


def of_all(number, choices):
    """All of them; in Triton's interpreter, which is slow, one, so that case after case each of them has its turn."""
    choices = [*enumerate(choices)]
    return [choices[(number + number // len(choices)) % len(choices)]] if INTERPRETED else choices


@pytest.mark.parametrize(("inclusive", "attached", "soft", "cut"), FIELDS)
def test_each_field_of_a_neuron_changes_one_thing(inclusive, attached, soft, cut):
    number = FIELDS.index((inclusive, attached, soft, cut))
    fields = {"inclusive": inclusive, "attached": attached, "soft": soft, "cut": cut}
    for (_, (form, gain)), (place, surrogate) in product(of_all(number, FORMS), of_all(number, SLOPES)):
        odd = place % 2 == 1
        like = neuron(form, gain, 0.75, surrogate, 1.0, 0.25, **fields, **({"amplitude": 1.5} if odd else {}))
        x = (2 * currents(4, 1, 9, 5, seed=place)).requires_grad_()
        grads = torch.randn(x.shape), None if odd else torch.randn(x.shape)
        expected = formulas(x, like, surrogate)
        for got, one in zip(backend.forward(x.detach(), None, None, like, True), expected, strict=True):
            assert torch.equal(got, one)
        sum((y * grad).sum() for y, grad in zip(expected, grads, strict=True) if grad is not None).backward()
        grad, _, numbers = backend.backward(x.detach(), None, None, None, None, like, *grads)
        torch.testing.assert_close(grad, x.grad, rtol=1e-5, atol=1e-5)
        if like.learnt[0]:
            assert numbers[0].item() == pytest.approx(like.gain.grad.item(), rel=1e-4, abs=1e-4)


UNIT_FORMS = {"decay": 0.75}, {"decay": 0.3, "decay_input": True}, {"decay_input": True, "learn_decay": True}


@pytest.mark.parametrize(("inclusive", "attached", "soft", "cut"), FIELDS)
def test_the_unit_gain_node_as_it_walks(inclusive, attached, soft, cut):
    """Every reset, with and without its gradients and those over time."""
    number = FIELDS.index((inclusive, attached, soft, cut))
    how = {"inclusive": inclusive, "detach_reset": not attached, "soft_reset": soft, "mem_detach": cut}
    how |= {"threshold": 0.5, "step": 4, "layer_by_layer": True, "requires_mem": True}
    for (_, form), (place, surrogate) in product(of_all(number, UNIT_FORMS), of_all(number, SLOPES)):
        node = multi_step_node(UnitLIFNode)(act_fun=make_surrogate(surrogate, 1.5), **how, **form)
        like, node.walks = neuron_of(node), True
        x = (2 * currents(4, 1, 9, 5, seed=place)).requires_grad_()
        spikes, grads = node(x.flatten(0, 2)).view(x.shape), torch.randn(2, *x.shape).unbind()
        membranes = torch.stack(node.mem_collect).view(x.shape)
        sum((y * grad).sum() for y, grad in zip((spikes, membranes), grads, strict=True)).backward()
        for got, one in zip(backend.forward(x.detach(), None, None, like, True), (spikes, membranes), strict=True):
            assert torch.equal(got, one)
        grad, _, numbers = backend.backward(x.detach(), None, None, None, None, like, *grads)
        torch.testing.assert_close(grad, x.grad, rtol=1e-5, atol=1e-5)
        if node.learn_decay:
            share = like.gain.item()
            assert numbers[0].item() * share * (1 - share) == pytest.approx(node.w.grad.item(), rel=1e-4, abs=1e-4)
