"""What a process keeps and what it counts, each in a fresh process: malloc's settings cannot be taken back."""

import mmap
import sys

import pytest
import torch

from braincog_tmkt.engine.memory import frames_budget
from tests.children import execute, run

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

HEAD = """
import ctypes, resource, torch
from braincog_tmkt.engine.devices import make_fabric
from braincog_tmkt.engine.memory import peak_memory, reset_peak_memory
torch.set_num_threads(1)
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: one fault brings one page
cpu = torch.device("cpu")

def fill(mib):
    return torch.ones(mib << 18)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
"""
FAULTS = """
for _ in range(10):  # small objects come to lie between the large ones; it settles soon
    fill(64)
before = faults()
for _ in range(4):
    fill(60)
print(faults() - before)
"""
PEAKS = """
def peak():
    print(peak_memory(cpu)["host_mib"])

fill(300)  # brings in the code that it runs
reset_peak_memory(cpu)
peak()
fill(300)
peak()
reset_peak_memory(cpu)
peak()
fill(100)
peak()
"""


def numbers(*code):
    done = run(execute, "\n".join((HEAD, *code)))
    assert done.returncode == 0, done.stderr
    return [float(word) for word in done.stdout.split()]


@linux
@pytest.mark.skipif(torch.cuda.is_available(), reason="only where the CPU trains")
def test_large_tensors_find_their_pages_where_the_engine_trains_on_the_cpu():
    pages = 4 * 60 * 2**20 // mmap.PAGESIZE
    (plain,), (kept,) = numbers(FAULTS), numbers("make_fabric()", FAULTS)
    assert plain > 0.9 * pages  # what it costs otherwise
    assert kept < 0.01 * pages


@linux
@pytest.mark.parametrize("start", ["", "make_fabric()"])
def test_the_peak_is_that_of_the_run_not_of_the_process(start):
    base, first, again, second = numbers(start, PEAKS)
    assert first - base == pytest.approx(300, abs=10)
    assert again - base == pytest.approx(0, abs=10)
    assert second - base == pytest.approx(100, abs=10)


def test_frames_stay_in_their_maps_on_the_cpu():
    assert frames_budget(torch.device("cpu")) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_frames_may_take_a_third_of_a_gpu():
    device = torch.device("cuda")
    assert 0 < frames_budget(device) <= torch.cuda.mem_get_info(device)[1] / 3
