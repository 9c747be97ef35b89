"""Our networks and our Knowledge-Transfer loss as an adapter of ../shared/golden/check.py."""

import timm
import torch

import braincog_tmkt  # noqa: F401  registers the backbones
from braincog_tmkt.data.types import Batch, Draw
from braincog_tmkt.losses import cka
from braincog_tmkt.methods import METHODS

NETS = {"vgg_small": "tmkt_vggsnn", "resnet18_small": "tmkt_resnet18", "scnn": "tmkt_scnn", "scnn_small": "tmkt_scnn"}


def build(meta, execution):
    name = NETS[meta["name"]]
    size = {"img_size": meta["size"]}
    width = 1 / 8 if meta["name"] in ("vgg_small", "resnet18_small") else 1.0
    surrogate = "BackEIGateGrad" if name == "tmkt_scnn" else "QGateGrad"
    classes = next(shape[0] for key, shape in meta["state"].items() if key.startswith(("dvs_fc", "fc2")))
    return timm.create_model(
        name, num_classes=classes, step=meta["step"], width=width, act_fun=surrogate, execution=execution, **size
    )


def run(meta, mode, state, static, events, label, execution="multi_step", **flags):
    net = build(meta, execution)
    missing, unexpected = net.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    assert not unexpected
    assert all(key.endswith((".threshold", ".alpha")) for key in missing), missing
    net.train(mode.startswith("train"))
    if mode == "train_omni":
        flags = {"tet": False, "regularise": False}
    method = METHODS.build("knowledge_transfer", net, **flags)
    seen = []
    inner = net.streams
    net.streams = lambda *frames: seen.append(inner(*frames)) or seen[-1]
    batch = Batch(
        static=torch.from_numpy(static[:, 0].copy()),
        events=torch.from_numpy(events),
        label=torch.from_numpy(label),
        index=torch.arange(len(label)),
        draw=Draw(seed=0, start=0, rows=len(label), total=len(label)),
    )
    parts = method(batch, progress=0.0)
    parts["loss"].backward()
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
