"""Batch norms, folded into the convolution or linear layer before them."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from ..errors import RecipeError
from .module_network import put
from .network import SpikingNetwork
from .norms.none import NoNorm
from .norms.step_own import StepOwnBatchNorm2d

Layer = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear


@torch.no_grad()
def fold_norms(network: SpikingNetwork, frames: Tensor) -> None:
    """Fold every batch norm whose input is the output of a convolution or a linear layer, in place.

    What comes before a norm is seen in a pass. The outputs in evaluation stay the same up to rounding, which is
    checked; trained any further, the network would be another one. A norm elsewhere stays.

    Args:
        network: any network.
        frames: `[B, T, C, H, W]`, any that it takes.

    Raises:
        RecipeError: for norms with statistics of each step, or if the outputs change: then a layer's output goes
            elsewhere, too.
    """
    training = network.training
    network.eval()
    weight = next(network.parameters(), torch.zeros(()))
    frames = frames.to(weight)
    pairs, before = _pairs(network, frames)
    for name, (norm, layer_name) in pairs.items():
        layer: Any = network.get_submodule(layer_name)
        fuse: Any = fuse_linear_bn_eval if isinstance(layer, nn.Linear) else fuse_conv_bn_eval
        put(network, layer_name, fuse(layer, norm))
        put(network, name, NoNorm())
    after = network.event_logits(frames)
    if (after - before).norm() > 0.1 * before.norm():  # rounding may move an activation by a level
        raise RecipeError("folding the batch norms changes the outputs: leave out fold")
    network.train(training)


def _pairs(network: SpikingNetwork, frames: Tensor) -> tuple[dict[str, tuple[Any, str]], Tensor]:
    """Norms by name, each with the name of the layer before it; and the logits of that pass."""
    made: dict[int, tuple[weakref.ref[Tensor], str]] = {}
    pairs: dict[str, tuple[Any, str]] = {}
    calls: dict[str, int] = {}

    def see_layer(name: str) -> Any:
        def hook(layer: nn.Module, inputs: Any, output: Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            made[id(output)] = weakref.ref(output), name

        return hook

    def see_norm(name: str) -> Any:
        def hook(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            calls[name] = calls.get(name, 0) + 1
            output, layer = made.get(id(inputs[0]), (None, ""))
            if output is not None and output() is inputs[0]:
                pairs[name] = norm, layer

        return hook

    handles = []
    for name, part in network.named_modules():
        if isinstance(part, StepOwnBatchNorm2d):
            raise RecipeError(
                f"'{name}' has statistics of its own for each step, which cannot be folded into a layer: leave out fold"
            )
        if isinstance(part, Layer):
            handles.append(part.register_forward_hook(see_layer(name)))
        elif isinstance(part, _BatchNorm):
            handles.append(part.register_forward_pre_hook(see_norm(name)))
    try:
        logits = network.event_logits(frames)
    finally:
        for handle in handles:
            handle.remove()
    once = {name: pair for name, pair in pairs.items() if calls[name] == calls[pair[1]] == 1}
    return once, logits
