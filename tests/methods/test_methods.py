"""The methods: Eq. 17 put together by hand, switches, streams and heads, the floor of learning."""

import inspect
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.losses import cka, per_step_tet
from braincog_tmkt.methods import METHODS
from braincog_tmkt.methods.mixing import MixedBatch, mix
from tests.methods.toys import make_backbone, make_batch

RATIO = {"mix_ratio": 0.4}


def by_hand(method, batch):
    """Eq. 6, 11-17 written out once more, sample by sample and step by step."""
    blend = mix(batch, method.law.switch_points(batch, 0.0))
    mixed, events = method.backbone.streams(blend.frames, batch.events)
    steps = len(mixed.logits)
    tet_mixed = sum(functional.cross_entropy(mixed.logits[t], batch.label) for t in range(steps)) / steps
    event_ce = [functional.cross_entropy(events.logits[t], batch.label) for t in range(steps)]
    total_event = sum(event_ce) / steps
    similarity = cka(mixed.aligned, events.aligned)
    rda = 0.0
    for t in range(steps):
        s = torch.sigmoid(method.backbone.coefficient[t][0])
        rda = rda + (s * (1 - similarity[t]) + (1 - s) * (event_ce[t] if method.per_step else total_event)) / steps
    switch = method.law.switch_points(batch, 0.0)
    source = torch.tensor([[int(t + 1 < point) for point in switch] for t in range(steps)])
    mag = (
        sum(functional.cross_entropy(method.modality.head(mixed.features[t]), source[t]) for t in range(steps)) / steps
    )
    estimate = sum(method.ratio.head(mixed.features[t])[:, 0] for t in range(steps)) / steps
    mrp = ((estimate - (switch - 1) / steps) ** 2).mean()
    return tet_mixed + 0.5 * rda + mag + mrp


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("name", ["tmkt_scnn", "tmkt_vggsnn", "tmkt_resnet18"])
def test_tmkt_is_equation_17(name, per_step):
    net = make_backbone(name)
    batch = make_batch(size=net.img_size)
    with torch.no_grad():
        for t, weight in enumerate(net.coefficient):
            weight.fill_(0.3 * t - 0.2)
        method = METHODS.build("tmkt", net, per_step=per_step, **RATIO)
        torch.testing.assert_close(method(batch, 0.0)["loss"], by_hand(method, batch))


def test_every_part_can_be_switched_off():
    batch = make_batch()
    full = METHODS.build("tmkt", make_backbone(), **RATIO)
    plain = METHODS.build("tmkt", make_backbone(), modality_weight=0.0, ratio_weight=0.0, **RATIO)
    assert plain.modality is None
    assert plain.ratio is None
    parts, bare = full(batch, 0.0), plain(batch, 0.0)
    assert set(parts) - set(bare) == {"modality", "ratio"}
    torch.testing.assert_close(parts["loss"] - parts["modality"] - parts["ratio"], bare["loss"])
    aligned = METHODS.build(
        "tmkt", make_backbone(), alignment_weight=0.0, modality_weight=0.0, ratio_weight=0.0, **RATIO
    )
    torch.testing.assert_close(aligned(batch, 0.0)["loss"], bare["mixed"])


def test_constant_event_weight_replaces_the_learned_one():
    method = METHODS.build("tmkt", make_backbone(), modality_weight=0.0, ratio_weight=0.0, event_weight=2.0, **RATIO)
    parts = method(make_batch(), 0.0)
    share = torch.sigmoid(torch.tensor(1.0))
    expected = parts["mixed"] + 0.5 * share * (1 - parts["similarity"]) + 2 * parts["events"]
    torch.testing.assert_close(parts["loss"], expected)


def linear(net, stream):
    """The linear layer of a classifier; VGGSNN's is the last of a sequence."""
    return [part for part in net.classifier(stream).modules() if isinstance(part, torch.nn.Linear)][-1]


@pytest.mark.parametrize("name", ["tmkt_scnn", "tmkt_vggsnn", "tmkt_resnet18"])
def test_prediction_uses_the_event_stream_and_the_event_head_only(name):
    net = make_backbone(name).eval()
    method = METHODS.build("tmkt", net, **RATIO)
    events = make_batch(size=net.img_size).events
    before = method.predict(events)
    with torch.no_grad():
        linear(net, "events").bias.add_(torch.arange(3.0))
    torch.testing.assert_close(method.predict(events), before + torch.arange(3.0))
    if name != "tmkt_scnn":  # SCNN has one head for both streams
        with torch.no_grad():
            linear(net, "mixed").bias.add_(5.0)
        torch.testing.assert_close(method.predict(events), before + torch.arange(3.0))


def test_each_stream_is_classified_by_its_own_head():
    """Swapped heads would send the mixed stream's gradient into the event head."""
    net = make_backbone("tmkt_vggsnn")
    parts = METHODS.build("tmkt", net, **RATIO)(make_batch(size=16), 0.0)
    parts["mixed"].backward(retain_graph=True)
    assert linear(net, "mixed").weight.grad.abs().sum() > 0
    assert linear(net, "events").weight.grad is None
    net.zero_grad()
    parts["events"].backward()
    assert linear(net, "events").weight.grad.abs().sum() > 0
    assert linear(net, "mixed").weight.grad is None


def test_mixed_frames_reach_the_mixed_stream_and_events_the_event_stream():
    net = make_backbone().eval()
    batch = make_batch()
    seen = {}
    inner = net.streams
    net.streams = lambda *blend: seen.update(blend=MixedBatch(*blend)) or inner(*blend)
    METHODS.build("tmkt", net, mixing="sliding")(batch, 0.0)
    assert torch.equal(seen["blend"].frames, batch.static[:, None].expand_as(batch.events))
    assert torch.equal(seen["blend"].events, batch.events)


@pytest.mark.parametrize("execution", ["step", "multi_step"])
@pytest.mark.parametrize("name", ["tmkt_scnn", "tmkt_vggsnn", "tmkt_resnet18"])
def test_frames_that_are_shared_are_those_of_the_whole_sequence(name, execution):
    net = make_backbone(name, execution=execution).train()
    batch = make_batch(size=net.img_size)
    switch = torch.arange(len(batch.label)) % (batch.steps + 1) + 1
    blend = mix(batch, switch)
    gradients = []
    for given in (tuple(blend), (blend.frames, blend.events)):
        net.zero_grad()
        outputs = [part for stream in net.streams(*given) for part in stream]
        sum(part.square().sum() for part in outputs).backward()
        gradients.append([outputs, net.stem.weight.grad.clone()])
    for shared, spread in zip(gradients[0][0], gradients[1][0], strict=True):
        torch.testing.assert_close(shared, spread)
    scale = gradients[1][1].abs().max().item()
    torch.testing.assert_close(gradients[0][1], gradients[1][1], rtol=1e-4, atol=1e-5 * scale)


def test_frames_that_do_not_belong_together_are_refused():
    net, batch = make_backbone(), make_batch()
    with pytest.raises(RecipeError, match="have shapes that do not fit"):
        net.streams(batch.static, batch.events, torch.ones(len(batch.label), batch.steps - 1, dtype=torch.bool))


def test_knowledge_transfer_without_sliding_switches_at_half_time_and_drops_the_alignment():
    net = make_backbone().eval()
    method = METHODS.build("knowledge_transfer", net, sliding=False)
    early, late = method(make_batch(), 0.49), method(make_batch(), 0.5)
    torch.testing.assert_close(early["loss"], early["static"] + early["events"])
    assert early["alignment"] > 0.001
    assert late["alignment"].abs() < 1e-5  # both streams are the same frames now


def test_baseline_never_touches_the_static_images():
    batch = make_batch()
    method = METHODS.build("baseline", make_backbone().eval())
    loss = method(batch, 0.0)["loss"]
    batch.static = torch.full_like(batch.static, float("nan"))
    assert torch.equal(method(batch, 0.5)["loss"], loss)
    mean_logits = METHODS.build("baseline", make_backbone().eval(), tet=False)(batch, 0.0)["loss"]
    logits = method.predict(batch.events)
    torch.testing.assert_close(mean_logits, functional.cross_entropy(logits.mean(0), batch.label))


@pytest.mark.parametrize("method", ["baseline", "knowledge_transfer", "tmkt"])
def test_a_method_learns_a_small_batch(method):
    torch.manual_seed(0)
    batch = make_batch(rows=6)
    net = make_backbone(width=1.0)
    learner = METHODS.build(method, net, **(RATIO if method == "tmkt" else {}))
    optimizer = torch.optim.AdamW(learner.parameters(), lr=2e-3)
    for step in range(60):
        loss = learner(batch, step / 60)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(learner.predict(batch.events).mean(0).argmax(1), batch.label)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "needs a mix_ratio"),
        ({"mix_ratio": 1.2}, r"must lie in \(0, 1\)"),
        ({"mixing": "sliding", "mix_ratio": 0.4}, "takes no 'mix_ratio'"),
        ({"mixratio": 0.4}, "did you mean 'mix_ratio'"),
    ],
)
def test_wrong_arguments_are_explained(arguments, words):
    with pytest.raises(RecipeError, match=words):
        METHODS.build("tmkt", make_backbone(), **arguments)


def test_every_method_documents_every_argument():
    ours = {name: method for name, method in METHODS.items() if method.__module__.startswith("braincog_tmkt")}
    assert {"baseline", "tmkt", "hsd"} <= ours.keys()
    for name, method in ours.items():
        for argument in list(inspect.signature(method).parameters)[1:]:
            assert f"{argument}:" in method.__doc__, f"{name}: {argument}"


@pytest.mark.parametrize("name", ["baseline", "knowledge_transfer"])
@pytest.mark.parametrize(
    ("older", "loss"),
    [
        ({"tet": False}, "ce_mean"),
        ({"tet": True, "mse_weight": 0.0}, "tet"),
        ({"mse_weight": 0.2}, {"name": "tet", "weight": 0.2}),
    ],
)
def test_the_older_keys_stand_for_losses(name, older, loss):
    batch = make_batch()
    one, other = (METHODS.build(name, make_backbone(), **keys)(batch, 0.2) for keys in (older, {"loss": loss}))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize("name", ["baseline", "knowledge_transfer", "tmkt", "hsd"])
def test_every_method_takes_a_loss_and_targets_of_both_kinds(name):
    settings = {"tmkt": {"mixing": "fixed", **RATIO}, "hsd": {"steps": 2}}.get(name, {})
    batch = make_batch()
    hard = functional.one_hot(batch.label, 3).float()
    backbone = make_backbone(node_type="QCFSNode" if name == "hsd" else "LIFNode")
    for loss in ("tet", "ce_mean", "mse_rate"):
        method = METHODS.build(name, backbone, loss=loss, **settings)
        method.begin_stage(method.stages()[-1].name)
        values = [
            method(replace(batch, target=target), 0.2)["loss"] for target in (batch.label, hard, hard[:1].expand(6, 3))
        ]
        torch.testing.assert_close(values[0], values[1])
        assert values[0] != values[2], "the target decides, not the label"


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("baseline", {"loss": "tet", "mse_weight": 0.1}, "give one or the other"),
        ("knowledge_transfer", {"loss": "tet", "tet": False}, "give one or the other"),
        ("baseline", {"loss": "ce_meen"}, "did you mean 'ce_mean'"),
        ("tmkt", {"loss": "ce_mean", "per_step": True, **RATIO}, "a value per time step"),
        ("tmkt", {"loss": {"name": "tet", "labda": 1.0}, **RATIO}, "loss 'tet' takes no 'labda'"),
    ],
)
def test_losses_that_do_not_fit_are_refused(name, settings, words):
    with pytest.raises(RecipeError, match=words):
        METHODS.build(name, make_backbone(), **settings)


def test_step_weights_weigh_the_loss_of_each_step():
    net, batch, seen = make_backbone(), make_batch(), []
    with torch.no_grad():
        for t, weight in enumerate(net.coefficient):
            weight.fill_(0.3 * t - 0.2)
    streams = net.streams
    net.streams = lambda *blend: seen.append(streams(*blend)) or seen[-1]
    parts = METHODS.build("knowledge_transfer", net, loss={"name": "tet", "weight": 0.1, "phi": 1.0})(batch, 0.2)
    steps = per_step_tet(seen[0][1].logits, batch.label, 0.1, 1.0)
    torch.testing.assert_close(parts["events"], ((1 - torch.sigmoid(net.step_weights)) * steps).mean())
