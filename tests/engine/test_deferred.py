"""Values that arrive late are read in order, at the step they are due, and all of them in the end."""

import pytest
import torch

from braincog_tmkt.engine import deferred
from braincog_tmkt.engine.deferred import DeferredValues

CPU = torch.device("cpu")


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_values_are_read_in_order_a_fixed_number_of_sends_later(monkeypatch, lag):
    monkeypatch.setitem(deferred.LAG, "cpu", lag)
    read = []
    values = DeferredValues(CPU, lambda tag, numbers: read.append((tag, numbers)))
    for step in range(6):
        values.send(step, torch.tensor([step / 2, 1.0]))
        assert [tag for tag, _ in read] == list(range(step + 1 - lag))
    values.flush()
    values.flush()
    assert read == [(step, [step / 2, 1.0]) for step in range(6)]


def test_an_error_of_the_reader_comes_out_of_the_send_that_makes_it_read(monkeypatch):
    monkeypatch.setitem(deferred.LAG, "cpu", 2)

    def refuse(tag, numbers):
        if tag == 1:
            raise ValueError(tag)

    values = DeferredValues(CPU, refuse)
    for step in range(3):
        values.send(step, torch.zeros(1))
    with pytest.raises(ValueError, match="1"):
        values.send(3, torch.zeros(1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_sends_without_waiting():
    read = []
    values = DeferredValues(torch.device("cuda"), lambda tag, numbers: read.append((tag, numbers)))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(5):
            values.send(step, torch.full((2,), float(step), device="cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [tag for tag, _ in read] == [0, 1, 2]
    values.flush()
    assert read == [(step, [step, step]) for step in range(5)]
