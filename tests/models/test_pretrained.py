"""The checkpoints that travel with the package: what the index says of them, and how timm gets them."""

import json
import re
import shutil
import warnings
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

import braincog_tmkt  # noqa: F401  registers the networks
from braincog_tmkt.cli import main
from braincog_tmkt.data.sets import build_dataset
from braincog_tmkt.data.types import FrameSpec
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models import MODELS, pretrained
from braincog_tmkt.models.parts import node_class
from braincog_tmkt.models.pretrained import read_header, read_index
from braincog_tmkt.recipe import load_recipe, recipe_hash
from braincog_tmkt.recipe.files import find_recipe
from braincog_tmkt.results.store import read_records

ROOT = Path(__file__).resolve().parents[2]
INDEX = read_index()
HAS_TAGS = hasattr(timm.models, "generate_default_cfgs")


@pytest.mark.parametrize("name", INDEX)
def test_the_index_is_true_of_every_file(name):
    listed = INDEX[name]
    facts, header = listed.facts, read_header(listed.file)
    assert {key: facts[key] for key in facts if key not in ("file", "bytes", "sha256")} == {
        key: header[key] for key in header if key not in ("resolved", "recordings")
    }
    assert listed.file.stat().st_size == facts["bytes"] < 500_000
    assert not re.search(rb"/(work|home|root|tmp|Users)/", listed.file.read_bytes()[:50_000])
    recipe = load_recipe(find_recipe(facts["recipe"]), facts["overrides"])
    assert recipe_hash(recipe) == facts["recipe_hash"]
    parts = header["recordings"]
    assert [len(parts[part]) for part in ("train", "val", "test")] == [
        facts["data"][p] for p in ("train", "val", "test")
    ]
    assert facts["count"] == facts["data"]["test"]
    assert not set(parts["train"]) & set(parts["test"])


def test_the_records_are_kept_and_have_the_numbers_that_the_index_repeats():
    records = read_records([ROOT / "experiments/studies/checkpoints"])
    found = {record["recipe_hash"]: record for record in records}
    assert len(found) == len(records) == len(INDEX)
    for each in INDEX.values():
        record = found[each.facts["recipe_hash"]]
        assert (record["seed"], record["data"]["split"]) == (each.facts["seed"], each.facts["data"]["split"])
        assert record["last"]["accuracy"] == each.facts["recorded"]
        assert each.facts["accuracy"] == pytest.approx(each.facts["recorded"], abs=0.02)  # float16


def test_the_table_of_the_folder_is_that_of_the_index():
    page = (ROOT / "checkpoints" / "README.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| (.*) \|$", page, re.MULTILINE)
    assert [name for name, _ in rows] == list(INDEX)
    for name, rest in rows:
        facts = INDEX[name].facts
        assert f"{100 * facts['accuracy']:.2f} | {100 * facts['recorded']:.2f} | {facts['count']}" in rest, name
        assert f"`{facts['recipe']}`" in rest


def test_timm_lists_them_and_takes_the_first_of_a_network_by_default():
    listed = set(timm.list_models(pretrained=True))
    assert set(INDEX) <= listed
    if HAS_TAGS:
        assert timm.list_pretrained(["tmkt*", "hsd*"]) == sorted(INDEX)
    for network in {each.network for each in INDEX.values()}:
        first = next(each for each in INDEX.values() if each.network == network)
        net = timm.create_model(network, pretrained=True)
        assert (net.pretrained_cfg["tag"], net.num_classes, net.step) == (first.tag, 10, first.facts["steps"])
        assert net.default_cfg["input_size"] == (2, *net.frame_size)
        state = first.state()
        assert all(torch.equal(tensor.half(), state[name].half()) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("name", INDEX)
def test_every_tag_builds_its_network(name):
    plain = timm.create_model(name)
    trained = timm.create_model(name, pretrained=True)
    assert plain.state_dict().keys() == trained.state_dict().keys()
    heads = [part for key, part in trained.named_modules() if key in INDEX[name].facts["classifier"]]
    assert heads
    assert all(isinstance(part, nn.Linear) and part.out_features == 10 for part in heads)


def test_another_number_of_classes_keeps_the_features_and_draws_new_classifiers():
    events = torch.rand(2, 10, 2, 32, 32, generator=torch.Generator().manual_seed(0)) * 3
    full = timm.create_model("tmkt_vggsnn", pretrained=True).eval()
    bare = timm.create_model("tmkt_vggsnn", pretrained=True, num_classes=0).eval()
    four = timm.create_model("tmkt_vggsnn", pretrained=True, num_classes=4).eval()
    with torch.no_grad(), full.taps("pooled") as seen:
        full(events)
        features = bare(events)
        assert features.shape == (2, full.feature_size)
        assert features.abs().max() > 0
        assert torch.allclose(features, seen["pooled"].mean(0), atol=1e-6)
        assert torch.allclose(four(events), four.dvs_fc[1](features), atol=1e-5)
    assert four(events).shape == (2, 4)
    assert four.pretrained_cfg["num_classes"] == 10  # as timm's own: of the checkpoint


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"width": 0.25}, "was trained with width=0.125, not 0.25: leave width out"),
        ({"step": 4}, r"step=10, not 4: leave step out and call net.set_steps\(4\) on the finished network"),
        ({"node_type": "IFNode"}, "node_type='LIFNode', not 'IFNode'"),
        ({"node_type": node_class("PLIFNode")}, "node_type='LIFNode', not <class"),
        ({"norm": "step"}, "norm='step_own', not 'step'"),
        ({"in_chans": 3}, "in_chans=2, not 3"),
        ({"img_size": (32, 48)}, r"img_size=32, not \(32, 48\)"),
        ({"threshold": 1.0}, "threshold=0.5, not 1.0"),
        ({"conv_bias": True}, "conv_bias=False, not True"),
        ({"decay": 0.5}, "was trained without 'decay'"),
        ({"dataset": "cifar10"}, "3 channels, but in_chans is 2"),
        ({"layer_by_layer": True}, "so layer_by_layer must be False"),
        ({"pretrained": "nmnist_tkmt"}, "did you mean 'nmnist_tmkt'"),
        ({"pretrained_cfg": "nmnist_tmkt", "pretrained": "nmnist_baseline"}, "one checkpoint at a time"),
        ({"pretrained_cfg": {"hf_hub_id": "someone/net"}}, "takes weights from a file alone"),
        ({"pretrained_cfg": {"file": "nowhere.pth"}}, "there is no file of weights nowhere.pth"),
        ({"pretrained_cfg": {"file": str(INDEX["tmkt_scnn.digits_hsd"].file)}}, "holds a tmkt_scnn, not a tmkt_vggsnn"),
    ],
)
def test_what_does_not_fit_the_checkpoint_is_one_sentence(keywords, words):
    with pytest.raises(RecipeError, match=words):
        timm.create_model("tmkt_vggsnn", **{"pretrained": True, **keywords})


def test_keywords_of_a_script_that_say_the_same_are_taken():
    said = {"step": 10, "node_type": node_class("LIFNode"), "act_fun": "QGateGrad", "img_size": (32, 32), "tau": 2.0}
    braincogs = {"requires_thres_grad": False, "sigmoid_thres": False, "n_encode_type": "linear", "dataset": "nmnist"}
    ours = {"execution": "step", "tet_loss": True, "norm": "step_own"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = timm.create_model("tmkt_vggsnn", pretrained="nmnist_baseline", **said, **braincogs, **ours)
    assert (net.pretrained_cfg["tag"], net.execution) == ("nmnist_baseline", "step")
    assert timm.create_model("tmkt_scnn.nmnist_hsd", pretrained=True, step=5).step == 5  # built for 10 frames


def test_a_keyword_is_compared_with_the_networks_own_preset(tmp_path):
    """`tet_resnet19` has 64 stem channels where other ResNet-19s have 128."""
    keywords = {"step": 2, "img_size": 32, "in_chans": 2, "width": 0.05, "node_type": "LIFNode"}
    facts = {
        **read_header(INDEX["tmkt_scnn.nmnist_hsd"].file),
        "network": "tet_resnet19",
        "steps": 2,
        "keywords": keywords,
    }
    state = MODELS["tet_resnet19"](num_classes=10, **keywords).state_dict()
    save_file(state, file := tmp_path / "own.safetensors", {pretrained.FACTS: json.dumps(facts)})
    source = {"pretrained": True, "pretrained_cfg": {"file": str(file)}}
    timm.create_model("tet_resnet19", stem_channels=64, **source)
    with pytest.raises(RecipeError, match="with stem_channels=64, not 128"):
        timm.create_model("tet_resnet19", stem_channels=128, **source)


def test_a_network_without_a_checkpoint_or_an_installation_without_any_says_so(monkeypatch, tmp_path):
    assert "tmkt_resnet18" in MODELS
    with pytest.raises(RecipeError, match=r"there is no checkpoint of tmkt_resnet18; there are tmkt_\w+\.\w+, "):
        timm.create_model("tmkt_resnet18", pretrained=True)
    monkeypatch.setattr(pretrained, "shipped", lambda folder: tmp_path)
    with pytest.raises(RecipeError, match="there is no checkpoint of tmkt_scnn; there are none at all"):
        timm.create_model("tmkt_scnn", pretrained=True)


def test_a_checkpoint_gives_its_number_in_any_loop_and_by_the_command(capsys):
    """The digits are embedded, so everyone can do this; the keys of the split are those in the file."""
    name = "tmkt_scnn.digits_hsd"
    facts, header = INDEX[name].facts, read_header(INDEX[name].file)
    digits = build_dataset("digits", "data")
    items = {item.key: item for item in digits.index().recordings}
    chosen = [items[key] for key in header["recordings"]["test"]]
    events = torch.stack([torch.from_numpy(digits.frames(item, FrameSpec(6, 28))) for item in chosen])
    net = timm.create_model(name, pretrained=True).eval()
    with torch.no_grad():
        right = sum(
            facts["labels"][label] == item.class_name
            for item, label in zip(chosen, net(events[:, : net.step]).argmax(1).tolist(), strict=True)
        )
    assert right == pytest.approx(facts["accuracy"] * facts["count"], abs=2)
    assert main(["eval", f"checkpoints/{name}"]) == 0
    said = re.search(r"digits_hsd: ([\d.]+)% of 180 test recordings of split 235b05f18b11", capsys.readouterr().out)
    assert float(said[1]) == pytest.approx(100 * right / 180, abs=0.6)


def test_the_code_of_the_page_runs(monkeypatch, tmp_path):
    """In a folder with the files that its blocks load."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_checkpoints").mkdir()
    shutil.copy(INDEX["tmkt_scnn.digits_tmkt"].file, tmp_path / "my_checkpoints")
    network = timm.create_model("tmkt_vggsnn", num_classes=101, step=10)
    torch.save({"state_dict": network.state_dict()}, "model_best.pth.tar")
    page = (ROOT / "docs" / "how-to" / "checkpoints.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, {})
    keys = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \|", page.partition("| key of `index.yaml`")[2].partition("## ")[0], re.MULTILINE
    )
    facts = next(iter(INDEX.values())).facts
    assert sorted(re.findall(r"\w+", " ".join(keys))) == sorted(facts)


@pytest.mark.data
@pytest.mark.parametrize("name", ["tmkt_vggsnn.nmnist_knowledge_transfer"])
def test_a_checkpoint_of_real_recordings_gives_its_number(name, shared, capsys):
    assert main(["eval", name, f"data.root={shared / 'data'}"]) == 0
    assert re.search(rf"{name}: 9\d\.\d\d% of 400 test recordings of split", capsys.readouterr().out)
