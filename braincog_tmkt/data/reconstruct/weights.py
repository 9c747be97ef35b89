"""A user's own file of weights to a network: the layout of the published checkpoints, read without running anything.

The file holds a dictionary with `arch` (`E2VIDRecurrent` or `FireNet`), `state_dict`, and the network's settings as
`model` or as `config.model`.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import pickletools
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ...errors import DataError
from ..types import Reconstruction
from .network import RECURRENT, E2VIDRecurrent, FireNet, Network

NETWORKS: dict[str, type[Network]] = {"E2VIDRecurrent": E2VIDRecurrent, "FireNet": FireNet}

LAYOUT = (
    "a file of E2VID weights has a dictionary with arch (E2VIDRecurrent or FireNet), state_dict, and the network's"
    " settings as model or config.model"
)
TORCHS_OWN = ("torch", "collections", "builtins", "__builtin__")
PICKLES = 4
"""Pickles in front of the numbers of a file in torch's format before 1.6: two marks, the system, the objects."""
UNREADABLE = (UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError)
"""What torch and pickletools raise at files that are damaged, or none of torch's."""
_CHOICES: dict[str, tuple[Any, ...]] = {
    "norm": ("BN", "IN", None),
    "skip_type": ("sum", "concat"),
    "recurrent_block_type": tuple(RECURRENT),
    "use_upsample_conv": (True, False),
}


@lru_cache(maxsize=1)
def load_network(path: Path, sha256: str) -> Network:
    """The network of a file, in evaluation mode; loaded once a process.

    Args:
        path: the file.
        sha256: of its content, in hex.

    Raises:
        DataError: naming the file, if it cannot be read, is another one than `sha256` says, has not the layout above,
            or weights that do not fit its settings.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}, the weights of data.reconstruction, cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(f"{path} is not the file of weights that data.reconstruction.sha256 states: restore the file")
    return network_of(_unpickled(content, path), path)


def network_of(stored: Any, path: Path) -> Network:
    """The network of a checkpoint's dictionary; `path` is for messages, as of `load_network`."""
    fields = stored if isinstance(stored, Mapping) else {}
    config = fields.get("config")
    settings = fields.get("model", config.get("model") if isinstance(config, Mapping) else None)
    state = fields.get("state_dict")
    if not isinstance(settings, Mapping) or not isinstance(state, Mapping):
        missing = "state_dict" if isinstance(settings, Mapping) else "model"
        raise DataError(f"{path} has no {missing}: {LAYOUT}")
    if (arch := fields.get("arch")) not in [*NETWORKS]:
        raise DataError(f"{path} has the weights of '{arch}': {LAYOUT}")
    keywords = _keywords(NETWORKS[arch], settings, path)
    try:
        with torch.device("meta"):  # a wrong number must not ask for memory
            network = NETWORKS[arch](**keywords)
    except (RuntimeError, AttributeError, TypeError, OverflowError) as error:
        raise DataError(f"{path} states settings that no network can have ({error}): {LAYOUT}") from error
    try:
        network.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} has weights that do not fit its settings ({reason}): get the file again") from error
    if not all(value.isfinite().all() for value in network.state_dict().values()):
        raise DataError(f"{path} has weights that are not finite: get the file again")
    network.trained_on = fields.get("trained_on")
    return network.eval().requires_grad_(False)


def require_unseen(how: Reconstruction, data: str, held_out: Iterable[str]) -> None:
    """Refuse weights that were trained on recordings which a split holds out.

    Published weights saw none of them. A file may say which it saw: `trained_on`, `{set: NAME, keys: [..]}`, as
    experiments/studies/ev2vid/train.py writes it.

    Raises:
        DataError: naming the file and the first such recording; or as `load_network` does.
    """
    said = load_network(Path(how.weights), how.sha256).trained_on
    if not isinstance(said, Mapping) or said.get("set") != data:
        return
    if seen := sorted({*held_out}.intersection(said.get("keys") or ())):
        raise DataError(
            f"{how.weights} was trained on {len(seen)} recordings that this split holds out, the first {seen[0]}: train"
            " E2VID on the training recordings of this split, or take other weights"
        )


def _keywords(network: type[Network], settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The settings that a network takes, checked; a file's others, such as a kernel size, show in its weights."""
    accepted = inspect.signature(network).parameters
    found = {key: value for key, value in settings.items() if key in accepted}
    found |= {"norm": None} if found.get("norm") == "none" else {}
    if "num_bins" not in found:
        raise DataError(f"{path} does not state num_bins among the settings of its network: {LAYOUT}")
    for key, value in found.items():
        whole = key.startswith(("num_", "base_"))
        if whole and (type(value) is not int or not 0 <= value <= 1024 or (value == 0 and "residual" not in key)):
            raise DataError(f"{path} states {key} {value!r}, but it must be a whole number from 1 to 1024")
        if key in _CHOICES and value not in _CHOICES[key]:
            raise DataError(f"{path} states {key} {value!r}, but it must be one of {_CHOICES[key]}")
    return found


def _unpickled(content: bytes, path: Path) -> Any:
    """What a file holds; objects that are neither torch's nor plain become empty stand-ins, and nothing of them runs.

    Checkpoints of training scripts hold loggers and numbers of numpy's beside the weights.
    """
    before = torch.serialization.get_safe_globals()
    try:
        torch.serialization.add_safe_globals([*_stand_ins(content)])
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as a file of weights ({reason}): {LAYOUT}") from error
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


class _StandIn:
    """Takes any arguments and any state, and keeps neither."""

    def __new__(cls, *arguments: Any) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _stand_ins(content: bytes) -> Iterator[type]:
    """A class for each name in a file that is not torch's own."""
    for module, _, name in sorted({tuple(name.rpartition(" ")) for name in _names(content)}):
        if module.partition(".")[0] not in TORCHS_OWN:
            yield type(name, (_StandIn,), {"__module__": module})


def _names(content: bytes) -> Iterator[str]:
    """The classes and functions that the pickles of a file name, as `module name`."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            pickles = [io.BytesIO(archive.read(name)) for name in archive.namelist() if name.endswith("data.pkl")]
    else:
        pickles = [io.BytesIO(content)] * PICKLES  # one after the other
    for pickle in pickles:
        yield from (str(argument) for code, argument, _ in pickletools.genops(pickle) if code.name == "GLOBAL")
