"""TKS and ETC against the numbers of their public code (Brain-Cog-Lab/TKS @52401db, Brain-Cog-Lab/ETC @dc184e3)."""

import pytest
import timm
import torch
from torch import nn

import braincog_tmkt  # noqa: F401  registers the networks
from braincog_tmkt.engine.step import make_optimizer, make_scheduler
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.losses import build_loss
from braincog_tmkt.losses.tks import teacher_logits
from braincog_tmkt.recipe import load_recipe
from braincog_tmkt.recipe.files import known_recipes
from tests.golden.published import frames, gradient_errors, published

TKS, ETC = published("tks"), published("etc")
TKS_CASES = [name for name in TKS.facts["cases"] if name.startswith("loss/")]
ETC_CASES = [name for name in ETC.facts["cases"] if name.startswith("loss/")]


def tks_batch(name):
    """Logits and labels of a case of TKS."""
    logits, label = TKS.input(f"{name}/logits"), TKS.array(f"{name}/label")
    if name == "loss/steps":
        logits[:, 4, label[4]] += 8  # every step of sample 4 is right
    return logits.requires_grad_(), label


def gradient(value, logits):
    return torch.autograd.grad(value, logits, retain_graph=True)[0]


def assert_near(got, expected):
    assert (got - expected).norm() <= 2e-4 * expected.norm()


@pytest.mark.parametrize("name", ["loss/steps", "loss/mid", "loss/all_wrong"])
def test_steps_that_are_right_make_the_teacher(name):
    logits, label = tks_batch(name)
    correct = torch.stack([teacher_logits(step[None], label).any(1) for step in logits])
    assert torch.equal(correct, TKS.array(f"{name}/correct").bool())
    teacher = TKS.array(f"{name}/teacher_logits")
    assert teacher_logits(logits, label).detach().numpy() == pytest.approx(teacher.numpy(), rel=1e-6)
    soft = 0.1 + nn.functional.one_hot(label, logits.shape[2])
    assert torch.equal(teacher_logits(logits, soft), teacher_logits(logits, label))
    assert {"loss/steps": {0, 1, 2, 3, 6}, "loss/all_wrong": {0}}.get(name, set()) <= set(correct.sum(0).tolist())


@pytest.mark.parametrize("case", TKS_CASES)
def test_tks_is_the_loss_of_its_code(case):
    logits, label = tks_batch(case.rpartition("/")[0])
    facts = TKS.facts["cases"][case]
    for detach, variant in ((False, "published"), (True, "teacher_detached")):
        loss = build_loss({"name": "tks", "alpha": 0.7, "temperature": float(facts["K"]), "detach": detach})
        parts = loss(logits, label, 0.5)
        assert parts["classification"].item() == pytest.approx(facts["L1"], rel=1e-5)
        assert parts["sharing"].item() == pytest.approx(facts["L2"], rel=1e-5)
        assert_near(gradient(parts["classification"], logits), TKS.array(f"{case}/grad_L1"))
        assert_near(gradient(parts["sharing"], logits), TKS.array(f"{case}/{variant}/grad_L2"))
        if not detach:
            assert_near(gradient(parts["loss"], logits), TKS.array(f"{case}/published/grad_total_epoch300"))


@pytest.mark.parametrize("case", TKS_CASES)
def test_the_weights_of_tks_in_each_epoch(case):
    logits, label = tks_batch(case.rpartition("/")[0])
    facts = TKS.facts["cases"][case]
    for total in facts["totals"]:
        settings = {"alpha": total["alpha"], "temperature": float(facts["K"]), "constant": total["static"]}
        loss = build_loss({"name": "tks", **settings})(logits, label, total["epoch"] / total["epochs"])["loss"]
        assert loss.item() == pytest.approx(total["loss"], rel=1e-5), total


@pytest.mark.parametrize("case", ETC_CASES)
def test_etc_is_the_loss_of_its_code(case):
    name, facts = case.rpartition("/")[0], ETC.facts["cases"][case]
    logits, label = ETC.input(f"{name}/logits").requires_grad_(), ETC.input(f"{name}/label")
    loss = build_loss({"name": "etc", "temperature": facts["K"], "weight": facts["weight"]})
    parts = loss(logits, label, 0.0)
    for part, key in (("classification", "ce_of_mean"), ("consistency", "etc"), ("loss", "total")):
        assert parts[part].item() == pytest.approx(facts[key], rel=1e-5)
    for part, key in (("consistency", "grad_etc"), ("loss", "grad_total")):
        assert_near(gradient(parts[part], logits), ETC.array(f"{case}/{key}"))
    attached = build_loss({"name": "etc", "temperature": facts["K"], "detach": False})(logits, label, 0.0)
    assert attached["consistency"].item() == pytest.approx(facts["etc"], rel=1e-5)
    assert_near(gradient(attached["consistency"], logits), ETC.array(f"{case}/not_detached/grad_etc"))
    half = build_loss({"name": "etc", "temperature": facts["K"], "weight": 0.5})(logits, label, 0.0)["loss"].item()
    assert half == pytest.approx(facts["ce_of_mean"] + facts["etc"] / 2, rel=1e-5)


def test_etc_of_steps_that_agree_is_0_and_one_step_is_refused():
    loss, same = build_loss("etc"), torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(0)).expand(4, 3, 5)
    assert loss(same, torch.arange(3), 0.0)["consistency"].item() == pytest.approx(0, abs=1e-5)
    with pytest.raises(RecipeError, match="compares time steps, and there is one"):
        loss(same[:1], torch.arange(3), 0.0)


@pytest.mark.parametrize(
    ("name", "variant", "norm", "execution", "loss"),
    [
        ("tks", "published", "shared", "multi_step", "tks"),
        ("tks", "teacher_detached", "shared", "multi_step", {"name": "tks", "detach": True}),
        ("etc", "step", "step", "step", "etc"),
        ("etc", "step", "step", "multi_step", "etc"),
        ("etc", "layer_by_layer", "shared", "multi_step", "etc"),
    ],
)
def test_the_small_network_of_the_public_code(name, variant, norm, execution, loss):
    golden = published(name)
    facts = golden.facts["cases"]["net"]
    if name == "tks":
        label, train, graded, evaluated = golden.array("net/label"), "net/train", f"net/train/{variant}", "net/eval"
        stored = facts[variant]
    else:
        label, train, evaluated = golden.input("net/label"), f"net/{variant}/train", "net/step/eval"
        graded, stored = train, golden.facts["cases"][train]
    keywords = {"num_classes": facts["classes"], "step": facts["T"], "width": 1 / facts["width_divisor"]}
    net = timm.create_model("tmkt_vggsnn", norm=norm, execution=execution, **keywords)
    state = {key.replace("fc.", "dvs_fc."): value for key, value in golden.state(facts).items()}
    assert not net.load_state_dict(state, strict=False).unexpected_keys
    events = frames(f"{name}_vgg", facts["batch"], facts["T"], 48)
    for mode in (evaluated, train):
        logits = net.train(mode == train).event_logits(events)
        assert logits.detach().numpy() == pytest.approx(golden.arrays[f"{mode}/logits"], rel=2e-5, abs=2e-5)
    parts = build_loss(loss)(logits, label, facts.get("epoch", 0) / 600)
    parts["loss"].backward()
    assert parts["loss"].item() == pytest.approx(stored["total"], rel=1e-5)
    grads = {key.replace("dvs_fc.", "fc."): each.grad for key, each in net.named_parameters() if each.grad is not None}
    errors = dict(gradient_errors(stored["grad_names"], golden.arrays[f"{graded}/grad_norm_sum_projection"], grads))
    assert [*errors] == stored["grad_names"]
    assert max(errors.values()) < 2e-4, errors
    for key, values in golden.arrays.items():
        if key.startswith(f"{graded}/grad/"):
            assert_near(grads[key.removeprefix(f"{graded}/grad/")], torch.from_numpy(values))
        elif key.startswith(f"{train}/state/"):
            got = net.state_dict()[key.removeprefix(f"{train}/state/")].numpy()
            assert got == pytest.approx(values, rel=1e-5, abs=1e-6), key


def test_the_recipe_of_tks_has_the_learning_rates_of_its_command():
    recipe = load_recipe(known_recipes()["ncaltech101/tks"])
    optimizer = make_optimizer(nn.Linear(2, 2), recipe)
    scheduler, rates = make_scheduler(optimizer, recipe.optim, recipe.train.epochs), []
    for epoch in range(recipe.train.epochs):
        scheduler.step(epoch)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx(TKS.arrays["lr"].tolist(), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "keywords", "words"),
    [
        ("tks", {"alpha": 1.5}, "alpha must be from 0 to 1"),
        ("tks", {"temperature": 0.0}, "temperature above 0"),
        ("etc", {"weight": -1.0}, "weight must be 0 or more"),
        ("etc", {"temperature": 0.0}, "temperature above 0"),
    ],
)
def test_settings_out_of_range_are_refused(name, keywords, words):
    with pytest.raises(RecipeError, match=f"loss '{name}': .*{words}"):
        build_loss({"name": name, **keywords})
