"""The CUDA kernels without a GPU: their numbers through Triton's interpreter, and that they compile for real GPUs.

Triton decides at import whether it interprets, so the tests of numbers run in a process of their own.
"""

import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from braincog_tmkt.models.kernels import backend, cpu
from braincog_tmkt.models.nodes.soft_reset import SoftResetIFNode
from braincog_tmkt.models.parts import node_class, surrogate_class

from .neurons import BRAIN_COGS, IF, INTERPRETED, LIF, PLIF, SOFT, UNIT, currents, neuron, scalar

triton = pytest.importorskip("triton", minversion="3.6")  # as kernels.TRITON

from braincog_tmkt.models.kernels import cuda  # noqa: E402

interpreted = pytest.mark.skipif(not INTERPRETED, reason="runs in the process with Triton's interpreter")
compiled = pytest.mark.skipif(INTERPRETED, reason="Triton interprets here")

if INTERPRETED:  # half of the time would go into the same patches
    from triton.runtime import interpreter

    patched = set()

    def call(self, *args, **keywords):
        """A device function; Triton's own `__call__` patches its language at every call, not at the first alone."""
        if self.fn.__module__ not in patched:
            patched.add(self.fn.__module__)
            interpreter._patch_lang(self.fn)
        return self.rewrite()(*args, **keywords)

    interpreter.InterpretedFunction.__call__ = call


def statistics(x):
    """Factors, shifts, means and 1 / standard deviations of a batch norm, with a weight of 0 among its weights."""
    mean, var = (part.float() for part in cpu.moments(x))
    rstd = torch.rsqrt(var + 1e-5)
    weight, bias = torch.linspace(0, 2, x.shape[-1]), torch.linspace(1, -0.5, x.shape[-1])
    return rstd * weight, bias - mean * rstd * weight, mean, rstd


@compiled
def test_interpreted_numbers():
    files = [Path(__file__).with_name(name) for name in ("test_kernels.py", "test_cuda_kernels.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


@interpreted
@pytest.mark.parametrize("surrogate", BRAIN_COGS)
@pytest.mark.parametrize(("name", "kind", "tau"), [("LIFNode", LIF, 2.0), ("IFNode", IF, 1.0), ("PLIFNode", PLIF, 3.0)])
def test_brain_cogs_own_node_step_by_step(name, kind, tau, surrogate):
    steps, shape = 5, (1, 7, 3)
    node = node_class(name)(threshold=0.5, tau=tau, act_fun=surrogate_class(surrogate), step=steps)
    x = currents(steps, *shape)
    x[0, :, 0] = 0.5 * tau  # a tie
    x.requires_grad_()
    grad_spike, grad_membrane = torch.randn(2, steps, *shape).unbind()
    spikes, membranes = [], []
    for current in x:
        spikes.append(node(current))
        membranes.append(node.mem)
    spikes, membranes = torch.stack(spikes), torch.stack(membranes)
    ((spikes * grad_spike).sum() + (membranes * grad_membrane).sum()).backward()

    number = node.w.sigmoid().item() if name == "PLIFNode" else tau
    like = neuron(kind, number, 0.5, surrogate)._replace(alpha=node.act_fun.alpha)
    spike, membrane = cuda.forward(x.detach(), None, None, like, True)
    assert torch.equal(spike, spikes)
    assert torch.equal(membrane, membranes)
    assert ((membranes == 0.5) & (spikes == 0)).any() or name == "PLIFNode"  # ties do not spike
    grad, sums, numbers = cuda.backward(x.detach(), None, None, None, None, like, grad_spike, grad_membrane)
    torch.testing.assert_close(grad, x.grad, rtol=2e-6, atol=1e-7)
    assert sums.shape == (0,)
    if name == "PLIFNode":
        assert numbers[0].item() * number * (1 - number) == pytest.approx(node.w.grad.item(), rel=1e-5)
        if surrogate == "AtanGrad":
            assert numbers[1].item() == pytest.approx(node.act_fun.alpha.grad.item(), rel=1e-5)


@interpreted
@pytest.mark.parametrize("surrogate", BRAIN_COGS)
@pytest.mark.parametrize("given", [(True, True), (True, False), (False, True)])
def test_the_node_with_a_soft_reset_step_by_step(given, surrogate):
    """Gradients of outputs, of membranes, of both: they pass the reset."""
    steps, shape, theta = 5, (1, 7, 3), 0.75
    act_fun = surrogate_class(surrogate)(alpha=1.5, requires_grad=surrogate == "AtanGrad")
    node = SoftResetIFNode(theta, act_fun, step=steps, requires_mem=True)
    x = currents(steps, *shape)
    x[0, :, 0] = theta / 2  # a tie
    x.requires_grad_()
    outputs = torch.stack([node(current) for current in x])
    membranes = torch.stack(node.mem_collect)
    grads = [grad if wanted else None for grad, wanted in zip(torch.randn(2, *x.shape), given, strict=True)]
    sum((y * grad).sum() for y, grad in zip((outputs, membranes), grads, strict=True) if grad is not None).backward()

    like = neuron(SOFT, (1 / scalar(theta)).item(), 1.0, surrogate, 1.5, v_init=0.5, amplitude=theta)
    spike, membrane = cuda.forward(x.detach(), None, None, like, True)
    assert torch.equal(spike, outputs)
    assert torch.equal(membrane, membranes)
    assert (membranes == 1).any()  # ties do not spike
    grad, _, numbers = cuda.backward(x.detach(), None, None, None, None, like, *grads)
    torch.testing.assert_close(grad, x.grad, rtol=1e-5, atol=1e-6)
    if surrogate == "AtanGrad":
        assert numbers[1].item() == pytest.approx(act_fun.alpha.grad.item(), rel=1e-5)


@interpreted
@pytest.mark.parametrize("streams", [1, 2])
def test_batch_norm_and_node_against_autograd(streams):
    steps, rows, channels = 3, 21, 5
    x = (2 * currents(steps, streams, rows, channels) + 1).requires_grad_()
    weight, bias = torch.rand(channels, requires_grad=True), torch.randn(channels, requires_grad=True)
    grad_spike = torch.randn_like(x)
    node = node_class("LIFNode")(threshold=0.5, act_fun=surrogate_class("AtanGrad"), step=steps)
    batch = [torch.stack([F.batch_norm(p, None, None, weight, bias, True) for p in step]) for step in x]
    spikes = torch.stack([node(current) for current in batch])
    (spikes * grad_spike).sum().backward()

    with torch.no_grad():
        mean, var = cuda.moments(x.detach())
        rstd = torch.rsqrt(var + 1e-5)
        scale = rstd * weight
        norm = [part.float() for part in (scale, bias - mean * scale, mean, rstd)]
    like = neuron(surrogate="AtanGrad")
    assert torch.equal(cuda.forward(x.detach(), *norm[:2], like, False)[0], spikes)
    grad, sums, _ = cuda.backward(x.detach(), *norm, like, grad_spike, None)
    torch.testing.assert_close(sums.sum((1, 2)).float(), torch.stack((bias.grad, weight.grad)), rtol=1e-5, atol=1e-5)
    means = (sums / rows).float()
    cuda.normalise_backward(grad, x.detach(), norm[0], *norm[2:], *means)
    torch.testing.assert_close(grad, x.grad, rtol=1e-4, atol=1e-6)


@interpreted
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 2, 1, 3), (2, 1, 150, 1), (1, 2, 130, 66)])
def test_moments_do_not_cancel(shape, dtype, monkeypatch):
    monkeypatch.setattr(cuda, "PROGRAMS", 3)  # so that a program has several tiles
    x = (1000 + currents(*shape)).to(dtype)
    mean, var = cuda.moments(x)
    torch.testing.assert_close(mean, x.double().mean(2), rtol=1e-6, atol=0)
    torch.testing.assert_close(var, x.double().var(2, correction=0), rtol=1e-6, atol=1e-9)


def fused(a, b, c):
    """`fma` as every GPU has it: a * b + c in float32, rounded once.

    The product is exact in float64. The sum is rounded to an odd last bit wherever it is not exact, so that rounding
    it to float32 afterwards rounds what is exact (Boldo and Melquiond, 2008).
    """
    a, b, c = (np.asarray(number, np.float64) for number in (a, b, c))
    product = a * b
    total = product + c
    rest = total - product
    error = (product - (total - rest)) + (c - rest)  # Knuth: total + error is the exact sum
    even = (error != 0) & (total.view(np.int64) % 2 == 0)
    away = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
    return np.where(even, away, total).astype(np.float32)


DIVISORS = (2.0, 3.0, 7 / 3, 3.3, 1.9999999, 1.0000001, 1e-3)


def dividends():
    """Numbers of all sizes whose quotients and their corrections are normal numbers."""
    rng = np.random.default_rng(0)
    return (rng.standard_normal((512, 8)) * np.logspace(-25, 25, 512)[:, None]).astype(np.float32)


@compiled
def test_fused_rounds_once():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 2000)).astype(np.float32)
    c = np.where(np.arange(2000) % 2, -a * b, rng.standard_normal(2000) * np.logspace(-9, 9, 2000)).astype(np.float32)
    exact = [Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)) for x, y, z in zip(a, b, c, strict=True)]
    found = fused(a, b, c)
    for number, truth in zip(found, exact, strict=True):
        beside = [float(np.nextafter(number, np.float32(way))) for way in (-np.inf, np.inf)]
        assert all(abs(Fraction(float(number)) - truth) <= abs(Fraction(other) - truth) for other in beside)
    assert (found != a * b + c).any()


@compiled
@pytest.mark.parametrize("tau", DIVISORS)
def test_division_is_exact_with_a_fused_multiply_add(tau, monkeypatch):
    monkeypatch.setattr(cuda, "tl", SimpleNamespace(fma=fused))
    x, tau = dividends(), np.float32(tau)
    assert np.array_equal(cuda._divide.fn(x, tau, np.float32(1) / tau), x / tau)


@interpreted
@pytest.mark.parametrize("tau", DIVISORS)
def test_division_is_as_near_as_the_interpreters_own_multiply_add_allows(tau):
    """Some versions of it round the product too; then the last bit may differ."""
    x = dividends()
    membrane = cuda.forward(torch.from_numpy(x)[None, None], None, None, neuron(gain=tau, threshold=1e38), True)[1]
    np.testing.assert_array_max_ulp(membrane.numpy().reshape(x.shape), x / np.float32(tau), maxulp=1)


def compare(device, dtype, shape, kind, gain, surrogate, given=(True, True), rtol=2e-5):
    """All four functions against the CPU backend's."""
    like = neuron(kind, gain, surrogate=surrogate, v_init=0.1)
    there = neuron(kind, gain, surrogate=surrogate, v_init=0.1, device=device)
    x = currents(*shape, dtype=dtype)
    grads = [g if wanted else None for g, wanted in zip((currents(*shape, dtype=dtype), currents(*shape)), given)]  # noqa: B905
    norm = statistics(x)
    rtol = rtol if dtype == torch.float32 else 1e-2

    def moved(*tensors):
        return [None if tensor is None else tensor.to(device) for tensor in tensors]

    def close(got, expected, atol=1e-5):
        torch.testing.assert_close(got.cpu(), expected.view_as(got), rtol=rtol, atol=atol * (1 + expected.abs().max()))

    close(torch.stack(cuda.moments(x.to(device))), torch.stack(cpu.moments(x)))
    for part in (norm, (None,) * 4):
        expected = cpu.forward(x, *part[:2], like, True)
        for got, one in zip(cuda.forward(*moved(x, *part[:2]), there, True), expected, strict=True):
            assert torch.equal(got.cpu(), one)
        got = cuda.backward(*moved(x, *part), there, *moved(*grads))
        for mine, one in zip(got, cpu.backward(x, *part, like, *grads), strict=True):
            if one.numel():
                close(mine, one, 1e-5 if dtype == torch.float32 else 1e-2)
    grad = currents(*shape, dtype=dtype, seed=1)
    vectors = norm[0], *norm[2:], norm[1], norm[2]
    got = cuda.normalise_backward(*moved(grad, x, *vectors))
    close(got, cpu.normalise_backward(grad, x, *vectors))


@interpreted
@pytest.mark.parametrize(
    ("dtype", "shape", "kind", "gain", "surrogate", "given"),
    [
        (torch.float32, (3, 2, 37, 5), LIF, 4.0, "QGateGrad", (True, False)),
        (torch.float32, (13, 1, 5, 3), PLIF, 0.37, "AtanGrad", (True, True)),
        (torch.bfloat16, (2, 1, 7, 66), PLIF, 0.5, "GateGrad", (False, True)),
        (torch.bfloat16, (2, 2, 90, 1), IF, 1.0, "BackEIGateGrad", (True, True)),
        (torch.float32, (3, 1, 9, 66), SOFT | {"amplitude": 1.3}, 0.7, "QGateGrad", (True, True)),
        # an amplitude that the interpreter, which truncates, rounds right
        (torch.bfloat16, (2, 2, 90, 3), SOFT | {"amplitude": 0.3125}, 0.7, "AtanGrad", (True, False)),
        (torch.float32, (1, 1, 40, 5), SOFT | {"amplitude": 1.3}, 0.7, "GateGrad", (False, True)),
        (torch.float32, (4, 1, 21, 5), UNIT, 1.0, "BackEIGateGrad", (True, True)),
        (torch.bfloat16, (3, 2, 30, 3), UNIT | {"soft": True}, 0.5, "QGateGrad", (True, False)),
        (torch.float32, (3, 1, 30, 3), UNIT | {"cut": True}, 1.0, "Dspike", (True, True)),
    ],
)
def test_the_cpu_backend_in_odd_sizes(dtype, shape, kind, gain, surrogate, given, monkeypatch):
    monkeypatch.setattr(cuda, "PROGRAMS", 4)
    compare("cpu", dtype, shape, kind, gain, surrogate, given)


@compiled
@pytest.mark.parametrize(
    ("version", "there"), [("3.0.0", False), ("3.5.1", False), ("3.6.0", True), ("3.10.0+git", True)]
)
def test_an_older_triton_is_left_alone(version, there, monkeypatch):
    """It compiles the kernels not at all, or to other numbers; nodes then walk their steps."""
    monkeypatch.setattr(triton, "__version__", version)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert backend.__wrapped__("cuda") is (cuda if there else None)


@pytest.mark.gpu
@compiled
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [LIF, PLIF, SOFT | {"amplitude": 1.3}, UNIT, UNIT | {"cut": True}])
@pytest.mark.parametrize("shape", [(10, 2, 577, 64), (4, 1, 37, 5), (20, 1, 64, 130)])
def test_the_cpu_backend_on_a_gpu(shape, kind, dtype):
    for surrogate in ("AtanGrad", "QGateGrad", "Dspike"):
        compare("cuda", dtype, shape, kind, 3.3 if kind == LIF else 0.7, surrogate)


def build(kernel, target, constants, options=None):
    """Compile a kernel for a GPU; its PTX, and what the assembler says of its resources."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    known = dict.fromkeys(("R", "C", "tiles", "parts", "part_rows"), "i32") | {"v_init": "fp32"}
    known |= dict.fromkeys(("sums", "numbers", "means", "squares", "mean_of_all", "var_of_all"), "*fp64")
    known |= dict.fromkeys(("x", "spike", "grad", "grad_spike"), "*bf16")
    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else known.get(name, "*fp32") for name in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if signature[n][0] == "*" or n == "C"}
    source = ASTSource(kernel, signature, constants, aligned)
    result = triton.compile(source, target=GPUTarget("cuda", target, 32), options=cuda.EXACT | (options or {}))
    return result.asm["ptx"], result.asm["cubin"]


def stack(cubin, folder):
    """Bytes of local memory that a thread of a kernel needs: 0 if nothing is spilled."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    if not tool.exists():
        pytest.skip("no cuobjdump with this Triton")
    file = folder / "kernel.cubin"
    file.write_bytes(cubin)
    text = subprocess.run([tool, "--dump-resource-usage", file], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"STACK:(\d+)", text)[1])


@compiled
@pytest.mark.parametrize("target", [pytest.param(80, marks=pytest.mark.slow), 90])
def test_kernels_compile_for_real_gpus(target, tmp_path, monkeypatch):
    monkeypatch.setattr(triton.knobs.cache, "dir", str(tmp_path / "cache"))
    tile, walk = {"WIDE": 64}, {"T": 6, "WIDE": 64}
    lif = walk | {"DIVIDE": True, "INCLUSIVE": False, "SOFT": False, "keep": None, "amplitude": None}
    soft = walk | {"DIVIDE": False, "INCLUSIVE": False, "SOFT": True}
    unit = walk | {"DIVIDE": False, "INCLUSIVE": True, "SOFT": False, "amplitude": None}
    backward = {"SURROGATE": 0, "ROWS": 4, "grad_membrane": None, "LEARN_GAIN": False, "LEARN_ALPHA": False}
    backward |= {"CUT": False}
    forward, attached = {"ROWS": 8, "membrane": None}, backward | {"ATTACHED": True}
    registers = {"maxnreg": cuda.REGISTERS}
    jobs = {
        "forward": (cuda._forward, lif | forward, {}),
        "backward": (cuda._backward, lif | backward | {"ATTACHED": False}, registers),
        "soft forward": (cuda._forward, soft | forward, {}),
        "soft backward": (cuda._backward, soft | attached, registers),
        "unit backward": (cuda._backward, unit | attached, registers),
        "Dspike backward": (cuda._backward, unit | attached | {"CUT": True, "SURROGATE": 4}, registers),
        "join": (cuda._join, tile | {"PARTS": 32}, {}),
        "moments": (cuda._moments, tile | {"ROWS": 64}, {}),
        "normalise": (cuda._normalise_backward, tile | {"ROWS": 32}, {}),
    }
    built = {name: build(kernel, target, constants, options) for name, (kernel, constants, options) in jobs.items()}
    for name, (_, cubin) in built.items():
        assert stack(cubin, tmp_path) == 0, name
    divisions = {"forward": 4 * walk["T"], "backward": 2 * 2 * walk["T"]}
    divisions |= dict.fromkeys(("soft forward", "soft backward", "unit backward"), 0)
    for name in divisions:  # nothing is approximate
        assert not re.search(r"(div\.(full|approx)|rcp\.approx|\.ftz)", built[name][0]), name
    assert re.search(r"cvt\.rn\.bf16", built["soft forward"][0])  # an amplitude is rounded to the nearest
    # only the divisions by tau are fused: four operations each
    for name, number in divisions.items():
        assert built[name][0].count("fma.rn.f32") == 4 * number, name
