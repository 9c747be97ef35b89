"""Neurons and currents for the tests of the kernels, and which backend this process tests."""

import os

import torch

from braincog_tmkt.models.kernels import SLOPES, Neuron
from braincog_tmkt.models.parts import surrogate_class
from braincog_tmkt.models.surrogates.dspike import Dspike

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether this is the process in which Triton interprets its kernels, see `test_cuda_kernels`."""

LIF, IF, PLIF = {"divide": True}, {"keep": 1.0}, {}
SOFT = IF | {"soft": True, "attached": True}
UNIT = {"keep": 0.5, "attached": True, "inclusive": True}
BRAIN_COGS = [name for name in SLOPES if name != "Dspike"]


def scalar(number, device="cpu"):
    return torch.tensor(number, dtype=torch.float32, device=device)


def neuron(kind=LIF, gain=2.0, threshold=0.5, surrogate="QGateGrad", alpha=2.0, v_init=0.0, device="cpu", **fields):
    """Numbers that can be learnt are."""
    gain, threshold, alpha = (scalar(number, device) for number in (gain, threshold, alpha))
    fields = {key: scalar(field, device) if type(field) is float else field for key, field in (kind | fields).items()}
    return Neuron(gain.requires_grad_(), threshold, SLOPES[surrogate], alpha.requires_grad_(), v_init, **fields)


def make_surrogate(name, alpha):
    return Dspike(alpha) if name == "Dspike" else surrogate_class(name)(alpha=alpha, requires_grad=False)


def currents(*shape, dtype=torch.float32, seed=0):
    """Numbers of which many put a membrane exactly on the threshold 0.5."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    ties = torch.rand(shape, generator=generator) < 0.3
    return torch.where(ties, (4 * x).round() / 4, x).to(dtype)
