"""A network of ours and BrainCog's own with the same layers and weights."""

import copy
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from braincog_tmkt.bridge import brain_cog_module
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.parts import node_class, surrogate_class

base, resnet, vgg = (brain_cog_module(f"model_zoo.{name}") for name in ("base_module", "resnet", "vgg_snn"))

CLASSES, STEPS, SIDE = 5, 3, 16
NAMES = ("tmkt_vggsnn", "tmkt_resnet18")


def pair(name: str, execution: str, layer_by_layer: bool = False, **keywords: Any) -> tuple[Any, Any]:
    """Ours and BrainCog's, narrow ones: eight channels in the first layer, frames of 16x16.

    BrainCog's VGG_SNN has fixed widths, so its layers are replaced by narrow ones of its own classes.
    """
    return copy.deepcopy(prototypes(name, execution, layer_by_layer, **keywords))


@cache
def prototypes(name: str, execution: str, layer_by_layer: bool = False, **keywords: Any) -> tuple[Any, Any]:
    """What `pair` copies, for tests that need one of the two."""
    torch.manual_seed(0)
    ours = build_backbone(name, CLASSES, STEPS, SIDE, width=0.125, execution=execution, **keywords)
    kind = node_class(keywords.pop("node_type", "LIFNode"))
    keywords = {"threshold": 0.5, "tau": 2.0, "act_fun": surrogate_class("QGateGrad"), **keywords}
    common = {"num_classes": CLASSES, "step": STEPS, "dataset": "dvsc10", "layer_by_layer": layer_by_layer}
    if name == "tmkt_vggsnn":
        with torch.device("meta"):
            theirs = vgg.VGG_SNN(node_type=kind, **common, **keywords)
        theirs.feature, theirs.fc = _narrow(theirs.node), nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))
    else:
        blocks = resnet.BasicBlock, [2, 2, 2, 2]
        theirs = resnet.ResNet(*blocks, inplanes=8, node_type=kind, **common, **keywords)
    state = {key.replace("dvs_fc", "fc"): value for key, value in ours.state_dict().items()}
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert not missing
    assert {key.split(".")[0] for key in unexpected} == {"coefficient", "rgb_fc"}
    theirs.dvs_fc = theirs.fc  # another name for the same layer, so that one change serves both
    return ours, theirs


def _narrow(node: Any) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 2
    for width in (8, 16, 0, 32, 32, 0, 64, 64, 0, 64, 64, 0):
        if width:
            layers.append(base.BaseConvModule(channels, width, node=node))
            channels = width
        else:
            layers.append(nn.AvgPool2d(2))
    return nn.Sequential(*layers)


def frames(batch: int = 2, seed: int = 0) -> Tensor:
    """Events `[B, T, 2, H, W]`."""
    return 3 * torch.rand(batch, STEPS, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def steadily(check: Callable[[int], None]) -> None:
    """Run a check with up to three batches, by their seeds; one that agrees is enough.

    On some processor a rounding may move a spike, and all that follows. What is wrong differs with every batch.
    """
    for seed in range(2):
        with suppress(AssertionError):
            return check(seed)
    return check(2)


def passed(net: Any, training: bool, seed: int = 0) -> dict[str, Tensor]:
    """Everything that one forward and backward pass gives."""
    net.train(training)
    events = frames(seed=seed).requires_grad_()
    logits = net(events)
    logits.square().sum().backward()
    grads = {name.replace("dvs_fc", "fc"): part.grad for name, part in net.named_parameters() if part.grad is not None}
    buffers = {name: value for name, value in net.named_buffers() if "num_batches" not in name}
    return {"logits": logits.detach(), "events": events.grad, **grads, **buffers}


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor], what: str = "") -> None:
    """Fail if two results of `passed` differ by more than rounding."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        scale = float(value.abs().max()) + 1e-6
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4 * scale, msg=f"{what} {name}")
