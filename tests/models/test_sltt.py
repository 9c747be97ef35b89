"""SLTT's surrogates, neuron and networks against its public code, and time steps that run alone."""

from functools import cache

import numpy as np
import pytest
import torch

from braincog_tmkt.data.batch import Batch
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.losses import per_step_tet
from braincog_tmkt.methods import METHODS
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.all_steps import SampleDropout
from braincog_tmkt.models.multi_step import multi_step_node
from braincog_tmkt.models.nodes.lif import UnitLIFNode
from braincog_tmkt.models.parts import surrogate_class
from braincog_tmkt.models.sltt import LIF, SLTTVGG11, SLTTResNet18
from tests.golden.published import gradient_errors, published
from tests.golden.vectors import direction, fractions, whole_numbers

from .test_published import add_exactly, load

VECTORS = cache(lambda: published("sltt"))
EXECUTIONS = ("step", "multi_step")


@pytest.mark.parametrize(
    ("name", "ours", "alpha", "ends"),
    [("triangle", "QGateGrad", 1.0, ()), ("sigmoid", "SigmoidGrad", 4.0, ()), ("rectangle", "GateGrad", 2.0, (0.5,))],
)
def test_the_surrogates(name, ours, alpha, ends):
    """BrainCog's window is open, and SLTT's, which no published command uses, is closed."""
    x, spike, slope = VECTORS().array(f"surrogate/{name}")
    x = x.clone().requires_grad_()
    fired = surrogate_class(ours)(alpha=alpha, requires_grad=False)(x)
    fired.sum().backward()
    torch.testing.assert_close(x.grad[~np.isin(x.detach().abs(), ends)], slope[~np.isin(x.detach().abs(), ends)])
    assert torch.equal(fired[x != 0], spike[x != 0])  # at 0 the node decides: `inclusive`


def run(node, currents):
    """Spikes and membranes after the reset `[T, ...]`; a node for all steps gets them at once."""
    if hasattr(node, "input_steps"):
        return node(currents.flatten(0, 1)).view(currents.shape), torch.stack(node.mem_collect)
    return torch.stack([node(x) for x in currents]), torch.stack(node.mem_collect)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("reset", ["as_used", "detach_reset"])
@pytest.mark.parametrize("rule", ["SLTT", "BPTT"])
@pytest.mark.parametrize("loss", ["grad_spike", "grad_spike_v"])
def test_the_neuron(rule, reset, execution, loss):
    at = f"neuron/{rule}/{reset}"
    x = VECTORS().array("neuron/x").requires_grad_()
    how = {**LIF, "mem_detach": rule == "SLTT", "detach_reset": reset == "detach_reset", "requires_mem": True}
    del how["node_type"]
    kind = multi_step_node(UnitLIFNode) if execution == "multi_step" else UnitLIFNode
    spikes, membranes = run(kind(step=len(x), layer_by_layer=execution == "multi_step", **how), x)
    assert torch.equal(spikes, VECTORS().array(f"{at}/spike").float())
    torch.testing.assert_close(membranes.view(x.shape), VECTORS().array(f"{at}/v"), rtol=0, atol=2e-6)
    a, b = (torch.from_numpy(direction(name, tuple(x.shape))).float() for name in "ab")
    ((spikes * a).sum() + (loss == "grad_spike_v") * (membranes.view(x.shape) * b).sum()).backward()
    torch.testing.assert_close(x.grad, VECTORS().array(f"{at}/{loss}"), rtol=1e-5, atol=2e-6)


class SmallResNet18(SLTTResNet18):
    """The planes of the stored network, times 8."""

    planes = (64, 128, 256, 64)


def case_of(name, execution, **changes):
    """The network with the stored weights, the reference's names -> ours, and the batch."""
    facts = VECTORS().facts[name]
    steps, label = facts["T"], torch.tensor(facts["label"])
    if name == "vgg_small":
        counts = np.maximum(0, np.floor(8 * fractions(f"sltt|{name}|x", (steps, 4, 2, 48, 48))) - 4)
        kind, x, more = SLTTVGG11, torch.from_numpy(counts).float().transpose(0, 1), {"img_size": 48}
    else:
        x = torch.from_numpy(whole_numbers(f"sltt|{name}|x", (4, 1, 3, 32, 32), -16, 16) / 8).float()
        kind, more = SmallResNet18, {"img_size": 32, "in_chans": 3}
    net = kind(num_classes=10, step=steps, width=1 / 8, execution=execution, **{**LIF, **more, **changes})
    names = load(net, VECTORS().state(facts))
    add_exactly(net)
    return net.train(), names, Batch.of(x[:, 0], x, label, seed=0)


PHI = {"vgg_small": "one_hot", "resnet18_small": 1.0}


def gradients(name, how, net, batch):
    """Let a network have the gradients of SLTT, SLTT-K or BPTT; returns the losses."""
    facts = VECTORS().facts[name]
    if how == "bptt":
        loss = per_step_tet(net.event_logits(batch.events), batch.label, 0.05, PHI[name]).mean()
        loss.backward()
        return [loss.item()]
    loss = {"name": "tet", "weight": 0.05, "phi": PHI[name]}
    method = METHODS.build("sltt", net, loss=loss, k=2 if how == "sltt_k" else None)
    if how == "sltt_k":
        method.steps_with_loss = lambda batch: facts["sltt_k_steps"]
    losses = []
    for portion in [None] if method.portions is None else range(method.portions):
        losses.append(method(batch, 0.0, portion)["loss"])
        losses[-1].backward()
    return [loss.item() for loss in losses]


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("how", ["sltt", "sltt_k", "bptt"])
@pytest.mark.parametrize("name", PHI)
def test_the_networks_losses_gradients_and_statistics(name, how, execution):
    golden, facts = VECTORS(), VECTORS().facts[name]
    net, names, batch = case_of(name, execution, mem_detach=how != "bptt")
    losses = gradients(name, how, net, batch)
    assert sum(losses) == pytest.approx(sum(facts[f"loss_{how}"]), abs=2e-6)
    assert len(losses) == (1 if execution == "multi_step" else len(facts[f"loss_{how}"]))
    ours = dict(net.named_parameters())
    grads = {theirs: ours[name].grad for theirs, name in names.items() if name in ours}
    errors = dict(gradient_errors(facts["grad_names"], golden.arrays[f"{name}/{how}/grad_norm_sum_projection"], grads))
    assert len(errors) == {"vgg_small": 26, "resnet18_small": 56}[name]  # all but biases in front of a norm
    assert {theirs: error for theirs, error in errors.items() if not error < 2e-5} == {}
    for kind, found in (("grad", grads.__getitem__), ("running", lambda theirs: net.get_buffer(names[theirs]))):
        at = f"{name}/{how}/grad/" if kind == "grad" else f"{name}/running/"
        stored = {key.removeprefix(at): golden.array(key) for key in golden.arrays if key.startswith(at)}
        assert stored
        for theirs, expected in stored.items():
            close = 2e-5 if kind == "grad" else 1e-6
            assert (found(theirs) - expected).norm() <= close * max(1.0, expected.norm()), theirs


@pytest.mark.parametrize("name", PHI)
def test_the_networks_logits_and_spike_rates_step_by_step(name):
    golden, facts = VECTORS(), VECTORS().facts[name]
    net, _, batch = case_of(name, "step")
    rates = {}
    for node in net.nodes:
        node.register_forward_hook(lambda node, _, spikes: rates.setdefault(node, []).append(spikes.mean().item()))
    logits = torch.stack([net.step_logits(batch.events, step) for step in range(facts["T"])])
    torch.testing.assert_close(logits, golden.array(f"{name}/logits"), rtol=0, atol=2e-6)
    order = [*net.nodes] if name == "vgg_small" else by_name(net)
    assert [np.mean(rates[node]) for node in order] == pytest.approx(golden.arrays[f"{name}/rates"].tolist(), abs=1e-6)


def by_name(net):
    """The nodes of the ResNet in the reference's order, which has the last one last."""
    blocks = [block for stage in (net.layer1, net.layer2, net.layer3, net.layer4) for block in stage]
    return [node for block in blocks for node in (block.node1, block.node2)] + [net.node1]


@pytest.mark.parametrize(
    ("name", "table", "frame"),
    [("sltt_vgg11", "layers_vgg11_48x48", (2, 48, 48)), ("sltt_resnet18", "layers_resnet18_32x32", (3, 32, 32))],
)
def test_the_layers_have_the_published_numbers_of_parameters(name, table, frame):
    facts = VECTORS().facts[table]
    with torch.device("meta"):
        net = build_backbone(name, 10, 1, frame[1], in_chans=frame[0])
    ours = [sum(p.numel() for p in part.parameters(False) if p.requires_grad) for part in net.modules()]
    assert [number for number in ours if number] == [row[3] for row in facts["rows"] if row[3]]
    assert sum(ours) == facts["parameters"]


def small(execution="step", steps=4, **changes):
    torch.manual_seed(0)
    more = {"width": 1 / 16, "execution": execution, **changes}
    return build_backbone("sltt_vgg11", 10, steps, 32, **more).train()


def frames(steps=4, batch=3):
    return torch.poisson(torch.full((batch, steps, 2, 32, 32), 0.5), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", PHI)
def test_steps_alone_with_dropout_are_those_of_both_executions(name):
    """One mask a sample, drawn at the first step in one order, whatever the execution."""
    outcomes = []
    for execution in ("alone", *EXECUTIONS):
        kind = "multi_step" if execution == "multi_step" else "step"
        net, _, batch = case_of(name, kind, dropout=0.5)
        torch.manual_seed(3)
        if execution == "alone":
            logits = torch.stack([net.step_logits(batch.events, step) for step in range(net.step)])
        else:
            logits = net.event_logits(batch.events)
        outcomes.append((logits, *(buffer for buffer in net.buffers() if buffer.is_floating_point())))
    for other in outcomes[1:]:
        torch.testing.assert_close(other, outcomes[0], rtol=1e-4, atol=1e-4)
    torch.manual_seed(4)
    assert not torch.allclose(net.event_logits(batch.events), outcomes[0][0], atol=1e-2)
    net.eval()
    torch.testing.assert_close(net.event_logits(batch.events), net.event_logits(batch.events), rtol=0, atol=0)


def test_masks_do_not_depend_on_the_memory_layout():
    masks = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        masks.append(SampleDropout(0.5)(torch.ones(2, 3, 4, 4).contiguous(memory_format=layout)))
    assert torch.equal(*masks)


def test_masks_last_from_the_first_step_to_the_last_alone():
    net = small(dropout=0.5)
    dropouts = [part for part in net.modules() if isinstance(part, SampleDropout)]
    assert len(dropouts) == len(net.nodes) == 8
    masks = []
    for _ in range(2):
        for step in range(4):
            net.step_logits(frames(), step)
            if step < 3:
                masks.append([dropout.mask for dropout in dropouts])
        assert all(dropout.mask is None for dropout in dropouts)
    assert set(masks[0][0].unique().tolist()) == {0.0, 2.0}
    for first, same, other in zip(masks[0], masks[2], masks[3], strict=True):
        assert first is same
        assert first.shape == other.shape
        assert first.numel() < 100 or not torch.equal(first, other)


def test_a_step_that_cannot_run_now_is_refused():
    net, x = small(), frames()
    net.step_logits(x, 0)
    for step in (2, 4, -1):
        with pytest.raises(RecipeError, match="the next step is 1 of 4"):
            net.step_logits(x, step)
    net.event_logits(x)
    with pytest.raises(RecipeError, match="the next step is 0 of 4"):
        net.step_logits(x, 1)
    with pytest.raises(RecipeError, match="4 time steps, the frames have 3"):
        net.step_logits(x[:, :3], 0)
    with pytest.raises(RecipeError, match="multi_step cannot run a time step alone"):
        small("multi_step").step_logits(x, 0)
    with pytest.raises(RecipeError, match=r"dropout must be from 0 to below 1, not 1\.0"):
        small(dropout=1.0)
