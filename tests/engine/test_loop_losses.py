"""Losses and weights that are not finite, and losses that arrive deferred."""

import os
import signal

import pytest

from braincog_tmkt.engine import checkpoint, step
from braincog_tmkt.engine.signals import Stopped
from braincog_tmkt.errors import TrainingError

from .test_loop import STEPS_PER_EPOCH, kill_at, require_same, whole  # noqa: F401
from .toys import equal


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_the_weights_change(bench, value):
    seen = {}

    def prepare(method):
        def spoil(call):
            if call == STEPS_PER_EPOCH + 3:
                seen.update(bench.weights())
                method.scale = value

        method.before = spoil

    with pytest.raises(TrainingError) as error:
        bench.fit(prepare=prepare)
    for word in ("epoch 2, step 3", "loss nan" if value != value else "loss ", "classes ", "draws ", "last.pt"):
        assert word in str(error.value)
    assert equal(seen, bench.weights())
    state = checkpoint.load(bench.folder / "run" / "checkpoints" / "last.pt")
    assert (state["progress"]["epoch"], state["progress"]["step"]) == (1, 0)
    assert all(tensor.isfinite().all() for tensor in state["method"].values())


def test_a_loss_that_is_not_finite_in_the_first_epoch_says_there_is_no_checkpoint(bench):
    with pytest.raises(TrainingError, match=r"epoch 1, step 1.*there is no checkpoint yet"):
        bench.fit(prepare=lambda method: setattr(method, "scale", float("nan")))


@pytest.mark.parametrize(("call", "stop", "epoch", "step"), [(10, False, 1, 5), (8, True, 1, 3)])
def test_weights_that_are_not_finite_are_never_saved_at_a_stop_neither(bench, call, stop, epoch, step):
    def spoil(method):
        def before(number):
            if number == call:
                method.backbone.weight.register_hook(lambda g: g * float("nan"))
                if stop:
                    os.kill(os.getpid(), signal.SIGTERM)

        method.before = before

    with pytest.raises(TrainingError, match=f"a weight is not finite after epoch 2, step {step}"):
        bench.fit(prepare=spoil)
    progress = checkpoint.load(bench.folder / "run" / "checkpoints" / "last.pt")["progress"]
    assert (progress["epoch"], progress["step"]) == (epoch, 0)


@pytest.fixture(params=[1, 3, 100])
def lag(request, monkeypatch):
    """Let losses arrive some steps late, as on a GPU."""
    monkeypatch.setitem(step.LAG, "cpu", request.param)
    return request.param


@pytest.mark.parametrize("call", [6, 8, 10])
def test_a_late_loss_that_is_not_finite_names_its_step_and_is_never_saved(bench, lag, call):
    def prepare(method):
        method.before = lambda number: setattr(method, "scale", float("nan" if number == call else 1.0))

    with pytest.raises(TrainingError, match=f"not finite in epoch 2, step {call - STEPS_PER_EPOCH} .loss nan"):
        bench.fit(prepare=prepare)
    assert len(bench.method.calls) == min(call + lag, 2 * STEPS_PER_EPOCH)
    for file in (bench.folder / "run" / "checkpoints").iterdir():
        state = checkpoint.load(file)
        assert all(tensor.isfinite().all() for tensor in state["method"].values())
        assert state["progress"]["epoch"] <= 1


def test_a_stop_waits_for_late_losses_before_it_saves(bench, lag):
    def prepare(method):
        def before(call):
            method.scale = float("nan") if call == 7 else 1.0
            if call == 7:
                os.kill(os.getpid(), signal.SIGTERM)

        method.before = before

    with pytest.raises(TrainingError, match="not finite in epoch 2, step 2"):
        bench.fit(prepare=prepare)
    assert checkpoint.load(bench.folder / "run" / "checkpoints" / "last.pt")["progress"]["step"] == 0


@pytest.mark.parametrize("call", [3, 5, 8])
def test_late_losses_change_neither_the_history_nor_the_weights(bench, whole, lag, call):
    with pytest.raises(Stopped):
        bench.fit(prepare=kill_at(call))
    require_same(bench, bench.fit(resume=True), whole)
