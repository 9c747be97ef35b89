"""Several training stages: each with its own settings, stopped and resumed in any of them, shared between runs."""

import csv
import os
import signal
from dataclasses import replace

import pytest
import torch
from filelock import FileLock
from torch.nn import functional

from braincog_tmkt.data.content import DIRECTIONS, Content
from braincog_tmkt.data.types import Item
from braincog_tmkt.engine import checkpoint
from braincog_tmkt.engine.signals import Stopped
from braincog_tmkt.engine.state import Run
from braincog_tmkt.errors import TrainingError
from braincog_tmkt.launch.estimate import estimate
from braincog_tmkt.recipe import recipe_from_dict, with_overrides

from .test_loop import evaluating, kill_at
from .toys import SIZE, STEPS, Handover, Line, equal, make_task

ANN, DISTIL = 2 * 5, 3 * 2  # optimiser steps: 34 training recordings, in sixes and in seventeens


def make(recipe, seed):
    return Handover(Line(seed), **{key: value for key, value in recipe.method.items() if key != "name"})


@pytest.fixture
def staged(bench, tmp_path, monkeypatch):
    """A bench for the method of three stages; `staged.fit(settings=[..])`."""
    bench.make, bench.task = make, make_task(noise=4.0)
    monkeypatch.setattr("braincog_tmkt.launch.estimate.build_method", bench.build)
    bench.recipe = recipe_from_dict(
        {
            "name": "toy",
            "data": {"name": "toy", "steps": STEPS, "size": SIZE, "cache": str(tmp_path / "cache")},
            "method": {"name": "handover", "pretraining": 1.0},
            "optim": {"name": "adam", "lr": 0.05, "lr_scale_base": None, "warmup_epochs": 0, "schedule": "none"},
            "train": {"epochs": 3, "batch": 17},
            "stages": {"ann.optim.name": "momentum", "ann.optim.lr": 0.5, "ann.train.epochs": 2, "ann.train.batch": 6},
        }
    )
    return bench


def changed(staged, *settings):
    return with_overrides(staged.recipe, settings)


def elsewhere(staged, *settings):
    """The recipe with a cache of its own, where it finds nothing."""
    return changed(staged, f"data.cache={staged.folder / 'other'}", *settings)


def without_times(record):
    histories = [{**entry, "seconds": 0} for entry in record["history"]]
    stages = {name: {**result, "seconds": 0, "shared": None} for name, result in record["stages"].items()}
    return [histories, stages, record["last"], record["best_val"], record["best_test"]]


def the_file(staged):
    (file,) = (staged.folder / "cache" / "stages").glob("*.pt")
    return file


def test_stages_run_in_order_each_with_its_own_settings(staged):
    record = staged.fit()
    assert staged.method.entered == ["ann", "convert", "distil"]
    assert [stage for stage, _ in staged.method.calls] == ["ann"] * ANN + ["distil"] * DISTIL
    expected = [step / ANN for step in range(ANN)] + [step / DISTIL for step in range(DISTIL)]
    assert [progress for _, progress in staged.method.calls] == pytest.approx(expected)
    history = record["history"]
    assert [(entry["stage"], entry["epoch"]) for entry in history] == [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2)]
    assert [entry.get("lr") for entry in history] == [0.5, 0.5, None, 0.05, 0.05, 0.05]
    assert "train" not in history[2]
    assert list(record["stages"]) == ["ann", "convert", "distil"]
    assert all(record[key] == record["stages"]["distil"][key] for key in ("last", "best_val", "best_test"))
    assert record["stages"]["convert"]["last"]["accuracy"] == record["stages"]["ann"]["last"]["accuracy"]
    kept = torch.load(the_file(staged), weights_only=True)["method"]
    assert equal(staged.method.teacher.state_dict(), {name: value / 2 for name, value in kept.items()})
    assert record["remarks"] == ["the teacher counts 0.1"]
    best = checkpoint.load(staged.folder / "run" / "checkpoints" / "best.pt")
    assert (best["progress"]["stage"], best["progress"]["epoch"]) == (2, record["best_val"]["epoch"])


def test_one_step_of_each_stage_is_the_one_its_optimiser_makes(staged):
    """The first step of SGD with momentum is the gradient times the rate; Adam's the rate, in the gradient's sign."""
    one = ["train.epochs=1", "train.batch=34", "train.balanced=false", "optim.weight_decay=0.0"]
    one += ["stages.ann.train.epochs=1", "stages.ann.train.batch=34"]
    staged.fit(recipe=changed(staged, *one))
    pairs = staged.task.pairs
    events, label = pairs.events(pairs.rows("train"))
    start = Line(1)
    functional.cross_entropy(start.event_logits(events).mean(0), label).backward()
    teacher = start.weight - 0.5 * start.weight.grad
    torch.testing.assert_close(2 * staged.method.teacher.weight, teacher)
    second = Line(1)
    second.load_state_dict({name: 2 * value for name, value in staged.method.teacher.state_dict().items()})
    logits = second.event_logits(events)
    distance = (logits - staged.method.teacher.event_logits(events).detach()).square().mean()
    (functional.cross_entropy(logits.mean(0), label) + 0.1 * distance).backward()
    expected = second.weight - 0.05 * second.weight.grad.sign()
    torch.testing.assert_close(staged.method.backbone.weight, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("call", [1, 5, ANN, ANN + 1, ANN + 5, ANN + DISTIL])
@pytest.mark.parametrize("shared", [False, True])
def test_a_run_stopped_in_any_stage_goes_on_to_the_same_weights(staged, call, shared):
    whole = staged.fit(folder="whole", recipe=staged.recipe if shared and call > ANN else elsewhere(staged))
    expected = staged.weights()
    taken = ANN if shared and call > ANN else 0
    with pytest.raises(Stopped, match=r"SIGTERM in stage (ann|distil), epoch") as stopped:
        staged.fit(prepare=kill_at(call - taken))
    assert ("stage ann" if call <= ANN else "stage distil") in str(stopped.value)
    record = staged.fit(resume=True)
    assert len(staged.method.calls) == ANN + DISTIL - call
    assert staged.method.entered == ["ann", "convert", "distil"][0 if call <= ANN else 2 :]
    assert equal(expected, staged.weights())
    assert without_times(record) == without_times(whole)


def test_a_stop_while_an_untrained_stage_is_evaluated(staged):
    whole = staged.fit(folder="whole", recipe=elsewhere(staged))
    expected = staged.weights()

    def stop(method, events):
        if method.stage == "convert":
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="in stage convert, epoch 1"):
        staged.fit(prepare=evaluating(stop))
    record = staged.fit(resume=True)
    assert staged.method.entered == ["convert", "distil"]
    assert equal(expected, staged.weights())
    assert without_times(record) == without_times(whole)


@pytest.mark.parametrize("setting", ["method.teaching=0.7", "optim.lr=0.01", "train.epochs=4", "train.batch=10"])
def test_what_a_stage_does_not_depend_on_shares_it(staged, setting, capsys):
    settings = [setting, "stages.ann.train.eval_every=1"]
    expected = staged.fit(folder="alone", recipe=elsewhere(staged, *settings))
    weights = staged.weights()
    first = staged.fit(folder="first")
    capsys.readouterr()
    record = staged.fit(recipe=changed(staged, *settings))
    file = the_file(staged)
    assert f"stage ann: taken from {file}, trained 2" in capsys.readouterr().out
    assert {stage for stage, _ in staged.method.calls} == {"distil"}
    assert equal(weights, staged.weights())
    assert without_times(record) == without_times(expected)
    assert (first["stages"]["ann"]["shared"], record["stages"]["ann"]["shared"]) == (None, file.name)
    assert record["stages"]["ann"]["seconds"] == first["stages"]["ann"]["seconds"]
    assert file.name.startswith("ann_")
    assert file.name.endswith("_seed1.pt")


@pytest.mark.parametrize(
    "setting",
    ["method.pretraining=2.0", "stages.ann.optim.lr=0.4", "stages.ann.train.epochs=3", "data.augment=[flip]"],
)
def test_what_a_stage_depends_on_trains_it_again(staged, setting):
    staged.fit(folder="first")
    record = staged.fit(recipe=changed(staged, setting))
    assert "ann" in {stage for stage, _ in staged.method.calls}
    assert record["stages"]["ann"]["shared"] is None
    staged.fit(seed=2, folder="seed2")
    assert "ann" in {stage for stage, _ in staged.method.calls}
    assert len(list((staged.folder / "cache" / "stages").glob("*.pt"))) == 3


def test_other_data_train_it_again(staged):
    for key in ("first", "kind", "split", "fingerprint"):
        staged.task.facts[key] = "other"
        staged.fit(folder=key)
        assert len(staged.method.calls) == ANN + DISTIL


def test_other_content_under_the_same_names_trains_it_again(staged, capsys):
    """Files of the same names, sizes and times have the same fingerprint, whatever is in them."""
    item = Item("cup/00", "cup")
    for folder, value, steps in (("first", 1.0, ANN + DISTIL), ("second", 2.0, ANN + DISTIL), ("third", 2.0, DISTIL)):
        content = Content((item,), (), torch.full((1, DIRECTIONS), value, dtype=torch.float64))
        staged.fit(folder=folder, task=replace(staged.task, content=content))
        assert len(staged.method.calls) == steps
    file = the_file(staged)
    said = f"1 of 1 recordings changed, the first cup/00 since {file} was trained: stage ann is trained again"
    assert capsys.readouterr().out.count(said) == 1


def test_a_file_that_cannot_be_used_is_made_again_with_a_warning(staged, capsys):
    staged.fit(folder="first")
    expected, file = staged.weights(), the_file(staged)
    content, state = file.read_bytes(), torch.load(file, weights_only=True)
    of_another_network = {**state, "method": {"weight": torch.zeros(3, 5), "bias": torch.zeros(3)}}
    for number, damaged in enumerate((content[:100], of_another_network, {"method": state["method"]})):
        file.write_bytes(damaged) if isinstance(damaged, bytes) else torch.save(damaged, file)
        capsys.readouterr()
        staged.fit(folder=f"again{number}")
        said = capsys.readouterr().out
        assert said.count(str(file)) == 1
        assert "stage ann is trained again" in said
        assert equal(expected, staged.weights())
    staged.fit(folder="last")
    assert len(staged.method.calls) == DISTIL


@pytest.fixture
def waiting(staged, monkeypatch):
    """`waiting(then)`: train once, remove the shared file, lock it, and do `then(lock, file)` when a run says it waits.

    `waiting.said` counts that; the weights of the first run are returned.
    """

    def prepare(then):
        staged.fit(folder="first")
        file, lock = the_file(staged), FileLock(the_file(staged).with_suffix(".lock"))
        file.rename(file.with_suffix(".kept"))
        lock.acquire()

        def say(run, line):
            inner(run, line)
            if "another process trains it" in line:
                prepare.said.append(line)
                then(lock, file)

        monkeypatch.setattr(Run, "say", say)
        return staged.weights()

    inner, prepare.said = Run.say, []
    return prepare


def test_the_second_waits_for_the_first_and_takes_its_result(staged, waiting):
    def finish(lock, file):
        file.with_suffix(".kept").rename(file)
        lock.release()

    expected = waiting(finish)
    staged.fit()
    assert [line.partition(" (")[0] for line in waiting.said] == ["stage ann: another process trains it"]
    assert len(staged.method.calls) == DISTIL
    assert equal(expected, staged.weights())


def test_if_the_first_dies_the_second_trains(staged, waiting):
    expected = waiting(lambda lock, file: lock.release())
    staged.fit()
    assert len(staged.method.calls) == ANN + DISTIL
    assert equal(expected, staged.weights())
    assert the_file(staged)


def test_waiting_can_be_stopped_and_taken_up_again(staged, waiting):
    locks = []

    def stop(lock, file):
        locks.append(lock)
        os.kill(os.getpid(), signal.SIGTERM)

    expected = waiting(stop)
    with pytest.raises(Stopped, match="SIGTERM in stage ann, epoch 1 after 0 of 5 steps"):
        staged.fit()
    locks[0].release()
    staged.fit(resume=True)
    assert len(staged.method.calls) == ANN + DISTIL
    assert equal(expected, staged.weights())


def test_a_run_stopped_in_a_stage_and_again_while_it_waits_for_it_goes_on_to_the_same_weights(staged, monkeypatch):
    staged.fit(folder="whole", recipe=elsewhere(staged))
    expected, (shared,) = staged.weights(), (staged.folder / "other" / "stages").glob("*.pt")
    with pytest.raises(Stopped):
        staged.fit(prepare=kill_at(7))
    lock = FileLock(staged.folder / "cache" / "stages" / f"{shared.stem}.lock")
    lock.acquire()
    with monkeypatch.context() as patch:
        patch.setattr(Run, "say", lambda run, line: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped, match="in stage ann, epoch 2 after 2 of 5 steps"):
            staged.fit(resume=True)
    lock.release()
    staged.fit(resume=True)
    assert len(staged.method.calls) == ANN + DISTIL - 7
    assert equal(expected, staged.weights())


def test_a_resumed_run_takes_what_was_trained_meanwhile(staged):
    with pytest.raises(Stopped):
        staged.fit(prepare=kill_at(7))
    expected = staged.fit(folder="other")
    weights = staged.weights()
    record = staged.fit(resume=True)
    assert len(staged.method.calls) == DISTIL
    assert equal(weights, staged.weights())
    assert without_times(record) == without_times(expected)


def test_a_cache_that_cannot_be_written_is_an_error(staged):
    (staged.folder / "cache").write_text("a file")
    with pytest.raises(TrainingError, match=r"stages cannot be written .*data\.cache"):
        staged.fit()


def test_lines_files_and_errors_name_the_stage(staged, capsys):
    staged.fit()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[:2] for line in lines[:2]] == [["ann", "epoch 1/2"], ["ann", "epoch 2/2"]]
    assert lines[2].startswith("convert  val ")
    assert [line.split("  ")[:2] for line in lines[3:]] == [["distil", f"epoch {number}/3"] for number in (1, 2, 3)]
    rows = list(csv.DictReader((staged.folder / "run" / "log.csv").open()))
    assert [row["stage"] for row in rows] == ["ann"] * 2 + ["convert"] + ["distil"] * 3
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    staged.fit(folder="second")  # takes the first stage over
    for folder in ("run", "second"):
        board = EventAccumulator(str(staged.folder / folder / "tensorboard")).Reload()
        steps = {name: [scalar.step for scalar in board.Scalars(f"{name}/test/accuracy")] for name in ("ann", "distil")}
        assert steps == {"ann": [0, 1], "distil": [3, 4, 5]}

    def spoil(method):
        method.before = lambda number: setattr(method, "scale", float("nan")) if number == 3 else None

    with pytest.raises(TrainingError, match="not finite in stage distil, epoch 2, step 1"):
        staged.fit(folder="third", prepare=spoil)


def test_the_estimate_counts_each_stage_once(staged, monkeypatch):
    for name, seconds in (("_time_step", 1.0), ("_time_evaluation", 100.0)):
        monkeypatch.setattr(f"braincog_tmkt.launch.estimate.{name}", lambda *_, seconds=seconds: seconds)
    trained = set()
    recipe = changed(staged, "stages.ann.train.eval_every=2")
    assert estimate(recipe, 1, staged.task, staged.fabric, trained).seconds == (ANN + DISTIL) + 100 * (1 + 1 + 3)
    other = changed(staged, "stages.ann.train.eval_every=2", "method.teaching=0.5")
    assert estimate(other, 1, staged.task, staged.fabric, trained).seconds == DISTIL + 100 * (1 + 3)
    assert estimate(other, 2, staged.task, staged.fabric, trained).seconds > ANN + DISTIL
    staged.fit(recipe=recipe)
    assert estimate(other, 1, staged.task, staged.fabric, set()).seconds == DISTIL + 100 * (1 + 3)
