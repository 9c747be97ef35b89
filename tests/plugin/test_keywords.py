"""BrainCog's keywords: with the meaning that they have for BrainCog's own networks, or refused."""

import copy
import re
import warnings
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

import braincog_tmkt  # noqa: F401  registers the networks
from braincog_tmkt.bridge import brain_cog_module
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models.contract import CHANNELS, NO_MEANING, ONLY
from braincog_tmkt.models.parts import node_class, surrogate_class
from tests.children import execute, run

from .pairs import assert_same, pair, passed, steadily
from .test_script_loop import SCRIPT

NETWORKS = ("tmkt_vggsnn", "tmkt_resnet18", "tmkt_scnn", "hsd_vggsnn", "hsd_resnet18", "hsd_resnet19")
is_dvs_data = brain_cog_module("datasets").is_dvs_data
resnet19 = brain_cog_module("model_zoo.resnet19_snn").resnet19
PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "braincog.md").read_text()


def small(name, **keywords):
    return timm.create_model(name, num_classes=5, step=3, width=0.1, img_size=32, **keywords)


@pytest.mark.parametrize(
    "dataset", ["dvsg", "dvsc10", "NCALTECH101", "NCARS", "ucf101dvs", "hmdbdvs", "cifar10", "imnet"]
)
def test_channels_follow_from_the_data_set_as_in_brain_cog(dataset):
    assert small("hsd_vggsnn", dataset=dataset).stem.in_channels == (2 if is_dvs_data(dataset) else 3)


@pytest.mark.parametrize(
    ("dataset", "batch"), [("nomni", (1, 3, 2, 32, 32)), ("mnist", (1, 1, 32, 32)), ("cifar100", (1, 3, 32, 32))]
)
@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_loader_of_that_name_gives_passes(name, dataset, batch):
    assert small(name, dataset=dataset)(torch.zeros(batch)).shape == (1, 5)


@pytest.mark.parametrize("dataset", ["imnet", "esimnet"])
@pytest.mark.parametrize("name", ["tmkt_resnet18", "hsd_resnet18"])
def test_a_data_set_with_another_first_convolution_is_refused(name, dataset):
    theirs = brain_cog_module("model_zoo.resnet").resnet18(dataset=dataset, node_type=node_class("LIFNode"), step=3)
    assert theirs.conv1.kernel_size == (7, 7)
    with pytest.raises(RecipeError, match="first convolution of 3x3 pixels"):
        small(name, dataset=dataset)
    assert small(name, in_chans=3).conv1.in_channels == 3


def test_data_sets_that_are_unknown_or_disagree_are_refused():
    with pytest.raises(RecipeError, match=r"does not know dataset 'cifra10'.*in_chans.*did you mean 'cifar10'"):
        small("hsd_resnet19", dataset="cifra10")
    assert small("hsd_resnet19", dataset="mine", in_chans=4).conv1.in_channels == 4
    with pytest.raises(RecipeError, match="dataset 'cifar10' has 3 channels, but in_chans is 2"):
        small("hsd_resnet19", dataset="cifar10", in_chans=2)


@pytest.mark.parametrize("name", ["tmkt_vggsnn", "hsd_vggsnn"])
@pytest.mark.parametrize("layer_by_layer", [True, False])
def test_layer_by_layer_decides_over_what_a_batch_norm_takes_its_statistics(name, layer_by_layer):
    """A training step, in which they matter, equals that of BrainCog's VGG_SNN with the same keyword."""
    keywords = {"node_type": "LIFNode", "threshold": 0.5, "layer_by_layer": layer_by_layer}
    theirs = pair("tmkt_vggsnn", "multi_step", layer_by_layer)[1]
    ours = timm.create_model(name, num_classes=5, step=3, width=0.125, img_size=16, **keywords)
    state = {key.replace("fc.", "dvs_fc."): value for key, value in theirs.state_dict().items() if key[:3] != "dvs"}
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(key.startswith(("coefficient", "rgb_fc")) for key in missing)
    steadily(lambda seed: assert_same(*(passed(copy.deepcopy(net), True, seed) for net in (ours, theirs))))


def test_layer_by_layer_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="layer-wise"):
        resnet19(layer_by_layer=False, threshold=0.5, dataset="dvsc10", step=3, node_type=node_class("LIFNode"))
    with pytest.raises(RecipeError, match=r"norm 'tdbn' .* all time steps together, so layer_by_layer must be True"):
        small("hsd_resnet19", layer_by_layer=False)
    with pytest.raises(RecipeError, match=r"norm 'step' .* each time step by itself, so layer_by_layer must be False"):
        small("tmkt_vggsnn", norm="step", layer_by_layer=True)
    with pytest.raises(RecipeError, match="execution must be multi_step"):
        small("tmkt_vggsnn", execution="step", layer_by_layer=True)
    assert not list(small("tmkt_scnn", layer_by_layer=True).norms)


@pytest.mark.parametrize("sum_output", [True, False])
def test_sum_output_of_resnet19(sum_output):
    keywords = {"act_fun": surrogate_class("QGateGrad"), "node_type": node_class("LIFNode"), "layer_by_layer": True}
    keywords |= {"threshold": 0.5, "tau": 2.0, "dataset": "cifar10", "sum_output": sum_output}
    theirs = resnet19(num_classes=5, step=2, **keywords).eval()
    ours = timm.create_model("hsd_resnet19", num_classes=5, step=2, **keywords).eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_scripts_keywords_are_taken_without_a_warning(name):
    own = {"img_size": 32, "layer_by_layer": name == "hsd_resnet19"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        timm.create_model(name, **{**SCRIPT, **own}, width=0.1)


@pytest.mark.parametrize("key", [key for key in ONLY if key != "inplanes"])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_would_make_another_network_is_refused(name, key):
    value = {"n_groups": 2, "norm_layer": nn.BatchNorm2d, "replace_stride_with_dilation": [True] * 3}.get(key, True)
    with pytest.raises(RecipeError, match=f"takes {key}={re.escape(str(ONLY[key]))} only"):
        small(name, **{key: value})
    small(name, **{key: ONLY[key]})


def test_an_unknown_keyword_is_ignored_with_a_warning_that_names_the_nearest():
    with pytest.warns(UserWarning, match=r"ignores the keyword 'treshold'.*did you mean 'threshold'"):
        net = small("tmkt_vggsnn", treshold=0.7)
    assert net.nodes[0].threshold.item() == 0.5
    make = partial(brain_cog_module("model_zoo.vgg_snn").VGG_SNN, dataset="dvsc10", node_type=node_class("LIFNode"))
    assert make(treshold=0.7).feature[0].node.threshold.item() == 0.5  # BrainCog's ignores it without one


def test_an_unknown_encoding_is_refused():
    with pytest.raises(RecipeError, match="unknown encode_type 'direkt': did you mean 'direct'"):
        small("tmkt_vggsnn", encode_type="direkt")


def test_the_page_has_every_keyword_and_data_set():
    for key in {*SCRIPT, *ONLY, *NO_MEANING, "sum_output", "requires_fp", "mem_detach", "in_chans", "img_size"}:
        assert f"`{key}`" in PAGE, key
    for name in CHANNELS:
        assert f"`{name}`" in PAGE, name


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_blocks_of_the_page_run(code):
    done = run(execute, code)
    assert done.returncode == 0, done.stderr
