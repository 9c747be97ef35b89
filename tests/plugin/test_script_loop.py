"""What BrainCog's image-classification script does with a network, done with ours and with BrainCog's own."""

import copy
import random
import warnings

import pytest
import timm
import torch
import torch.distributed as dist
from timm.models import resume_checkpoint
from timm.optim import create_optimizer_v2
from timm.utils import CheckpointSaver, ModelEma, distribute_bn
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import braincog_tmkt  # noqa: F401  the one line that the script needs
from braincog_tmkt.bridge import brain_cog_module
from braincog_tmkt.models.parts import node_class
from tests.children import together

BaseConvModule = brain_cog_module("model_zoo.base_module").BaseConvModule
TetLoss = brain_cog_module("base.utils.criterions").TetLoss
for module in ("vgg_snn", "resnet", "resnet19_snn"):  # timm learns their names
    brain_cog_module(f"model_zoo.{module}")

CLASSES, STEPS, BATCH = 5, 3, 4

SCRIPT = {
    "pretrained": False,
    "num_classes": CLASSES,
    "adaptive_node": False,
    "dataset": "dvsc10",
    "step": STEPS,
    "encode_type": "direct",
    "node_type": node_class("LIFNode"),
    "threshold": 0.5,
    "tau": 2.0,
    "sigmoid_thres": False,
    "requires_thres_grad": False,
    "spike_output": False,
    "act_fun": "QGateGrad",
    "temporal_flatten": False,
    "layer_by_layer": False,
    "n_groups": 1,
    "n_encode_type": "linear",
    "n_preact": False,
    "tet_loss": False,
    "sew_cnf": "ADD",
    "conv_type": "normal",
}
"""The script's keywords, all of them."""

OURS = {
    "tmkt_vggsnn": {"width": 0.125, "img_size": 16},
    "hsd_vggsnn": {"width": 0.125, "img_size": 16},
    "tmkt_resnet18": {"width": 0.125},
    "hsd_resnet18": {"width": 0.125},
    "hsd_resnet19": {"width": 0.125},
    "tmkt_scnn": {"width": 0.5},
}
"""What we add to them, to be quick."""

LOUDER = 12
"""Factor on all weights, with which there are spikes before batch norms have learnt their statistics."""

SIDES = {"tmkt_vggsnn": 16, "hsd_vggsnn": 16, "tmkt_scnn": 28}
SCNN = {"feature.7.": "fc1.", "feature.8.": "node1.", "fc.1.": "fc2."}


def ours(name, **keywords):
    """A network of ours whose nodes all fire, in evaluation too."""
    torch.manual_seed(0)
    net = timm.create_model(name, **SCRIPT | OURS[name] | keywords)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data *= LOUDER
    return net


def theirs(net, name, **keywords):
    """BrainCog's own network of the same layers and weights as ours, `net`."""
    keywords = SCRIPT | keywords
    if "resnet19" in name:
        own = narrow_resnet19(timm.create_model("resnet19", **keywords))
    elif "resnet18" in name:
        own = timm.create_model("resnet18", inplanes=8, **keywords)
        own.set_attr("step", STEPS)  # it leaves its nodes at 8
    else:
        own = timm.create_model("VGG_SNN", **keywords)
        own.feature = nn.Sequential(*(scnn(own) if "scnn" in name else narrow(own)))
        own.fc[1] = nn.Linear(net.feature_size, CLASSES)
    state = net.state_dict()
    own.load_state_dict({key: state[our_key(key, name)] for key in own.state_dict()})
    return own


def our_key(key, name):
    if "scnn" in name:
        for one, other in SCNN.items():
            key = key.replace(one, other)
    return key.replace("fc.", "dvs_fc.") if key.startswith("fc.") else key


def narrow(own):
    """The layers of BrainCog's VGG_SNN with an eighth of the channels."""
    channels = 2
    for layer in own.feature:
        if isinstance(layer, BaseConvModule):
            out = layer.conv.out_channels // 8
            yield BaseConvModule(channels, out, node=own.node)
            channels = out
        else:
            yield layer


def narrow_resnet19(own):
    """The same of its ResNet-19, made anew by its own methods."""
    block, own.inplanes = type(own.layer1[0]), 16
    own.conv1 = nn.Conv2d(own.conv1.in_channels, 16, 3, padding=1, bias=False)
    own.bn1 = own._norm_layer(num_features=16, alpha=1.0)
    own.layer1 = own._make_layer(block, 16, 3)
    own.layer2, own.layer3 = (own._make_layer(block, *sizes, stride=2) for sizes in ((32, 3), (64, 2)))
    own.fc1, own.fc2 = nn.Linear(64, 32), nn.Linear(32, CLASSES)
    return own


def scnn(own):
    """The layers of the SCNN, which BrainCog does not have, of half the channels."""
    for channels, out in ((2, 8), (8, 20)):
        yield from (nn.Conv2d(channels, out, 5, bias=False), own.node(), nn.AvgPool2d(2))
    yield from (nn.Flatten(), nn.Linear(320, 150), own.node())


def per_step(own):
    """What BrainCog's own network gives with `tet_loss`, which it ignores: logits of each step."""
    seen = []
    head = own.fc2 if hasattr(own, "fc2") else own.fc
    head.register_forward_hook(lambda layer, inputs, output: seen.append(output))

    def output(inputs):
        seen.clear()
        own(inputs)
        return torch.stack(seen) if len(seen) == STEPS else seen[0].unflatten(0, (STEPS, -1))

    return output


def batches(name, count):
    generator = torch.Generator().manual_seed(count)
    side = SIDES.get(name, 8)
    shape = (BATCH, 3, side, side) if "resnet19" in name else (BATCH, STEPS, 2, side, side)
    for _ in range(count):
        yield 3 * torch.rand(shape, generator=generator), torch.randint(CLASSES, (BATCH,), generator=generator)


class Script:
    """The script's loop; `seen` is what it would print.

    Args:
        net: ours or BrainCog's.
        folder: of its checkpoints.
        name: of our network.
        tet: whether it is trained with BrainCog's TetLoss.
        sets_step: whether the attribute `step` of the nodes is set.
    """

    def __init__(self, net, folder, name, tet=False, sets_step=True):
        self.net, self.folder, self.name, self.sets_step = net, folder, name, sets_step
        self.loss = TetLoss(nn.CrossEntropyLoss()) if tet else nn.CrossEntropyLoss()
        self.output = per_step(net) if tet and not hasattr(net, "tet_loss") else net
        self.optimizer = create_optimizer_v2(net, "momentum", lr=1e-2, weight_decay=1e-4)
        self.ema = ModelEma(net, decay=0.9)
        folders = {"checkpoint_dir": folder, "recovery_dir": folder}
        self.saver = CheckpointSaver(net, self.optimizer, model_ema=self.ema, **folders)
        self.seen = []

    def run(self):
        for epoch in range(2):
            self.train_epoch()
            for net in (self.net, self.ema.ema):
                self.validate(net)
            self.saver.save_checkpoint(epoch, metric=float(epoch))

    def train_epoch(self):
        self.net.train()
        draw = random.Random(0)
        for inputs, target in batches(self.name, 2):
            self.set_step(draw.randint(1, STEPS + 2))
            output = self.output(inputs)
            loss = self.loss(output, target)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
            self.optimizer.step()
            self.ema.update(self.net)
            self.seen += [loss.detach(), output.detach()]
        self.set_step(STEPS)

    @torch.no_grad()
    def validate(self, net):
        net.eval()
        net.set_requires_fp(True)
        for inputs, _ in batches(self.name, 1):
            output = net(inputs)
            output = output.mean(0) if output.dim() == 3 else output
            assert output.std(0).max() > 0.01, "no spike reaches the classifier"
            self.seen.append(output)
            self.seen += [net.get_tot_spike(), net.get_fire_rate(), *map(torch.tensor, net.get_spike_info())]

    def resume(self):
        """Load the last checkpoint, test over steps as the script's `--resume` does, and train one epoch more."""
        for parameter in self.net.parameters():
            parameter.data.zero_()
        assert resume_checkpoint(self.net, f"{self.folder}/last.pth.tar", self.optimizer) == 2
        for step in (1, 2, 2 * STEPS):
            self.set_step(step)
            self.validate(self.net)
        self.train_epoch()

    def set_step(self, step):
        if self.sets_step:
            with warnings.catch_warnings(action="ignore"):
                self.net.set_attr("step", step)


OPTIONS = {"hsd_vggsnn": {"layer_by_layer": True}, "hsd_resnet19": {"layer_by_layer": True, "dataset": "cifar10"}}

CASES = [
    ("tmkt_vggsnn", "step", {}),
    ("tmkt_vggsnn", "multi_step", {"tet_loss": True}),
    ("hsd_vggsnn", "multi_step", {}),
    ("hsd_vggsnn", "multi_step", {"layer_by_layer": True, "tet_loss": True}),
    ("tmkt_resnet18", "step", {"tet_loss": True}),
    ("tmkt_resnet18", "multi_step", {}),
    ("hsd_resnet18", "multi_step", {"layer_by_layer": True}),
    ("hsd_resnet19", "multi_step", {"layer_by_layer": True, "dataset": "cifar10"}),
    ("tmkt_scnn", "step", {}),
    ("tmkt_scnn", "multi_step", {"tet_loss": True}),
]


@pytest.mark.parametrize(("name", "execution", "options"), CASES)
def test_the_script_sees_what_it_sees_with_brain_cogs_own(name, execution, options, tmp_path):
    """Losses, logits, averages of weights and spikes; in `step` to the last digits, in `multi_step` up to rounding."""
    net = ours(name, execution=execution, **options)
    own = theirs(net, name, **options)
    tet, by_layer = (options.get(key, False) for key in ("tet_loss", "layer_by_layer"))
    scripts = Script(net, tmp_path / "ours", name, tet), Script(own, tmp_path / "own", name, tet, not by_layer)
    for script in scripts:
        script.folder.mkdir()
        script.run()
        script.resume()
    pairs = list(zip(*(script.seen for script in scripts), strict=True))
    if execution == "step":
        for number, (got, wanted) in enumerate(pairs):
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5, msg=f"figure {number}")
    else:  # a rounding may move a spike, and that a few of the figures
        off = [number for number, (got, wanted) in enumerate(pairs) if (got - wanted).norm() > 0.1 * wanted.norm()]
        assert len(off) <= len(pairs) / 10, off


@pytest.mark.ddp
def test_two_processes_take_the_step_of_brain_cogs_own(tmp_path):
    """Batch norms take the statistics of their own process, as the script has it without `--sync-bn`."""
    assert together(two_processes, tmp_path) == [0, 0]
    for name in OURS:
        before, net, own = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        off = []
        for key, value in own.items():
            change, wanted = (each.float() - before[key] for each in (net[our_key(key, name)], value))
            off.append(float((change - wanted).norm() / (wanted.norm() + 1e-9)))
        assert sum(off) / len(off) <= 0.2, name  # statistics of the whole batch: 0.48 or more


def two_processes(rank, folder):
    warnings.filterwarnings("ignore", message="Grad strides do not match")
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for name in OURS:
        options = OPTIONS.get(name, {})
        net = ours(name, **options)
        own = theirs(net, name, **options)
        states = [copy.deepcopy(own.state_dict())]
        ((inputs, target),) = batches(name, 1)
        for each in (net, own):
            unused = hasattr(each, "coefficient")  # the script always asks for it, and is warned where there is none
            wrapped = DistributedDataParallel(each, find_unused_parameters=unused).train()
            optimizer = create_optimizer_v2(wrapped, "momentum", lr=1.0, weight_decay=0.0)
            nn.functional.cross_entropy(wrapped(inputs[rank::2]), target[rank::2]).backward()
            optimizer.step()
            distribute_bn(wrapped, 2, reduce=True)
            states.append(each.state_dict())
        if rank == 0:
            torch.save(states, folder / f"{name}.pt")
    dist.destroy_process_group()
