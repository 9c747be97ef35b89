"""TMKT in a script of BrainCog's kind: BrainCog's loader and nodes, timm's optimiser and schedule, a plain loop.

    python docs/examples/tmkt_in_braincog.py /data/datasets

The folder is BrainCog's root: CIFAR10-DVS is in `DVS/DVS_Cifar10/`, CIFAR-10 in `cifar-10-batches-py/`, and what is
missing is downloaded. The lines marked `TMKT` are all that a script without transfer does not have.

No list says which image a recording of CIFAR10-DVS shows. Training may draw the image of a test recording here, so
report such an accuracy as that of the protocol `unpaired` (docs/how-to/data-sets.md).
"""

import sys

import numpy as np
import timm
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torchvision.datasets import CIFAR10

from braincog_tmkt.data.batch import Batch
from braincog_tmkt.data.static import static_channel
from braincog_tmkt.methods.tmkt import TMKT
from braincog_tmkt.plugin import install_into_braincog

install_into_braincog()
from braincog.base.node.node import LIFNode
from braincog.datasets.datasets import get_dvsc10_data
from braincog.utils import setup_seed

STEPS, SIZE, CLASSES = 10, 48, 10


class Partners:
    """TMKT: a random image of each label's class, as the network sees it, `[B, 2, SIZE, SIZE]` in [0, 1]."""

    def __init__(self, images):
        self.images = images
        labels = torch.tensor(images.targets)
        self.rows = [torch.nonzero(labels == each).flatten() for each in range(CLASSES)]

    def __call__(self, label):
        """Draw anew for `label` `[B]`."""
        drawn = (self.rows[each][torch.randint(len(self.rows[each]), ())] for each in label.tolist())
        values = np.stack([static_channel(self.images[int(row)][0], SIZE) for row in drawn])  # V of HSV
        return torch.from_numpy(values)[:, None].expand(-1, 2, -1, -1) / 255


def build_model():
    """A network of two streams; BrainCog's keywords have BrainCog's meaning."""
    return timm.create_model("tmkt_vggsnn", num_classes=CLASSES, step=STEPS, img_size=SIZE, node_type=LIFNode, tau=2.0)


def train_epoch(tmkt, loader, partners, optimizer, epoch, epochs, device):
    """One epoch; returns the mean loss."""
    tmkt.train()
    total = 0.0
    for number, (events, label) in enumerate(loader):
        batch = Batch.of(partners(label).to(device), events.to(device), label.to(device))  # TMKT
        loss = tmkt(batch, (epoch + number / len(loader)) / epochs)["loss"]  # TMKT
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


@torch.no_grad()
def validate(model, loader, device):
    """Accuracy of `model(events)`, in percent."""
    model.eval()
    right = [(model(events.to(device)).argmax(1) == label.to(device)) for events, label in loader]
    return 100 * torch.cat(right).float().mean().item()


def main(root, epochs=300, batch_size=128):
    """Train and validate."""
    setup_seed(42)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train_loader, test_loader, _, _ = get_dvsc10_data(batch_size, STEPS, root=root, size=SIZE)
    partners = Partners(CIFAR10(root, download=True))  # TMKT
    model = build_model()
    tmkt = TMKT(model, mix_ratio=0.4).to(device)  # TMKT: the loss, and the heads of its auxiliary terms
    optimizer = create_optimizer_v2(tmkt, "adamw", lr=6e-4, weight_decay=0.01)  # trains the heads, too
    scheduler = CosineLRScheduler(optimizer, t_initial=epochs, lr_min=1e-5)
    for epoch in range(epochs):
        loss = train_epoch(tmkt, train_loader, partners, optimizer, epoch, epochs, device)
        scheduler.step(epoch + 1)
        print(f"epoch {epoch}: loss {loss:.4f}, accuracy {validate(model, test_loader, device):.2f} %", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
