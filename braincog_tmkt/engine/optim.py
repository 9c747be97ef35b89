"""Optimiser and learning-rate schedule, both timm's, as the baseline's scripts use them."""

from __future__ import annotations

from typing import Any

from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler, StepLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.optim import Optimizer

from ..errors import RecipeError
from ..recipe import OptimConfig, Recipe


def learning_rate(recipe: Recipe) -> float:
    """The rate after the warm-up: lr * batch / lr_scale_base.

    Example:
        >>> from braincog_tmkt.recipe import OptimConfig, Recipe
        >>> round(learning_rate(Recipe(name="r", optim=OptimConfig(lr=5e-3))), 8)  # at the default batch of 120
        0.00058594
    """
    base = recipe.optim.lr_scale_base
    return recipe.optim.lr if base is None else recipe.optim.lr * recipe.train.batch / base


def learning_rate_in_words(recipe: Recipe) -> str:
    """The rate and where it comes from, for the terminal."""
    optim, rate = recipe.optim, learning_rate(recipe)
    if optim.lr_scale_base is None:
        return f"learning rate {rate:.4g}"
    return f"learning rate {rate:.4g} (= {optim.lr:g} * batch {recipe.train.batch} / {optim.lr_scale_base:g})"


def make_optimizer(method: nn.Module, recipe: Recipe) -> Optimizer:
    """timm's optimiser of that name; parameters with one axis (step weights too) get no weight decay, timm's rule.

    Raises:
        RecipeError: if timm does not know the name or cannot make this optimiser here, or if it needs more than
            gradients.
    """
    optim = recipe.optim
    try:
        optimizer = create_optimizer_v2(
            method, opt=optim.name, lr=learning_rate(recipe), weight_decay=optim.weight_decay, filter_bias_and_bn=True
        )
    except (ValueError, TypeError, AssertionError, ImportError, RuntimeError) as error:  # e.g. a library it needs
        raise RecipeError(f"optim.name is '{optim.name}', but timm says: {error}") from error
    if getattr(optimizer, "is_second_order", False):
        raise RecipeError(f"optim.name is '{optim.name}', which needs second derivatives of the loss: take another one")
    return optimizer


def make_scheduler(optimizer: Optimizer, optim: OptimConfig, epochs: int) -> Scheduler:
    """A schedule by epoch: `scheduler.step(epoch)` sets the rate of that epoch (from 0), whatever came before."""
    warmup: dict[str, Any] = {
        "warmup_t": optim.warmup_epochs,
        "warmup_lr_init": optim.warmup_lr,
        "warmup_prefix": False,
    }
    if optim.schedule == "cosine" and epochs > 1:  # timm warns that one epoch has no cosine
        return CosineLRScheduler(optimizer, t_initial=epochs, lr_min=optim.min_lr, **warmup)
    rate = optim.step_rate if optim.schedule == "step" else 1.0
    return StepLRScheduler(optimizer, decay_t=optim.step_epochs, decay_rate=rate, **warmup)
