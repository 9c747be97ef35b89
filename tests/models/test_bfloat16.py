"""Convolutions of `bf16-mixed` on a CPU that has no bfloat16: the numbers of one that has."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from braincog_tmkt.models import spikes
from braincog_tmkt.models.spikes import SpikeConv2d, mark

KINDS = {
    "spikes": {"levels": 1},
    "levels": {"levels": 4},
    "frames": {},
    "reflected": {"levels": 1, "padding_mode": "reflect"},
    "strided": {"levels": 1, "stride": 2, "bias": True, "groups": 2},
}


@pytest.fixture(params=list(KINDS))
def layer_and_input(request: pytest.FixtureRequest) -> tuple[SpikeConv2d, Tensor]:
    """A layer, and an input, which is marked if it has levels."""
    torch.manual_seed(0)
    settings = {"bias": False, **KINDS[request.param]}
    levels = settings.pop("levels", None)
    layer = SpikeConv2d(8, 16, 3, padding=1, **settings)
    x = torch.rand(4, 8, 9, 9)
    return layer, x if levels is None else mark((x * levels).round() / levels, levels)


def train(layer: SpikeConv2d, x: Tensor) -> list[Tensor]:
    """The output under autocast, and the gradients of its weighted sum."""
    levels = spikes.levels_of(x)
    x = x.detach().clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x if levels is None else mark(x, levels))
    assert out.dtype == torch.bfloat16
    (out.float() * weights(out)).sum().backward()
    return [out, *gradients(layer, x)]


def train_exactly(layer: SpikeConv2d, x: Tensor) -> list[Tensor]:
    """The same with numbers rounded to bfloat16, and everything else in 64 bits."""
    like = {"bias": layer.bias is not None, "padding_mode": layer.padding_mode, "groups": layer.groups}
    exact = torch.nn.Conv2d(8, 16, 3, stride=layer.stride, padding=1, dtype=torch.float64, **like)
    exact.load_state_dict({name: value.bfloat16().double() for name, value in layer.state_dict().items()})
    x = x.detach().bfloat16().double().requires_grad_()
    out = exact(x)
    (out * weights(out).bfloat16().double()).sum().backward()
    return [out, *gradients(exact, x)]


def weights(out: Tensor) -> Tensor:
    return torch.linspace(-1, 1, out.numel()).reshape(out.shape)


def gradients(layer: torch.nn.Module, x: Tensor) -> Iterator[Tensor]:
    for tensor in (x, *layer.parameters()):
        assert tensor.grad is not None
        yield tensor.grad


def test_training_step_is_exact_but_for_the_last_bit(
    layer_and_input: tuple[SpikeConv2d, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spikes, "_fast_bfloat16", lambda: False)
    for found, exact in zip(train(*layer_and_input), train_exactly(*layer_and_input), strict=True):
        wrong = (found.double() - exact).abs() - exact.abs() * 2**-8  # half a unit in the last of bfloat16's 8 bits
        assert wrong.max() <= 1e-5 * exact.abs().max()


def test_evaluation_gives_the_same_numbers(
    layer_and_input: tuple[SpikeConv2d, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spikes, "_fast_bfloat16", lambda: False)
    layer, x = layer_and_input
    trained, *_ = train(layer, x)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(x), trained)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(x.clone()), trained)


def test_float16_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spikes, "_fast_bfloat16", lambda: False)
    layer = SpikeConv2d(8, 16, 3)
    x = torch.rand(2, 8, 5, 5)
    with torch.autocast("cpu", dtype=torch.float16):
        assert torch.equal(layer(x), torch.nn.functional.conv2d(x, layer.weight, layer.bias))


def test_shapes_alone_can_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spikes, "_fast_bfloat16", lambda: False)
    layer = SpikeConv2d(8, 16, 3, device="meta")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.zeros(2, 8, 5, 5, device="meta")).shape == (2, 16, 3, 3)


def test_float64_stays_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spikes, "_fast_bfloat16", lambda: False)
    layer = SpikeConv2d(8, 16, 3, dtype=torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.rand(2, 8, 5, 5, dtype=torch.float64)).dtype == torch.float64
