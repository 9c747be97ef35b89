"""The parts of a training step: seeds, rows, learning rates, the optimiser, and values that arrive late."""

import itertools
import math

import pytest
import torch
from torch import nn

from braincog_tmkt.engine import step
from braincog_tmkt.engine.step import (
    DeferredValues,
    epoch_rows,
    learning_rate,
    learning_rate_in_words,
    make_optimizer,
    make_scheduler,
    seed_of,
    steps_per_epoch,
)
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.methods import METHODS
from braincog_tmkt.models import build_backbone
from braincog_tmkt.recipe import OptimConfig, Recipe, TrainConfig

from .toys import make_task


def test_every_step_epoch_stage_and_seed_has_its_own_number():
    steps = [None, *range(4)]
    seeds = [seed_of(*place) for place in itertools.product(range(3), range(3), range(3), steps)]
    assert len(set(seeds)) == len(seeds) == 135
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(42, 0, 3, 5) == seed_of(42, 0, 3, 5)


@pytest.mark.parametrize("balanced", [True, False])
def test_an_epoch_is_a_function_of_its_seed_of_training_recordings_in_whole_batches(balanced):
    pairs, train = make_task().pairs, TrainConfig(batch=6, balanced=balanced)
    rows = epoch_rows(pairs, train, 7)
    assert torch.equal(rows, epoch_rows(pairs, train, 7))
    assert not torch.equal(rows, epoch_rows(pairs, train, 8))
    assert rows.shape == (len(pairs.rows("train")) // 6, 6)
    assert set(rows.flatten().tolist()) <= set(pairs.rows("train").tolist())


def test_sharing_a_batch_among_processes():
    assert steps_per_epoch(34, TrainConfig(batch=6), world_size=3) == 5
    with pytest.raises(RecipeError, match="6, which 4 processes cannot share"):
        steps_per_epoch(34, TrainConfig(batch=6), world_size=4)


def rates_of(optim, epochs):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], optim.lr)
    scheduler = make_scheduler(optimizer, optim, epochs)
    rates = []
    for epoch in range(epochs):
        scheduler.step(epoch)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def pytorchs_rates(optim, epochs, make):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], optim.lr)
    scheduler = make(optimizer)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_a_cosine_with_a_cycle_comes_back_as_pytorchs_does():
    optim = OptimConfig(lr=1e-3, warmup_epochs=0, min_lr=1e-5, cycle_epochs=4)
    lr_scheduler = torch.optim.lr_scheduler
    expected = pytorchs_rates(optim, 15, lambda made: lr_scheduler.CosineAnnealingLR(made, 4, 1e-5))
    assert rates_of(optim, 15) == pytest.approx(expected)
    assert expected[4] == pytest.approx(1e-5)
    assert expected[8] == pytest.approx(1e-3)


def test_steps_at_shares_of_the_epochs_are_pytorchs_milestones():
    optim = OptimConfig(lr=1.0, schedule="step", warmup_epochs=0, step_at=[0.6, 0.8, 0.9])
    expected = pytorchs_rates(optim, 20, lambda made: torch.optim.lr_scheduler.MultiStepLR(made, [12, 16, 18], 0.1))
    assert rates_of(optim, 20) == pytest.approx(expected)


def test_options_reach_the_optimiser():
    optim = OptimConfig(name="adam", options={"amsgrad": True})
    assert make_optimizer(nn.Linear(2, 2), Recipe(name="r", optim=optim)).defaults["amsgrad"] is True
    with pytest.raises(RecipeError, match="amsgrat"):
        make_optimizer(nn.Linear(2, 2), Recipe(name="r", optim=OptimConfig(name="adam", options={"amsgrat": True})))


def test_the_rate_is_scaled_by_the_batch():
    recipe = Recipe(name="r", train=TrainConfig(batch=120))
    assert learning_rate(recipe) == pytest.approx(5.859e-4, rel=1e-3)  # spec/baseline.md: 5.86e-4 at 120
    assert learning_rate_in_words(recipe) == "learning rate 0.0005859 (= 0.005 * batch 120 / 1024)"
    plain = Recipe(name="r", optim=OptimConfig(lr=1e-3, lr_scale_base=None))
    assert learning_rate(plain) == 1e-3


def test_weight_decay_spares_all_parameters_with_one_axis_unless_told_otherwise():
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
    decays = make_optimizer(method, Recipe(name="r", optim=OptimConfig(decay_all=True))).param_groups
    taken = {id(p) for group in decays for p in group["params"] if group["weight_decay"] == 0.01}
    assert {id(p) for p in method.parameters() if p.requires_grad} <= taken


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
    """With a warm-up, too, the rate drops after 40 epochs, not 40 after the warm-up (timm's default since 0.8)."""
    optim = OptimConfig(lr=1.2, schedule="step", step_epochs=40, step_rate=0.1, warmup_epochs=2, warmup_lr=0.2)
    assert rates(optim, 50) == pytest.approx([0.2, 0.7] + [1.2] * 38 + [0.12] * 10)


def test_no_schedule_and_a_single_epoch_keep_the_rate(caplog):
    assert rates(OptimConfig(lr=0.3, schedule="none", warmup_epochs=0), 50) == [0.3] * 50
    assert rates(OptimConfig(lr=0.3, warmup_epochs=0), 1) == [0.3]
    assert not caplog.records


def test_a_rate_depends_on_the_number_of_its_epoch_alone():
    optim = OptimConfig(lr=1e-3)
    assert rates(optim, 20) == rates(optim, 20, order=reversed(range(20)))


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_values_are_read_in_order_a_fixed_number_of_sends_later(monkeypatch, lag):
    monkeypatch.setitem(step.LAG, "cpu", lag)
    read = []
    values = DeferredValues(torch.device("cpu"), lambda tag, numbers: read.append((tag, numbers)))
    for number in range(6):
        values.send(number, torch.tensor([number / 2, 1.0]))
        assert [tag for tag, _ in read] == list(range(number + 1 - lag))
    values.flush()
    values.flush()
    assert read == [(number, [number / 2, 1.0]) for number in range(6)]


def test_an_error_of_the_reader_comes_out_of_the_send_that_makes_it_read(monkeypatch):
    monkeypatch.setitem(step.LAG, "cpu", 2)

    def refuse(tag, numbers):
        if tag == 1:
            raise ValueError(tag)

    values = DeferredValues(torch.device("cpu"), refuse)
    for number in range(3):
        values.send(number, torch.zeros(1))
    with pytest.raises(ValueError, match="1"):
        values.send(3, torch.zeros(1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_sends_without_waiting():
    read = []
    values = DeferredValues(torch.device("cuda"), lambda tag, numbers: read.append((tag, numbers)))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(5):
            values.send(number, torch.full((2,), float(number), device="cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [tag for tag, _ in read] == [0, 1, 2]
    values.flush()
    assert read == [(number, [number, number]) for number in range(5)]
