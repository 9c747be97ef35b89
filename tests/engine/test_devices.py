import pytest
import torch

from braincog_tmkt.engine.devices import make_fabric, set_up_cuda


@pytest.fixture
def flags():
    """The settings of a GPU process, all wrong; put back afterwards."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    places = ((matmul, "allow_tf32", False), (cudnn, "allow_tf32", False), (cudnn, "benchmark", True))
    before = [getattr(place, name) for place, name, _ in places]
    for place, name, wanted in places:
        setattr(place, name, not wanted)
    yield places
    for (place, name, _), value in zip(places, before, strict=True):
        setattr(place, name, value)


def test_fp32_is_fp32_and_convolutions_are_tried_out(flags):
    assert [getattr(place, name) for place, name, _ in flags] == [not wanted for _, _, wanted in flags]
    set_up_cuda()
    assert [getattr(place, name) for place, name, _ in flags] == [wanted for _, _, wanted in flags]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_gpu_convolves_and_multiplies_in_fp32(flags, precision):
    make_fabric(precision)
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(8, 64, 32, 32, generator=generator), torch.randn(64, 64, 3, 3, generator=generator)
    exact = torch.nn.functional.conv2d(x.double(), weight.double())
    found = torch.nn.functional.conv2d(x.to("cuda"), weight.to("cuda")).cpu()
    assert (found - exact).abs().max() < 1e-5 * exact.abs().max()  # TF32: 1e-3
    product = (x[0, 0].to("cuda") @ x[0, 1].to("cuda")).cpu()
    assert (product - x[0, 0].double() @ x[0, 1].double()).abs().max() < 1e-4
