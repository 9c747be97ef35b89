"""The published networks of TET, NDA, TCJA-TET, ETC and TKS: logits, loss, gradients, statistics (tests/golden/methods)."""

import numpy as np
import pytest
import timm
import torch
from torch.nn import functional

import braincog_tmkt  # noqa: F401  enters the networks
from braincog_tmkt.losses.tet import per_step_tet
from tests.golden import vectors
from tests.golden.published import frames, gradient_errors, published


def tet(weight):
    return lambda logits, label: per_step_tet(logits, label, weight, 1.0).mean()


def of_mean(logits, label):
    return functional.cross_entropy(logits.mean(0), label)


def pattern(golden, case):
    """Frames `[B, T, 2, H, W]` by the rule of the note in tcja.json."""
    u, block = golden.input(f"{case}/u"), golden.input(f"{case}/block")
    block = block.repeat_interleave(12, -1).repeat_interleave(12, -2)[..., : u.shape[-2], : u.shape[-1]]
    return (u - 14 + block).clamp(min=0).float() / 4


CASES = {
    "tet net/vggsnn": ("tet_vggsnn", {"width": 1 / 8}, tet(1e-3), "tet_vggsnn"),
    "tet net/vggsnn_woap": ("tet_vggsnn_woap", {"width": 1 / 8}, tet(1e-3), "tet_vggsnn_woap"),
    "tet net/resnet19": ("tet_resnet19", {"width": 1 / 8, "in_chans": 3}, tet(0.05), "net/resnet19/x"),
    "nda net": ("nda_vgg11", {"width": 1 / 8}, of_mean, "nda_vgg11"),
    "tcja net/vgg_small": ("tcja_vgg", {"width": 1 / 16}, tet(1e-3), None),
    "tcja net/vgg_full": ("tcja_vgg", {"width": 1 / 16}, tet(1e-3), None),
    "tcja net/cext_small": ("tcja_cext", {"width": 1 / 16}, tet(1e-3), None),
    "tcja net/cext_full": ("tcja_cext", {"width": 1 / 16}, tet(1e-3), None),
}
"""Method and case -> network, its keywords, the loss of logits `[T, B, K]` and labels, and the tag of its input."""


def build(method, case, **more):
    """A network with the weights of a case; its inputs; and the names of its parameters and buffers, reference's first."""
    golden, (name, keywords, loss, tag) = published(method), CASES[f"{method} {case}"]
    facts = golden.facts["cases"][case]
    if tag is None:
        x = pattern(golden, case)
    elif "/" in tag:
        x = golden.input(tag)
    else:
        x = frames(tag, 4, 4, 48)
    size = {"img_size": (x.shape[-2], x.shape[-1])}
    net = timm.create_model(name, num_classes=facts["classes"], step=facts["T"], **size, **keywords, **more)
    weights = golden.state(facts)
    if "doubled" in facts.get("after_fill", ""):
        weights = {name: value * 2 if is_norms(weights, name) else value for name, value in weights.items()}
    ours = [name for name in net.state_dict() if ".threshold" not in name and ".act_fun" not in name and "mask" not in name and "node1." not in name and "node2." not in name]
    names = dict(zip(sorted(weights, key=lambda name: "running" in name or "tracked" in name), sorted(ours, key=lambda name: "running" in name or "tracked" in name), strict=True))
    assert all(net.state_dict()[names[name]].shape == value.shape for name, value in weights.items())
    net.load_state_dict({**net.state_dict(), **{names[name]: value for name, value in weights.items()}})
    return golden, facts, net, x, loss, names
