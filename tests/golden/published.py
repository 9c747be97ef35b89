"""Reads the golden vectors of the compared methods' public code: `methods/NAME.json` and `methods/NAME.npz`.

Inputs and weights are not stored. Each is made from its name by the rules of README.md in this folder.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .vectors import HERE, direction, fractions, make_state, state_hash, whole_numbers


class Published(NamedTuple):
    """The vectors of a method: `facts` of its JSON file, `arrays` of its npz file."""

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def input(self, name: str) -> Tensor:
        """An input that `facts["inputs"]` describes."""
        rule = self.facts["inputs"][name]
        numbers = whole_numbers(rule["key"], tuple(rule["shape"]), rule["lo"], rule["hi"])
        return torch.from_numpy(((numbers + rule["add"]) / rule["div"]).astype(rule["dtype"]))

    def whole_numbers(self, key: str, shape: tuple[int, ...], low: int, high: int) -> Tensor:
        """An input of whole numbers that the note of a case describes, float32."""
        return torch.from_numpy(whole_numbers(key, shape, low, high)).float()

    def array(self, name: str) -> Tensor:
        """A stored array."""
        return torch.from_numpy(self.arrays[name])

    def state(self, case: dict[str, Any]) -> dict[str, Tensor]:
        """The weights of a case with `state`, proven by its `state_hash`, by the reference's names."""
        rules = {"seed": 0, "conv_gain": 1.0, "linear_gain": 2.0}
        made = make_state({**rules, **case})
        assert "state_hash" not in case or state_hash(made) == case["state_hash"]
        return {name: torch.from_numpy(np.asarray(values)) for name, values in made.items()}


def published(name: str) -> Published:
    """The vectors of a method, by the name of its files in `methods/`."""
    with np.load(HERE / "methods" / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return Published(json.loads((HERE / "methods" / f"{name}.json").read_text()), arrays)


def frames(tag: str, batch: int, steps: int, size: int, levels: int = 4, seed: int = 0) -> Tensor:
    """Event frames `[B, T, 2, H, W]`, counts over `levels`, that depend on the tag alone: `fill.inputs(..)[1]`."""
    key, blocks = f"{seed}|input|{tag}|", -(-size // 4)
    pattern = whole_numbers(f"{key}p", (batch, blocks, blocks), 0, 15).repeat(4, 1).repeat(4, 2)[:, :size, :size] / 16
    chance = fractions(f"{key}e", (batch, steps, 2, size, size))
    counts = np.maximum(0, np.floor(chance * (1 + 10 * pattern[:, None, None])) - 3)
    return torch.from_numpy((counts / levels).astype(np.float32))


def gradient_errors(names: list[str], sums: np.ndarray, grads: dict[str, Tensor]) -> Iterator[tuple[str, float]]:
    """How far gradients are from the reference's norms and projections, relative to the norm.

    Args:
        names: of the parameters, in the order of `sums`.
        sums: `[P, 3]`: norm, sum, and sum with `direction(name)`.
        grads: by the reference's names. A name that is missing is left out; a bias in front of a batch norm, whose
            gradient is 0, is left out, too.
    """
    for name, (norm, _, along) in zip(names, sums, strict=True):
        if name not in grads or norm < 1e-5:
            continue
        grad = grads[name].double().numpy()
        off = abs((grad * direction(name, grad.shape)).sum() - along) / max(1, grad.size**0.5 / 30)
        yield name, float(max(abs(np.linalg.norm(grad) - norm), off) / norm)
