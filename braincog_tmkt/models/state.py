"""Weights from files into networks: checkpoints of this project, of BrainCog's scripts and of Transfer-for-DVS."""

from __future__ import annotations

import pickle
from argparse import Namespace
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError
from ..files import user_path

if TYPE_CHECKING:
    from torch import Tensor, nn

SAFETENSORS = ".safetensors"

CONSTANTS = (".threshold", ".alpha", ".num_batches_tracked")
"""Ends of names that a file may leave out: constants of nodes and surrogates, a counter that nothing reads."""

STEP_SETS = (".step_mean", ".step_var")
"""Statistics of norm `step_own`, which begin with those of `step` where a file has none, see `norms.step_own`."""

SHOWN = 3
"""Names that a message has of each kind."""


def load_published(network: nn.Module, file: str | Path) -> nn.Module:
    """Load a checkpoint of Transfer-for-DVS (Knowledge-Transfer) or of BrainCog's scripts into a network.

    Their scripts save with timm: a dictionary with `state_dict` and the command's arguments. Layers have the same names
    here, but for the one classifier of BrainCog's own VGG_SNN and ResNets: `fc` is `dvs_fc` here. Only tensors and
    plain values are unpickled.

    Args:
        network: built with the keywords that the checkpoint was trained with: `num_classes`, `step`, the size of a
            frame. `tmkt_*` for Transfer-for-DVS, `hsd_*` with a `node_type` for BrainCog's own.
        file: a `.pth`, `.pth.tar` or `.safetensors` file of weights, alone or under `state_dict`.

    Returns:
        The network.

    Raises:
        RecipeError: naming the file and what is missing, unknown or of another shape; or if it is no such file.

    Example:
        >>> import tempfile, timm, torch, braincog_tmkt
        >>> settings = {"num_classes": 5, "step": 2, "width": 0.1}
        >>> trained = timm.create_model("tmkt_scnn", **settings)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"epoch": 3, "state_dict": trained.state_dict()}, f"{folder}/model_best.pth.tar")
        ...     net = load_published(timm.create_model("tmkt_scnn", **settings), f"{folder}/model_best.pth.tar")
        >>> bool((net.fc1.weight == trained.fc1.weight).all())
        True
    """
    state = read_state(file)
    own = network.state_dict()
    if not any(name.startswith("dvs_fc.") for name in state):
        state = {f"dvs_{name}" if name.startswith("fc.") and name not in own else name: state[name] for name in state}
    return put_state(network, state, str(file), CONSTANTS)


def read_state(file: str | Path) -> dict[str, Tensor]:
    """The weights in a file, alone or under `state_dict`, on the CPU; `module.` of several processes is taken off.

    Raises:
        RecipeError: naming the file, if it is missing, damaged, or holds something else.
    """
    import torch

    path = user_path(file)
    if not path.is_file():
        raise RecipeError(f"there is no file of weights {path}: correct the path")
    found: Any
    try:
        if path.suffix == SAFETENSORS:
            from safetensors.torch import load

            found = load(path.read_bytes())
        else:
            with _with_arguments():
                found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RecipeError(
            f"{path} holds more than tensors and plain values, which may run code, so it is not loaded: if you trust"
            " it, read it once with weights_only=False and save its 'state_dict' alone"
        ) from error
    except Exception as error:  # each of the two formats has errors of its own
        raise RecipeError(
            f"{path} cannot be read as a file of weights ({_first_line(error)}): get it again, or give another file"
        ) from error
    state = found.get("state_dict", found) if isinstance(found, Mapping) else None
    if (
        not isinstance(state, Mapping)
        or not state
        or not all(isinstance(each, torch.Tensor) for each in state.values())
    ):
        raise RecipeError(
            f"{path} holds no weights, neither a state dict nor one under 'state_dict': save the network's state_dict()"
        )
    return {str(name).removeprefix("module."): tensor for name, tensor in state.items()}


def _with_arguments() -> AbstractContextManager[object]:
    """A context in which `argparse.Namespace` may be unpickled, too: scripts save their arguments as one."""
    from torch import serialization

    if hasattr(serialization, "safe_globals"):
        safe: AbstractContextManager[object] = serialization.safe_globals([Namespace])
        return safe
    serialization.add_safe_globals([Namespace])  # PyTorch 2.4 cannot take it back
    return nullcontext()


def put_state(network: nn.Module, state: Mapping[str, Tensor], what: str, may_miss: tuple[str, ...] = ()) -> nn.Module:
    """Load weights into a network, if their names and shapes are exactly the network's.

    Args:
        network: keeps its own weights if anything is wrong.
        state: by the network's names.
        what: where they come from, for messages.
        may_miss: ends of names that `state` may lack.

    Raises:
        RecipeError: naming what is missing, unknown or of another shape.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in state and not name.endswith((*may_miss, *STEP_SETS))]
    unknown = [name for name in state if name not in own]
    shapes = [
        f"{name} is {[*tensor.shape]}, in the network {[*own[name].shape]}"
        for name, tensor in state.items()
        if name in own and tensor.shape != own[name].shape and not name.endswith(STEP_SETS)
    ]
    wrong = {"it lacks": missing, "the network has no": unknown, "other shapes:": shapes}
    words = [f"{kind} {_some(names)}" for kind, names in wrong.items() if names]
    if words:
        raise RecipeError(
            f"{what} does not fit this {type(network).__name__}: {'; '.join(words)}: build the network with the"
            " keywords that it was trained with"
        )
    network.load_state_dict(dict(state), strict=False)
    return network


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
