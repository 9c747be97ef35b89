"""HSD and CKD through the engine: one record for all stages, other T, pictures, stopped and gone on with."""

import csv

import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.data.sets import DATASETS
from braincog_tmkt.engine.evaluate import evaluate
from braincog_tmkt.engine.signals import Stopped
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.inspect.reevaluate import evaluate_steps, re_evaluate
from braincog_tmkt.inspect.reload import load_run
from braincog_tmkt.launch.plan import plan, train
from braincog_tmkt.methods.ckd import CKD
from braincog_tmkt.methods.hsd import HSD
from braincog_tmkt.results.store import read_record

from .command import weights
from .moving import Moving, Still
from .toys import equal

NET = ["model.name=hsd_vggsnn", "model.width=0.0625", "model.node_type=QCFSNode", "model.threshold=2.0", "data.size=16"]
HSD_OF = [*NET, "method={name: hsd, steps: 2}", "stages.ann.train.epochs=1"]
CKD_OF = ["method={name: ckd, teacher: {width: 0.0625}}", "stages.teacher.train.epochs=1"]


def run(recipes, runs, *changes, of=HSD_OF, resume=False):
    """The folder of a run, of HSD unless told otherwise; without images its ANN is trained by cross-entropy."""
    cells = plan(recipes[:1], [*of, *changes], seeds=[1])
    train(cells, runs, resume=resume)
    return cells[0].folder(runs)


def rows_of(file):
    return list(csv.DictReader(file.open()))


def test_one_record_holds_every_stage_at_every_step_and_evaluation_repeats_it(recipes, tmp_path, capsys):
    folder = run(recipes, tmp_path / "runs")
    record = read_record(folder)
    by_stage = {name: len(stage["last"]["accuracy_by_step"]) for name, stage in record["stages"].items()}
    assert by_stage == {"ann": 3, "convert": 2, "distil": 2}  # frames of a recording, steps of the student
    assert "counts 1.66667" in record["remarks"][0]
    assert "counts 1.66667" in capsys.readouterr().out
    assert re_evaluate(folder) is True
    rows = rows_of(evaluate_steps(folder, [1, 2, 3]))
    assert [float(row["accuracy"]) for row in rows[:2]] == record["last"]["accuracy_by_step"]
    assert float(rows[1]["synaptic_operations"]) == pytest.approx(record["synaptic_operations"])
    student = sum(value.numel() for key, value in weights(folder).items() if key.startswith("backbone."))
    assert record["parameters"] < student  # of the student alone: no threshold, no running statistic, no ANN


def test_kept_weights_of_every_stage_give_the_accuracy_of_its_history(recipes, tmp_path):
    run_of = load_run(run(recipes, tmp_path / "runs", "train.keep_every=1", "train.epochs=2"))
    names = [stage.name for stage in run_of.method.stages()]
    rows = run_of.task.pairs.rows("test")
    for name in ("ann-epoch-0001.pt", "distil-epoch-0001.pt", "distil-epoch-0002.pt", "ann-epoch-0001.pt", "last.pt"):
        run_of.load_weights(name)
        stage, _, epoch = name.removesuffix(".pt").partition("-epoch-")
        kept = [
            entry
            for entry in run_of.record["history"]
            if names[entry["stage"]] == stage and entry["epoch"] + 1 == int(epoch or 0)
        ]
        expected = kept[0]["test"] if kept else run_of.record["last"]
        found = evaluate(run_of.method, run_of.task.pairs, rows, run_of.recipe.train.at_once, run_of.fabric)
        assert found.accuracy == expected["accuracy"], name
        if kept:
            assert found.loss == pytest.approx(kept[0]["test"]["loss"], rel=1e-4)


def test_a_still_image_costs_what_the_record_says_at_its_own_steps(recipes, tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "still", Still)
    folder = run(recipes, tmp_path / "runs", "data.name=still", "data.steps=1")
    rows = rows_of(evaluate_steps(folder, [2, 4]))
    assert float(rows[0]["synaptic_operations"]) == pytest.approx(read_record(folder)["synaptic_operations"])


def test_ckd_has_one_record_for_both_stages_which_says_that_it_is_re_derived(recipes, tmp_path):
    folder = run(recipes, tmp_path / "runs", of=CKD_OF)
    record = read_record(folder)
    assert list(record["stages"]) == ["teacher", "student"]
    assert "re-derived" in record["remarks"][0]
    assert re_evaluate(folder) is True


def test_r2etl_runs_on_its_own_network_which_has_no_picture_of_images_as_events(recipes, tmp_path, capsys):
    of = ["model.name=r2etl_vggsnn", "model.act_fun=QGateGrad", "data.size=16", "method={name: r2etl}"]
    folder = run(recipes, tmp_path / "runs", of=of)
    assert {"static", "events", "encoder", "feature"} < read_record(folder)["history"][0]["train"].keys()
    assert re_evaluate(folder) is True
    assert main(["figure", "features", str(folder), "recordings=4", "perplexity=1"]) == 2
    assert "the figure needs a tmkt_* network, 'r2etl_vggsnn' does not show images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "of", "stage", "call"),
    [(HSD, HSD_OF, "ann", 1), (HSD, HSD_OF, "distil", 2), (CKD, CKD_OF, "teacher", 1), (CKD, CKD_OF, "student", 2)],
)
def test_a_run_stopped_in_a_stage_ends_with_the_same_weights(recipes, tmp_path, monkeypatch, method, of, stage, call):
    whole = run(recipes, tmp_path / "whole", f"data.cache={tmp_path / 'one'}", of=of)
    forward, seen = method.forward, []

    def stops(self, batch, progress):
        seen.append(self.stage)
        if seen.count(stage) == call + 1 and self.stage == stage:
            raise Stopped("stopped by a test", 15)
        return forward(self, batch, progress)

    with monkeypatch.context() as patched:
        patched.setattr(method, "forward", stops)
        with pytest.raises(Stopped, match=f"in stage {stage}, epoch"):
            run(recipes, tmp_path / "parts", f"data.cache={tmp_path / 'two'}", of=of)
    parts = run(recipes, tmp_path / "parts", f"data.cache={tmp_path / 'two'}", of=of, resume=True)
    assert equal(weights(whole), weights(parts))


def test_its_pictures_show_the_frames_that_the_student_sees(recipes, tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "moving", Moving)
    two_streams = ["model.name=tmkt_scnn", "model.width=0.2", "data.size=28"]
    folder = run(recipes, tmp_path / "runs", *two_streams, "method={name: hsd, steps: 2, student_frames: last}")
    for words in ("gradcam classes=2", "features recordings=4 perplexity=1", "activity", "confusion"):
        name, *settings = words.split()
        assert main(["figure", name, str(folder), "--out", str(tmp_path), *settings]) == 0
        assert (tmp_path / f"{name}.png").is_file()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("method.steps=2.5", r"method 'hsd': steps must be a whole number, not 2\.5"),
        ("method.pretraining=tmkt", r"method 'hsd': pretraining must be .* or null, not 'tmkt'"),
        ("stages.convert.train.epochs=3", r"trains no stage 'convert'"),
        ("method.steps=9", "9 steps, but a recording has 3 frames"),
    ],
)
def test_wrong_settings_are_one_sentence(recipes, tmp_path, change, words):
    with pytest.raises(RecipeError, match=words):
        run(recipes, tmp_path / "runs", change)
