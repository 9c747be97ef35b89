"""The recurrences of BrainCog's nodes, for the kernels; a node of ours declares its own as a method `recurrence`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...bridge import node_classes

Declaration = Callable[[Any], dict[str, Any] | None]


def recurrence_of(kind: type) -> Declaration | None:
    """What a class of nodes declares about itself: keywords of `kernels.Neuron`, or None where no kernel fits.

    A subclass may compute anything, so it inherits no recurrence.
    """
    return vars(kind).get("recurrence") or _RECURRENCES.get(kind)


def _constant(node: Any, value: Any) -> Tensor:
    """A number or a tensor, such as BrainCog's `set_n_tau` makes of tau."""
    return torch.as_tensor(value, dtype=torch.float32, device=node.threshold.device).clone()


def _threshold(node: Any) -> Tensor:
    threshold: Tensor = node.get_thres().detach().float().clone()
    return threshold


def _if(node: Any) -> dict[str, Any]:
    return {"keep": _constant(node, 1.0), "gain": _constant(node, node.dt), "threshold": _threshold(node)}


def _lif(node: Any) -> dict[str, Any]:
    """BrainCog's LIF ignores `dt` and `sigmoid_thres`."""
    return {"divide": True, "gain": _constant(node, node.tau), "threshold": node.threshold.detach().float().clone()}


def _plif(node: Any) -> dict[str, Any] | None:
    return {"gain": node.w.sigmoid().float(), "threshold": _threshold(node)} if node.dt == 1.0 else None


_RECURRENCES: dict[type, Declaration] = {
    node_classes()[name]: declare for name, declare in (("IFNode", _if), ("LIFNode", _lif), ("PLIFNode", _plif))
}
