"""A tiny data set in memory and tiny methods, for what needs no spiking network."""

import copy
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from braincog_tmkt.data.augment import AUGMENTS, Augmentation
from braincog_tmkt.data.pairs import PairSet
from braincog_tmkt.data.splits import Protocol, make_split
from braincog_tmkt.data.types import Index, Item
from braincog_tmkt.engine.devices import make_fabric
from braincog_tmkt.engine.loop import fit
from braincog_tmkt.engine.task import TaskData
from braincog_tmkt.methods.base import METHODS, BuildNetwork, Calibration, Method, Stage
from braincog_tmkt.recipe import recipe_from_dict

SIZES = {"cup": 10, "hat": 20, "pen": 30}
STEPS, SIZE = 4, 6
FACTS = {"kind": "real", "protocol": "clean", "fingerprint": "toys"}


def make_task(val_portion=0.2, noise=1.0):
    """Three classes of different sizes; each has its own bright row of pixels, under noise."""
    items = tuple(Item(f"{name}/{number:02}", name) for name, count in SIZES.items() for number in range(count))
    index = Index(tuple(SIZES), items, items)
    rng = np.random.default_rng(0)
    events = rng.normal(0, noise, (len(items), STEPS, 2, SIZE, SIZE)).astype(np.float32)
    for row, item in enumerate(items):
        events[row, :, :, 2 * index.label_of[item.class_name]] += 1
    images = rng.integers(0, 256, (len(items), SIZE, SIZE), dtype=np.uint8)
    split = make_split(index, Protocol("clean", train_portion=0.7, val_portion=val_portion))
    pairs = PairSet(index, split, SimpleNamespace(events=events, images=images))
    return TaskData(pairs, FACTS | {"split": split.hash}, {"leaks": False}, "sentence")


class Toy(Method):
    """One linear layer, with dropout (torch's own random numbers), a partner's pixel and a draw in the loss."""

    def __init__(self, seed=0):
        super().__init__(Line(seed))
        self.calls, self.losses = [], []
        self.before = lambda call: None
        self.scale = 1.0

    def forward(self, batch, progress):
        self.calls.append((batch.index.tolist(), progress))
        self.before(len(self.calls))
        logits = self.predict(functional.dropout(batch.events, 0.5))
        noise = batch.rng.uniform(stream="mixing").float() + batch.static.mean((1, 2, 3))
        classes = functional.cross_entropy(logits.mean(0), batch.label)
        draws = (logits.mean((0, 2)) * noise).mean() * 0.1
        self.losses.append(((classes + draws) * self.scale).item())
        return {"loss": (classes + draws) * self.scale, "classes": classes, "draws": draws}

    def predict(self, events):
        return self.backbone(events.flatten(2)).transpose(0, 1)


@AUGMENTS.register("blend")
class Blend(Augmentation):
    """Mixes each recording with another one of the global batch."""

    mixes = True

    def __call__(self, events, target, rng):
        draw = rng.generator("blend")
        share = torch.from_numpy(draw.beta(2, 2, rng.total)).float()
        partner = torch.from_numpy(draw.permutation(rng.total))
        own = share.view(-1, 1, 1, 1, 1)
        mixed = share[:, None] * target + (1 - share[:, None]) * target[partner]
        return own * events + (1 - own) * events[partner], mixed


class Line(nn.Linear):
    """A network of one linear layer, with `event_logits`."""

    def __init__(self, seed):
        super().__init__(2 * SIZE * SIZE, len(SIZES))
        self.step = STEPS
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))

    def event_logits(self, events):
        return self(events.flatten(2)).transpose(0, 1)


@METHODS.register("handover")
class Handover(Method):
    """A teacher is trained, copied over the backbone and then damped, and teaches it; stands for HSD.

    Entering `convert` twice damps it twice; and the teacher is kept from learning in the end by `trainable` alone.
    """

    def __init__(self, backbone, pretraining: float = 1.0, teaching: float = 0.1):
        super().__init__(backbone)
        self.teacher = copy.deepcopy(backbone)
        self.pretraining, self.teaching = pretraining, teaching
        self.calls, self.entered = [], []
        self.before = lambda call: None
        self.scale = 1.0

    def stages(self):
        return Stage("ann", depends=("pretraining",)), Stage("convert", trains=False), Stage("distil")

    def begin_stage(self, stage):
        super().begin_stage(stage)
        self.entered.append(stage)
        if stage == "convert":
            self.backbone = copy.deepcopy(self.teacher)
            with torch.no_grad():
                for parameter in self.teacher.parameters():
                    parameter.mul_(0.5)
        self.backbone.requires_grad_(stage != "ann")

    def trainable(self):
        return self.teacher if self.stage == "ann" else self.backbone

    def predict(self, events):
        return self.trainable().event_logits(events)

    def forward(self, batch, progress):
        self.calls.append((self.stage, progress))
        self.before(len(self.calls))
        logits = self.predict(batch.events)
        loss = functional.cross_entropy(logits.mean(0), batch.label)
        if self.stage == "ann":
            return {"loss": self.scale * self.pretraining * loss}
        distance = (logits - self.teacher.event_logits(batch.events)).square().mean()
        return {"loss": self.scale * (loss + self.teaching * distance), "distance": distance}

    def notes(self):
        return [f"the teacher counts {self.teaching:g}"]


class Standardised(Method):
    """Pixels less their mean over the training frames, which a calibration measures; then one linear layer."""

    def __init__(self, seed=0, **calibration):
        super().__init__(Line(seed))
        self.register_buffer("mean", torch.zeros(2, SIZE, SIZE))
        self.calibration = Calibration(**calibration)
        self.seen, self.calls = [], 0
        self.before = self.during = lambda call: None

    def stages(self):
        return (Stage("train", calibration=self.calibration),)

    def calibrate(self, batches):
        for number, batch in enumerate(batches, 1):
            self.seen.append((self.training, torch.is_grad_enabled(), batch.target.ndim, len(batch.events)))
            self.mean += batch.events.mean((0, 1))
            self.during(number)
        self.mean /= number

    def predict(self, events):
        return self.backbone.event_logits(events - self.mean)

    def forward(self, batch, progress):
        self.calls += 1
        self.before(self.calls)
        return {"loss": functional.cross_entropy(self.predict(batch.events).mean(0), batch.target)}


class FromImages(Method):
    """One linear layer, trained on static images alone and then on events."""

    def __init__(self, seed=0):
        super().__init__(Line(seed))
        self.seen, self.begun = [], []

    def begin_stage(self, stage):
        super().begin_stage(stage)
        self.begun.append(self.backbone.weight.detach().clone())

    def stages(self):
        return Stage("images", static_only=True), Stage("events")

    def predict(self, events):
        return self.backbone.event_logits(events)

    def forward(self, batch, progress):
        self.seen.append((self.stage, tuple(batch.events.shape[:2]), torch.equal(batch.events[:, 0], batch.static)))
        return {"loss": functional.cross_entropy(self.predict(batch.events).mean(0), batch.target)}


@METHODS.register("taught")
class Taught(Method):
    """A teacher, another network, is trained on all frames; then the backbone learns its logits."""

    needs_static = False

    def __init__(self, backbone, build: BuildNetwork, teacher: dict):
        super().__init__(backbone)
        self.teacher = build(teacher)

    def stages(self):
        return Stage("teacher", depends=("teacher",)), Stage("distil")

    def trainable(self):
        return self.teacher if self.stage == "teacher" else self.backbone

    def begin_stage(self, stage):
        super().begin_stage(stage)
        self.teacher.requires_grad_(stage == "teacher")
        self.backbone.requires_grad_(stage == "distil")

    def predict(self, events):
        return self.trainable().event_logits(events)

    def forward(self, batch, progress):
        logits = self.predict(batch.events)
        if self.stage == "teacher":
            return {"loss": functional.cross_entropy(logits.mean(0), batch.target)}
        return {"loss": (logits - self.teacher.event_logits(batch.events)).square().mean()}


def make_recipe(**train):
    return recipe_from_dict(
        {
            "name": "toy",
            "data": {"name": "toy", "steps": STEPS, "size": SIZE},
            "method": {"name": "toy"},
            "optim": {"lr": 0.05, "lr_scale_base": None, "warmup_epochs": 1},
            "train": {"epochs": 3, "batch": 6, **train},
        }
    )


class Bench:
    """Runs `fit` on the toys; every call builds a fresh method, kept in `method`."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.task = make_task()
        self.fabric = make_fabric()
        self.recipe = make_recipe()
        self.prepare = lambda method: None
        self.make = lambda recipe, seed: Toy(seed)
        monkeypatch.setattr("braincog_tmkt.engine.loop.build_method", self.build)

    def build(self, recipe, classes, seed):
        self.method = self.make(recipe, seed)
        self.prepare(self.method)
        return self.method

    def fit(self, seed=1, resume=False, prepare=lambda method: None, folder="run", **changes):
        self.prepare = prepare
        recipe = changes.pop("recipe", self.recipe)
        return fit(recipe, seed, self.folder / folder, resume, self.fabric, changes.pop("task", self.task))

    def weights(self):
        return {name: value.clone() for name, value in self.method.state_dict().items()}


def equal(one, other):
    """Whether two state dictionaries are the same to the last bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
