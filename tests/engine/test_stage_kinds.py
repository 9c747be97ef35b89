"""Stages that calibrate before they train or read static images alone, and methods that build further networks."""

from dataclasses import replace

import pytest
import torch

from braincog_tmkt.engine.loop import CALIBRATION
from braincog_tmkt.engine.signals import Stopped
from braincog_tmkt.engine.step import epoch_rows, seed_of
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.inspect.reevaluate import re_evaluate
from braincog_tmkt.launch.estimate import estimate
from braincog_tmkt.launch.plan import plan, train, validate
from braincog_tmkt.results.store import read_record

from .test_loop import kill_at
from .toys import STEPS, FromImages, Standardised, equal, make_recipe


def augmented(*names):
    recipe = make_recipe()
    return replace(recipe, data=replace(recipe.data, augment=[*names]))


def test_a_calibration_sees_the_training_batches_before_the_first_step(bench):
    bench.make = lambda recipe, seed: Standardised(seed)
    record = bench.fit(recipe=make_recipe(epochs=10))
    pairs = bench.task.pairs
    rows = epoch_rows(pairs, bench.recipe.train, seed_of(1, 0, CALIBRATION))
    assert bench.method.seen == [(False, False, 1, 6)] * len(rows)
    expected = torch.stack([pairs.events(chosen)[0].mean((0, 1)) for chosen in rows]).mean(0)
    torch.testing.assert_close(bench.method.mean, expected)
    assert record["last"]["accuracy"] > 0.8
    assert bench.method.training


@pytest.mark.parametrize(("augment", "kinds"), [(False, 1), (True, 2)])
def test_its_batches_are_augmented_and_its_mode_is_training_if_it_says_so(bench, augment, kinds):
    bench.make = lambda recipe, seed: Standardised(seed, training=True, augment=augment)
    bench.fit(recipe=augmented("blend"))
    assert {seen[:3] for seen in bench.method.seen} == {(True, False, kinds)}


@pytest.mark.parametrize(("place", "number"), [("during", 1), ("during", 3), ("before", 1), ("before", 7)])
def test_a_calibration_is_neither_repeated_nor_lost_after_a_stop(bench, place, number):
    bench.make = lambda recipe, seed: Standardised(seed)
    bench.fit(folder="whole")
    expected, batches = bench.weights(), len(bench.method.seen)
    with pytest.raises(Stopped):
        bench.fit(prepare=kill_at(number, place=place))
    bench.fit(resume=True)
    assert len(bench.method.seen) == (batches if place == "during" else 0)
    assert equal(expected, bench.weights())


def test_a_stage_of_static_images_reads_no_events_to_train_on(bench, monkeypatch):
    bench.make = lambda recipe, seed: FromImages(seed)
    monkeypatch.setattr("braincog_tmkt.launch.estimate.build_method", bench.build)
    train_rows, inner = set(bench.task.pairs.rows("train").tolist()), bench.task.pairs.events

    def events(rows):
        assert bench.method.stage == "events" or not train_rows & set(rows.tolist())
        return inner(rows)

    monkeypatch.setattr(bench.task.pairs, "events", events)
    record = bench.fit(recipe=make_recipe(epochs=2))
    assert bench.method.seen == [("images", (6, 1), True)] * 10 + [("events", (6, STEPS), False)] * 10
    start, between = bench.method.begun
    assert not torch.equal(start, between)
    assert not torch.equal(between, bench.method.backbone.weight)
    assert record["last"]["accuracy"] > 0.8
    assert estimate(make_recipe(epochs=2), 1, bench.task, bench.fabric, set()).seconds > 0


def test_a_method_builds_a_teacher_from_the_recipe(recipes, tmp_path):
    teacher = "{name: tmkt_scnn, width: 0.4, act_fun: AtanGrad}"
    settings = [f"method={{name: taught, teacher: {teacher}}}", "stages.teacher.train.epochs=1"]
    cells = plan(recipes[:1], settings, seeds=[1])
    train(cells, tmp_path / "runs")
    folder = cells[0].folder(tmp_path / "runs")
    record = read_record(folder)
    assert list(record["stages"]) == ["teacher", "distil"]
    weights = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["method"]
    sizes = [weights[f"{part}.feature.0.weight"].shape[0] for part in ("teacher", "backbone")]
    assert sizes[0] == 2 * sizes[1]  # the backbone's width is 0.2
    losses = [entry["train"]["loss"] for entry in record["history"] if entry["stage"] == 1]
    assert losses[-1] < losses[0]
    assert re_evaluate(folder) is True


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("method={name: taught, teacher: {name: tmkt_scn}}", "unknown model 'tmkt_scn': did you mean 'tmkt_scnn'"),
        ("method={name: taught, teacher: {width: 0.1}}", "a network needs a name"),
        ("method={name: taught}", "method 'taught' needs 'teacher'"),
        ("method={name: taught, teacher: {name: tmkt_scnn}, build: 1}", "method.build is not for recipes"),
        ("method={name: baseline, loss: tett}", "unknown loss 'tett': did you mean 'tet'"),
        ("data.augment=[{name: rotate, degree: 3}]", "takes no 'degree': did you mean 'degrees'"),
    ],
)
def test_wrong_settings_are_refused_before_training(recipes, settings, words):
    with pytest.raises(RecipeError, match=words):
        validate(plan(recipes[:1], [settings], seeds=[1]), 1)


@pytest.mark.parametrize("method", ["knowledge_transfer", "{name: hsd, steps: 2, pretraining: {name: tmkt}}"])
def test_recordings_are_not_mixed_where_an_image_of_one_class_is_shown(recipes, method):
    hsd = ["model.name=tmkt_scnn", "model.node_type=QCFSNode", "model.act_fun=QGateGrad"] if "hsd" in method else []
    method = f"method={method}".replace("tmkt}", "tmkt, mix_ratio: 0.5}") if hsd else f"method.name={method}"
    with pytest.raises(RecipeError, match="must not be mixed, as Blend does: leave it out"):
        validate(plan(recipes[:1], [*hsd, method, "data.augment=[blend]"], seeds=[1]), 1)
