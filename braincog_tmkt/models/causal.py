"""Whether the first t of T steps are, in evaluation, what a run with t steps gives."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..bridge import BaseNode
from .all_steps import AllSteps, FrozenDropout, SampleDropout
from .hooks import watched
from .module_network import ModuleNetwork
from .multi_step import MultiStep
from .network import SpikingNetwork
from .nodes.braincog import recurrence_of
from .nodes.qcfs import QCFSNode

OWN = ("event_logits", "classified", "encoded", "_run", "_run_multi_step", "_encode_frames", "set_steps")
"""What of `SpikingNetwork` decides how frames become steps; a network that replaces any of it is not looked into."""

KNOWN = ("torch.nn.modules.", "braincog_tmkt.", "braincog.")


def is_causal(network: Any) -> bool:
    """Whether the logits of step t depend on the first t frames alone, and draw nothing, in evaluation.

    True is a promise: for a network with a part that is not known, False. So are networks that run step by step.
    """
    if not isinstance(network, SpikingNetwork) or network.execution != "multi_step":
        return False
    if isinstance(network, ModuleNetwork):  # each step is a sample for the layers of its module
        nodes = all(_is_known(part) for part in network.nodes)
        return nodes and not any(watched(part) for part in network.modules())
    as_usual = all(getattr(type(network), name) is getattr(SpikingNetwork, name) for name in OWN)
    as_usual = as_usual and getattr(network.encoder, "encode_type", "direct") == "direct"  # others draw
    return as_usual and all(_is_known(part) for part in network.modules())


def _is_known(part: nn.Module) -> bool:
    """Whether a part treats each step by itself, or is a node that sees the steps in their order."""
    if watched(part):
        return False
    if isinstance(part, BaseNode):  # those with a recurrence draw nothing, and look at nothing that comes later
        kind = part.plain if isinstance(part, MultiStep) else type(part)
        return kind is QCFSNode or recurrence_of(kind) is not None
    if isinstance(part, AllSteps):
        return isinstance(part, SampleDropout | FrozenDropout) and part.built_for is None
    return f"{type(part).__module__}.".startswith(KNOWN)
