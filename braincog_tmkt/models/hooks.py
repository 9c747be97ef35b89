"""Which modules must be called as they are, because somebody watches or changed them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as modules


@dataclass(frozen=True)
class Tap:
    """A forward hook of ours on a node, which looks at the output only."""

    see: Callable[[nn.Module, Any, Tensor], None]

    def __call__(self, node: nn.Module, inputs: Any, output: Tensor) -> None:
        """Hand on what PyTorch gives to a forward hook."""
        self.see(node, inputs, output)


def watched(part: nn.Module) -> bool:
    """Whether a module has hooks other than taps, or a `forward` of its own instance, and so must be called alone."""
    before = part._forward_pre_hooks, part._backward_hooks, part._backward_pre_hooks
    after = any(not isinstance(hook, Tap) for hook in part._forward_hooks.values())
    of_all = modules._global_forward_pre_hooks, modules._global_forward_hooks  # PyTorch 2.4 has no question for them
    of_all_back = modules._global_backward_pre_hooks, modules._global_backward_hooks
    return after or any((*before, *of_all, *of_all_back)) or "forward" in vars(part)


def divisible(part: nn.Module, kind: type[nn.Module] = nn.Sequential) -> bool:
    """Whether the layers in a module of some kind may be called one by one instead of the module."""
    return isinstance(part, kind) and type(part).forward is kind.forward and not watched(part)
