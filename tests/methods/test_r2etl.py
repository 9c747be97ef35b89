"""R2ETL against the golden vectors of its code, and on networks, images and batches of other kinds."""

import numpy as np
import pytest
import timm
import torch

import braincog_tmkt  # noqa: F401  registers the backbones
from braincog_tmkt.data.batch import Batch, BatchRNG
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.losses import DISTANCES, cka_of_sequences, cka_of_sums, mmd_of_means, mse_of_means, tcka
from braincog_tmkt.methods import METHODS
from braincog_tmkt.models import build_backbone
from tests.golden.published import gradient_errors, published
from tests.golden.vectors import fractions, whole_numbers

from .toys import make_backbone, make_batch

GOLDEN = published("tcka")
NET = GOLDEN.facts["net"]
FORMULAS = {
    "tcka_gram": tcka,
    "tcka_feature_space": tcka,
    "cka_sum_gram": cka_of_sums,
    "cka_flatten_gram": cka_of_sequences,
    "tmse": DISTANCES["tmse"].between,
    "mse_of_means": mse_of_means,
    "mmd_of_means": mmd_of_means,
}


@pytest.mark.parametrize("samples", [4, 8])
@pytest.mark.parametrize("name", FORMULAS)
def test_distances_and_their_gradients(name, samples):
    x, y = (GOLDEN.array(f"cka/{samples}/{side}").transpose(0, 1).contiguous().requires_grad_() for side in "xy")
    value = FORMULAS[name](x, y)
    value.backward()
    assert value.item() == pytest.approx(float(GOLDEN.array(f"cka/{samples}/{name}/value")), abs=2e-6)
    for side, got in (("x", x.grad), ("y", y.grad)):
        expected = GOLDEN.array(f"cka/{samples}/{name}/grad_{side}").transpose(0, 1)
        assert (got - expected).norm() <= 1e-4 * expected.norm()


@pytest.mark.parametrize("name", FORMULAS)
def test_distances_of_spikes_in_bfloat16_are_those_of_fp32(name):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.rand(6, 8, 40, generator=generator).gt(share).float() for share in (0.5, 0.55))
    value = FORMULAS[name](x.bfloat16(), y.bfloat16())
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(FORMULAS[name](x, y).item(), rel=1e-6)


def golden_batch():
    """The images, events and labels of the reference's run."""
    static = torch.from_numpy(whole_numbers("tcka|rgb", (4, 3, 48, 48), -16, 16) / 8).float()
    events = np.maximum(0, np.floor(8 * fractions("tcka|dvs", (4, 3, 2, 48, 48))) - 5) / 2
    events = torch.from_numpy(events).float()
    return Batch(static, events, torch.tensor(NET["label"]), torch.arange(4), BatchRNG(0, 0, 4, 4))


def golden_net(case):
    """Our network with the reference's weights, and the names of its parameters by the reference's."""
    lif = {"node_type": "UnitLIFNode", "threshold": 1.0, "decay": 0.5, "alpha": 1.0}
    form = {} if case == "ap" else {"average_pooling": False, "across_units": True}
    net = timm.create_model("r2etl_vggsnn", num_classes=10, step=3, width=1 / 8, **lif, **form)
    state = GOLDEN.state(NET[case])
    names = {name: ours(name) for name in state}
    missing, unexpected = net.load_state_dict({names[name]: value for name, value in state.items()}, strict=False)
    assert not unexpected
    assert all(name.endswith((".threshold", ".alpha")) for name in missing)
    return net.train(), names


def ours(name):
    """Our name of a parameter of the reference's."""
    layer, _, leaf = name.rpartition(".")
    layer = layer.replace(".fwd.module.0", ".conv").replace(".fwd.module.1", ".bn")
    return f"{layer.replace('.module.0', '').replace('.module', '').replace('classifier', 'dvs_fc')}.{leaf}"


def run(case, **settings):
    """One training forward and backward: network, outputs of both streams, parts of the loss, names."""
    net, names = golden_net(case)
    seen, inner = [], net.transfer_streams
    net.transfer_streams = lambda *given: seen.append(inner(*given)) or seen[-1]
    parts = METHODS.build("r2etl", net, **settings)(golden_batch(), 0.0)
    parts["loss"].backward()
    return net, seen[0], parts, names


@pytest.mark.parametrize("case", ["ap", "wo_ap"])
def test_the_published_networks_losses_and_gradients(case):
    net, streams, parts, names = run(case)
    arrays = {
        key.split("/", 2)[2]: torch.from_numpy(value) for key, value in GOLDEN.arrays.items() if f"/{case}/" in key
    }
    facts = NET[case]
    for name, out in zip(("source", "target"), streams, strict=True):
        torch.testing.assert_close(out.logits.transpose(0, 1), arrays[f"{name}_logits"], rtol=0, atol=2e-6)
        torch.testing.assert_close(out.last.transpose(0, 1), arrays[f"{name}_bottleneck_mem"], rtol=0, atol=2e-6)
    rates = facts["rates [source first layer, target first layer, source bottleneck, target bottleneck]"]
    assert [out.first.mean().item() for out in streams] == pytest.approx(rates[:2], abs=1e-7)
    terms = [parts[key].item() for key in ("static", "events", "encoder", "feature", "loss")]
    expected = facts["terms [source TET, target TET, encoder, feature, total]"]
    assert terms == pytest.approx(expected, rel=2e-6, abs=2e-6)
    parameters = dict(net.named_parameters())
    grads = {name: parameters[our].grad for name, our in names.items() if our in parameters}
    errors = dict(gradient_errors(facts["grad_names"], arrays["grad_norm_sum_projection"].numpy(), grads))
    assert len(errors) == 40 - 9  # all but the biases in front of batch norms
    assert max(errors.values()) < 1e-4
    for key, whole in arrays.items():
        if key.startswith("grad/"):
            assert (grads[key.removeprefix("grad/")] - whole).norm() < 1e-4 * whole.norm()
        elif key.startswith("state/"):
            buffer = net.get_buffer(names[key.removeprefix("state/")])
            torch.testing.assert_close(buffer, whole, rtol=1e-6, atol=1e-6)
    logits = net.eval().event_logits(golden_batch().events).transpose(0, 1)
    torch.testing.assert_close(logits, arrays["eval_target_logits"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("case", ["ap", "wo_ap"])
def test_every_pair_of_distances(case):
    net = golden_net(case)[0]
    for pair, expected in NET[case]["[encoder, feature] loss for each pair of types"].items():
        encoder, feature = pair.lower().split("/")
        parts = METHODS.build("r2etl", net, encoder=encoder, feature=feature)(golden_batch(), 0.0)
        assert [parts[key].item() for key in ("encoder", "feature")] == pytest.approx(expected, abs=2e-6), pair


def test_parameters_of_the_full_network():
    net = timm.create_model("r2etl_vggsnn", num_classes=101)
    learnt = sum(p.numel() for p in net.parameters() if p.requires_grad)
    assert learnt == GOLDEN.facts["parameters_full_101_classes"] == 10_433_189


@pytest.mark.parametrize("form", [{}, {"average_pooling": False, "across_units": True}])
@pytest.mark.parametrize("norm", ["step", "step_own"])
def test_both_executions_give_the_same_numbers(norm, form):
    batch, found = make_batch(size=16), []
    for execution, recompute in (("step", False), ("multi_step", False), ("multi_step", True)):
        net = make_backbone("r2etl_vggsnn", norm=norm, execution=execution, recompute=recompute, **form).train()
        streams = net.transfer_streams(batch.static, batch.events)
        METHODS.build("r2etl", net, encoder="tcka")(batch, 0.0)["loss"].backward()
        grads = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
        logits = net.eval().event_logits(batch.events)
        found.append(([*streams[0], *streams[1], logits], grads, dict(net.named_buffers())))
    (outputs, grads, buffers), *others = found
    for outputs_, grads_, buffers_ in others:
        for one, other in zip(outputs, outputs_, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
        for name, grad in grads.items():
            assert (grad - grads_[name]).norm() <= 1e-3 * grad.norm() + 1e-5, name
        for name, value in buffers.items():
            torch.testing.assert_close(value, buffers_[name], rtol=1e-5, atol=1e-6, msg=name)


def test_each_stream_has_its_input_layer_and_prediction_is_of_events_alone():
    net, batch = make_backbone("r2etl_vggsnn").eval(), make_batch(size=16)
    static, events = net.transfer_streams(batch.static, batch.events)
    torch.testing.assert_close(net.event_logits(batch.events), events.logits)
    with torch.no_grad():
        net.rgb_input.bn.bias += 5
    moved = net.transfer_streams(batch.static, batch.events)
    assert not torch.allclose(moved[0].first, static.first)
    assert torch.equal(moved[1].logits, events.logits)
    assert all(not torch.is_tensor(node.mem) for node in net.nodes)


def test_an_image_of_one_channel_is_shown_in_every_colour():
    batch = make_batch(size=16)
    for channels in (1, 2, 3):
        net = make_backbone("r2etl_vggsnn", static_chans=channels).eval()
        assert net.rgb_input.conv.in_channels == channels
        expected = net.transfer_streams(batch.static[:, :1].repeat(1, channels, 1, 1), batch.events)
        got = net.transfer_streams(batch.static, batch.events)
        assert torch.equal(got[0].logits, expected[0].logits)


@pytest.mark.parametrize("name", ["tmkt_scnn", "tmkt_vggsnn", "tmkt_resnet18"])
def test_networks_of_one_input_layer(name):
    """Their images are a mixed stream without a mixture; what is aligned is what Knowledge-Transfer aligns."""
    net = make_backbone(name).train()
    batch = make_batch(size=net.img_size)
    colours = torch.stack([batch.static[:, 0], batch.static[:, 0] / 2, torch.zeros_like(batch.static[:, 0])], 1)
    mixed, events = net.streams(batch.static[:, None].expand_as(batch.events), batch.events)
    got = net.transfer_streams(colours, batch.events)
    for one, other in zip(got, (mixed, events), strict=True):
        torch.testing.assert_close(one.logits, other.logits, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.last, other.aligned, rtol=1e-4, atol=1e-5)
        assert set(one.first.unique().tolist()) == {0.0, 1.0}
    method = METHODS.build("r2etl", net, encoder_weight=0.7, feature_weight=0.2)
    parts = method(batch, 0.0)
    total = parts["static"] + parts["events"] + 0.7 * parts["encoder"] + 0.2 * parts["feature"]
    torch.testing.assert_close(parts["loss"], total)
    assert parts["feature"].item() == pytest.approx(1 - tcka(mixed.aligned, events.aligned).item(), abs=1e-4)
    bare = METHODS.build("r2etl", net, encoder_weight=0.0, feature_weight=0.0)(batch, 0.0)
    assert set(bare) == {"loss", "static", "events"}


def test_it_learns_a_small_batch():
    batch = make_batch(size=16)
    learner = METHODS.build("r2etl", make_backbone("r2etl_vggsnn"))
    optimizer = torch.optim.Adam(learner.parameters(), lr=2e-3)
    for _ in range(40):
        optimizer.zero_grad()
        learner(batch, 0.0)["loss"].backward()
        optimizer.step()
    assert torch.equal(learner.predict(batch.events).mean(0).argmax(1), batch.label)


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("name", ["tcka", "cka", "flat_cka"])
def test_cka_of_fewer_than_three_samples_is_refused(name, samples):
    with pytest.raises(RecipeError, match=f"{samples} of them are too few: set train.batch=3 or more"):
        DISTANCES[name].between(torch.rand(3, samples, 5), torch.rand(3, samples, 5))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"encoder": "ckaa"}, "encoder is 'ckaa': did you mean 'cka'"),
        ({"feature": "tmmd"}, "feature is 'tmmd': did you mean 'mmd'"),
        ({"feature_weight": -0.1}, "feature_weight must be 0 or more"),
    ],
)
def test_bad_settings_end_before_anything_is_trained(settings, words):
    with pytest.raises(RecipeError, match=words):
        METHODS.build("r2etl", make_backbone(), **settings)


@pytest.mark.parametrize("pooling", [True, False])
def test_frames_need_be_no_multiples_of_16(pooling):
    net = build_backbone("r2etl_vggsnn", 3, 4, (28, 35), width=0.25, average_pooling=pooling)
    static, events = net.transfer_streams(torch.rand(2, 3, 28, 35), torch.rand(2, 4, 2, 28, 35))
    assert static.logits.shape == events.logits.shape == (4, 2, 3)


def test_frames_of_another_size_are_refused():
    net, batch = make_backbone("r2etl_vggsnn"), make_batch(size=16)
    with pytest.raises(RecipeError, match="have different sizes"):
        net.transfer_streams(batch.static[..., 1:], batch.events)
    with pytest.raises(RecipeError, match="static_chans must be a whole number from 1 on, not 0"):
        make_backbone("r2etl_vggsnn", static_chans=0)
