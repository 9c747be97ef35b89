import math

import pytest
import torch
from torch import nn

from braincog_tmkt.engine.optim import learning_rate, learning_rate_in_words, make_optimizer, make_scheduler
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.methods import METHODS
from braincog_tmkt.models import build_backbone
from braincog_tmkt.recipe import OptimConfig, Recipe, TrainConfig


def test_the_rate_is_scaled_by_the_batch():
    recipe = Recipe(name="r", train=TrainConfig(batch=120))
    assert learning_rate(recipe) == pytest.approx(5.859e-4, rel=1e-3)  # spec/baseline.md: 5.86e-4 at 120
    assert learning_rate_in_words(recipe) == "learning rate 0.0005859 (= 0.005 * batch 120 / 1024)"
    plain = Recipe(name="r", optim=OptimConfig(lr=1e-3, lr_scale_base=None))
    assert learning_rate(plain) == 1e-3


def test_weight_decay_spares_all_parameters_with_one_axis():
    backbone = build_backbone("tmkt_vggsnn", num_classes=3, steps=2, img_size=48, width=0.125)
    method = METHODS.build("tmkt", backbone, mix_ratio=0.6)
    optimizer = make_optimizer(method, Recipe(name="r"))
    assert isinstance(optimizer, torch.optim.AdamW)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    seen = {0.0: set(), 0.01: set()}
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            assert decay[id(parameter)] == (0.01 if parameter.ndim > 1 else 0.0), name
            seen[decay[id(parameter)]].add(name)
    assert {"backbone.coefficient.0", "backbone.coefficient.1"} <= seen[0.0]
    assert any(name.endswith("conv.weight") for name in seen[0.01])
    assert any(name.endswith("bn.weight") for name in seen[0.0])


def rates(optim, epochs, order=None):
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=optim.lr)
    scheduler = make_scheduler(optimizer, optim, epochs)
    found = {}
    for epoch in order or range(epochs):
        scheduler.step(epoch)
        found[epoch] = optimizer.param_groups[0]["lr"]
    return [found[epoch] for epoch in range(epochs)]


def test_cosine_with_warm_up():
    optim = OptimConfig(lr=1e-3)
    found = rates(optim, 300)
    for epoch in range(5):
        assert found[epoch] == pytest.approx(1e-6 + (1e-3 - 1e-6) * epoch / 5)
    for epoch in range(5, 300):
        assert found[epoch] == pytest.approx(1e-5 + (1e-3 - 1e-5) * (1 + math.cos(math.pi * epoch / 300)) / 2)


def test_steps_as_n_omniglot_is_trained():
    found = rates(OptimConfig(lr=1.2, schedule="step", step_epochs=40, step_rate=0.1, warmup_epochs=0), 50)
    assert found == pytest.approx([1.2] * 40 + [0.12] * 10)


def test_no_schedule_and_a_single_epoch_keep_the_rate(caplog):
    assert rates(OptimConfig(lr=0.3, schedule="none", warmup_epochs=0), 50) == [0.3] * 50
    assert rates(OptimConfig(lr=0.3, warmup_epochs=0), 1) == [0.3]
    assert not caplog.records


def test_a_rate_depends_on_the_number_of_its_epoch_alone():
    optim = OptimConfig(lr=1e-3)
    assert rates(optim, 20) == rates(optim, 20, order=reversed(range(20)))


def test_an_optimiser_that_timm_does_not_know():
    with pytest.raises(RecipeError, match=r"optim\.name is 'adamm'"):
        make_optimizer(nn.Linear(1, 1), Recipe(name="r", optim=OptimConfig(name="adamm")))
