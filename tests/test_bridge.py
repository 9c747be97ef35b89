"""Our components inside BrainCog: offered, never in place of something that is there."""

import importlib
import subprocess
import sys

import pytest
import torch

from braincog_tmkt.bridge import BaseNode
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models.parts import node_class, surrogate_class
from braincog_tmkt.plugin import install_into_braincog

criterions = importlib.import_module("braincog.base.utils.criterions")
datasets = importlib.import_module("braincog.datasets")


@pytest.fixture
def clean_braincog():
    before = {module: dict(vars(module)) for module in (criterions, datasets)}
    yield
    for module, names in before.items():
        for name in set(vars(module)) - set(names):
            delattr(module, name)


def test_losses_and_readers_are_offered_once(clean_braincog):
    added = install_into_braincog()
    assert "braincog.base.utils.criterions.cka" in added
    assert "braincog.datasets.NMNIST" in added
    assert install_into_braincog() == []
    x = torch.randn(1, 4, 3)
    assert criterions.cka(x, x).item() == pytest.approx(1)


def test_nothing_that_is_there_is_replaced(clean_braincog):
    theirs = {module: dict(vars(module)) for module in (criterions, datasets)}
    criterions.cka = "the user's own"
    added = install_into_braincog()
    assert criterions.cka == "the user's own"
    assert "braincog.base.utils.criterions.cka" not in added
    for module, names in theirs.items():
        assert all(vars(module)[name] is value for name, value in names.items())
    assert datasets.NCALTECH101 is theirs[datasets]["NCALTECH101"]  # BrainCog's, not our NCaltech101


def test_nodes_and_surrogates_by_name_or_class():
    assert issubclass(node_class("PLIFNode"), BaseNode)
    assert node_class(node_class("LIFNode")) is node_class("LIFNode")
    assert surrogate_class("RoundGrad").__name__ == "RoundGrad"
    with pytest.raises(RecipeError, match="did you mean 'AtanGrad'"):
        surrogate_class("ATanGrad")
    with pytest.raises(RecipeError, match="unknown surrogate 'SurrogateFunctionBase'"):
        surrogate_class("SurrogateFunctionBase")


def test_brain_cogs_replacing_of_timms_names_is_left_as_it_is():
    code = (
        "import timm, braincog_tmkt\n"
        "assert timm.models.model_entrypoint('resnet18').__module__ == 'timm.models.resnet'\n"
        "timm.create_model('tmkt_scnn', num_classes=3, step=2)\n"
        "assert timm.models.model_entrypoint('resnet18').__module__ == 'braincog.model_zoo.resnet'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
