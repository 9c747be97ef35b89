"""`tmkt export` and `tmkt eval` of what it wrote: a run as a file of weights, on its recordings and on others."""

import re
import shutil

import pytest
import timm
import torch
import yaml
from safetensors.torch import load_file, save_file

from braincog_tmkt.cli import main
from braincog_tmkt.data.sets import DATASETS
from braincog_tmkt.data.types import Index
from braincog_tmkt.engine import checkpoint
from braincog_tmkt.errors import RecipeError, TrainingError
from braincog_tmkt.inspect.export import _overrides, export_run
from braincog_tmkt.inspect.reload import load_run
from braincog_tmkt.launch.plan import plan, train
from braincog_tmkt.models.pretrained import read_header, read_index
from braincog_tmkt.recipe import load_recipe, recipe_hash
from braincog_tmkt.recipe.files import find_recipe
from braincog_tmkt.results.store import read_record

from .moving import CLASSES, Moving

HSD = ["model.node_type=QCFSNode", "model.act_fun=QGateGrad", "model.levels=8", "method.name=hsd", "method.steps=2"]


@pytest.fixture
def exported(recipes, tmp_path, capsys):
    """The run folder of a short training, and its checkpoint."""

    def export(*overrides):
        (cell,) = plan(recipes[:1], [*overrides, "train.epochs=8", "optim.lr=0.01"], seeds=[1])
        train([cell], tmp_path / "runs")
        folder = cell.folder(tmp_path / "runs")
        file = export_run(folder, tmp_path / "out")
        capsys.readouterr()
        return folder, file

    return export


def test_a_checkpoint_has_the_weights_of_the_last_epoch_and_gives_its_number_again(exported, capsys):
    folder, file = exported()
    assert file.name == "tmkt_scnn.moving_baseline.safetensors"
    last = checkpoint.load(folder / "checkpoints" / "last.pt")["method"]
    for name, tensor in load_file(file).items():
        full = last[f"backbone.{name}"]
        assert tensor.dtype is (torch.float16 if full.dim() > 1 else full.dtype)
        assert (tensor - full).abs().max() <= 2**-10 * full.abs().max()
    (listed,) = read_index(file.parent).values()
    record = read_record(folder)
    assert listed.facts["recorded"] == record["last"]["accuracy"] > 0.5
    assert (listed.facts["recipe_hash"], listed.facts["seed"]) == (record["recipe_hash"], 1)
    assert listed.facts["data"]["split"] == record["data"]["split"]
    assert main(["eval", str(file), "data.root=elsewhere"]) == 0
    said = capsys.readouterr().out
    assert f"{listed.facts['accuracy']:.2%} of 6 test recordings of split {record['data']['split'][:12]}" in said
    assert said.rstrip().endswith("as stated")
    assert main(["eval", str(file.with_suffix("")), "--steps", "1..3", "--precision", "32-true"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if re.match(r" +\d ", line)]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert float(rows[2][1]) == pytest.approx(listed.facts["accuracy"], abs=1e-4)
    assert main(["eval", str(file), "train.epochs=9"]) == 2
    assert "do not change the result" in capsys.readouterr().err


@pytest.mark.parametrize("settings", [[], HSD, ["model.norm=step_own", "model.name=tmkt_vggsnn", "model.width=0.05"]])
def test_timm_builds_the_network_of_the_run_with_no_keyword_at_all(exported, settings):
    folder, file = exported(*settings)
    run = load_run(folder)
    facts = read_header(file)
    source = {"pretrained": True, "pretrained_cfg": {"file": str(file)}}
    net = timm.create_model(facts["network"], **source).eval()
    assert net.step == run.method.backbone.step == (2 if settings == HSD else 3)
    assert [type(node) for node in net.nodes] == [type(node) for node in run.method.backbone.nodes]
    run.method.backbone.load_state_dict(net.state_dict())
    events, _ = run.task.pairs.events(run.task.pairs.rows("test"))
    with torch.no_grad():
        assert torch.equal(net.event_logits(events[:, : net.step]), run.method.eval().predict(events))
    with pytest.raises(RecipeError, match=rf"was trained with step={net.step}, not 7: leave step out"):
        timm.create_model(facts["network"], step=7, **source)


def test_timm_builds_the_network_of_hybrid_training_with_its_input_and_leak(exported):
    net = "{name: hybrid_resnet20, node_type: ReLUNode, act_fun: LinearSpike, width: 0.0625}"
    method = "{name: hybrid, steps: 16, leak: 0.9, input_mean: [0.25], input_deviation: [0.5], rate: 0.8}"
    stages = ["stages.ann.train.epochs=1", "data.steps=1", "data.size=16"]
    folder, file = exported(f"model={net}", f"method={method}", *stages)
    trained = load_run(folder).method.backbone
    made = timm.create_model("hybrid_resnet20", pretrained=True, pretrained_cfg={"file": str(file)})
    for each in (trained, made):
        assert [node.leak for node in each.nodes] == [0.9] * len(each.nodes)
        assert (each.rate, each.input_mean.tolist(), each.input_deviation.tolist()) == (0.8, [[[0.25]]], [[[0.5]]])


def test_a_norm_that_timm_does_not_know_is_not_exported(exported, tmp_path, monkeypatch):
    (tmp_path / "own_norm.py").write_text(
        "from braincog_tmkt.models.norms.shared import SharedBatchNorm2d\n\nclass Mine(SharedBatchNorm2d):\n    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingError, match=r"trained 'own_norm\.Mine', which is no network or norm of this package"):
        exported("model.name=tmkt_vggsnn", "model.act_fun=QGateGrad", "model.width=0.05", "model.norm=own_norm.Mine")


@pytest.mark.parametrize(
    "settings", [["method.name=baseline"], ["method.loss={name: tet, weight: 0.1}", "method.name=knowledge_transfer"]]
)
def test_the_overrides_of_a_run_give_its_recipe_again(settings):
    file = find_recipe("digits/tmkt")
    recipe = load_recipe(file, sorted(settings, reverse=True))
    found = _overrides("digits/tmkt", recipe.as_dict())
    assert recipe_hash(load_recipe(file, found)) == recipe_hash(recipe) != recipe_hash(load_recipe(file))


class Fewer(Moving):
    """Recordings of other numbers, among them some that were trained on."""

    def index(self):
        items = tuple(item for item in super().index().recordings if not item.key.endswith("7"))
        return Index(CLASSES, items, items)


class More(Moving):
    """The same and further ones."""

    def index(self):
        known = super().index()
        more = tuple(type(item)(f"{item.key}0", item.class_name) for item in known.recordings)
        items = tuple(sorted((*known.recordings, *more)))
        return Index(CLASSES, items, items)


class Changed(Moving):
    """Other recordings of the same names."""

    def events(self, item):
        found = super().events(item)
        found["x"] = 27 - found["x"]
        return found


def test_other_recordings_are_told_apart_from_those_it_was_measured_on(exported, capsys, monkeypatch):
    _, file = exported()
    for kind, status, words in (
        (
            Fewer,
            1,
            r"not the split it was measured on: 3 of its 6 test recordings are not in .*, and 3 of yours have the",
        ),
        (Changed, 1, "these are not the recordings it was measured on, though they have the same names"),
        (More, 0, "of 6 test recordings of split .*, as stated"),
    ):
        monkeypatch.setitem(DATASETS, "moving", kind)
        assert main(["eval", str(file), f"data.root={kind.__name__}"]) == status
        assert re.search(words, capsys.readouterr().out), kind
    monkeypatch.setattr("tests.engine.test_export.CLASSES", (*CLASSES, "down"))
    assert main(["eval", str(file), "data.root=four"]) == 2
    assert "tells 3 classes apart" in capsys.readouterr().err


def test_a_damaged_or_foreign_file_is_one_sentence(exported, capsys):
    _, file = exported()
    shutil.copy(file, own := file.with_name("own.safetensors"))
    assert main(["eval", str(own)]) == 0  # the file says how it was made, whatever it is called
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    index = file.with_name("index.yaml")
    save_file({"weight": torch.zeros(2)}, file.with_name("foreign.safetensors"))
    file.with_name("cut.safetensors").write_bytes(own.read_bytes()[:1000])
    for name, words in {
        file.stem: "is not the file that index.yaml lists",
        "foreign": "does not say how it was made",
        "cut": "truncated or corrupt .safetensors file",
    }.items():
        assert main(["eval", str(file.with_name(name))]) == 2
        assert words in capsys.readouterr().err
    index.write_text("a: [")
    assert main(["eval", str(own)]) == 2
    assert "cannot be read as an index of checkpoints" in capsys.readouterr().err


def test_exporting_again_replaces_the_line_and_keeps_the_order(exported, recipes, tmp_path):
    folder, file = exported()
    (cell,) = plan(recipes[1:], ["train.epochs=1"], seeds=[1])
    train([cell], tmp_path / "runs")
    export_run(cell.folder(tmp_path / "runs"), file.parent)
    export_run(folder, file.parent)
    names = ["tmkt_scnn.moving_baseline", "tmkt_scnn.moving_knowledge_transfer"]
    assert list(yaml.safe_load(file.with_name("index.yaml").read_text())) == names


def test_what_half_precision_does_to_the_weights_is_measured_or_refused(exported):
    folder, file = exported()
    state = checkpoint.load(folder / "checkpoints" / "last.pt")
    weight, bias = (state["method"][f"backbone.fc2.{each}"] for each in ("weight", "bias"))
    weight.mul_(1e-4).add_(1)  # the same answers in float32; 1.0 everywhere in float16, so that the biases decide
    bias.mul_(1e-4)
    checkpoint.save(folder / "checkpoints" / "last.pt", state)
    export_run(folder, file.parent)
    facts = read_header(file)
    assert facts["recorded"] > 0.5
    assert facts["accuracy"] == pytest.approx(1 / len(CLASSES))
    weight[0, 0] = 1e5
    checkpoint.save(folder / "checkpoints" / "last.pt", state)
    before = file.read_bytes()
    with pytest.raises(
        TrainingError, match=r"fc2.weight has weights that float16 cannot hold \(the largest is 1e\+05\)"
    ):
        export_run(folder, file.parent)
    assert file.read_bytes() == before
