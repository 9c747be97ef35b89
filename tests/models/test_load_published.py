"""Checkpoints of others: of Transfer-for-DVS (its golden logits), and of BrainCog's scripts, written as timm does."""

import re
from argparse import Namespace

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

import braincog_tmkt  # noqa: F401  registers the networks
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models import load_published
from tests.golden import vectors
from tests.models.golden import build
from tests.plugin.pairs import CLASSES, SIDE, STEPS, frames, pair


def written(path, state, **others):
    """A file as timm's CheckpointSaver writes it for these scripts."""
    arguments = Namespace(model="Transfer_VGG_SNN", num_classes=101, node_type="LIFNode", lr=0.005, cutmix_minmax=None)
    content = {"epoch": 299, "arch": "Transfer_VGG_SNN", "state_dict": state, "optimizer": {"state": {}}, "version": 2}
    torch.save({**content, "args": arguments, "metric": 93.4, **others}, path)
    return path


@pytest.mark.parametrize("name", ["vgg_small", "resnet18_small", "scnn_small"])
def test_weights_of_the_baselines_code_give_its_logits(name, tmp_path):
    golden = vectors.load(name)
    state = {key: torch.from_numpy(value) for key, value in golden.state.items()}
    for key in golden.facts["state"]:  # the constants of its nodes, which the golden state leaves out
        if key.endswith(".threshold"):
            state[key] = torch.tensor(0.5)
        elif key.endswith(".alpha"):
            state[key] = torch.tensor(2.0)
    of_several_processes = {f"module.{key}": value for key, value in state.items()}
    expected = torch.from_numpy(golden.arrays["eval/dvs_logits"])
    for weights in (state, of_several_processes):
        net = load_published(
            build(golden.facts, "multi_step"), written(tmp_path / "model_best.pth.tar", weights)
        ).eval()
        with torch.no_grad():
            logits = net.event_logits(torch.from_numpy(golden.events))
        assert (logits - expected).abs().max() <= vectors.TOLERANCE["logits"] * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_of_brain_cogs_own_vgg_snn_give_its_logits(suffix, tmp_path):
    _, theirs = pair("tmkt_vggsnn", "multi_step")
    del theirs.dvs_fc  # another name for the same layer
    for layer in theirs.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data *= 12  # so that nodes fire before batch norms have learnt their statistics
    file = tmp_path / f"vgg.{suffix}"
    if suffix == "pth":
        torch.save(theirs.state_dict(), file)
    else:
        save_file(theirs.state_dict(), file)
    keywords = {"num_classes": CLASSES, "step": STEPS, "img_size": SIDE, "width": 0.125, "node_type": "LIFNode"}
    net = load_published(timm.create_model("hsd_vggsnn", norm="step", **keywords), file).eval()
    with torch.no_grad():
        expected = theirs.eval()(frames(8))
        assert expected.std() > 0.01
        assert (net(frames(8)) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("dvs_fc.1.bias"), r"it lacks dvs_fc\.1\.bias: build"),
        (
            lambda state: [state.pop(key) for key in [*state] if ".bn." in key],
            r"it lacks feature\.0\.bn\.weight, feature\.0\.bn\.bias, feature\.0\.bn\.running_mean and 29 more",
        ),
        (lambda state: state.update(extra=torch.zeros(2)), "the network has no extra: build"),
        (
            lambda state: state.update({"rgb_fc.1.weight": torch.zeros(7, 64)}),
            r"other shapes: rgb_fc\.1\.weight is \[7, 64\], in the network \[5, 64\]",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(change, words, tmp_path):
    net = timm.create_model("tmkt_vggsnn", num_classes=5, step=2, img_size=16, width=0.125)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state = {key: value + 1 for key, value in before.items()}
    change(state)
    with pytest.raises(RecipeError, match=words):
        load_published(net, written(tmp_path / "last.pth.tar", state))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


class Runs:
    """What unpickling of anything would run."""

    def __reduce__(self):
        return (print, ("it ran",))


def test_a_file_that_could_run_code_or_is_none_of_weights_is_refused(tmp_path, capsys):
    net = timm.create_model("tmkt_scnn", step=2, width=0.1)
    file = written(tmp_path / "evil.pth", net.state_dict(), extra=Runs())
    with pytest.raises(RecipeError, match="holds more than tensors and plain values, which may run code"):
        load_published(net, file)
    assert "it ran" not in capsys.readouterr().out
    for name, content, words in (
        (
            "cut.pth",
            written(tmp_path / "a.pth", net.state_dict()).read_bytes()[:5000],
            "cannot be read as a file of weig",
        ),
        ("cut.safetensors", b"\1" * 100, "cannot be read as a file of weights"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RecipeError, match=words):
            load_published(net, tmp_path / name)
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    with pytest.raises(RecipeError, match="holds no weights, neither a state dict nor one under 'state_dict'"):
        load_published(net, tmp_path / "none.pth")
    with pytest.raises(RecipeError, match=re.escape(f"there is no file of weights {tmp_path / 'nowhere.pth'}")):
        load_published(net, tmp_path / "nowhere.pth")
