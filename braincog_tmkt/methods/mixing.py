"""Mixing laws: at which time step does an appearance sequence turn into the event sequence of the same class?

Every law of the paper's Table 4 is a rule for the switch point t* in 1..T+1: frames before t* are appearance, frames
from t* on are events; t* = 1 is all events, t* = T+1 all appearance. The baseline's sliding replacement is a law, too.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from ..data.batch import Batch, to_device
from ..errors import RecipeError
from ..registry import Registry

MIXINGS = Registry("mixing")


class MixedBatch(NamedTuple):
    """A mixed batch, not yet spread out: a frame that comes more than once is there once.

    Args:
        static: appearance frames `[B, 2, H, W]`.
        events: event frames `[B, T, 2, H, W]`.
        appearance: bool `[B, T]`, where the mixed stream shows the appearance frame.
    """

    static: Tensor
    events: Tensor
    appearance: Tensor

    @property
    def frames(self) -> Tensor:
        """X^m `[B, T, 2, H, W]` (TMKT Eq. 10)."""
        return torch.where(self.appearance[:, :, None, None, None], self.static[:, None], self.events)

    @property
    def source(self) -> Tensor:
        """y_s `[T, B]`, 1 for an appearance frame, 0 for an event frame (Eq. 13)."""
        return self.appearance.T.long()

    @property
    def ratio(self) -> Tensor:
        """y_m `[B]`, the share of appearance frames (Eq. 14)."""
        return self.appearance.float().mean(1)


class MixingLaw(Protocol):
    """A rule for the switch point."""

    def switch_points(self, batch: Batch, progress: float) -> Tensor:
        """t* of every sample, int64 `[B]` in 1..T+1, on the CPU."""
        ...


def mix(batch: Batch, switch: Tensor) -> MixedBatch:
    """Put appearance frames before the switch point and event frames from there on (TMKT Eq. 10, 13, 14)."""
    steps = torch.arange(1, batch.steps + 1)
    appearance = to_device(steps[None] < switch[:, None], batch.events.device)
    return MixedBatch(batch.static, batch.events, appearance)


@MIXINGS.register("time_step")
class TimeStepMixup:
    """TSM (TMKT Eq. 7-9): walk t = 1..T, switch at the first t with u_t < p; no hit leaves pure appearance.

    `expectation` says how p follows from the mix ratio r_m, the expected share of event frames:

    - `sampler`: the exact expectation of the walk, no hit included; every r_m in (0, 1) has a p.
    - `truncated`: Eq. 8-9 to the letter, t* from the geometric law on 1..T (always a hit). For p in (0, 1) its
      expectation lies above (T+1)/2T, which excludes the paper's best r_m = 0.4 at T = 10, so the law is continued to
      p < 0 (a geometric law that grows with t); r_m in (1/T, 1) (deviation D-02).

    Args:
        steps: T.
        mix_ratio: r_m.
        expectation: `sampler` or `truncated`.

    Raises:
        RecipeError: if no p gives this r_m; the message names the reachable range.

    Example:
        >>> round(TimeStepMixup(10, 0.4).p, 4), round(TimeStepMixup(10, 0.4, "truncated").p, 4)
        (0.0955, -0.2128)
    """

    def __init__(self, steps: int, mix_ratio: float, expectation: str = "sampler") -> None:
        if expectation not in ("sampler", "truncated"):
            raise RecipeError(f"expectation must be sampler or truncated, not '{expectation}'")
        lowest = 0.0 if expectation == "sampler" else 1 / steps
        if not lowest < mix_ratio < 1:
            raise RecipeError(f"mix_ratio must lie in ({lowest:g}, 1) for T={steps} and {expectation}, not {mix_ratio}")
        law = _walk if expectation == "sampler" else _truncated
        # Over log q, q = 1 - p, the share falls from 1 to its lowest value; brentq wants a bracket that holds the root.
        upper = 0.0 if expectation == "sampler" else 100.0
        log_q = brentq(lambda u: _event_share(law(math.exp(u), steps)) - mix_ratio, -100.0, upper, xtol=1e-14)
        self.p = -math.expm1(log_q)
        self.law = torch.from_numpy(law(math.exp(log_q), steps))

    def switch_points(self, batch: Batch, progress: float) -> Tensor:
        """Draw t* for every sample from the law on 1..T+1."""
        chance = batch.rng.uniform(stream="mixing")
        return torch.searchsorted(self.law.cumsum(0)[:-1], chance, right=True) + 1


def _walk(q: float, steps: int) -> np.ndarray:
    """P(t* = 1..T+1) of the walk that stops with p = 1 - q at each step."""
    return np.append((1 - q) * q ** np.arange(steps), q**steps)


def _truncated(q: float, steps: int) -> np.ndarray:
    """P(t* = 1..T+1) of Eq. 8: proportional to q^(t-1) on 1..T, nothing on T+1."""
    weights = np.exp(np.arange(steps) * math.log(q) - max(0.0, (steps - 1) * math.log(q)))
    return np.append(weights / weights.sum(), 0.0)


def _event_share(law: np.ndarray) -> float:
    """Expected share of event frames, sum over t* of (T + 1 - t*) / T (TMKT Eq. 9)."""
    steps = len(law) - 1
    return float(law @ np.arange(steps, -1, -1)) / steps


@MIXINGS.register("fixed")
class FixedRatio:
    """The same switch point for every sample (Table 4, fixed ratio).

    To the paper's letter t* = floor(T * r_m), which makes 7 of 10 frames events at r_m = 0.4; `share="events"` gives
    t* = T + 1 - round(T * r_m), so that r_m is the share of event frames (deviation D-03).

    Args:
        steps: T.
        mix_ratio: r_m, in (0, 1].
        share: `letter` or `events`.
    """

    def __init__(self, steps: int, mix_ratio: float, share: str = "letter") -> None:
        if share not in ("letter", "events"):
            raise RecipeError(f"share must be letter or events, not '{share}'")
        if not 0 < mix_ratio <= 1:
            raise RecipeError(f"mix_ratio must lie in (0, 1], not {mix_ratio}")
        # A hair above the product: T * r_m that is a whole number must not be floored to the one below.
        letter = max(1, math.floor(steps * mix_ratio + 1e-9))
        self.switch = letter if share == "letter" else steps + 1 - round(steps * mix_ratio)

    def switch_points(self, batch: Batch, progress: float) -> Tensor:
        """The constant t*."""
        return torch.full((len(batch.label),), self.switch)


class _Dynamic:
    """The last round(T * progress^power) frames are events: appearance gives way as training goes on."""

    power: int

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def switch_points(self, batch: Batch, progress: float) -> Tensor:
        """One t* for the whole batch, from T+1 down to 1 over the training."""
        return torch.full((len(batch.label),), self.steps + 1 - round(self.steps * progress**self.power))


@MIXINGS.register("dynamic_nonlinear")
class DynamicNonLinear(_Dynamic):
    """Event share ((b_i + e_c b_l) / (e_m b_l))^3 (TMKT Eq. 18)."""

    power = 3


@MIXINGS.register("dynamic_linear")
class DynamicLinear(_Dynamic):
    """Event share e_c / e_m (TMKT Eq. 19); ours moves within an epoch, too (deviation D-04)."""

    power = 1


@MIXINGS.register("sliding")
class SlidingReplacement:
    """The baseline's law: a sample's whole appearance sequence is replaced with probability progress^3.

    Args:
        steps: T.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def switch_points(self, batch: Batch, progress: float) -> Tensor:
        """t* = 1 where the sample is replaced, T+1 where it is not."""
        replaced = batch.rng.uniform(stream="mixing") < progress**3
        return torch.where(replaced, 1, self.steps + 1)
