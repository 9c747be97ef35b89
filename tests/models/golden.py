"""Our networks and our Knowledge-Transfer loss, run as the reference was run for the golden vectors."""

import timm
import torch

import braincog_tmkt  # noqa: F401  registers the backbones
from braincog_tmkt.data.batch import Batch
from braincog_tmkt.losses import cka
from braincog_tmkt.methods import METHODS

NETS = {"vgg_small": "tmkt_vggsnn", "resnet18_small": "tmkt_resnet18", "scnn": "tmkt_scnn", "scnn_small": "tmkt_scnn"}


def build(facts, execution):
    name = NETS[facts["name"]]
    return timm.create_model(
        name,
        num_classes=facts["num_classes"],
        step=facts["step"],
        img_size=facts["size"],
        width=1.0 if name == "tmkt_scnn" else 1 / 8,
        act_fun="BackEIGateGrad" if name == "tmkt_scnn" else "QGateGrad",
        execution=execution,
    )


def run(golden, mode, execution="multi_step", part="loss", **flags):
    """One forward and the backward of one part of the loss."""
    net = build(golden.facts, execution)
    state = {name: torch.from_numpy(value) for name, value in golden.state.items()}
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(key.endswith((".threshold", ".alpha")) for key in missing), missing
    net.train(mode.startswith("train"))
    if mode == "train_omni":
        flags = {"tet": False, "regularise": False}
    method = METHODS.build("knowledge_transfer", net, **flags)
    seen = []
    inner = net.streams
    net.streams = lambda *frames: seen.append(inner(*frames)) or seen[-1]
    static, events, label = (torch.from_numpy(each) for each in (golden.static[:, 0], golden.events, golden.label))
    parts = method(Batch.of(static, events, label, seed=0), progress=0.0)
    parts[part].backward()
    (mixed, dvs), numpy = seen[0], lambda x: x.detach().numpy()
    return {
        "rgb_logits": numpy(mixed.logits),
        "dvs_logits": numpy(dvs.logits),
        "rgb_feature": numpy(mixed.aligned),
        "dvs_feature": numpy(dvs.aligned),
        "terms": {
            "loss": parts["loss"].item(),
            "domain": parts["alignment"].item(),
            "rgb": parts["static"].item(),
            "dvs": parts["events"].item(),
        },
        "grads": {k: numpy(p.grad) for k, p in net.named_parameters() if p.grad is not None},
        "running": {k: numpy(v) for k, v in net.named_buffers()},
        "cka": numpy(cka(mixed.aligned, dvs.aligned)),
    }
