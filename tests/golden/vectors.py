"""Reads the golden vectors: weights made from their names, stored inputs, and the answers of the reference code.

README.md in this folder says where the vectors come from and by which rules weights are made.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
TOLERANCE = {"logits": 2e-5, "feature": 2e-5, "terms": 2e-6, "grad": 1e-4, "running": 2e-6}
"""For another order of rounding; relative where a value is larger than 1."""


class Golden(NamedTuple):
    """A network's golden vectors: `state` by the reference's names, frames `[B, T, 2, H, W]`, labels `[B]`."""

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    static: np.ndarray
    events: np.ndarray
    label: np.ndarray


def load(name: str) -> Golden:
    """Read a network's vectors, and prove by `state_hash` that its weights are those of the reference."""
    facts, arrays = json.loads((HERE / f"{name}.json").read_text()), read(name)
    state = make_state(facts)
    assert state_hash(state) == facts["state_hash"], name
    images, events = arrays["static_x16"].astype(np.float32) / 16, arrays["events_x_levels"].astype(np.float32)
    static = np.repeat(np.repeat(images[:, None, None], 2, axis=2), facts["step"], axis=1)
    return Golden(facts, arrays, state, static, events / facts["input_levels"], arrays["label"])


def read(name: str) -> dict[str, np.ndarray]:
    """The arrays of NAME.npz; of `eval/...` only those are stored that differ from `train/...`."""
    with np.load(HERE / f"{name}.npz") as file:
        stored = {key: file[key] for key in file.files}
    return {"eval" + key[5:]: value for key, value in stored.items() if key.startswith("train/")} | stored


def whole_numbers(key: str, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """Numbers of low..high, each as likely, that depend on the key alone."""
    return np.floor(fractions(key, shape) * (high + 1 - low)) + low


def fractions(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Multiples of 2^-53 in [0, 1): the upper 53 bits of PCG64's raw output, seeded with a hash of the key."""
    digest = hashlib.sha256(b"kt-golden-v1|" + key.encode()).digest()
    raw = np.random.PCG64(int.from_bytes(digest[:16], "little")).random_raw(math.prod(shape))
    return ((raw >> np.uint64(11)) / 2**53).reshape(shape)


def direction(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The -1s and 1s on which the gradient of a parameter is projected."""
    return 2 * whole_numbers(f"0|direction|{name}", shape, 0, 1) - 1


def make_state(facts: dict[str, Any]) -> dict[str, np.ndarray]:
    """Every parameter and statistic of the reference's network, but for the constants of its neurons."""
    shapes = {name: tuple(shape) for name, shape in facts["state"].items()}
    state = {}
    for name, shape in shapes.items():
        prefix, _, kind = name.rpartition(".")
        if kind in ("threshold", "alpha"):
            continue
        if prefix == "coefficient":
            kind = prefix
        elif f"{prefix}.running_mean" in shapes:
            kind = f"norm {kind}"
        elif kind == "weight":
            kind = "convolution weight" if len(shape) == 4 else "linear weight"
        state[name] = make(kind, f"{facts['seed']}|{name}", shape, facts)
    return state


def make(kind: str, key: str, shape: tuple[int, ...], facts: dict[str, Any]) -> np.ndarray:
    """One of them; README.md lists the rules."""
    if kind == "norm num_batches_tracked":
        return np.zeros(shape, np.int64)
    if kind == "norm running_var":
        values = np.where(fractions(key, shape) < 1 / 4, 1, 1 / 4) - 1e-5
    elif kind.endswith(" weight") and kind != "norm weight":
        gain = facts["conv_gain" if kind.startswith("convolution") else "linear_gain"]
        most = max(1, int(512 * math.sqrt(3) * gain / math.sqrt(math.prod(shape[1:]))))
        values = whole_numbers(key, shape, -most, most) / 512
    else:
        centre, most, parts = {
            "coefficient": (1, 16, 16),
            "bias": (0, 64, 512),
            "norm running_mean": (0, 8, 64),
            "norm weight": (1, 8, 32),
            "norm bias": (1 / 4 + 2**-9 / 13, 16, 64),
        }[kind]
        values = whole_numbers(key, shape, -most, most) / parts + centre
    return values.astype(np.float32)


def state_hash(state: dict[str, np.ndarray]) -> str:
    """SHA-256 over names (sorted), shapes and little-endian values."""
    digest = hashlib.sha256()
    for name, values in sorted(state.items()):
        digest.update(f"{name} {list(values.shape)}\n".encode())
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def differences(golden: Golden, mode: str, got: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """What an implementation returned against what is stored: (what, error in tolerances); all of it is due.

    Args:
        golden: of `load`.
        mode: "train" or "eval".
        got: `rgb_logits`, `dvs_logits`, `rgb_feature`, `dvs_feature`; `terms`, `grads` and `running` by name.
    """
    arrays, stored = golden.arrays, golden.facts["modes"][mode]
    for name in ("rgb_logits", "dvs_logits", "rgb_feature", "dvs_feature"):
        yield name, furthest(got[name], arrays[f"{mode}/{name}"]) / TOLERANCE[name[4:]]
    for name in ("loss", "domain", "rgb", "dvs"):
        yield name, furthest(got["terms"][name], stored["terms"][name]) / TOLERANCE["terms"]
    sums = arrays[f"{mode}/grad_norm_sum_projection"]
    for name, (norm, _, projection) in zip(stored["grad_names"], sums, strict=True):
        grad = got["grads"][name].astype(np.float64)
        along = abs((grad * direction(name, grad.shape)).sum() - projection) / max(1, math.sqrt(grad.size) / 30)
        whole = arrays.get(f"{mode}/grad/{name}", grad)
        off = max(abs(np.linalg.norm(grad) - norm), along, np.linalg.norm(grad - whole))
        yield f"grad {name}", off / (norm + 1e-12) / TOLERANCE["grad"]
    for key in arrays if mode == "train" else ():
        if key.startswith("train/state/"):
            name = key.removeprefix("train/state/")
            yield name, furthest(got["running"][name], arrays[key]) / TOLERANCE["running"]


def furthest(got: Any, expected: Any) -> float:
    """The largest difference, relative to the largest value expected if that is larger than 1."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    assert got.shape == expected.shape
    return float(np.abs(got - expected).max() / max(1, np.abs(expected).max()))
