"""A network of ours in a training loop of SpikingJelly's kind, on SpikingJelly's CIFAR10DVS.

    pip install spikingjelly
    python docs/examples/spikingjelly_loop.py /data/CIFAR10DVS

SpikingJelly's multi-step networks take `[T, N, C, H, W]` and keep their state until `functional.reset_net`. Ours take
`[N, T, C, H, W]` and reset themselves before every batch. `TimeFirst` changes the order; `reset_net` may stay in the
loop and changes nothing; `set_step_mode` and `set_backend` have no meaning for our networks, whose keyword `execution`
chooses between `multi_step` and `step`.
"""

import sys

import torch
from spikingjelly.activation_based import functional
from spikingjelly.datasets.cifar10_dvs import CIFAR10DVS
from spikingjelly.datasets.utils import split_to_train_test_set
from torch import nn
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.data import DataLoader

from braincog_tmkt import tmkt_vggsnn

STEPS, SIZE, CLASSES = 10, 48, 10


class TimeFirst(nn.Module):
    """A network of ours behind SpikingJelly's interface: `[T, N, C, H, W]` -> per-step logits `[T, N, K]`."""

    def __init__(self, **keywords):
        super().__init__()
        self.network = tmkt_vggsnn(num_classes=CLASSES, step=STEPS, img_size=SIZE, tet_loss=True, **keywords)

    def forward(self, x_seq):
        """Run all steps."""
        return self.network(x_seq.transpose(0, 1))


def resized(frames):
    """Frames `[T, 2, 128, 128]` at the network's size."""
    return interpolate(torch.as_tensor(frames), size=(SIZE, SIZE), mode="bilinear")


def load(root, batch_size):
    """The loaders of the training and the test part; frames `[N, T, 2, SIZE, SIZE]`."""
    data = CIFAR10DVS(root, data_type="frame", frames_number=STEPS, split_by="number", transform=resized)
    train, test = split_to_train_test_set(0.9, data, CLASSES)
    return DataLoader(train, batch_size, shuffle=True, drop_last=True), DataLoader(test, batch_size)


def train_epoch(net, loader, optimizer, device):
    """One epoch as in SpikingJelly's tutorials; returns the mean loss."""
    net.train()
    total = 0.0
    for frame, label in loader:
        frame = frame.transpose(0, 1).to(device)  # [N, T, ..] -> [T, N, ..]
        loss = cross_entropy(net(frame).mean(0), label.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        functional.reset_net(net)
        total += loss.item()
    return total / len(loader)


@torch.no_grad()
def test(net, loader, device):
    """Accuracy in percent."""
    net.eval()
    right = []
    for frame, label in loader:
        right.append(net(frame.transpose(0, 1).to(device)).mean(0).argmax(1) == label.to(device))
        functional.reset_net(net)
    return 100 * torch.cat(right).float().mean().item()


def main(root, epochs=64, batch_size=16):
    """Train and test."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train_loader, test_loader = load(root, batch_size)
    net = TimeFirst().to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for epoch in range(epochs):
        loss = train_epoch(net, train_loader, optimizer, device)
        print(f"epoch {epoch}: loss {loss:.4f}, accuracy {test(net, test_loader, device):.2f} %", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
