"""The loop on a toy: what is trained, what is kept, how it stops and goes on, how it fails."""

import csv
import errno
import json
import os
import re
import resource
import shutil
import signal
from dataclasses import replace

import pytest
import torch
from filelock import FileLock

from braincog_tmkt.data.augment import AUGMENTS, Augmentation
from braincog_tmkt.engine import checkpoint
from braincog_tmkt.engine.evaluate import Evaluation
from braincog_tmkt.engine.signals import Stopped
from braincog_tmkt.errors import TrainingError

from .toys import Bench, equal, make_recipe, make_task

STEPS_PER_EPOCH = 5  # round(.7 n) = 7 + 14 + 21 of each class, less .2 of it for validation: 6 + 11 + 17 = 34 in sixes


def kill_at(call, signum=signal.SIGTERM, place="before"):
    """Have the method send a real signal to this process in its n-th step."""
    return lambda method: setattr(method, place, lambda n: os.kill(os.getpid(), signum) if n == call else None)


def evaluating(action):
    """Have the method call `action(method, events)` before it predicts in an evaluation."""

    def prepare(method):
        inner = method.predict

        def predict(events):
            if not method.training:
                action(method, events)
            return inner(events)

        method.predict = predict

    return prepare


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The record of a run that was never stopped, and its weights."""
    with pytest.MonkeyPatch.context() as patch:
        bench = Bench(tmp_path_factory.mktemp("whole"), patch)
        return bench.fit(), bench.weights()


def require_same(bench, record, whole):
    """The run has ended as the whole one, but for the time it took."""
    expected, weights = whole
    assert equal(weights, bench.weights())
    times = [[{**entry, "seconds": 0} for entry in each["history"]] for each in (record, expected)]
    assert times[0] == times[1]
    for key in ("last", "best_val", "best_test"):
        assert record[key] == expected[key]


def test_it_learns_and_tells_what_it_did(bench):
    record = bench.fit(recipe=make_recipe(epochs=10))
    assert record["last"]["accuracy"] > 0.8  # chance is 1/3, or .5 for the largest class
    for number, entry in enumerate(record["history"]):
        losses = bench.method.losses[number * STEPS_PER_EPOCH : (number + 1) * STEPS_PER_EPOCH]
        assert entry["train"]["loss"] == sum(losses) / STEPS_PER_EPOCH
    assert record["history"][-1]["train"]["loss"] < 0.5 * record["history"][0]["train"]["loss"]
    assert len(bench.method.calls) == 10 * STEPS_PER_EPOCH
    assert [progress for _, progress in bench.method.calls] == pytest.approx([i / 50 for i in range(50)])
    assert len(record["last"]["accuracy_by_step"]) == 4
    assert record["last"]["accuracy_by_step"][-1] == record["last"]["accuracy"]
    assert record["parameters"] == 72 * 3 + 3
    assert record["seed"] == 1
    assert record["recipe"]["train"]["epochs"] == 10
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    assert record["peak_memory"]["host_mib"] > 50
    assert (record["device"], record["world_size"]) == ("cpu", 1)
    assert record["started"] <= record["finished"]
    json.dumps(record, allow_nan=False)


def test_every_class_is_drawn_equally_often_though_the_sizes_differ(bench):
    bench.fit(recipe=make_recipe(epochs=30, balanced=True))
    rows = torch.tensor([row for index, _ in bench.method.calls for row in index])
    shares = torch.bincount(bench.task.pairs.labels[rows]) / len(rows)
    assert (shares - 1 / 3).abs().max() < 0.05
    bench.fit(recipe=make_recipe(epochs=2, balanced=False), folder="plain")
    for start in (0, STEPS_PER_EPOCH):
        epoch = [row for index, _ in bench.method.calls[start : start + STEPS_PER_EPOCH] for row in index]
        assert len(set(epoch)) == len(epoch) == 30


def test_seeds_differ_and_a_seed_repeats(bench):
    bench.fit(seed=1, folder="a")
    first = bench.weights()
    order = [index for index, _ in bench.method.calls]
    bench.fit(seed=1, folder="b")
    assert equal(first, bench.weights())
    bench.fit(seed=2, folder="c")
    assert order != [index for index, _ in bench.method.calls]


@pytest.mark.parametrize("call", [1, 3, 5, 6, 11, 15])
def test_a_stopped_run_goes_on_to_the_same_weights(bench, whole, call):
    with pytest.raises(Stopped, match=r"SIGTERM.*--resume") as stopped:
        bench.fit(prepare=kill_at(call))
    assert stopped.value.signum == signal.SIGTERM
    assert len(bench.method.calls) == call  # the step is finished, no other begun
    record = bench.fit(resume=True)
    assert len(bench.method.calls) == 15 - call
    require_same(bench, record, whole)


def test_stopped_twice_and_by_ctrl_c(bench, whole):
    with pytest.raises(Stopped, match="SIGINT") as stopped:
        bench.fit(prepare=kill_at(4, signal.SIGINT))
    assert stopped.value.signum == signal.SIGINT
    with pytest.raises(Stopped):
        bench.fit(resume=True, prepare=kill_at(3))
    require_same(bench, bench.fit(resume=True), whole)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_stop_during_evaluation_repeats_the_evaluation_only(bench, whole):
    def stop(method, events):
        if len(method.calls) == STEPS_PER_EPOCH:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="after 5 of 5 steps"):
        bench.fit(prepare=evaluating(stop))
    record = bench.fit(resume=True)
    assert len(bench.method.calls) == 2 * STEPS_PER_EPOCH
    require_same(bench, record, whole)


def test_the_checkpoint_before_is_taken_where_the_last_is_missing_or_damaged(bench, whole, capsys):
    with pytest.raises(Stopped):
        bench.fit(prepare=kill_at(12))
    folder = bench.folder / "run" / "checkpoints"
    shutil.copytree(bench.folder / "run", bench.folder / "killed")
    (bench.folder / "killed" / "checkpoints" / "last.pt").unlink()  # the moment between the two renames of a save
    require_same(bench, bench.fit(resume=True, folder="killed"), whole)
    assert len(bench.method.calls) == STEPS_PER_EPOCH
    content = (folder / "last.pt").read_bytes()
    (folder / "last.pt").write_bytes(content[: len(content) // 2])
    require_same(bench, bench.fit(resume=True), whole)
    assert re.search(r"last\.pt is damaged.*previous\.pt", capsys.readouterr().out)
    for name in ("last.pt", "previous.pt"):
        (folder / name).write_bytes(b"")
    with pytest.raises(TrainingError, match=r"last\.pt is damaged.*previous\.pt is damaged.*remove"):
        bench.fit(resume=True)


def test_an_unfinished_run_is_not_overwritten(bench):
    with pytest.raises(Stopped):
        bench.fit(prepare=kill_at(2))
    before = (bench.folder / "run" / "checkpoints" / "last.pt").read_bytes()
    with pytest.raises(TrainingError, match=r"unfinished run.*--resume"):
        bench.fit()
    assert (bench.folder / "run" / "checkpoints" / "last.pt").read_bytes() == before


def test_resume_with_other_settings_names_what_differs(bench):
    with pytest.raises(Stopped):
        bench.fit(prepare=kill_at(2))
    with pytest.raises(TrainingError, match=r"train\.batch \(6, 4\)"):
        bench.fit(resume=True, recipe=make_recipe(batch=4))
    with pytest.raises(TrainingError, match=r"seed \(1, 2\)"):
        bench.fit(resume=True, seed=2)
    with pytest.raises(TrainingError, match="split of the data"):
        bench.fit(resume=True, task=make_task(val_portion=0.1))
    bench.fit(resume=True, recipe=make_recipe(threads=1))  # this changes no result


def test_the_threads_of_a_run_are_no_matter_of_the_next(bench):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        asked, _ = bench.fit(recipe=make_recipe(threads=1)), bench.fit(folder="next")
        assert (asked["threads"], torch.get_num_threads()) == (1, 3)
    finally:
        torch.set_num_threads(before)


def test_kept_epochs_have_the_weights_that_were_evaluated(bench, whole):
    seen = []
    prepare = evaluating(lambda method, events: seen.append({k: v.clone() for k, v in method.state_dict().items()}))
    require_same(bench, bench.fit(recipe=make_recipe(keep_every=2), prepare=prepare), whole)
    kept = sorted((bench.folder / "run" / "checkpoints").glob("epoch-*"))
    assert [path.name for path in kept] == ["epoch-0002.pt"]
    evaluations = len(seen) // 3  # of each of the three epochs
    assert equal(checkpoint.load(kept[0])["method"], seen[2 * evaluations - 1])


@pytest.mark.parametrize(("eval_batch", "expected"), [(None, [8, 12, 6]), (5, [5, 3, 5, 5, 5, 3])])
def test_evaluation_takes_twice_the_batch_unless_told_otherwise(bench, eval_batch, expected):
    sizes = []
    prepare = evaluating(lambda method, events: sizes.append(len(events)))
    bench.fit(recipe=make_recipe(eval_batch=eval_batch, eval_every=3), prepare=prepare)
    assert sizes[: len(expected)] == expected  # 8 validation, then 18 test recordings


def test_best_epochs_are_selected_on_their_own_recordings(bench, monkeypatch):
    scores = {"val": [0.5, 0.7, 0.7, 0.6], "test": [0.4, 0.5, 0.9, 0.8]}
    sizes = {len(bench.task.pairs.rows(part)): part for part in scores}

    def scripted(method, pairs, rows, *others):
        accuracy = scores[sizes[len(rows)]].pop(0)
        return Evaluation(accuracy, [accuracy] * 4, 1.0, len(rows), (0, 1))

    monkeypatch.setattr("braincog_tmkt.engine.loop.evaluate", scripted)
    record = bench.fit(recipe=make_recipe(epochs=4))
    assert (record["last"]["epoch"], record["last"]["accuracy"]) == (3, 0.8)
    assert (record["best_val"]["epoch"], record["best_val"]["accuracy"]) == (1, 0.5)  # the first of two equal ones
    assert record["best_val"]["val_accuracy"] == 0.7
    assert (record["best_test"]["epoch"], record["best_test"]["accuracy"]) == (2, 0.9)
    assert "test set" in record["best_test"]["selected_on"]
    best = checkpoint.load(bench.folder / "run" / "checkpoints" / "best.pt")
    assert best["progress"]["epoch"] == 1


def test_without_validation_the_best_checkpoint_is_the_best_on_test(bench, monkeypatch):
    scores = [0.4, 0.9, 0.8]
    monkeypatch.setattr(
        "braincog_tmkt.engine.loop.evaluate", lambda *_: (lambda a: Evaluation(a, [a], 1.0, 1, (0,)))(scores.pop(0))
    )
    record = bench.fit(task=make_task(val_portion=0.0))
    assert record["best_val"] is None
    assert record["best_test"]["epoch"] == 1
    assert checkpoint.load(bench.folder / "run" / "checkpoints" / "best.pt")["progress"]["epoch"] == 1


def test_evaluation_every_few_epochs_and_after_the_last(bench):
    record = bench.fit(recipe=make_recipe(epochs=5, eval_every=2))
    assert [entry["epoch"] for entry in record["history"] if "test" in entry] == [1, 3, 4]


def test_log_csv_and_tensorboard_hold_every_epoch_once_even_after_a_stop(bench):
    with pytest.raises(Stopped):
        bench.fit(prepare=kill_at(12), resume=True)  # where there is no checkpoint, it starts at the beginning
    record = bench.fit(resume=True)
    rows = list(csv.DictReader((bench.folder / "run" / "log.csv").open()))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    assert float(rows[2]["train_loss"]) == pytest.approx(record["history"][2]["train"]["loss"])
    assert float(rows[2]["test_accuracy"]) == record["last"]["accuracy"]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(bench.folder / "run" / "tensorboard")).Reload()
    scalars = board.Scalars("test/accuracy")
    assert [scalar.step for scalar in scalars] == [0, 1, 2]
    assert scalars[2].value == pytest.approx(record["last"]["accuracy"])


def test_the_learning_rate_follows_the_schedule(bench):
    record = bench.fit()
    rates = [entry["lr"] for entry in record["history"]]
    assert rates[0] == pytest.approx(1e-6)  # warm-up
    assert rates[1] == pytest.approx(1e-5 + (0.05 - 1e-5) * 0.75)  # (1 + cos(pi/3)) / 2
    assert rates[2] == pytest.approx(1e-5 + (0.05 - 1e-5) * 0.25)


def test_a_second_process_in_the_same_folder_or_one_that_cannot_be_made_is_refused(bench):
    (bench.folder / "run").mkdir()
    with (
        FileLock(bench.folder / "run" / ".lock"),
        pytest.raises(TrainingError, match=r"another process trains in .*run"),
    ):
        bench.fit()
    bench.fit()
    (bench.folder / "file").write_text("a file")
    with pytest.raises(TrainingError, match="file cannot be written"):
        bench.fit(folder="file")


def test_a_full_disk_keeps_the_last_good_checkpoint(bench, whole):
    """The limit on file sizes stands for the disk: it fails a write in the middle, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(call):
        if call == 12:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))

    try:
        with pytest.raises(TrainingError, match=r"checkpoints/.*cannot be written.*run the command again"):
            bench.fit(prepare=lambda method: setattr(method, "before", fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    folder = bench.folder / "run" / "checkpoints"
    assert not [path for path in folder.iterdir() if "partial" in path.name]
    assert checkpoint.load(folder / "last.pt")["progress"]["epoch"] == 2
    require_same(bench, bench.fit(resume=True), whole)


def test_a_full_disk_under_the_log_is_an_error_too(bench, monkeypatch):
    from torch.utils.tensorboard import SummaryWriter

    def refuse(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SummaryWriter, "flush", refuse)
    with pytest.raises(TrainingError, match=r"tensorboard cannot be written \(No space left"):
        bench.fit()


def test_augmentations_reach_the_batches(bench, monkeypatch):
    class Seen(Augmentation):
        def __init__(self, most: int):
            self.most = most

        def __call__(self, events, target, rng):
            called.append((rng.total, self.most))
            return events, target

    called = []
    monkeypatch.setitem(AUGMENTS, "seen", Seen)
    recipe = make_recipe()
    bench.fit(recipe=replace(recipe, data=replace(recipe.data, augment=[{"name": "seen", "most": 2}])))
    assert called == [(6, 2)] * 15
