"""HSD on BrainCog's own ResNet-19: an ANN is trained, converted, and teaches the spiking network at every step (SKD).

    python docs/examples/skd_on_braincog_resnet19.py /data/datasets

The folder is BrainCog's root; CIFAR-10 is in `cifar-10-batches-py/` or is downloaded. The network and the loader are
BrainCog's. The two nodes and the loss `skd` are ours, taken from where `install_into_braincog()` puts them.
"""

import sys
from functools import partial

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch.nn.functional import cross_entropy

from braincog_tmkt.plugin import install_into_braincog

install_into_braincog()
from braincog.base.node.node import QCFSNode, SoftResetIFNode
from braincog.base.utils.criterions import skd
from braincog.datasets.datasets import get_cifar10_data
from braincog.model_zoo.resnet19_snn import resnet19
from braincog.utils import setup_seed

STEPS, LEVELS = 4, 4
WEIGHT, TEMPERATURE = 5.0, 10.0

build = partial(resnet19, dataset="cifar10", threshold=1.0, layer_by_layer=True, sum_output=False)
"""`build(step=.., node_type=..)`: a network that gives logits of every step, `[T, B, 10]`."""


def convert(teacher):
    """The spiking network with the ANN's weights and learnt thresholds."""
    student = build(step=STEPS, node_type=SoftResetIFNode)
    student.load_state_dict(teacher.state_dict(), strict=False)  # the ANN has no surrogate gradients
    return student


def ann_loss(model, images, label):
    """The ANN learns the classes."""
    return cross_entropy(model(images).mean(0), label)


def distillation_loss(teacher, student, images, label):
    """The student learns the classes, and the teacher's classes at every step."""
    with torch.no_grad():
        wanted = teacher(images).mean(0)
    logits = student(images)
    return cross_entropy(logits.mean(0), label) + WEIGHT * skd(logits, wanted, TEMPERATURE)


def fit(model, loaders, loss_of, device, epochs, **optim):
    """Train with `loss_of(model, images, label)`; prints the loss and the accuracy of each epoch."""
    optimizer = create_optimizer_v2(model, **optim)
    scheduler = CosineLRScheduler(optimizer, t_initial=epochs)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for images, label in loaders[0]:
            loss = loss_of(model, images.to(device), label.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        scheduler.step(epoch + 1)
        mean, accuracy = total / len(loaders[0]), validate(model, loaders[1], device)
        print(f"epoch {epoch}: loss {mean:.4f}, accuracy {accuracy:.2f} %", flush=True)


@torch.no_grad()
def validate(model, loader, device):
    """Accuracy in percent."""
    model.eval()
    right = [model(images.to(device)).mean(0).argmax(1) == label.to(device) for images, label in loader]
    return 100 * torch.cat(right).float().mean().item()


def main(root, epochs=300, batch_size=128):
    """Train the ANN, convert it, distil it."""
    setup_seed(42)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loaders = get_cifar10_data(batch_size, root=root)[:2]
    teacher = build(step=1, node_type=QCFSNode, levels=LEVELS).to(device)
    fit(teacher, loaders, ann_loss, device, epochs, opt="momentum", lr=0.1, weight_decay=5e-4)
    student = convert(teacher).to(device)
    print(f"converted: accuracy {validate(student, loaders[1], device):.2f} %", flush=True)
    fit(student, loaders, partial(distillation_loss, teacher), device, epochs, opt="adam", lr=1e-5)


if __name__ == "__main__":
    main(sys.argv[1])
