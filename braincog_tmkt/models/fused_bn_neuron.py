"""Batch norm and node as one operator over all steps: autograd keeps the currents, and nothing else."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..bridge import node_classes, surrogate_classes
from .hooks import watched
from .kernels import SLOPES, Kernels, Neuron, backend
from .nodes.braincog import recurrence_of
from .norms.step import StepBatchNorm2d, mean_over_ranks
from .recompute import recomputing
from .spikes import mark
from .surrogates.dspike import Dspike

OF_CLASS = frozenset({"integral", "calc_spike", "get_thres", "n_reset"})
"""Methods of BrainCog's nodes that make up the recurrence; one that is replaced in a single node is called."""


def _methods(kind: type) -> tuple[Any, ...]:
    return tuple(getattr(kind, name, None) for name in (*sorted(OF_CLASS), "forward", "act_fun"))


_SURROGATES: dict[str, type] = {**surrogate_classes(), "Dspike": Dspike}
PRISTINE = {kind: _methods(kind) for kind in (*node_classes().values(), *_SURROGATES.values())}
KNOWN = {_SURROGATES[name]: number for name, number in SLOPES.items()}


def neuron_of(node: Any) -> Neuron | None:
    """The kernels' view of a fresh node in multi-step execution, or None where it must walk.

    The kernels need the node's recurrence, its surrogate, and no setting that changes either.
    """
    declare, start = recurrence_of(node.plain), node.v_reset if recomputing() else node.mem
    if (
        declare is None
        or node.walks
        or not isinstance(start, int | float)
        or type(node.act_fun) not in KNOWN
        or getattr(node.act_fun, "window", 1.0) != 1.0  # of Dspike
        or watched(node.act_fun)
        or "act_fun" in vars(node.act_fun)
        or _patched(node.plain, type(node.act_fun))
        or node.threshold.requires_grad
        or not OF_CLASS.isdisjoint(vars(node))
        or (recurrence := declare(node)) is None
    ):
        return None
    alpha = _alpha(node.act_fun, node.threshold)
    neuron = Neuron(
        surrogate=KNOWN[type(node.act_fun)], alpha=alpha, v_init=start, cut=bool(node.mem_detach), **recurrence
    )
    numbers = {name: number for name, number in neuron._asdict().items() if isinstance(number, Tensor)}
    if any(number.numel() != 1 for number in numbers.values()):  # a threshold for each channel
        return None
    known = {"alpha", "gain"} if neuron.learnt[0] else {"alpha"}
    return None if any(numbers[name].requires_grad for name in numbers.keys() - known) else neuron


def _alpha(act_fun: Any, like: Tensor) -> Tensor:
    """The number that shapes a surrogate, BrainCog's alpha or Dspike's temperature, where another tensor is."""
    if isinstance(act_fun, Dspike):
        return torch.as_tensor(act_fun.temperature, dtype=torch.float32, device=like.device).clone()
    alpha: Tensor = act_fun.alpha
    return alpha


def _patched(*kinds: type) -> bool:
    """Whether somebody has replaced a method of a class of BrainCog's since it was imported."""
    return any(PRISTINE.get(kind, now) != now for kind in kinds for now in [_methods(kind)])


def fire(node: Any, currents: Tensor, norm: StepBatchNorm2d | None) -> Tensor | None:
    """Spikes `[T*N, ...]` of a node for currents `[T*N, ...]`, normalised before if there is a norm.

    What BrainCog's nodes record is recorded: `spike`, and, if asked for, `feature_map`, `mem` and `mem_collect`.

    Args:
        node: made by `multi_step_node`.
        currents: float32 or bfloat16; `[T*S*B, C, H, W]` or `[T*S*B, C]`.
        norm: its `streams` (S) and, in evaluation, its running statistics are used.

    Returns:
        None where there is no kernel for this node or these currents.
    """
    kernels = backend(currents.device.type)
    if kernels is None or currents.dtype not in (torch.float32, torch.bfloat16):
        return None
    if norm is not None and not norm.shared and norm.steps != node.input_steps:
        return None
    neuron = neuron_of(node)
    if neuron is None:
        return None
    images = currents.dim() == 4
    pixels = currents.permute(0, 2, 3, 1).contiguous() if images else currents.contiguous()
    streams = norm.streams if norm is not None else 1
    rows = pixels.view(node.input_steps, streams, -1, pixels.shape[-1])
    learnt = (None, None) if norm is None else (norm.weight, norm.bias)
    spikes, membranes = _Fire.apply(rows, *learnt, neuron.gain, neuron.alpha, neuron, norm, node.requires_mem)

    def as_currents(x: Tensor) -> Tensor:
        return x.view(pixels.shape).permute(0, 3, 1, 2) if images else x.view(pixels.shape)

    result = as_currents(spikes)
    if not recomputing():
        _record(node, result, as_currents(membranes) if node.requires_mem else None)
    return mark(result, 1) if neuron.amplitude is None else result


def _record(node: Any, spikes: Tensor, membranes: Tensor | None) -> None:
    """Leave in the node what BrainCog's forward leaves there."""
    steps = spikes.unflatten(0, (node.input_steps, -1)).unbind(0)
    node.spike = steps[-1]
    if node.requires_fp:
        node.feature_map.extend(steps)
    if membranes is not None:
        node.mem_collect.extend(membranes.unflatten(0, (node.input_steps, -1)).unbind(0))
        node.mem = node.mem_collect[-1]


class _Fire(torch.autograd.Function):
    """The operator on `[T, S, R, C]`, with gradients for currents, the norm's weight and bias, the neuron's gain and
    its surrogate's alpha."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        gain: Tensor,
        alpha: Tensor,
        neuron: Neuron,
        norm: StepBatchNorm2d | None,
        keep: bool,
    ) -> tuple[Tensor, Tensor]:
        kernels = _kernels(x)
        scale = shift = mean = rstd = None
        if norm is not None:
            assert weight is not None
            assert bias is not None
            mean, rstd = (part.float() for part in _statistics(x, norm, kernels))
            scale = rstd * weight
            shift = bias - mean * scale
        spikes, membranes = kernels.forward(x, scale, shift, neuron, keep)
        ctx.save_for_backward(x, scale, shift, mean, rstd, gain, alpha)
        ctx.set_materialize_grads(False)
        ctx.neuron, ctx.batch_statistics = neuron, norm is not None and norm.training
        ctx.shared = norm is not None and norm.shared
        ctx.synchronised = norm is not None and norm.processes > 1
        return spikes, membranes

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        x, scale, shift, mean, rstd, *_ = ctx.saved_tensors  # raises if a number was changed in place since
        kernels, neuron = _kernels(x), ctx.neuron
        grad_spike, grad_membrane = (None if grad is None else grad.contiguous() for grad in grads)
        grad, sums, numbers = kernels.backward(x, scale, shift, mean, rstd, neuron, grad_spike, grad_membrane)
        own = [g if wanted else None for g, wanted in zip(numbers.float(), neuron.learnt, strict=True)]
        if scale is None:
            return grad, None, None, *own, None, None, None
        grad_bias, grad_weight = sums.sum((1, 2)).to(torch.float32).unbind()
        means = (
            _average(sums / x.shape[2], ctx.shared, ctx.synchronised)
            if ctx.batch_statistics
            else torch.zeros_like(sums)
        )
        mean_grad, mean_product = means.to(torch.float32).expand(sums.shape).unbind()
        kernels.normalise_backward(grad, x, scale, mean, rstd, mean_grad, mean_product)
        return grad, grad_weight, grad_bias, *own, None, None, None


def _kernels(x: Tensor) -> Kernels:
    """The backend for a tensor that `fire` let pass."""
    found = backend(x.device.type)
    assert found is not None
    return found


def _statistics(x: Tensor, norm: StepBatchNorm2d, kernels: Kernels) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation, float64 `[T, S, C]`; in training the running statistics move."""
    shape = (*x.shape[:2], -1)
    if not norm.training:
        mean, var = norm.evaluation_stats()
        return mean.double().expand(shape), torch.rsqrt(var.double() + norm.eps).expand(shape)
    mean, var = kernels.moments(x)
    count, shared, synchronised = x.shape[2] * norm.processes, norm.shared, norm.processes > 1
    if shared or synchronised:
        here = mean
        mean = _average(here, shared, synchronised)
        var = _average(var + (here - mean).square(), shared, synchronised)
        count *= x.shape[0] if shared else 1
    norm.update_running_stats(mean, var, count)
    return mean.expand(shape), torch.rsqrt(var + norm.eps).expand(shape)


def _average(moments: Tensor, shared: bool, synchronised: bool) -> Tensor:
    """The mean of `[.., T, S, C]` over what shares its statistics: the processes, and the steps if so."""
    mean = moments.mean(-3, keepdim=True) if shared else moments
    return mean_over_ranks(mean) if synchronised else mean
